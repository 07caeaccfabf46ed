"""Normalisation: RMSNorm (Zhang and Sennrich 2019, arXiv 1910.07467, equation 4)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class RMSNorm(nn.Module):
    """Divide by the root mean square of the last dimension and scale by a learned weight."""

    def __init__(self, dim: int, *, eps: float = 1e-6) -> None:
        """``dim`` is the size of the last dimension; ``eps`` is added to the mean square."""
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """Same shape out as in."""
        return functional.rms_norm(x, self.weight.shape, self.weight, self.eps)
