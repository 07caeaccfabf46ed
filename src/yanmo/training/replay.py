"""Replay against forgetting: some rows of each step come from text that the model has seen before.

Robins 1995 (Connection Science 7(2), section 2); for language models Ibrahim et al. 2024 (arXiv 2403.08763,
section 6.2: from 1% replayed where the texts are alike to 50% where they are not).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, TypeVar

from yanmo.data.loader import Batches
from yanmo.models.base import Trainable
from yanmo.training.objective import LossSum, Objective

B = TypeVar("B")


def replayed_rows(batch_size: int, share: float) -> int:
    """Rows of a step that are replayed: the nearest number to the share, at least one of each kind.

    Args:
        batch_size: rows of a step, at least 2.
        share: above 0 and below 1.
    """
    assert batch_size >= 2, "a row of each kind"
    return min(batch_size - 1, max(1, round(share * batch_size)))


class Replay(Generic[B]):
    """New and old rows in each step, spread evenly over it; ``Batches`` of a list of parts.

    Which rows are old depends on their place in the step alone, so every process and every micro-batch
    has its share of them.
    """

    def __init__(self, new: Batches[B], old: Batches[B]) -> None:
        """Rows of a step are those of both."""
        self._new, self._old = new, old

    @property
    def batch_size(self) -> int:
        """Rows of a step."""
        return self._new.batch_size + self._old.batch_size

    def rows(self, step: int, rows: range) -> Sequence[B]:
        """New rows and old rows among some of step ``step``; a kind that is not there is left out."""
        old = range(self._old_before(rows.start), self._old_before(rows.stop))
        new = range(rows.start - old.start, rows.stop - old.stop)
        return [part.rows(step, own) for part, own in ((self._new, new), (self._old, old)) if own]

    def epochs(self, step: int) -> float:
        """Passes over the new text before ``step``."""
        return self._new.epochs(step)

    def _old_before(self, row: int) -> int:
        return row * self._old.batch_size // self.batch_size


class OverParts(Generic[B]):
    """An objective of a list of parts: the SUM over them."""

    def __init__(self, objective: Objective[B]) -> None:
        """``objective`` of each part."""
        self._objective = objective

    def __call__(self, model: Trainable, batch: Sequence[B]) -> LossSum:
        """Loss of one micro-batch."""
        first, *others = (self._objective(model, part) for part in batch)
        loss_nats, num_tokens = first.loss_nats, first.num_tokens
        for other in others:
            loss_nats, num_tokens = loss_nats + other.loss_nats, num_tokens + other.num_tokens
        return LossSum(loss_nats, num_tokens)
