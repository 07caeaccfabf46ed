"""The one loop that trains everything.

Objectives give a loss SUM and a token COUNT; the loop divides once an optimizer step. Every batch seeds
its own random numbers from (seed, batch, first row), and what a bad batch leads to follows from saved state
(``training.guard``), so a run that was killed and resumed ends in the same bytes as one that was not. With
a deadline the number of steps is corrected from the measured speed.
"""

from __future__ import annotations

import contextlib
import math
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from yanmo.data.loader import Batches, Prefetched
from yanmo.device import seed_devices
from yanmo.errors import Interrupted, TrainingDiverged, YanmoError
from yanmo.models.base import Trainable
from yanmo.reporting.progress import say
from yanmo.runtime import StopSignal, is_out_of_memory
from yanmo.training.checkpoint import Checkpoint, CheckpointStore
from yanmo.training.guard import Verdict
from yanmo.training.listeners import Listener, Listeners
from yanmo.training.objective import Objective
from yanmo.training.optimizer import Optimizer
from yanmo.training.pace import Pace
from yanmo.training.parallel import Alone, Group, require_same
from yanmo.training.schedule import Schedule
from yanmo.training.state import TrainingState

__all__ = ["Listener", "Trainer", "TrainerConfig"]

# Saving may take at most this share of the time.
_SAVING_SHARE = 0.03


@dataclass(frozen=True, kw_only=True)
class TrainerConfig:
    """How the loop runs; sizes and rates are in the parts it is given."""

    seed: int = 0
    dropout: float = 0.0
    micro_batch_size: int
    """Rows computed at once; fewer where memory turns out to be short."""
    num_validations: int = 20
    checkpoint_every_s: float = 30.0
    keep_checkpoints: int = 2
    """The newest ones; the best, and the one to go back to, are kept beside them."""
    num_workers: int = 1
    """Threads that prepare batches."""
    decides: str = "loss_nats"
    """The score of a validation that says which checkpoint is best."""
    larger_is_better: bool = False
    most_steps: int | None = None
    """Where there is a deadline: no more steps than these, however much time is left."""


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
            validate: from the model to ``loss_nats`` (mean per token) and whatever else is worth knowing.
            config: see ``TrainerConfig``.
            deadline_s: seconds of training (earlier sessions of this run included) to end after, or
                None to make exactly the schedule's steps.
            stop: asks to save and leave.
            listeners: hear of every step (of the first process only).
            group: the processes that share the work; each takes every ``group.size``-th micro-batch.
        """
        self._model, self._objective = model, objective
        self._optimizer, self._schedule, self._store = optimizer, schedule, store
        self._validate, self._config = validate, config
        self._stop, self._group = stop, group
        self._batch_size = batches.batch_size
        self._batches = Prefetched(batches, num_workers=config.num_workers)
        self._listeners = Listeners(listeners if group.rank == 0 else ())
        self.state = TrainingState.fresh(schedule.state())
        self._session_began_s = self._saved_s = time.monotonic()
        self._session_base_s = 0.0
        self._pace = Pace(deadline_s, most_steps=config.most_steps)

    def resume(self) -> bool:
        """Go on from the newest whole checkpoint; False where there is none.

        Raises:
            YanmoError: there are checkpoints, and none of them is whole and this run's.
        """
        if self._group.rank == 0:
            self._store.clear_leftovers()
        checkpoint = self._store.load_newest(like=self._checkpoint())
        require_same(self._group, [-1.0 if checkpoint is None else checkpoint.batch], "checkpoint")
        if checkpoint is None:
            return False
        self._restore(checkpoint)
        return True

    def run(self) -> TrainingState:
        """Train to the end.

        Raises:
            Interrupted: a signal came; a checkpoint was saved.
            TrainingDiverged: bad batches stay; a good checkpoint was saved.
            YanmoError: memory is too short for a single row, or the last checkpoint cannot be written.
        """
        self._session_began_s = self._saved_s = time.monotonic()
        self._session_base_s = self.state.elapsed_s
        self._pace.begin(self.state)
        self._model.set_dropout(self._config.dropout)
        self._model.train()
        if self.state.batch == 0:
            # To go back to, should the first batches be bad.
            self._save(in_background=True)
        try:
            with contextlib.closing(self._batches):
                while self.state.step < self._schedule.num_steps:
                    self._advance()
            self._save()
        except (Interrupted, KeyboardInterrupt):
            # A first signal has saved by now; a second one does not want to wait.
            self._store.abandon()
            raise
        return self.state

    def _advance(self) -> None:
        self._step()
        self._pace.retarget(self.state, self._schedule)
        state = self.state
        done = state.step >= self._schedule.num_steps
        validated = done or self._validations_due() > state.num_validations
        if validated:
            self._run_validation()
        if self._is_stopped() and not done:
            self._save()
            what, remedy = f"stopped after step {state.step}", "the same command goes on from here"
            self._stop.check(what, remedy=remedy)
            # The signal went to another process; this one's may be on its way.
            raise Interrupted(what, exit_code=128 + signal.SIGTERM, remedy=remedy)
        if validated or self._is_time_to_save():
            self._save(in_background=True)

    def _step(self) -> None:
        state, began_s = self.state, time.perf_counter()
        self._optimizer.reach(self._schedule.progress(state.step))
        loss_sum_nats, num_tokens = self._gradients()
        loss_nats = loss_sum_nats / num_tokens
        factor = self._schedule.factor(state.step)
        is_settled = self._schedule.factor(state.step + 1) <= factor
        fault, norm = state.guard.fault(loss_nats, is_settled=is_settled), math.nan
        if fault:
            self._optimizer.clear()
        else:
            self._group.add_tensors(self._optimizer.gradient_sums())
            norm = self._optimizer.step(factor=factor, num_tokens=num_tokens)
            if not math.isfinite(norm):
                fault = "the gradient is not a finite number"
        state.batch += 1
        # The first process' clock counts, so that all agree on how long to go on.
        elapsed_s = self._session_base_s + time.monotonic() - self._session_began_s
        (state.elapsed_s,) = self._group.first([elapsed_s])
        if fault:
            self._skip(fault, loss_nats)
            return
        state.guard.accept(loss_nats)
        state.step += 1
        state.num_tokens += num_tokens
        row = self._row("train", loss_nats=loss_nats, lr_factor=factor, grad_norm=norm)
        row["tokens_per_s"] = num_tokens / (time.perf_counter() - began_s)
        self._listeners.stepped(row, self._pace.time_left_s(state, self._schedule))

    def _gradients(self) -> tuple[float, int]:
        """Sum up the gradients of a batch; its loss in nats, and its tokens, over all processes."""
        while True:
            loss_nats, num_tokens, num_failed = self._group.add(self._try_micro_batches())
            if not num_failed:
                return loss_nats, max(1, round(num_tokens))
            self._optimizer.clear()
            self._halve()

    def _try_micro_batches(self) -> tuple[float, float, float]:
        """Loss, tokens, and 1 where memory did not suffice."""
        state, parts = self.state, self._micro_batches()
        loss_nats, num_tokens = 0.0, 0
        try:
            for rows, batch in zip(parts, self._batches.each(state.batch, parts), strict=True):
                # Random numbers belong to the rows, not to the process that draws them.
                _seed(self._config.seed, state.batch, rows.start)
                loss = self._objective(self._model, batch)
                loss.loss_nats.backward()
                self._optimizer.accumulate()
                loss_nats += float(loss.loss_nats.detach())
                num_tokens += loss.num_tokens
        except (RuntimeError, MemoryError) as error:
            # All processes of a sharded model go through it together, so none may give up alone.
            if self._optimizer.is_sharded or not is_out_of_memory(error):
                raise
            return 0.0, 0.0, 1.0
        return loss_nats, num_tokens, 0.0

    def _micro_batches(self) -> list[range]:
        """The rows that this process computes at once, in order."""
        num_rows, size = self._batch_size, self._micro_batch_size()
        all_rows = [range(start, min(start + size, num_rows)) for start in range(0, num_rows, size)]
        return all_rows[self._group.rank :: self._group.size]

    def _micro_batch_size(self) -> int:
        return max(1, min(self._batch_size, self._config.micro_batch_size) >> self.state.num_halvings)

    def _halve(self) -> None:
        if self._micro_batch_size() == 1:
            self._store.wait()
            raise YanmoError(
                "not enough memory to compute a single row",
                remedy="the last checkpoint is kept; close other programs, or choose a smaller --max-seq-len "
                "or --d-model",
            )
        self.state.num_halvings += 1
        size = self._micro_batch_size()
        say(f"not enough memory: from here on {size} rows are computed at once; the batch stays as it is")

    def _skip(self, fault: str, loss_nats: float) -> None:
        """Leave a bad batch out; where they stay, go back to the last good checkpoint, or give up."""
        state = self.state
        verdict = state.guard.strike()
        say(f"batch {state.batch} skipped at step {state.step}: {fault}; no weight has moved")
        self._listeners.noted(self._row("skipped", loss_nats=loss_nats, reason=fault))
        if verdict is Verdict.SKIP:
            return
        self._go_back()
        if verdict is Verdict.STOP:
            # Whoever gives the command again wants the run to try again.
            self.state.guard.improved()
            try:
                self._save()
            except YanmoError as error:
                say(f"checkpoint not saved: {error}")
            raise TrainingDiverged(
                f"training does not converge: {fault}",
                remedy=f"the last good checkpoint, of step {self.state.step}, is kept, and the same command "
                "goes on from it past the bad batches; if that does not help, choose lower learning rates",
            )

    def _go_back(self) -> None:
        """Take the weights of the last good checkpoint, and go on past the batches seen since."""
        late = self.state
        self._store.wait()
        self._group.wait()
        checkpoint = self._store.load_newest(like=self._checkpoint(), at_most=late.good_batch)
        if checkpoint is None:
            raise TrainingDiverged(
                "training does not converge, and there is no checkpoint to go back to",
                remedy="free some disk space, choose lower learning rates, and begin again with --force",
            )
        self._restore(checkpoint)
        self.state.go_on_from(late)
        self._pace.begin(self.state)
        say(f"bad batches stay: back to step {self.state.step}, and on past batch {late.batch}")
        self._listeners.noted(self._row("rollback", from_step=late.step))

    def _validations_due(self) -> int:
        return math.floor(self._schedule.progress(self.state.step) * self._config.num_validations)

    def _run_validation(self) -> None:
        state = self.state
        self._model.eval()
        valid = self._validate(self._model)
        state.valid = dict(zip(valid, self._group.first(list(valid.values())), strict=True))
        self._model.train()
        state.num_validations = self._validations_due()
        loss_nats = state.valid["loss_nats"]
        if state.guard.is_good(loss_nats, state.best_loss_nats):
            state.good_batch = state.batch
        if self._is_best():
            state.best, state.best_step, state.best_batch = dict(state.valid), state.step, state.batch
            state.guard.improved()
        self._listeners.validated(self._row("valid", **state.valid), self._model)

    def _is_best(self) -> bool:
        """Whether the last validation is better than all before; of equal ones that of less loss is."""
        best, valid, name = self.state.best, self.state.valid, self._config.decides
        if not best:
            return math.isfinite(valid[name])
        sign = -1 if self._config.larger_is_better else 1
        return (sign * valid[name], valid["loss_nats"]) < (sign * best[name], best["loss_nats"])

    def _row(self, kind: str, **values: float | str) -> dict[str, Any]:
        state = self.state
        return {
            "kind": kind,
            "step": state.step,
            "batch": state.batch,
            "tokens": state.num_tokens,
            "elapsed_s": round(state.elapsed_s, 3),
            **values,
        }

    def _is_stopped(self) -> bool:
        """Whether a signal came to any of the processes."""
        return any(self._group.add([float(self._stop.is_set)]))

    def _is_time_to_save(self) -> bool:
        # Big models on slow disks are saved less often.
        every_s = max(self._config.checkpoint_every_s, self._store.last_save_s / _SAVING_SHARE)
        due = time.monotonic() - self._saved_s >= every_s
        return any(self._group.first([float(due)]))

    def _save(self, *, in_background: bool = False) -> None:
        checkpoint = self._checkpoint()
        if self._group.rank == 0:
            self._store.save(checkpoint, keep=self._config.keep_checkpoints, in_background=in_background)
        if not in_background:
            self._group.wait()
        self._saved_s = time.monotonic()

    def _checkpoint(self) -> Checkpoint:
        self.state.schedule = self._schedule.state()
        return Checkpoint(
            weights=self._optimizer.masters(),
            optimizer=self._optimizer.state(),
            state=self.state.to_json(),
        )

    def _restore(self, checkpoint: Checkpoint) -> None:
        self._optimizer.load(checkpoint.weights, checkpoint.optimizer)
        self.state = TrainingState.read(checkpoint.state)
        self._schedule.load(self.state.schedule)


def _seed(seed: int, batch: int, row: int) -> None:
    """Seed torch's random numbers for the rows from ``row`` on."""
    seed_devices(((seed * 1_000_003 + batch) * 65_537 + row) % 2**63)
