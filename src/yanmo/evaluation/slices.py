"""Scores of parts of the rows: of each label, and of texts of like length, with their intervals.

A part of few rows says little, however good or bad its score; it is marked ``small``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from yanmo import metrics
from yanmo.evaluation.mistakes import names_in
from yanmo.finetuning.skill import Prediction, Skill
from yanmo.finetuning.text_labels import OneClass, SeveralClasses, label_of
from yanmo.finetuning.token_tags import TokenTags, words_of
from yanmo.metrics import Entity, Scores
from yanmo.tasks.examples import Example

_SMALL, _NUM_LENGTHS, _MOST_LABELS = 20, 5, 50
# By length the share that is right says more than a mean over labels, of which a part lacks some.
_OF_LENGTHS = {
    "text-classification": "accuracy",
    "pair-classification": "accuracy",
    "relation-extraction": "accuracy",
    "text-classification/multi-label": "f1_micro",
    "text-classification/regression": "mae",
}


def slices_of(
    skill: Skill[Any],
    examples: Sequence[Example],
    predictions: Sequence[Prediction],
    scores: Scores,
    *,
    seed: int,
) -> dict[str, Any]:
    """Scores by label and by length.

    Args:
        skill: what the predictions are of.
        examples: labelled.
        predictions: one an example.
        scores: of them.
        seed: of the intervals.

    Returns:
        ``by_label``: parts with label, num_cases, precision, recall, f1; ``by_length``: parts with from and
        to (characters), num_rows, score; ``by_length_score``: its name. A score has value and interval, a
        part ``small``.
    """
    name = _OF_LENGTHS.get(skill.metrics_name, metrics.task_metrics(skill.metrics_name).decides)
    return {
        "by_label": _by_label(skill, examples, predictions, seed),
        "by_length": _by_length(examples, scores.only([name]), seed),
        "by_length_score": name,
    }


def _by_length(examples: Sequence[Example], score: Scores, seed: int) -> list[dict[str, Any]]:
    lengths = np.array([sum(map(len, example.inputs())) for example in examples])
    edges = np.unique(np.quantile(lengths, np.linspace(0, 1, _NUM_LENGTHS + 1), method="higher"))
    parts = np.clip(np.searchsorted(edges, lengths, side="right") - 1, 0, max(0, len(edges) - 2))
    found = []
    for part in np.unique(parts):
        rows = np.flatnonzero(parts == part)
        among = score.among(rows)
        (value,), (interval,) = among.values.values(), metrics.bootstrap(among, seed=seed).values()
        if not np.isnan(value):
            found.append(
                {
                    "from": int(lengths[rows].min()),
                    "to": int(lengths[rows].max()),
                    "num_rows": len(rows),
                    "score": {"value": value, "interval": list(interval)},
                    "small": len(rows) < _SMALL,
                }
            )
    return found


def _by_label(
    skill: Skill[Any], examples: Sequence[Any], predictions: Sequence[Prediction], seed: int
) -> list[dict[str, Any]]:
    counted = _counted(skill, examples, predictions)
    if counted is None:
        return []
    counts, score = counted
    labels = [label for label, _ in counts.most_common(_MOST_LABELS)]
    scores = score(labels)
    values, intervals = scores.values, metrics.bootstrap(scores, seed=seed)
    return [
        {
            "label": label,
            "num_cases": counts[label],
            **{
                name: {"value": values[f"{name}/{label}"], "interval": list(intervals[f"{name}/{label}"])}
                for name in ("precision", "recall", "f1")
            },
            "small": counts[label] < _SMALL,
        }
        for label in labels
    ]


def _counted(skill: Skill[Any], examples: Sequence[Any], predictions: Sequence[Prediction]) -> Any:
    """Gold cases of each label, and what scores the labels that are asked for."""
    if isinstance(skill, OneClass):
        gold, said = [label_of(one) for one in examples], [row["label"] for row in predictions]
        return Counter(gold), lambda labels: metrics.classification_by_label(gold, said, labels=labels)
    if isinstance(skill, SeveralClasses):
        sets, found = [one.labels() for one in examples], [row["labels"] for row in predictions]
        counts = Counter(name for names in sets for name in set(names))
        return counts, lambda labels: metrics.multi_label_by_label(sets, found, labels=labels)
    if isinstance(skill, TokenTags) and skill.has_names:
        names = [
            {Entity(name.label, name.start, name.end) for name in names_in(example)} for example in examples
        ]
        others = [
            {Entity(name["label"], name["start"], name["end"]) for name in row["entities"]}
            for row in predictions
        ]
        counts = Counter(name.type for of_text in names for name in of_text)
        return counts, lambda labels: metrics.entity_scores_by_type(names, others, types=labels)
    if isinstance(skill, TokenTags):
        tags = [tag for example in examples for tag in words_of(example).tags or ()]
        given = [tag for row in predictions for tag in row["tags"]]
        return Counter(tags), lambda labels: metrics.classification_by_label(tags, given, labels=labels)
    return None
