"""Several linear layers of one input as one matrix: one large product is faster than a few small ones."""

from __future__ import annotations

from torch import nn


class FusedLinear(nn.Linear):
    """Linear layers stacked by rows; ``parts`` has the rows of each."""

    def __init__(self, in_features: int, parts: tuple[int, ...], *, bias: bool = False) -> None:
        """``parts`` are the output sizes of the layers, in order."""
        super().__init__(in_features, sum(parts), bias=bias)
        self.parts = parts
