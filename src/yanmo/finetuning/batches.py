"""Labelled examples as packed batches: no padding, those of like length together (``order``).

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

from yanmo.finetuning.order import LengthOrder
from yanmo.nn.packing import Segments

T = TypeVar("T")


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
        self._examples, self._collate = examples, collate
        lengths = [len(example.ids) for example in examples]
        self._order = LengthOrder(lengths, batch_size=batch_size, seed=seed)
        self.batch_size, self.per_epoch = self._order.batch_size, self._order.per_epoch

    def epochs(self, step: int) -> float:
        """Passes over the examples before ``step``."""
        return self._order.epochs(step)

    def rows(self, step: int, rows: range) -> PackedBatch:
        """Some examples of optimizer step ``step`` (0-based), shortest first."""
        return pack_examples([self._examples[i] for i in self._order.rows(step, rows)], self._collate)


def pack_examples(examples: Sequence[Encoded[T]], collate: Callable[[Sequence[T]], Tensor]) -> PackedBatch:
    """Examples in one row, in their order."""
    types = [example.types for example in examples if example.types is not None]
    return PackedBatch(
        tokens_1N=torch.from_numpy(np.concatenate([example.ids for example in examples])[None]),
        segments=Segments([len(example.ids) for example in examples]),
        types_1N=torch.from_numpy(np.concatenate(types)[None]) if types else None,
        targets=collate([example.target for example in examples]),
    )
