"""Feed-forward layers: plain, gated, and mixtures of experts.

Plain: Vaswani et al. 2017 (arXiv 1706.03762, equation 2). Gated: Shazeer 2020 (arXiv 2002.05202, equation 5).
Squared ReLU: So et al. 2021 (arXiv 2109.08668, section 3.1). Experts chosen by token: Shazeer et al. 2017
(arXiv 1701.06538, section 2.1), as in Mixtral (Jiang et al. 2024, arXiv 2401.04088, section 2.1).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from yanmo.errors import InputError
from yanmo.nn import kernels
from yanmo.nn.kernels import operations
from yanmo.nn.linear import FusedLinear


class Activation(StrEnum):
    """What bends a layer."""

    RELU = "relu"
    RELU2 = "relu2"
    GELU = "gelu"
    GELU_TANH = "gelu_tanh"
    QUICK_GELU = "quick_gelu"
    SILU = "silu"
    TANH = "tanh"


def _relu2(x: Tensor) -> Tensor:
    return functional.relu(x).square()


def _gelu_tanh(x: Tensor) -> Tensor:
    return functional.gelu(x, approximate="tanh")


def _quick_gelu(x: Tensor) -> Tensor:
    return x * torch.sigmoid(1.702 * x)


ACTIVATIONS: dict[Activation, Callable[[Tensor], Tensor]] = {
    Activation.RELU: functional.relu,
    Activation.RELU2: _relu2,
    Activation.GELU: functional.gelu,
    Activation.GELU_TANH: _gelu_tanh,
    Activation.QUICK_GELU: _quick_gelu,
    Activation.SILU: functional.silu,
    Activation.TANH: torch.tanh,
}


# (linear, cubic) of those that are x * sigmoid(linear * x + cubic * x^3), which kernels know. The tanh of
# GELU's approximation (Hendrycks and Gimpel 2016, arXiv 1606.08415, section 2) is such a sigmoid too.
_GELU_SLOPE = 2 * math.sqrt(2 / math.pi)
_SIGMOID_CURVES = {
    Activation.SILU: (1.0, 0.0),
    Activation.QUICK_GELU: (1.702, 0.0),
    Activation.GELU_TANH: (_GELU_SLOPE, 0.044715 * _GELU_SLOPE),
}


@dataclass(frozen=True, kw_only=True)
class ExpertsConfig:
    """A mixture of experts.

    Attributes:
        num_experts: how many there are.
        num_active: how many of them each token goes through.
        d_ff: width of one expert.
        normalise: whether the weights of the chosen ones are scaled to a sum of 1.
        layers: which layers have experts, one entry a layer; empty for all.
    """

    num_experts: int
    num_active: int
    d_ff: int
    normalise: bool = True
    layers: tuple[bool, ...] = ()

    def __post_init__(self) -> None:
        """Refuse sizes that cannot be built."""
        if not 1 <= self.num_active <= self.num_experts:
            raise InputError(
                f"num_active must be 1 to num_experts ({self.num_experts}), not {self.num_active}"
            )

    def has(self, layer: int) -> bool:
        """Whether a layer has experts."""
        return not self.layers or self.layers[layer]


@dataclass(frozen=True, kw_only=True)
class FeedForwardConfig:
    """Feed-forward of a stack: width, activation, whether it is gated, biases, and experts if any."""

    d_ff: int
    activation: Activation = Activation.SILU
    gated: bool = True
    bias: bool = False
    experts: ExpertsConfig | None = None

    def __post_init__(self) -> None:
        """Refuse sizes that cannot be built."""
        if self.d_ff < 1:
            raise InputError(f"d_ff must be at least 1, not {self.d_ff}")


def build_feed_forward(d_model: int, config: FeedForwardConfig, *, layer: int) -> nn.Module:
    """The feed-forward of one layer."""
    experts = config.experts
    if experts is not None and experts.has(layer):
        return Experts(d_model, config.activation, experts)
    if config.gated:
        return GatedFeedForward(d_model, config)
    return FeedForward(d_model, config)


class FeedForward(nn.Module):
    """act(x W_up) W_down."""

    def __init__(self, d_model: int, config: FeedForwardConfig) -> None:
        """Sizes as configured."""
        super().__init__()
        self.up = nn.Linear(d_model, config.d_ff, bias=config.bias)
        self.down = nn.Linear(config.d_ff, d_model, bias=config.bias)
        self._activation = ACTIVATIONS[config.activation]

    def forward(self, x_BTD: Tensor) -> Tensor:
        """Same shape out as in."""
        return self.down(self._activation(self.up(x_BTD)))


class GatedFeedForward(nn.Module):
    """(act(x W_gate) * x W_up) W_down, with gate and up in one matrix."""

    def __init__(self, d_model: int, config: FeedForwardConfig) -> None:
        """Sizes as configured."""
        super().__init__()
        self.gate_up = FusedLinear(d_model, (config.d_ff, config.d_ff), bias=config.bias)
        self.down = nn.Linear(config.d_ff, d_model, bias=config.bias)
        self._gate = gate(config.activation)

    def forward(self, x_BTD: Tensor) -> Tensor:
        """Same shape out as in."""
        return self.down(self._gate(self.gate_up(x_BTD)))


class Experts(nn.Module):
    """Gated feed-forwards of which each token goes through the few that a router chooses."""

    def __init__(self, d_model: int, activation: Activation, config: ExpertsConfig) -> None:
        """Weights of all experts in two tensors, X experts each."""
        super().__init__()
        self.router = nn.Linear(d_model, config.num_experts, bias=False)
        self.gate_up_XGD = nn.Parameter(torch.empty(config.num_experts, 2 * config.d_ff, d_model))
        self.down_XDF = nn.Parameter(torch.empty(config.num_experts, d_model, config.d_ff))
        self._config, self._gate = config, gate(activation)

    def forward(self, x_BTD: Tensor) -> Tensor:
        """Same shape out as in; an expert sees only the tokens that chose it."""
        x_ND = x_BTD.flatten(0, -2)
        share_NX = torch.softmax(self.router(x_ND).float(), dim=-1)
        share_NA, expert_NA = share_NX.topk(self._config.num_active, dim=-1)
        if self._config.normalise:
            share_NA = share_NA / share_NA.sum(-1, keepdim=True)
        out_ND = torch.zeros_like(x_ND)
        for expert in expert_NA.unique().tolist():
            token_M, choice_M = torch.where(expert_NA == expert)
            hidden_MF = self._gate(x_ND[token_M] @ self.gate_up_XGD[expert].T)
            share_M1 = share_NA[token_M, choice_M, None].to(x_ND.dtype)
            out_ND = out_ND.index_add(0, token_M, (hidden_MF @ self.down_XDF[expert].T) * share_M1)
        return out_ND.view_as(x_BTD)


def gate(activation: Activation) -> Callable[[Tensor], Tensor]:
    """From gate and up side by side to act(gate) * up."""
    by_operators = _SiluGate.apply if activation is Activation.SILU else _gate_of(ACTIVATIONS[activation])
    curve = _SIGMOID_CURVES.get(activation)
    if curve is None:
        return by_operators

    def gated(gate_up: Tensor) -> Tensor:
        return _FusedGate.apply(gate_up, *curve) if kernels.suit(gate_up) else by_operators(gate_up)

    return gated


def _gate_of(act: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    def gated(gate_up: Tensor) -> Tensor:
        opened, up = gate_up.chunk(2, dim=-1)
        return act(opened) * up

    return gated


class _FusedGate(torch.autograd.Function):
    """act(gate) * up by the kernels, for act(x) = x * sigmoid(linear * x + cubic * x^3)."""

    @staticmethod
    def forward(ctx: Any, gate_up: Tensor, linear: float, cubic: float) -> Tensor:
        ctx.save_for_backward(gate_up)
        ctx.curve = (linear, cubic)
        return operations.gate(gate_up, linear, cubic)

    @staticmethod
    @kernels.first_derivative
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None, None]:
        (gate_up,) = ctx.saved_tensors
        return operations.gate_backward(grad_outputs[0], gate_up, *ctx.curve), None, None


class _SiluGate(torch.autograd.Function):
    """silu(gate) * up, whose two gradients are written side by side instead of joined afterwards."""

    @staticmethod
    def forward(ctx: Any, gate_up: Tensor) -> Tensor:
        opened, up = gate_up.chunk(2, dim=-1)
        active = functional.silu(opened)
        ctx.save_for_backward(gate_up, active)
        return active * up

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> Tensor:
        gate_up, active = ctx.saved_tensors
        (grad,) = grad_outputs
        opened, up = gate_up.chunk(2, dim=-1)
        grad_gate_up = torch.empty_like(gate_up)
        grad_opened, grad_up = grad_gate_up.chunk(2, dim=-1)
        torch.mul(grad, active, out=grad_up)
        torch.ops.aten.silu_backward.grad_input(grad * up, opened, grad_input=grad_opened)
        return grad_gate_up
