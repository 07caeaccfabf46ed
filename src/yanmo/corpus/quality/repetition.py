"""What repeats within a text: parts that were there before, and n-grams of units.

Rae et al. 2021 (arXiv 2112.11446), appendix A.1.1, table A1: the share of a text's characters that lie in
its most frequent 2-, 3- and 4-gram, and in 5- to 10-grams that were there before, characters of
overlapping ones counted once.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from yanmo.corpus.hashes import Hashes, mix

TOP_NGRAMS: Final = (2, 3, 4)
REPEATED_NGRAMS: Final = (5, 6, 7, 8, 9, 10)
NGRAM_SHARES: Final = tuple(
    [f"top_{n}grams" for n in TOP_NGRAMS] + [f"repeated_{n}grams" for n in REPEATED_NGRAMS]
)
"""The names of the shares."""

# The odd constant that splitmix64 counts by.
_STEP = np.uint64(0x9E3779B97F4A7C15)


def combine(values: Hashes, places: NDArray[np.int64], starts: NDArray[np.int64]) -> Hashes:
    """A hash of each run of values: of what they are and of their places in the run.

    Args:
        values: hashes, or codes.
        places: of each in its run.
        starts: where each run begins.
    """
    if not len(starts):
        return np.zeros(0, np.uint64)
    return np.add.reduceat(mix(values + (places.astype(np.uint64) + np.uint64(1)) * _STEP), starts)


def later_ones(hashes: Hashes) -> NDArray[np.bool_]:
    """Which of them were there before."""
    later = np.ones(len(hashes), bool)
    later[np.unique(hashes, return_index=True)[1]] = False
    return later


def ngram_shares(hashes: Hashes, lengths: NDArray[np.int64], factor: int) -> dict[str, float]:
    """``NGRAM_SHARES``.

    An n-gram can only repeat where its first part does, so that ever fewer places are looked at.

    Args:
        hashes: of each unit.
        lengths: visible characters of each unit.
        factor: units for one of n: 2 where units are characters.
    """
    shares = dict.fromkeys(NGRAM_SHARES, 0.0)
    total = max(1, int(lengths.sum()))
    ends = np.concatenate(([0], np.cumsum(lengths)))
    places, rolling, size = np.arange(len(hashes)), hashes, 1
    for n in (*TOP_NGRAMS, *REPEATED_NGRAMS):
        if len(hashes) <= n * factor:
            break
        while size < n * factor:
            rolling = rolling[:-1] * _STEP + hashes[size:]
            size += 1
        places = places[places < len(rolling)]
        if len(places) < 2:
            break
        _, first, inverse, counts = np.unique(
            rolling[places], return_index=True, return_inverse=True, return_counts=True
        )
        if n in TOP_NGRAMS:
            top = int(counts.argmax())
            if counts[top] > 1:
                at = int(places[first[top]])
                chars = int(counts[top]) * int(ends[at + size] - ends[at])
                # One that overlaps itself counts twice.
                shares[f"top_{n}grams"] = min(1.0, chars / total)
        else:
            later = np.ones(len(places), bool)
            later[first] = False
            shares[f"repeated_{n}grams"] = _covered(places[later], size, lengths) / total
        places = places[counts[inverse] > 1]
    return shares


def most_repeated(hashes: Hashes, lengths: NDArray[np.int64], size: int) -> float:
    """What the share of repeated runs of ``size`` units cannot exceed, found by one sort.

    Args:
        hashes: of each unit.
        lengths: visible characters of each unit.
        size: units of a run.
    """
    if len(hashes) <= size:
        return 0.0
    runs = np.sort(_runs(hashes, size))
    later = int(np.count_nonzero(runs[1:] == runs[:-1]))
    return min(1.0, later * size * int(lengths.max()) / max(1, int(lengths.sum())))


def _runs(hashes: Hashes, size: int) -> Hashes:
    """A hash of each ``size`` in a row, put together of runs of 1, 2, 4 ... of them."""
    done, part, width = hashes[:0], hashes, 1
    have = 0
    while have < size:
        power = np.uint64(pow(int(_STEP), width, 1 << 64))
        if size & width:
            count = len(hashes) - have - width + 1
            done = done[:count] * power + part[have : have + count] if have else part[:count]
            have += width
        part = part[:-width] * power + part[width:]
        width *= 2
    return done


def _covered(places: NDArray[np.int64], size: int, lengths: NDArray[np.int64]) -> int:
    """Characters of all units that lie in a run of this size from one of the places."""
    change = np.zeros(len(lengths) + 1, np.int64)
    np.add.at(change, places, 1)
    np.add.at(change, places + size, -1)
    return int(lengths[np.cumsum(change[:-1]) > 0].sum())
