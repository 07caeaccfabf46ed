"""A corpus on disk: a staging table while it is built, Parquet shards when it is done.

Parquet is written and read by DuckDB with one thread, so that the same documents always give the
same bytes, and in bounded batches, so that memory holds a few documents and not the corpus.
"""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb

from yanmo.artifact import read_json, verify
from yanmo.corpus.document import Document
from yanmo.corpus.split import Split
from yanmo.errors import InputError

SUMMARY_FILE, REJECTED_FILE = "corpus.json", "rejected.parquet"
SHARD_BYTES = 256 << 20
_BATCH_ROWS, _BATCH_CHARS = 2000, 16 << 20
_FETCH_ROWS = 256
_encode = json.JSONEncoder(ensure_ascii=False).encode
_COLUMNS = "id, text, source, language, meta"


@dataclass(frozen=True, kw_only=True)
class CorpusSummary:
    """What a corpus holds and what was done to make it."""

    path: Path
    num_documents: int
    num_bytes: int
    """UTF-8 bytes of all texts."""
    num_characters: int
    rejected: Mapping[str, int]
    """Reason to how many files, rows or documents were refused for it."""
    cleaned: Mapping[str, int]
    """Cleaning step to how many documents it changed."""
    splits: Mapping[str, Mapping[str, int]]
    """Split to its ``num_documents`` and ``num_bytes``."""
    split_by: str
    """One line that says how the splits were made."""
    sha256: str
    """Hash of all documents in their splits, in order."""
    notes: Sequence[str] = field(default_factory=tuple)
    account: Mapping[str, Any] = field(default_factory=dict)
    """What it holds and what was left out, in numbers and examples (``account.account``)."""

    def to_json(self) -> dict[str, Any]:
        """Plain values, as in ``corpus.json`` and as ``yanmo corpus --json`` prints them."""
        return {
            "path": str(self.path),
            "num_documents": self.num_documents,
            "num_bytes": self.num_bytes,
            "num_characters": self.num_characters,
            "rejected": dict(self.rejected),
            "cleaned": dict(self.cleaned),
            "splits": {name: dict(counts) for name, counts in self.splits.items()},
            "split_by": self.split_by,
            "sha256": self.sha256,
            "notes": list(self.notes),
            "account": dict(self.account),
        }


class Corpus:
    """A finished corpus, read as a stream."""

    def __init__(self, path: Path, summary: CorpusSummary) -> None:
        """Use ``Corpus.open``."""
        self.path, self.summary = path, summary

    @classmethod
    def open(cls, path: Path) -> Corpus:
        """Open a corpus folder and check every file of it against its checksum.

        Raises:
            InputError: it is not a corpus of yanmo's, or a file is missing or damaged.
        """
        if not path.is_dir():
            raise InputError("no such corpus folder", where=path, remedy="make one with yanmo corpus")
        if not (path / SUMMARY_FILE).is_file():
            raise InputError("is not a corpus", where=path, remedy="make one with yanmo corpus")
        verify(path)
        # Corpora of an earlier format have no account.
        value = {"account": {}, **read_json(path / SUMMARY_FILE)}
        try:
            fields = {name: value[name] for name in CorpusSummary.__dataclass_fields__ if name != "path"}
        except KeyError as error:
            raise InputError(f"has no {error}", where=path / SUMMARY_FILE, remedy="make it again") from None
        return cls(path, CorpusSummary(path=path, **fields))

    @property
    def sha256(self) -> str:
        """Hash of the documents and their splits."""
        return self.summary.sha256

    @property
    def splits(self) -> Mapping[str, Mapping[str, int]]:
        """Split to its ``num_documents`` and ``num_bytes``."""
        return self.summary.splits

    def num_bytes(self, split: str) -> int:
        """UTF-8 bytes of a split's texts; 0 where there is none."""
        return self.splits.get(split, {}).get("num_bytes", 0)

    def texts(self, split: str) -> Iterator[str]:
        """The texts of a split, in order; nothing where the split is empty."""
        for (text,) in self._rows(split, "text"):
            yield text

    def documents(self, split: str) -> Iterator[Document]:
        """The documents of a split, in order."""
        for id_, text, source, language, meta in self._rows(split, _COLUMNS):
            yield Document(id=id_, text=text, source=source, language=language, meta=json.loads(meta))

    def _rows(self, split: str, columns: str) -> Iterator[tuple[Any, ...]]:
        if split not in set(Split):
            names = ", ".join(Split)
            raise InputError(f"no split {split!r}", where=self.path, remedy=f"one of: {names}")
        with plain_path(self.path) as folder:
            shards = [str(path) for path in sorted(folder.glob(f"{split}-*.parquet"))]
            if not shards:
                return
            with duckdb.connect(":memory:", config={"threads": 1}) as connection:
                cursor = connection.execute(f"SELECT {columns} FROM read_parquet(?)", [shards])
                while rows := cursor.fetchmany(_FETCH_ROWS):
                    yield from rows


@contextlib.contextmanager
def plain_path(folder: Path) -> Iterator[Path]:
    """The folder under a name without ``*``, ``?`` and ``[``, which DuckDB reads as patterns."""
    if not any(char in str(folder) for char in "*?["):
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="yanmo-") as place:
        link = Path(place) / "corpus"
        link.symlink_to(folder.resolve())
        yield link
