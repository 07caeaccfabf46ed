"""How far a run is: everything that a checkpoint holds beside tensors, as plain values."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from yanmo.config import from_mapping
from yanmo.errors import InputError
from yanmo.training.guard import Guard


@dataclass(kw_only=True)
class TrainingState:
    """The state of a run before a batch. No field has a default: a saved state lacks none of them.

    Attributes:
        step: updates made.
        batch: batches drawn, those that were skipped included; never goes back, and is what data and random
            numbers follow from.
        num_tokens: tokens that the weights have learnt from.
        elapsed_s: seconds of training, earlier sessions included.
        num_halvings: times that the rows computed at once were halved for want of memory.
        best_step, best_batch: when the validation loss was least; -1 before the first validation.
        best: result of that validation.
        good_batch: checkpoint to go back to if training goes wrong.
        num_validations: validations made.
        valid: result of the last one.
        guard: see ``Guard``.
        schedule: state of the schedule.
    """

    step: int
    batch: int
    num_tokens: int
    elapsed_s: float
    num_halvings: int
    best_step: int
    best_batch: int
    best: dict[str, float]
    good_batch: int
    num_validations: int
    valid: dict[str, float]
    guard: Guard
    schedule: dict[str, float]

    @classmethod
    def fresh(cls, schedule: Mapping[str, float]) -> TrainingState:
        """Before the first batch."""
        return cls(
            step=0,
            batch=0,
            num_tokens=0,
            elapsed_s=0.0,
            num_halvings=0,
            best_step=-1,
            best_batch=-1,
            best={},
            good_batch=0,
            num_validations=0,
            valid={},
            guard=Guard.fresh(),
            schedule=dict(schedule),
        )

    @property
    def best_loss_nats(self) -> float:
        """Least validation loss; infinite before the first validation."""
        return self.best.get("loss_nats", math.inf)

    @classmethod
    def read(cls, values: Mapping[str, Any], *, where: object = None) -> TrainingState:
        """From what ``to_json`` gave.

        Raises:
            InputError: a key is missing, unknown, or of the wrong type.
        """
        state = from_mapping(cls, values, where=where)
        if state.num_validations and "loss_nats" not in state.valid:
            raise InputError("'valid.loss_nats' is missing", where=where)
        if state.best_batch >= 0 and "loss_nats" not in state.best:
            raise InputError("'best.loss_nats' is missing", where=where)
        different = state.valid.keys() ^ state.best.keys()
        if state.valid and state.best and different:
            raise InputError(f"{min(different)!r} is in one of 'valid' and 'best' alone", where=where)
        return state

    def to_json(self) -> dict[str, Any]:
        """As plain values that share nothing with the state."""
        return dataclasses.asdict(self)

    def go_on_from(self, late: TrainingState) -> None:
        """Keep of a later moment what going back does not undo: batches drawn, time, what went wrong."""
        self.batch, self.elapsed_s, self.num_halvings = late.batch, late.elapsed_s, late.num_halvings
        self.best_step, self.best_batch, self.best = late.best_step, late.best_batch, late.best
        late.guard.go_back_to(self.guard)
        self.guard = late.guard
