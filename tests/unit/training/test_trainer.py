"""The loop keeps to its deadline however the speed changes, and stops before a step that is no number."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from yanmo.data.loader import Batch, Loader
from yanmo.errors import TrainingDiverged
from yanmo.models.base import Trainable
from yanmo.models.families import qwen3
from yanmo.models.transformer import Transformer
from yanmo.runtime import StopSignal
from yanmo.training import trainer as trainer_module
from yanmo.training.checkpoint import CheckpointStore
from yanmo.training.objective import LossSum, causal
from yanmo.training.optimizer import Optimizer, OptimizerConfig
from yanmo.training.schedule import Schedule, ScheduleConfig
from yanmo.training.trainer import Trainer, TrainerConfig


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


class Rows:
    """Remembers the metrics of every step."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    def stepped(self, row: dict[str, Any], time_left_s: float) -> None:
        self.rows.append(row)

    def validated(self, row: dict[str, Any], model: Trainable) -> None:
        """Nothing to do."""


def make(
    folder: Path, objective: Any, rows: Rows, *, num_steps: int, deadline_s: float | None, every_s: float
) -> tuple[Trainer, Optimizer]:
    torch.manual_seed(0)
    sizes = {"num_heads": 2, "num_kv_heads": 1, "head_dim": 8, "d_ff": 16, "max_seq_len": 8}
    model = Transformer(qwen3.decoder(vocab_size=20, d_model=16, num_layers=1, **sizes))
    optimizer = Optimizer(model, OptimizerConfig())
    made = Trainer(
        model,
        objective,
        Loader(np.arange(400, dtype=np.uint16) % 20, batch_size=2, seq_len=8, seed=0),
        optimizer,
        Schedule(ScheduleConfig(warmup_steps=2), num_steps),
        CheckpointStore(folder),
        lambda model: {"loss_nats": 1.0, "bits_per_byte": 1.0},
        config=TrainerConfig(micro_batch_size=2, num_validations=2, checkpoint_every_s=every_s),
        deadline_s=deadline_s,
        stop=StopSignal(),
        listeners=(rows,),
    )
    return made, optimizer


@pytest.mark.parametrize(
    ("slow_step_s", "least", "most"), [(0.1, 99, 101), (0.2, 74, 77), (0.05, 145, 152), (0.5, 59, 62)]
)
def test_the_decay_ends_when_the_time_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, slow_step_s: float, least: int, most: int
) -> None:
    # 100 steps are planned for ten seconds; from the fifth second on each takes another time.
    clock, rows = Clock(0.1, 5.0, slow_step_s), Rows()
    monkeypatch.setattr(trainer_module, "time", clock)

    def objective(model: Trainable, batch: Batch) -> LossSum:
        clock.step()
        return causal(model, batch)

    made, _ = make(tmp_path, objective, rows, num_steps=100, deadline_s=10.0, every_s=1e9)
    state = made.run()
    assert least <= state.step <= most
    assert 10.0 - slow_step_s <= state.elapsed_s <= 10.0 + slow_step_s
    factors = [row["lr_factor"] for row in rows.rows]
    assert max(factors) == pytest.approx(1.0, abs=0.01)
    falling = factors[int(0.9 * len(factors)) :]
    assert falling == sorted(falling, reverse=True) and falling[-1] < 0.25


@pytest.mark.parametrize("poison", [math.nan, math.inf])
def test_a_step_that_is_no_number_is_not_taken_and_the_last_checkpoint_is_kept(
    tmp_path: Path, poison: float
) -> None:
    calls = 0

    def objective(model: Trainable, batch: Batch) -> LossSum:
        nonlocal calls
        calls += 1
        loss = causal(model, batch)
        return LossSum(loss.loss_nats * poison, loss.num_tokens) if calls == 6 else loss

    made, optimizer = make(tmp_path, objective, Rows(), num_steps=20, deadline_s=None, every_s=0.0)
    with pytest.raises(TrainingDiverged, match="not finite at step 5") as stopped:
        made.run()
    assert stopped.value.exit_code == 17 and "\n" not in str(stopped.value)
    assert all(bool(master.isfinite().all()) for master in optimizer.masters().values())
    whole, undisturbed = make(tmp_path / "whole", causal, Rows(), num_steps=20, deadline_s=None, every_s=1e9)
    assert whole.run().step == 20
    again, resumed = make(tmp_path, causal, Rows(), num_steps=20, deadline_s=None, every_s=1e9)
    assert again.resume() and 1 <= again.state.step <= 5
    assert again.run().step == 20
    for name, master in undisturbed.masters().items():
        assert torch.equal(resumed.masters()[name], master), name
