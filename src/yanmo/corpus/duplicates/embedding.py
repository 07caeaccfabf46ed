"""Documents that mean the same: by the cosine of their embeddings, every pair compared.

The embedder is handed in (a sentence encoder, or anything that makes a vector of a text). Vectors are in a
mapped file and compared block by block, so memory is constant; time grows with the square of the number of
documents (a hundred thousand of 384 numbers: minutes). The outcome has the form of ``near.find_near``.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import numpy.typing as npt

from yanmo.corpus.duplicates.clusters import Clusters, Indices, write_clusters
from yanmo.errors import InputError

Embed = Callable[[list[str]], npt.NDArray[np.floating]]
"""From texts to a row of numbers each."""

_BLOCK = 1024


@dataclass(frozen=True, kw_only=True)
class EmbeddingSettings:
    """What counts as the same meaning."""

    cosine: float = 0.95
    """From which two texts are duplicates, above 0 to 1; what is near depends on the embedder."""
    batch: int = 64
    """Texts embedded at once."""

    def __post_init__(self) -> None:
        """Refuse values that mean nothing."""
        if not 0 < self.cosine <= 1:
            raise InputError("cosine must be above 0 and at most 1")
        if self.batch < 1:
            raise InputError("batch must be 1 or more")


def find_same_meaning(
    connection: duckdb.DuckDBPyConnection,
    embed: Embed,
    *,
    settings: EmbeddingSettings = EmbeddingSettings(),
    documents: str = "documents",
    out: str = "near",
    scratch: Path | None = None,
) -> int:
    """Write which documents are duplicates in meaning of which.

    Args:
        connection: the database.
        embed: makes the vectors; they need not be of length 1.
        settings: from which cosine on.
        documents: table or view of ``seq`` BIGINT, ``text`` and ``strictness`` INTEGER.
        out: the table to write, as ``near.find_near`` does; ``similarity`` is the cosine.
        scratch: folder for the temporary file of vectors.

    Returns:
        How many documents another one stands for.

    Raises:
        InputError: the embedder does not give a row of finite numbers for each text.
    """
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        seqs, vectors = _embed_all(connection, embed, documents, Path(folder), settings.batch)
        clusters = Clusters(len(seqs))
        for first, second in _pairs(vectors, settings.cosine):
            clusters.join(first, second)

        def cosine(first: Indices, second: Indices) -> npt.NDArray[np.float64]:
            found = np.empty(len(first))
            for start in range(0, len(first), _BLOCK):
                part = slice(start, start + _BLOCK)
                found[part] = (vectors[first[part]] * vectors[second[part]]).sum(axis=1)
            return np.where(found >= settings.cosine, np.minimum(found, 1), np.nan)

        return write_clusters(connection, out, seqs, clusters, cosine)[1]


def _embed_all(
    connection: duckdb.DuckDBPyConnection, embed: Embed, documents: str, folder: Path, batch: int
) -> tuple[Indices, npt.NDArray[np.float32]]:
    found = connection.execute(f"SELECT count(*) FROM {documents}").fetchone()
    count = int(found[0]) if found else 0
    seqs = np.zeros(count, np.int64)
    vectors: npt.NDArray[np.float32] | None = None
    cursor = connection.execute(f"SELECT seq, text FROM {documents} ORDER BY strictness DESC, seq")
    start = 0
    while rows := cursor.fetchmany(batch):
        end = start + len(rows)
        seqs[start:end] = [seq for seq, _ in rows]
        made = np.asarray(embed([text for _, text in rows]), np.float32)
        if vectors is None and made.ndim == 2 and made.shape[1]:
            vectors = np.memmap(folder / "vectors", np.float32, mode="w+", shape=(count, made.shape[1]))
        if vectors is None or made.shape != (len(rows), vectors.shape[1]) or not np.isfinite(made).all():
            raise InputError(
                "the embedder must give one row of finite numbers, always as many, for each text"
            )
        # A vector of zeros has no direction and is like nothing.
        norms = np.linalg.norm(made, axis=1, keepdims=True)
        vectors[start:end] = made / np.where(norms == 0, 1, norms)
        start = end
    return seqs, np.zeros((0, 1), np.float32) if vectors is None else vectors


def _pairs(vectors: npt.NDArray[np.float32], cosine: float) -> Iterator[tuple[Indices, Indices]]:
    for start in range(0, len(vectors), _BLOCK):
        block = vectors[start : start + _BLOCK]
        for other in range(start, len(vectors), _BLOCK):
            rows, columns = np.nonzero(block @ vectors[other : other + _BLOCK].T >= cosine)
            first, second = rows + start, columns + other
            ahead = first < second
            yield first[ahead], second[ahead]
