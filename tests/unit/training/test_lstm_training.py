"""The one loop trains a recurrent model, and a killed run goes on in the same bytes."""

from __future__ import annotations

import math
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from yanmo.data.loader import Batch, Loader
from yanmo.errors import Interrupted
from yanmo.models.base import Trainable
from yanmo.models.lstm import LstmConfig, LstmModel
from yanmo.runtime import StopSignal, stop_signal
from yanmo.training.checkpoint import CheckpointStore
from yanmo.training.objective import causal
from yanmo.training.optimizer import Optimizer, OptimizerConfig
from yanmo.training.recurrent import PenalisedCausal
from yanmo.training.schedule import Schedule, ScheduleConfig
from yanmo.training.trainer import Trainer, TrainerConfig

VOCAB_SIZE, LENGTH, NUM_STEPS = 12, 16, 200


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Threads that wait for each other cost more here than they bring."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def markov_text(num_tokens: int) -> NDArray[np.uint16]:
    """Each token is one of three that depend on the one two places before it."""
    rng = np.random.default_rng(5)
    likely = rng.integers(0, VOCAB_SIZE, (VOCAB_SIZE, 3))
    text = [0, 1]
    while len(text) < num_tokens:
        text.append(int(likely[text[-2], rng.integers(3)]))
    return np.array(text, np.uint16)


class InterruptAfter:
    """Sends the process a Ctrl-C after a step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def stepped(self, row: dict[str, Any], time_left_s: float) -> None:
        if row["step"] == self.step:
            signal.raise_signal(signal.SIGINT)

    def validated(self, row: dict[str, Any], model: Trainable) -> None:
        """Nothing to do."""


def validate_on(text: NDArray[np.uint16], model: Trainable) -> dict[str, float]:
    tokens_BT = torch.from_numpy(text[: len(text) // 40 * 40].astype(np.int64).reshape(-1, 40))
    loss_nats = float(model.token_losses(tokens_BT)[:, 2:].mean())
    return {"loss_nats": loss_nats, "bits_per_byte": loss_nats / math.log(2)}


def trainer(
    folder: Path,
    text: NDArray[np.uint16],
    *,
    stop: StopSignal | None = None,
    interrupt_after: int = -1,
    num_steps: int = NUM_STEPS,
    dtype: torch.dtype = torch.float32,
) -> tuple[Trainer, Optimizer]:
    torch.manual_seed(0)
    model = LstmModel(LstmConfig(vocab_size=VOCAB_SIZE, d_model=24, d_hidden=32, num_layers=2))
    optimizer = Optimizer(model, OptimizerConfig(adam_learning_rate=0.02, adam_beta1=0.9))
    model.to(dtype)
    made = Trainer(
        model,
        PenalisedCausal(activation=0.02, temporal=0.02),
        Loader(text[:6000], batch_size=16, seq_len=LENGTH, seed=0),
        optimizer,
        Schedule(ScheduleConfig(warmup_steps=5), num_steps),
        CheckpointStore(folder),
        lambda validated: validate_on(text[6000:], validated),
        config=TrainerConfig(dropout=0.05, micro_batch_size=8, num_validations=2),
        deadline_s=None,
        stop=stop or StopSignal(),
        listeners=(InterruptAfter(interrupt_after),),
    )
    return made, optimizer


def test_it_beats_the_unigram_model_and_a_killed_run_ends_in_the_same_bytes(tmp_path: Path) -> None:
    text = markov_text(8000)
    whole, whole_optimizer = trainer(tmp_path / "whole", text)
    state = whole.run()
    counts = np.bincount(text[:6000], minlength=VOCAB_SIZE) + 1.0
    unigram_nats = -float(np.log(counts / counts.sum())[text[6000:]].mean())
    assert state.valid["loss_nats"] < 0.75 * unigram_nats

    with stop_signal() as stop, pytest.raises(Interrupted):
        trainer(tmp_path / "killed", text, stop=stop, interrupt_after=23)[0].run()
    resumed, resumed_optimizer = trainer(tmp_path / "killed", text)
    assert resumed.resume() and resumed.state.step == 23
    assert resumed.run().valid == state.valid
    expected, masters = whole_optimizer.masters(), resumed_optimizer.masters()
    assert expected.keys() == masters.keys()
    for name, master in expected.items():
        assert torch.equal(master, masters[name]), name


def gradients(objective: Any, model: LstmModel, batches: list[Batch]) -> tuple[dict[str, Tensor], int]:
    model.zero_grad()
    num_tokens = 0
    for batch in batches:
        loss = objective(model, batch)
        loss.loss_nats.backward()
        num_tokens += loss.num_tokens
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}, num_tokens


def test_the_penalised_objective_adds_up_over_micro_batches_and_is_causal_without_penalties() -> None:
    torch.manual_seed(1)
    model = LstmModel(LstmConfig(vocab_size=VOCAB_SIZE, d_model=8, d_hidden=8, num_layers=2)).eval()
    tokens_BT = torch.randint(0, VOCAB_SIZE, (6, 11))
    whole = Batch(inputs_BT=tokens_BT[:, :-1], targets_BT=tokens_BT[:, 1:])
    parts = [Batch(inputs_BT=rows[:, :-1], targets_BT=rows[:, 1:]) for rows in tokens_BT.split(2)]
    objective = PenalisedCausal()
    expected, num_tokens = gradients(objective, model, [whole])
    summed, num_summed = gradients(objective, model, parts)
    assert num_tokens == num_summed == 60
    for name, gradient in expected.items():
        torch.testing.assert_close(summed[name], gradient, rtol=1e-4, atol=1e-5)
    plain = causal(model, whole).loss_nats
    none = PenalisedCausal(activation=0.0, temporal=0.0)(model, whole).loss_nats
    torch.testing.assert_close(none, plain)
    assert float(objective(model, whole).loss_nats.detach()) > float(plain.detach())


def test_recurrent_weights_are_moved_by_adam() -> None:
    model = LstmModel(LstmConfig(vocab_size=VOCAB_SIZE, d_model=8, d_hidden=8, num_layers=2))
    moments = Optimizer(model, OptimizerConfig()).state()
    assert not [name for name in moments if name.startswith("momentum.")]
    assert {f"second.{name}" for name, _ in model.named_parameters()} <= moments.keys()


def test_a_bf16_model_trains_on_float32_masters(tmp_path: Path) -> None:
    made, optimizer = trainer(tmp_path, markov_text(8000), num_steps=4, dtype=torch.bfloat16)
    before = {name: master.clone() for name, master in optimizer.masters().items()}
    assert math.isfinite(made.run().valid["loss_nats"])
    for name, master in optimizer.masters().items():
        assert master.dtype == torch.float32 and not torch.equal(master, before[name]), name
