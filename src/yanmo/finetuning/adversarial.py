"""Objectives that disturb the vectors of tokens where the loss would rise most.

FGM: Miyato et al. 2017 (arXiv 1605.07725, equations 3 to 5): the mean of the loss and of that under one such
disturbance. FreeLB: Zhu et al. 2020 (arXiv 1909.11764, algorithm 1): the mean over several, each found from
the one before, from a random one on, all within a ball and under the same dropout (section 3.3 there).

Sizes are shares of the length of a text's vectors, where Miyato normalises the table and Zhu gives bare
numbers: so one number serves every model. Every text is disturbed by itself, so that packing changes nothing.

Shapes: B texts, T tokens, N tokens of a packed row, W width of the vectors.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

from yanmo.device import seed_devices
from yanmo.errors import InputError
from yanmo.models.base import Trainable
from yanmo.models.stack import Stack
from yanmo.models.transformer import Transformer
from yanmo.nn.packing import Segments
from yanmo.training.objective import LossSum, Objective

B = TypeVar("B")


@dataclass(frozen=True, kw_only=True)
class AdversarialConfig:
    """How vectors are disturbed.

    Attributes:
        radius: longest disturbance, as a share of the length of all vectors of the text.
        step: how far it moves at a time, in the same unit.
        num_passes: forward and backward passes a batch; the loss is their mean.
        starts_at_zero: whether the first pass is the plain one; else it begins at random within the ball.
    """

    radius: float
    step: float
    num_passes: int
    starts_at_zero: bool

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        for name in ("radius", "step"):
            if not 0 < getattr(self, name) < math.inf:
                raise InputError(f"the {name} of a disturbance must be above 0, not {getattr(self, name):g}")
        if self.num_passes < 2 and self.starts_at_zero:
            raise InputError(f"a disturbance needs at least 2 passes, not {self.num_passes}")


# With a tenth of the length a small encoder learned nothing (benchmarks/LOG.md).
FGM = AdversarialConfig(radius=0.02, step=0.02, num_passes=2, starts_at_zero=True)
FREELB = AdversarialConfig(radius=0.02, step=0.01, num_passes=3, starts_at_zero=False)


class Adversarial(Generic[B]):
    """An objective under disturbances; an ``Objective``. Costs ``num_passes`` times as much.

    Without gradients it is the plain objective.
    """

    def __init__(self, objective: Objective[B], config: AdversarialConfig) -> None:
        """Wrap ``objective``."""
        self._objective, self._config = objective, config

    def __call__(self, model: Trainable, batch: B) -> LossSum:
        """Mean loss over the passes; its gradient is known already when it returns."""
        if not torch.is_grad_enabled():
            return self._objective(model, batch)
        assert isinstance(model, Transformer)
        weights = [weight for weight in model.parameters() if weight.requires_grad]
        gradients: list[Tensor | None] = [None] * len(weights)
        total_nats, num_tokens, share = torch.zeros(()), 0, 1 / self._config.num_passes
        inputs: list[_Input] = []
        seed = int(torch.randint(2**62, ()))
        for number in range(self._config.num_passes):
            seed_devices(seed)
            with _disturbed(model, inputs, self._config, seed):
                loss = self._objective(model, batch)
            of_weights, of_inputs = _gradients(loss.loss_nats, weights, inputs)
            gradients = [_sum(*pair, share) for pair in zip(gradients, of_weights, strict=True)]
            total_nats = total_nats + loss.loss_nats.detach().float() * share
            num_tokens = loss.num_tokens
            if number + 1 < self._config.num_passes:
                for entered, gradient in zip(inputs, of_inputs, strict=True):
                    entered.climb(gradient, self._config)
        known: Tensor = _KnownGradient.apply(total_nats, gradients, *weights)
        return LossSum(known, num_tokens)


class _Input:
    """What once enters a stack in a pass, and how it is disturbed."""

    def __init__(
        self,
        vectors_BTW: Tensor,
        segments: Segments | None,
        config: AdversarialConfig,
        generator: torch.Generator,
    ) -> None:
        vectors_BTW = vectors_BTW.detach()
        self._segments = segments
        self._unit = self._lengths(vectors_BTW)
        if config.starts_at_zero:
            self.offset_BTW = torch.zeros_like(vectors_BTW)
        else:
            random_BTW = torch.empty(vectors_BTW.shape, device="cpu").uniform_(-1, 1, generator=generator)
            random_BTW = random_BTW.to(vectors_BTW.device)
            count = self._sums(torch.ones_like(random_BTW))
            self.offset_BTW = (random_BTW * (config.radius * self._unit / count.sqrt())).to(vectors_BTW)

    def climb(self, gradient_BTW: Tensor, config: AdversarialConfig) -> None:
        """Go on uphill, and stay within the ball."""
        tiny = torch.finfo(torch.float32).tiny
        uphill_BTW = gradient_BTW.float() / self._lengths(gradient_BTW).clamp_min(tiny)
        offset_BTW = self.offset_BTW.float() + config.step * self._unit * uphill_BTW
        longest = config.radius * self._unit
        shrink = (longest / self._lengths(offset_BTW).clamp_min(tiny)).clamp_max(1.0)
        self.offset_BTW = (offset_BTW * shrink).to(gradient_BTW.dtype)

    def _lengths(self, x_BTW: Tensor) -> Tensor:
        return self._sums(x_BTW.float().square()).sqrt()

    def _sums(self, x_BTW: Tensor) -> Tensor:
        """Over all numbers of a text, for each of its tokens: (B, 1, 1), or packed (1, N, 1)."""
        if self._segments is None:
            return x_BTW.sum((1, 2), keepdim=True)
        sums_B = x_BTW.new_zeros(len(self._segments.lengths))
        sums_B.index_add_(0, self._segments.texts_N, x_BTW[0].sum(-1))
        return sums_B[self._segments.texts_N][None, :, None]


@contextlib.contextmanager
def _disturbed(
    model: Transformer, inputs: list[_Input], config: AdversarialConfig, seed: int
) -> Iterator[None]:
    """Add the disturbances of ``inputs`` to what enters the stacks, in their order; at first, find them."""
    known, number = len(inputs), 0

    def add(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        nonlocal number
        if number == len(inputs):
            assert not known, "every pass must be alike"
            # Of its own, so that dropout is the same in every pass.
            generator = torch.Generator().manual_seed(seed + number)
            inputs.append(_Input(args[0], kwargs.get("segments"), config, generator))
        entered = inputs[number]
        number += 1
        entered.offset_BTW = entered.offset_BTW.detach().requires_grad_()
        return (args[0] + entered.offset_BTW, *args[1:]), kwargs

    stacks = [stack for stack in (model.encoder, model.decoder) if isinstance(stack, Stack)]
    hooks = [stack.register_forward_pre_hook(add, with_kwargs=True) for stack in stacks]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _gradients(
    loss_nats: Tensor, weights: Sequence[Tensor], inputs: Sequence[_Input]
) -> tuple[Sequence[Tensor | None], list[Tensor]]:
    offsets = [entered.offset_BTW for entered in inputs]
    found = torch.autograd.grad(loss_nats, [*weights, *offsets], allow_unused=True)
    of_inputs = found[len(weights) :]
    known = [
        torch.zeros_like(offset) if gradient is None else gradient
        for gradient, offset in zip(of_inputs, offsets, strict=True)
    ]
    return found[: len(weights)], known


def _sum(total: Tensor | None, gradient: Tensor | None, share: float) -> Tensor | None:
    """In float32, whatever the model computes with: several passes are added up."""
    if gradient is None:
        return total
    return gradient.float() * share if total is None else total.add_(gradient, alpha=share)


class _KnownGradient(torch.autograd.Function):
    """A loss whose gradients by weights were computed along with it."""

    @staticmethod
    def forward(ctx: Any, loss_nats: Tensor, gradients: Sequence[Tensor | None], *weights: Tensor) -> Tensor:
        ctx.gradients, ctx.dtypes = gradients, [weight.dtype for weight in weights]
        return loss_nats.clone()

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        (scale,) = grad_outputs
        pairs = zip(ctx.gradients, ctx.dtypes, strict=True)
        return (None, None, *(None if g is None else (g * scale).to(dtype) for g, dtype in pairs))
