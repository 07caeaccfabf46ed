"""Intervals: of any score over examples, of a share, of a ratio, of a mean over seeds.

- ``bootstrap``: percentile bootstrap over examples (Efron and Tibshirani 1993, "An Introduction to the
  Bootstrap", chapter 13). For ANY ``Scores``; all scores of one call see the same resamples.
- ``wilson`` and ``clopper_pearson``: of a share such as accuracy (Brown, Cai and DasGupta 2001, "Interval
  estimation for a binomial proportion", Statistical Science 16). The second is exact, so a little wide.
- ``ratio_interval``: bootstrap of a ratio such as bits per byte.
- ``mean_over_seeds``: Student's t for a handful of runs.
- ``mean_over_folds``: the same for cross-validation, whose models have learned from much the same rows
  (Nadeau and Bengio 2003, "Inference for the generalization error", Machine Learning 52, section 3).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from yanmo.errors import InputError
from yanmo.metrics.scores import FloatArray, IntArray, Scores, from_ratios

# Weights of a block of resamples: 1.6 MB stay in the cache; ten times as much takes up to twice as long.
BLOCK_NUMBERS = 200_000
# Drawing how often a kind occurs costs this many times as much as drawing an example.
_COST_OF_A_KIND = 2


class Interval(NamedTuple):
    """Lower and upper bound; both NaN where the score is not defined."""

    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class SeedsInterval:
    """Mean of the same score over runs with different seeds.

    Attributes:
        mean: over the runs.
        low: lower bound of the mean.
        high: upper bound of the mean.
        deviation: standard deviation between runs (n - 1).
        num_seeds: how many runs.
    """

    mean: float
    low: float
    high: float
    deviation: float
    num_seeds: int


def bootstrap(
    scores: Scores, *, confidence: float = 0.95, num_resamples: int = 1000, seed: int = 0
) -> dict[str, Interval]:
    """Percentile bootstrap interval of every score.

    Resamples in which a score is not defined (a correlation of equal numbers, a recall without a case)
    are left out of its quantiles. With one example both bounds are the value. A macro average over labels
    with a handful of cases each comes out lower in resamples than its value, which may then lie above the
    interval: so few cases say little about such a mean.

    Args:
        scores: what to resample.
        confidence: share of resamples inside the interval, between 0 and 1.
        num_resamples: how many resamples.
        seed: of the resampling.

    Raises:
        InputError: the confidence is not between 0 and 1, or there is no resample.
    """
    check_settings(confidence, num_resamples)
    draws = resamples(scores.kinds, scores.counts, num_resamples=num_resamples, seed=seed)
    values = np.concatenate([scores.of_weights(weights) for weights in draws])
    return {name: percentiles(values[:, column], confidence) for column, name in enumerate(scores.names)}


def resamples(kinds: IntArray, counts: IntArray, *, num_resamples: int, seed: int) -> Iterator[FloatArray]:
    """How often each kind occurs in resamples of as many examples, (resamples of a block, num_kinds) each."""
    rng = np.random.default_rng(seed)
    num_examples, num_kinds = len(kinds), len(counts)
    block = max(1, BLOCK_NUMBERS // num_kinds)
    for start in range(0, num_resamples, block):
        size = min(block, num_resamples - start)
        if num_kinds * _COST_OF_A_KIND <= num_examples:
            yield rng.multinomial(num_examples, counts / num_examples, size=size).astype(np.float64)
            continue
        weights = np.empty((size, num_kinds))
        for row in weights:
            drawn = kinds[rng.integers(0, num_examples, num_examples)]
            row[:] = np.bincount(drawn, minlength=num_kinds)
        yield weights


def percentiles(values: FloatArray, confidence: float) -> Interval:
    """The interval that holds ``confidence`` of the values that are defined, with equal tails."""
    defined = values[np.isfinite(values)]
    if len(defined) == 0:
        return Interval(math.nan, math.nan)
    tail = (1 - confidence) / 2
    low, high = np.quantile(defined, [tail, 1 - tail])
    return Interval(float(low), float(high))


def check_settings(confidence: float, num_resamples: int) -> None:
    """Refuse settings that give no interval.

    Raises:
        InputError: the confidence is not between 0 and 1, or there is no resample.
    """
    if not 0 < confidence < 1:
        raise InputError(f"a confidence of {confidence} is not between 0 and 1")
    if num_resamples < 1:
        raise InputError(f"{num_resamples} resamples give no interval")


def wilson(num_right: int, num_examples: int, *, confidence: float = 0.95) -> Interval:
    """Wilson's score interval of the share ``num_right / num_examples`` (Wilson 1927).

    (p + z²/2n ± z √(p(1-p)/n + z²/4n²)) / (1 + z²/n). Good from a handful of examples on; it stays inside 0
    to 1 and does not vanish when all are right.

    Raises:
        InputError: there is no example, or more are right than there are.
    """
    _check_share(num_right, num_examples, confidence)
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share, n = num_right / num_examples, num_examples
    middle = share + z * z / (2 * n)
    reach = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    # Rounding must not lift a bound above 1 or below 0.
    return Interval(max(0.0, (middle - reach) / scale), min(1.0, (middle + reach) / scale))


def clopper_pearson(num_right: int, num_examples: int, *, confidence: float = 0.95) -> Interval:
    """The exact interval of a share: covers at least as often as it says (Clopper and Pearson 1934).

    Quantiles of Beta(k, n - k + 1) and Beta(k + 1, n - k).

    Raises:
        InputError: there is no example, or more are right than there are.
    """
    from scipy.special import betaincinv

    _check_share(num_right, num_examples, confidence)
    tail = (1 - confidence) / 2
    wrong = num_examples - num_right
    low = 0.0 if num_right == 0 else float(betaincinv(num_right, wrong + 1, tail))
    high = 1.0 if wrong == 0 else float(betaincinv(num_right + 1, wrong, 1 - tail))
    return Interval(low, high)


def _check_share(num_right: int, num_examples: int, confidence: float) -> None:
    check_settings(confidence, 1)
    if not 0 <= num_right <= num_examples or num_examples == 0:
        raise InputError(f"{num_right} right of {num_examples} is not a share")


def ratio_interval(
    numerators: Sequence[float],
    denominators: Sequence[float],
    *,
    confidence: float = 0.95,
    num_resamples: int = 1000,
    seed: int = 0,
) -> Interval:
    """Percentile bootstrap interval of sum(numerators) / sum(denominators).

    The pairs are resampled together, so the interval is right for a ratio such as bits per byte
    over documents or blocks of unequal length (Efron and Tibshirani 1993, section 13.3).

    Args:
        numerators: one value a block, for instance bits.
        denominators: one value a block, for instance bytes; same length.
        confidence: share of resamples inside the interval, between 0 and 1.
        num_resamples: how many resamples.
        seed: of the resampling.

    Returns:
        Lower and upper bound; both equal the ratio where there is one block only.

    Raises:
        InputError: there is no block, the lengths differ, or the denominators sum to 0.
    """
    if not 0 < len(numerators) == len(denominators) or sum(denominators) <= 0:
        raise InputError(f"an interval needs blocks of text, not {len(numerators)} of {len(denominators)}")
    top, bottom = np.asarray(numerators, np.float64), np.asarray(denominators, np.float64)
    ratio = from_ratios(["ratio"], top[:, None], bottom[:, None])
    return bootstrap(ratio, confidence=confidence, num_resamples=num_resamples, seed=seed)["ratio"]


def mean_over_seeds(values: Sequence[float], *, confidence: float = 0.95) -> SeedsInterval:
    """Mean of a score over seeds, with Student's t interval: mean ± t(n - 1) s / √n.

    It speaks of other seeds on the same examples; ``bootstrap`` speaks of other examples.

    Raises:
        InputError: there are fewer than two values, or one is not finite.
    """
    return _mean_of_runs(values, 1 / max(1, len(values)), confidence)


def mean_over_folds(values: Sequence[float], *, confidence: float = 0.95) -> SeedsInterval:
    """Mean of a score over the folds of a cross-validation: mean ± t(k - 1) s √(1/k + 1/(k - 1)).

    1/(k - 1), the size of a fold over that of the rest, makes up for what any two models have learned from in
    common.

    Raises:
        InputError: there are fewer than two values, or one is not finite.
    """
    return _mean_of_runs(values, 1 / max(1, len(values)) + 1 / max(1, len(values) - 1), confidence)


def _mean_of_runs(values: Sequence[float], share: float, confidence: float) -> SeedsInterval:
    """``share``: variance of the mean over that of a value."""
    from scipy.special import stdtrit

    check_settings(confidence, 1)
    found = np.asarray(values, np.float64)
    if len(found) < 2 or not np.isfinite(found).all():
        raise InputError(f"an interval over runs needs two finite values at least, not {list(values)}")
    mean, deviation = float(found.mean()), float(found.std(ddof=1))
    reach = float(stdtrit(len(found) - 1, (1 + confidence) / 2)) * deviation * math.sqrt(share)
    return SeedsInterval(
        mean=mean, low=mean - reach, high=mean + reach, deviation=deviation, num_seeds=len(found)
    )
