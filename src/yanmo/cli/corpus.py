"""``yanmo corpus``: files to clean documents, split without leaks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from yanmo.cli.output import DryRun, Force, Json, Seed, emit


def corpus(
    *source: Annotated[Path, Parameter(help="Files and folders of text, tables, records, archives.")],
    out: Annotated[Path, Parameter(help="Corpus folder to write.")],
    valid_fraction: Annotated[float, Parameter(help="Share of the bytes held out for validation.")] = 0.02,
    test_fraction: Annotated[float, Parameter(help="Share of the bytes held out for the test.")] = 0.03,
    split: Annotated[str, Parameter(help="How to split: auto, names, documents or pieces.")] = "auto",
    min_chars: Annotated[int, Parameter(help="Refuse shorter documents.")] = 1,
    text_column: Annotated[
        str | None, Parameter(help="Column or key of the text in tables and records; guessed if not given.")
    ] = None,
    seed: Seed = 0,
    force: Force = False,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Files to clean documents, split without leaks."""
    from yanmo.config import from_mapping
    from yanmo.corpus.build import CorpusSettings, build_corpus, survey

    settings = from_mapping(
        CorpusSettings,
        {
            "valid_fraction": valid_fraction,
            "test_fraction": test_fraction,
            "split": split,
            "min_chars": min_chars,
            "text_column": text_column,
            "seed": seed,
        },
    )
    if dry_run:
        found = survey(source, out=out)
        emit(found, _survey_table(found, out), as_json=json)
        return
    result = build_corpus(source, out, settings=settings, force=force).to_json()
    emit(result, _table(result), as_json=json)


def _table(result: dict[str, Any]) -> str:
    from yanmo.config import format_size

    lines = [f"{result['path']}: {result['num_documents']:,} documents, {format_size(result['num_bytes'])}"]
    for name, counts in result["splits"].items():
        size = format_size(counts["num_bytes"])
        lines.append(f"  {name:<6} {counts['num_documents']:>10,} documents {size:>10}")
    for title, counts in (("cleaned", result["cleaned"]), ("rejected", result["rejected"])):
        lines += [f"  {title}: {name} {count:,}" for name, count in counts.items() if count]
    return "\n".join(lines)


def _survey_table(found: dict[str, Any], out: Path) -> str:
    from yanmo.config import format_size

    size = format_size(found["num_bytes_on_disk"])
    lines = [f"would read {found['num_files']:,} files ({size} on disk) into {out}"]
    lines += [f"  {suffix:<12} {count:>8,}" for suffix, count in found["suffixes"].items()]
    lines += [f"  passed over: {reason} {count:,}" for reason, count in found["passed_over"].items()]
    return "\n".join(lines)
