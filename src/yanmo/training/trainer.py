"""The one loop that trains everything.

Objectives give a loss SUM and a token COUNT; the loop divides once an optimizer step. Every step seeds
its own random numbers from (seed, step), so a run that was killed and resumed ends in the same bytes
as one that was not. With a deadline the number of steps is corrected from the measured speed.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

import torch

from yanmo.data.loader import Batches
from yanmo.errors import TrainingDiverged
from yanmo.models.base import Trainable
from yanmo.runtime import StopSignal
from yanmo.training.checkpoint import Checkpoint, CheckpointStore
from yanmo.training.objective import Objective
from yanmo.training.optimizer import Optimizer
from yanmo.training.parallel import Alone, Group
from yanmo.training.schedule import Schedule

# Share of the run between two corrections of the number of steps.
_RETARGET_EVERY = 0.02
# Saving may take at most this share of the time.
_SAVING_SHARE = 0.03


@dataclass(frozen=True, kw_only=True)
class TrainerConfig:
    """How the loop runs; sizes and rates are in the parts it is given."""

    seed: int = 0
    dropout: float = 0.0
    micro_batch_size: int
    num_validations: int = 20
    checkpoint_every_s: float = 30.0


class Listener(Protocol):
    """Hears what the loop does; owns its own state."""

    def stepped(self, row: dict[str, Any], time_left_s: float) -> None:
        """After each step, with the row of the metrics log."""

    def validated(self, row: dict[str, Any], model: Trainable) -> None:
        """After each validation."""


@dataclass
class TrainingState:
    """How far the run is; goes into every checkpoint."""

    step: int = 0
    num_tokens: int = 0
    elapsed_s: float = 0.0
    best_bits_per_byte: float = math.inf
    best_step: int = -1
    num_validations: int = 0
    valid: dict[str, float] = field(default_factory=dict)


B = TypeVar("B")
_ALONE = Alone()


class Trainer(Generic[B]):
    """Trains one model on the batches of one objective."""

    def __init__(
        self,
        model: Trainable,
        objective: Objective[B],
        batches: Batches[B],
        optimizer: Optimizer,
        schedule: Schedule,
        store: CheckpointStore,
        validate: Callable[[Trainable], dict[str, float]],
        *,
        config: TrainerConfig,
        deadline_s: float | None,
        stop: StopSignal,
        listeners: Sequence[Listener] = (),
        group: Group = _ALONE,
    ) -> None:
        """Join the parts.

        Args:
            model: computes with its present type; the optimizer holds its float32 masters.
            objective: loss of a micro-batch.
            batches: by step and row.
            optimizer: moves the weights.
            schedule: factor on the learning rates, and the number of steps.
            store: where checkpoints go.
            validate: from the model to ``loss_nats`` (mean per token) and ``bits_per_byte``.
            config: see ``TrainerConfig``.
            deadline_s: seconds of training (earlier sessions of this run included) to end after, or
                None to make exactly the schedule's steps.
            stop: asks to save and leave.
            listeners: hear of every step (of the first process only).
            group: the processes that share the work; each takes every ``group.size``-th micro-batch.
        """
        self._model, self._objective, self._batches = model, objective, batches
        self._optimizer, self._schedule, self._store = optimizer, schedule, store
        self._validate, self._config, self._deadline_s = validate, config, deadline_s
        self._stop, self._group = stop, group
        self._listeners = listeners if group.rank == 0 else ()
        self.state = TrainingState()
        self._session_began_s = self._saved_s = time.monotonic()
        self._session_base_s = 0.0
        self._anchor = (0, 0.0)

    def resume(self) -> bool:
        """Go on from the newest whole checkpoint; False where there is none."""
        checkpoint = self._store.load_newest()
        if checkpoint is None:
            return False
        self._optimizer.load(checkpoint.weights, checkpoint.optimizer)
        self._schedule.load(checkpoint.state["schedule"])
        self.state = TrainingState(**checkpoint.state["training"])
        return True

    def run(self) -> TrainingState:
        """Train to the end.

        Raises:
            Interrupted: a signal came; a checkpoint was saved.
            TrainingDiverged: the gradient is not finite; the last checkpoint is kept.
        """
        state = self.state
        self._session_began_s = self._saved_s = time.monotonic()
        self._session_base_s = state.elapsed_s
        self._anchor = (state.step, state.elapsed_s)
        self._model.set_dropout(self._config.dropout)
        self._model.train()
        while state.step < self._schedule.num_steps:
            self._step()
            self._retarget()
            done = state.step >= self._schedule.num_steps
            if done or self._schedule.progress(state.step) * self._config.num_validations >= (
                state.num_validations + 1
            ):
                self._run_validation()
            if self._is_stopped() and not done:
                self._save()
                self._stop.check(
                    f"stopped after step {state.step}", remedy="the same command goes on from here"
                )
            if self._is_time_to_save():
                self._save()
        self._save()
        return state

    def _step(self) -> None:
        state, began_s = self.state, time.perf_counter()
        loss_nats, num_tokens = 0.0, 0
        for rows in self._micro_batches():
            # Random numbers belong to the rows, not to the process that draws them.
            torch.manual_seed(_seed(self._config.seed, state.step, rows.start))
            loss = self._objective(self._model, self._batches.rows(state.step, rows))
            loss.loss_nats.backward()
            self._optimizer.accumulate()
            loss_nats += float(loss.loss_nats.detach())
            num_tokens += loss.num_tokens
        loss_nats, tokens = self._group.add([loss_nats, float(num_tokens)])
        num_tokens = round(tokens)
        self._group.add_tensors(self._optimizer.gradient_sums())
        factor = self._schedule.factor(state.step)
        norm = self._optimizer.step(factor=factor, num_tokens=num_tokens)
        if not math.isfinite(norm) or not math.isfinite(loss_nats):
            raise TrainingDiverged(
                f"the gradient is not finite at step {state.step}",
                remedy="the last checkpoint is kept; try a lower learning rate",
            )
        state.step += 1
        state.num_tokens += num_tokens
        # The first process' clock counts, so that all agree on how long to go on.
        elapsed_s = self._session_base_s + time.monotonic() - self._session_began_s
        (state.elapsed_s,) = self._group.first([elapsed_s])
        row = {
            "kind": "train",
            "step": state.step,
            "tokens": state.num_tokens,
            "elapsed_s": round(state.elapsed_s, 3),
            "loss_nats": loss_nats / num_tokens,
            "lr_factor": factor,
            "grad_norm": norm,
            "tokens_per_s": num_tokens / (time.perf_counter() - began_s),
        }
        for listener in self._listeners:
            listener.stepped(row, self._time_left_s())

    def _micro_batches(self) -> list[range]:
        """The rows that this process computes at once, in order."""
        num_rows, size = self._batches.batch_size, self._config.micro_batch_size
        all_rows = [range(start, min(start + size, num_rows)) for start in range(0, num_rows, size)]
        return all_rows[self._group.rank :: self._group.size]

    def _retarget(self) -> None:
        if self._deadline_s is None:
            return
        state, (anchor_step, anchor_s) = self.state, self._anchor
        span_s = state.elapsed_s - anchor_s
        if state.elapsed_s < self._deadline_s and (
            span_s < _RETARGET_EVERY * self._deadline_s or state.step - anchor_step < 3
        ):
            return
        step_s = span_s / (state.step - anchor_step)
        left = max(0, round((self._deadline_s - state.elapsed_s) / step_s))
        self._schedule.retarget(state.step, state.step + left)
        self._anchor = (state.step, state.elapsed_s)

    def _run_validation(self) -> None:
        state = self.state
        self._model.eval()
        valid = self._validate(self._model)
        state.valid = dict(zip(valid, self._group.first(list(valid.values())), strict=True))
        self._model.train()
        state.num_validations = math.floor(self._schedule.progress(state.step) * self._config.num_validations)
        row = {
            "kind": "valid",
            "step": state.step,
            "tokens": state.num_tokens,
            "elapsed_s": round(state.elapsed_s, 3),
            **state.valid,
        }
        if state.valid["bits_per_byte"] < state.best_bits_per_byte:
            state.best_bits_per_byte, state.best_step = state.valid["bits_per_byte"], state.step
            # Early on every validation is the best; the newest checkpoint is enough then.
            if self._schedule.progress(state.step) >= 0.3 and self._group.rank == 0:
                self._store.save_best(state.step, self._optimizer.masters(), {"valid": state.valid})
        for listener in self._listeners:
            listener.validated(row, self._model)

    def _is_stopped(self) -> bool:
        """Whether a signal came to any of the processes."""
        return any(self._group.add([float(self._stop.is_set)]))

    def _is_time_to_save(self) -> bool:
        due = time.monotonic() - self._saved_s >= self._config.checkpoint_every_s
        return any(self._group.first([float(due)]))

    def _save(self) -> None:
        began_s = time.monotonic()
        state = {"training": vars(self.state), "schedule": self._schedule.state()}
        checkpoint = Checkpoint(
            step=self.state.step,
            weights=self._optimizer.masters(),
            optimizer=self._optimizer.state(),
            state=state,
        )
        if self._group.rank == 0:
            self._store.save(checkpoint)
        self._group.wait()
        self._saved_s = time.monotonic()
        took_s = self._saved_s - began_s
        # Big models on slow disks are saved less often.
        self._saved_s += max(0.0, took_s / _SAVING_SHARE - self._config.checkpoint_every_s)

    def _time_left_s(self) -> float:
        if self._deadline_s is not None:
            return self._deadline_s - self.state.elapsed_s
        done = self.state.step - self._anchor[0]
        pace_s = (self.state.elapsed_s - self._anchor[1]) / max(1, done)
        return (self._schedule.num_steps - self.state.step) * pace_s


def _seed(seed: int, step: int, row: int) -> int:
    return ((seed * 1_000_003 + step) * 65_537 + row) % 2**63
