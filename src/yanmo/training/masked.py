"""The masked objectives: hidden tokens, and whether a second text follows on the first.

Devlin et al. 2019 (arXiv 1810.04805, section 3.1). Only hidden tokens go through the output matrix. Where
next sentences are predicted too, their loss enters the SUM with a constant weight, so that accumulation
stays exact; with as many tokens as a row has predicted ones on average, it counts as much as theirs, as in
the paper.

Contract: ``Masked()`` is ``Objective[MaskedBatch]``, ``MaskedWithNextSentence(weight=...)`` is
``Objective[PairBatch]``; each has ``score(model, batches, num_batches)`` for validation.

Shapes: B rows, T tokens, N hidden tokens of all rows, D = d_model, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from yanmo.data.loader import Batches
from yanmo.data.masking import MaskedBatch
from yanmo.data.pairs import PairBatch
from yanmo.models.base import Trainable
from yanmo.models.heads import HeadKind
from yanmo.models.transformer import Transformer
from yanmo.training.objective import LossSum
from yanmo.training.predictions import Score, prediction_loss, require_transformer


class Masked:
    """Predict hidden tokens."""

    def __call__(self, model: Trainable, batch: MaskedBatch) -> LossSum:
        """Loss of one micro-batch.

        Raises:
            InputError: the model is no encoder with a masked-token head.
        """
        encoder = require_transformer(model, "encoder")
        hidden_BTD = encoder.hidden(batch.inputs_BT)
        return LossSum(_masked_loss(encoder, hidden_BTD, batch), len(batch.targets_N))

    @torch.no_grad()
    def score(self, model: Trainable, batches: Batches[MaskedBatch], num_batches: int) -> dict[str, float]:
        """How well hidden tokens are predicted in the first batches.

        Args:
            model: in evaluation mode.
            batches: of held-out text.
            num_batches: how many steps of them.

        Returns:
            loss_nats (mean a hidden token), masked_accuracy, num_tokens (hidden ones).
        """
        encoder, score = require_transformer(model, "encoder"), Score()
        for step in range(num_batches):
            batch = batches.rows(step, range(batches.batch_size))
            _add_masked(score, encoder, encoder.hidden(batch.inputs_BT), batch)
        return _masked_figures(score)


@dataclass(frozen=True, kw_only=True)
class MaskedWithNextSentence:
    """Predict hidden tokens, and whether the second text follows on the first.

    Attributes:
        weight: of one pair's loss, in tokens' losses: about as many as a row has hidden tokens.
    """

    weight: float

    def __call__(self, model: Trainable, batch: PairBatch) -> LossSum:
        """Loss of one micro-batch.

        Raises:
            InputError: the model is no encoder with both heads.
        """
        encoder = require_transformer(model, "encoder")
        hidden_BTD = encoder.hidden(batch.masked.inputs_BT, types_BT=batch.types_BT)
        tokens = _masked_loss(encoder, hidden_BTD, batch.masked)
        pairs = functional.cross_entropy(
            _pair_logits(encoder, hidden_BTD), batch.unrelated_B, reduction="sum"
        )
        return LossSum(tokens + self.weight * pairs, len(batch.masked.targets_N))

    @torch.no_grad()
    def score(self, model: Trainable, batches: Batches[PairBatch], num_batches: int) -> dict[str, float]:
        """How well hidden tokens and next texts are predicted in the first batches.

        Args:
            model: in evaluation mode.
            batches: of held-out text.
            num_batches: how many steps of them.

        Returns:
            loss_nats (mean a hidden token), masked_accuracy, num_tokens (hidden ones),
            next_sentence_loss_nats (mean a pair), next_sentence_accuracy, num_pairs.
        """
        encoder, score = require_transformer(model, "encoder"), Score()
        num_pairs, num_right, loss_nats = 0, 0, 0.0
        for step in range(num_batches):
            batch = batches.rows(step, range(batches.batch_size))
            hidden_BTD = encoder.hidden(batch.masked.inputs_BT, types_BT=batch.types_BT)
            _add_masked(score, encoder, hidden_BTD, batch.masked)
            logits_B2 = _pair_logits(encoder, hidden_BTD)
            loss_nats += float(functional.cross_entropy(logits_B2, batch.unrelated_B, reduction="sum"))
            num_right += int((logits_B2.argmax(-1) == batch.unrelated_B).sum())
            num_pairs += len(batch.unrelated_B)
        return _masked_figures(score) | {
            "next_sentence_loss_nats": loss_nats / max(1, num_pairs),
            "next_sentence_accuracy": num_right / max(1, num_pairs),
            "num_pairs": float(num_pairs),
        }


def _masked_loss(encoder: Transformer, hidden_BTD: Tensor, batch: MaskedBatch) -> Tensor:
    hidden_ND = hidden_BTD.flatten(0, 1)[batch.positions_N]
    head = encoder.head(HeadKind.MASKED_LM)
    return prediction_loss(head, encoder.embedding.weight, hidden_ND, batch.targets_N)


def _pair_logits(encoder: Transformer, hidden_BTD: Tensor) -> Tensor:
    logits_B2: Tensor = encoder.head(HeadKind.NEXT_SENTENCE)(hidden_BTD, encoder.embedding.weight)
    return logits_B2.float()


def _add_masked(score: Score, encoder: Transformer, hidden_BTD: Tensor, batch: MaskedBatch) -> None:
    hidden_ND = hidden_BTD.flatten(0, 1)[batch.positions_N]
    score.add(encoder.head(HeadKind.MASKED_LM), encoder.embedding.weight, hidden_ND, batch.targets_N)


def _masked_figures(score: Score) -> dict[str, float]:
    return {
        "loss_nats": score.mean_loss_nats,
        "masked_accuracy": score.accuracy,
        "num_tokens": float(score.num_tokens),
    }
