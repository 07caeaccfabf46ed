"""Near duplicates in a whole corpus: candidates by locality-sensitive hashing, each pair verified.

Signatures are cut into bands of a few places; whoever agrees in a whole band is a candidate (Indyk and
Motwani 1998; for text Broder 1997 and Lee et al. 2022, arXiv 2107.06499, appendix A). A pair of Jaccard
similarity J meets in one of b bands of r places with probability 1 - (1 - J^r)^b. A candidate is judged by
its signatures, and where these leave doubt (within three standard errors of the threshold) by the exact
similarity of the two texts' shingles.

Out of core: signatures and band keys are in files, mapped; in memory are some 40 bytes a document while one
band is sorted. In a band each document is compared with the next few in its bucket and with the first of the
bucket, so that a bucket of a million copies costs millions of comparisons and not a trillion; pairs that are
in one cluster already cost nothing. All is done in one order by whole arrays, so the result is always the
same.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import numpy.typing as npt

from yanmo.corpus.duplicates.clusters import Clusters, Indices, write_clusters
from yanmo.corpus.duplicates.signature import (
    PLACES,
    NearSettings,
    Signatures,
    exact_jaccard,
    shingle_set,
    standard_error,
)
from yanmo.corpus.hashes import Hashes, mix

Texts = Callable[[Sequence[int]], Iterable[tuple[int, str]]]
"""From sequence numbers to pairs of sequence number and text, in any order."""

_LEAST_CHANCE = 0.8
_MOST_ROWS = 8
_WINDOW = 8
_ERRORS = 3
_PAIRS_AT_ONCE, _TEXTS_AT_ONCE, _ROWS_AT_ONCE = 1 << 14, 1 << 11, 1 << 13
_SAMPLE = 1 << 12
_MOST_REMEMBERED = 1 << 18


@dataclass(frozen=True, kw_only=True)
class NearSummary:
    """What was found."""

    num_documents: int
    """Documents that have a signature."""
    num_clusters: int
    num_dropped: int
    """Documents for which another one stands."""
    num_candidates: int
    """Pairs whose signatures were compared."""
    num_read: int
    """Pairs whose texts were compared."""


def bands_for(jaccard: float) -> tuple[int, int]:
    """Bands and places in each: the longest bands that find a pair at the threshold with a chance of 0.8."""
    for rows in range(_MOST_ROWS, 1, -1):
        if chance_to_meet(jaccard, PLACES // rows, rows) >= _LEAST_CHANCE:
            return PLACES // rows, rows
    return PLACES, 1


def chance_to_meet(jaccard: float, bands: int, rows: int) -> float:
    """That a pair agrees in all places of some band."""
    return float(1 - (1 - jaccard**rows) ** bands)


def find_near(
    connection: duckdb.DuckDBPyConnection,
    texts: Texts,
    *,
    settings: NearSettings,
    signatures: str = "signatures",
    out: str = "near",
    scratch: Path | None = None,
) -> NearSummary:
    """Write which documents are near duplicates of which.

    Args:
        connection: the database.
        texts: gives the texts to verify; asked for at most 2,048 at a time.
        settings: those that made the signatures (``similarity`` may differ).
        signatures: table or view of ``seq`` BIGINT, ``signature`` BLOB (empty or null where the text is too
            short) and ``strictness`` INTEGER: of a cluster the strictest is kept, of these the one with the
            lowest ``seq``.
        out: the table to write, replaced where it exists: ``seq``, ``cluster`` (the ``seq`` of its preferred
            member; near duplicates of near duplicates are in one), ``representative`` (the ``seq`` of the
            document that is kept for this one: itself where it is kept) and ``similarity`` of the two.
            Documents without near duplicates are not in it.
        scratch: folder for temporary files, 850 bytes a document at the default similarity.
    """
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        index = _Index(connection, signatures, Path(folder), settings)
        judge = _Judge(index, texts, settings)
        clusters = Clusters(len(index.seqs))
        for first, second in index.candidates(clusters):
            near = ~np.isnan(judge.similarity(first, second))
            clusters.join(first[near], second[near])
        num_clusters, num_dropped = write_clusters(connection, out, index.seqs, clusters, judge.similarity)
        return NearSummary(
            num_documents=len(index.seqs),
            num_clusters=num_clusters,
            num_dropped=num_dropped,
            num_candidates=judge.num_candidates,
            num_read=judge.num_read,
        )


class _Index:
    """Signatures in the order of preference, and their band keys, in files."""

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, table: str, folder: Path, settings: NearSettings
    ) -> None:
        self._num_bands, self._rows = bands_for(settings.jaccard)
        self._signatures, self._keys = folder / "signatures", folder / "keys"
        has_one = f"FROM {table} WHERE octet_length(signature) > 0"
        found = connection.execute(f"SELECT count(*) {has_one}").fetchone()
        self.seqs: Indices = np.zeros(int(found[0]) if found else 0, np.int64)
        cursor = connection.execute(f"SELECT seq, signature {has_one} ORDER BY strictness DESC, seq")
        start = 0
        with self._signatures.open("wb") as signatures, self._keys.open("wb") as keys:
            while rows := cursor.fetchmany(_ROWS_AT_ONCE):
                joined = b"".join(signature for _, signature in rows)
                signatures.write(joined)
                # The file of keys has all of the first band, then all of the second: each is read at once.
                for band, some in enumerate(
                    self._band_keys(np.frombuffer(joined, "<u2").reshape(-1, PLACES))
                ):
                    keys.seek((band * len(self.seqs) + start) * some.itemsize)
                    keys.write(some.tobytes())
                self.seqs[start : start + len(rows)] = [seq for seq, _ in rows]
                start += len(rows)

    def _band_keys(self, signatures: Signatures) -> npt.NDArray[np.uint32]:
        used = signatures[:, : self._num_bands * self._rows].astype(np.uint64)
        places = used.reshape(-1, self._num_bands, self._rows)
        keys: Hashes = places[:, :, 0].copy()
        for row in range(1, self._rows):
            keys = mix(keys) + places[:, :, row]
        return (mix(keys) >> np.uint64(32)).astype(np.uint32).T

    def signatures(self) -> Signatures:
        """All signatures, mapped anew: pages that were read for the last pairs do not stay in memory."""
        return np.memmap(self._signatures, "<u2", mode="r", shape=(len(self.seqs), PLACES))

    def candidates(self, clusters: Clusters) -> Iterator[tuple[Indices, Indices]]:
        """Pairs that agree in a band and are not in a cluster yet, the lower index first, some at a time."""
        count = len(self.seqs)
        if count < 2:
            return
        for band in range(self._num_bands):
            keys = np.fromfile(self._keys, np.uint32, count, offset=4 * band * count)
            order = np.argsort(keys, kind="stable")
            keys = keys[order]
            begins = np.concatenate([[True], keys[1:] != keys[:-1]])
            heads = np.maximum.accumulate(np.where(begins, np.arange(count), 0))
            far = np.flatnonzero(np.arange(count) - heads > _WINDOW)
            yield from _apart(clusters, order[heads[far]], order[far])
            for lag in range(1, min(_WINDOW, count - 1) + 1):
                same = np.flatnonzero(keys[lag:] == keys[:-lag])
                yield from _apart(clusters, order[same], order[same + lag])


def _apart(clusters: Clusters, first: Indices, second: Indices) -> Iterator[tuple[Indices, Indices]]:
    for start in range(0, len(first), _PAIRS_AT_ONCE):
        one, other = first[start : start + _PAIRS_AT_ONCE], second[start : start + _PAIRS_AT_ONCE]
        apart = clusters.apart(one, other)
        if apart.any():
            yield one[apart], other[apart]


class _Judge:
    """Says whether pairs are near, by their signatures and, where these leave doubt, by their texts."""

    def __init__(self, index: _Index, texts: Texts, settings: NearSettings) -> None:
        self._index, self._texts, self._settings = index, texts, settings
        self._least = settings.jaccard
        self._doubt = _ERRORS * standard_error(settings.jaccard)
        self._read: dict[tuple[int, int], float] = {}
        self.num_candidates = self.num_read = 0

    def similarity(self, first: Indices, second: Indices) -> npt.NDArray[np.float64]:
        """Of the two of each pair; NaN where they are not near."""
        jaccard = np.empty(len(first))
        if not len(first):
            return jaccard
        signatures = self._index.signatures()
        for start in range(0, len(first), _PAIRS_AT_ONCE):
            part = slice(start, start + _PAIRS_AT_ONCE)
            jaccard[part] = (signatures[first[part]] == signatures[second[part]]).mean(axis=1)
        self.num_candidates += len(first)
        doubtful = np.flatnonzero(np.abs(jaccard - self._least) < self._doubt)
        for start in range(0, len(doubtful), _TEXTS_AT_ONCE // 2):
            some = doubtful[start : start + _TEXTS_AT_ONCE // 2]
            jaccard[some] = self._exact(first[some], second[some])
        size = self._settings.shingle
        jaccard[jaccard < self._least] = np.nan
        return (2 * jaccard / (1 + jaccard)) ** (1 / size)

    def _exact(self, first: Indices, second: Indices) -> list[float]:
        pairs = list(zip(first.tolist(), second.tolist(), strict=True))
        new = [pair for pair in pairs if pair not in self._read]
        self.num_read += len(new)
        numbers = sorted({number for pair in new for number in pair})
        samples = {}
        by_seq = {int(self._index.seqs[number]): number for number in numbers}
        for seq, text in self._texts(list(by_seq)) if by_seq else ():
            samples[by_seq[seq]] = shingle_set(text, self._settings.shingle)[:_SAMPLE]
        assert len(samples) == len(numbers), "a text to verify was not given"
        found = {pair: _jaccard(samples[pair[0]], samples[pair[1]]) for pair in new}
        known = [found[pair] if pair in found else self._read[pair] for pair in pairs]
        if len(self._read) < _MOST_REMEMBERED:
            self._read.update(found)
        return known


def _jaccard(first: Hashes, second: Hashes) -> float:
    """Exact where both sets are whole, else of their least members (a bottom-k sketch: error below 0.008)."""
    ends = [values[-1] for values in (first, second) if len(values) == _SAMPLE]
    if ends:
        limit = min(ends)
        first, second = first[first <= limit], second[second <= limit]
    return exact_jaccard(first, second)
