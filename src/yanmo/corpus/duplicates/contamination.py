"""Evaluation items inside a text: verbatim, or with small edits.

What a model is judged on must not be in what it learns from. GPT-3 looked for 13 words in a row that a
document shares with a test set (Brown et al. 2020, arXiv 2005.14165, appendix C); this misses short questions
and all that have a word changed in every dozen. Here an item is found where a share of its words (or
characters of Chinese; case, punctuation, white space and width do not count) stands in a text in order: where
the edit distance of words is at most (1 - share) of the item. An item of n words with at most e edits has one
of e + 1 pieces unchanged, so pieces are looked up by hash, and only where they hit is the distance computed
(semi-global, Sellers 1980). Passages of 13 words or 26 characters that a text shares with a longer item are
found besides.

The text is looked up by whole arrays; what it costs does not depend on the number of items.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, NamedTuple

import numpy as np

from yanmo.corpus.duplicates.words import Places, Words, shingles, slices, span_hashes, words_of
from yanmo.corpus.edits import Edit
from yanmo.corpus.hashes import Hashes
from yanmo.errors import InputError

_PIECE_UNITS = 256
"""Longer items are looked for in pieces of this many units."""
_SHORTEST_SEED, _LONGEST_SEED = 3, 13
_UNITS_A_HIT = 24
_MOST_ITEMS = 32
# Of one piece in one part of a text, those with the most hits: a thousand copies need not be counted.
_MOST_WINDOWS = 64
_TEXT_CHARS, _OVERLAP_CHARS = 1 << 18, 1 << 13
_BITS = 22
_COST = 1 << 20


class Span(NamedTuple):
    """``text[start:end]`` is evaluation item ``item``, or a part of it, with this share of its words."""

    start: int
    end: int
    item: int
    share: float


@dataclass(frozen=True, kw_only=True)
class ContaminationSettings:
    """When an evaluation item counts as found."""

    share: float = 0.8
    """Of its words or characters that stand in the text in order, 0.6 to 1."""
    min_words: int = 4
    """Items of fewer words (twice as many characters of Chinese) are not looked for: they are everywhere."""
    passage_words: int = 13
    """So many words (twice as many characters of Chinese) in a row of an item are found too; 0: never."""
    action: Literal["refuse", "cut"] = "refuse"
    """Whether a document goes that holds an item, or only the passage goes."""

    def __post_init__(self) -> None:
        """Refuse values that mean nothing."""
        if not 0.6 <= self.share <= 1:
            raise InputError("share must be from 0.6 to 1")
        if self.min_words < 1:
            raise InputError("min_words must be 1 or more")
        if self.passage_words and self.passage_words < 5:
            raise InputError("passage_words must be 0 or at least 5")


class Contamination:
    """An index of evaluation items; made once, then only read."""

    def __init__(
        self, items: Sequence[str], settings: ContaminationSettings = ContaminationSettings()
    ) -> None:
        """Index the texts of the items, which takes about 60 bytes a character."""
        self._words = settings.passage_words
        self._pieces: list[_Piece] = []
        self._num_units: dict[int, int] = {}
        ignored, seeds, passages = [], _Entries(), _Entries()
        for number, item in enumerate(items):
            parts = [words_of([part]) for part in slices(item)]
            if sum(part.halves.sum(dtype=np.int64) for part in parts) < 2 * settings.min_words:
                ignored.append(number)
                continue
            self._num_units[number] = sum(map(len, parts))
            for units in parts:
                for first, last in pairwise(_cuts(len(units))):
                    piece = _Piece.of(units.hashes[first:last], number, settings.share)
                    offsets = piece.seed_offsets()
                    seeds.add(shingles(piece.hashes, piece.seed)[offsets], len(self._pieces), offsets)
                    self._pieces.append(piece)
                if self._words:
                    hashes, starts, _ = _passages(units, self._words)
                    passages.add(hashes, number, starts)
        self.ignored = tuple(ignored)
        """Numbers of the items that are too short to be looked for."""
        self._seed_sizes = sorted({piece.seed for piece in self._pieces})
        self._seeds, self._passages = seeds.lookup(), passages.lookup()
        self._num_seeds = np.bincount(self._seeds.owners, minlength=len(self._pieces))

    def find(self, text: str) -> list[Span]:
        """The evaluation items in a text, by place; spans of different items may overlap."""
        found: list[Span] = []
        start = 0
        while True:
            part = text[start : start + _TEXT_CHARS]
            found += (
                span._replace(start=span.start + start, end=span.end + start) for span in self._find(part)
            )
            if start + len(part) >= len(text):
                return _merged(found)
            start += _TEXT_CHARS - _OVERLAP_CHARS

    def _find(self, text: str) -> Iterator[Span]:
        units = words_of([text])
        for number, first, last in self._candidates(units):
            piece = self._pieces[number]
            window = units.hashes[first:last]
            # Cheaper than the distance: are the words there at all?
            if len(piece.words.intersection(window.tolist())) < len(piece.words) - piece.edits:
                continue
            cost, begin, end = _align(piece.hashes, window)
            if cost <= piece.edits:
                place = int(units.starts[first + begin]), int(units.ends[first + end - 1])
                yield Span(*place, piece.item, 1 - cost / len(piece.hashes))
        if self._words:
            yield from self._shared_passages(units)

    def _candidates(self, units: Words) -> Iterator[tuple[int, int, int]]:
        """Numbers of pieces with the stretch of units where enough of their seeds hit."""
        grams = [shingles(units.hashes, size) for size in self._seed_sizes]
        if not grams:
            return
        places, entries = self._seeds.find(np.concatenate(grams))
        places = np.concatenate([np.arange(len(some)) for some in grams])[places]
        owners = self._seeds.owners[entries]
        shifts = places - self._seeds.offsets[entries]
        order = np.lexsort((shifts, owners))
        owners, shifts = owners[order], shifts[order]
        breaks = np.flatnonzero(np.diff(owners)) + 1
        for first, last in pairwise([0, *breaks.tolist(), len(owners)] if len(owners) else []):
            number = int(owners[first])
            piece = self._pieces[number]
            need = min(piece.need, int(self._num_seeds[number]))
            for low, high in _windows(shifts[first:last], piece.edits, need):
                yield number, max(0, low - piece.edits), high + len(piece.hashes) + piece.edits

    def _shared_passages(self, units: Words) -> Iterator[Span]:
        hashes, _, ends = _passages(units, self._words)
        places, entries = self._passages.find(hashes)
        owners = self._passages.owners[entries]
        order = np.lexsort((places, owners))
        owners, places = owners[order], places[order]
        breaks = np.flatnonzero((np.diff(owners) != 0) | (np.diff(places) > 1)) + 1
        for first, last in pairwise([0, *breaks.tolist(), len(places)] if len(places) else []):
            begin, end = int(places[first]), int(ends[places[last - 1]])
            item = int(owners[first])
            share = min(1.0, (end - begin) / self._num_units[item])
            yield Span(int(units.starts[begin]), int(units.ends[end - 1]), item, share)


def cut_edits(spans: Sequence[Span]) -> list[Edit]:
    """The edits that take the found passages out of their text."""
    edits: list[Edit] = []
    for start, end, *_ in sorted(spans):
        if edits and start <= edits[-1].end:
            edits[-1] = edits[-1]._replace(end=max(end, edits[-1].end))
        else:
            edits.append(Edit(start, end, ""))
    return edits


@dataclass(frozen=True, kw_only=True)
class _Piece:
    """What is looked for at once: an item, or a part of a long one."""

    hashes: Hashes
    words: frozenset[int]
    item: int
    edits: int
    seed: int
    num_seeds: int
    need: int

    @classmethod
    def of(cls, hashes: Hashes, item: int, share: float) -> _Piece:
        """With so many seeds that edits leave one whole; in long pieces more, of which several must hit."""
        more = len(hashes) // _UNITS_A_HIT
        edits = int((1 - share) * len(hashes) + 1e-9)
        edits = max(0, min(edits, len(hashes) // _SHORTEST_SEED - 1 - more))
        num_seeds = edits + 1 + more
        size = min(len(hashes) // num_seeds, _LONGEST_SEED)
        words = frozenset(hashes.tolist())
        return cls(
            hashes=hashes,
            words=words,
            item=item,
            edits=edits,
            seed=size,
            num_seeds=num_seeds,
            need=more + 1,
        )

    def seed_offsets(self) -> Places:
        """Where its seeds begin."""
        return np.arange(self.num_seeds) * (len(self.hashes) // self.num_seeds)


class _Entries:
    """Hashes with whose they are and where, being collected."""

    def __init__(self) -> None:
        self._hashes = [np.empty(0, np.uint64)]
        self._owners: list[Places] = [np.empty(0, np.int64)]
        self._offsets: list[Places] = [np.empty(0, np.int64)]

    def add(self, hashes: Hashes, owner: int, offsets: Places) -> None:
        """Add those of one owner."""
        self._hashes.append(hashes)
        self._owners.append(np.full(len(hashes), owner))
        self._offsets.append(offsets)

    def lookup(self) -> _Lookup:
        """A table without hashes of many owners ("which of the following"), unless these have no other."""
        hashes = np.concatenate(self._hashes)
        owners, offsets = np.concatenate(self._owners), np.concatenate(self._offsets)
        _, inverse, counts = np.unique(hashes, return_inverse=True, return_counts=True)
        rare = counts[inverse] <= _MOST_ITEMS
        others = np.bincount(owners, weights=rare) if len(owners) else np.empty(0)
        kept = np.flatnonzero(rare | (others[owners] == 0))
        kept = kept[np.argsort(hashes[kept], kind="stable")]
        return _Lookup(hashes[kept], owners[kept], offsets[kept])


class _Lookup:
    """A sorted table of hashes behind a table of bits that most hashes do not pass."""

    def __init__(self, hashes: Hashes, owners: Places, offsets: Places) -> None:
        self.hashes, self.owners, self.offsets = hashes, owners, offsets
        self._bits = np.zeros(1 << _BITS, bool)
        self._bits[(hashes >> np.uint64(64 - _BITS)).astype(np.int64)] = True

    def find(self, hashes: Hashes) -> tuple[Places, Places]:
        """Places in ``hashes`` and the entries of the table that are equal: a place for each entry."""
        places = np.flatnonzero(self._bits[(hashes >> np.uint64(64 - _BITS)).astype(np.int64)])
        lows = np.searchsorted(self.hashes, hashes[places], "left")
        counts = np.searchsorted(self.hashes, hashes[places], "right") - lows
        firsts = np.repeat(lows - (np.cumsum(counts) - counts), counts)
        return np.repeat(places, counts), firsts + np.arange(len(firsts))


def _windows(shifts: Places, reach: int, need: int) -> Iterator[tuple[int, int]]:
    """First and last of the sorted numbers that stand together, at most ``reach`` apart, where enough do."""
    counts = np.searchsorted(shifts, shifts + reach, "right") - np.arange(len(shifts))
    # What is wholly in the window before it is not looked at again.
    begins = np.flatnonzero((counts >= need) & (np.diff(counts, prepend=0) >= 0))
    for start in begins[np.argsort(-counts[begins], kind="stable")][:_MOST_WINDOWS].tolist():
        yield int(shifts[start]), int(shifts[start + counts[start] - 1])


def _cuts(num_units: int) -> list[int]:
    num_pieces = -(-num_units // _PIECE_UNITS)
    return [num_units * i // num_pieces for i in range(num_pieces + 1)]


def _passages(units: Words, words: int) -> tuple[Hashes, Places, Places]:
    """Hash, first and last unit of each stretch of so many words, as short as can be, from each unit on."""
    sums = np.concatenate([[0], np.cumsum(units.halves, dtype=np.int64)])
    ends = np.searchsorted(sums, sums[:-1] + 2 * words, "left")
    starts = np.flatnonzero(ends <= len(units))
    ends = ends[starts]
    return span_hashes(units.hashes, starts, ends), starts, ends


def _align(item: Hashes, window: Hashes) -> tuple[int, int, int]:
    """Least edit distance of the item to a stretch of the window, with start and end of the stretch.

    A row of the table at a time. A number holds the cost, and below it how far the start is from the end of
    the window: of equal costs the shortest stretch wins.
    """
    width = len(window)
    steps = np.arange(width + 1) * _COST
    row = width - np.arange(width + 1)
    for unit in item:
        below = row + _COST
        below[1:] = np.minimum(below[1:], row[:-1] + np.where(window == unit, 0, _COST))
        # A unit of the window that is not in the item costs one more than the place before it.
        row = np.minimum.accumulate(below - steps) + steps
    end = int(np.argmin(row))
    cost, from_end = divmod(int(row[end]), _COST)
    return cost, width - from_end, end


def _merged(spans: Sequence[Span]) -> list[Span]:
    """One span where several of an item overlap."""
    merged: list[Span] = []
    for span in sorted(spans, key=lambda span: (span.item, span.start, span.end)):
        before = merged[-1] if merged else None
        if before and before.item == span.item and span.start < before.end:
            merged[-1] = before._replace(end=max(before.end, span.end), share=max(before.share, span.share))
        else:
            merged.append(span)
    return sorted(merged)
