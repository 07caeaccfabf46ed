"""What measured steps of two sizes say of the sizes between and beyond them."""

from __future__ import annotations

import dataclasses

import pytest

from yanmo.planning.candidate import Candidate
from yanmo.planning.speeds import Speeds


def candidate(num_parameters: int, predicted_step_s: float, d_model: int = 64) -> Candidate:
    return Candidate(
        vocab_size=512,
        d_model=d_model,
        num_layers=2,
        max_seq_len=128,
        num_parameters=num_parameters,
        batch_size=8,
        batch_tokens=1024,
        num_steps=10,
        epochs=1.0,
        dropout=0.0,
        muon_learning_rate=0.02,
        adam_learning_rate=0.01,
        weight_decay=0.0,
        predicted_step_s=predicted_step_s,
        predicted_s=1.0,
        predicted_memory_bytes=1,
    )


def test_nothing_is_corrected_before_something_is_measured() -> None:
    assert Speeds().correction(10**6) == 1.0
    assert not Speeds().know(candidate(10**6, 1.0))


def test_sizes_between_two_measured_ones_are_corrected_in_proportion() -> None:
    speeds = Speeds()
    speeds.add(candidate(10**4, 0.1), 0.1)
    # By then the model's seconds hold the first correction, which is 1.
    speeds.add(candidate(10**6, 1.0, d_model=128), 3.0)
    assert speeds.correction(10**4) == pytest.approx(1.0)
    assert speeds.correction(10**6) == pytest.approx(3.0)
    assert speeds.correction(10**5) == pytest.approx(2.0)
    assert speeds.correction(10**8) == pytest.approx(3.0)
    assert speeds.correction(10**2) == pytest.approx(1.0)


def test_a_prediction_that_was_corrected_already_is_corrected_further() -> None:
    speeds = Speeds()
    speeds.add(candidate(10**5, 1.0), 2.0)
    # The next plan predicts 2 s for what takes 3 s: three times the model's 1 s.
    speeds.add(candidate(10**5, 2.0), 3.0)
    assert speeds.correction(10**5) == pytest.approx(3.0)


def test_it_knows_just_what_was_measured() -> None:
    speeds, made = Speeds(), candidate(10**5, 1.0)
    speeds.add(made, 2.0)
    assert speeds.know(made)
    assert not speeds.know(dataclasses.replace(made, batch_size=16))
    assert not speeds.know(dataclasses.replace(made, d_model=128))
