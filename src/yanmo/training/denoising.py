"""The denoising objective: write the spans that were taken out of a text.

Raffel et al. 2020 (arXiv 1910.10683, section 3.1.4). The decoder sees the right tokens before each that it
predicts. Contract: ``Denoising()`` is ``Objective[SpanBatch]`` and has ``score(model, batches,
num_batches)`` for validation.

Shapes: T tokens of all targets, D = d_model.
"""

from __future__ import annotations

import torch
from torch import Tensor

from yanmo.data.loader import Batches
from yanmo.data.spans import SpanBatch
from yanmo.models.base import Trainable
from yanmo.models.transformer import Transformer
from yanmo.training.objective import LossSum
from yanmo.training.predictions import Score, prediction_loss, require_transformer


class Denoising:
    """Predict targets from sources."""

    def __call__(self, model: Trainable, batch: SpanBatch) -> LossSum:
        """Loss of one micro-batch, over all tokens of its targets.

        Raises:
            InputError: the model is no encoder-decoder with a language head.
        """
        both = require_transformer(model, "encoder-decoder")
        loss = prediction_loss(
            both.language_head, both.embedding.weight, _hidden(both, batch), batch.targets_1T[0]
        )
        return LossSum(loss, batch.targets_1T.numel())

    @torch.no_grad()
    def score(self, model: Trainable, batches: Batches[SpanBatch], num_batches: int) -> dict[str, float]:
        """How well the targets of the first batches are predicted.

        Args:
            model: in evaluation mode.
            batches: of held-out text.
            num_batches: how many steps of them.

        Returns:
            loss_nats (mean a target's token), target_accuracy, num_tokens (of targets).
        """
        both, score = require_transformer(model, "encoder-decoder"), Score()
        for step in range(num_batches):
            batch = batches.rows(step, range(batches.batch_size))
            score.add(both.language_head, both.embedding.weight, _hidden(both, batch), batch.targets_1T[0])
        return {
            "loss_nats": score.mean_loss_nats,
            "target_accuracy": score.accuracy,
            "num_tokens": float(score.num_tokens),
        }


def _hidden(model: Transformer, batch: SpanBatch) -> Tensor:
    """Hidden states of all targets' tokens, (T, D)."""
    memory = model.encode(batch.sources_1S, segments=batch.source_segments)
    return model.hidden(batch.inputs_1T, segments=batch.target_segments, memory=memory)[0]
