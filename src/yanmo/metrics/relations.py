"""Scores of relation extraction: which relation two marked entities have, in which direction, or none.

The macro average is that of SemEval-2010 task 8 (Hendrickx et al. 2010, section 4): (9+1)-way with
direction. Both directions of a relation are one class; a prediction of the right relation in the wrong
direction is a wrong one, and counts against precision and recall; the class without a relation is left out.
The micro average without that class is the usual one elsewhere (Zhang et al. 2017, TACRED, section 5).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from yanmo.metrics.label_counts import averages, scores_of_labels, set_counts
from yanmo.metrics.scores import FloatArray, Scores, check_pairs, divide, from_rows

_DIRECTION = re.compile(r"\(e[12],\s*e[12]\)$")


def relation_of(label: str) -> str:
    """The relation without its direction: ``Cause-Effect(e2,e1)`` is a ``Cause-Effect``."""
    return _DIRECTION.sub("", label)


def relation_extraction(gold: Sequence[str], predicted: Sequence[str], *, negative: str = "Other") -> Scores:
    """Scores of one relation an example; shares from 0 to 1.

    - ``precision_macro``, ``recall_macro``, ``f1_macro``: SemEval's, over relations that occur in gold or
      predictions; the official figure is 100 times ``f1_macro``. ``f1_macro`` is the mean of the relations'
      F1.
    - ``precision_micro``, ``recall_micro``, ``f1_micro``: over all examples but the negative class.
    - ``accuracy``: over all labels, the negative one and directions included.

    Args:
        gold: labels such as ``Cause-Effect(e1,e2)``, ``发明(e2,e1)`` or, where direction says nothing,
            ``Capital``.
        predicted: the same.
        negative: the label of no relation.

    Raises:
        InputError: the lengths differ or are 0.
    """
    from scipy.sparse import csr_array, hstack

    check_pairs(gold, predicted)
    _, counts = set_counts(_as_sets(gold, negative), _as_sets(predicted, negative), relation_of)
    right = [float(first == second) for first, second in zip(gold, predicted, strict=True)]
    extra = np.column_stack([right, np.ones(len(right))])

    def formula(sums: FloatArray) -> FloatArray:
        of_averages = averages(*np.split(sums[:, :-2], 3, axis=1))
        accuracy = divide(sums[:, -2], sums[:, -1], otherwise=np.nan)
        return np.column_stack([of_averages[:, 3:6], of_averages[:, :3], accuracy])

    names = [
        f"{score}_{average}" for average in ("macro", "micro") for score in ("precision", "recall", "f1")
    ]
    return from_rows([*names, "accuracy"], csr_array(hstack([counts, extra])), formula)


def relations_by_label(
    gold: Sequence[str],
    predicted: Sequence[str],
    *,
    negative: str = "Other",
    relations: Sequence[str] | None = None,
) -> Scores:
    """``precision/RELATION``, ``recall/RELATION`` and ``f1/RELATION``, both directions as one; shares.

    Args:
        gold: as ``relation_extraction``.
        predicted: the same.
        negative: the label of no relation.
        relations: those wanted, without direction; None: every one that occurs.

    Raises:
        InputError: the lengths differ or are 0.
    """
    known, counts = set_counts(_as_sets(gold, negative), _as_sets(predicted, negative), relation_of)
    return scores_of_labels(known, counts, relations)


def _as_sets(labels: Sequence[str], negative: str) -> list[tuple[str, ...]]:
    return [() if label == negative else (label,) for label in labels]
