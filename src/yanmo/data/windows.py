"""Where the rows of every epoch begin: a pure function of (seed, row).

Each epoch cuts the stream into neighbouring windows at a fresh random offset and visits them in a fresh
random order.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from yanmo.errors import InputError


class Windows:
    """Windows of ``length`` tokens of a stream."""

    def __init__(self, num_tokens: int, length: int, *, seed: int) -> None:
        """Cut ``num_tokens`` tokens.

        Raises:
            InputError: the stream is shorter than one window.
        """
        if num_tokens < length:
            raise InputError(
                f"the text has {num_tokens} tokens, fewer than one row of {length}",
                remedy="give more text or a smaller --max-seq-len",
            )
        self.length, self._seed = length, seed
        # One window fewer than fit, so that every offset below the length leaves them all whole.
        self.per_epoch = max(1, num_tokens // length - 1)
        self._max_offset = num_tokens - self.per_epoch * length
        self._epoch_starts: tuple[int, NDArray[np.int64]] = (-1, np.zeros(0, np.int64))

    def start(self, row: int) -> int:
        """Place of the first token of a row, counted from the run's first."""
        epoch, place = divmod(row, self.per_epoch)
        known, starts = self._epoch_starts
        if epoch != known:
            rng = np.random.default_rng([self._seed, epoch])
            offset = rng.integers(0, min(self.length, self._max_offset) + 1)
            starts = offset + rng.permutation(self.per_epoch) * self.length
            # Set at once: several threads may ask.
            self._epoch_starts = (epoch, starts)
        return int(starts[place])
