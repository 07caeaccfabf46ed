"""What cleaning is worth: models trained on a cleaned folder and on the raw one, judged on clean text.

    python -m benchmarks cleaned_corpus [BUDGET [MEGABYTES [SEEDS]]]      5m, 8 and 1 where nothing is given

``messy_files`` writes a folder around MEGABYTES of good English and Chinese text, which are half of what it
holds; its docstring says what the rest is. Raw is every document as the readers give it, nothing repaired,
refused or compared; cleaned is ``yanmo corpus --language en zh`` with its usual settings; the third is the
good text alone as it was before it became files, what cleaning aims at. ``yanmo pretrain`` has the same
budget on each, with the tokenizer, the plan and the validation text that it makes of that corpus; the
machine must be quiet, for a budget is time. Judged are passages of the same books and articles that are in
none of the three, in bits per byte, which do not depend on the tokenizer; a finished run is found again.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import statistics
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import duckdb

from benchmarks.kept_runs import runs_folder, yanmo
from benchmarks.machine import describe
from benchmarks.messy_files import SHARES, good_passages, held_out, write_folder
from benchmarks.planted_texts import LANGUAGES
from yanmo.artifact import new_folder, sha256_of_text, write_json
from yanmo.corpus.document import Document, make_document
from yanmo.corpus.reader import read_documents
from yanmo.corpus.store import SUMMARY_FILE, Corpus, CorpusSummary

_VALID_PERCENT, _TEST_PERCENT = 2, 3


def main() -> None:
    """Print what is in the corpora, then what the models reach."""
    budget = sys.argv[2] if sys.argv[2:] else "5m"
    megabytes = float(sys.argv[3]) if sys.argv[3:] else 8.0
    seeds = range(int(sys.argv[4]) if sys.argv[4:] else 1)
    place = runs_folder() / f"cleaned-corpus-{megabytes:g}"
    files, judged = _write_sources(place, megabytes)
    corpora = {name: place / name for name in ("raw", "cleaned", "good")}
    _write_corpus(corpora["raw"], _as_read(files))
    yanmo("corpus", str(files), "--out", str(corpora["cleaned"]), "--language", "en", "zh")
    _write_corpus(corpora["good"], _as_written(megabytes))
    print(f"a messy folder around {megabytes:g} MB of good text, {budget}. {describe()}\n")
    _print_contents(corpora)
    print(f"\n| corpus | MB | parameters | steps | {' | '.join(LANGUAGES)} | both, bits/byte |")
    print("|---|---|---|---|---|---|---|")
    reached = {}
    for name, corpus in corpora.items():
        runs = [_run(corpus, judged, budget, seed) for seed in seeds]
        reached[name] = statistics.mean(run["both"] for run in runs)
        _print_runs(name, corpus, runs)
    gain, most = (1 - reached[name] / reached["raw"] for name in ("cleaned", "good"))
    print(f"\nCleaning saves {gain:.1%} of the bits; the good text alone would save {most:.1%}.")


def _write_sources(place: Path, megabytes: float) -> tuple[Path, dict[str, Path]]:
    """The messy folder, and the held-out text of each language; written where they are not there."""
    files = place / "files"
    judged = {language: place / f"{language.lower()}.jsonl" for language in LANGUAGES}
    if not files.is_dir():
        temporary = place / "files.tmp"
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        for language, path in judged.items():
            rows = (json.dumps({"text": text}, ensure_ascii=False) for text in held_out(language))
            path.write_text("\n".join(rows) + "\n", encoding="utf-8")
        write_folder(temporary, megabytes)
        temporary.rename(files)
    return files, judged


def _as_read(files: Path) -> Iterator[Document]:
    return (item for item in read_documents(files) if isinstance(item, Document))


def _as_written(megabytes: float) -> Iterator[Document]:
    for number, (text, language) in enumerate(good_passages(megabytes)):
        yield make_document(text, f"good/{language}-{number}.txt")


def _write_corpus(out: Path, documents: Iterator[Document]) -> None:
    """A corpus of documents exactly as they are; the hash of an id says where each goes."""
    if out.is_dir():
        return
    rows: dict[str, list[list[str]]] = {"train": [], "valid": [], "test": []}
    for document in documents:
        draw = int(hashlib.sha256(document.id.encode()).hexdigest(), 16) % 100
        split = (
            "valid" if draw < _VALID_PERCENT else "test" if draw < _VALID_PERCENT + _TEST_PERCENT else "train"
        )
        # What cannot be written as UTF-8 becomes question marks, as in any program that writes text.
        text = document.text.encode("utf-8", "replace").decode()
        rows[split].append(
            [document.id, text, document.source, document.language, json.dumps(dict(document.meta))]
        )
    with new_folder(out, kind="corpus", details={"made": "as it was read"}) as folder:
        for split, own in rows.items():
            _write_shard(folder / f"{split}-00000.parquet", own)
        write_json(folder / SUMMARY_FILE, _summary(out, rows).to_json())


def _write_shard(path: Path, rows: Sequence[Sequence[str]]) -> None:
    with duckdb.connect(":memory:", config={"threads": 1}) as connection:
        connection.execute(
            "CREATE TABLE rows (id VARCHAR, text VARCHAR, source VARCHAR, language VARCHAR, meta VARCHAR)"
        )
        columns = [list(column) for column in zip(*rows, strict=True)]
        connection.execute(f"INSERT INTO rows SELECT {', '.join(['unnest(?)'] * 5)}", columns)
        connection.execute(f"COPY rows TO '{path}' (FORMAT parquet)")


def _summary(out: Path, rows: dict[str, list[list[str]]]) -> CorpusSummary:
    sizes = {
        split: {"num_documents": len(own), "num_bytes": sum(len(row[1].encode()) for row in own)}
        for split, own in rows.items()
    }
    return CorpusSummary(
        path=out,
        num_documents=sum(counts["num_documents"] for counts in sizes.values()),
        num_bytes=sum(counts["num_bytes"] for counts in sizes.values()),
        num_characters=sum(len(row[1]) for own in rows.values() for row in own),
        rejected={},
        cleaned={},
        splits=sizes,
        split_by="by hash",
        sha256=sha256_of_text(*(f"{split} {row[0]}" for split, own in rows.items() for row in own)),
    )


def _print_contents(corpora: dict[str, Path]) -> None:
    sizes = {name: _bytes_by_kind(path) for name, path in corpora.items()}
    print("| MB of | raw | share of raw | cleaned | share of cleaned |")
    print("|---|---|---|---|---|")
    for kind in SHARES:
        cells = (
            f"{sizes[name][kind] / 1e6:.2f} | {sizes[name][kind] / sizes[name].total():.1%}"
            for name in ("raw", "cleaned")
        )
        print(f"| {kind} | {' | '.join(cells)} |")


def _bytes_by_kind(corpus: Path) -> Counter[str]:
    opened = Corpus.open(corpus)
    found: Counter[str] = Counter()
    for split in opened.splits:
        for document in opened.documents(split):
            found[document.source.split("/")[0]] += len(document.text.encode())
    return found


def _run(corpus: Path, judged: dict[str, Path], budget: str, seed: int) -> dict[str, Any]:
    """A model of the corpus with the held-out bits per byte by language, and of ``both``."""
    run = corpus.with_name(f"{corpus.name}-{budget}-{seed}")
    made = yanmo("pretrain", str(corpus), "--out", str(run), "--budget", budget, "--seed", str(seed))
    bits, sizes = {}, {}
    for language, path in judged.items():
        found = yanmo("evaluate", str(run / "model"), str(path), "--no-baseline")
        bits[language], sizes[language] = found["bits_per_byte"], found["num_bytes"]
    both = sum(bits[name] * sizes[name] for name in bits) / sum(sizes.values())
    return {**made, **bits, "both": both}


def _print_runs(name: str, corpus: Path, runs: list[dict[str, Any]]) -> None:
    means = [statistics.mean(run[key] for run in runs) for key in LANGUAGES]
    both = [run["both"] for run in runs]
    spread = f" ({min(both):.4f} to {max(both):.4f})" if len(both) > 1 else ""
    num_bytes = Corpus.open(corpus).num_bytes("train")
    cells = (
        {"raw": "raw", "cleaned": "cleaned", "good": "the good text alone"}[name],
        f"{num_bytes / 1e6:.1f}",
        f"{runs[0]['num_parameters'] / 1e6:.2f} M",
        f"{statistics.mean(run['steps'] for run in runs):,.0f}",
        *(f"{mean:.4f}" for mean in means),
        f"{statistics.mean(both):.4f}{spread}",
    )
    print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
