"""Estimate an interpolated modified Kneser-Ney n-gram model from token ids.

Chen and Goodman 1998, "An Empirical Study of Smoothing Techniques for Language Modeling" (TR-10-98,
section 3), in the interpolated form that KenLM estimates (Heafield et al. 2013, "Scalable Modified
Kneser-Ney Language Model Estimation", section 3): below the highest order an n-gram counts the
different tokens seen before it, n-grams that begin a document keep their plain count, three
discounts an order come from the counts of counts, and the unigrams are mixed with the uniform
distribution over the vocabulary.

Where it departs: nothing is pruned, and the discounts of an order whose counts of counts do not
allow the formula (small vocabularies, tiny texts) are ``FALLBACK_DISCOUNTS`` instead of an error.

An n-gram is a number: the place of its first n-1 tokens among the (n-1)-grams, times the
vocabulary size, plus its last token. Counting is then one sort of 64-bit integers an order.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from yanmo.errors import InputError

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

MAX_ORDER = 16
# Those of KenLM's --discount_fallback.
FALLBACK_DISCOUNTS = (0.5, 1.0, 1.5)


@dataclass(frozen=True, kw_only=True)
class Discounts:
    """What is taken off a count of 1, of 2, and of 3 or more, and whether the text gave these values."""

    one: float
    two: float
    three: float
    estimated: bool


@dataclass(frozen=True, kw_only=True)
class Level:
    """The different n-grams of one order, sorted by key.

    Attributes:
        keys: int64, ascending: place of the first n-1 tokens in the level below, times V, plus the last.
        suffixes: int64, place of the last n-1 tokens in the level below.
        counts: int64, adjusted counts (plain ones at the highest order).
    """

    keys: Ints
    suffixes: Ints
    counts: Ints


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """Probabilities of every n-gram and back-off weights of every context, orders 1 to N.

    Attributes:
        keys: one array an order, as in ``Level``; that of order 1 is 0 to V - 1.
        probabilities: one float64 array an order, interpolated with all lower orders, in (0, 1].
        backoffs: one float64 array for each order below the highest; 1 where a context was never continued.
        discounts: one an order.
    """

    keys: tuple[Ints, ...]
    probabilities: tuple[Floats, ...]
    backoffs: tuple[Floats, ...]
    discounts: tuple[Discounts, ...]


def join_documents(documents: Iterable[Sequence[int] | NDArray[np.integer]], *, eos_id: int) -> Ints:
    """Lay documents in one stream, eos before the first and after each; empty ones are left out."""
    boundary = np.array([eos_id], np.int64)
    parts = [boundary]
    for document in documents:
        if len(document):
            parts += [np.asarray(document, np.int64), boundary]
    return np.concatenate(parts)


def estimate(stream: Ints, *, order: int, vocab_size: int, eos_id: int) -> Estimate:
    """Estimate the model from a stream of token ids.

    Args:
        stream: int64 ids from 0 to vocab_size - 1, eos before the first document and after each.
        order: longest n-gram, 2 to ``MAX_ORDER``.
        vocab_size: V; ids that never occur share what the unigrams leave to the uniform distribution.
        eos_id: begins a document as context and ends it as token (``<s>`` and ``</s>`` in one).

    Raises:
        InputError: the order is out of range, there is no text, or an id is outside the vocabulary.
    """
    if not 2 <= order <= MAX_ORDER:
        raise InputError(
            f"an n-gram model of order {order} cannot be made", remedy=f"choose 2 to {MAX_ORDER}"
        )
    if len(stream) < 2:
        raise InputError("there is no text to count n-grams in")
    if stream.min() < 0 or stream.max() >= vocab_size:
        raise InputError(f"token ids reach outside 0 to {vocab_size - 1}", remedy="give the right vocab_size")
    levels = count(stream, order=order, vocab_size=vocab_size, eos_id=eos_id)
    discounts = tuple(estimate_discounts(level.counts) for level in levels)
    below: Floats = np.full(1, 1.0 / vocab_size)
    probabilities: list[Floats] = []
    backoffs: list[Floats] = []
    for level, discount in zip(levels, discounts, strict=True):
        below, backoff = _interpolate(level, discount, below, vocab_size=vocab_size)
        probabilities.append(below)
        backoffs.append(backoff)
    return Estimate(
        keys=tuple(level.keys for level in levels),
        probabilities=tuple(probabilities),
        backoffs=tuple(backoffs[1:]),
        discounts=discounts,
    )


def count(stream: Ints, *, order: int, vocab_size: int, eos_id: int) -> list[Level]:
    """Count all n-grams of orders 1 to ``order``; none reaches over a document's boundary.

    Args: as in ``estimate``.

    Returns:
        One level an order, with adjusted counts.
    """
    # place[t] is where the n-gram ending at t stands in its level, -1 where there is none.
    place = stream.copy()
    keys: Ints = np.arange(vocab_size, dtype=np.int64)
    suffixes: Ints = np.zeros(vocab_size, np.int64)
    plain: Ints = np.bincount(stream[1:], minlength=vocab_size).astype(np.int64)
    # The unigram eos is counted as the end of a document, so like any other token.
    opening = np.zeros(vocab_size, np.bool_)
    levels = []
    for n in range(2, order + 1):
        continues = place[:-1] >= 0
        if n > 2:
            continues &= stream[:-1] != eos_id
        ends = np.flatnonzero(continues) + 1
        longer_keys, firsts, ranks, longer_plain = _rank(place[ends - 1] * vocab_size + stream[ends])
        longer_suffixes = place[ends[firsts]]
        extensions = np.bincount(longer_suffixes, minlength=len(keys)).astype(np.int64)
        levels.append(Level(keys=keys, suffixes=suffixes, counts=np.where(opening, plain, extensions)))
        prefixes = longer_keys // vocab_size
        opening = prefixes == eos_id if n == 2 else opening[prefixes]
        place = np.full(len(stream), -1, np.int64)
        place[ends] = ranks
        keys, suffixes, plain = longer_keys, longer_suffixes, longer_plain
    levels.append(Level(keys=keys, suffixes=suffixes, counts=plain))
    return levels


def estimate_discounts(counts: Ints) -> Discounts:
    """The three discounts of an order from its counts of counts.

    Chen and Goodman 1998, equation 26: with n_k n-grams counted k times and Y = n_1 / (n_1 + 2 n_2),
    D_k = k - (k + 1) Y n_{k+1} / n_k. ``FALLBACK_DISCOUNTS`` where some n_1, n_2 or n_3 is zero or a
    discount is not above 0 and at most k.
    """
    n = np.bincount(counts[counts < 5], minlength=5).astype(np.float64)
    if n[1] and n[2] and n[3]:
        share = n[1] / (n[1] + 2 * n[2])
        one, two, three = (k - (k + 1) * share * n[k + 1] / n[k] for k in (1, 2, 3))
        # A discount of zero would leave nothing for what was not seen.
        if 0 < one <= 1 and 0 < two <= 2 and 0 < three <= 3:
            return Discounts(one=float(one), two=float(two), three=float(three), estimated=True)
    one, two, three = FALLBACK_DISCOUNTS
    return Discounts(one=one, two=two, three=three, estimated=False)


def _rank(keys: Ints) -> tuple[Ints, Ints, Ints, Ints]:
    """Sort keys: the different ones, where one of each stands, the rank of every key, how many of each."""
    # torch sorts integers by radix: three times as fast as numpy.
    sorted_keys = torch.sort(torch.from_numpy(keys))
    ordered, by_key = sorted_keys.values.numpy(), sorted_keys.indices.numpy()
    begins = np.empty(len(keys), np.bool_)
    begins[:1] = True
    np.not_equal(ordered[1:], ordered[:-1], out=begins[1:])
    starts = np.flatnonzero(begins)
    numbers = np.diff(starts, append=len(keys))
    ranks = np.empty(len(keys), np.int64)
    ranks[by_key] = np.repeat(np.arange(len(starts)), numbers)
    return ordered[starts], by_key[starts], ranks, numbers


def _interpolate(
    level: Level, discounts: Discounts, below: Floats, *, vocab_size: int
) -> tuple[Floats, Floats]:
    """Probabilities of a level's n-grams and back-off weights of their contexts (one each in ``below``)."""
    amounts = np.array([0.0, discounts.one, discounts.two, discounts.three])
    taken = amounts[np.minimum(level.counts, 3)]
    # Unigrams have the one empty context.
    contexts = level.keys // vocab_size
    totals = np.bincount(contexts, weights=level.counts, minlength=len(below))
    freed = np.bincount(contexts, weights=taken, minlength=len(below))
    backoffs = np.divide(freed, totals, out=np.ones(len(below)), where=totals > 0)
    kept = (level.counts - taken) / totals[contexts]
    return kept + backoffs[contexts] * below[level.suffixes], backoffs
