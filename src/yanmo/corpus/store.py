"""A corpus on disk: a staging table while it is built, Parquet shards when it is done.

Parquet is written and read by DuckDB with one thread, so that the same documents always give the
same bytes, and in bounded batches, so that memory holds a few documents and not the corpus.
"""

from __future__ import annotations

import contextlib
import errno
import json
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import duckdb

from yanmo.artifact import disk_error, read_json, verify
from yanmo.corpus.document import MAX_REJECTED_CHARS, Document, Reason, Rejected
from yanmo.corpus.split import Split
from yanmo.errors import InputError, YanmoError

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
        value = read_json(path / SUMMARY_FILE)
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
        with _plain_path(self.path) as folder:
            shards = [str(path) for path in sorted(folder.glob(f"{split}-*.parquet"))]
            if not shards:
                return
            with duckdb.connect(":memory:", config={"threads": 1}) as connection:
                cursor = connection.execute(f"SELECT {columns} FROM read_parquet(?)", [shards])
                while rows := cursor.fetchmany(_FETCH_ROWS):
                    yield from rows


class Staging:
    """Documents on their way into a corpus: a DuckDB file inside the folder being written."""

    def __init__(self, folder: Path) -> None:
        """Start an empty staging file in ``folder``."""
        self._folder = folder
        self._path = folder / "staging.duckdb"
        self._documents = _Batch("documents", 6)
        self._rejected = _Batch("rejected", 6)

    def __enter__(self) -> Staging:
        """Open the staging file."""
        columns = "text VARCHAR, source VARCHAR, language VARCHAR, meta VARCHAR"
        try:
            self._connection = duckdb.connect(str(self._path), config={"threads": 1})
            self._connection.execute(f"CREATE TABLE documents (seq BIGINT, id VARCHAR, {columns})")
            self._connection.execute(f"CREATE TABLE rejected (id VARCHAR, {columns}, reason VARCHAR)")
            self._connection.execute("CREATE TABLE places (seq BIGINT, split VARCHAR, shard BIGINT)")
        except duckdb.Error as error:
            raise _storage_error(error, self._folder) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close and remove the staging file; what DuckDB says of the disk becomes one line."""
        with contextlib.suppress(duckdb.Error):
            self._connection.close()
        for leftover in self._folder.glob(f"{self._path.name}*"):
            if leftover.is_file():
                leftover.unlink()
        if isinstance(error, duckdb.Error):
            raise _storage_error(error, self._folder) from error

    def add(self, seq: int, document: Document) -> None:
        """Stage a document under a number that orders it."""
        row = (seq, document.id, document.text, document.source, document.language, _meta(document.meta))
        self._documents.add(row, len(document.text), self._connection)

    def reject(self, rejected: Rejected, *, id_: str = "") -> None:
        """Stage a refusal."""
        meta = _meta({"detail": rejected.detail} if rejected.detail else {})
        text = rejected.text[:MAX_REJECTED_CHARS]
        row = (id_, text, rejected.source, rejected.language, meta, rejected.reason.value)
        self._rejected.add(row, len(text), self._connection)

    def reject_staged(self, seqs: Sequence[int], reason: Reason) -> None:
        """Refuse documents that were staged before."""
        self.flush()
        self._connection.execute(
            "INSERT INTO rejected SELECT id, substr(text, 1, ?), source, language, meta, ? FROM documents"
            " WHERE seq IN (SELECT unnest(?::BIGINT[])) ORDER BY seq",
            [MAX_REJECTED_CHARS, reason.value, list(seqs)],
        )

    def read(self, seq: int) -> Document:
        """A staged document."""
        self.flush()
        row = self._connection.execute(f"SELECT {_COLUMNS} FROM documents WHERE seq = ?", [seq]).fetchone()
        assert row is not None
        return Document(id=row[0], text=row[1], source=row[2], language=row[3], meta=json.loads(row[4]))

    def write(self, places: Iterable[tuple[int, Split, int]]) -> None:
        """Write the shards and the refusals.

        Args:
            places: number, split and UTF-8 bytes of each document that stays, by number.
        """
        self.flush()
        bounds = self._place(places)
        for (split, shard), (low, high) in sorted(bounds.items()):
            self._copy(
                f"SELECT {_COLUMNS} FROM documents JOIN places USING (seq) WHERE seq BETWEEN {low} AND {high}"
                f" AND split = '{split.value}' AND shard = {shard} ORDER BY seq",
                f"{split.value}-{shard:05d}.parquet",
            )
        self._copy(f"SELECT {_COLUMNS}, reason FROM rejected", REJECTED_FILE)

    def flush(self) -> None:
        """Hand what is waiting to DuckDB."""
        self._documents.flush(self._connection)
        self._rejected.flush(self._connection)

    def _place(self, places: Iterable[tuple[int, Split, int]]) -> dict[tuple[Split, int], tuple[int, int]]:
        """Give each document its shard; returns the lowest and highest number of each shard."""
        batch = _Batch("places", 3)
        filled = dict.fromkeys(Split, 0)
        shards = dict.fromkeys(Split, 0)
        bounds: dict[tuple[Split, int], tuple[int, int]] = {}
        for seq, split, num_bytes in places:
            if filled[split] and filled[split] + num_bytes > SHARD_BYTES:
                filled[split], shards[split] = 0, shards[split] + 1
            filled[split] += num_bytes
            key = (split, shards[split])
            low, high = bounds.get(key, (seq, seq))
            bounds[key] = (min(low, seq), max(high, seq))
            batch.add((seq, split.value, shards[split]), 0, self._connection)
        batch.flush(self._connection)
        return bounds

    def _copy(self, query: str, name: str) -> None:
        path = str(self._folder / name).replace("'", "''")
        self._connection.execute(f"COPY ({query}) TO '{path}' (FORMAT parquet, COMPRESSION zstd)")


class _Batch:
    """Rows for one table, inserted many at once."""

    def __init__(self, table: str, num_columns: int) -> None:
        self._table, self._num_columns = table, num_columns
        self._rows: list[tuple[Any, ...]] = []
        self._chars = 0

    def add(self, row: tuple[Any, ...], num_chars: int, connection: duckdb.DuckDBPyConnection) -> None:
        self._rows.append(row)
        self._chars += num_chars
        if len(self._rows) >= _BATCH_ROWS or self._chars >= _BATCH_CHARS:
            self.flush(connection)

    def flush(self, connection: duckdb.DuckDBPyConnection) -> None:
        if self._rows:
            columns = [list(column) for column in zip(*self._rows, strict=True)]
            marks = ", ".join(["unnest(?)"] * self._num_columns)
            connection.execute(f"INSERT INTO {self._table} SELECT {marks}", columns)
            self._rows, self._chars = [], 0


def _meta(meta: Mapping[str, str]) -> str:
    # Lone surrogates (from JSON escapes) have no place in UTF-8.
    return _encode(dict(meta)).encode("utf-8", "replace").decode() if meta else "{}"


def _storage_error(error: duckdb.Error, folder: Path) -> YanmoError:
    message = str(error).splitlines()[0]
    if "No space left" in str(error) or "disk space" in str(error).lower():
        return disk_error(OSError(errno.ENOSPC, message), folder)
    return YanmoError(f"the corpus cannot be written: {message[:300]}", where=folder)


@contextlib.contextmanager
def _plain_path(folder: Path) -> Iterator[Path]:
    """The folder under a name without ``*``, ``?`` and ``[``, which DuckDB reads as patterns."""
    if not any(char in str(folder) for char in "*?["):
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="yanmo-") as place:
        link = Path(place) / "corpus"
        link.symlink_to(folder.resolve())
        yield link
