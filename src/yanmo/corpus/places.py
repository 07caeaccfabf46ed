"""Where each document goes: its split, its pieces where it is cut, its copies where its source weighs more.

All in the database of the second pass: the table ``places`` has a row for each document, piece or copy
that is written.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import duckdb

from yanmo.corpus.document import Document, make_document
from yanmo.corpus.edits import Alignment
from yanmo.corpus.split import Division, Entry, Group, Named, Split, SplitBy, cut_text
from yanmo.corpus.staging import encode_meta, fetch_one, insert
from yanmo.errors import InputError

HELD_OUT = "named IN ('valid', 'test')"
_FETCH_ROWS = 10_000
_SOURCE = "split_part(split_part(source, '#', 1), '/', 1)"
_MOST_NAMED = 10


def names_that_hold_out(connection: duckdb.DuckDBPyConnection, by: SplitBy) -> tuple[Named, bool]:
    """What names hold out, and whether they are followed."""
    if by not in (SplitBy.AUTO, SplitBy.NAMES):
        return Named(), False
    rows = connection.execute(
        f"SELECT named, count(*), sum(num_bytes)::BIGINT FROM facts WHERE {HELD_OUT} GROUP BY named"
    ).fetchall()
    (total,) = fetch_one(connection, "SELECT count(*) FROM facts")
    # Where everything is named so, names tell nothing apart.
    if not rows or sum(count for _, count, _ in rows) == total:
        return Named(), False
    documents = {Split(name): count for name, count, _ in rows}
    return Named(num_documents=documents, num_bytes={Split(n): b for n, _, b in rows}), True


@dataclass(frozen=True)
class StagedPool:
    """The documents that no name holds out, in the database."""

    connection: duckdb.DuckDBPyConnection
    takes_names: bool

    @property
    def _where(self) -> str:
        return f"WHERE (named IS NULL OR NOT {HELD_OUT})" if self.takes_names else "WHERE true"

    @cached_property
    def _totals(self) -> tuple[int, int]:
        query = f"SELECT count(*), coalesce(sum(num_bytes), 0)::BIGINT FROM facts {self._where}"
        num_documents, num_bytes = fetch_one(self.connection, query)
        return num_documents, num_bytes

    @property
    def num_documents(self) -> int:
        """How many there are."""
        return self._totals[0]

    @property
    def num_bytes(self) -> int:
        """UTF-8 bytes of all."""
        return self._totals[1]

    def longer_than(self, num_bytes: float) -> list[Entry]:
        """The documents of more bytes, in corpus order."""
        rows = self.connection.execute(
            f"SELECT seq, num_bytes, num_chars FROM facts {self._where} AND num_bytes > ? ORDER BY seq",
            [num_bytes],
        ).fetchall()
        return [Entry(seq=seq, num_bytes=size, num_chars=chars) for seq, size, chars in rows]

    def by_hash(self, seed: int, without: Collection[int]) -> Iterator[Group]:
        """Groups in the order of a hash of the seed and the first of their ids by that hash."""
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


def place(connection: duckdb.DuckDBPyConnection, division: Division) -> None:
    """Make the table of places; the pieces of what is cut are there already."""
    connection.execute("CREATE OR REPLACE TEMP TABLE held (cluster BIGINT, split VARCHAR)")
    insert(connection, "held", [(group, split.value) for group, split in division.held.items()])
    connection.execute("CREATE OR REPLACE TEMP TABLE cuts (seq BIGINT)")
    insert(connection, "cuts", [(seq,) for seq in division.cut])
    named = f"CASE WHEN {HELD_OUT} THEN named END" if division.takes_names else "NULL"
    connection.execute(
        "CREATE OR REPLACE TABLE places AS"
        f" SELECT facts.seq, 0 AS piece, 0 AS copy, coalesce({named}, held.split, 'train') AS split,"
        " id, num_bytes, num_chars, 0 AS shard FROM facts LEFT JOIN held USING (cluster)"
        " WHERE facts.seq NOT IN (SELECT seq FROM cuts)"
        " UNION ALL SELECT seq, piece, 0, split, id, num_bytes, num_chars, 0 FROM pieces"
        " ORDER BY seq, piece"
    )


def cut(
    connection: duckdb.DuckDBPyConnection,
    seq: int,
    document: Document,
    alignment: Alignment,
    shares: tuple[float, float],
) -> None:
    """Write the pieces of a long document; arguments as of ``split.cut_text``."""
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
    insert(connection, "pieces", rows)


def weigh(connection: duckdb.DuckDBPyConnection, weights: Mapping[str, float], seed: int) -> None:
    """Give each document to train on as many copies as its source or language weighs.

    The part of a weight behind the point is the share of documents that get one copy more, by a hash.

    Raises:
        InputError: a weight is of nothing in the corpus.
    """
    connection.execute("CREATE OR REPLACE TEMP TABLE weights (name VARCHAR, weight DOUBLE)")
    insert(connection, "weights", list(weights.items()))
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE weighed AS SELECT seq,"
        " coalesce(of_source.weight, of_language.weight) AS weight,"
        " coalesce(of_source.name, of_language.name) AS name FROM facts"
        f" LEFT JOIN weights of_source ON of_source.name = {_SOURCE}"
        " LEFT JOIN weights of_language ON of_language.name = 'language=' || language"
    )
    met = {name for (name,) in connection.execute("SELECT DISTINCT name FROM weighed").fetchall()}
    for name in weights:
        if name not in met:
            sources = connection.execute(
                f"SELECT DISTINCT {_SOURCE} AS name FROM facts ORDER BY name LIMIT {_MOST_NAMED}"
            ).fetchall()
            known = ", ".join(name for (name,) in sources)
            remedy = f"sources: {known}; or language=zh and such"
            raise InputError(f"there is no source {name!r} to weigh", remedy=remedy)
    connection.execute(
        "CREATE OR REPLACE TABLE places AS SELECT seq, piece, copy, split,"
        " CASE copy WHEN 0 THEN id ELSE substr(sha256(id || ':' || copy), 1, 32) END AS id,"
        " num_bytes, num_chars, shard"
        " FROM (SELECT * EXCLUDE (copy, copies), unnest(range(copies)) AS copy FROM ("
        "SELECT places.*, CASE split WHEN 'train' THEN floor(coalesce(weight, 1)"
        f" + ('0x' || substr(sha256(? || id), 1, 13))::BIGINT / {1 << 52}.0)::BIGINT ELSE 1 END AS copies"
        " FROM places LEFT JOIN weighed USING (seq))) ORDER BY seq, piece, copy",
        [f"{seed}:copies:"],
    )
