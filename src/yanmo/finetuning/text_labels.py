"""Classes and numbers of whole texts and of pairs of texts.

One class: softmax and cross-entropy; several: a sigmoid each (binary cross-entropy, averaged over the
classes, so that losses of few and many classes are alike); a number: squared error in standard units.
"""

from __future__ import annotations

import math
import statistics
from abc import abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from yanmo import metrics
from yanmo.errors import InputError
from yanmo.finetuning.batches import Encoded, PackedBatch
from yanmo.finetuning.blend import Blend
from yanmo.finetuning.calibration import UNCALIBRATED, Calibration
from yanmo.finetuning.encoding import InputEncoder, whole_pieces
from yanmo.finetuning.r_drop import Divergence, of_classes, of_numbers, of_several
from yanmo.finetuning.skill import HeadSkill, Prediction, Skill
from yanmo.metrics import Scores
from yanmo.models.features.linear_terms import LinearTerms, Targets
from yanmo.models.heads import HeadKind
from yanmo.tasks.examples import ClassificationExample, Label, PairExample, RelationExample
from yanmo.tasks.labels import LabelKind
from yanmo.training.objective import LossSum

Labelled = ClassificationExample | PairExample | RelationExample
_OTHERS = "add rows with others, or name the column of labels: --columns label=NAME"
_MOST_CLASSES = 20_000
# Of more classes than this a prediction tells the most likely ones alone.
_SHOWN_CLASSES = 100


class TextSkill(HeadSkill[Labelled]):
    """A label of whole texts."""

    head = HeadKind.SEQUENCE_CLASSIFICATION
    labels: tuple[str, ...]
    blend: Blend | None = None

    @abstractmethod
    def target(self, example: Labelled) -> Any:
        """What is learned from an example.

        Raises:
            InputError: its label is not among those that were there to learn from.
        """

    @abstractmethod
    def predictions(self, outputs_BC: Tensor) -> list[Prediction]:
        """What the outputs say of each text."""

    def pieces(
        self, examples: Sequence[Labelled], encoder: InputEncoder, *, labelled: bool
    ) -> list[Encoded[Any]]:
        """One for each example, cut where it is too long."""
        targets = [self.target(example) for example in examples] if labelled else None
        return whole_pieces([example.inputs() for example in examples], targets, encoder)

    def collate(self, targets: Sequence[Any]) -> Tensor:
        """Numbers, (B,) or (B, C)."""
        return torch.tensor(targets)

    def decode(
        self, examples: Sequence[Labelled], pieces: Sequence[Encoded[Any]], outputs: Sequence[Tensor]
    ) -> list[Prediction]:
        """Label and probabilities."""
        if not outputs:
            return []
        logits_BC = self.logits(pieces, outputs)
        if self.blend is not None:
            logits_BC = self.blend.added(logits_BC, [example.inputs() for example in examples])
        return self.predictions(logits_BC)

    def network_alone(self) -> Self | None:
        """The skill as other programs read the model folder; None where nothing speaks beside the network."""
        return None

    def logits(self, pieces: Sequence[Encoded[Any]], outputs: Sequence[Tensor]) -> Tensor:
        """What was said of each text, (B, C)."""
        return torch.stack(list(outputs))

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {name: number for number, name in enumerate(self.labels)}

    def _number_of(self, example: Labelled, label: Any) -> int:
        if label not in self._numbers:
            raise InputError(
                f"the label {label!r} was not there to learn from",
                where=str(example.origin),
                remedy=f"known: {', '.join(self.labels[:8])}",
            )
        return self._numbers[label]

    def _by_name(self, shares_BC: Tensor) -> list[dict[str, float]]:
        """The probabilities of each text by class, of many classes the largest."""
        if len(self.labels) <= _SHOWN_CLASSES:
            return [dict(zip(self.labels, row, strict=True)) for row in shares_BC.tolist()]
        top = shares_BC.topk(_SHOWN_CLASSES)
        return [
            {self.labels[place]: share for place, share in zip(places, shares, strict=True)}
            for places, shares in zip(top.indices.tolist(), top.values.tolist(), strict=True)
        ]


@dataclass(frozen=True, kw_only=True, eq=False)
class OneClass(TextSkill):
    """One of several classes: ``{"label": name, "probabilities": {name: share}}``.

    Attributes:
        labels: the classes.
        task: of the metrics.
        smoothing: share of the target that is spread over all classes (Szegedy et al. 2016, arXiv 1512.00567,
            section 7).
        weights: what an example of each class counts in the loss; empty for 1.
        blend: what else speaks, beside the network.
        calibration: of the probabilities. With thresholds the class is the one whose probability is the
            largest multiple of its threshold.
    """

    labels: tuple[str, ...]
    task: str = "text-classification"
    smoothing: float = 0.0
    weights: tuple[float, ...] = ()
    blend: Blend | None = None
    calibration: Calibration = UNCALIBRATED

    @property
    def divergence(self) -> Divergence:
        """Between two answers."""
        return of_classes

    @property
    def metrics_name(self) -> str:
        """As the task's."""
        return self.task

    @property
    def settings(self) -> dict[str, Any]:
        """As transformers has it, and the calibration."""
        return {"problem_type": "single_label_classification", **settings_of(self)}

    def network_alone(self) -> Self | None:
        """Without words, and with the probabilities that the network was trained to give."""
        return None if self.blend is None else replace(self, blend=None, calibration=UNCALIBRATED)

    def target(self, example: Labelled) -> int:
        """Number of the class."""
        return self._number_of(example, label_of(example))

    def loss(self, outputs: Tensor, batch: PackedBatch) -> LossSum:
        """Cross-entropy."""
        return self.loss_of(outputs, batch.targets)

    def loss_of(self, logits_BC: Tensor, numbers_B: Tensor) -> LossSum:
        """Cross-entropy of the classes with these numbers."""
        weights_C = torch.tensor(self.weights) if self.weights else None
        loss = functional.cross_entropy(
            logits_BC, numbers_B, weights_C, reduction="sum", label_smoothing=self.smoothing
        )
        return LossSum(loss, len(numbers_B))

    def predictions(self, outputs_BC: Tensor) -> list[Prediction]:
        """The most likely class."""
        shares_BC = (outputs_BC / self.calibration.temperature).softmax(-1)
        thresholds = self.calibration.thresholds
        worths_BC = shares_BC / torch.tensor(thresholds) if thresholds else outputs_BC
        found = [self.labels[index] for index in worths_BC.argmax(-1).tolist()]
        shares = self._by_name(shares_BC)
        return [{"label": one, "probabilities": row} for one, row in zip(found, shares, strict=True)]

    def score(self, examples: Sequence[Labelled], predictions: Sequence[Prediction]) -> Scores:
        """Of the classes."""
        gold, said = [label_of(example) for example in examples], [row["label"] for row in predictions]
        (scores,) = metrics.all_scores(self.metrics_name, gold, said)
        return scores


@dataclass(frozen=True, kw_only=True, eq=False)
class SeveralClasses(TextSkill):
    """Any number of classes: ``{"labels": [name], "probabilities": {name: share}}``.

    Attributes:
        labels: the classes.
        weights: how many times as much as a no a yes of each class counts in the loss; empty for 1.
        blend: what else speaks, beside the network.
        calibration: of the probabilities; a class holds from its threshold on.
    """

    labels: tuple[str, ...]
    weights: tuple[float, ...] = ()
    blend: Blend | None = None
    calibration: Calibration = UNCALIBRATED

    @property
    def divergence(self) -> Divergence:
        """Between two answers."""
        return of_several

    @property
    def metrics_name(self) -> str:
        """Of several labels."""
        return "text-classification/multi-label"

    @property
    def settings(self) -> dict[str, Any]:
        """As transformers has it, and the calibration."""
        return {"problem_type": "multi_label_classification", **settings_of(self)}

    def network_alone(self) -> Self | None:
        """Without words, and with the probabilities that the network was trained to give."""
        return None if self.blend is None else replace(self, blend=None, calibration=UNCALIBRATED)

    def target(self, example: Labelled) -> tuple[float, ...]:
        """One for each class that holds, else zero."""
        numbers = {self._number_of(example, name) for name in example.labels()}
        return tuple(float(index in numbers) for index in range(len(self.labels)))

    def loss(self, outputs: Tensor, batch: PackedBatch) -> LossSum:
        """Binary cross-entropy, mean over the classes."""
        weights_C = torch.tensor(self.weights) if self.weights else None
        loss = functional.binary_cross_entropy_with_logits(
            outputs, batch.targets, reduction="sum", pos_weight=weights_C
        )
        return LossSum(loss / len(self.labels), len(batch.targets))

    def predictions(self, outputs_BC: Tensor) -> list[Prediction]:
        """The classes from their thresholds on."""
        shares_BC = (outputs_BC / self.calibration.temperature).sigmoid()
        thresholds_C = torch.tensor(self.calibration.thresholds or (0.5,))
        found = [
            [name for name, is_in in zip(self.labels, row, strict=True) if is_in]
            for row in (shares_BC >= thresholds_C).tolist()
        ]
        shares = self._by_name(shares_BC)
        return [{"labels": names, "probabilities": row} for names, row in zip(found, shares, strict=True)]

    def score(self, examples: Sequence[Labelled], predictions: Sequence[Prediction]) -> Scores:
        """Of sets of classes."""
        return metrics.multi_label(
            [example.labels() for example in examples], [row["labels"] for row in predictions]
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Number(TextSkill):
    """A number: ``{"score": 4.5}``. It is learned in standard units; ``exported`` gives a head that answers
    in its own.

    Attributes:
        mean: of the numbers that were learned from; 0 for a head that was exported.
        deviation: their standard deviation; 1 for a head that was exported.
    """

    mean: float = 0.0
    deviation: float = 1.0
    labels: tuple[str, ...] = ("score",)

    @property
    def divergence(self) -> Divergence:
        """Between two answers."""
        return of_numbers

    @property
    def metrics_name(self) -> str:
        """Of numbers."""
        return "text-classification/regression"

    @property
    def settings(self) -> dict[str, Any]:
        """As transformers has it."""
        return {"problem_type": "regression"}

    def target(self, example: Labelled) -> float:
        """In standard units."""
        label = label_of(example)
        assert isinstance(label, float)
        return (label - self.mean) / self.deviation

    def loss(self, outputs: Tensor, batch: PackedBatch) -> LossSum:
        """Squared error in standard units."""
        loss = functional.mse_loss(outputs[:, 0], batch.targets, reduction="sum")
        return LossSum(loss, len(batch.targets))

    def predictions(self, outputs_BC: Tensor) -> list[Prediction]:
        """In the unit of the labels."""
        return [{"score": self.mean + self.deviation * value} for value in outputs_BC[:, 0].tolist()]

    def exported(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The weights with a head whose output is the number itself."""
        output, bias = (f"heads.{self.head.value}.{name}" for name in ("output.weight", "bias"))
        return {
            **weights,
            output: weights[output] * self.deviation,
            bias: weights[bias] * self.deviation + self.mean,
        }

    def learned(self) -> Number:
        """No more units."""
        return Number(labels=self.labels)

    def score(self, examples: Sequence[Labelled], predictions: Sequence[Prediction]) -> Scores:
        """Correlations and errors."""
        gold = [float(str(label_of(example))) for example in examples]
        return metrics.regression(gold, [row["score"] for row in predictions])


def fit_labels(examples: Sequence[Labelled], *, task: str) -> TextSkill:
    """The skill that examples ask for: one class, several, or a number; classes in the order of their names.

    Args:
        examples: to learn from.
        task: their task's name.

    Raises:
        InputError: there is one class alone, there are too many, or kinds of labels are mixed.
    """
    kinds = {_kind_of(example) for example in examples}
    if len(kinds) != 1:
        raise InputError(
            f"labels are mixed: {', '.join(sorted(kinds))}", remedy="say --label-kind one, several or number"
        )
    if kinds == {LabelKind.NUMBER}:
        numbers = [float(str(label_of(example))) for example in examples]
        deviation = statistics.pstdev(numbers)
        if deviation == 0:
            raise InputError(
                f"all examples have the number {numbers[0]:g}: there is nothing to learn", remedy=_OTHERS
            )
        return Number(mean=statistics.fmean(numbers), deviation=deviation)
    counts = Counter(name for example in examples for name in example.labels())
    if len(counts) < (2 if kinds == {LabelKind.ONE} else 1):
        named = f"the class {next(iter(counts))!r}" if counts else "no class"
        raise InputError(f"all examples have {named}: there is nothing to learn", remedy=_OTHERS)
    if len(counts) > _MOST_CLASSES:
        raise InputError(
            f"{len(counts):,} classes are more than {_MOST_CLASSES:,}",
            remedy="is this the column of the classes? name it with --columns label=NAME",
        )
    labels = tuple(sorted(counts))
    return OneClass(labels=labels, task=task) if kinds == {LabelKind.ONE} else SeveralClasses(labels=labels)


def read_labels(labels: Sequence[str], config: Mapping[str, Any], folder: Path, *, task: str) -> TextSkill:
    """The skill of a model that has it, by its config.json; one output without a word is a number.

    Args:
        labels: of its outputs.
        config: its config.json.
        folder: that it lies in.
        task: its name.

    Raises:
        InputError: the settings, or files beside them, are damaged.
    """
    kind = config.get("problem_type")
    if kind == "regression" or (kind is None and len(labels) == 1):
        return Number(labels=tuple(labels))
    blend, calibration = Blend.read(config, folder, len(labels)), Calibration.read(config, len(labels))
    if kind == "multi_label_classification":
        return SeveralClasses(labels=tuple(labels), blend=blend, calibration=calibration)
    return OneClass(labels=tuple(labels), task=task, blend=blend, calibration=calibration)


def settings_of(skill: OneClass | SeveralClasses) -> dict[str, Any]:
    """What config.json says of what is done with the outputs of the head."""
    return {**({} if skill.blend is None else skill.blend.settings), **skill.calibration.settings}


def fit_linear_terms(skill: TextSkill, examples: Sequence[Any]) -> LinearTerms:
    """The linear model of words that learns what a skill learns.

    Raises:
        InputError: the texts hold no terms.
    """
    if isinstance(skill, Number):
        targets: Targets = np.array([float(str(label_of(example))) for example in examples])
    else:
        targets = np.array([skill.target(example) for example in examples]).astype(np.int64)
    return LinearTerms.fit([example.inputs() for example in examples], targets, num_classes=len(skill.labels))


def weigh_classes(
    skill: Skill[Any], examples: Sequence[Any], weights: Mapping[str, float] | str
) -> OneClass | SeveralClasses:
    """The skill with classes that count more or less in its loss.

    Args:
        skill: of classes.
        examples: that are learned from.
        weights: class to weight, 1 where it is not named; ``balanced``: all classes count alike, however
            rare, and of several classes each one's yes as much as its no. Where an example has one class,
            the weights of the examples are scaled to a mean of 1.

    Raises:
        InputError: the task has no classes, a name is none of them, or a weight is not above 0.
    """
    if not isinstance(skill, OneClass | SeveralClasses):
        raise InputError("--class-weights are for tasks of classes", remedy="leave them out")
    counts = Counter(name for example in examples for name in set(example.labels()))
    if not isinstance(weights, Mapping):
        several = isinstance(skill, SeveralClasses)
        weights = {
            name: max(1, len(examples) - several * counts[name]) / max(1, counts[name])
            for name in skill.labels
        }
    if strange := sorted(weights.keys() - set(skill.labels)):
        raise InputError(
            f"no class is named {strange[0]!r}", remedy=f"there are {', '.join(skill.labels[:8])}"
        )
    if not all(0 < weight < math.inf for weight in weights.values()):
        raise InputError("the weight of a class is a number above 0")
    given = [float(weights.get(name, 1.0)) for name in skill.labels]
    if isinstance(skill, SeveralClasses):
        return replace(skill, weights=tuple(given))
    whole = sum(weight * counts[name] for weight, name in zip(given, skill.labels, strict=True))
    return replace(skill, weights=tuple(weight * len(examples) / whole for weight in given))


def label_of(example: Labelled) -> Label | None:
    """The label, whatever the example calls it."""
    return example.relation if isinstance(example, RelationExample) else example.label


def _kind_of(example: Labelled) -> LabelKind:
    label = label_of(example)
    if isinstance(label, float | int):
        return LabelKind.NUMBER
    return LabelKind.SEVERAL if isinstance(label, tuple) else LabelKind.ONE
