"""Dropout with one mask a text (Gal and Ghahramani 2016, arXiv 1512.05287, section 4).

All tokens of a text lose the same features. A mask for every token costs more random numbers than the rest
of a small block's forward pass takes; this one costs T times fewer.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from yanmo.nn.packing import Segments


class RowDropout(nn.Module):
    """Zero features of (B, T, D) with one mask of (B, 1, D), and scale up what is left, while training."""

    def __init__(self) -> None:
        """Off until ``probability`` is set."""
        super().__init__()
        self.probability = 0.0

    def forward(self, x_BTD: Tensor, segments: Segments | None = None) -> Tensor:
        """Same shape out as in; of a packed row, each text has its own mask, and what is behind becomes 0."""
        if not self.training or self.probability == 0.0:
            return x_BTD
        keep = 1.0 - self.probability
        num_texts = x_BTD.shape[0] if segments is None else len(segments.lengths)
        mask_BD = torch.empty(num_texts, x_BTD.shape[2], dtype=x_BTD.dtype).bernoulli_(keep).div_(keep)
        if segments is None:
            return x_BTD * mask_BD[:, None]
        mask_ND = mask_BD[segments.texts_N]
        return x_BTD * functional.pad(mask_ND, (0, 0, 0, x_BTD.shape[1] - len(mask_ND)))
