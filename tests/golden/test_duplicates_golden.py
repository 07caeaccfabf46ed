"""Signatures and bands against exact Jaccard similarities and the formulas of the papers."""

from __future__ import annotations

import numpy as np
import pytest

from yanmo.corpus.duplicates.near import chance_to_meet
from yanmo.corpus.duplicates.signature import PLACES, sketch, standard_error

PAIRS = 400


def sketched_pairs(jaccard: float, members: int, seed: int) -> tuple[np.ndarray, float]:
    """Agreement of the places of pairs of random sets, and the exact similarity of the two of each."""
    rng = np.random.default_rng(seed)
    common = round(jaccard * members)
    own = (members - common) // 2
    values = rng.integers(0, 2**64, (PAIRS, common + 2 * own), np.uint64)
    first, second = values[:, : common + own], np.delete(values, np.s_[common : common + own], axis=1)
    counts = np.full(PAIRS, common + own)
    sketches = [(sketch(part.ravel(), counts) & np.uint64(0xFFFF)) for part in (first, second)]
    return sketches[0] == sketches[1], common / (common + 2 * own)


@pytest.mark.parametrize("members", [25, 120, 2000])
@pytest.mark.parametrize("jaccard", [0.1, 0.3, 0.6, 0.9])
def test_estimates_have_no_bias_and_at_most_the_error_of_minhash(jaccard: float, members: int) -> None:
    agree, exact = sketched_pairs(jaccard, members, seed=1)
    errors = agree.mean(axis=1) - exact
    expected = standard_error(exact)
    # The mean of so many estimates within four of its own standard errors; their spread with a tenth of room.
    assert abs(errors.mean()) < 4 * expected / np.sqrt(PAIRS)
    assert errors.std() < 1.1 * expected


@pytest.mark.parametrize(("bands", "rows"), [(128, 2), (85, 3), (42, 6)])
def test_pairs_meet_in_bands_as_often_as_the_formula_says(bands: int, rows: int) -> None:
    for jaccard in (0.1, 0.2, 0.3, 0.45, 0.7):
        agree, exact = sketched_pairs(jaccard, 400, seed=2)
        met = agree[:, : bands * rows].reshape(PAIRS, bands, rows).all(axis=2).any(axis=1).mean()
        chance = chance_to_meet(exact, bands, rows)
        assert met == pytest.approx(chance, abs=4 * np.sqrt(0.25 / PAIRS))


def test_two_sets_without_a_common_member_do_not_agree() -> None:
    agree, exact = sketched_pairs(0.0, 300, seed=3)
    assert exact == 0
    assert agree.mean() < 5 / PLACES**2
