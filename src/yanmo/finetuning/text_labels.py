"""Classes and numbers of whole texts, of pairs of texts, and of two entities in a text.

One class: softmax and cross-entropy; several: a sigmoid each (binary cross-entropy, averaged over the
classes, so that losses of few and many classes are alike); a number: squared error in standard units.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor
from torch.nn import functional

from yanmo import metrics
from yanmo.errors import InputError
from yanmo.metrics import Scores
from yanmo.models.heads import HeadKind
from yanmo.tasks.examples import ClassificationExample, Example, Label, PairExample, RelationExample
from yanmo.tasks.labels import LabelKind
from yanmo.training.objective import LossSum

Labelled = ClassificationExample | PairExample | RelationExample
_MOST_CLASSES = 20_000


@dataclass(frozen=True, kw_only=True)
class OneClass:
    """One of several classes; a ``Skill``.

    Attributes:
        labels: the classes.
        task: of the metrics.
        smoothing: share of the target that is spread over all classes (Szegedy et al. 2016, arXiv 1512.00567,
            section 7).
    """

    labels: tuple[str, ...]
    task: str = "text-classification"
    smoothing: float = 0.0
    head: HeadKind = HeadKind.SEQUENCE_CLASSIFICATION

    @property
    def metrics_name(self) -> str:
        """As the task's."""
        return self.task

    @property
    def settings(self) -> dict[str, Any]:
        """As transformers has it."""
        return {"problem_type": "single_label_classification"}

    def target(self, example: Labelled) -> int:
        """Number of the class."""
        return _number_of(example, label_of(example), self.labels)

    def collate(self, targets: Sequence[int]) -> Tensor:
        """Numbers, (B,)."""
        return torch.tensor(targets)

    def loss(self, outputs: Tensor, targets: Tensor) -> LossSum:
        """Cross-entropy."""
        loss = functional.cross_entropy(outputs, targets, reduction="sum", label_smoothing=self.smoothing)
        return LossSum(loss, len(targets))

    def decode(self, outputs: Tensor) -> list[str]:
        """The most likely class."""
        return [self.labels[index] for index in outputs.argmax(-1).tolist()]

    def probabilities(self, outputs: Tensor) -> Tensor:
        """Of the classes, (B, C)."""
        return outputs.softmax(-1)

    def exported(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """As they are."""
        return dict(weights)

    def learned(self) -> Self:
        """The skill of a model with the exported weights: the same."""
        return self

    def score(self, examples: Sequence[Labelled], predictions: Sequence[str]) -> Scores:
        """Of the classes."""
        (scores,) = metrics.all_scores(self.metrics_name, [label_of(e) for e in examples], predictions)
        return scores


@dataclass(frozen=True, kw_only=True)
class SeveralClasses:
    """Any number of classes; a ``Skill``."""

    labels: tuple[str, ...]
    threshold: float = 0.5
    head: HeadKind = HeadKind.SEQUENCE_CLASSIFICATION

    @property
    def metrics_name(self) -> str:
        """Of several labels."""
        return "text-classification/multi-label"

    @property
    def settings(self) -> dict[str, Any]:
        """As transformers has it."""
        return {"problem_type": "multi_label_classification"}

    def target(self, example: Labelled) -> tuple[float, ...]:
        """One for each class that holds, else zero."""
        numbers = [_number_of(example, name, self.labels) for name in example.labels()]
        return tuple(float(index in numbers) for index in range(len(self.labels)))

    def collate(self, targets: Sequence[tuple[float, ...]]) -> Tensor:
        """Zeros and ones, (B, C)."""
        return torch.tensor(targets)

    def loss(self, outputs: Tensor, targets: Tensor) -> LossSum:
        """Binary cross-entropy, mean over the classes."""
        loss = functional.binary_cross_entropy_with_logits(outputs, targets, reduction="sum")
        return LossSum(loss / len(self.labels), len(targets))

    def decode(self, outputs: Tensor) -> list[tuple[str, ...]]:
        """The classes above the threshold."""
        chosen = (self.probabilities(outputs) > self.threshold).tolist()
        return [tuple(name for name, is_in in zip(self.labels, row, strict=True) if is_in) for row in chosen]

    def probabilities(self, outputs: Tensor) -> Tensor:
        """Of each class, (B, C)."""
        return outputs.sigmoid()

    def exported(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """As they are."""
        return dict(weights)

    def learned(self) -> Self:
        """The skill of a model with the exported weights: the same."""
        return self

    def score(self, examples: Sequence[Labelled], predictions: Sequence[tuple[str, ...]]) -> Scores:
        """Of sets of classes."""
        return metrics.multi_label([example.labels() for example in examples], predictions)


@dataclass(frozen=True, kw_only=True)
class Number:
    """A number; a ``Skill``. It is learned in standard units; ``exported`` gives a head that answers in its
    own.

    Attributes:
        mean: of the numbers that were learned from; 0 for a head that was exported.
        deviation: their standard deviation; 1 for a head that was exported.
    """

    mean: float = 0.0
    deviation: float = 1.0
    labels: tuple[str, ...] = ("score",)
    head: HeadKind = HeadKind.SEQUENCE_CLASSIFICATION

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

    def collate(self, targets: Sequence[float]) -> Tensor:
        """Numbers, (B,)."""
        return torch.tensor(targets)

    def loss(self, outputs: Tensor, targets: Tensor) -> LossSum:
        """Squared error in standard units."""
        return LossSum(functional.mse_loss(outputs[:, 0], targets, reduction="sum"), len(targets))

    def decode(self, outputs: Tensor) -> list[float]:
        """In the unit of the labels."""
        return [self.mean + self.deviation * value for value in outputs[:, 0].tolist()]

    def exported(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The weights with a head whose output is the number itself."""
        output, bias = (f"heads.{self.head.value}.{name}" for name in ("output.weight", "bias"))
        return {
            **weights,
            output: weights[output] * self.deviation,
            bias: weights[bias] * self.deviation + self.mean,
        }

    def learned(self) -> Number:
        """The skill of a model with the exported weights: no more units."""
        return Number(labels=self.labels)

    def score(self, examples: Sequence[Labelled], predictions: Sequence[float]) -> Scores:
        """Correlations and errors."""
        return metrics.regression([float(str(label_of(e))) for e in examples], predictions)


TextSkill = OneClass | SeveralClasses | Number


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
            raise InputError(f"all examples have the number {numbers[0]:g}: there is nothing to learn")
        return Number(mean=statistics.fmean(numbers), deviation=deviation)
    counts = Counter(name for example in examples for name in example.labels())
    if len(counts) < (2 if kinds == {LabelKind.ONE} else 1):
        named = f"the class {next(iter(counts))!r}" if counts else "no class"
        raise InputError(f"all examples have {named}: there is nothing to learn")
    if len(counts) > _MOST_CLASSES:
        raise InputError(
            f"{len(counts):,} classes are more than {_MOST_CLASSES:,}",
            remedy="is this the column of the classes? name it with --columns label=NAME",
        )
    labels = tuple(sorted(counts))
    return OneClass(labels=labels, task=task) if kinds == {LabelKind.ONE} else SeveralClasses(labels=labels)


def read_labels(labels: Sequence[str], config: Mapping[str, Any], *, task: str) -> TextSkill:
    """The skill of a model that has it, by its config.json."""
    match config.get("problem_type"):
        case "regression":
            return Number(labels=tuple(labels))
        case "multi_label_classification":
            return SeveralClasses(labels=tuple(labels))
    return OneClass(labels=tuple(labels), task=task)


def labelled(examples: Sequence[Example]) -> list[Labelled]:
    """The examples of whole texts, pairs and relations that have a label."""
    return [one for one in examples if isinstance(one, Labelled) and label_of(one) is not None]


def label_of(example: Labelled) -> Label | None:
    """The label, whatever the example calls it."""
    return example.relation if isinstance(example, RelationExample) else example.label


def _kind_of(example: Labelled) -> LabelKind:
    label = label_of(example)
    if isinstance(label, float | int):
        return LabelKind.NUMBER
    return LabelKind.SEVERAL if isinstance(label, tuple) else LabelKind.ONE


def _number_of(example: Labelled, label: object, labels: Sequence[str]) -> int:
    for number, name in enumerate(labels):
        if name == label:
            return number
    raise InputError(
        f"the label {label!r} was not there to learn from",
        where=str(example.origin),
        remedy=f"known: {', '.join(labels[:8])}",
    )
