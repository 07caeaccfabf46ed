"""Documents that mean the same: by the cosine of their embeddings, every pair compared.

The embedder is handed in (a sentence encoder, or anything that makes a vector of a text). Vectors are in a
mapped file, block after block, so that work that was stopped goes on behind the last; they are compared
block by block, so memory is constant. Time grows with the square of the number of documents (a hundred
thousand of 384 numbers: minutes; the embedding itself is what takes long until there are millions). The
outcome has the form of ``near.find_near``.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import numpy.typing as npt

from yanmo.artifact import disk_error, read_json, write_json
from yanmo.corpus.duplicates.clusters import Clusters, Indices, write_clusters
from yanmo.corpus.duplicates.near import Texts
from yanmo.errors import InputError
from yanmo.reporting.progress import Progress, say

Embed = Callable[[list[str]], npt.NDArray[np.floating]]
"""From texts to a row of numbers each."""

_BLOCK = 1024
_VECTORS_FILE, _STATE_FILE = "vectors", "vectors.json"


@dataclass(frozen=True, kw_only=True)
class EmbeddingSettings:
    """What counts as the same meaning."""

    cosine: float = 0.95
    """From which two texts are duplicates, above 0 to 1; what is near depends on the embedder."""
    batch: int = 256
    """Texts embedded at once, and kept when that is done."""

    def __post_init__(self) -> None:
        """Refuse values that mean nothing."""
        if not 0 < self.cosine <= 1:
            raise InputError("cosine must be above 0 and at most 1")
        if self.batch < 1:
            raise InputError("batch must be 1 or more")


def find_same_meaning(
    connection: duckdb.DuckDBPyConnection,
    embed: Embed,
    texts: Texts,
    *,
    scratch: Path,
    settings: EmbeddingSettings = EmbeddingSettings(),
    documents: str = "documents",
    out: str = "near",
) -> int:
    """Write which documents are duplicates in meaning of which.

    Args:
        connection: the database.
        embed: makes the vectors; they need not be of length 1.
        texts: gives the texts; asked for ``settings.batch`` at a time.
        scratch: folder that exists, for the vectors; what an earlier call with the same documents and
            embedder left there is used.
        settings: from which cosine on.
        documents: table or view of ``seq`` BIGINT and ``strictness`` INTEGER.
        out: the table to write, as ``near.find_near`` does; ``similarity`` is the cosine.

    Returns:
        How many documents another one stands for.

    Raises:
        InputError: the embedder does not give a row of finite numbers for each text.
        YanmoError: the disk is full.
    """
    found = connection.execute(f"SELECT seq FROM {documents} ORDER BY strictness DESC, seq").fetchnumpy()
    seqs: Indices = np.asarray(found["seq"], np.int64)
    say(f"comparing the meaning of {len(seqs):,} documents: {len(seqs) * (len(seqs) - 1) // 2:,} pairs")
    store = _Vectors(scratch, len(seqs))
    with Progress("embedding", total=len(seqs) - store.num_done, unit="documents") as progress:
        for start, end in store.missing(settings.batch):
            store.put(start, _embedded(embed, texts, seqs[start:end]))
            progress.advance(end - start)
    vectors = store.all()
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


class _Vectors:
    """Vectors of length 1 in a mapped file, with how many of them are there."""

    def __init__(self, folder: Path, count: int) -> None:
        self._path, self._state, self._count = folder / _VECTORS_FILE, folder / _STATE_FILE, count
        state = read_json(self._state) if self._state.is_file() else {}
        is_ours = state.get("count") == count
        self.num_done: int = state["num_done"] if is_ours else 0
        self._dim: int = state["dim"] if is_ours else 0

    def missing(self, batch: int) -> Iterator[tuple[int, int]]:
        """Where each block begins and ends that is not there yet; the same ones however often it is asked."""
        for start in range(0, self._count, batch):
            if start >= self.num_done:
                yield start, min(start + batch, self._count)

    def put(self, start: int, made: npt.NDArray[np.float32]) -> None:
        """Keep the next block."""
        if not start:
            self._dim = made.shape[1]
        if made.shape[1] != self._dim:
            raise _no_rows()
        try:
            # Not through the map: a full disk would end the process without a word.
            with self._path.open("r+b" if start else "wb") as file:
                file.seek(start * made.itemsize * self._dim)
                file.write(made.tobytes())
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise disk_error(error, self._path) from error
        self.num_done = start + len(made)
        write_json(self._state, {"count": self._count, "dim": self._dim, "num_done": self.num_done})

    def all(self) -> npt.NDArray[np.float32]:
        """All of them, mapped."""
        if not self._count:
            return np.zeros((0, 1), np.float32)
        return np.memmap(self._path, np.float32, mode="r", shape=(self._count, self._dim))


def _embedded(embed: Embed, texts: Texts, seqs: Indices) -> npt.NDArray[np.float32]:
    """The vectors of some documents, in their order, each of length 1."""
    by_seq = dict(texts(seqs.tolist()))
    made = np.asarray(embed([by_seq[seq] for seq in seqs.tolist()]), np.float32)
    if made.ndim != 2 or len(made) != len(seqs) or not made.shape[1] or not np.isfinite(made).all():
        raise _no_rows()
    # A vector of zeros has no direction and is like nothing.
    norms = np.linalg.norm(made, axis=1, keepdims=True)
    return np.asarray(made / np.where(norms == 0, 1, norms), np.float32)


def _no_rows() -> InputError:
    return InputError("the embedder must give one row of finite numbers, always as many, for each text")


def _pairs(vectors: npt.NDArray[np.float32], cosine: float) -> Iterator[tuple[Indices, Indices]]:
    count = -(-len(vectors) // _BLOCK)
    with Progress("comparing", total=count * (count + 1) // 2, unit="blocks") as progress:
        for start in range(0, len(vectors), _BLOCK):
            block = vectors[start : start + _BLOCK]
            for other in range(start, len(vectors), _BLOCK):
                rows, columns = np.nonzero(block @ vectors[other : other + _BLOCK].T >= cosine)
                first, second = rows + start, columns + other
                ahead = first < second
                yield first[ahead], second[ahead]
                progress.advance()
