"""Batches as a pure function of (seed, step, row): a resumed run sees the same data, and so does each
process of several, and each thread that prepares them while the step before is computed.

Each epoch cuts the stream into windows of T + 1 tokens at a fresh random offset and visits the
windows in a fresh random order, so every token is seen once an epoch and the cuts never repeat.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from yanmo.data.windows import Windows

B = TypeVar("B")
B_co = TypeVar("B_co", covariant=True)
# Batches that each thread may have ready.
_AHEAD = 2


class Batches(Protocol[B_co]):
    """The data of every optimizer step, in the form that an objective takes.

    ``rows`` is called from other threads, several at once: it changes nothing that they share but what is
    replaced in one assignment, and draws from no generator that is not its own (torch's global one is the
    loop's).
    """

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
        self._tokens, self.batch_size, self._seq_len = tokens, batch_size, seq_len
        # A row has one token more, which the last is to predict.
        self._windows = Windows(len(tokens) - 1, seq_len, seed=seed)

    @property
    def batch_tokens(self) -> int:
        """Tokens a step."""
        return self.batch_size * self._seq_len

    def epochs(self, step: int) -> float:
        """Passes over the text before ``step``."""
        return step * self.batch_size / self._windows.per_epoch

    def rows(self, step: int, rows: range) -> Batch:
        """Some rows of optimizer step ``step`` (0-based)."""
        starts = [self._windows.start(step * self.batch_size + row) for row in rows]
        windows = np.stack([self._tokens[start : start + self._seq_len + 1] for start in starts])
        tokens = torch.from_numpy(windows.astype(np.int64))
        return Batch(inputs_BT=tokens[:, :-1], targets_BT=tokens[:, 1:])


class Prefetched(Generic[B]):
    """Prepares the coming batches in threads while the present one is computed.

    What it gives, and in what order, does not depend on the number of threads.
    """

    def __init__(self, batches: Batches[B], *, num_workers: int) -> None:
        """Prepare nothing yet.

        Args:
            batches: what is to be prepared.
            num_workers: threads; with 0 each batch is prepared when it is asked for.
        """
        self._batches, self._num_workers = batches, num_workers
        self._pool: ThreadPoolExecutor | None = None
        self._coming: dict[tuple[int, range], Future[B]] = {}

    def each(self, step: int, parts: Sequence[range]) -> Iterator[B]:
        """The rows of a step, part by part; meanwhile the next parts, and the next step's, are prepared.

        Raises:
            Exception: what preparing the part raised, when it is that part's turn.
        """
        if self._num_workers == 0:
            yield from (self._batches.rows(step, rows) for rows in parts)
            return
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._num_workers, thread_name_prefix="batches")
        ahead = _AHEAD * self._num_workers
        steps = range(step, step + 2 + ahead // max(1, len(parts)))
        wanted = [(of_step, rows) for of_step in steps for rows in parts]
        for index in range(len(parts)):
            window = wanted[index : index + 1 + ahead]
            # What is no longer wanted is let go: the rows computed at once may have changed.
            self._coming = {
                key: self._coming.get(key) or self._pool.submit(self._batches.rows, *key) for key in window
            }
            yield self._coming.pop(wanted[index]).result()

    def close(self) -> None:
        """End the threads; ``each`` may begin anew."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
        self._pool, self._coming = None, {}
