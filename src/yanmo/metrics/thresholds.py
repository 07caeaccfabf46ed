"""Thresholds on scores, above which a label is given, that make F1 largest.

The best threshold for F1 is about half the F1 that it reaches, not 0.5 (Lipton, Elkan and Naryanaswamy 2014,
arXiv 1402.1892), so rare labels need low ones. To be found on other examples than they are judged on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from yanmo.errors import InputError
from yanmo.metrics.scores import FloatArray, check_finite


def best_threshold(gold: Sequence[bool], scores: Sequence[float], *, without_cases: float = 0.5) -> float:
    """The threshold t with the largest F1 of "score >= t".

    It lies half way between two scores, the highest of several equally good ones; below all of them where
    everything is best taken.

    Args:
        gold: whether each example is positive.
        scores: larger for more likely positive.
        without_cases: the threshold where no example is positive.

    Raises:
        InputError: the lengths differ or are 0, or a score is not finite.
    """
    positive, score = np.asarray(gold, bool), np.asarray(scores, np.float64)
    if positive.shape != score.shape or positive.ndim != 1 or len(score) == 0:
        raise InputError(f"gold of shape {positive.shape} does not fit scores of shape {score.shape}")
    check_finite(score)
    if not positive.any():
        return without_cases
    order = np.argsort(-score, kind="stable")
    falling, hits = score[order], np.cumsum(positive[order])
    taken = np.arange(1, len(score) + 1)
    f1 = 2 * hits / (taken + positive.sum())
    # Equal scores cannot be parted.
    f1[np.flatnonzero(falling[1:] == falling[:-1])] = -1.0
    best = int(np.argmax(f1))
    return float(falling[best] if best + 1 == len(falling) else (falling[best] + falling[best + 1]) / 2)


def tune_thresholds(
    gold: ArrayLike,
    scores: ArrayLike,
    *,
    average: Literal["macro", "micro"] = "macro",
    without_cases: float = 0.5,
) -> FloatArray:
    """A threshold for each label of a multi-label task.

    Args:
        gold: (examples, labels) booleans.
        scores: (examples, labels), larger for more likely.
        average: ``macro`` finds each label's own best threshold, which makes macro F1 largest; ``micro``
            finds one for all, steadier where labels have a handful of cases.
        without_cases: the threshold of a label without a positive example.

    Returns:
        (labels,).

    Raises:
        InputError: the shapes differ or are empty, or a score is not finite.
    """
    positive, table = np.asarray(gold, bool), np.asarray(scores, np.float64)
    if positive.shape != table.shape or table.ndim != 2 or table.size == 0:
        raise InputError(f"gold of shape {positive.shape} does not fit scores of shape {table.shape}")
    if average not in ("macro", "micro"):
        raise InputError(f"thresholds are tuned for macro or micro F1, not {average!r}")
    if average == "micro":
        one = best_threshold(positive.ravel().tolist(), table.ravel().tolist(), without_cases=without_cases)
        return np.full(table.shape[1], one)
    found = [
        best_threshold(labels.tolist(), column.tolist(), without_cases=without_cases)
        for labels, column in zip(positive.T, table.T, strict=True)
    ]
    return np.array(found)
