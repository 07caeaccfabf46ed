"""What a model has to learn for a task: its network, its batches, the loss, and what its outputs mean.

A prediction is a plain dictionary, one an example, the same for the command line, the server and the scores:
``{"label": "good", "probabilities": {...}}``, ``{"labels": [...]}``, ``{"score": 4.5}``, ``{"tags": [...],
"entities": [...]}``, ``{"tags": [...], "words": [...]}``, ``{"answer": "...", "start": 3, "end": 9}``,
``{"text": "..."}``.

Shapes: B texts, N tokens of all of them, C outputs of the head.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, Self, TypeVar

import torch
from torch import Tensor

from yanmo.data.loader import Batches
from yanmo.finetuning.batches import Encoded, ExampleBatches, PackedBatch, pack_examples
from yanmo.finetuning.encoding import InputEncoder
from yanmo.finetuning.r_drop import Divergence
from yanmo.metrics import Scores
from yanmo.models.base import Trainable
from yanmo.models.checkpoint import Checkpoint
from yanmo.models.heads import HeadKind
from yanmo.models.new_head import open_with_head
from yanmo.models.transformer import Transformer
from yanmo.nn.packing import batches_by_tokens
from yanmo.training.objective import LossSum, Objective

E = TypeVar("E")
E_contra = TypeVar("E_contra", contravariant=True)
Prediction = dict[str, Any]
OnProgress = Callable[[int], None]
Validate = Callable[[Trainable], dict[str, float]]
_BATCH_TOKENS = 4096


class Skill(Protocol[E_contra]):
    """One task, fitted to one set of examples."""

    @property
    def metrics_name(self) -> str:
        """Of the task among ``yanmo.metrics.TASKS``."""

    @property
    def settings(self) -> dict[str, Any]:
        """What config.json says of the task beside its name and the labels."""

    def network(self, checkpoint: Checkpoint) -> Transformer:
        """The model that learns it, in float32.

        Raises:
            InputError: a model of this family cannot.
        """

    def batches(
        self, examples: Sequence[E_contra], encoder: InputEncoder, *, batch_size: int, seed: int
    ) -> Batches[Any]:
        """What it is learned from.

        Raises:
            InputError: a label is unknown, a text is not valid Unicode, or there is no example.
        """

    def objective(self) -> Objective[Any]:
        """The loss."""

    def validation(self, examples: Sequence[E_contra], encoder: InputEncoder) -> Validate:
        """From a model to ``loss_nats`` (a token or a text) and the scores that are defined."""

    def answer(
        self,
        model: Transformer,
        examples: Sequence[E_contra],
        encoder: InputEncoder,
        *,
        on_progress: OnProgress | None = None,
    ) -> list[Prediction]:
        """One prediction an example; ``model`` is in evaluation mode."""

    def score(self, examples: Sequence[E_contra], predictions: Sequence[Prediction]) -> Scores:
        """How right predictions are."""

    def exported(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The weights as a model folder has them, whose outputs every program reads alike."""

    def learned(self) -> Self:
        """The skill of a model with the exported weights."""


class HeadSkill(ABC, Generic[E]):
    """A ``Skill`` whose answers are read off a head, of texts (B, C) or of tokens (1, N, C)."""

    head: HeadKind
    labels: tuple[str, ...]

    @property
    @abstractmethod
    def divergence(self) -> Divergence:
        """How far two answers of the head are apart, for R-Drop."""

    @property
    @abstractmethod
    def metrics_name(self) -> str:
        """Of the task among ``yanmo.metrics.TASKS``."""

    @property
    def settings(self) -> dict[str, Any]:
        """Nothing."""
        return {}

    @property
    def output_names(self) -> tuple[str, ...]:
        """What the head's outputs are called."""
        return self.labels

    @abstractmethod
    def pieces(self, examples: Sequence[E], encoder: InputEncoder, *, labelled: bool) -> list[Encoded[Any]]:
        """Examples as the model takes them, with their targets where they are labelled."""

    @abstractmethod
    def collate(self, targets: Sequence[Any]) -> Tensor:
        """The targets of a batch."""

    @abstractmethod
    def loss(self, outputs: Tensor, batch: PackedBatch) -> LossSum:
        """Loss SUM of a batch in nats (of numbers: squared units), from float32 outputs."""

    @abstractmethod
    def decode(
        self, examples: Sequence[E], pieces: Sequence[Encoded[Any]], outputs: Sequence[Tensor]
    ) -> list[Prediction]:
        """What the outputs of each piece, (C,) or (tokens, C), say of the examples."""

    @abstractmethod
    def score(self, examples: Sequence[E], predictions: Sequence[Prediction]) -> Scores:
        """How right predictions are."""

    def network(self, checkpoint: Checkpoint) -> Transformer:
        """The checkpoint's network with the head."""
        return open_with_head(checkpoint, self.head, labels=self.output_names)

    def batches(
        self, examples: Sequence[E], encoder: InputEncoder, *, batch_size: int, seed: int
    ) -> ExampleBatches[Any]:
        """Packed batches of pieces."""
        pieces = self.pieces(examples, encoder, labelled=True)
        return ExampleBatches(pieces, self.collate, batch_size=batch_size, seed=seed)

    def objective(self) -> Objective[PackedBatch]:
        """The loss of what the head says."""

        def loss(model: Trainable, batch: PackedBatch) -> LossSum:
            assert isinstance(model, Transformer)
            return self.loss(outputs_of(model, batch, self.head), batch)

        return loss

    def validation(self, examples: Sequence[E], encoder: InputEncoder) -> Validate:
        """Loss and scores."""
        pieces = self.pieces(examples, encoder, labelled=True)

        def validate(model: Trainable) -> dict[str, float]:
            assert isinstance(model, Transformer)
            read = read_off(model, self, pieces, judged=True)
            scores = self.score(examples, self.decode(examples, pieces, read.outputs))
            defined = {name: value for name, value in scores.values.items() if value == value}
            return {"loss_nats": read.loss_nats, **defined}

        return validate

    def answer(
        self,
        model: Transformer,
        examples: Sequence[E],
        encoder: InputEncoder,
        *,
        on_progress: OnProgress | None = None,
    ) -> list[Prediction]:
        """What the head says, decoded."""
        (said,) = self.answer_as([self], model, examples, encoder, on_progress=on_progress)
        return said

    def answer_as(
        self,
        skills: Sequence[Self],
        model: Transformer,
        examples: Sequence[E],
        encoder: InputEncoder,
        *,
        on_progress: OnProgress | None = None,
    ) -> list[list[Prediction]]:
        """What each of several skills, which differ in decoding alone, makes of what the head says once."""
        pieces = self.pieces(examples, encoder, labelled=False)
        outputs = read_off(model, self, pieces, on_progress=on_progress).outputs
        return [skill.decode(examples, pieces, outputs) for skill in skills]

    def exported(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """As they are."""
        return dict(weights)

    def learned(self) -> Self:
        """The same."""
        return self


def outputs_of(model: Transformer, batch: PackedBatch, head: HeadKind) -> Tensor:
    """What a head says of a batch in float32: of texts (B, C), of tokens (1, N, C)."""
    outputs: Tensor = model(batch.tokens_1N, segments=batch.segments, types_BT=batch.types_1N, head=head)
    return outputs.float()


@dataclass(frozen=True, kw_only=True)
class ReadOff:
    """What a head said of each piece, and the mean loss where it was judged (else 0)."""

    outputs: list[Tensor]
    loss_nats: float


@torch.inference_mode()
def read_off(
    model: Transformer,
    skill: HeadSkill[Any],
    pieces: Sequence[Encoded[Any]],
    *,
    judged: bool = False,
    batch_tokens: int = _BATCH_TOKENS,
    on_progress: OnProgress | None = None,
) -> ReadOff:
    """Outputs of a head for pieces of any length, in packed batches.

    Args:
        model: in evaluation mode, with the skill's head.
        skill: whose head and loss.
        pieces: with targets where ``judged``.
        judged: whether the loss is wanted.
        batch_tokens: tokens that go through the model at once, at least one text.
        on_progress: told how many more examples are done.
    """
    found = [torch.empty(0)] * len(pieces)
    loss_nats, num_judged, last = 0.0, 0, {piece.example: row for row, piece in enumerate(pieces)}
    for rows in batches_by_tokens([len(piece.ids) for piece in pieces], batch_tokens):
        batch = pack_examples([pieces[row] for row in rows], skill.collate if judged else _no_targets)
        outputs = outputs_of(model, batch, skill.head)
        if judged:
            loss = skill.loss(outputs, batch)
            loss_nats, num_judged = loss_nats + float(loss.loss_nats), num_judged + loss.num_tokens
        of_pieces = outputs if outputs.dim() == 2 else outputs[0].split(batch.segments.lengths)
        for row, output in zip(rows, of_pieces, strict=True):
            found[row] = output.clone()
        if on_progress is not None:
            on_progress(sum(last[pieces[row].example] == row for row in rows))
    return ReadOff(outputs=found, loss_nats=loss_nats / max(1, num_judged))


def _no_targets(targets: Sequence[Any]) -> Tensor:
    return torch.empty(0)
