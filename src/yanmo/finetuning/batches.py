"""Labelled examples as packed batches: no padding, those of like length together.

Each epoch draws a fresh order, sorts stretches of it by length, and visits the batches that this gives in a
fresh random order. A batch is a pure function of (seed, step, rows), as the one training loop wants it.

Shapes: B texts, N tokens of all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from yanmo.errors import InputError
from yanmo.nn.packing import Segments

T = TypeVar("T")
# Batches that are sorted by length together: more waste less, and are less random.
_SORTED_TOGETHER = 20


@dataclass(frozen=True, kw_only=True)
class Encoded(Generic[T]):
    """One example as a model takes it, or one window of an example that is too long.

    Attributes:
        ids: token ids, the special ones included.
        types: type of each token, where the model tells the texts of a pair apart.
        target: what is to be learned.
        example: number of the example that it is of.
        places: what of the text each token stands for, where the task asks: (N,) or (N, 2), -1 for nothing.
    """

    ids: NDArray[np.int64]
    types: NDArray[np.int64] | None
    target: T
    example: int = 0
    places: NDArray[np.int64] | None = None


@dataclass(frozen=True, kw_only=True)
class PackedBatch:
    """Several examples in one row of tokens.

    Attributes:
        tokens_1N: token ids.
        segments: which stretch is which text.
        types_1N: types of the tokens, or None.
        targets: as the skill collates them.
    """

    tokens_1N: Tensor
    segments: Segments
    types_1N: Tensor | None
    targets: Tensor


class ExampleBatches(Generic[T]):
    """Examples in packed batches; ``Batches[PackedBatch]``."""

    def __init__(
        self,
        examples: Sequence[Encoded[T]],
        collate: Callable[[Sequence[T]], Tensor],
        *,
        batch_size: int,
        seed: int,
    ) -> None:
        """Prepare batches of ``batch_size`` examples.

        Raises:
            InputError: there is no example.
        """
        if not examples:
            raise InputError("there is no example to learn from")
        self._examples, self._collate, self._seed = examples, collate, seed
        self.batch_size = min(batch_size, len(examples))
        self._lengths_E = np.array([len(example.ids) for example in examples])
        self.per_epoch = -(-len(examples) // self.batch_size)
        self._order: tuple[int, NDArray[np.int64]] = (-1, np.zeros((0, 0), np.int64))

    def epochs(self, step: int) -> float:
        """Passes over the examples before ``step``."""
        return step / self.per_epoch

    def rows(self, step: int, rows: range) -> PackedBatch:
        """Some examples of optimizer step ``step`` (0-based), shortest first."""
        epoch, place = divmod(step, self.per_epoch)
        return pack_examples(
            [self._examples[i] for i in self._arranged(epoch)[place, rows.start : rows.stop]], self._collate
        )

    def _arranged(self, epoch: int) -> NDArray[np.int64]:
        """An epoch's examples by batch, (per_epoch, batch_size); the first ones fill up the last batch."""
        known, order = self._order
        if known == epoch:
            return order
        rng = np.random.default_rng([self._seed, epoch])
        drawn = np.resize(rng.permutation(len(self._examples)), self.per_epoch * self.batch_size)
        span = _SORTED_TOGETHER * self.batch_size
        stretches = [drawn[start : start + span] for start in range(0, len(drawn), span)]
        by_length = [part[np.argsort(self._lengths_E[part], kind="stable")] for part in stretches]
        order = rng.permutation(np.concatenate(by_length).reshape(self.per_epoch, self.batch_size))
        # Set at once: several threads may ask.
        self._order = (epoch, order)
        return order


def pack_examples(examples: Sequence[Encoded[T]], collate: Callable[[Sequence[T]], Tensor]) -> PackedBatch:
    """Examples in one row, in their order."""
    types = [example.types for example in examples if example.types is not None]
    return PackedBatch(
        tokens_1N=torch.from_numpy(np.concatenate([example.ids for example in examples])[None]),
        segments=Segments([len(example.ids) for example in examples]),
        types_1N=torch.from_numpy(np.concatenate(types)[None]) if types else None,
        targets=collate([example.target for example in examples]),
    )
