"""What pretraining minimises. An objective returns a loss SUM and a token COUNT, never a mean:

the loop divides once an optimizer step, so accumulation and any number of workers give the
gradient of the full batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypeVar

from torch import Tensor

from yanmo.data.loader import Batch
from yanmo.models.base import Trainable
from yanmo.nn.cross_entropy import linear_cross_entropy


@dataclass(frozen=True)
class LossSum:
    """Loss of a micro-batch: a differentiable SUM in nats over ``num_tokens`` predicted tokens."""

    loss_nats: Tensor
    num_tokens: int


B_contra = TypeVar("B_contra", contravariant=True)


class Objective(Protocol[B_contra]):
    """From a model and a batch of its kind to a loss."""

    def __call__(self, model: Trainable, batch: B_contra) -> LossSum:
        """Loss of one micro-batch."""


def causal(model: Trainable, batch: Batch) -> LossSum:
    """Predict each token from those before it (Radford et al. 2018, equation 1)."""
    hidden_ND = model.hidden(batch.inputs_BT).flatten(0, 1)
    loss = linear_cross_entropy(hidden_ND, model.output_weight_VD, batch.targets_BT.flatten())
    return LossSum(loss, batch.targets_BT.numel())
