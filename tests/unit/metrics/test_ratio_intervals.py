"""The interval of a ratio over blocks of text."""

from __future__ import annotations

import numpy as np
import pytest

from yanmo.errors import InputError
from yanmo.metrics import ratio_interval


def test_the_interval_of_one_block_is_its_ratio() -> None:
    assert ratio_interval([6.0], [3.0]) == (2.0, 2.0)


def test_the_interval_does_not_depend_on_the_run_and_does_on_the_seed() -> None:
    bits, size = [1.0 + index % 7 for index in range(50)], [3.0 + index % 4 for index in range(50)]
    assert ratio_interval(bits, size, seed=1) == ratio_interval(bits, size, seed=1)
    assert ratio_interval(bits, size, seed=1) != ratio_interval(bits, size, seed=2)


def test_pairs_are_resampled_together() -> None:
    # Every block has the ratio 2 whatever its length, so no resample can have another.
    low, high = ratio_interval([2.0, 20.0, 200.0], [1.0, 10.0, 100.0])
    assert low == pytest.approx(2.0)
    assert high == pytest.approx(2.0)


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    hits = 0
    for trial in range(200):
        size = rng.integers(50, 150, 60).astype(float)
        bits = size * 1.7 + rng.normal(0, 8, 60)
        low, high = ratio_interval(bits.tolist(), size.tolist(), num_resamples=300, seed=trial)
        hits += low <= 1.7 <= high
    assert 0.88 <= hits / 200 <= 0.99


def test_an_empty_block_among_others_is_borne() -> None:
    low, high = ratio_interval([0.0, 4.0], [0.0, 2.0])
    assert (low, high) == (2.0, 2.0)


@pytest.mark.parametrize(("bits", "size"), [([], []), ([1.0], [1.0, 2.0]), ([1.0], [0.0])])
def test_an_interval_of_nothing_is_refused(bits: list[float], size: list[float]) -> None:
    with pytest.raises(InputError, match="interval"):
        ratio_interval(bits, size)
