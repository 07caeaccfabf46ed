"""How two entities in a text are related: read off the tokens of both.

Both entities stand between punctuation that tells them apart (Zhou and Chen 2022, arXiv 2102.01373, section
3.2), and what decides is the vectors of their own tokens (Baldini Soares et al. 2019, arXiv 1906.03158,
section 3.2): each class gets the mean of one output over the first entity's tokens and the mean of another
over the second's. Macro F1 on training rows of SemEval-2010 task 8 that were held out: 0.84, by the first
mark's token alone, as the paper has it, 0.84, by the first token of the text 0.72.

To other programs the model is one that classifies tokens, with two outputs a class. Of a text that is too
long the window that holds most of both entities is read; an entity outside of it is the window's first token.

Shapes: B texts, N tokens of all of them, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from yanmo.finetuning.batches import Encoded, PackedBatch
from yanmo.finetuning.blend import Blend
from yanmo.finetuning.calibration import Calibration
from yanmo.finetuning.encoding import InputEncoder
from yanmo.finetuning.r_drop import Divergence, of_classes
from yanmo.finetuning.text_labels import Labelled, OneClass, fit_labels, settings_of
from yanmo.models.heads import HeadKind
from yanmo.tasks.examples import RelationExample
from yanmo.tokenizers.encoding import Encoding
from yanmo.training.objective import LossSum

_TASK = "relation-extraction"
_MARKS = ("@", "#")
_ENTITIES = ("e1", "e2")
_UNKNOWN = -1


class RelationTarget(NamedTuple):
    """What a piece says.

    Attributes:
        number: of the class; -1 where nothing is to be learned.
        tokens: first and last + 1 of the first entity and of the second.
    """

    number: int
    tokens: tuple[int, int, int, int]


@dataclass(frozen=True, kw_only=True, eq=False)
class Relations(OneClass):
    """The relation of two entities: ``{"label": name, "probabilities": {name: share}}``."""

    task: str = _TASK
    head = HeadKind.TOKEN_CLASSIFICATION

    @property
    def settings(self) -> dict[str, Any]:
        """What is done with the outputs."""
        return settings_of(self)

    @property
    def output_names(self) -> tuple[str, ...]:
        """Each class of the first entity, then each of the second."""
        return tuple(f"{label}|{entity}" for entity in _ENTITIES for label in self.labels)

    @property
    def divergence(self) -> Divergence:
        """Between two answers."""

        def apart(one_1NC: Tensor, other_1NC: Tensor, batch: PackedBatch) -> Tensor:
            one_BC, other_BC = (_of_entities(outputs[0], batch) for outputs in (one_1NC, other_1NC))
            return of_classes(one_BC, other_BC, batch)

        return apart

    def pieces(
        self, examples: Sequence[Labelled], encoder: InputEncoder, *, labelled: bool
    ) -> list[Encoded[RelationTarget]]:
        """The window of each text that holds its entities."""
        marked = [_marked(example) for example in examples]
        found = []
        for row, windows in enumerate(encoder.encode_windows([(text,) for text, _ in marked])):
            number = self.target(examples[row]) if labelled else _UNKNOWN
            placed = [(window, _tokens_of(window, marked[row][1])) for window in windows]
            window, spans = max(placed, key=lambda each: sum(end - start for start, end in each[1]))
            (head, tail) = ((start, end) if end > start else (0, 1) for start, end in spans)
            target = RelationTarget(number, (*head, *tail))
            found.append(encoder.piece(window, target, example=row, is_pair=False))
        return found

    def collate(self, targets: Sequence[Any]) -> Tensor:
        """Class and tokens, (B, 5)."""
        return torch.tensor([(target.number, *target.tokens) for target in targets])

    def loss(self, outputs: Tensor, batch: PackedBatch) -> LossSum:
        """Cross-entropy."""
        return self.loss_of(_of_entities(outputs[0], batch), batch.targets[:, 0])

    def logits(self, pieces: Sequence[Encoded[Any]], outputs: Sequence[Tensor]) -> Tensor:
        """Of each text, (B, C)."""
        num_classes = len(self.labels)
        return torch.stack(
            [
                output[start:end, :num_classes].mean(0) + output[begin:stop, num_classes:].mean(0)
                for (start, end, begin, stop), output in zip(
                    (piece.target.tokens for piece in pieces), outputs, strict=True
                )
            ]
        )


def fit_relations(examples: Sequence[RelationExample]) -> Relations:
    """The relations that examples have.

    Raises:
        InputError: there is one alone, or there are too many.
    """
    return Relations(labels=fit_labels(examples, task=_TASK).labels)


def read_relations(outputs: Sequence[str], config: Any, folder: Path) -> Relations:
    """The skill of a model that has it, by the names of its outputs, its config.json and its folder."""
    labels = tuple(name.removesuffix(f"|{_ENTITIES[0]}") for name in outputs[: len(outputs) // 2])
    return Relations(
        labels=labels,
        blend=Blend.read(config, folder, len(labels)),
        calibration=Calibration.read(config, len(labels)),
    )


def _marked(example: Labelled) -> tuple[str, list[tuple[int, int]]]:
    """The text with marks around both entities, and where these stand with their marks."""
    assert isinstance(example, RelationExample)
    text, spans = "", [(0, 0), (0, 0)]
    behind = 0
    for (start, end, _), which in sorted([(example.head, 0), (example.tail, 1)]):
        mark = _MARKS[which]
        text += example.text[behind:start]
        entity = f"{mark} {example.text[start:end]} {mark}"
        spans[which] = (len(text), len(text) + len(entity))
        text, behind = text + entity, end
    return text + example.text[behind:], spans


def _tokens_of(window: Encoding, spans: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """First token and last + 1 of each span of characters; (0, 0) where the window does not hold it."""
    offsets = np.array(window.offsets, np.int64).reshape(-1, 2)
    inner = np.array([which is not None for which in window.text_ids], np.bool_)
    found = []
    for start, end in spans:
        (at,) = np.nonzero(inner & (offsets[:, 0] < end) & (offsets[:, 1] > start))
        found.append((int(at[0]), int(at[-1]) + 1) if len(at) else (0, 0))
    return found


def _of_entities(outputs_NC: Tensor, batch: PackedBatch) -> Tensor:
    """Logits (B, C) of packed texts, from two outputs (N, 2C) a class."""
    num_classes = outputs_NC.shape[1] // 2
    starts_B, tokens_B4 = batch.segments.starts_B, batch.targets[:, 1:]
    rows_B = torch.arange(len(starts_B))
    logits_BC = outputs_NC.new_zeros(len(starts_B), num_classes)
    for which in range(2):
        first_B, behind_B = tokens_B4[:, 2 * which : 2 * which + 2].unbind(1)
        lengths_B = behind_B - first_B
        rows_M = rows_B.repeat_interleave(lengths_B)
        inside_M = torch.arange(len(rows_M)) - (lengths_B.cumsum(0) - lengths_B)[rows_M]
        tokens_M = (starts_B + first_B)[rows_M] + inside_M
        own_NC = outputs_NC[:, which * num_classes : (which + 1) * num_classes]
        shares_M1 = (1 / lengths_B[rows_M].to(outputs_NC.dtype))[:, None]
        logits_BC = logits_BC.index_add(0, rows_M, own_NC[tokens_M] * shares_M1)
    return logits_BC
