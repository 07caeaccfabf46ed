"""Fit the weight of words, temperature and thresholds on rows that the weights were not learned from.

One temperature for all labels (Guo et al. 2017, arXiv 1706.04599, section 4.2). A handful of rows that are
all answered right would call for certainty; so the right label of n rows counts as 1 - 1 / (n + 2) (the rule
of succession, as Platt 1999, "Probabilistic outputs for support vector machines", section 2.2, has it).

Thresholds make F1 largest (``metrics.thresholds``): of several classes each has its own where it has cases
enough, of two classes one parts them by the F1 of the rarer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
import torch

from yanmo import metrics
from yanmo.errors import InputError
from yanmo.finetuning.blend import Blend, FittedWeight, fit_weight, suits
from yanmo.finetuning.calibration import UNCALIBRATED, Calibration, DecideBy
from yanmo.finetuning.encoding import InputEncoder
from yanmo.finetuning.skill import Skill, read_off
from yanmo.finetuning.text_labels import OneClass, SeveralClasses
from yanmo.finetuning.token_tags import TokenTags
from yanmo.metrics.scores import FloatArray, IntArray
from yanmo.models.features.linear_terms import LinearTerms
from yanmo.models.transformer import Transformer
from yanmo.reporting.progress import say

S = TypeVar("S", bound=Skill[Any])
# A class with fewer cases gets the threshold that suits all classes together.
_LEAST_CASES = 10
_MOST_WORDS = 100_000
# Outputs that a temperature is fitted on; of thousands of classes an even sample of the rows says as much.
_MOST_OUTPUTS = 5_000_000
_EDGE = 1e-6


def calibrate(
    skill: S,
    model: Transformer,
    examples: Sequence[Any],
    encoder: InputEncoder,
    *,
    words: LinearTerms | None = None,
    decide_by: DecideBy | None = None,
) -> S:
    """The skill with what words say, a temperature and thresholds; as it is where it gives no probabilities.

    Args:
        skill: of the model as exported.
        model: in evaluation mode.
        examples: labelled, not learned from; where there are none, nothing is fitted.
        encoder: makes tokens of texts.
        words: a linear model that may speak beside the network (``blend``).
        decide_by: ``f1`` tunes thresholds, ``probability`` leaves them; None tunes those of several classes.

    Raises:
        InputError: thresholds are wanted of a task that has none.
    """
    if decide_by == "f1" and not _has_thresholds(skill):
        raise InputError("--decide-by f1 is for two classes, or for several at once", remedy="leave it out")
    if not isinstance(skill, OneClass | SeveralClasses | TokenTags):
        return skill
    if not examples:
        say("no validation rows: probabilities and thresholds are as they were learned")
        return skill
    pieces = skill.pieces(examples, encoder, labelled=True)
    outputs = read_off(model, skill, pieces).outputs
    if isinstance(skill, TokenTags):
        gold = np.concatenate([piece.target for piece in pieces])
        return replace(skill, calibration=_of_tags(torch.cat(outputs).double().numpy(), gold))
    logits = skill.logits(pieces, outputs).double().numpy()
    targets = np.array([skill.target(example) for example in examples]).astype(np.int64)
    if words is not None and suits(words, len(examples)):
        said = words.outputs([example.inputs() for example in examples]).astype(np.float64)
        if blend := _blended(words, fit_weight(logits, said, targets)):
            skill, logits = replace(skill, blend=blend), logits + blend.weight * said
    if isinstance(skill, SeveralClasses):
        return replace(skill, calibration=_of_several(logits, targets > 0, decide_by))
    return replace(skill, calibration=_of_one(logits, targets, decide_by))


def _blended(words: LinearTerms, fitted: FittedWeight) -> Blend | None:
    if not fitted.weight:
        return None
    before, after = fitted.alone_nats, fitted.blended_nats
    say(
        f"words speak beside the network ({words.name}): loss of the validation rows {after:.4f} nats"
        f" instead of {before:.4f}; --no-blend leaves them out"
    )
    return Blend(words=words, weight=fitted.weight, fitted=fitted)


def _has_thresholds(skill: Skill[Any]) -> bool:
    return isinstance(skill, SeveralClasses) or (isinstance(skill, OneClass) and len(skill.labels) == 2)


def _of_one(logits: FloatArray, gold: IntArray, decide_by: DecideBy | None) -> Calibration:
    step = max(1, -(-logits.size // _MOST_OUTPUTS))
    sample = gold[::step]
    temperature = metrics.fit_temperature(logits[::step], sample.tolist(), smoothing=1 / (len(sample) + 2))
    thresholds: tuple[float, ...] = ()
    if decide_by == "f1":
        shares = metrics.softmax(logits, temperature=temperature)
        rarer = int(2 * (gold == 1).sum() <= len(gold))
        found = metrics.best_threshold((gold == rarer).tolist(), shares[:, rarer].tolist())
        found = _inside(found)
        thresholds = (1 - found, found) if rarer else (found, 1 - found)
    return Calibration(temperature=temperature, thresholds=thresholds)


def _of_several(logits: FloatArray, gold: Any, decide_by: DecideBy | None) -> Calibration:
    temperature = metrics.fit_decision_temperature(logits, gold, smoothing=1 / (gold.size + 2))
    if decide_by == "probability":
        return Calibration(temperature=temperature)
    shares = metrics.softmax(np.stack([np.zeros_like(logits), logits], -1), temperature=temperature)[..., 1]
    own, common = (metrics.tune_thresholds(gold, shares, average=name) for name in ("macro", "micro"))
    chosen = np.where(gold.sum(0) >= _LEAST_CASES, own, common)
    return Calibration(temperature=temperature, thresholds=tuple(map(_inside, chosen.tolist())))


def _of_tags(logits: FloatArray, gold: IntArray) -> Calibration:
    """Of the words that are judged, at most an even sample of so many."""
    judged = np.flatnonzero(gold >= 0)
    judged = judged[:: -(-len(judged) // _MOST_WORDS) or 1]
    if not len(judged):
        return UNCALIBRATED
    smoothing = 1 / (len(judged) + 2)
    return Calibration(
        temperature=metrics.fit_temperature(logits[judged], gold[judged].tolist(), smoothing=smoothing)
    )


def _inside(threshold: float) -> float:
    return min(max(threshold, _EDGE), 1 - _EDGE)
