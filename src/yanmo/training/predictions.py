"""The loss and the score of tokens that a head predicts, at chosen places and without logits of them all.

Shapes: N predicted tokens, D = d_model, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from yanmo.data.loader import Batch
from yanmo.errors import InputError
from yanmo.models.base import Trainable
from yanmo.models.heads import Head
from yanmo.models.transformer import Transformer
from yanmo.nn.cross_entropy import linear_cross_entropy, rows_per_chunk
from yanmo.training.objective import LossSum


def require_transformer(model: Trainable, shape: str) -> Transformer:
    """The model as what an objective needs.

    Raises:
        InputError: it is of another shape.
    """
    if isinstance(model, Transformer) and model.config.shape == shape:
        return model
    is_shape = model.config.shape if isinstance(model, Transformer) else type(model).__name__
    raise InputError(f"this objective trains an {shape}, not this {is_shape}")


def prediction_loss(head: Head, table_VD: Tensor, hidden_ND: Tensor, targets_N: Tensor) -> Tensor:
    """SUM of the cross-entropies of a head's outputs, float32 nats, differentiable.

    Args:
        head: what predicts.
        table_VD: the embedding's matrix.
        hidden_ND: hidden states at the places of the predicted tokens.
        targets_N: the right tokens.
    """
    return linear_cross_entropy(*output_product(head, table_VD, hidden_ND), targets_N)


def output_product(head: Head, table_VD: Tensor, hidden_ND: Tensor) -> tuple[Tensor, Tensor]:
    """Features and matrix whose product a head's outputs are, a bias included; arguments as there."""
    features_ND, weight_VD = head.features(hidden_ND), head.weight_VD(table_VD)
    if head.bias is not None:
        # A bias is a further column of the matrix, for a feature that is always one.
        features_ND = functional.pad(features_ND, (0, 1), value=1.0)
        weight_VD = torch.cat((weight_VD, head.bias[:, None]), dim=1)
    return features_ND, weight_VD


def causal_through_head(model: Trainable, batch: Batch) -> LossSum:
    """The causal objective of a decoder whose output may have a bias, a scale or a transform.

    Raises:
        InputError: the model is of another shape.
    """
    decoder = require_transformer(model, "decoder")
    hidden_ND = decoder.hidden(batch.inputs_BT).flatten(0, 1)
    head, targets_N = decoder.language_head, batch.targets_BT.flatten()
    return LossSum(prediction_loss(head, decoder.embedding.weight, hidden_ND, targets_N), len(targets_N))


@dataclass
class Score:
    """What was predicted so far: sum of losses in nats, right and all predictions."""

    loss_nats: float = 0.0
    num_right: int = 0
    num_tokens: int = 0

    @torch.no_grad()
    def add(self, head: Head, table_VD: Tensor, hidden_ND: Tensor, targets_N: Tensor) -> None:
        """Count more predictions; arguments as ``prediction_loss``."""
        step = rows_per_chunk(head.config.num_outputs)
        for start in range(0, len(targets_N), step):
            rows = slice(start, start + step)
            logits_CV = head.project(head.features(hidden_ND[rows]), table_VD).float()
            losses = functional.cross_entropy(logits_CV, targets_N[rows], reduction="sum")
            self.loss_nats += float(losses)
            self.num_right += int((logits_CV.argmax(-1) == targets_N[rows]).sum())
        self.num_tokens += len(targets_N)

    @property
    def mean_loss_nats(self) -> float:
        """Nats a prediction."""
        return self.loss_nats / max(1, self.num_tokens)

    @property
    def accuracy(self) -> float:
        """Share of right predictions."""
        return self.num_right / max(1, self.num_tokens)
