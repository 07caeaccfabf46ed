"""Whether one system is better than another on the same examples.

Both systems' examples are pooled in one ``Scores``: the first half are the first system's, the second half
the second's, in the same order, so that labels and statistics are common. Weights then choose what counts
for whom, and any score can be tested:

    both = classification([*gold, *gold], [*first, *second])
    paired_bootstrap(both)["f1_macro"]          # difference, interval, p

- ``paired_bootstrap``: both on the same resamples (Koehn 2004, "Statistical significance tests for machine
  translation evaluation"; p by shifting, as Riezler and Maxwell 2005 advise).
- ``approximate_randomisation``: if the systems were alike, each example's two answers could change places
  (Noreen 1989; Yeh 2000). The better test where both apply; it gives no interval.
- ``mcnemar``: exact, for right and wrong answers alone.

Differences are second minus first. A p-value is two-sided, the chance of a difference at least this large
if there were none; it is never below 1 / (resamples + 1).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from yanmo.errors import InputError
from yanmo.metrics.intervals import BLOCK_NUMBERS, check_settings, percentiles, resamples
from yanmo.metrics.scores import FloatArray, IntArray, Scores, check_pairs

if TYPE_CHECKING:
    from scipy.sparse import csr_array


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One score of two systems.

    Attributes:
        first: value of the first system.
        second: value of the second system.
        difference: second - first.
        low: lower bound of the difference.
        high: upper bound.
        p_value: two-sided.
    """

    first: float
    second: float
    difference: float
    low: float
    high: float
    p_value: float


@dataclass(frozen=True, kw_only=True)
class _Pairs:
    """Pairs of kinds: an example's kind under the first and the second system.

    Attributes:
        of_example: number of each example's pair, (examples,).
        counts: how many examples each pair has, (pairs,).
        first: (pairs, kinds), one 1 a row.
        second: the same.
        differs: pairs whose kinds are not the same.
    """

    of_example: IntArray
    counts: IntArray
    first: csr_array
    second: csr_array
    differs: IntArray


def paired_bootstrap(
    both: Scores, *, confidence: float = 0.95, num_resamples: int = 1000, seed: int = 0
) -> dict[str, Difference]:
    """Difference of every score between two systems, with interval and p-value.

    p = (1 + number of resamples with |d* - mean d*| >= |d|) / (resamples + 1).

    Args:
        both: scores of the first system's examples followed by the second's.
        confidence: share of resamples inside the interval.
        num_resamples: how many resamples.
        seed: of the resampling.

    Raises:
        InputError: the number of examples is odd, the confidence not between 0 and 1, or there is no
            resample.
    """
    check_settings(confidence, num_resamples)
    pairs = _pair_kinds(both)
    blocks = []
    for drawn in resamples(pairs.of_example, pairs.counts, num_resamples=num_resamples, seed=seed):
        blocks.append(both.of_weights(drawn @ pairs.second) - both.of_weights(drawn @ pairs.first))
    differences = np.concatenate(blocks)
    first, second = _values(both, pairs)
    result = {}
    for column, name in enumerate(both.names):
        drawn = differences[:, column]
        observed = float(second[column] - first[column])
        interval = percentiles(drawn, confidence)
        defined = drawn[np.isfinite(drawn)]
        result[name] = Difference(
            first=float(first[column]),
            second=float(second[column]),
            difference=observed,
            low=interval.low,
            high=interval.high,
            p_value=_p_value(defined - defined.mean(), observed) if len(defined) else float("nan"),
        )
    return result


def approximate_randomisation(both: Scores, *, num_resamples: int = 1000, seed: int = 0) -> dict[str, float]:
    """Two-sided p-value of every score's difference, by exchanging the systems' answers at random.

    p = (1 + number of exchanges with |d*| >= |d|) / (exchanges + 1).

    Args:
        both: scores of the first system's examples followed by the second's.
        num_resamples: how many exchanges.
        seed: of the exchanges.

    Raises:
        InputError: the number of examples is odd, or there is no exchange.
    """
    check_settings(0.5, num_resamples)
    pairs = _pair_kinds(both)
    first, second = _values(both, pairs)
    change = pairs.second[pairs.differs] - pairs.first[pairs.differs]
    all_first, all_second = pairs.counts @ pairs.first, pairs.counts @ pairs.second
    blocks = []
    for swapped in _exchanges(pairs.counts[pairs.differs], both.num_kinds, num_resamples, seed):
        moved = swapped @ change
        blocks.append(both.of_weights(all_second - moved) - both.of_weights(all_first + moved))
    differences = np.concatenate(blocks)
    observed = second - first
    return {
        name: _p_value(differences[np.isfinite(differences[:, column]), column], float(observed[column]))
        for column, name in enumerate(both.names)
    }


def mcnemar(first_right: Sequence[bool], second_right: Sequence[bool]) -> float:
    """Exact two-sided p-value of McNemar's test (1947): who alone is right, as often the one as the other?

    2 · P(X <= min(b, c)) with X binomial of b + c trials and 1/2, at most 1; 1 where the systems never
    differ.

    Args:
        first_right: whether the first system is right, for each example.
        second_right: the same of the second.

    Raises:
        InputError: the lengths differ or are 0.
    """
    from scipy.special import bdtr

    check_pairs(first_right, second_right)
    first, second = np.asarray(first_right, bool), np.asarray(second_right, bool)
    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    return min(1.0, 2 * float(bdtr(min(only_first, only_second), only_first + only_second, 0.5)))


def _pair_kinds(both: Scores) -> _Pairs:
    from scipy.sparse import csr_array

    if both.num_examples % 2:
        raise InputError(
            f"{both.num_examples} examples are not those of two systems",
            remedy="score the first system's examples followed by the second's",
        )
    half = both.num_examples // 2
    keys = both.kinds[:half] * both.num_kinds + both.kinds[half:]
    pairs, of_example = np.unique(keys, return_inverse=True)
    first, second = np.divmod(pairs, both.num_kinds)

    def choose(kinds: IntArray) -> csr_array:
        starts = np.arange(len(kinds) + 1)
        return csr_array((np.ones(len(kinds)), kinds, starts), shape=(len(kinds), both.num_kinds))

    return _Pairs(
        of_example=of_example.astype(np.int64),
        counts=np.bincount(of_example).astype(np.int64),
        first=choose(first),
        second=choose(second),
        differs=np.flatnonzero(first != second).astype(np.int64),
    )


def _values(both: Scores, pairs: _Pairs) -> tuple[FloatArray, FloatArray]:
    counts = pairs.counts[None].astype(np.float64)
    return both.of_weights(counts @ pairs.first)[0], both.of_weights(counts @ pairs.second)[0]


def _exchanges(counts: IntArray, num_kinds: int, num_resamples: int, seed: int) -> Iterator[FloatArray]:
    """How many examples of each differing pair change places, (exchanges of a block, pairs)."""
    rng = np.random.default_rng(seed)
    block = max(1, BLOCK_NUMBERS // max(num_kinds, len(counts), 1))
    single = bool((counts == 1).all())
    for start in range(0, num_resamples, block):
        shape = (min(block, num_resamples - start), len(counts))
        drawn = rng.integers(0, 2, shape, dtype=np.int8) if single else rng.binomial(counts, 0.5, shape)
        yield drawn.astype(np.float64)


def _p_value(differences: FloatArray, observed: float) -> float:
    """Share of differences at least as large; the observed one is one of them."""
    # Sums in another order differ in the last digits, which must not decide.
    least = abs(observed) * (1 - 1e-9)
    return float((1 + (np.abs(differences) >= least).sum()) / (1 + len(differences)))
