"""From token ids to what enters a stack: vectors of tokens, positions and types, normalised and widened.

torch adds the rows of a bf16 embedding's gradient in bf16, where a frequent token's thousandth
contribution is rounded away; here they are added in float32 and rounded once. Token types: Devlin et al.
2019 (arXiv 1810.04805, figure 2). Tables narrower than the stack: Lan et al. 2020 (arXiv 1909.11942,
section 3.1).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from yanmo.nn.norm import NormConfig, build_norm
from yanmo.nn.packing import Segments
from yanmo.nn.position import LearnedPositions, PositionConfig, PositionKind, SinusoidalPositions


@dataclass(frozen=True, kw_only=True)
class InputConfig:
    """What enters a stack.

    Attributes:
        width: numbers in a token's vector, where fewer or more than d_model; None is d_model.
        scale: factor on the tokens' vectors.
        num_token_types: kinds of text that tokens are told apart by; 0 for none.
        norm: on the sum, or None.
        always_project: a product to d_model even where ``width`` is d_model already.
    """

    width: int | None = None
    scale: float = 1.0
    num_token_types: int = 0
    norm: NormConfig | None = None
    always_project: bool = False


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
        grad_VD = grad_outputs[0].new_zeros(ctx.shape, dtype=torch.float32)
        grad_VD.index_add_(0, tokens_BT.flatten(), grad_outputs[0].flatten(0, 1).float())
        return grad_VD.to(ctx.dtype), None


class StackInput(nn.Module):
    """Adds positions and types to the tokens' vectors, normalises, and brings them to d_model."""

    def __init__(self, d_model: int, max_seq_len: int, config: InputConfig, position: PositionConfig) -> None:
        """Only what the configs ask for is built."""
        super().__init__()
        width = config.width or d_model
        self._scale = config.scale
        self.positions: nn.Module | None = None
        if position.kind is PositionKind.LEARNED:
            self.positions = LearnedPositions(max_seq_len, width, offset=position.offset)
        elif position.kind is PositionKind.SINUSOIDAL:
            self.positions = SinusoidalPositions(width)
        self.types = Embedding(config.num_token_types, width) if config.num_token_types else None
        self.norm = build_norm(width, config.norm) if config.norm is not None else None
        projected = config.always_project or width != d_model
        self.projection = nn.Linear(width, d_model) if projected else None

    def forward(
        self,
        vectors_BTW: Tensor,
        *,
        start: int = 0,
        segments: Segments | None = None,
        types_BT: Tensor | None = None,
    ) -> Tensor:
        """What enters the first block.

        Args:
            vectors_BTW: of the tokens.
            start: position of the first token, where rows are not packed.
            segments: the texts of a packed row.
            types_BT: type of each token; None is type 0.

        Returns:
            x_BTD.
        """
        x_BTW = vectors_BTW if self._scale == 1.0 else vectors_BTW * self._scale
        if self.types is not None:
            if types_BT is None:
                types_BT = torch.zeros(x_BTW.shape[:2], dtype=torch.int64)
            x_BTW = x_BTW + self.types(types_BT)
        if self.positions is not None:
            end = start + x_BTW.shape[1]
            positions_T = torch.arange(start, end) if segments is None else segments.positions_N
            x_BTW = x_BTW + self.positions(positions_T).to(x_BTW.dtype)
        if self.norm is not None:
            x_BTW = self.norm(x_BTW)
        return x_BTW if self.projection is None else self.projection(x_BTW)
