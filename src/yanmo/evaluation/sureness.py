"""Whether the probabilities of predictions mean what they say, with their temperature and without it.

Of one class the probability of the likeliest, of several classes every decision, of names every one that was
found. What a prediction was before its temperature T follows from it: p^T, scaled to a sum of 1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from yanmo import metrics
from yanmo.evaluation.mistakes import told_apart
from yanmo.finetuning.skill import Prediction, Skill
from yanmo.finetuning.text_labels import OneClass, SeveralClasses
from yanmo.finetuning.token_tags import TokenTags
from yanmo.metrics import Scores
from yanmo.metrics.scores import FloatArray, IntArray

_NUM_BINS = 10
_LEAST = 1e-12


def sureness_of(
    skill: Skill[Any], examples: Sequence[Any], predictions: Sequence[Prediction]
) -> dict[str, Any] | None:
    """Calibration error, Brier score and likelihood of predictions; None where not all are known.

    Returns:
        ``of`` (``labels``, ``decisions`` or ``names``), ``temperature``, ``thresholds`` by label, ``ece``,
        ``brier``, ``nll``, the ``bins`` of a reliability diagram, and ``before``: these four without the
        temperature; None where there is none, and of names, where it cannot be told.
    """
    if isinstance(skill, TokenTags):
        return _of_names(skill, examples, predictions) if skill.has_names else None
    if not isinstance(skill, OneClass | SeveralClasses):
        return None
    labels = skill.labels
    if any(len(row.get("probabilities", ())) != len(labels) for row in predictions):
        return None
    shares = np.array([[row["probabilities"][name] for name in labels] for row in predictions], np.float64)
    temperature = skill.calibration.temperature
    told = {
        "temperature": temperature,
        "thresholds": dict(zip(labels, skill.calibration.thresholds, strict=False)),
    }
    if isinstance(skill, SeveralClasses):
        gold = np.array([[name in example.labels() for name in labels] for example in examples]).ravel()
        yes = shares.ravel()
        plain = _powers(np.column_stack([1 - yes, yes]), temperature)[:, 1]
        after, before = _of_decisions(gold, yes), _of_decisions(gold, plain)
        return {"of": "decisions", **told, **after, "before": before if temperature != 1 else None}
    number = {name: index for index, name in enumerate(labels)}
    right = np.array(
        [next((number[name] for name in one.labels() if name in number), -1) for one in examples]
    )
    # What was not there to learn from has no probability.
    known = right >= 0
    if not known.any():
        return None
    after, before = (
        _of_labels(right[known], table[known]) for table in (shares, _powers(shares, temperature))
    )
    return {"of": "labels", **told, **after, "before": before if temperature != 1 else None}


def _of_names(
    skill: TokenTags, examples: Sequence[Any], predictions: Sequence[Prediction]
) -> dict[str, Any] | None:
    right, scores = [], []
    for example, prediction in zip(examples, predictions, strict=True):
        places = {(name.start, name.end) for name in told_apart(example, prediction) if name.state == "right"}
        for name in prediction["entities"]:
            if "score" in name:
                right.append((name["start"], name["end"]) in places)
                scores.append(name["score"])
    if not scores:
        return None
    found = _of_decisions(np.array(right), np.array(scores))
    temperature = skill.calibration.temperature
    return {"of": "names", "temperature": temperature, "thresholds": {}, **found, "before": None}


def _of_labels(gold: IntArray, shares: FloatArray) -> dict[str, Any]:
    scores = metrics.calibration(gold.tolist(), shares, num_bins=_NUM_BINS)
    return _with_bins(scores, shares.max(1), shares.argmax(1) == gold)


def _of_decisions(gold: NDArray[np.bool_], yes: FloatArray) -> dict[str, Any]:
    scores = metrics.decision_calibration(gold.tolist(), yes.tolist(), num_bins=_NUM_BINS)
    return _with_bins(scores, yes, gold)


def _with_bins(scores: Scores, confidence: FloatArray, right: NDArray[np.bool_]) -> dict[str, Any]:
    bins = metrics.reliability_bins(confidence.tolist(), right.tolist(), num_bins=_NUM_BINS)
    return {**scores.values, "bins": [_bin(one) for one in bins if one.num_examples]}


def _bin(one: metrics.ReliabilityBin) -> Mapping[str, Any]:
    return {**vars(one), "interval": list(one.interval)}


def _powers(shares: FloatArray, temperature: float) -> FloatArray:
    """Shares (rows, labels) as they were before a temperature."""
    logs = np.log(np.maximum(shares, _LEAST))
    return metrics.softmax(logs * temperature)
