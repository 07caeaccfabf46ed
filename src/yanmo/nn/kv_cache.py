"""Keys and values of the tokens already read, one buffer a layer.

One buffer a layer instead of one for all: slices of it stay contiguous in the head dimension and
it can be grown without touching the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class Places(NamedTuple):
    """Where the next token of each row has its keys and values; rows may be of unequal length."""

    addresses: list[int]
    """Layer by layer, of each row's keys (K, capacity, E) and then of each row's values."""
    positions: list[int]
    """Tokens that each row holds before it."""
    capacities: list[int]
    """Tokens that each row has room for."""


class LayerCache:
    """Keys and values of one layer; grows by doubling up to the context's length."""

    def __init__(self, max_seq_len: int) -> None:
        """An empty cache for at most ``max_seq_len`` tokens a row."""
        self._max_seq_len = max_seq_len
        self._keys_BKSE: Tensor | None = None
        self._values_BKSE: Tensor | None = None
        self.num_tokens = 0
        # Keys and values of the text that cross-attention looks at, once they are known.
        self.memory: tuple[Tensor, Tensor] | None = None

    def append(self, keys_BKTE: Tensor, values_BKTE: Tensor) -> tuple[Tensor, Tensor]:
        """Add T tokens.

        Returns:
            Keys and values of all S tokens so far, each (B, K, S, E), as views.
        """
        end = self.num_tokens + keys_BKTE.shape[2]
        if self._keys_BKSE is None or self._values_BKSE is None or end > self._keys_BKSE.shape[2]:
            self._grow(end, keys_BKTE)
        assert self._keys_BKSE is not None and self._values_BKSE is not None
        self._keys_BKSE[:, :, self.num_tokens : end] = keys_BKTE
        self._values_BKSE[:, :, self.num_tokens : end] = values_BKTE
        self.num_tokens = end
        return self._keys_BKSE[:, :, :end], self._values_BKSE[:, :, :end]

    def make_room(self, shape_BKTE: tuple[int, int, int, int], dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Count T more tokens a row as held, whose keys and values the caller writes.

        Returns:
            The buffers of keys and of values, each (B, K, capacity, E); their places are the last counted.
        """
        end = self.num_tokens + shape_BKTE[2]
        if self._keys_BKSE is None or self._values_BKSE is None or end > self._keys_BKSE.shape[2]:
            self._grow(end, torch.empty(shape_BKTE, dtype=dtype, device="meta"))
        assert self._keys_BKSE is not None and self._values_BKSE is not None
        self.num_tokens = end
        return self._keys_BKSE, self._values_BKSE

    def rollback(self, num_tokens: int) -> None:
        """Forget all but the first ``num_tokens``."""
        assert num_tokens <= self.num_tokens
        self.num_tokens = num_tokens

    def select(self, rows_B: Tensor) -> None:
        """Keep, repeat or reorder rows."""
        if self._keys_BKSE is not None and self._values_BKSE is not None:
            self._keys_BKSE = self._keys_BKSE.index_select(0, rows_B)
            self._values_BKSE = self._values_BKSE.index_select(0, rows_B)
        if self.memory is not None:
            keys_BKSE, values_BKSE = self.memory
            self.memory = (keys_BKSE.index_select(0, rows_B), values_BKSE.index_select(0, rows_B))

    def _grow(self, end: int, like_BKTE: Tensor) -> None:
        size = min(self._max_seq_len, max(end, 64, 2 * self.num_tokens))
        rows, heads, _, head_dim = like_BKTE.shape
        for name in ("_keys_BKSE", "_values_BKSE"):
            grown = torch.empty(rows, heads, size, head_dim, dtype=like_BKTE.dtype)
            old = getattr(self, name)
            if old is not None:
                grown[:, :, : self.num_tokens] = old[:, :, : self.num_tokens]
            setattr(self, name, grown)


def make_places(
    caches: Sequence[LayerCache], shape_BKTE: tuple[int, int, int, int], dtype: torch.dtype
) -> Places:
    """Count T more tokens a row as held in every layer's cache, whose keys and values the caller writes.

    Returns:
        Of each row the place of each token: those of a row see each other, the earlier ones first.
    """
    rows, num_new = shape_BKTE[0], shape_BKTE[2]
    addresses: list[int] = []
    capacity, position = 0, caches[0].num_tokens
    for cache in caches:
        for buffer in cache.make_room(shape_BKTE, dtype):
            capacity, first = buffer.shape[2], buffer.data_ptr()
            row_bytes = buffer.stride(0) * buffer.element_size()
            addresses += [first + row * row_bytes for row in range(rows) for _ in range(num_new)]
    positions = [position + new for _ in range(rows) for new in range(num_new)]
    return Places(addresses, positions, [capacity] * len(positions))
