"""Bad batches, too little memory and full disks: what is lost, and that a kill changes nothing."""

from __future__ import annotations

import errno
import math
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from training_made import KILLED, Rows, Run, Spoiled, digest, digest_of, in_child, spoiled_causal

from yanmo.artifact import disk_error
from yanmo.errors import TrainingDiverged, YanmoError
from yanmo.models.base import Trainable
from yanmo.training import checkpoint as checkpoint_module
from yanmo.training.objective import LossSum
from yanmo.training.parallel import Alone
from yanmo.training.trainer import Trainer

NAN, INF = math.nan, math.inf


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("factor", [NAN, INF, -INF])
def test_a_loss_that_is_no_number_moves_nothing(
    tmp_path: Path, factor: float, capsys: pytest.CaptureFixture[str]
) -> None:
    before: list[str] = []
    rows = Rows()
    run = Run(num_steps=10, factors={5: factor}, keep=20)
    made, optimizer, _ = run.make(tmp_path, listeners=(rows,))

    class Watch(Rows):
        def stepped(self, row: dict[str, Any], time_left_s: float) -> None:
            before.append(digest(optimizer))

        def noted(self, row: dict[str, Any]) -> None:
            assert digest(optimizer) == before[-1]
            before.append("skipped")

    made, optimizer, _ = run.make(tmp_path, listeners=(rows, Watch()))
    state = made.run()
    assert before[5] == "skipped" and len(before) == 11
    # All steps are made, on one batch more.
    assert (state.step, state.batch, state.guard.num_skipped) == (10, 11, 1)
    assert [row["step"] for row in rows.rows] == list(range(1, 11))
    (skipped,) = rows.noted_rows
    assert (skipped["kind"], skipped["step"], skipped["batch"]) == ("skipped", 5, 6)
    assert capsys.readouterr().err.count("batch 6 skipped at step 5: the loss is not a finite number") == 1


def test_a_gradient_that_is_no_number_moves_nothing(tmp_path: Path) -> None:
    def objective(model: Trainable, spoiled: Spoiled) -> LossSum:
        loss = spoiled_causal(model, spoiled)
        if spoiled.factor == 2.0:
            # The loss is as ever, its gradient is not.
            loss.loss_nats.register_hook(lambda gradient: gradient * math.inf)
            return LossSum(loss.loss_nats / 2, loss.num_tokens)
        return loss

    rows = Rows()
    run = Run(num_steps=8, factors={3: 2.0}, objective=objective)
    made, optimizer, _ = run.make(tmp_path, listeners=(rows,))
    state = made.run()
    assert (state.step, state.batch) == (8, 9)
    assert rows.noted_rows[0]["reason"] == "the gradient is not a finite number"
    assert math.isfinite(rows.noted_rows[0]["loss_nats"])
    assert all(bool(master.isfinite().all()) for master in optimizer.masters().values())


def test_a_leap_is_skipped_but_not_while_warming_up(tmp_path: Path) -> None:
    rows = Rows()
    run = Run(num_steps=80, factors={1: 3.0, 40: 3.0, 70: 3.0}, every_batch=False, checkpoint_every_s=1e9)
    state = run.make(tmp_path, listeners=(rows,))[0].run()
    assert [(row["batch"], row["kind"]) for row in rows.noted_rows] == [(71, "skipped")]
    assert "the loss leapt to" in rows.noted_rows[0]["reason"]
    assert (state.step, state.batch) == (80, 81)


BAD = dict.fromkeys((24, 25, 26), NAN)
"""Three batches in a row that are no number: back to the validation after step 20."""


def test_bad_batches_that_stay_lead_back_and_past_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = Rows()
    run = Run(num_steps=40, num_validations=4, factors=BAD)
    state = run.make(tmp_path, listeners=(rows,))[0].run()
    kinds = [(row["kind"], row["step"], row["batch"]) for row in rows.noted_rows]
    assert kinds == [("skipped", 24, 25), ("skipped", 24, 26), ("skipped", 24, 27), ("rollback", 20, 27)]
    # Four steps are made once more, on other batches; the rates follow steps, so they repeat too.
    steps = [row["step"] for row in rows.rows]
    assert steps == [*range(1, 25), *range(21, 41)]
    factors = [row["lr_factor"] for row in rows.rows]
    assert factors[24:28] == factors[20:24]
    assert (state.step, state.batch) == (40, 47)
    assert [row["step"] for row in rows.valid] == [10, 20, 30, 40]
    # The better validation after step 30 forgives.
    assert state.guard.num_rollbacks == 0
    assert "bad batches stay: back to step 20, and on past batch 27" in capsys.readouterr().err


def test_the_weights_gone_back_to_are_those_of_the_checkpoint(tmp_path: Path) -> None:
    seen: dict[str, str] = {}
    run = Run(num_steps=30, num_validations=3, factors=BAD)

    class Watch(Rows):
        def validated(self, row: dict[str, Any], model: Trainable) -> None:
            seen[f"step {row['step']}"] = digest(optimizer)

        def noted(self, row: dict[str, Any]) -> None:
            seen[row["kind"]] = digest(optimizer)

    _, optimizer, _ = made = run.make(tmp_path, listeners=(Watch(),))
    made[0].run()
    assert seen["rollback"] == seen["step 20"] != seen["skipped"]


def always_bad(first: int) -> dict[int, float]:
    return dict.fromkeys(range(first, 200), NAN)


@pytest.mark.parametrize(("first", "good_step"), [(0, 0), (5, 0), (24, 20)])
def test_what_does_not_converge_ends_with_17_and_the_last_good_checkpoint(
    tmp_path: Path, first: int, good_step: int
) -> None:
    run = Run(num_steps=40, num_validations=4, factors=always_bad(first))
    made, _, _ = run.make(tmp_path)
    with pytest.raises(TrainingDiverged, match="does not converge") as stopped:
        made.run()
    assert stopped.value.exit_code == 17 and "\n" not in str(stopped.value)
    assert f"the last good checkpoint, of step {good_step}, is kept" in str(stopped.value)
    assert "the same command goes on from it past the bad batches" in str(stopped.value)
    again, optimizer, _ = run.make(tmp_path)
    assert again.resume()
    assert (again.state.step, again.state.batch) == (good_step, first + 6)
    if good_step:
        other = Run(num_steps=40, num_validations=4, keep=50)
        other.finish(tmp_path / "other")
        good = other.make(tmp_path / "other")[2].load_newest(at_most=good_step)
        assert good is not None and digest_of(good.weights | good.optimizer) == digest(optimizer)
    # The bad batches once gone, the same command comes to its end.
    healed, optimizer, _ = Run(num_steps=40, num_validations=4).make(tmp_path)
    assert healed.resume() and healed.run().step == 40


def test_two_times_back_with_a_better_validation_in_between_is_no_divergence(tmp_path: Path) -> None:
    factors = BAD | dict.fromkeys((44, 45, 46), NAN)
    losses = iter([3.0, 2.9, 2.8, 2.7, 2.6, 2.5, 2.4])
    run = Run(
        num_steps=60, num_validations=6, factors=factors, validate=lambda model: {"loss_nats": next(losses)}
    )
    assert run.make(tmp_path)[0].run().step == 60
    never_better = Run(
        num_steps=60, num_validations=6, factors=factors, validate=lambda model: {"loss_nats": 3.0}
    )
    with pytest.raises(TrainingDiverged):
        never_better.make(tmp_path / "other")[0].run()


def test_without_a_checkpoint_to_go_back_to_it_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint_module, "save_tensors", full)
    with pytest.raises(TrainingDiverged, match="there is no checkpoint to go back to"):
        Run(factors=always_bad(3)).make(tmp_path)[0].run()


# A leap, three bad in a row, one more: all that the guard can do short of giving up.
EVENTFUL = Run(
    num_steps=66,
    num_validations=5,
    factors=BAD | {3: NAN, 65: 3.0, 69: INF},
    every_batch=False,
    # A save costs more than a step here, so that kills hit all distances from the last one.
    checkpoint_every_s=0.01,
)


class DyingObjective:
    """Dies in the n-th micro-batch, before its gradient."""

    def __init__(self, dies_at: int) -> None:
        self._dies_at, self._calls = dies_at, 0

    def __call__(self, model: Trainable, spoiled: Spoiled) -> LossSum:
        self._calls += 1
        loss = spoiled_causal(model, spoiled)
        if self._calls == self._dies_at:
            os._exit(KILLED)
        return loss


def finish_dying(folder: Path, dies_at: int) -> Callable[[], str]:
    def work() -> str:
        made, optimizer, _ = EVENTFUL.make(folder)
        made._objective = DyingObjective(dies_at)
        made.resume()
        made.run()
        return digest(optimizer)

    return work


def test_kills_between_micro_batches_around_everything_the_guard_does(tmp_path: Path) -> None:
    code, expected = in_child(lambda: EVENTFUL.finish(tmp_path / "whole"))
    assert code == 0, expected
    # Each batch has two micro-batches; both sides of a skip, of the way back, of a validation, of an epoch.
    for dies_at in (1, 8, 50, 54, 55, 90, 132, 140):
        folder = tmp_path / str(dies_at)
        assert in_child(finish_dying(folder, dies_at))[0] == KILLED
        assert in_child(lambda folder=folder: EVENTFUL.finish(folder)) == (0, expected), dies_at
    # And many times in one run, a few micro-batches further each time.
    folder, num_kills = tmp_path / "many", 0
    while (code := in_child(finish_dying(folder, 31))[0]) == KILLED:
        num_kills += 1
        assert num_kills < 100
    assert code == 0 and num_kills >= 3
    assert in_child(lambda: EVENTFUL.finish(folder)) == (0, expected)


def full(*_: Any) -> None:
    raise disk_error(OSError(errno.ENOSPC, "No space left on device"), Path("weights.safetensors"))


class FullFor:
    """The disk is full from one save to another."""

    def __init__(self, first: int, last: int) -> None:
        self._full, self._calls, self._save = range(first, last), 0, checkpoint_module.save_tensors

    def __call__(self, *arguments: Any) -> None:
        self._calls += 1
        if self._calls in self._full:
            full()
        self._save(*arguments)


def test_a_disk_full_for_a_while_costs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Run(num_steps=12)
    expected = run.finish(tmp_path / "whole")
    monkeypatch.setattr(checkpoint_module, "save_tensors", FullFor(9, 15))
    assert run.finish(tmp_path / "full") == expected
    assert capsys.readouterr().err.count("the disk is full; training goes on, and tries again later") == 6


def test_a_disk_full_at_the_end_is_an_error_and_the_one_before_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(num_steps=12)
    expected = run.finish(tmp_path / "whole")
    with monkeypatch.context() as patched:
        patched.setattr(checkpoint_module, "save_tensors", FullFor(15, 1000))
        with pytest.raises(YanmoError, match="the disk is full \\(free some space") as failed:
            run.finish(tmp_path / "full")
    assert failed.value.exit_code == 1 and not isinstance(failed.value, TrainingDiverged)
    again, optimizer, _ = run.make(tmp_path / "full")
    assert again.resume() and 5 <= again.state.step <= 7
    assert again.run().step == 12 and digest(optimizer) == expected
    assert not [path for path in (tmp_path / "full").iterdir() if path.name.startswith(".")]


MEMORY_MESSAGES = (
    MemoryError(),
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB"),
    RuntimeError(
        "[enforce fail at alloc_cpu.cpp:119] . DefaultCPUAllocator: can't allocate memory: you tried"
    ),
    RuntimeError("could not create a primitive: not enough memory"),
)


def narrow(most_rows: int, error: BaseException, *, in_backward: bool) -> Callable[..., LossSum]:
    """An objective whose memory takes so many rows at most."""

    def objective(model: Trainable, spoiled: Spoiled) -> LossSum:
        def fail(gradient: torch.Tensor) -> None:
            raise error

        loss = spoiled_causal(model, spoiled)
        if len(spoiled.batch.inputs_BT) > most_rows:
            if not in_backward:
                raise error
            loss.loss_nats.register_hook(fail)
        return loss

    return objective


def losses_of(made: Trainer[Any], rows: Rows) -> list[float]:
    made.run()
    return [row["loss_nats"] for row in rows.rows]


@pytest.mark.parametrize("error", MEMORY_MESSAGES, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("in_backward", [False, True])
def test_without_memory_the_micro_batch_is_halved_and_the_batch_is_not(
    tmp_path: Path, error: BaseException, in_backward: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    if in_backward and isinstance(error, MemoryError):
        error = RuntimeError("DefaultCPUAllocator: not enough memory")
    shared = {"num_steps": 8, "batch_size": 8, "dropout": 0.0}
    rows, few = Rows(), Rows()
    wide = Run(**shared, micro_batch_size=8, objective=narrow(2, error, in_backward=in_backward))
    made, optimizer, _ = wide.make(tmp_path / "wide", listeners=(rows,))
    losses = losses_of(made, rows)
    reference, expected, _ = Run(**shared, micro_batch_size=2).make(tmp_path / "few", listeners=(few,))
    assert losses == losses_of(reference, few)
    assert digest(optimizer) == digest(expected)
    message = capsys.readouterr().err
    assert message.count("not enough memory") == 2
    assert "from here on 4 rows" in message and "from here on 2 rows" in message
    # A resumed run knows.
    again, _, _ = wide.make(tmp_path / "wide")
    assert again.resume() and again.state.num_halvings == 2


def test_what_was_computed_before_memory_ended_is_not_counted_twice(tmp_path: Path) -> None:
    calls = 0

    def objective(model: Trainable, spoiled: Spoiled) -> LossSum:
        nonlocal calls
        calls += 1
        if calls == 4:
            raise MemoryError
        return spoiled_causal(model, spoiled)

    shared = {"num_steps": 4, "batch_size": 8, "dropout": 0.0}
    made, optimizer, _ = Run(**shared, micro_batch_size=2, objective=objective).make(tmp_path / "ended")
    made.run()
    reference, expected, _ = Run(**shared, micro_batch_size=1).make(tmp_path / "one")
    reference.run()
    assert made.state.num_tokens == reference.state.num_tokens == 4 * 8 * 8
    assert digest(optimizer) == digest(expected)


def test_all_processes_halve_where_one_of_them_must(tmp_path: Path) -> None:
    class WithAnother(Alone):
        """Another process, whose memory takes two rows at most."""

        def add(self, values: Sequence[float]) -> list[float]:
            if len(values) == 3 and made._micro_batch_size() > 2:
                return [*values[:2], 1.0]
            return list(values)

    few = Run(num_steps=3, batch_size=8, micro_batch_size=2, dropout=0.0)
    made, optimizer, _ = Run(num_steps=3, batch_size=8, micro_batch_size=8, dropout=0.0).make(tmp_path)
    made._group = WithAnother()
    assert made.run().num_halvings == 2
    assert digest(optimizer) == few.finish(tmp_path / "few")


def test_an_odd_number_of_rows_is_halved_too(tmp_path: Path) -> None:
    rows = Rows()
    run = Run(
        num_steps=3, batch_size=7, micro_batch_size=100, objective=narrow(1, MemoryError(), in_backward=False)
    )
    made, _, _ = run.make(tmp_path, listeners=(rows,))
    made.run()
    assert made.state.num_halvings == 2
    assert rows.rows[-1]["tokens"] == 3 * 7 * 8


def test_too_little_memory_for_one_row_is_one_clear_line(tmp_path: Path) -> None:
    calls = 0

    def objective(model: Trainable, spoiled: Spoiled) -> LossSum:
        nonlocal calls
        calls += 1
        if calls > 8:
            raise MemoryError
        return spoiled_causal(model, spoiled)

    run = Run(micro_batch_size=2, objective=objective)
    with pytest.raises(YanmoError, match="not enough memory to compute a single row") as failed:
        run.make(tmp_path)[0].run()
    assert failed.value.exit_code == 1 and "the last checkpoint is kept" in str(failed.value)
    again, _, _ = Run(micro_batch_size=2).make(tmp_path)
    assert again.resume() and again.state.step == 4


def test_other_errors_are_not_taken_for_a_lack_of_memory(tmp_path: Path) -> None:
    def objective(model: Trainable, spoiled: Spoiled) -> LossSum:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        Run(objective=objective).make(tmp_path)[0].run()
