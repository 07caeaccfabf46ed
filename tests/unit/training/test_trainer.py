"""The loop: its deadline, its validations, its signals, and what must not change its result."""

from __future__ import annotations

import errno
import math
import signal
import threading
from pathlib import Path
from typing import Any

import pytest
from training_made import Rows, Run, Spoiled, digest, digest_of, spoiled_causal

from yanmo.errors import Interrupted
from yanmo.models.base import Trainable
from yanmo.runtime import stop_signal
from yanmo.training import trainer as trainer_module
from yanmo.training.objective import LossSum


class Clock:
    """Time that passes only in steps; slower from ``slow_from_s`` on."""

    def __init__(self, step_s: float, slow_from_s: float, slow_step_s: float) -> None:
        self.now_s = 100.0
        self._began_s, self._step_s = self.now_s, step_s
        self._slow_from_s, self._slow_step_s = slow_from_s, slow_step_s

    def monotonic(self) -> float:
        return self.now_s

    perf_counter = monotonic

    def step(self) -> None:
        is_slow = self.now_s - self._began_s >= self._slow_from_s
        self.now_s += self._slow_step_s if is_slow else self._step_s


@pytest.mark.parametrize(
    ("slow_step_s", "least", "most"), [(0.1, 99, 101), (0.2, 74, 77), (0.05, 145, 152), (0.5, 59, 62)]
)
def test_the_decay_ends_when_the_time_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, slow_step_s: float, least: int, most: int
) -> None:
    # 100 steps are planned for ten seconds; from the fifth second on each takes another time.
    clock, rows = Clock(0.1, 5.0, slow_step_s), Rows()
    monkeypatch.setattr(trainer_module, "time", clock)

    def objective(model: Trainable, spoiled: Spoiled) -> LossSum:
        clock.step()
        return spoiled_causal(model, spoiled)

    run = Run(num_steps=100, deadline_s=10.0, micro_batch_size=4, objective=objective)
    state = run.make(tmp_path, listeners=(rows,))[0].run()
    assert least <= state.step <= most
    assert 10.0 - slow_step_s <= state.elapsed_s <= 10.0 + slow_step_s
    factors = [row["lr_factor"] for row in rows.rows]
    assert max(factors) == pytest.approx(1.0, abs=0.01)
    falling = factors[int(0.9 * len(factors)) :]
    assert falling == sorted(falling, reverse=True) and falling[-1] < 0.25


class Validations:
    """Scores that are given beforehand, one a validation."""

    def __init__(self, losses: list[float]) -> None:
        self._losses = iter(losses)

    def __call__(self, model: Trainable) -> dict[str, float]:
        return {"loss_nats": next(self._losses), "masked_accuracy": 0.5}


def test_the_best_model_is_that_of_the_least_validation_loss(tmp_path: Path) -> None:
    run = Run(num_steps=12, num_validations=4, keep=1, validate=Validations([3.0, 2.0, 2.5, math.nan]))
    rows = Rows()
    made, optimizer, store = run.make(tmp_path, listeners=(rows,))
    state = made.run()
    assert (state.best_step, state.best_loss_nats, state.best["masked_accuracy"]) == (6, 2.0, 0.5)
    best = store.load_best()
    assert best is not None and best.step == 6 and best.state["valid"]["loss_nats"] == 2.0
    assert digest_of(best.weights) != digest_of(optimizer.masters())
    # Only what is needed stays: the newest, the best, and the one to go back to.
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"batch-{batch:08d}" for batch in (6, 9, 12)]
    assert [row["step"] for row in rows.valid] == [3, 6, 9, 12]


def test_the_newest_k_checkpoints_are_kept(tmp_path: Path) -> None:
    run = Run(num_steps=7, num_validations=1, keep=3)
    run.make(tmp_path)[0].run()
    # Before the only validation, at the end, the first weights were the ones to go back to.
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        f"batch-{batch:08d}" for batch in (0, 5, 6, 7)
    ]


@pytest.mark.parametrize("batch_size", [4, 6])
def test_threads_that_prepare_batches_change_nothing(tmp_path: Path, batch_size: int) -> None:
    digests = set()
    for num_workers in (0, 1, 2):
        # 75 windows an epoch: several epochs.
        run = Run(num_steps=60, batch_size=batch_size, num_workers=num_workers, every_batch=False)
        made, optimizer, _ = run.make(tmp_path / str(num_workers))
        made.run()
        digests.add(digest(optimizer))
    assert len(digests) == 1
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("batches")]


def test_the_size_of_the_micro_batch_does_not_change_the_gradient(tmp_path: Path) -> None:
    losses = []
    for size in (1, 3, 4, 9):
        rows = Rows()
        run = Run(micro_batch_size=size, dropout=0.0, num_steps=5)
        run.make(tmp_path / str(size), listeners=(rows,))[0].run()
        losses.append([row["loss_nats"] for row in rows.rows])
    for other in losses[1:]:
        assert other == pytest.approx(losses[0], abs=1e-5)


def test_a_signal_waits_for_the_step_and_a_second_one_does_not(tmp_path: Path) -> None:
    run = Run(num_steps=20, every_batch=False, checkpoint_every_s=1e9)
    with stop_signal() as stop:
        made, _, _ = run.make(tmp_path, listeners=(_SignalAt(7, 1),), stop=stop)
        with pytest.raises(Interrupted, match="stopped after step 7") as stopped:
            made.run()
    assert stopped.value.exit_code == 143
    again, optimizer, _ = run.make(tmp_path)
    assert again.resume() and again.state.step == 7
    with stop_signal() as stop:
        third, _, _ = run.make(tmp_path, listeners=(_SignalAt(9, 2),), stop=stop)
        assert third.resume()
        with pytest.raises(Interrupted, match="stopped at once"):
            third.run()
    assert again.run().step == 20
    assert digest(optimizer) == run.finish(tmp_path / "whole")


class _SignalAt:
    """Sends this process signals after a step."""

    def __init__(self, step: int, times: int) -> None:
        self._step, self._times = step, times

    def stepped(self, row: dict[str, Any], time_left_s: float) -> None:
        if row["step"] == self._step:
            for _ in range(self._times):
                signal.raise_signal(signal.SIGTERM)

    def validated(self, row: dict[str, Any], model: Trainable) -> None:
        """Nothing to do."""


def test_a_full_disk_under_the_log_does_not_end_the_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Full(Rows):
        def stepped(self, row: dict[str, Any], time_left_s: float) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

    class Broken(Rows):
        def stepped(self, row: dict[str, Any], time_left_s: float) -> None:
            raise OSError(errno.EIO, "Input/output error")

    heard = Rows()
    assert Run(num_steps=3).make(tmp_path / "full", listeners=(Full(), heard))[0].run().step == 3
    assert len(heard.rows) == 3
    assert capsys.readouterr().err.count("the disk is full: the metrics of these steps are not written") == 1
    with pytest.raises(OSError, match="Input/output"):
        Run(num_steps=3).make(tmp_path / "broken", listeners=(Broken(),))[0].run()
