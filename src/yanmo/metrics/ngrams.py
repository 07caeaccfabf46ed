"""How many n-grams texts share with their references, counted for a whole corpus at once.

Each n-gram of a segment gets a number, made of the number of its first n - 1 symbols and its last symbol;
numbers are per segment, so equal numbers are equal n-grams of the same segment. A match is the smaller of
the two counts (Papineni et al. 2002, section 2.1).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

import numpy as np

from yanmo.metrics.scores import IntArray

# Symbols looked at together: their numbers, places and counts stay within some 200 MB.
_CHUNK_SYMBOLS = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Matches:
    """Counts of n-grams, a column an order from 1 on.

    Attributes:
        hypothesis: of each hypothesis, (hypotheses, orders).
        reference: of each reference, (references, orders); references follow each other by hypothesis.
        matched: n-grams of each reference that its hypothesis has, (references, orders).
        matched_best: n-grams of each hypothesis that any reference has, clipped at the largest count in one
            of them, (hypotheses, orders).
    """

    hypothesis: IntArray
    reference: IntArray
    matched: IntArray
    matched_best: IntArray


@dataclass(frozen=True)
class _Symbols:
    """Symbols of several texts in a row: number, text, segment, and how many are left in the text."""

    number: IntArray
    text: IntArray
    segment: IntArray
    left: IntArray


def count_matches(
    hypotheses: Sequence[Sequence[str]], references: Sequence[Sequence[Sequence[str]]], *, orders: int
) -> Matches:
    """Count n-grams of every order up to ``orders``.

    Args:
        hypotheses: symbols of each hypothesis: a list of words, or a string for its characters.
        references: of each hypothesis, the symbols of each reference.
        orders: the longest n-gram.
    """
    parts = [
        _count_chunk(hypotheses[begin:end], references[begin:end], orders)
        for begin, end in _chunks(hypotheses, references)
    ]
    columns = ("hypothesis", "reference", "matched", "matched_best")
    return Matches(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in columns})


def _chunks(
    hypotheses: Sequence[Sequence[str]], references: Sequence[Sequence[Sequence[str]]]
) -> Iterator[tuple[int, int]]:
    sizes = (len(text) + sum(map(len, others)) for text, others in zip(hypotheses, references, strict=True))
    bounds = [0]
    before = 0
    for index, total in enumerate(accumulate(sizes), 1):
        if total - before > _CHUNK_SYMBOLS or index == len(hypotheses):
            bounds.append(index)
            before = total
    return pairwise(bounds)


def _count_chunk(
    hypotheses: Sequence[Sequence[str]], references: Sequence[Sequence[Sequence[str]]], orders: int
) -> Matches:
    numbers: dict[str, int] = {}
    found = _symbols(hypotheses, range(len(hypotheses)), numbers)
    segments = [index for index, others in enumerate(references) for _ in others]
    wanted = _symbols([text for others in references for text in others], segments, numbers)
    num_found, num_wanted = len(hypotheses), len(segments)
    columns: dict[str, list[IntArray]] = {
        "hypothesis": [],
        "reference": [],
        "matched": [],
        "matched_best": [],
    }
    # An n-gram of no symbol is its segment.
    ids = np.concatenate([found.segment, wanted.segment])
    for order in range(1, orders + 1):
        ids = _extend(ids, found, wanted, order, max(len(numbers), 1))
        in_found, in_wanted = found.left >= order, wanted.left >= order
        of_found, of_wanted = ids[: len(found.left)][in_found], ids[len(found.left) :][in_wanted]
        size = int(ids.max(initial=-1)) + 1
        counts = np.bincount(of_found, minlength=size)
        pairs, pair_counts = np.unique(of_wanted * num_wanted + wanted.text[in_wanted], return_counts=True)
        pair_id, pair_text = np.divmod(pairs, max(num_wanted, 1))
        largest = np.zeros(size, np.int64)
        np.maximum.at(largest, pair_id, pair_counts)
        segment_of = np.zeros(size, np.int64)
        segment_of[of_found] = found.segment[in_found]
        columns["hypothesis"].append(np.bincount(found.text[in_found], minlength=num_found))
        columns["reference"].append(np.bincount(wanted.text[in_wanted], minlength=num_wanted))
        columns["matched"].append(_sums(pair_text, np.minimum(counts[pair_id], pair_counts), num_wanted))
        columns["matched_best"].append(_sums(segment_of, np.minimum(counts, largest), num_found))
    return Matches(**{name: np.stack(column, axis=1).astype(np.int64) for name, column in columns.items()})


def _symbols(texts: Sequence[Sequence[str]], segments: Sequence[int], numbers: dict[str, int]) -> _Symbols:
    lengths = np.fromiter(map(len, texts), np.int64, len(texts))
    total = int(lengths.sum())
    number = np.fromiter(
        (numbers.setdefault(symbol, len(numbers)) for text in texts for symbol in text), np.int64, total
    )
    text = np.repeat(np.arange(len(texts)), lengths)
    ends = np.cumsum(lengths)
    left = np.repeat(ends, lengths) - np.arange(total)
    return _Symbols(number, text, np.asarray(segments, np.int64)[text], left)


def _extend(ids: IntArray, found: _Symbols, wanted: _Symbols, order: int, num_symbols: int) -> IntArray:
    """Numbers of the n-grams of ``order`` that begin at each place; 0 where the text is too short for one."""
    longer = np.zeros_like(ids)
    symbols = np.concatenate([found.number, wanted.number])
    starts = np.flatnonzero(np.concatenate([found.left, wanted.left]) >= order)
    keys = ids[starts] * num_symbols + symbols[starts + order - 1]
    longer[starts] = np.unique(keys, return_inverse=True)[1]
    return longer


def _sums(places: IntArray, values: IntArray, size: int) -> IntArray:
    return np.bincount(places, values, minlength=size).astype(np.int64)
