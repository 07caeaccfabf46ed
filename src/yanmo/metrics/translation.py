"""BLEU and chrF of a corpus of translations, from 0 to 100.

- BLEU (Papineni et al. 2002), as sacreBLEU computes it by default (Post 2018, arXiv 1804.08771): tokenised
  here and nowhere else, orders 1 to 4, exponential smoothing, the length of the closest reference.
- chrF (Popović 2015): n-grams of 1 to 6 characters without spaces, recall weighted 2, as sacreBLEU has it.
  It needs no tokeniser and serves every script.

The tokenisers are sacreBLEU's, the figures equal to its own; the counts are ours, so that a thousand
resamples need no second look at the texts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from yanmo.errors import InputError
from yanmo.metrics.ngrams import Matches, count_matches
from yanmo.metrics.scores import FloatArray, IntArray, Scores, check_pairs, divide, from_rows
from yanmo.metrics.segments import mostly_chinese

Tokenizer = Literal["auto", "13a", "zh", "char", "none"]

_BLEU_ORDERS = 4
_CHRF_ORDERS = 6
_CHRF_RECALL_WEIGHT = 4.0  # beta squared, beta 2


def as_references(references: Sequence[str | Sequence[str]]) -> list[list[str]]:
    """References of each example as a list, whether one or several are given.

    Raises:
        InputError: an example has no reference.
    """
    lists = [[given] if isinstance(given, str) else list(given) for given in references]
    for index, given in enumerate(lists):
        if not given:
            raise InputError("an example has no reference", where=f"example {index}")
    return lists


def bleu(
    references: Sequence[str | Sequence[str]], hypotheses: Sequence[str], *, tokenizer: Tokenizer = "auto"
) -> Scores:
    """``bleu`` of a corpus: 100 · exp(min(0, 1 - r / h)) · (p1 p2 p3 p4)^(1/4), and ``length_ratio`` h / r.

    Args:
        references: of each example, a reference or several.
        hypotheses: of each example, the text made.
        tokenizer: of sacreBLEU. ``auto``: ``zh`` (Chinese characters one by one) where the references are
            mostly Chinese, else ``13a``; say which in print, since figures of different ones do not compare.

    Raises:
        InputError: the lengths differ or are 0, or an example has no reference.
    """
    check_pairs(references, hypotheses)
    wanted = as_references(references)
    cut = _sacrebleu_tokenizer(bleu_tokenizer(wanted) if tokenizer == "auto" else tokenizer)
    matches = count_matches(
        [cut(text) for text in hypotheses],
        [[cut(text) for text in texts] for texts in wanted],
        orders=_BLEU_ORDERS,
    )
    lengths = _closest_lengths(matches, [len(texts) for texts in wanted])
    rows = np.column_stack([matches.hypothesis[:, 0], lengths, matches.matched_best, matches.hypothesis])

    def formula(sums: FloatArray) -> FloatArray:
        right, total = sums[:, 2 : 2 + _BLEU_ORDERS], sums[:, 2 + _BLEU_ORDERS :]
        ratio = divide(sums[:, 0], sums[:, 1], otherwise=np.nan)
        return np.column_stack([_bleu_of_counts(sums[:, 0], sums[:, 1], right, total), ratio])

    return from_rows(["bleu", "length_ratio"], rows.astype(np.float64), formula)


def bleu_tokenizer(references: Sequence[str | Sequence[str]]) -> Literal["13a", "zh"]:
    """The tokeniser that ``auto`` means for these references."""
    texts = (text for given in references for text in ([given] if isinstance(given, str) else given))
    return "zh" if mostly_chinese(texts) else "13a"


def _sacrebleu_tokenizer(name: str) -> _Cut:
    from sacrebleu.metrics.bleu import BLEU

    return _Cut(BLEU(tokenize=name, force=True).tokenizer)


class _Cut:
    """A text's tokens, by a tokeniser that puts spaces between them."""

    def __init__(self, space_out: object) -> None:
        assert callable(space_out)
        self._space_out = space_out

    def __call__(self, text: str) -> list[str]:
        return str(self._space_out(text.rstrip())).split()


def _closest_lengths(matches: Matches, num_references: Sequence[int]) -> IntArray:
    """Of each hypothesis, the length of the reference that is closest in length; of two, the shorter."""
    lengths, of_hypothesis = (
        matches.reference[:, 0],
        np.repeat(np.arange(len(num_references)), num_references),
    )
    distance = np.abs(lengths - matches.hypothesis[of_hypothesis, 0])
    order = np.lexsort((lengths, distance, of_hypothesis))
    first = np.concatenate([[0], np.cumsum(num_references)[:-1]]).astype(np.int64)
    return lengths[order][first]


def _bleu_of_counts(
    hypothesis: FloatArray, reference: FloatArray, right: FloatArray, total: FloatArray
) -> FloatArray:
    """From lengths (draws,) and counts (draws, 4); no match counts as 1/2, then 1/4 and so on (NIST)."""
    logs = np.zeros(len(right))
    smallest = np.ones(len(right))
    for order in range(right.shape[1]):
        none = right[:, order] == 0
        smallest = np.where(none, smallest / 2, smallest)
        precision = divide(np.where(none, smallest, right[:, order]), total[:, order], otherwise=1.0)
        logs += np.log(precision)
    shortness = np.minimum(0.0, 1 - divide(reference, hypothesis, otherwise=np.inf))
    possible = right.any(axis=1) & (total > 0).all(axis=1)
    return np.where(possible, 100 * np.exp(shortness + logs / right.shape[1]), 0.0)


def chrf(references: Sequence[str | Sequence[str]], hypotheses: Sequence[str]) -> Scores:
    """``chrf`` of a corpus, 0 to 100: 5 P R / (4 P + R), of the mean precision P and recall R of the orders.

    Of several references, the one with the best chrF of its own counts.

    Raises:
        InputError: the lengths differ or are 0, or an example has no reference.
    """
    check_pairs(references, hypotheses)
    wanted = as_references(references)
    matches = count_matches(
        ["".join(text.split()) for text in hypotheses],
        [["".join(text.split()) for text in texts] for texts in wanted],
        orders=_CHRF_ORDERS,
    )
    num_references = [len(texts) for texts in wanted]
    of_hypothesis = np.repeat(np.arange(len(wanted)), num_references)
    # An order that a reference is too short for says nothing about its hypothesis.
    made = np.where(matches.reference > 0, matches.hypothesis[of_hypothesis], 0)
    pairs = np.hstack([made, matches.reference, matches.matched]).astype(np.float64)
    values = _chrf_of_counts(pairs)[:, 0]
    order = np.lexsort((-values, of_hypothesis))
    first = np.concatenate([[0], np.cumsum(num_references)[:-1]]).astype(np.int64)
    return from_rows(["chrf"], pairs[order][first], _chrf_of_counts)


def _chrf_of_counts(sums: FloatArray) -> FloatArray:
    """From counts of hypothesis, reference and matches by order, (draws, 18), to (draws, 1)."""
    made, wanted, matched = np.split(sums, 3, axis=1)
    counted = (made > 0) & (wanted > 0)
    num_orders = counted.sum(1).astype(np.float64)
    precision = divide((divide(matched, made, otherwise=0.0) * counted).sum(1), num_orders, otherwise=0.0)
    recall = divide((divide(matched, wanted, otherwise=0.0) * counted).sum(1), num_orders, otherwise=0.0)
    top = (1 + _CHRF_RECALL_WEIGHT) * precision * recall
    return 100 * divide(top, _CHRF_RECALL_WEIGHT * precision + recall, otherwise=0.0)[:, None]
