"""What ``yanmo corpus`` prints for people: of a corpus, and of a sample of one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from yanmo.cli.corpus_show import visible
from yanmo.config import format_duration, format_size

_MOST_NAMED, _EXAMPLE_CHARS = 6, 100


def corpus_table(result: Mapping[str, Any]) -> str:
    """A corpus in brief; the rest is in its report."""
    lines = [f"{result['path']}: {result['num_documents']:,} documents, {format_size(result['num_bytes'])}"]
    for name, counts in result["splits"].items():
        size = format_size(counts["num_bytes"])
        lines.append(f"  {name:<6} {counts['num_documents']:>10,} documents {size:>10}")
    lines += _of_account(result["account"])
    for title, counts in (("cleaned", result["cleaned"]), ("rejected", result["rejected"])):
        lines += [f"  {title}: {name} {count:,}" for name, count in counts.items() if count]
    report = Path(result["path"]) / "report.html"
    return "\n".join([*lines, f"  {report} has examples; yanmo corpus show {result['path']} ID a document"])


def dry_run_table(found: Mapping[str, Any], out: Path) -> str:
    """What would be read, and what became of a sample."""
    size = format_size(found["num_bytes_on_disk"])
    lines = [f"would read {found['num_files']:,} files ({size} on disk) into {out}"]
    lines += [f"  {visible(suffix):<12} {count:>8,}" for suffix, count in found["suffixes"].items()]
    lines += [f"  passed over: {reason} {count:,}" for reason, count in found["passed_over"].items()]
    sample = found["sample"]
    return "\n".join(lines if sample is None else [*lines, *_of_sample(sample)])


def _of_sample(sample: Mapping[str, Any]) -> Iterator[str]:
    speed = f"{sample['bytes_per_s'] / 1e6:.2g} MB/s"
    if sample["num_workers"] > 1:
        speed += f" by {sample['num_workers']} processes"
    drawn = f"{format_size(sample['num_bytes_on_disk'])} of {sample['num_files']:,} files"
    what = "all of it" if sample["is_whole"] else "a sample"
    yield f"{what}, {drawn}, read at {speed}, gave"
    yield f"  {sample['num_documents']:>10,} documents {format_size(sample['num_bytes']):>10}"
    yield from _of_account(sample["account"])
    yield from (f"  cleaned: {name} {count:,}" for name, count in sample["cleaned"].items())
    for row in sample["account"]["refused"]:
        rule = f", {row['rule']}" if row["rule"] else ""
        yield f"  rejected: {row['reason']}{rule} {row['num_items']:,}"
        for example in row["examples"][:1]:
            detail = f": {example['detail']}" if example["detail"] else ""
            yield visible(f"    {example['source']}{detail}")
            if example["text"]:
                yield visible(f"    | {_shortened(example['text'])}")
    yield from (f"  note: {visible(note)}" for note in sample["notes"])
    estimated = sample["estimated"]
    if not sample["is_whole"]:
        yield (
            f"all of it would be about {estimated['num_documents']:,} documents,"
            f" {format_size(estimated['num_bytes'])}, less what is said again in files that were not drawn"
        )
    yield f"it would take about {format_duration(estimated['time_s'])}"


def _of_account(account: Mapping[str, Any]) -> Iterator[str]:
    if account.get("languages"):
        yield f"  languages: {_shares(account['languages'])}"
    for row in account.get("personal") or ():
        yield f"  personal: {row['kind']} {row['num_found']:,} ({row['action']})"
    passages = account.get("passages")
    if passages and passages["num_passages"]:
        taken, different = passages["num_taken_out"], passages["num_passages"]
        yield f"  repeated: {different:,} paragraphs, taken out {taken:,} times"


def _shares(rows: Sequence[Mapping[str, Any]]) -> str:
    """The largest languages with their shares of the text."""
    whole = sum(row["num_bytes"] for row in rows) or 1
    named = [row for row in rows if row["name"] and row["num_bytes"]]
    listed = ", ".join(f"{row['name']} {row['num_bytes'] / whole:.0%}" for row in named[:_MOST_NAMED])
    return listed + (", ..." if len(named) > _MOST_NAMED else "")


def _shortened(text: str) -> str:
    return text if len(text) <= _EXAMPLE_CHARS else f"{text[:_EXAMPLE_CHARS].rstrip('…')}…"
