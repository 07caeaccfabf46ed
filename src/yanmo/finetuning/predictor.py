"""A fine-tuned model that answers: texts in, predictions out, in packed batches.

Shapes: B texts, C outputs of the head.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from yanmo.finetuning.batches import Encoded, pack_examples
from yanmo.finetuning.skill import Skill, outputs_of
from yanmo.models.transformer import Transformer
from yanmo.nn.packing import batches_by_tokens

_BATCH_TOKENS = 4096


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """What a head said, one entry a text in their order.

    Attributes:
        predictions: as the skill decodes them.
        of_texts: outputs of each text, float32: (C,), or (T, C) where it says something of each token.
    """

    predictions: list[Any]
    of_texts: list[Tensor]


@torch.inference_mode()
def predict(
    model: Transformer,
    skill: Skill[Any],
    encoded: Sequence[Encoded[Any]],
    *,
    batch_tokens: int = _BATCH_TOKENS,
    on_progress: Callable[[int], None] | None = None,
) -> Outputs:
    """Predictions for encoded texts.

    Args:
        model: in evaluation mode, with the skill's head.
        skill: what it has learned.
        encoded: the texts.
        batch_tokens: tokens that go through the model at once, at least one text.
        on_progress: told how many more texts are done.
    """
    predictions: list[Any] = [None] * len(encoded)
    of_texts: list[Tensor] = [torch.empty(0)] * len(encoded)
    for rows in batches_by_tokens([len(text.ids) for text in encoded], batch_tokens):
        batch = pack_examples([encoded[row] for row in rows], _no_targets)
        outputs = outputs_of(model, batch, skill.head)
        decoded = skill.decode(outputs)
        for place, row in enumerate(rows):
            predictions[row], of_texts[row] = decoded[place], outputs[place]
        if on_progress is not None:
            on_progress(len(rows))
    return Outputs(predictions=predictions, of_texts=of_texts)


def _no_targets(targets: Sequence[Any]) -> Tensor:
    return torch.empty(0)
