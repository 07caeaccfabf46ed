"""Texts of the test that training has seen: the same up to white space, and nearly the same.

Nearly the same are texts of at least 20 words (or characters of Chinese) whose sets of three words in a row
are as like as those of near duplicates in a corpus (``corpus/duplicates``). A test is small beside what is
learned from, so its sets are held in a sorted table and the other texts are looked up by whole arrays, some
at a time: the result is exact but for stretches that stand in very many rows of the test, which tell
nothing apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from yanmo.corpus.duplicates.exact import document_digest
from yanmo.corpus.duplicates.signature import NearSettings, exact_jaccard, shingle_set, similarity_of
from yanmo.corpus.duplicates.words import Places, shingles, words_of
from yanmo.corpus.hashes import Hashes

Digests = npt.NDArray[np.void]

_NEAR = NearSettings()
_BATCH_CHARS = 1 << 18
_MOST_CHARS = 1 << 14
_MOST_OWNERS = 32
_LEAST_BITS, _MOST_BITS = 20, 28


class NearPair(NamedTuple):
    """A text of the test, by its index, and one that is nearly the same."""

    test: int
    train: int
    similarity: float
    """Share of words, or characters of Chinese, in common."""


def digests_of(texts: Sequence[tuple[str, ...]]) -> Digests:
    """16 bytes for each example's texts, equal only where these are the same up to white space."""
    joined = b"".join(document_digest(" \0 ".join(parts)) for parts in texts)
    return np.frombuffer(joined, "V16")


def groups_of_equal(digests: Digests) -> Iterator[npt.NDArray[np.int64]]:
    """The indices of each group of two or more equal digests, in order."""
    numbers = digests.view(np.uint64).reshape(-1, 2)
    order = np.lexsort((numbers[:, 1], numbers[:, 0]))
    ranked = numbers[order]
    same = (ranked[1:] == ranked[:-1]).all(axis=1)
    # A stretch of places whose next one is the same begins and ends where that changes.
    changes = np.diff(np.concatenate([[False], same, [False]]).astype(np.int8))
    starts, ends = np.flatnonzero(changes == 1), np.flatnonzero(changes == -1) + 1
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        yield np.sort(order[start:end])


def near_pairs(train: Sequence[str], test: Sequence[str], settings: NearSettings = _NEAR) -> list[NearPair]:
    """The texts of the test that are nearly the same as one of the others, each with the likest of them.

    Args:
        train: texts, of which the first 16,384 characters are compared.
        test: texts, fewer as a rule.
        settings: when two are nearly the same.
    """
    table = _Table([text[:_MOST_CHARS] for text in test], settings)
    best: dict[int, NearPair] = {}
    for first, batch in _batches(train):
        for pair in table.find(batch):
            pair = pair._replace(train=first + pair.train)
            if pair.test not in best or pair.similarity > best[pair.test].similarity:
                best[pair.test] = pair
    return [best[number] for number in sorted(best)]


class _Table:
    """The shingles of the test's texts, sorted, each with the texts that hold it."""

    def __init__(self, texts: Sequence[str], settings: NearSettings) -> None:
        self._texts, self._settings = texts, settings
        hashes, owners, self._sizes = _shingles(texts, settings)
        _, inverse, counts = np.unique(hashes, return_inverse=True, return_counts=True)
        kept = np.flatnonzero(counts[inverse] <= _MOST_OWNERS) if len(hashes) else np.empty(0, np.int64)
        kept = kept[np.argsort(hashes[kept], kind="stable")]
        self._hashes, self._owners = hashes[kept], owners[kept]
        self._kept_sizes = np.bincount(self._owners, minlength=len(texts))
        # Most shingles of other texts end at a table of bits.
        self._num_bits = min(_MOST_BITS, max(_LEAST_BITS, len(self._hashes).bit_length() + 3))
        self._bits = np.zeros(1 << self._num_bits, bool)
        self._bits[self._bit(self._hashes)] = True

    def find(self, texts: Sequence[str]) -> Iterator[NearPair]:
        """The pairs of a text of the test with one of these."""
        if not len(self._hashes):
            return
        hashes, owners, sizes = _shingles(texts, self._settings)
        seen = np.flatnonzero(self._bits[self._bit(hashes)])
        hashes, owners = hashes[seen], owners[seen]
        lows = np.searchsorted(self._hashes, hashes, "left")
        counts = np.searchsorted(self._hashes, hashes, "right") - lows
        entries = np.repeat(lows - (np.cumsum(counts) - counts), counts) + np.arange(counts.sum())
        keys = np.repeat(owners, counts) * len(self._texts) + self._owners[entries]
        pairs, common = np.unique(keys, return_counts=True)
        others, own = np.divmod(pairs, len(self._texts))
        # Where shingles were left out, so many fewer can be found in common.
        share = self._kept_sizes[own] / np.maximum(1, self._sizes[own])
        jaccard = common / np.maximum(1, self._sizes[own] + sizes[others] - common)
        for place in np.flatnonzero(jaccard >= 0.9 * share * self._settings.jaccard):
            yield from self._verified(int(own[place]), int(others[place]), texts)

    def _bit(self, hashes: Hashes) -> Places:
        return (hashes >> np.uint64(64 - self._num_bits)).astype(np.int64)

    def _verified(self, own: int, other: int, texts: Sequence[str]) -> Iterator[NearPair]:
        size = self._settings.shingle
        jaccard = exact_jaccard(shingle_set(self._texts[own], size), shingle_set(texts[other], size))
        if jaccard >= self._settings.jaccard:
            yield NearPair(own, other, similarity_of(jaccard, size))


def _batches(texts: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    """The index of the first, and texts of about ``_BATCH_CHARS`` together."""
    first, batch, num_chars = 0, [], 0
    for index, text in enumerate(texts):
        batch.append(text[:_MOST_CHARS])
        num_chars += len(batch[-1])
        if num_chars >= _BATCH_CHARS:
            yield first, batch
            first, batch, num_chars = index + 1, [], 0
    if batch:
        yield first, batch


def _shingles(texts: Sequence[str], settings: NearSettings) -> tuple[Hashes, Places, Places]:
    """The different shingles of texts that are long enough, whose each is, and how many each text has."""
    words = words_of(texts)
    num_words = np.diff(words.bounds)
    joined = shingles(words.hashes, settings.shingle)
    owners = np.repeat(np.arange(len(texts)), num_words)[: len(joined)]
    # A shingle that begins in the last words of a text ends in the next one.
    last = words.bounds[1:][owners] - settings.shingle
    inside = (np.arange(len(joined)) <= last) & (num_words[owners] >= settings.min_units)
    hashes, owners = joined[inside], owners[inside]
    order = np.lexsort((hashes, owners))
    hashes, owners = hashes[order], owners[order]
    is_new = np.ones(len(hashes), bool)
    is_new[1:] = (hashes[1:] != hashes[:-1]) | (owners[1:] != owners[:-1])
    hashes, owners = hashes[is_new], owners[is_new]
    return hashes, owners, np.bincount(owners, minlength=len(texts))
