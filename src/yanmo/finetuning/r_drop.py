"""R-Drop: two passes under different dropout are asked to agree.

Liang et al. 2021 (arXiv 2106.14448, equation 4). The loss is half of the paper's, so that it stays one a
text: the mean of both losses, and ``weight`` halves of the symmetric divergence of what the head said.

Shapes: B texts, N tokens, C outputs of the head.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from yanmo.errors import InputError
from yanmo.finetuning.batches import PackedBatch
from yanmo.models.base import Trainable
from yanmo.models.transformer import Transformer
from yanmo.training.objective import LossSum, Objective

_NO_TARGET = -100
# In place of what is not there: no share is left of it, and it is a number.
_NOTHING = -1e4

# SUM over a batch of how far two outputs of a head are apart.
Divergence = Callable[[Tensor, Tensor, PackedBatch], Tensor]


class RDrop:
    """An objective whose two passes shall agree; an ``Objective``. Costs twice as much time and memory.

    Without dropout, or without gradients, it is the plain objective.
    """

    def __init__(
        self, objective: Objective[PackedBatch], divergence: Divergence, *, weight: float = 1.0
    ) -> None:
        """Wrap an objective.

        Args:
            objective: reads one head once.
            divergence: of its outputs, such as ``of_classes``.
            weight: of the divergence, the paper's alpha (0.1 to 5 there).
        """
        if not weight > 0:
            raise InputError(f"the weight of R-Drop must be above 0, not {weight:g}")
        self._objective, self._divergence, self._weight = objective, divergence, weight

    def __call__(self, model: Trainable, batch: PackedBatch) -> LossSum:
        """Loss of one micro-batch.

        Raises:
            InputError: the objective does not read a head.
        """
        assert isinstance(model, Transformer)
        if not torch.is_grad_enabled() or not model.training:
            return self._objective(model, batch)
        with _said(model) as outputs:
            losses = [self._objective(model, batch) for _ in range(2)]
        if len(outputs) != 2:
            raise InputError(
                "R-Drop compares what a head says, and this loss is computed without",
                remedy="leave R-Drop out",
            )
        apart = self._divergence(outputs[0].float(), outputs[1].float(), batch)
        mean = (losses[0].loss_nats + losses[1].loss_nats) / 2
        return LossSum(mean + self._weight / 2 * apart, losses[0].num_tokens)


@contextlib.contextmanager
def _said(model: Transformer) -> Iterator[list[Tensor]]:
    """All that heads say from here on."""
    outputs: list[Tensor] = []

    def keep(_: nn.Module, args: Any, output: Tensor) -> None:
        outputs.append(output)

    hooks = [head.register_forward_hook(keep) for head in model.heads.values()]
    try:
        yield outputs
    finally:
        for hook in hooks:
            hook.remove()


def of_classes(one_BC: Tensor, other_BC: Tensor, batch: PackedBatch) -> Tensor:
    """Of one class a text."""
    return _symmetric(one_BC, other_BC)


def of_several(one_BC: Tensor, other_BC: Tensor, batch: PackedBatch) -> Tensor:
    """Of classes that are each there or not, mean over the classes."""
    pairs = (torch.stack((scores, torch.zeros_like(scores)), dim=-1) for scores in (one_BC, other_BC))
    return _symmetric(*pairs) / one_BC.shape[-1]


def of_numbers(one_B1: Tensor, other_B1: Tensor, batch: PackedBatch) -> Tensor:
    """Of numbers: squares."""
    return functional.mse_loss(one_B1, other_B1, reduction="sum")


def of_tags(one_1NC: Tensor, other_1NC: Tensor, batch: PackedBatch) -> Tensor:
    """Of the tags of tokens that have a target."""
    kept_N = batch.targets != _NO_TARGET
    return _symmetric(one_1NC[0][kept_N], other_1NC[0][kept_N])


def of_spans(one_1N2: Tensor, other_1N2: Tensor, batch: PackedBatch) -> Tensor:
    """Of the tokens at which an answer begins, and of those at which it ends; mean of both."""
    pairs = (batch.segments.pad(scores, value=_NOTHING).mT for scores in (one_1N2, other_1N2))
    return _symmetric(*pairs) / 2


def _symmetric(one: Tensor, other: Tensor) -> Tensor:
    """SUM of the mean of both Kullback-Leibler divergences, in nats, of scores along the last dimension."""
    first, second = torch.log_softmax(one, dim=-1), torch.log_softmax(other, dim=-1)
    # p (log p - log q) + q (log q - log p)
    return ((first.exp() - second.exp()) * (first - second)).sum() / 2
