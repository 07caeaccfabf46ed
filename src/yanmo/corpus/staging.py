"""What the first pass over the files leaves: documents and refusals in Parquet files, each written whole.

A part of the files gives a row of chunks, ``documents-00012-003.parquet`` and ``refused-00012-003.parquet``,
closed by ``chunk-00012-003.json``, which says how many items of the part lie behind it. Work that was
killed goes on after the last chunk, and ends in the same bytes.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import duckdb

from yanmo.artifact import disk_error, sha256_of_text, write_json
from yanmo.corpus.document import MAX_REJECTED_CHARS, Document, Rejected
from yanmo.corpus.split import Split
from yanmo.corpus.tally import Tally
from yanmo.errors import YanmoError

CHUNK_CHARS, CHUNK_ROWS = 8 << 20, 20_000
_BATCH_ROWS, _BATCH_CHARS = 2000, 4 << 20
# Items of a part are numbered in the lower half, parts in the upper.
PART_BITS = 32
COLUMNS = {
    "documents": (
        "seq BIGINT, id VARCHAR, text VARCHAR, source VARCHAR, language VARCHAR, meta VARCHAR, named VARCHAR,"
        " num_bytes BIGINT, num_chars BIGINT, digest BLOB, signature BLOB, lines UBIGINT[],"
        " stretches BIGINT[]"
    ),
    "refused": (
        "seq BIGINT, id VARCHAR, text VARCHAR, source VARCHAR, language VARCHAR, meta VARCHAR,"
        " reason VARCHAR, num_chars BIGINT"
    ),
}
_TEXT, _SIGNATURE = 2, 10
Row = tuple[Any, ...]
Sign = Callable[[list[str]], list[bytes]]
_encode = json.JSONEncoder(ensure_ascii=False).encode


@dataclass(frozen=True, kw_only=True)
class Refined:
    """A document that stays, with what the second pass asks of it."""

    document: Document
    named: Split | None
    digest: bytes
    """Of its text; equal texts have equal ones."""
    lines: Sequence[int] = ()
    """Digests of its lines."""
    stretches: Sequence[int] = ()
    """Its alignment to the source, four numbers a stretch."""


@dataclass(kw_only=True)
class PartWriter:
    """The chunks of one part; what an earlier process wrote of them stays."""

    folder: Path
    part: int
    sign: Sign | None = None
    """Texts to signatures, of which near texts have near ones; of many at once, which is quicker."""
    chunk_chars: int = CHUNK_CHARS
    """Characters from which on a chunk is written."""
    tally: Tally = field(default_factory=Tally)
    """Of the chunk being written."""

    def __enter__(self) -> PartWriter:
        """Find what is there."""
        self._chunk, self.num_done, self.is_done = 0, 0, False
        for number, path in enumerate(sorted(self.folder.glob(f"chunk-{self.part:05d}-*.json"))):
            state = json.loads(path.read_text(encoding="utf-8"))
            self._chunk, self.num_done, self.is_done = number + 1, state["num_items"], state["is_last"]
        self._item = self.num_done
        self._rows = Table("documents", complete=self._signed)
        self._refused = Table("refused")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let go of the memory."""
        self._rows.close()
        self._refused.close()

    def add(self, refined: Refined, tally: Mapping[str, Mapping[str, int]]) -> None:
        """Take the next item of the part, a document."""
        document = refined.document
        row = (
            self._seq(),
            document.id,
            document.text,
            document.source,
            document.language,
            encode_meta(document.meta),
            refined.named,
            len(document.text.encode()),
            len(document.text),
            refined.digest,
            b"",
            list(refined.lines),
            list(refined.stretches),
        )
        self._rows.add(row, len(document.text))
        self._count(tally)

    def refuse(self, rejected: Rejected, tally: Mapping[str, Mapping[str, int]]) -> None:
        """Take the next item of the part, a refusal."""
        meta = encode_meta({"detail": rejected.detail} if rejected.detail else {})
        text, reason = rejected.text[:MAX_REJECTED_CHARS], rejected.reason.value
        id_ = sha256_of_text(rejected.source, text, reason)[:32]
        row = (id_, text, rejected.source, rejected.language, meta, reason, len(rejected.text))
        self._refused.add((self._seq(), *row), len(text))
        self._count(tally)

    def finish(self) -> None:
        """Close the part."""
        self._write(is_last=True)

    def _signed(self, rows: list[Row]) -> list[Row]:
        if self.sign is None:
            return rows
        signatures = self.sign([row[_TEXT] for row in rows])
        return [
            (*row[:_SIGNATURE], signature, *row[_SIGNATURE + 1 :])
            for row, signature in zip(rows, signatures, strict=True)
        ]

    def _seq(self) -> int:
        self._item += 1
        return (self.part << PART_BITS) | (self._item - 1)

    def _count(self, tally: Mapping[str, Mapping[str, int]]) -> None:
        self.tally.add(tally)
        rows, chars = (sum(pair) for pair in zip(self._rows.size, self._refused.size, strict=True))
        if rows >= CHUNK_ROWS or chars >= self.chunk_chars:
            self._write(is_last=False)

    def _write(self, *, is_last: bool) -> None:
        stem = f"{self.part:05d}-{self._chunk:03d}"
        self._rows.write(self.folder / f"documents-{stem}.parquet")
        self._refused.write(self.folder / f"refused-{stem}.parquet")
        state = {"num_items": self._item, "is_last": is_last, "tally": self.tally.counts}
        write_json(self.folder / f"chunk-{stem}.json", state)
        self._chunk, self.tally = self._chunk + 1, Tally()


def read_tally(folder: Path) -> Tally:
    """The sum over all chunks."""
    total = Tally()
    for path in sorted(folder.glob("chunk-*.json")):
        total.add(json.loads(path.read_text(encoding="utf-8"))["tally"])
    return total


def finished_parts(folder: Path) -> Iterator[int]:
    """The numbers of the parts that are whole."""
    for path in sorted(folder.glob("chunk-*.json")):
        if json.loads(path.read_text(encoding="utf-8"))["is_last"]:
            yield int(path.name.split("-")[1])


class Table:
    """Rows on their way into a Parquet file, handed to DuckDB many at once."""

    def __init__(self, name: str, *, complete: Callable[[list[Row]], list[Row]] | None = None) -> None:
        """An empty table in memory.

        Args:
            name: one of ``COLUMNS``.
            complete: fills in what is quicker found for many rows than for each.
        """
        self._name, self._complete = name, complete
        self._connection: duckdb.DuckDBPyConnection | None = None
        self._rows: list[Row] = []
        self._chars = 0
        self.size = (0, 0)
        """Rows, and characters of text, since the last file."""

    def add(self, row: Row, num_chars: int) -> None:
        """Take a row that holds a text of so many characters."""
        self._rows.append(row)
        self._chars += num_chars
        self.size = (self.size[0] + 1, self.size[1] + num_chars)
        if len(self._rows) >= _BATCH_ROWS or self._chars >= _BATCH_CHARS:
            self._hand_over()

    def write(self, path: Path) -> None:
        """Write the rows into a file, whole or not at all; none makes no file."""
        if not self.size[0]:
            return
        self._hand_over()
        # Two machines of a cluster may write the same part, one of them given up for lost.
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
        try:
            copy_to(self._open(), f"SELECT * FROM {self._name} ORDER BY seq", temporary)
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            temporary.replace(path)
        except OSError as error:
            raise disk_error(error, path) from error
        finally:
            temporary.unlink(missing_ok=True)
        self.close()

    def close(self) -> None:
        """Let go of the rows."""
        if self._connection is not None:
            self._connection.close()
        self._connection, self._rows, self._chars, self.size = None, [], 0, (0, 0)

    def _open(self) -> duckdb.DuckDBPyConnection:
        if self._connection is None:
            self._connection = duckdb.connect(":memory:", config={"threads": 1})
            self._connection.execute(f"CREATE TABLE {self._name} ({COLUMNS[self._name]})")
        return self._connection

    def _hand_over(self) -> None:
        rows = self._rows if self._complete is None else self._complete(self._rows)
        insert(self._open(), self._name, rows)
        self._rows, self._chars = [], 0


def insert(connection: duckdb.DuckDBPyConnection, table: str, rows: Sequence[tuple[Any, ...]]) -> None:
    """Insert many rows by one statement."""
    if rows:
        columns = [list(column) for column in zip(*rows, strict=True)]
        marks = ", ".join(["unnest(?)"] * len(columns))
        connection.execute(f"INSERT INTO {table} SELECT {marks}", columns)


def fetch_one(connection: duckdb.DuckDBPyConnection, query: str) -> tuple[Any, ...]:
    """The only row of a query."""
    row = connection.execute(query).fetchone()
    assert row is not None
    return row


def copy_to(connection: duckdb.DuckDBPyConnection, query: str, path: Path) -> None:
    """Write the rows of a query into a Parquet file.

    Raises:
        YanmoError: the disk is full or cannot be written.
    """
    quoted = str(path).replace("'", "''")
    try:
        connection.execute(f"COPY ({query}) TO '{quoted}' (FORMAT parquet, COMPRESSION zstd)")
    except duckdb.Error as error:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
        raise storage_error(error, path.parent) from error


def encode_meta(meta: Mapping[str, str]) -> str:
    """A document's facts as JSON."""
    # Lone surrogates (from JSON escapes) have no place in UTF-8.
    return _encode(dict(meta)).encode("utf-8", "replace").decode() if meta else "{}"


def storage_error(error: duckdb.Error, folder: Path) -> YanmoError:
    """The one line for what DuckDB says of the disk."""
    message = str(error).splitlines()[0]
    if "No space left" in str(error) or "disk space" in str(error).lower():
        return disk_error(OSError(errno.ENOSPC, message), folder)
    return YanmoError(f"the corpus cannot be written: {message[:300]}", where=folder)
