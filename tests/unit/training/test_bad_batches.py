"""What counts as a bad batch, and what follows from one, two, three."""

from __future__ import annotations

import math

import numpy as np
import pytest

from yanmo.training.guard import Guard, Verdict


def losses(seed: int, *, noise: float, num_steps: int = 4000) -> np.ndarray:
    """A falling power law under noise, with a plateau and a last fall as a schedule makes them."""
    rng = np.random.default_rng(seed)
    steps = np.arange(num_steps)
    falling = 2.0 + 4.5 * (1 + steps) ** -0.3 - 0.4 * np.clip((steps - 3000) / 1000, 0, 1)
    return falling + rng.normal(0, noise, num_steps) * (1 + 0.5 * (rng.random(num_steps) < 0.05))


def faults(guard: Guard, values: np.ndarray) -> int:
    num_faults = 0
    for value in values:
        if guard.fault(float(value), is_settled=True):
            num_faults += 1
        else:
            guard.accept(float(value))
    return num_faults


@pytest.mark.parametrize("noise", [0.0, 0.02, 0.1, 0.3, 0.6, 1.5])
def test_ordinary_noise_is_no_spike(noise: float) -> None:
    for seed in range(4):
        assert faults(Guard.fresh(), losses(seed, noise=noise)) == 0


def test_runs_that_begin_badly_or_fall_in_steps_are_let_be() -> None:
    beginning = np.concatenate([np.linspace(6, 11, 20), np.linspace(11, 4, 60), np.full(400, 4.0)])
    assert faults(Guard.fresh(), beginning) == 0
    assert faults(Guard.fresh(), np.repeat([5.0, 3.0, 2.9, 1.0, 0.2], 200)) == 0


@pytest.mark.parametrize("noise", [0.02, 0.1, 0.3])
def test_a_leap_is_a_spike_once_enough_was_seen_and_the_warm_up_is_over(noise: float) -> None:
    guard = Guard.fresh()
    early = losses(0, noise=noise)
    assert faults(guard, early[:49]) == 0
    assert guard.fault(50.0, is_settled=True) == ""
    assert faults(guard, early[49:2000]) == 0
    assert "leapt to 9.00 nats from about 2." in guard.fault(9.0, is_settled=True)
    assert guard.fault(9.0, is_settled=False) == ""
    assert guard.fault(0.0, is_settled=True) == ""


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_never_taken(value: float) -> None:
    assert Guard.fresh().fault(value, is_settled=False) == "the loss is not a finite number"


def test_three_in_a_row_go_back_and_the_second_time_stops() -> None:
    guard = Guard.fresh()
    assert [guard.strike() for _ in range(3)] == [Verdict.SKIP, Verdict.SKIP, Verdict.ROLL_BACK]
    assert [guard.strike() for _ in range(3)] == [Verdict.SKIP, Verdict.SKIP, Verdict.STOP]
    assert guard.num_skipped == 6


def test_a_better_validation_in_between_forgives() -> None:
    guard = Guard.fresh()
    for _ in range(5):
        assert [guard.strike() for _ in range(3)][-1] is Verdict.ROLL_BACK
        guard.improved()


@pytest.mark.parametrize(("good_between", "goes_back"), [(4, True), (15, False)])
def test_bad_batches_far_apart_are_forgotten_and_frequent_ones_are_not(
    good_between: int, goes_back: bool
) -> None:
    guard, verdicts = Guard.fresh(), set()
    for _ in range(50):
        verdicts.add(guard.strike())
        for _ in range(good_between):
            guard.accept(3.0)
    assert (Verdict.ROLL_BACK in verdicts) == goes_back
    assert (Verdict.STOP in verdicts) == goes_back


def test_going_back_takes_the_statistics_and_keeps_the_record() -> None:
    earlier, late = Guard.fresh(), Guard.fresh()
    for _ in range(60):
        earlier.accept(3.0)
        late.accept(5.0)
    for _ in range(3):
        late.strike()
    late.go_back_to(earlier)
    assert (late.mean_nats, late.num_seen) == (earlier.mean_nats, 60)
    assert (late.num_rollbacks, late.num_skipped, late.strikes) == (1, 3, 0)


def test_a_model_to_go_back_to_has_a_finite_loss_near_the_best() -> None:
    guard = Guard.fresh()
    assert guard.is_good(9.0, math.inf) and guard.is_good(3.5, 3.0)
    assert not guard.is_good(math.nan, math.inf) and not guard.is_good(4.5, 3.0)
