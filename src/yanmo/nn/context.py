"""What all layers of one forward pass share: the packed texts, rotary tables, and biases of the scores.

Shapes: B rows, T new tokens, S tokens attended to, H heads, E head_dim, N tokens of a packed row.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional

from yanmo.nn.packing import Segments, is_ragged

Rotary = tuple[Tensor, Tensor]


@dataclass
class Context:
    """Made anew for each forward pass of a stack.

    Attributes:
        segments: the texts of a packed row, or None for rows of equal length.
        num_filler: rows behind the packed texts that belong to none (``models/stack.py``).
        rotary: cosines and sines of the tokens, or None without rotary positions.
        local_rotary: those of layers with a window.
        position_bias: from (T, S) to what is added to the scores, (H, T, S), or None.
        causal: whether a token sees only those before it and itself.
        memory: what cross-attention looks at, or None.
    """

    causal: bool
    segments: Segments | None = None
    num_filler: int = 0
    rotary: Rotary | None = None
    local_rotary: Rotary | None = None
    position_bias: Callable[[int, int], Tensor] | None = None
    memory: Memory | None = None
    _biases: dict[tuple[int, int, int | None], Tensor | None] = field(default_factory=dict)

    @cached_property
    def is_ragged(self) -> bool:
        """Whether packed texts are of so many lengths that attention takes them as padded rows."""
        if self.segments is None:
            return False
        sources = None if self.memory is None else self.memory.segments
        return is_ragged(self.segments, sources or self.segments)

    def of_texts(self, x_BTF: Tensor) -> Tensor:
        """Rows of texts alone."""
        return x_BTF[:, : x_BTF.shape[1] - self.num_filler] if self.num_filler else x_BTF

    def filled(self, x_BTF: Tensor) -> Tensor:
        """Rows of texts, and zeros behind them: the inverse of ``of_texts``."""
        return functional.pad(x_BTF, (0, 0, 0, self.num_filler)) if self.num_filler else x_BTF

    def bias(self, num_new: int, num_all: int, window: int | None, dtype: torch.dtype) -> Tensor | None:
        """What is added to the scores of the last T of S tokens, or None where nothing is.

        Without position bias and window there is nothing: causal masking is attention's own.

        Args:
            num_new: T.
            num_all: S.
            window: tokens see those fewer than this many away.
            dtype: of the result.

        Returns:
            bias_TS, bias_HTS or None; the causal mask is in it.
        """
        if window is not None and num_all <= window:
            window = None
        if window is None and self.position_bias is None:
            return None
        key = (num_new, num_all, window)
        if key not in self._biases:
            hidden_TS = hidden(num_new, num_all, causal=self.causal, window=window)
            bias = torch.zeros(num_new, num_all, dtype=dtype).masked_fill_(hidden_TS, -math.inf)
            if self.position_bias is not None:
                bias = self.position_bias(num_new, num_all).to(dtype) + bias
            self._biases[key] = bias
        return self._biases[key]


@dataclass(frozen=True)
class Memory:
    """What a decoder's cross-attention looks at: an encoder's output.

    Attributes:
        hidden_BSD: packed as (1, N, D) with ``segments``, or padded at the right with ``lengths_B``,
            or rows of equal length with neither.
        segments: the texts of a packed row.
        lengths_B: tokens of each padded row.
    """

    hidden_BSD: Tensor
    segments: Segments | None = None
    lengths_B: Tensor | None = None

    def padded(self) -> Memory:
        """The same with one row a text."""
        if self.segments is None:
            return self
        return Memory(self.segments.pad(self.hidden_BSD), lengths_B=self.segments.lengths_B)

    def select(self, rows_B: Tensor) -> Memory:
        """Keep, repeat or reorder rows (of a memory that is not packed)."""
        assert self.segments is None
        lengths_B = None if self.lengths_B is None else self.lengths_B[rows_B]
        return Memory(self.hidden_BSD[rows_B], lengths_B=lengths_B)

    def bias(self, dtype: torch.dtype) -> Tensor | None:
        """Minus infinity on the padding, (B, 1, 1, S), or None where there is none."""
        if self.lengths_B is None:
            return None
        padding_BS = torch.arange(self.hidden_BSD.shape[1]) >= self.lengths_B[:, None]
        bias_BS = torch.zeros(padding_BS.shape, dtype=dtype).masked_fill_(padding_BS, -math.inf)
        return bias_BS[:, None, None]


def hidden(num_new: int, num_all: int, *, causal: bool, window: int | None) -> Tensor:
    """True where query t (of the last T of S tokens) may not see key s: (T, S)."""
    away_TS = torch.arange(num_all - num_new, num_all)[:, None] - torch.arange(num_all)
    hidden_TS = away_TS < 0 if causal else torch.zeros_like(away_TS, dtype=torch.bool)
    if window is not None:
        hidden_TS = hidden_TS | (away_TS.abs() >= window)
    return hidden_TS
