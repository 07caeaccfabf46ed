"""Precision, recall and F1 from three counts a label: right, predicted, gold.

    precision = right / predicted        recall = right / gold        F1 = 2 right / (predicted + gold)

(van Rijsbergen 1979, "Information Retrieval", chapter 7). Where nothing was predicted, or nothing was to be
found, a ratio 0/0 counts as 0, as scikit-learn has it. Averages:

- micro: of the counts summed over labels;
- macro: mean over labels. A label that occurs neither in gold nor in the predictions has no say, in a
  resample too: counted as 0, it would pull every interval down;
- weighted: mean over labels, each by its number of gold cases.

One example may have one label or a set of things each with a label (entities, triples, several labels).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Sequence
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from yanmo.metrics.scores import FloatArray, IntArray, Scores, check_pairs, divide, from_rows

if TYPE_CHECKING:
    from scipy.sparse import csr_array

Label = TypeVar("Label", bound=Hashable)
Item = TypeVar("Item", bound=Hashable)

AVERAGES = ("micro", "macro", "weighted")
AVERAGED_NAMES = tuple(
    f"{score}_{average}" for average in AVERAGES for score in ("precision", "recall", "f1")
)


def ordered(labels: Iterable[Label]) -> list[Label]:
    """Each label once, in their order; of unlike types, by type and writing."""
    return sorted(set(labels), key=lambda label: (type(label).__name__, _sort_key(label)))


def _sort_key(label: Hashable) -> tuple[float, str]:
    return (float(label), "") if isinstance(label, (bool, int, float)) else (0.0, str(label))


def single_counts(gold: Sequence[Label], predicted: Sequence[Label]) -> tuple[list[Label], csr_array]:
    """Counts of one label an example.

    Returns:
        The labels, and (examples, 3 labels): right, predicted and gold.

    Raises:
        InputError: the lengths differ or are 0.
    """
    check_pairs(gold, predicted)
    labels = ordered([*gold, *predicted])
    index_of = {label: index for index, label in enumerate(labels)}
    wanted = np.fromiter((index_of[label] for label in gold), np.int64, len(gold))
    got = np.fromiter((index_of[label] for label in predicted), np.int64, len(gold))
    rows = np.arange(len(gold))
    right = wanted == got
    return labels, _counts(len(gold), len(labels), (rows[right], wanted[right]), (rows, got), (rows, wanted))


def set_counts(
    gold: Sequence[Collection[Item]],
    predicted: Sequence[Collection[Item]],
    label_of: Callable[[Item], Label],
) -> tuple[list[Label], csr_array]:
    """Counts of a set of things an example; a thing named twice counts once.

    Args:
        gold: the things to be found in each example.
        predicted: those that were found.
        label_of: from a thing to the label that it counts for.

    Returns:
        The labels, and (examples, 3 labels): right, predicted and gold.

    Raises:
        InputError: the lengths differ or are 0.
    """
    check_pairs(gold, predicted)
    wanted, got = [set(items) for items in gold], [set(items) for items in predicted]
    right = [first & second for first, second in zip(wanted, got, strict=True)]
    labels = ordered(label_of(item) for items in (*wanted, *got) for item in items)
    index_of = {label: index for index, label in enumerate(labels)}

    def entries(sets: list[set[Item]]) -> tuple[IntArray, IntArray]:
        rows = np.repeat(np.arange(len(sets)), [len(items) for items in sets])
        columns = (index_of[label_of(item)] for items in sets for item in items)
        return rows, np.fromiter(columns, np.int64, len(rows))

    return labels, _counts(len(gold), len(labels), entries(right), entries(got), entries(wanted))


def _counts(num_examples: int, num_labels: int, *parts: tuple[IntArray, IntArray]) -> csr_array:
    """(examples, parts × labels) from the rows and columns of each part's ones; equal ones add up."""
    from scipy.sparse import coo_array

    rows = np.concatenate([part[0] for part in parts])
    columns = np.concatenate([part[1] + index * num_labels for index, part in enumerate(parts)])
    shape = (num_examples, max(num_labels, 1) * len(parts))
    return coo_array((np.ones(len(rows)), (rows, columns)), shape=shape).tocsr()


def precision_recall_f1(
    right: FloatArray, predicted: FloatArray, gold: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """The three of each label, from counts of any equal shapes; 0/0 is 0."""
    return (
        divide(right, predicted, otherwise=0.0),
        divide(right, gold, otherwise=0.0),
        divide(2 * right, predicted + gold, otherwise=0.0),
    )


def averages(right: FloatArray, predicted: FloatArray, gold: FloatArray) -> FloatArray:
    """Micro, macro and weighted precision, recall and F1 from counts, in the order of ``AVERAGED_NAMES``.

    Args:
        right: (draws, labels), as ``predicted`` and ``gold``.

    Returns:
        (draws, 9).
    """
    of_labels = precision_recall_f1(right, predicted, gold)
    micro = precision_recall_f1(right.sum(1), predicted.sum(1), gold.sum(1))
    num_labels = (predicted + gold > 0).sum(1).astype(np.float64)
    macro = [divide(score.sum(1), num_labels, otherwise=0.0) for score in of_labels]
    weighted = [divide((score * gold).sum(1), gold.sum(1), otherwise=0.0) for score in of_labels]
    return np.stack([*micro, *macro, *weighted], axis=1)


def scores_of_labels(
    labels: Sequence[Hashable], counts: csr_array, shown: Sequence[Hashable] | None = None
) -> Scores:
    """``precision/LABEL``, ``recall/LABEL`` and ``f1/LABEL`` of each label, from the counts of all.

    Args:
        labels: of the counts' columns.
        counts: (examples, 3 labels).
        shown: the labels wanted; None: all. A label that does not occur has the score 0.
    """
    wanted = list(labels if shown is None else shown)
    index_of = {label: index for index, label in enumerate(labels)}
    known = np.array([label in index_of for label in wanted], bool)
    columns = np.array([index_of.get(label, 0) for label in wanted], np.int64)
    width = counts.shape[1] // 3

    def formula(sums: FloatArray) -> FloatArray:
        parts = (sums[:, start + columns] * known for start in (0, width, 2 * width))
        return np.stack(precision_recall_f1(*parts), axis=2).reshape(len(sums), 3 * len(wanted))

    names = [f"{score}/{label}" for label in wanted for score in ("precision", "recall", "f1")]
    return from_rows(names, counts, formula)
