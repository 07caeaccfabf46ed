"""Token embedding whose gradient is summed in float32.

torch adds the rows of a bf16 embedding's gradient in bf16, where a frequent token's thousandth
contribution is rounded away; here they are added in float32 and rounded once.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional


class Embedding(nn.Module):
    """A table of vectors, one a token id."""

    def __init__(self, vocab_size: int, d_model: int) -> None:
        """A table of shape (V, D)."""
        super().__init__()
        self.weight = nn.Parameter(torch.empty(vocab_size, d_model))

    def forward(self, tokens_BT: Tensor) -> Tensor:
        """Vectors of the tokens, shape (B, T, D)."""
        vectors: Tensor = _Lookup.apply(self.weight, tokens_BT)
        return vectors


class _Lookup(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weight_VD: Tensor, tokens_BT: Tensor) -> Tensor:
        ctx.save_for_backward(tokens_BT)
        ctx.shape, ctx.dtype = weight_VD.shape, weight_VD.dtype
        return functional.embedding(tokens_BT, weight_VD)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None]:
        (tokens_BT,) = ctx.saved_tensors
        grad_VD = torch.zeros(ctx.shape, dtype=torch.float32)
        grad_VD.index_add_(0, tokens_BT.flatten(), grad_outputs[0].flatten(0, 1).float())
        return grad_VD.to(ctx.dtype), None
