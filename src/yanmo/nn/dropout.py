"""Dropout with one mask a row of the batch (Gal and Ghahramani 2016, arXiv 1512.05287, section 4).

All tokens of a row lose the same features. A mask for every token costs more random numbers than the rest
of a small block's forward pass takes; this one costs T times fewer.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class RowDropout(nn.Module):
    """Zero features of (B, T, D) with one mask of (B, 1, D), and scale up what is left, while training."""

    def __init__(self) -> None:
        """Off until ``probability`` is set."""
        super().__init__()
        self.probability = 0.0

    def forward(self, x_BTD: Tensor) -> Tensor:
        """Same shape out as in."""
        if not self.training or self.probability == 0.0:
            return x_BTD
        keep = 1.0 - self.probability
        mask_B1D = torch.empty(x_BTD.shape[0], 1, x_BTD.shape[2], dtype=x_BTD.dtype)
        return x_BTD * mask_B1D.bernoulli_(keep).div_(keep)
