"""ROUGE of summaries, in any script, and how varied texts are.

ROUGE (Lin 2004): F1 of the words (1), pairs of words (2) and longest common subsequence (L) that a text
shares with its reference, averaged over examples. The package rouge-score knows ASCII alone and gives 0 to
every Chinese text; here Chinese characters count one by one (``segments``). On ASCII text the figures are
its own without stemming. L is over whole texts, not sentence by sentence (Lsum).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from yanmo.errors import InputError
from yanmo.metrics.ngrams import count_matches
from yanmo.metrics.scores import Scores, check_pairs, divide, from_ratios
from yanmo.metrics.segments import split_words
from yanmo.metrics.translation import as_references


def rouge(references: Sequence[str | Sequence[str]], hypotheses: Sequence[str]) -> Scores:
    """``rouge1``, ``rouge2`` and ``rougeL``: mean over examples of 2 shared / (made + wanted); shares.

    Of several references, the best counts, for each of the three.

    Raises:
        InputError: the lengths differ or are 0, or an example has no reference.
    """
    check_pairs(references, hypotheses)
    wanted = [[split_words(text) for text in texts] for texts in as_references(references)]
    made = [split_words(text) for text in hypotheses]
    matches = count_matches(made, wanted, orders=2)
    num_references = [len(texts) for texts in wanted]
    of_hypothesis = np.repeat(np.arange(len(wanted)), num_references)
    common = [
        longest_common_subsequence(text, other)
        for text, others in zip(made, wanted, strict=True)
        for other in others
    ]
    shared = np.column_stack([matches.matched, common]).astype(np.float64)
    sizes = (matches.hypothesis[of_hypothesis] + matches.reference).astype(np.float64)
    values = divide(2 * shared, sizes[:, [0, 1, 0]], otherwise=0.0)
    firsts = np.concatenate([[0], np.cumsum(num_references)[:-1]]).astype(np.int64)
    return from_ratios(["rouge1", "rouge2", "rougeL"], np.maximum.reduceat(values, firsts, axis=0))


def longest_common_subsequence(first: Sequence[str], second: Sequence[str]) -> int:
    """How many pieces both have in the same order, others between them.

    A row of the usual table is one number here, a bit a piece of ``first`` (Hyyrö 2004, "Bit-parallel
    LCS-length computation revisited"), so a row costs a few operations.
    """
    places: dict[str, int] = {}
    for index, piece in enumerate(first):
        places[piece] = places.get(piece, 0) | 1 << index
    everything = (1 << len(first)) - 1
    row = everything
    for piece in second:
        hit = row & places.get(piece, 0)
        row = (row + hit | row - hit) & everything
    return len(first) - row.bit_count()


def distinct_n(texts: Sequence[str], n: int) -> float:
    """Different n-grams over all n-grams of the texts (Li et al. 2016, arXiv 1510.03055), a share.

    It falls with the amount of text, so compare equal amounts; for that reason a resample, whose texts
    repeat, says nothing about it, and it has no interval.

    Args:
        texts: what was generated.
        n: length of the n-grams, in words or Chinese characters.

    Raises:
        InputError: no text is as long as n, or n is below 1.
    """
    if n < 1:
        raise InputError(f"n-grams of {n} words do not exist")
    different: set[tuple[str, ...]] = set()
    total = 0
    for text in texts:
        words = split_words(text)
        grams = list(zip(*(words[start:] for start in range(n)), strict=False))
        different.update(grams)
        total += len(grams)
    if total == 0:
        raise InputError(f"no text has {n} words")
    return len(different) / total
