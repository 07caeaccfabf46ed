"""Feed-forward layers: SwiGLU (Shazeer 2020, arXiv 2002.05202, equation 5, without biases)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from yanmo.nn.linear import FusedLinear


class SwiGLU(nn.Module):
    """(silu(x W_gate) * x W_up) W_down, with gate and up in one matrix."""

    def __init__(self, d_model: int, d_ff: int) -> None:
        """``d_ff`` is the width between the two products."""
        super().__init__()
        self.gate_up = FusedLinear(d_model, (d_ff, d_ff))
        self.down = nn.Linear(d_ff, d_model, bias=False)

    def forward(self, x_BTD: Tensor) -> Tensor:
        """Same shape out as in."""
        gated_BTF: Tensor = _Gate.apply(self.gate_up(x_BTD))
        return self.down(gated_BTF)


class _Gate(torch.autograd.Function):
    """silu(gate) * up, whose two gradients are written side by side instead of joined afterwards."""

    @staticmethod
    def forward(ctx: Any, gate_up: Tensor) -> Tensor:
        gate, up = gate_up.chunk(2, dim=-1)
        active = functional.silu(gate)
        ctx.save_for_backward(gate_up, active)
        return active * up

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> Tensor:
        gate_up, active = ctx.saved_tensors
        (grad,) = grad_outputs
        gate, up = gate_up.chunk(2, dim=-1)
        grad_gate_up = torch.empty_like(gate_up)
        grad_gate, grad_up = grad_gate_up.chunk(2, dim=-1)
        torch.mul(grad, active, out=grad_up)
        torch.ops.aten.silu_backward.grad_input(grad * up, gate, grad_input=grad_gate)
        return grad_gate_up
