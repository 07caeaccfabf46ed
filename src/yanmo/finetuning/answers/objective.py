"""What is minimised where answers are texts, and how likely a model holds a text.

- ``Completion``: cross-entropy of the learned tokens, with smoothed labels (Szegedy et al. 2016, arXiv
  1512.00567, section 7) where that is asked for. Of a share e, spread over all tokens, the loss is
  CE + e (z_target - mean z), and a mean of logits is one product with the mean row of the matrix: no logit is
  held for it.
- ``DirectPreference``: Rafailov et al. 2023 (arXiv 2305.18290, equation 7), from log-probabilities under the
  reference model that were computed once beforehand.

Shapes: M predictions, B texts, D = d_model, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from yanmo.finetuning.answers.batches import AnswerBatch, AnswerText, pack_answers
from yanmo.models.base import Trainable
from yanmo.models.transformer import Transformer
from yanmo.nn.cross_entropy import linear_cross_entropy, linear_token_losses, token_losses
from yanmo.nn.packing import batches_by_tokens
from yanmo.training.objective import LossSum
from yanmo.training.predictions import output_product

_BATCH_TOKENS = 4096


@dataclass(frozen=True, kw_only=True)
class Completion:
    """Say what is learned; ``Objective[AnswerBatch]``.

    Attributes:
        smoothing: share of each target that is spread over all tokens.
    """

    smoothing: float = 0.0

    def __call__(self, model: Trainable, batch: AnswerBatch) -> LossSum:
        """Loss SUM over the predictions of a micro-batch, in nats."""
        features_MD, weight_VD = _product(model, batch)
        loss = linear_cross_entropy(features_MD, weight_VD, batch.targets_M)
        if self.smoothing:
            away_MD = weight_VD[batch.targets_M] - weight_VD.mean(0)
            loss = loss + self.smoothing * (features_MD.float() * away_MD.float()).sum()
        return LossSum(loss, len(batch.targets_M))


@dataclass(frozen=True, kw_only=True)
class DirectPreference:
    """Hold the better answer likelier, beside the reference model; ``Objective[AnswerBatch]``.

    Texts are pairs: the better answer to a prompt, then the worse.

    Attributes:
        beta: how dear it is to differ from the reference, per nat.
    """

    beta: float = 0.1

    def __call__(self, model: Trainable, batch: AnswerBatch) -> LossSum:
        """Loss SUM over the pairs of a micro-batch, in nats."""
        rewards_B = self.beta * (batch.reference_nats_B - _nats(model, batch).double())
        margins = rewards_B[::2] - rewards_B[1::2]
        return LossSum(-functional.logsigmoid(margins).sum(), len(margins))


def _nats(model: Trainable, batch: AnswerBatch) -> Tensor:
    """Loss of what is learned of each text, differentiable, float32 nats, (B,)."""
    losses_M = linear_token_losses(*_product(model, batch), batch.targets_M)
    return losses_M.new_zeros(len(batch.reference_nats_B)).index_add(0, batch.rows_M, losses_M)


def _product(model: Trainable, batch: AnswerBatch) -> tuple[Tensor, Tensor]:
    """Features of the predictions (M, D) and the matrix (V, D) that makes logits of them."""
    assert isinstance(model, Transformer)
    memory = None
    if batch.sources_1S is not None:
        memory = model.encode(batch.sources_1S, segments=batch.source_segments)
    hidden_TD = model.hidden(batch.inputs_1T, segments=batch.segments, memory=memory)[0]
    return output_product(model.language_head, model.embedding.weight, hidden_TD[batch.places_M])


@torch.no_grad()
def nats_of(
    model: Transformer, texts: Sequence[AnswerText], *, on_progress: Callable[[int], None] | None = None
) -> NDArray[np.float64]:
    """Loss of what is learned of each text, in nats.

    Args:
        model: in evaluation mode, or without dropout.
        texts: of any length; all of them have a source, or none has.
        on_progress: told how many more are done.
    """
    found = np.zeros(len(texts))
    for rows in batches_by_tokens([text.num_tokens for text in texts], _BATCH_TOKENS):
        batch = pack_answers([texts[row] for row in rows])
        losses_M = token_losses(*_product(model, batch), batch.targets_M)
        sums = torch.zeros(len(rows), dtype=torch.float64).index_add(0, batch.rows_M, losses_M.double())
        found[rows] = sums.numpy()
        if on_progress is not None:
            on_progress(len(rows))
    return found
