"""Feed-forward layers: SwiGLU (Shazeer 2020, arXiv 2002.05202, equation 5, without biases)."""

from __future__ import annotations

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
        gate_BTF, up_BTF = self.gate_up(x_BTD).chunk(2, dim=-1)
        return self.down(functional.silu(gate_BTF) * up_BTF)
