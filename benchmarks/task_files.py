"""Labelled files: the time to read and check a million rows, and which of the data sets are read by guessing.

    python -m benchmarks task_files [ROWS]

Rows are made of random words, 24 in the mean, once as CSV and once as JSON lines, with a test of 2,000 rows
of which half are near copies of training rows; each kind in a process of its own. The data sets below
YANMO_DATA are read as they are, with no column named.
"""

from __future__ import annotations

import json
import os
import random
import resource
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.machine import describe, in_a_process
from yanmo.errors import InputError
from yanmo.tasks.check import check_examples
from yanmo.tasks.findings import FindingKind
from yanmo.tasks.read import load_examples
from yanmo.tasks.split import SplitSettings, split_examples

_ROWS, _TEST_ROWS = 1_000_000, 2000
_KINDS = ("csv", "jsonl")
_DATA_SETS = {
    "adversarial_qa_small": "question-answering",
    "ag_news": "text-classification",
    "alpaca_zh": "chat",
    "chatterbot_corpus": "chat",
    "chnsenticorp": "text-classification",
    "cmrc2018": "question-answering",
    "csl_category": "text-classification",
    "csl_title": "summarization",
    "fewclue_bustm": "pair-classification",
    "gsm8k": "chat",
    "instruct_rasbt": "chat",
    "mr": "text-classification",
    "ner_cluener": "token-classification",
    "ner_wnut17": "token-classification",
    "ocnli": "pair-classification",
    "scitldr": "summarization",
    "semeval2010_task8": "relation-extraction",
    "sighan_csc": "translation",
    "spelling_en": "translation",
    "sst2": "text-classification",
    "stsb": "sentence-similarity",
    "stsb_zh_mt": "pair-classification",
    "tatoeba_en_zh": "translation",
    "trec": "text-classification",
}


def main() -> None:
    """Print both tables."""
    if sys.argv[2:3] == ["--one"]:
        print(json.dumps(_measure(Path(sys.argv[3]), sys.argv[4])))
        return
    num_rows = int(sys.argv[2]) if len(sys.argv) > 2 else _ROWS
    print(f"{describe()}\n")
    print("| rows | read s | rows/s | check s | near copies found | memory MB |\n|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for kind in _KINDS:
            near = _write(Path(folder), kind, num_rows)
            found = in_a_process("task_files", folder, kind)
            print(
                f"| {found['rows']:,} {kind} | {found['read_s']:.1f} | {found['rows'] / found['read_s']:,.0f}"
                f" | {found['check_s']:.1f} | {found['near']:,} of {near:,} | {found['memory_mb']:,.0f} |"
            )
    root = os.environ.get("YANMO_DATA")
    if root:
        _read_data_sets(Path(root))


def _write(folder: Path, kind: str, num_rows: int) -> int:
    """Write train and test files, and tell how many rows of the test are near copies."""
    draw = random.Random(3)
    vocabulary = [f"{draw.choice('bcdfgklmnprst')}{draw.choice('aeiou')}{i:x}" for i in range(30_000)]
    copied: list[str] = []
    with (folder / f"train.{kind}").open("w") as file:
        file.write("text,label\n" if kind == "csv" else "")
        for row in range(num_rows):
            text = " ".join(draw.choices(vocabulary, k=draw.randint(8, 40)))
            if row % max(1, num_rows // _TEST_ROWS) == 0 and text.count(" ") > 25:
                copied.append(text)
            file.write(_line(kind, text, row % 5))
    copied = copied[: _TEST_ROWS // 2]
    with (folder / f"test.{kind}").open("w") as file:
        file.write("text,label\n" if kind == "csv" else "")
        for row in range(_TEST_ROWS):
            words = " ".join(draw.choices(vocabulary, k=24))
            file.write(_line(kind, f"{copied[row]} besides" if row < len(copied) else words, row % 5))
    return len(copied)


def _line(kind: str, text: str, label: int) -> str:
    return f"{text},c{label}\n" if kind == "csv" else json.dumps({"text": text, "label": f"c{label}"}) + "\n"


def _measure(folder: Path, kind: str) -> dict[str, float]:
    start_s = time.perf_counter()
    loaded = load_examples([folder / f"train.{kind}", folder / f"test.{kind}"], "text-classification")
    read_s = time.perf_counter() - start_s
    splits = split_examples(loaded.examples, SplitSettings(valid=0))
    start_s = time.perf_counter()
    report = check_examples(splits.by_name(), broken=loaded.broken)
    near = [finding for finding in report.findings if finding.kind is FindingKind.NEAR_LEAK]
    return {
        "rows": len(loaded.examples),
        "read_s": read_s,
        "check_s": time.perf_counter() - start_s,
        "near": near[0].num_rows if near else 0,
        "memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def _read_data_sets(root: Path) -> None:
    print("\n| data set | task | examples | set aside | columns |\n|---|---|---|---|---|")
    for name, task in _DATA_SETS.items():
        if not (root / name).is_dir():
            continue
        try:
            loaded = load_examples(root / name, task)
        except InputError as error:
            print(f"| {name} | {task} | 0 | all | {error} |")
            continue
        said = loaded.notes[0].partition(": ")[2] if loaded.notes else ""
        print(f"| {name} | {task} | {len(loaded.examples):,} | {len(loaded.broken):,} | {said} |")
