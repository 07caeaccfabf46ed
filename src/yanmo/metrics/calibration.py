"""Whether probabilities mean what they say, and the temperature that makes them do so.

Expected calibration error and temperature: Guo et al. 2017, arXiv 1706.04599, sections 2 and 4.2. Score of
Brier 1950.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from yanmo.errors import InputError
from yanmo.metrics.intervals import Interval, wilson
from yanmo.metrics.scores import FloatArray, IntArray, Scores, check_pairs, divide, from_rows

# A right answer that was given no chance at all costs as much as 1 in 10^15.
_LEAST_PROBABILITY = 1e-15
# Temperatures are sought between these; perfect answers would have it fall to 0, useless ones rise without
# end.
_TEMPERATURES = (0.05, 100.0)


def calibration(gold: Sequence[int], probabilities: ArrayLike, *, num_bins: int = 15) -> Scores:
    """Scores of the probabilities of one label an example; smaller is better.

    - ``ece``: Σ over bins of n_b / n · |right_b - confidence_b|, bins of equal width over the largest
      probability; a share from 0 to 1. Never negative, so noise raises it, and resampling raises it again.
    - ``brier``: half the mean of Σ_k (p_k - y_k)², 0 to 1; with two labels the mean of (p - y)².
    - ``nll``: mean of -log p of the right label, in nats; what the temperature minimises.

    Args:
        gold: number of the right label of each example.
        probabilities: (examples, labels), rows that sum to 1.
        num_bins: of the confidence.

    Raises:
        InputError: shapes do not fit, a row is no distribution, or a label is out of range.
    """
    table = _distributions(probabilities)
    wanted = _label_numbers(gold, table)
    rows = np.arange(len(table))
    right = (table.argmax(1) == wanted).astype(np.float64)
    of_right = table[rows, wanted]
    # Σ (p_k - y_k)² = Σ p_k² - 2 p_right + 1
    brier = ((table**2).sum(1) - 2 * of_right + 1) / 2
    nll = -np.log(np.maximum(of_right, _LEAST_PROBABILITY))
    return _calibration_scores(table.max(1), right, brier, nll, num_bins)


def decision_calibration(
    gold: Sequence[bool], probabilities: Sequence[float], *, num_bins: int = 15
) -> Scores:
    """The same scores of the probabilities of single decisions: is it so or not.

    For two labels, or the decisions of several labels one after the other. Bins are over the
    probability of yes; ``brier`` is the mean of (p - y)².

    Raises:
        InputError: the lengths differ or are 0, or a number is no probability.
    """
    check_pairs(gold, probabilities)
    yes = _probabilities(probabilities)
    wanted = np.asarray(gold, bool).astype(np.float64)
    nll = -np.log(np.maximum(np.where(wanted > 0, yes, 1 - yes), _LEAST_PROBABILITY))
    return _calibration_scores(yes, wanted, (yes - wanted) ** 2, nll, num_bins)


def _calibration_scores(
    confidence: FloatArray, right: FloatArray, brier: FloatArray, nll: FloatArray, num_bins: int
) -> Scores:
    bins = _bins(confidence, num_bins)
    gaps = np.zeros((len(confidence), num_bins))
    gaps[np.arange(len(confidence)), bins] = right - confidence
    rows = np.column_stack([gaps, brier, nll, np.ones(len(confidence))])

    def formula(sums: FloatArray) -> FloatArray:
        means = divide(sums[:, :-1], sums[:, -1:], otherwise=np.nan)
        return np.column_stack([np.abs(means[:, :num_bins]).sum(1), means[:, num_bins:]])

    return from_rows(["ece", "brier", "nll"], rows, formula)


@dataclass(frozen=True, kw_only=True)
class ReliabilityBin:
    """What a model was right about where it was this sure.

    Attributes:
        low: lower bound of the probability, not in the bin but for 0.
        high: upper bound, in the bin.
        num_examples: how many fall here.
        confidence: their mean probability; NaN for none.
        accuracy: share of them that came true; NaN for none.
        interval: Wilson's, of the accuracy; NaN for none.
    """

    low: float
    high: float
    num_examples: int
    confidence: float
    accuracy: float
    interval: Interval


def reliability_bins(
    confidence: Sequence[float], right: Sequence[bool], *, num_bins: int = 15
) -> list[ReliabilityBin]:
    """The bins of a reliability diagram, of equal width, lowest first.

    Args:
        confidence: probability given to each answer.
        right: whether it came true.
        num_bins: how many bins.

    Raises:
        InputError: the lengths differ or are 0, or a number is no probability.
    """
    check_pairs(confidence, right)
    given, true = _probabilities(confidence), np.asarray(right, bool)
    bins = _bins(given, num_bins)
    counts = np.bincount(bins, minlength=num_bins)
    sums = np.bincount(bins, given, minlength=num_bins)
    hits = np.bincount(bins, true, minlength=num_bins)
    nothing = Interval(float("nan"), float("nan"))
    return [
        ReliabilityBin(
            low=index / num_bins,
            high=(index + 1) / num_bins,
            num_examples=int(count),
            confidence=float(sums[index] / count) if count else float("nan"),
            accuracy=float(hits[index] / count) if count else float("nan"),
            interval=wilson(int(hits[index]), int(count)) if count else nothing,
        )
        for index, count in enumerate(counts)
    ]


def fit_temperature(logits: ArrayLike, gold: Sequence[int], *, smoothing: float = 0.0) -> float:
    """The temperature T with which softmax(logits / T) gives the right labels the largest likelihood.

    It changes no answer, only how sure it is. The likelihood is concave in 1 / T, so the slope's sign
    change is found by halving, to a relative 1e-9. To be fitted on examples that the model was not trained
    on.

    Args:
        logits: (examples, labels).
        gold: number of the right label of each example.
        smoothing: share of each example that counts as one of the other labels, all of them alike; keeps few
            examples that are all right from calling for certainty.

    Returns:
        T, from 0.05 (all right: no temperature is too cold) to 100 (the logits say nothing).

    Raises:
        InputError: shapes do not fit, a logit is not finite, or a label is out of range.
    """
    table = np.asarray(logits, np.float64)
    if table.ndim != 2 or not np.isfinite(table).all():
        raise InputError(f"logits of shape {table.shape} are not finite numbers, a row an example")
    wanted = _label_numbers(gold, table)
    table = table - table.max(1, keepdims=True)
    of_right = table[np.arange(len(table)), wanted].mean()
    of_others = (table.sum(1).mean() - of_right) / max(1, table.shape[1] - 1)
    of_right = (1 - smoothing) * of_right + smoothing * of_others

    def too_sure(sharpness: float) -> bool:
        """Whether the expected logit is above that of the right labels: the slope by 1 / T is negative."""
        powers = np.exp(table * sharpness)
        expected = (powers * table).sum(1) / powers.sum(1)
        return bool(expected.mean() > of_right)

    low, high = 1 / _TEMPERATURES[1], 1 / _TEMPERATURES[0]
    if too_sure(low):
        return _TEMPERATURES[1]
    if not too_sure(high):
        return _TEMPERATURES[0]
    while high / low > 1 + 1e-9:
        middle = (low * high) ** 0.5
        low, high = (low, middle) if too_sure(middle) else (middle, high)
    return float((low * high) ** -0.5)


def fit_decision_temperature(logits: ArrayLike, gold: ArrayLike, *, smoothing: float = 0.0) -> float:
    """The same for sigmoid(logits / T): two labels with one logit, or the decisions of several labels.

    Args:
        logits: of any shape.
        gold: booleans of that shape.
        smoothing: share of each decision that counts as the other one.

    Raises:
        InputError: the shapes differ, or a logit is not finite.
    """
    yes, wanted = np.asarray(logits, np.float64), np.asarray(gold, bool)
    if yes.shape != wanted.shape:
        raise InputError(f"gold of shape {wanted.shape} does not fit logits of shape {yes.shape}")
    flat = yes.reshape(-1)
    # A sigmoid is a softmax whose other logit is 0.
    return fit_temperature(
        np.column_stack([np.zeros_like(flat), flat]),
        wanted.reshape(-1).astype(int).tolist(),
        smoothing=smoothing,
    )


def softmax(logits: ArrayLike, *, temperature: float = 1.0) -> FloatArray:
    """exp(z / T) over its sum along the last axis."""
    scaled = np.asarray(logits, np.float64) / temperature
    powers = np.exp(scaled - scaled.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def _bins(confidence: FloatArray, num_bins: int) -> IntArray:
    if num_bins < 1:
        raise InputError(f"{num_bins} bins hold nothing")
    return np.clip(np.ceil(confidence * num_bins).astype(np.int64) - 1, 0, num_bins - 1)


def _probabilities(given: ArrayLike) -> FloatArray:
    found = np.asarray(given, np.float64)
    # Rounding in a softmax of lower precision may end a little above 1; NaN is in no range.
    fine = (found >= -1e-6) & (found <= 1 + 1e-6)
    if not fine.all():
        where = f"example {int(np.argmin(fine.reshape(len(found), -1).all(1)))}"
        raise InputError("a number is no probability from 0 to 1", where=where)
    return np.clip(found, 0.0, 1.0)


def _distributions(given: ArrayLike) -> FloatArray:
    table = np.asarray(given, np.float64)
    if table.ndim != 2 or 0 in table.shape:
        raise InputError(f"probabilities of shape {table.shape} are not a row an example")
    table = _probabilities(table)
    fine = np.abs(table.sum(1) - 1) < 1e-3
    if not fine.all():
        raise InputError("the probabilities do not sum to 1", where=f"example {int(np.argmin(fine))}")
    return table


def _label_numbers(gold: Sequence[int], table: FloatArray) -> IntArray:
    check_pairs(gold, table)
    wanted = np.asarray(gold, np.int64)
    fine = (wanted >= 0) & (wanted < table.shape[1])
    if not fine.all():
        where = int(np.argmin(fine))
        raise InputError(
            f"there is no label {wanted[where]} among {table.shape[1]}", where=f"example {where}"
        )
    return wanted
