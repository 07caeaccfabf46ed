"""Blending: what a linear model of words says is added to what the network says.

The two err on other rows: a network that read little text does not know the rare words that one of the
classes is full of. How much the words count is fitted on rows that neither has learned from (Wolpert 1992,
"Stacked generalization", with one weight), and where the likelihood of these rows does not rise by more than
chance would have it, the network answers alone.

The linear model lies in a folder beside the weights, and config.json says how much it counts: a program that
does not know of it reads the plain outputs of the network.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from yanmo.errors import InputError
from yanmo.metrics import fit_decision_temperature, fit_temperature, softmax
from yanmo.metrics.scores import FloatArray, IntArray
from yanmo.models.features.linear_terms import LinearTerms, Texts
from yanmo.models.files.hf_folder import LINEAR_TERMS_FOLDER

_WEIGHT = "finetuning_blend_weight"
# Times the ratio of the spreads of both.
_WEIGHTS = (0.125, 0.25, 0.375, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0)
_FEWEST_ROWS = 100
_PARTS = 5
# Of thousands of classes the linear model would be larger than the network.
_MOST_NUMBERS = 10_000_000
# Outputs that weights are tried on; an even sample of more rows says as much.
_MOST_OUTPUTS = 200_000


@dataclass(frozen=True, kw_only=True)
class FittedWeight:
    """How much words count, and what it gives.

    Attributes:
        weight: 0 where the network answers alone.
        alone_nats: mean loss of held-out rows by the network alone, at its best temperature.
        blended_nats: by both, likewise.
    """

    weight: float
    alone_nats: float
    blended_nats: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Blend:
    """What words say, and how much it counts.

    Attributes:
        words: the linear model.
        weight: what its distances are multiplied by, before they are added to the network's outputs.
        fitted: what that gave; None of a model that was read.
    """

    words: LinearTerms
    weight: float
    fitted: FittedWeight | None = None

    @property
    def settings(self) -> dict[str, Any]:
        """What config.json says of it."""
        return {_WEIGHT: self.weight}

    def added(self, logits_BC: Tensor, texts: Texts) -> Tensor:
        """The outputs of both for texts, (B, C)."""
        return logits_BC + torch.from_numpy(self.weight * self.words.outputs(texts)).to(logits_BC)

    def save(self, folder: Path) -> None:
        """Write it into a model folder.

        Raises:
            YanmoError: the disk is full or the place cannot be written.
        """
        self.words.save(folder / LINEAR_TERMS_FOLDER)

    @classmethod
    def read(cls, config: Mapping[str, Any], folder: Path, num_classes: int) -> Blend | None:
        """From a model folder, which may be anybody's; None where the network answers alone.

        Raises:
            InputError: the weight is none, or the linear model is missing, damaged or of other classes.
        """
        weight = config.get(_WEIGHT)
        if weight is None:
            return None
        if type(weight) not in (int, float) or not 0 < weight < math.inf:
            raise InputError(
                f"config.json has the weight {weight!r} of words", remedy="it is a number above 0"
            )
        words = LinearTerms.load(folder / LINEAR_TERMS_FOLDER)
        if len(words.bias_C) != num_classes:
            raise InputError(
                f"is of {len(words.bias_C)} classes, the model of {num_classes}",
                where=folder / LINEAR_TERMS_FOLDER,
            )
        return cls(words=words, weight=float(weight))


def suits(words: LinearTerms, num_rows: int) -> bool:
    """Whether a weight can be fitted on so many rows, and the linear model is small enough to be kept."""
    return num_rows >= _FEWEST_ROWS and words.weights_TPC.size <= _MOST_NUMBERS


def fit_weight(logits_BC: FloatArray, said_BC: FloatArray, gold: IntArray) -> FittedWeight:
    """The weight of words that gives rows which neither has learned from the largest likelihood.

    Whether they count at all is decided crosswise: on each fifth of the rows with the weight and temperature
    of the others. They do where the mean gain is above its standard error.

    Args:
        logits_BC: what the network says.
        said_BC: what the linear model says.
        gold: the number of each row's class, (B,), or whether each class holds, (B, C).
    """
    step = max(1, -(-logits_BC.size // _MOST_OUTPUTS))
    logits_BC, said_BC, gold = logits_BC[::step], said_BC[::step], gold[::step]
    spread = float(said_BC.std())
    if not spread > 0:
        return FittedWeight(weight=0.0, alone_nats=0.0, blended_nats=0.0)
    weights = [0.0, *(float(logits_BC.std()) / spread * each for each in _WEIGHTS)]
    part = np.arange(len(gold)) % _PARTS
    alone_B, blended_B = np.zeros(len(gold)), np.zeros(len(gold))
    for held in (part == number for number in range(_PARTS)):
        found = _best(weights, logits_BC[~held], said_BC[~held], gold[~held])
        for weight, nats_B in ((0.0, alone_B), (found, blended_B)):
            mixed_BC = logits_BC + weight * said_BC
            sharpness = 1 / _temperature(mixed_BC[~held], gold[~held])
            nats_B[held] = _nats(mixed_BC[held] * sharpness, gold[held])
    gain_B = alone_B - blended_B
    pays = gain_B.mean() > gain_B.std(ddof=1) / len(gain_B) ** 0.5
    return FittedWeight(
        weight=_best(weights, logits_BC, said_BC, gold) if pays else 0.0,
        alone_nats=float(alone_B.mean()),
        blended_nats=float(blended_B.mean()),
    )


def _best(weights: Sequence[float], logits_BC: FloatArray, said_BC: FloatArray, gold: IntArray) -> float:
    def loss(weight: float) -> float:
        mixed_BC = logits_BC + weight * said_BC
        return float(_nats(mixed_BC / _temperature(mixed_BC, gold), gold).mean())

    return min(weights, key=loss)


def _temperature(logits_BC: FloatArray, gold: IntArray) -> float:
    smoothing = 1 / (gold.size + 2)
    if gold.ndim == 2:
        return fit_decision_temperature(logits_BC, gold, smoothing=smoothing)
    return fit_temperature(logits_BC, gold.tolist(), smoothing=smoothing)


def _nats(logits_BC: FloatArray, gold: IntArray) -> FloatArray:
    """The loss of each row; of several classes the mean of their decisions."""
    if gold.ndim == 2:
        return np.logaddexp(0, np.where(gold > 0, -logits_BC, logits_BC)).mean(1)
    return -np.log(np.maximum(softmax(logits_BC)[np.arange(len(gold)), gold], 1e-12))
