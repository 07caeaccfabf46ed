"""Normalisation: RMSNorm (Zhang and Sennrich 2019, arXiv 1910.07467, equation 4) and LayerNorm
(Ba et al. 2016, arXiv 1607.06450, equation 4).

RMSNorm's forward and backward are written out: torch composes it of a dozen operators on a CPU, and on a
small model's widths that costs more than the matrix products beside it (benchmarks/LOG.md). LayerNorm
is torch's own, which is one kernel.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import torch
from torch import Tensor, nn

from yanmo.nn import kernels
from yanmo.nn.kernels import operations


class NormKind(StrEnum):
    """How a vector is normalised."""

    RMS = "rms"
    LAYER = "layer"


@dataclass(frozen=True, kw_only=True)
class NormConfig:
    """A norm: ``eps`` is added to the mean square or the variance; only LayerNorm can have a ``bias``."""

    kind: NormKind = NormKind.RMS
    eps: float = 1e-6
    bias: bool = False


def build_norm(dim: int, config: NormConfig) -> nn.Module:
    """The norm of vectors of ``dim`` numbers that a config asks for."""
    if config.kind is NormKind.RMS:
        return RMSNorm(dim, eps=config.eps)
    return nn.LayerNorm(dim, eps=config.eps, bias=config.bias)


class RMSNorm(nn.Module):
    """Divide by the root mean square of the last dimension and scale by a learned weight."""

    def __init__(self, dim: int, *, eps: float = 1e-6) -> None:
        """``dim`` is the size of the last dimension; ``eps`` is added to the mean square."""
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """Same shape out as in."""
        function = _FusedRMSNorm if kernels.suit(x, self.weight) else _RMSNorm
        normalised: Tensor = function.apply(x, self.weight, self.eps)
        return normalised


class _FusedRMSNorm(torch.autograd.Function):
    """``_RMSNorm`` by the kernels."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        y, scale_N = operations.rms_norm(x, weight, eps)
        ctx.save_for_backward(x, weight, scale_N)
        return y

    @staticmethod
    @kernels.first_derivative
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, Tensor, None]:
        return *operations.rms_norm_backward(grad_outputs[0], *ctx.saved_tensors), None


class _RMSNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        norm = torch.linalg.vector_norm(
            x, dim=-1, keepdim=True, dtype=torch.promote_types(x.dtype, torch.float32)
        )
        scale = (norm.square_().div_(x.shape[-1]).add_(eps)).rsqrt_().to(x.dtype)
        unit = x * scale
        ctx.save_for_backward(unit, scale, weight)
        return unit * weight

    @staticmethod
    @kernels.first_derivative
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, Tensor, None]:
        unit, scale, weight = ctx.saved_tensors
        (grad,) = grad_outputs
        grad_weight = (grad * unit).flatten(0, -2).sum(0)
        grad_unit = grad * weight
        along = torch.linalg.vecdot(grad_unit, unit).unsqueeze(-1).div_(-unit.shape[-1])
        return torch.addcmul(grad_unit, unit, along).mul_(scale), grad_weight, None
