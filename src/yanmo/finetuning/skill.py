"""What a model has to learn for a task: its head, the targets, the loss, and what its outputs mean.

Shapes: B texts, N tokens of all of them, C outputs of the head.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeVar

from torch import Tensor

from yanmo.finetuning.batches import PackedBatch
from yanmo.metrics import Scores
from yanmo.models.base import Trainable
from yanmo.models.heads import HeadKind
from yanmo.models.transformer import Transformer
from yanmo.training.objective import LossSum

E_contra = TypeVar("E_contra", contravariant=True)


class Skill(Protocol[E_contra]):
    """One task, with the labels of one set of examples."""

    @property
    def metrics_name(self) -> str:
        """Of the task among ``yanmo.metrics.TASKS``."""

    @property
    def head(self) -> HeadKind:
        """The head that is trained."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of its outputs; none where they have none."""

    @property
    def settings(self) -> dict[str, Any]:
        """What config.json says of the task beside the labels."""

    def target(self, example: E_contra) -> Any:
        """What is learned from an example.

        Raises:
            InputError: its label is not among those that were there to learn from.
        """

    def collate(self, targets: Sequence[Any]) -> Tensor:
        """The targets of a batch."""

    def loss(self, outputs: Tensor, targets: Tensor) -> LossSum:
        """Loss SUM of a batch in nats (of numbers: squared units), from float32 outputs."""

    def decode(self, outputs: Tensor) -> list[Any]:
        """The prediction for each text."""

    def exported(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The weights as a model folder has them, whose outputs every program reads alike."""

    def score(self, examples: Sequence[E_contra], predictions: Sequence[Any]) -> Scores:
        """How right predictions are."""


class Supervised:
    """Learn a skill: ``Objective[PackedBatch]``."""

    def __init__(self, skill: Skill[Any]) -> None:
        """Of a network that has the skill's head."""
        self._skill = skill

    def __call__(self, model: Trainable, batch: PackedBatch) -> LossSum:
        """Loss of one micro-batch."""
        return self._skill.loss(outputs_of(model, batch, self._skill.head), batch.targets)


def outputs_of(model: Trainable, batch: PackedBatch, head: HeadKind) -> Tensor:
    """What a head says of a batch in float32: of texts (B, C), of tokens (1, N, C)."""
    assert isinstance(model, Transformer)
    outputs: Tensor = model(batch.tokens_1N, segments=batch.segments, types_BT=batch.types_1N, head=head)
    return outputs.float()
