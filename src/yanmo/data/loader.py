"""Batches as a pure function of (seed, step, row): a resumed run sees the same data, and so does each
process of several.

Each epoch cuts the stream into windows of T + 1 tokens at a fresh random offset and visits the
windows in a fresh random order, so every token is seen once an epoch and the cuts never repeat.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from yanmo.errors import InputError

B_co = TypeVar("B_co", covariant=True)


class Batches(Protocol[B_co]):
    """The data of every optimizer step, in the form that an objective takes."""

    @property
    def batch_size(self) -> int:
        """Rows of a step."""

    def rows(self, step: int, rows: range) -> B_co:
        """Some rows of optimizer step ``step`` (0-based): the same whoever asks, and in whatever order."""

    def epochs(self, step: int) -> float:
        """Passes over the text before ``step``."""


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Inputs and the tokens that follow them, int64, each (B, T)."""

    inputs_BT: Tensor
    targets_BT: Tensor


class Loader:
    """Windows of a token stream and the tokens that follow; ``Batches`` for the causal objective."""

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
        self.batch_size, self._seq_len = batch_size, seq_len
        # One window fewer than fit, so that every offset below seq_len leaves them all whole.
        self._windows_per_epoch = max(1, (len(tokens) - 1) // seq_len - 1)
        self._max_offset = len(tokens) - 1 - self._windows_per_epoch * seq_len
        self._epoch = -1
        self._starts = np.zeros(0, np.int64)

    @property
    def batch_tokens(self) -> int:
        """Tokens a step."""
        return self.batch_size * self._seq_len

    def epochs(self, step: int) -> float:
        """Passes over the text before ``step``."""
        return step * self.batch_size / self._windows_per_epoch

    def rows(self, step: int, rows: range) -> Batch:
        """Some rows of optimizer step ``step`` (0-based)."""
        starts = [self._window_start(step * self.batch_size + row) for row in rows]
        windows = np.stack([self._tokens[start : start + self._seq_len + 1] for start in starts])
        tokens = torch.from_numpy(windows.astype(np.int64))
        return Batch(inputs_BT=tokens[:, :-1], targets_BT=tokens[:, 1:])

    def _window_start(self, index: int) -> int:
        epoch, place = divmod(index, self._windows_per_epoch)
        if epoch != self._epoch:
            rng = np.random.default_rng([self._seed, epoch])
            offset = rng.integers(0, min(self._seq_len, self._max_offset) + 1)
            order = rng.permutation(self._windows_per_epoch)
            self._epoch, self._starts = epoch, offset + order * self._seq_len
        return int(self._starts[place])
