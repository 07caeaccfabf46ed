"""The second pass: what must see all documents at once, in a database on disk.

Duplicates across everything, the split of each document, the number of its copies, and the shards that it is
written into. Texts stay in the files of the first pass and are read once more, file by file.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import duckdb

from yanmo.corpus.document import MAX_REJECTED_CHARS, Document, Reason, make_document
from yanmo.corpus.edits import Alignment
from yanmo.corpus.split import Division, Entry, Group, Named, Split, SplitBy, cut_text, divide
from yanmo.corpus.staging import COLUMNS, copy_to, encode_meta, insert, storage_error

SHARD_BYTES = 256 << 20
_FETCH_ROWS = 10_000
# A copy that a name holds out is kept before one to train on, a test's before one that validates.
_STRICTNESS = "CASE named WHEN 'test' THEN 2 WHEN 'valid' THEN 1 ELSE 0 END"
_HELD_OUT = "named IN ('valid', 'test')"
_COLUMNS = "id, text, source, language, meta"


class Gathering:
    """All documents of the first pass, and what is decided about them."""

    def __init__(self, parts: Path, *, memory_bytes: int, threads: int) -> None:
        """Read everything but the texts.

        Args:
            parts: folder of the first pass.
            memory_bytes: that the database may use; what is more lies on disk.
            threads: that it may use.

        Raises:
            YanmoError: the disk is full.
        """
        self._parts, self._path = parts, parts / "gathering.duckdb"
        self._remove()
        config: dict[str, str | bool | int | float | list[str]] = {
            "threads": threads,
            "memory_limit": f"{memory_bytes // 2**20}MiB",
            "temp_directory": str(parts / "spill"),
            "preserve_insertion_order": True,
        }
        with self._storage():
            self.connection = duckdb.connect(str(self._path), config=config)
            for name in ("documents", "refused"):
                files = sorted(parts.glob(f"{name}-*.parquet"))
                self.connection.execute(_view(name, files))
            self.connection.execute(
                "CREATE TABLE facts AS SELECT seq, id, source, language, named, num_bytes, num_chars, digest,"
                " seq AS cluster FROM documents ORDER BY seq"
            )
            self.connection.execute("CREATE TABLE dropped (seq BIGINT, reason VARCHAR, kept BIGINT)")
            self.connection.execute(
                "CREATE TABLE pieces (seq BIGINT, piece INTEGER, split VARCHAR, num_bytes BIGINT,"
                " num_chars BIGINT, id VARCHAR, text VARCHAR, source VARCHAR, language VARCHAR, meta VARCHAR,"
                " stretches BIGINT[])"
            )

    @property
    def num_documents(self) -> int:
        """How many have not been dropped."""
        (count,) = self._one("SELECT count(*) FROM facts")
        return int(count)

    def close(self) -> None:
        """Close and remove the database."""
        with contextlib.suppress(duckdb.Error):
            self.connection.close()
        self._remove()

    def drop_equal(self) -> None:
        """Keep one of the documents with equal texts: the strictest, else the first."""
        order = f"{_STRICTNESS} DESC, seq"
        with self._storage():
            self.connection.execute(
                "INSERT INTO dropped"
                f" SELECT seq, {_reason('named', 'kept_named', Reason.DUPLICATE)}, kept FROM ("
                f" SELECT seq, named, first(seq) OVER same AS kept, first(named) OVER same AS kept_named"
                f" FROM facts WINDOW same AS (PARTITION BY digest ORDER BY {order}))"
                " WHERE seq != kept ORDER BY seq"
            )
            self._forget_dropped()

    def drop_near(self, pairs: Iterable[tuple[int, int]]) -> None:
        """Drop near duplicates.

        Args:
            pairs: a document, and the one of its cluster that is kept.
        """
        with self._storage():
            self.connection.execute("CREATE OR REPLACE TEMP TABLE near (seq BIGINT, kept BIGINT)")
            _insert_all(self.connection, "near", pairs)
            self.connection.execute(
                "INSERT INTO dropped"
                f" SELECT near.seq, {_reason('one.named', 'other.named', Reason.NEAR_DUPLICATE)}, kept"
                " FROM near JOIN facts one ON one.seq = near.seq JOIN facts other ON other.seq = near.kept"
                " ORDER BY near.seq"
            )
            self._forget_dropped()

    def keep_together(self, pairs: Iterable[tuple[int, int]]) -> None:
        """Let documents share a split.

        Args:
            pairs: a document, and the one that stands for its group.
        """
        with self._storage():
            self.connection.execute("CREATE OR REPLACE TEMP TABLE together (seq BIGINT, cluster BIGINT)")
            _insert_all(self.connection, "together", pairs)
            self.connection.execute(
                "UPDATE facts SET cluster = together.cluster FROM together WHERE facts.seq = together.seq"
            )

    def divide(self, *, by: SplitBy, valid_fraction: float, test_fraction: float, seed: int) -> Division:
        """Give every document its split; long ones are cut into pieces.

        Raises:
            InputError: there is too little text.
        """
        with self._storage():
            named, takes_names = self._named(by)
            pool = _StagedPool(self.connection, takes_names)
            division = divide(
                pool, named, by=by, valid_fraction=valid_fraction, test_fraction=test_fraction, seed=seed
            )
            self._place(division)
        return division

    def cut(self, document: Document, alignment: Alignment, seq: int, shares: tuple[float, float]) -> None:
        """Write the pieces of a long document."""
        pieces, place, rows = cut_text(document.text, *shares), 0, []
        for number, (split, text) in enumerate(pieces, 1):
            meta = {**document.meta, "part": f"{number} of {len(pieces)}"}
            part = make_document(text, f"{document.source}#part={number}", meta, document.language)
            own = alignment.cut(place, place + len(text))
            place += len(text)
            rows.append(
                (
                    *(seq, number, split.value, len(text.encode()), len(text)),
                    *(part.id, text, part.source, part.language, encode_meta(meta)),
                    [number for stretch in own.to_json() for number in stretch],
                )
            )
        with self._storage():
            insert(self.connection, "pieces", rows)

    def documents(self, seqs: Collection[int]) -> Iterator[tuple[int, Document, Alignment]]:
        """Some documents with their alignments, one at a time, in order."""
        for seq in sorted(seqs):
            row = self.connection.execute(
                f"SELECT {_COLUMNS}, stretches FROM documents WHERE seq = ?", [seq]
            ).fetchone()
            assert row is not None
            yield seq, read_document(row), read_alignment(row[5])

    def shards(self, folder: Path) -> None:
        """Write the shards of all splits, the refusals, and the alignments."""
        with self._storage():
            self._number_shards()
            bounds = self.connection.execute(
                "SELECT split, shard, min(seq), max(seq) FROM places GROUP BY ALL ORDER BY ALL"
            ).fetchall()
            for split, shard, low, high in bounds:
                self._write_shard(folder, split, shard, low, high)
            self._write_refused(folder)
            copy_to(
                self.connection,
                "SELECT id, stretches FROM (SELECT documents.seq, 0 AS piece, documents.id, stretches"
                " FROM documents JOIN (SELECT DISTINCT seq FROM places WHERE piece = 0) USING (seq)"
                " UNION ALL SELECT seq, piece, id, stretches FROM pieces)"
                " WHERE len(stretches) > 0 ORDER BY seq, piece",
                folder / "alignments.parquet",
            )

    def written(self) -> Iterator[tuple[str, str, int, int]]:
        """Split, id, bytes and characters of every document that is written, in order."""
        cursor = self.connection.cursor().execute(
            "SELECT split, id, num_bytes, num_chars FROM places ORDER BY seq, piece, copy"
        )
        while rows := cursor.fetchmany(_FETCH_ROWS):
            yield from rows

    def reasons(self) -> Mapping[str, int]:
        """How many documents were refused by reason, in both passes."""
        return dict(
            self.connection.execute(
                "SELECT reason, count(*) FROM (SELECT reason FROM refused"
                " UNION ALL SELECT reason FROM dropped) GROUP BY reason ORDER BY reason"
            ).fetchall()
        )

    def _named(self, by: SplitBy) -> tuple[Named, bool]:
        """What names hold out, and whether they are followed."""
        if by not in (SplitBy.AUTO, SplitBy.NAMES):
            return Named(), False
        rows = self.connection.execute(
            f"SELECT named, count(*), sum(num_bytes)::BIGINT FROM facts WHERE {_HELD_OUT} GROUP BY named"
        ).fetchall()
        (total,) = self._one("SELECT count(*) FROM facts")
        # Where everything is named so, names tell nothing apart.
        if not rows or sum(count for _, count, _ in rows) == total:
            return Named(), False
        documents = {Split(name): count for name, count, _ in rows}
        return Named(num_documents=documents, num_bytes={Split(n): b for n, _, b in rows}), True

    def _place(self, division: Division) -> None:
        """The table of places: a row for each document, or each piece of one, that is written."""
        self.connection.execute("CREATE OR REPLACE TEMP TABLE held (cluster BIGINT, split VARCHAR)")
        insert(self.connection, "held", [(group, split.value) for group, split in division.held.items()])
        self.connection.execute("CREATE OR REPLACE TEMP TABLE cuts (seq BIGINT)")
        insert(self.connection, "cuts", [(seq,) for seq in division.cut])
        for seq, document, alignment in self.documents(division.cut):
            self.cut(document, alignment, seq, division.cut[seq])
        named = f"CASE WHEN {_HELD_OUT} THEN named END" if division.takes_names else "NULL"
        self.connection.execute(
            "CREATE OR REPLACE TABLE places AS"
            f" SELECT facts.seq, 0 AS piece, 0 AS copy, coalesce({named}, held.split, 'train') AS split,"
            " id, num_bytes, num_chars, 0 AS shard FROM facts LEFT JOIN held USING (cluster)"
            " WHERE facts.seq NOT IN (SELECT seq FROM cuts)"
            " UNION ALL SELECT seq, piece, 0, split, id, num_bytes, num_chars, 0 FROM pieces"
            " ORDER BY seq, piece"
        )

    def _number_shards(self) -> None:
        """Fill shards in order up to their size."""
        self.connection.execute(
            "CREATE OR REPLACE TABLE places AS SELECT seq, piece, copy, split, id, num_bytes, num_chars,"
            " CAST((running - num_bytes) // ? AS INTEGER) AS shard"
            " FROM (SELECT *, sum(num_bytes) OVER (PARTITION BY split ORDER BY seq, piece, copy) AS running"
            " FROM places) ORDER BY seq, piece, copy",
            [SHARD_BYTES],
        )

    def _write_shard(self, folder: Path, split: str, shard: int, low: int, high: int) -> None:
        own = f"split = '{split}' AND shard = {shard} AND seq BETWEEN {low} AND {high}"
        columns = "text, documents.source, documents.language, documents.meta"
        copy_to(
            self.connection,
            f"SELECT {_COLUMNS} FROM (SELECT places.seq, piece, copy, places.id, {columns} FROM documents"
            f" JOIN (SELECT * FROM places WHERE piece = 0 AND {own}) places USING (seq)"
            f" WHERE documents.seq BETWEEN {low} AND {high}"
            " UNION ALL SELECT seq, places.piece, copy, places.id, text, pieces.source, pieces.language,"
            f" pieces.meta FROM (SELECT * FROM places WHERE piece > 0 AND {own}) places"
            " JOIN pieces USING (seq, piece)) ORDER BY seq, piece, copy",
            folder / f"{split}-{shard:05d}.parquet",
        )

    def _write_refused(self, folder: Path) -> None:
        copy_to(
            self.connection,
            f"SELECT {_COLUMNS}, reason FROM (SELECT seq, {_COLUMNS}, reason FROM refused UNION ALL"
            f" SELECT documents.seq, documents.id, substr(documents.text, 1, {MAX_REJECTED_CHARS}),"
            " documents.source, documents.language, to_json({'like': twin.source}), reason"
            " FROM documents JOIN dropped ON dropped.seq = documents.seq"
            " JOIN documents twin ON twin.seq = kept) ORDER BY seq",
            folder / "rejected.parquet",
        )

    def _forget_dropped(self) -> None:
        self.connection.execute("DELETE FROM facts WHERE seq IN (SELECT seq FROM dropped)")

    def _one(self, query: str) -> tuple[Any, ...]:
        row = self.connection.execute(query).fetchone()
        assert row is not None
        return row

    def _remove(self) -> None:
        for leftover in self._parts.glob(f"{self._path.name}*"):
            leftover.unlink()

    @contextlib.contextmanager
    def _storage(self) -> Iterator[None]:
        try:
            yield
        except duckdb.Error as error:
            raise storage_error(error, self._parts) from error


@dataclass(frozen=True)
class _StagedPool:
    """The documents that no name holds out, in the database."""

    connection: duckdb.DuckDBPyConnection
    takes_names: bool
    _where: str = field(init=False, default="")

    def __post_init__(self) -> None:
        where = f"WHERE named IS NULL OR NOT {_HELD_OUT}" if self.takes_names else "WHERE true"
        object.__setattr__(self, "_where", where)

    @cached_property
    def _totals(self) -> tuple[int, int]:
        row = self.connection.execute(
            f"SELECT count(*), coalesce(sum(num_bytes), 0)::BIGINT FROM facts {self._where}"
        ).fetchone()
        assert row is not None
        return row[0], row[1]

    @property
    def num_documents(self) -> int:
        return self._totals[0]

    @property
    def num_bytes(self) -> int:
        return self._totals[1]

    def longer_than(self, num_bytes: float) -> list[Entry]:
        rows = self.connection.execute(
            f"SELECT seq, num_bytes, num_chars FROM facts {self._where} AND num_bytes > ? ORDER BY seq",
            [num_bytes],
        ).fetchall()
        return [Entry(seq=seq, num_bytes=size, num_chars=chars) for seq, size, chars in rows]

    def by_hash(self, seed: int, without: Collection[int]) -> Iterator[Group]:
        cursor = self.connection.cursor()
        cursor.execute("CREATE OR REPLACE TEMP TABLE without (seq BIGINT)")
        insert(cursor, "without", [(seq,) for seq in without])
        cursor.execute(
            f"SELECT cluster, sum(num_bytes)::BIGINT FROM facts {self._where}"
            " AND seq NOT IN (SELECT seq FROM without) GROUP BY cluster ORDER BY min(sha256(? || id))",
            [f"{seed}:"],
        )
        while rows := cursor.fetchmany(_FETCH_ROWS):
            for cluster, num_bytes in rows:
                yield Group(id=cluster, num_bytes=num_bytes)


def read_document(row: tuple[Any, ...]) -> Document:
    """A document from its five columns."""
    id_, text, source, language, meta = row[:5]
    return Document(id=id_, text=text, source=source, language=language, meta=json.loads(meta))


def read_alignment(stretches: list[int]) -> Alignment:
    """An alignment from its numbers, four a stretch."""
    return Alignment.from_json(stretches[place : place + 4] for place in range(0, len(stretches), 4))


def _view(name: str, files: list[Path]) -> str:
    """The rows of all files of a kind, or none with the right columns."""
    if not files:
        return f"CREATE TABLE {name} ({COLUMNS[name]})"
    listed = ", ".join("'" + str(path).replace("'", "''") + "'" for path in files)
    return f"CREATE VIEW {name} AS SELECT * FROM read_parquet([{listed}])"


def _reason(dropped: str, kept: str, otherwise: Reason) -> str:
    """SQL for why a document goes: its double is held out, or it is merely a double."""
    cases = " ".join(
        f"WHEN {kept} = '{split}' AND {dropped} IS DISTINCT FROM '{split}' THEN '{reason}'"
        for split, reason in ((Split.TEST, Reason.IN_TEST), (Split.VALID, Reason.IN_VALID))
    )
    return f"CASE {cases} ELSE '{otherwise}' END"


def _insert_all(connection: duckdb.DuckDBPyConnection, table: str, rows: Iterable[tuple[int, int]]) -> None:
    rows = iter(rows)
    while batch := list(islice(rows, _FETCH_ROWS)):
        insert(connection, table, batch)
