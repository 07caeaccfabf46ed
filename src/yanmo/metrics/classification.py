"""Scores of text classification: one label an example, or a set of labels.

Checked against scikit-learn, of whose defaults it departs in one thing: a macro average leaves out labels
that occur nowhere in the (re)sample, which is what scikit-learn does when it is asked without ``labels``.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from yanmo.errors import InputError
from yanmo.metrics.label_counts import (
    AVERAGED_NAMES,
    averages,
    ordered,
    scores_of_labels,
    set_counts,
    single_counts,
)
from yanmo.metrics.scores import FloatArray, IntArray, Scores, check_pairs, divide, from_rows

Label = TypeVar("Label", bound=Hashable)


def classification(gold: Sequence[Label], predicted: Sequence[Label]) -> Scores:
    """Scores of one label an example, all shares from 0 to 1 except ``mcc`` (-1 to 1).

    - ``accuracy``: share of examples that are right; equal to micro precision, recall and F1.
    - ``balanced_accuracy``: mean recall over the labels with a gold case.
    - ``precision_macro``, ``recall_macro``, ``f1_macro``, and the same ``_weighted``: see ``label_counts``.
    - ``mcc``: Matthews' correlation (1975) for any number of labels (Gorodkin 2004),
      (c s - Σ p_k t_k) / √((s² - Σ p_k²)(s² - Σ t_k²)) with c right of s examples, p_k predicted and t_k gold
      cases of label k; 0 where all predictions, or all gold labels, are the same.

    Args:
        gold: the label of each example: strings, numbers or booleans.
        predicted: the same.

    Raises:
        InputError: the lengths differ or are 0.
    """
    _, counts = single_counts(gold, predicted)

    def formula(sums: FloatArray) -> FloatArray:
        right, got, wanted = np.split(sums, 3, axis=1)
        of_averages = averages(right, got, wanted)[:, 3:]
        recalls, has_case = divide(right, wanted, otherwise=0.0), wanted > 0
        leading = [
            divide(right.sum(1), wanted.sum(1), otherwise=np.nan),
            divide((recalls * has_case).sum(1), has_case.sum(1).astype(np.float64), otherwise=np.nan),
            matthews(right, got, wanted),
        ]
        return np.column_stack([*leading, of_averages])

    return from_rows(["accuracy", "balanced_accuracy", "mcc", *AVERAGED_NAMES[3:]], counts, formula)


def classification_by_label(
    gold: Sequence[Label], predicted: Sequence[Label], *, labels: Sequence[Label] | None = None
) -> Scores:
    """``precision/LABEL``, ``recall/LABEL`` and ``f1/LABEL``; shares from 0 to 1.

    Args:
        gold: the label of each example.
        predicted: the same.
        labels: those wanted; None: every one that occurs.

    Raises:
        InputError: the lengths differ or are 0.
    """
    known, counts = single_counts(gold, predicted)
    return scores_of_labels(known, counts, labels)


def matthews(right: FloatArray, predicted: FloatArray, gold: FloatArray) -> FloatArray:
    """Matthews' correlation from counts (draws, labels); see ``classification``. Returns (draws,)."""
    total = gold.sum(1)
    top = right.sum(1) * total - (predicted * gold).sum(1)
    spread = (total**2 - (predicted**2).sum(1)) * (total**2 - (gold**2).sum(1))
    return divide(top, np.sqrt(np.maximum(spread, 0.0)), otherwise=0.0)


def multi_label(gold: Sequence[Collection[Label]], predicted: Sequence[Collection[Label]]) -> Scores:
    """Scores of a set of labels an example; shares from 0 to 1.

    - micro, macro and weighted precision, recall and F1 (see ``label_counts``).
    - ``f1_samples`` and ``jaccard_samples``: mean over examples of 2|G∩P| / (|G|+|P|) and |G∩P| / |G∪P|
      (Godbole and Sarawagi 2004); 1 where both sets are empty, for that is what was asked.
    - ``exact_match``: share of examples whose set is right as a whole.
    - ``hamming_loss``: share of decisions (examples × labels that occur) that are wrong; smaller is better.

    Raises:
        InputError: the lengths differ or are 0.
    """
    from scipy.sparse import csr_array, hstack

    labels, counts = set_counts(gold, predicted, lambda label: label)
    per_example = np.array(
        [_overlap(set(first), set(second)) for first, second in zip(gold, predicted, strict=True)]
    )
    num_extra = per_example.shape[1]
    num_labels = max(len(labels), 1)

    def formula(sums: FloatArray) -> FloatArray:
        right, got, wanted = np.split(sums[:, :-num_extra], 3, axis=1)
        extra = divide(sums[:, -num_extra:-1], sums[:, -1:], otherwise=np.nan)
        extra[:, 3] /= num_labels
        return np.hstack([averages(right, got, wanted), extra])

    names = [*AVERAGED_NAMES, "f1_samples", "jaccard_samples", "exact_match", "hamming_loss"]
    return from_rows(names, csr_array(hstack([counts, per_example])), formula)


def multi_label_by_label(
    gold: Sequence[Collection[Label]],
    predicted: Sequence[Collection[Label]],
    *,
    labels: Sequence[Label] | None = None,
) -> Scores:
    """``precision/LABEL``, ``recall/LABEL`` and ``f1/LABEL``, as ``classification_by_label``.

    Raises:
        InputError: the lengths differ or are 0.
    """
    known, counts = set_counts(gold, predicted, lambda label: label)
    return scores_of_labels(known, counts, labels)


def _overlap(gold: set[Label], predicted: set[Label]) -> tuple[float, float, float, float, float]:
    """F1, Jaccard, whether equal, number of wrong decisions, and 1 for the count."""
    shared, union = len(gold & predicted), len(gold | predicted)
    if union == 0:
        return 1.0, 1.0, 1.0, 0.0, 1.0
    f1 = 2 * shared / (len(gold) + len(predicted))
    return f1, shared / union, float(shared == union), float(union - shared), 1.0


@dataclass(frozen=True, kw_only=True)
class Confusion:
    """How often each label was taken for each.

    Attributes:
        labels: in order.
        counts: (gold label, predicted label), number of examples.
    """

    labels: tuple[Hashable, ...]
    counts: IntArray

    def largest_mistakes(self, count: int = 10) -> list[tuple[Hashable, Hashable, int]]:
        """The most frequent mistakes as (gold, predicted, number of examples), most frequent first."""
        wrong = self.counts - np.diag(np.diag(self.counts))
        order = np.argsort(-wrong, axis=None, kind="stable")[:count]
        cells = zip(*np.unravel_index(order, wrong.shape), strict=True)
        return [
            (self.labels[gold], self.labels[got], int(wrong[gold, got]))
            for gold, got in cells
            if wrong[gold, got] > 0
        ]


def confusion_matrix(
    gold: Sequence[Label], predicted: Sequence[Label], *, most_labels: int = 2000
) -> Confusion:
    """The table of gold against predicted labels.

    Args:
        gold: the label of each example.
        predicted: the same.
        most_labels: a table of more is refused rather than filling the memory.

    Raises:
        InputError: the lengths differ or are 0, or there are too many labels for a table.
    """
    check_pairs(gold, predicted)
    labels = ordered([*gold, *predicted])
    if len(labels) > most_labels:
        raise InputError(f"a table of {len(labels)} labels is too large", remedy=f"at most {most_labels}")
    index_of = {label: index for index, label in enumerate(labels)}
    cells = np.fromiter(
        (
            index_of[first] * len(labels) + index_of[second]
            for first, second in zip(gold, predicted, strict=True)
        ),
        np.int64,
        len(gold),
    )
    counts = np.bincount(cells, minlength=len(labels) ** 2).reshape(len(labels), len(labels))
    return Confusion(labels=tuple(labels), counts=counts.astype(np.int64))
