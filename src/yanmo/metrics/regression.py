"""Scores of predicted numbers: grades, similarities, stars.

All are functions of sums of x, y, x², y² and xy over the examples, but Spearman's, which ranks the examples
anew under every weighting.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from yanmo.metrics.scores import FloatArray, IntArray, Scores, check_finite, check_pairs, divide, from_rows

_MOMENTS = ("pearson", "spearman", "mae", "rmse", "r2", "concordance")


def regression(gold: Sequence[float], predicted: Sequence[float]) -> Scores:
    """Scores of predicted numbers against gold ones.

    - ``pearson``: covariance over the product of deviations, -1 to 1; NaN where either is constant.
    - ``spearman``: Pearson's of the ranks, equal numbers sharing their mean rank (Spearman 1904).
    - ``mae``, ``rmse``: mean absolute error, root of the mean squared error, in the numbers' own unit;
      smaller is better.
    - ``r2``: 1 - Σ(y - x)² / Σ(y - ȳ)²; 1 at best, 0 for the gold mean, negative for worse.
    - ``concordance``: 1 - Σ(x - y)² / n(var x + var y + (x̄ - ȳ)²), Lin 1989; for grades it is Cohen's kappa
      with quadratic weights (1968), which unlike a correlation sees a constant shift.

    Raises:
        InputError: the lengths differ or are 0, or a number is not finite.
    """
    check_pairs(gold, predicted)
    pairs = np.column_stack([np.asarray(predicted, np.float64), np.asarray(gold, np.float64)])
    check_finite(pairs)
    # Each about its own mean: sums of squares of large, nearly equal numbers would lose every digit.
    x, y = (pairs - pairs.mean(0)).T
    offset = float(pairs[:, 0].mean() - pairs[:, 1].mean())
    distance = np.abs(pairs[:, 0] - pairs[:, 1])
    rows = np.column_stack([np.ones(len(x)), x, y, x * x, y * y, x * y, distance, distance**2])
    moments = from_rows(_MOMENTS, rows, lambda sums: _of_sums(sums, offset))
    first = np.zeros(moments.num_kinds, np.int64)
    first[moments.kinds] = np.arange(len(x))
    ranks = _RankCorrelation(x[first], y[first])

    def of_weights(weights: FloatArray) -> FloatArray:
        values = moments.of_weights(weights)
        values[:, 1] = ranks(weights)
        return values

    return replace(moments, of_weights=of_weights)


def _of_sums(sums: FloatArray, offset: float) -> FloatArray:
    """All but Spearman's (left NaN).

    Args:
        sums: of 1, x, y, x², y², xy, |x - y| and (x - y)², (draws, 8); x and y moved so that their means are
            0.
        offset: by how much further x was moved than y.
    """
    count, x, y, xx, yy, xy, distance, square = sums.T
    spread_x, spread_y = xx - divide(x * x, count, otherwise=0.0), yy - divide(y * y, count, otherwise=0.0)
    shift = divide(x - y, count, otherwise=0.0) + offset
    expected = spread_x + spread_y + count * shift**2
    return np.column_stack(
        [
            _correlation(count, x, y, xx, yy, xy),
            np.full(len(sums), np.nan),
            divide(distance, count, otherwise=np.nan),
            np.sqrt(divide(square, count, otherwise=np.nan)),
            1 - divide(square, _unless_rounding(spread_y, yy), otherwise=np.nan),
            1 - divide(square, _unless_rounding(expected, xx + yy + count * offset**2), otherwise=np.nan),
        ]
    )


def _correlation(
    count: FloatArray, x: FloatArray, y: FloatArray, xx: FloatArray, yy: FloatArray, xy: FloatArray
) -> FloatArray:
    """Pearson's from sums; NaN where a variance is nothing but rounding."""
    spread_x, spread_y = count * xx - x * x, count * yy - y * y
    spread = _unless_rounding(spread_x, count * xx) * _unless_rounding(spread_y, count * yy)
    bottom = np.sqrt(spread)
    return np.clip(divide(count * xy - x * y, bottom, otherwise=np.nan), -1.0, 1.0)


def _unless_rounding(spread: FloatArray, scale: FloatArray) -> FloatArray:
    """A sum of squares about a mean, or 0 where it is the rounding of numbers of this scale."""
    return np.where(spread > 1e-12 * scale, spread, 0.0)


class _RankCorrelation:
    """Spearman's correlation of numbers under weights: the mean rank of equal ones, then Pearson's."""

    def __init__(self, x: FloatArray, y: FloatArray) -> None:
        self.sides = [_Ranks(x), _Ranks(y)]

    def __call__(self, weights: FloatArray) -> FloatArray:
        """From (draws, numbers) to (draws,)."""
        count = weights.sum(1)
        # Ranks about their mean, (count + 1) / 2, so that the sums of the deviations are 0.
        x, y = (side(weights) - (count[:, None] + 1) / 2 for side in self.sides)
        weighted = weights * x
        xx, xy = np.einsum("dn,dn->d", weighted, x), np.einsum("dn,dn->d", weighted, y)
        yy = np.einsum("dn,dn,dn->d", weights, y, y)
        defined = (xx > 1e-9) & (yy > 1e-9)
        return np.clip(divide(xy, np.sqrt(np.where(defined, xx * yy, 0.0)), otherwise=np.nan), -1.0, 1.0)


class _Ranks:
    """Mean ranks of numbers under weights."""

    def __init__(self, numbers: FloatArray) -> None:
        self.order: IntArray = np.argsort(numbers, kind="stable")
        in_order = numbers[self.order]
        starts = np.concatenate([[True], in_order[1:] != in_order[:-1]])
        self.starts: IntArray = np.flatnonzero(starts)
        self.group: IntArray = np.empty(len(numbers), np.int64)
        self.group[self.order] = np.cumsum(starts) - 1

    def __call__(self, weights: FloatArray) -> FloatArray:
        """From (draws, numbers) to the rank of each number, (draws, numbers), counted from 1."""
        of_groups = weights[:, self.order]
        if len(self.starts) < len(self.order):
            of_groups = np.add.reduceat(of_groups, self.starts, axis=1)
        ranks = np.cumsum(of_groups, axis=1) - (of_groups - 1) / 2
        return ranks[:, self.group]
