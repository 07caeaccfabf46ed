"""Rotary position embedding (Su et al. 2021, arXiv 2104.09864, section 3.4.2).

The two halves of a head are the real and the imaginary parts (the layout of Llama and Qwen
checkpoints), not neighbouring pairs as in the paper; the two differ by a permutation of rows.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class RotaryEmbedding(nn.Module):
    """Cosines and sines of all positions up to a limit, kept once for all layers, in float32."""

    cos_SE: Tensor
    sin_SE: Tensor

    def __init__(self, head_dim: int, max_seq_len: int, *, theta: float) -> None:
        """Positions 0 to ``max_seq_len`` - 1, with angles position * theta^(-2i / E) for i < E / 2."""
        super().__init__()
        self._head_dim, self._max_seq_len, self._theta = head_dim, max_seq_len, theta
        self.tabulate()

    def tabulate(self) -> None:
        """Compute the tables, in float64 so that far positions are exact."""
        halves_E2 = torch.arange(0, self._head_dim, 2, dtype=torch.float64) / self._head_dim
        angle_SE2 = torch.arange(self._max_seq_len, dtype=torch.float64)[:, None] * self._theta**-halves_E2
        sine_SE2 = angle_SE2.sin()
        # The sign of the rotation's off-diagonal is folded into the sine: see apply_rotary.
        self.cos_SE = angle_SE2.cos().repeat(1, 2).float()
        self.sin_SE = torch.cat((-sine_SE2, sine_SE2), dim=-1).float()

    def forward(self, start: int, length: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Cosines and signed sines, each of shape (T, 1, E), for positions start to start + length."""
        rows = slice(start, start + length)
        return self.cos_SE[rows, None].to(dtype), self.sin_SE[rows, None].to(dtype)


def apply_rotary(x_BTHE: Tensor, cos_T1E: Tensor, sin_T1E: Tensor) -> Tensor:
    """Rotate each head's (first half, second half) by the angle of its position.

    Args:
        x_BTHE: queries or keys.
        cos_T1E: cosines from ``RotaryEmbedding``.
        sin_T1E: sines, negative in the first half.

    Returns:
        The rotated heads, same shape and type.
    """
    swapped = torch.roll(x_BTHE, x_BTHE.shape[-1] // 2, dims=-1)
    return torch.addcmul(x_BTHE * cos_T1E, swapped, sin_T1E)
