"""Runs of ``yanmo train`` that several benchmarks read: each is made once and kept below YANMO_RUNS.

The same command finds its finished run, so a benchmark that was stopped goes on, and the figures of several
tables come from the same runs. Three texts: ``shakespeare`` (the last tenth is judged), ``novels`` (three
Chinese novels to learn from, Dream of the Red Chamber to be judged on), ``python`` (its reference
and docstrings). Two are for encoders alone: ``english``, passages of novels (LAMBADA) and articles
(WikiText-2) in small letters, and ``prose``, the same with the sentences that SST-2 is learned from, without
their labels.
"""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.machine import YANMO, data_folder
from yanmo.recipes.demo import write_python_reference

TEXTS = ("shakespeare", "novels", "python")
_SENTENCES_A_FILE = 64
_LEARNED, _JUDGED = ("sanguo", "shuihu", "xiyouji"), "hongloumeng"


def runs_folder() -> Path:
    """Where the runs are kept: YANMO_RUNS, or runs/benchmarks."""
    return Path(os.environ.get("YANMO_RUNS", "runs/benchmarks"))


def train(text: str, budget: str, *flags: str, name: str = "") -> dict[str, Any]:
    """The result of ``yanmo train`` on a text, made now or found finished.

    Args:
        text: one of ``TEXTS``.
        budget: such as ``30m``.
        flags: further ones of the command.
        name: of the run's folder; ``text-budget`` where empty.

    Returns:
        result.json's keys, with ``run`` (folder), ``plan`` and ``evaluation`` beside them.
    """
    run = runs_folder() / (name or f"{text}-{budget}")
    result = yanmo("train", str(source(text)), "--out", str(run), "--budget", budget, *flags)
    for part in ("plan", "evaluation"):
        result[part] = json.loads((run / f"{part}.json").read_text(encoding="utf-8"))
    return {"run": run, **result}


def yanmo(*arguments: str) -> dict[str, Any]:
    """The JSON that a command ends with; ends the program where it fails."""
    done = subprocess.run(
        [*YANMO, *arguments, "--json"], stdout=subprocess.PIPE, stderr=sys.stderr, text=True
    )
    if done.returncode:
        sys.exit(f"yanmo {' '.join(arguments)}: exit code {done.returncode}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def source(text: str) -> Path:
    """The folder of a text's files, written where it is not there."""
    folder = runs_folder() / "sources" / text
    if not folder.is_dir():
        folder.mkdir(parents=True)
        _WRITERS[text](folder)
    return folder


def _write_shakespeare(folder: Path) -> None:
    text = (data_folder("tinyshakespeare") / "input.txt").read_text(encoding="utf-8")
    cut = len(text) * 9 // 10
    (folder / "train.txt").write_text(text[:cut], encoding="utf-8")
    (folder / "test.txt").write_text(text[cut:], encoding="utf-8")


def _write_novels(folder: Path) -> None:
    for title in (*_LEARNED, _JUDGED):
        text = gzip.decompress((data_folder("zh_novels") / f"{title}.txt.gz").read_bytes())
        # A file called test is the test split.
        (folder / ("test.txt" if title == _JUDGED else f"{title}.txt")).write_bytes(text)


def _write_english(folder: Path) -> None:
    sources = {
        "novels-1": "lambada/dev.tokenised.txt.gz",
        "novels-2": "lambada/test.tokenised.txt.gz",
        "articles-1": "wikitext2/valid.tokens.txt.gz",
        "articles-2": "wikitext2/test.tokens.txt.gz",
    }
    # Under their own names two of them would be held out.
    for name, source_name in sources.items():
        data = (data_folder(Path(source_name).parts[0]) / Path(source_name).name).read_bytes()
        (folder / f"{name}.txt").write_text(gzip.decompress(data).decode().lower(), encoding="utf-8")


def _write_prose(folder: Path) -> None:
    _write_english(folder)
    with gzip.open(data_folder("sst2") / "train.jsonl.gz", "rt", encoding="utf-8") as lines:
        sentences = [json.loads(line)["text"] for line in lines]
    for start in range(0, len(sentences), _SENTENCES_A_FILE):
        part = sentences[start : start + _SENTENCES_A_FILE]
        (folder / f"reviews-{start:05}.txt").write_text("\n".join(part) + "\n", encoding="utf-8")


_WRITERS = {
    "shakespeare": _write_shakespeare,
    "novels": _write_novels,
    "python": write_python_reference,
    "english": _write_english,
    "prose": _write_prose,
}
