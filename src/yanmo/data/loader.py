"""Batches of a token store as a pure function of (seed, step): a resumed run sees the same data.

Each epoch cuts the stream into windows of T + 1 tokens at a fresh random offset and visits the
windows in a fresh random order, so every token is seen once an epoch and the cuts never repeat.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from yanmo.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Inputs and the tokens that follow them, int64, each (B, T)."""

    inputs_BT: Tensor
    targets_BT: Tensor


class Loader:
    """Training batches of a token stream."""

    def __init__(
        self, tokens: NDArray[np.unsignedinteger], *, batch_size: int, seq_len: int, seed: int
    ) -> None:
        """Prepare batches of ``batch_size`` rows of ``seq_len`` tokens.

        Raises:
            InputError: the stream is shorter than one window.
        """
        if len(tokens) < seq_len + 2:
            raise InputError(
                f"the training text has {len(tokens)} tokens, fewer than one window of {seq_len + 1}",
                remedy="give more text or a smaller --max-seq-len",
            )
        self._tokens, self._seed = tokens, seed
        self._batch_size, self._seq_len = batch_size, seq_len
        # One window fewer than fit, so that every offset below seq_len leaves them all whole.
        self._windows_per_epoch = max(1, (len(tokens) - 1) // seq_len - 1)
        self._max_offset = len(tokens) - 1 - self._windows_per_epoch * seq_len
        self._epoch = -1
        self._starts = np.zeros(0, np.int64)

    @property
    def batch_tokens(self) -> int:
        """Tokens a batch."""
        return self._batch_size * self._seq_len

    def epochs(self, step: int) -> float:
        """Passes over the text before ``step``."""
        return step * self._batch_size / self._windows_per_epoch

    def batch(self, step: int) -> Batch:
        """The batch of optimizer step ``step`` (0-based)."""
        first = step * self._batch_size
        starts = [self._window_start(first + row) for row in range(self._batch_size)]
        rows = np.stack([self._tokens[start : start + self._seq_len + 1] for start in starts])
        tokens = torch.from_numpy(rows.astype(np.int64))
        return Batch(inputs_BT=tokens[:, :-1], targets_BT=tokens[:, 1:])

    def _window_start(self, index: int) -> int:
        epoch, place = divmod(index, self._windows_per_epoch)
        if epoch != self._epoch:
            rng = np.random.default_rng([self._seed, epoch])
            offset = rng.integers(0, min(self._seq_len, self._max_offset) + 1)
            order = rng.permutation(self._windows_per_epoch)
            self._epoch, self._starts = epoch, offset + order * self._seq_len
        return int(self._starts[place])
