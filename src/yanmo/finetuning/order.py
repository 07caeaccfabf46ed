"""The order in which examples are learned from: those of like length together, fresh in each pass.

Each epoch draws a fresh order, sorts stretches of it by length, and visits the batches that this gives in a
fresh random order. What a batch holds is a pure function of (seed, step, rows), as the one loop wants it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from yanmo.errors import InputError

# Batches that are sorted by length together: more waste less, and are less random.
_SORTED_TOGETHER = 20


class LengthOrder:
    """Which examples stand in which batch."""

    def __init__(self, lengths: Sequence[int], *, batch_size: int, seed: int) -> None:
        """Prepare batches of ``batch_size`` examples of these lengths, or of what else they are sorted by.

        Raises:
            InputError: there is no example.
        """
        if not len(lengths):
            raise InputError("there is no example to learn from")
        self._lengths_E, self._seed = np.asarray(lengths), seed
        self.batch_size = min(batch_size, len(lengths))
        self.per_epoch = -(-len(lengths) // self.batch_size)
        self._order: tuple[int, NDArray[np.int64]] = (-1, np.zeros((0, 0), np.int64))

    def epochs(self, step: int) -> float:
        """Passes over the examples before ``step``."""
        return step / self.per_epoch

    def rows(self, step: int, rows: range) -> NDArray[np.int64]:
        """Numbers of some examples of optimizer step ``step`` (0-based), shortest first."""
        epoch, place = divmod(step, self.per_epoch)
        return self._arranged(epoch)[place, rows.start : rows.stop]

    def _arranged(self, epoch: int) -> NDArray[np.int64]:
        """An epoch's examples by batch, (per_epoch, batch_size); the first ones fill up the last batch."""
        known, order = self._order
        if known == epoch:
            return order
        rng = np.random.default_rng([self._seed, epoch])
        drawn = np.resize(rng.permutation(len(self._lengths_E)), self.per_epoch * self.batch_size)
        span = _SORTED_TOGETHER * self.batch_size
        stretches = [drawn[start : start + span] for start in range(0, len(drawn), span)]
        by_length = [part[np.argsort(self._lengths_E[part], kind="stable")] for part in stretches]
        order = rng.permutation(np.concatenate(by_length).reshape(self.per_epoch, self.batch_size))
        # Set at once: several threads may ask.
        self._order = (epoch, order)
        return order
