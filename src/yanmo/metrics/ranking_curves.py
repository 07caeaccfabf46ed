"""How well a score separates right from wrong, whatever the threshold."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from yanmo.errors import InputError
from yanmo.metrics.scores import FloatArray, Scores, check_finite, check_pairs, divide


def ranking_curves(gold: Sequence[bool], scores: Sequence[float]) -> Scores:
    """Areas under the curves that a threshold draws; shares from 0 to 1.

    - ``roc_auc``: chance that a positive example scores above a negative one, ties half (Hanley and McNeil
      1982); 0.5 for guessing. NaN without a positive or without a negative example.
    - ``average_precision``: Σ (R_k - R_{k-1}) P_k over thresholds from high to low, no interpolation;
      guessing gives the share of positives. NaN without a positive example. The better one where positives
      are rare.

    Args:
        gold: whether each example is positive.
        scores: larger for more likely positive, of any scale.

    Raises:
        InputError: the lengths differ or are 0, or a score is not finite.
    """
    check_pairs(gold, scores)
    positive, score = np.asarray(gold, bool), np.asarray(scores, np.float64)
    check_finite(score)
    distinct, group = np.unique(-score, return_inverse=True)
    # A kind is a score and a side, so kinds lie in falling order of scores.
    is_kind = np.zeros(2 * len(distinct), bool)
    is_kind[2 * group + positive] = True
    number = np.cumsum(is_kind) - 1
    of_kind = np.flatnonzero(is_kind)
    starts = np.flatnonzero(np.concatenate([[True], np.diff(of_kind // 2) > 0]))
    kind_positive = (of_kind % 2).astype(np.float64)

    def of_weights(weights: FloatArray) -> FloatArray:
        hits = np.add.reduceat(weights * kind_positive, starts, axis=1)
        others = np.add.reduceat(weights, starts, axis=1) - hits
        hits_so_far, others_so_far = np.cumsum(hits, axis=1), np.cumsum(others, axis=1)
        num_hits, num_others = hits_so_far[:, -1], others_so_far[:, -1]
        won = (others * (hits_so_far - hits / 2)).sum(1)
        precision = divide(hits_so_far, hits_so_far + others_so_far, otherwise=0.0)
        return np.column_stack(
            [
                divide(won, num_hits * num_others, otherwise=np.nan),
                divide((hits * precision).sum(1), num_hits, otherwise=np.nan),
            ]
        )

    return Scores(
        names=("roc_auc", "average_precision"),
        kinds=number[2 * group + positive].astype(np.int64),
        num_kinds=len(of_kind),
        of_weights=of_weights,
    )


def roc_auc_macro(gold: ArrayLike, scores: ArrayLike) -> float:
    """Mean of each label's ROC area, one label against the rest; a share from 0 to 1.

    Labels without a positive or without a negative example are left out.

    Args:
        gold: (examples,) numbers of the right labels, or (examples, labels) booleans.
        scores: (examples, labels), larger for more likely.

    Raises:
        InputError: the shapes do not fit, or no label has both sides.
    """
    table = np.asarray(scores, np.float64)
    wanted = np.asarray(gold)
    if table.ndim != 2 or wanted.shape not in ((len(table),), table.shape):
        raise InputError(f"gold of shape {wanted.shape} does not fit scores of shape {table.shape}")
    positive = wanted.astype(bool) if wanted.ndim == 2 else wanted[:, None] == np.arange(table.shape[1])
    mixed = positive.any(0) & ~positive.all(0)
    if not mixed.any():
        raise InputError("no label has both positive and negative examples")
    areas = [
        ranking_curves(positive[:, label].tolist(), table[:, label].tolist())["roc_auc"]
        for label in np.flatnonzero(mixed)
    ]
    return float(np.mean(areas))
