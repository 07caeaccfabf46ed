"""The files of a finished corpus, written from the database of the second pass and the files of the first."""

from __future__ import annotations

from pathlib import Path

import duckdb

from yanmo.corpus.document import MAX_REJECTED_CHARS
from yanmo.corpus.staging import copy_to

SHARD_BYTES = 256 << 20
ALIGNMENTS_FILE, REJECTED_FILE = "alignments.parquet", "rejected.parquet"
_COLUMNS = "id, text, source, language, meta"


def write_shards(connection: duckdb.DuckDBPyConnection, folder: Path) -> None:
    """Write the shards of all splits."""
    connection.execute(
        "CREATE OR REPLACE TABLE places AS SELECT seq, piece, copy, split, id, num_bytes, num_chars,"
        " CAST((running - num_bytes) // ? AS INTEGER) AS shard"
        " FROM (SELECT *, sum(num_bytes) OVER (PARTITION BY split ORDER BY seq, piece, copy) AS running"
        " FROM places) ORDER BY seq, piece, copy",
        [SHARD_BYTES],
    )
    bounds = connection.execute(
        "SELECT split, shard, min(seq), max(seq) FROM places GROUP BY ALL ORDER BY ALL"
    ).fetchall()
    for split, shard, low, high in bounds:
        _write_shard(connection, folder, split, shard, low, high)


def write_refused(connection: duckdb.DuckDBPyConnection, folder: Path) -> None:
    """Write what was refused in either pass, with the reason."""
    copy_to(
        connection,
        f"SELECT {_COLUMNS}, reason FROM (SELECT seq, {_COLUMNS}, reason FROM refused UNION ALL"
        f" SELECT documents.seq, documents.id, substr(documents.text, 1, {MAX_REJECTED_CHARS}),"
        " documents.source, documents.language,"
        " CASE WHEN similarity IS NULL THEN to_json({'like': twin.source})"
        " ELSE to_json({'like': twin.source, 'similarity': printf('%.3f', similarity)}) END, reason"
        " FROM documents JOIN dropped ON dropped.seq = documents.seq"
        " JOIN documents twin ON twin.seq = kept) ORDER BY seq",
        folder / REJECTED_FILE,
    )


def write_alignments(connection: duckdb.DuckDBPyConnection, folder: Path) -> None:
    """Write where each document that was changed came from: id, and four numbers a stretch."""
    copy_to(
        connection,
        "SELECT id, stretches FROM (SELECT texts.seq, 0 AS piece, texts.id, stretches FROM texts"
        " JOIN (SELECT DISTINCT seq FROM places WHERE piece = 0) USING (seq)"
        " UNION ALL SELECT seq, piece, id, stretches FROM pieces)"
        " WHERE len(stretches) > 0 ORDER BY seq, piece",
        folder / ALIGNMENTS_FILE,
    )


def _write_shard(
    connection: duckdb.DuckDBPyConnection, folder: Path, split: str, shard: int, low: int, high: int
) -> None:
    own = f"split = '{split}' AND shard = {shard} AND seq BETWEEN {low} AND {high}"
    columns = "text, texts.source, texts.language, texts.meta"
    copy_to(
        connection,
        f"SELECT {_COLUMNS} FROM (SELECT places.seq, piece, copy, places.id, {columns} FROM texts"
        f" JOIN (SELECT * FROM places WHERE piece = 0 AND {own}) places USING (seq)"
        f" WHERE texts.seq BETWEEN {low} AND {high}"
        " UNION ALL SELECT seq, places.piece, copy, places.id, text, pieces.source, pieces.language,"
        f" pieces.meta FROM (SELECT * FROM places WHERE piece > 0 AND {own}) places"
        " JOIN pieces USING (seq, piece)) ORDER BY seq, piece, copy",
        folder / f"{split}-{shard:05d}.parquet",
    )
