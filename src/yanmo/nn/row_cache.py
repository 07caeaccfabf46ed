"""Keys and values of texts of unequal length that are continued together: a buffer of its own for each text.

A text that joins or leaves moves nobody else's keys and values, takes no more memory than it is long, and its
beginning can be kept when it ends, for the next one that begins so. The buffers lie outside the heap, where
texts of other lengths, coming and going for hours, would leave more and more holes.
Shapes: L layers, K heads, S tokens there is room for, E head_dim, T new tokens, N new tokens of all texts.
"""

from __future__ import annotations

import math
import mmap
import sys
from collections.abc import Sequence

import torch
from torch import Tensor

from yanmo.nn.kv_cache import Places
from yanmo.nn.packing import Segments


class RowCache:
    """Keys and values of one text in all layers; room is made by whoever keeps account of the memory."""

    def __init__(self, layers: int, heads: int, head_dim: int, dtype: torch.dtype) -> None:
        """An empty text, without room for a token."""
        self._buffer_L2KSE = torch.empty(layers, 2, heads, 0, head_dim, dtype=dtype)
        self.num_tokens = 0

    @property
    def capacity(self) -> int:
        """Tokens that there is room for."""
        return self._buffer_L2KSE.shape[3]

    @property
    def num_bytes(self) -> int:
        """Memory that it takes."""
        return self._buffer_L2KSE.nbytes

    def bytes_for(self, capacity: int) -> int:
        """Memory that it would take with room for so many tokens."""
        layers, both, heads, _, head_dim = self._buffer_L2KSE.shape
        return layers * both * heads * capacity * head_dim * self._buffer_L2KSE.element_size()

    def reserve(self, capacity: int) -> None:
        """Make room for so many tokens in all, at least those that are held."""
        assert capacity >= self.num_tokens
        layers, both, heads, _, head_dim = self._buffer_L2KSE.shape
        old_L2KSE = self._buffer_L2KSE
        self._buffer_L2KSE = _mapped((layers, both, heads, capacity, head_dim), old_L2KSE.dtype)
        self._buffer_L2KSE[:, :, :, : self.num_tokens] = old_L2KSE[:, :, :, : self.num_tokens]

    def copy_from(self, other: RowCache, num_tokens: int) -> None:
        """Hold the first tokens of another text that begins as this one does."""
        assert self.num_tokens <= num_tokens <= min(other.num_tokens, self.capacity)
        taken = slice(self.num_tokens, num_tokens)
        self._buffer_L2KSE[:, :, :, taken] = other._buffer_L2KSE[:, :, :, taken]
        self.num_tokens = num_tokens

    def append(self, layer: int, keys_KTE: Tensor, values_KTE: Tensor) -> tuple[Tensor, Tensor]:
        """Write T tokens of one layer, which are not counted yet.

        Returns:
            Keys and values of all tokens so far, these included, each (1, K, tokens, E), as views.
        """
        end = self.num_tokens + keys_KTE.shape[1]
        assert end <= self.capacity, "room is made before"
        new = slice(self.num_tokens, end)
        keys_KSE, values_KSE = self._buffer_L2KSE[layer]
        keys_KSE[:, new], values_KSE[:, new] = keys_KTE, values_KTE
        return keys_KSE[None, :, :end], values_KSE[None, :, :end]

    @property
    def addresses(self) -> range:
        """Of each layer's keys and values."""
        first, step = self._buffer_L2KSE.data_ptr(), self._buffer_L2KSE.stride(1)
        step *= self._buffer_L2KSE.element_size()
        return range(first, first + 2 * len(self._buffer_L2KSE) * step, step)


def _mapped(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """A tensor whose memory is the system's again as soon as nobody holds it, and its until it is written."""
    size = math.prod(shape) * dtype.itemsize
    if size == 0 or sys.platform == "win32":
        return torch.empty(shape, dtype=dtype)
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if sys.platform == "linux":
        memory.madvise(mmap.MADV_HUGEPAGE)
    return torch.frombuffer(memory, dtype=dtype).view(shape)


class RowsLayer:
    """One layer of several texts, as attention takes it."""

    def __init__(self, rows: Sequence[RowCache], layer: int) -> None:
        """``rows`` are in the order in which their tokens are packed."""
        self._rows, self._layer = rows, layer

    def append(
        self, keys_1KNE: Tensor, values_1KNE: Tensor, segments: Segments
    ) -> list[tuple[slice, Tensor, Tensor]]:
        """Write the new tokens of all texts.

        Returns:
            Of each text where its new tokens stand, and keys and values of all its tokens (1, K, tokens, E).
        """
        held, start = [], 0
        for row, length in zip(self._rows, segments.lengths, strict=True):
            new = slice(start, start + length)
            held.append((new, *row.append(self._layer, keys_1KNE[0, :, new], values_1KNE[0, :, new])))
            start += length
        return held


def row_places(rows: Sequence[RowCache], lengths: Sequence[int]) -> Places:
    """Where the next tokens of each text have their keys and values; they are not counted yet."""
    news = [(row, new) for row, length in zip(rows, lengths, strict=True) for new in range(length)]
    assert all(row.num_tokens + new < row.capacity for row, new in news), "room is made before"
    each = zip(*(row.addresses for row, _ in news), strict=True)
    return Places(
        [address for of_tokens in each for address in of_tokens],
        [row.num_tokens + new for row, new in news],
        [row.capacity for row, _ in news],
    )
