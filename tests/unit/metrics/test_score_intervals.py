"""Bootstrap, and what two systems differ by."""

from __future__ import annotations

import math

import numpy as np
import pytest

from yanmo import metrics
from yanmo.errors import InputError
from yanmo.metrics.intervals import resamples


def _means(values: np.ndarray) -> metrics.Scores:
    return metrics.from_ratios(["mean"], values[:, None])


def test_kinds_are_drawn_as_often_as_examples_would_be() -> None:
    """The two ways to draw a resample have the same distribution."""
    counts = np.array([700, 250, 50])
    kinds = np.repeat([0, 1, 2], counts)
    grouped = np.concatenate(list(resamples(kinds, counts, num_resamples=4000, seed=1)))
    single = np.concatenate(list(resamples(np.arange(1000), np.ones(1000, int), num_resamples=4000, seed=2)))
    folded = np.stack([single[:, kinds == kind].sum(1) for kind in range(3)], axis=1)
    assert (grouped.sum(1) == 1000).all()
    assert (single.sum(1) == 1000).all()
    assert grouped.mean(0) == pytest.approx(counts, abs=1.0)
    assert folded.mean(0) == pytest.approx(counts, abs=1.0)
    assert np.cov(grouped.T) == pytest.approx(np.cov(folded.T), abs=15)


@pytest.mark.parametrize("levels", [2, 10**9])
def test_the_interval_covers_the_truth_as_often_as_it_says_whatever_the_kinds(levels: int) -> None:
    rng = np.random.default_rng(0)
    hits = 0
    for trial in range(300):
        values = (rng.random(80) * levels).astype(int) / levels
        truth = 0.25 if levels == 2 else 0.5
        low, high = metrics.bootstrap(_means(values), num_resamples=300, seed=trial)["mean"]
        hits += low <= truth <= high
    assert 0.90 <= hits / 300 <= 0.985


def test_a_seed_gives_one_interval() -> None:
    scores = metrics.classification(["是", "否"] * 50, ["是"] * 100)
    assert metrics.bootstrap(scores, seed=1) == metrics.bootstrap(scores, seed=1)
    assert metrics.bootstrap(scores, seed=1) != metrics.bootstrap(scores, seed=2)


def test_resamples_without_a_value_are_left_out() -> None:
    scores = metrics.ranking_curves([True, False, False], [0.9, 0.1, 0.2])
    assert metrics.bootstrap(scores)["roc_auc"] == (1.0, 1.0)
    constant = metrics.regression([1.0, 1.0], [1.0, 2.0])
    assert math.isnan(constant["pearson"])
    assert all(math.isnan(bound) for bound in metrics.bootstrap(constant)["pearson"])


@pytest.mark.parametrize("confidence", [0.0, 1.0, 95])
def test_a_confidence_that_is_none_is_refused(confidence: float) -> None:
    with pytest.raises(InputError, match="not between 0 and 1"):
        metrics.bootstrap(_means(np.ones(3)), confidence=confidence)
    with pytest.raises(InputError, match="not between 0 and 1"):
        metrics.wilson(1, 2, confidence=confidence)


@pytest.mark.parametrize(("right", "count"), [(0, 0), (3, 2), (-1, 2)])
def test_a_share_that_is_none_is_refused(right: int, count: int) -> None:
    with pytest.raises(InputError, match="not a share"):
        metrics.wilson(right, count)
    with pytest.raises(InputError, match="not a share"):
        metrics.clopper_pearson(right, count)


@pytest.mark.parametrize("values", [[], [0.9], [0.9, float("nan")]])
def test_one_seed_has_no_interval(values: list[float]) -> None:
    with pytest.raises(InputError, match="two finite values"):
        metrics.mean_over_seeds(values)


def test_no_resample_is_refused() -> None:
    with pytest.raises(InputError, match="0 resamples"):
        metrics.bootstrap(_means(np.ones(3)), num_resamples=0)


def _systems(gain: float, seed: int, count: int = 300) -> tuple[list[str], list[str], list[str]]:
    """Gold labels, and two systems of which the second is right more often by ``gain``."""
    rng = np.random.default_rng(seed)
    gold = rng.choice(["正面", "负面", "neutral"], count)
    luck, other = rng.random(count), np.roll(gold, 1)
    return gold.tolist(), *(np.where(luck < share, gold, other).tolist() for share in (0.6, 0.6 + gain))


def test_a_clear_difference_is_found_and_an_equal_pair_is_not() -> None:
    gold, first, second = _systems(0.15, 0)
    both = metrics.classification([*gold, *gold], [*first, *second])
    found = metrics.paired_bootstrap(both)["f1_macro"]
    assert found.first == pytest.approx(metrics.classification(gold, first)["f1_macro"])
    assert found.second == pytest.approx(metrics.classification(gold, second)["f1_macro"])
    assert 0 < found.low < found.difference == found.second - found.first < found.high
    assert found.p_value == pytest.approx(1 / 1001)
    assert metrics.approximate_randomisation(both)["f1_macro"] == pytest.approx(1 / 1001)
    same = metrics.classification([*gold, *gold], [*first, *first])
    assert metrics.paired_bootstrap(same)["f1_macro"].p_value == 1.0
    assert metrics.approximate_randomisation(same)["f1_macro"] == 1.0


def test_a_pair_is_compared_on_the_same_resamples() -> None:
    """Two systems that differ by a constant do so in every resample, however much both vary."""
    values = np.random.default_rng(0).normal(size=200)
    found = metrics.paired_bootstrap(_means(np.concatenate([values, values + 0.01])))["mean"]
    assert found.low == pytest.approx(0.01)
    assert found.high == pytest.approx(0.01)


def test_equal_systems_are_called_different_as_rarely_as_promised() -> None:
    bootstrap, exchange = [], []
    for seed in range(120):
        rng = np.random.default_rng(seed)
        both = _means(rng.normal(size=120))
        bootstrap.append(metrics.paired_bootstrap(both, num_resamples=199, seed=seed)["mean"].p_value)
        exchange.append(metrics.approximate_randomisation(both, num_resamples=199, seed=seed)["mean"])
    for p_values in (bootstrap, exchange):
        assert 0.01 <= np.mean(np.array(p_values) <= 0.1) <= 0.19


def test_exchanges_of_a_few_examples_are_those_of_all_orders() -> None:
    """With four examples that differ by 1, 2, 4 and 8, only 2 of the 16 exchanges reach the difference."""
    both = _means(np.array([0.0, 0.0, 0.0, 0.0, 1.0, 2.0, 4.0, 8.0]))
    assert metrics.approximate_randomisation(both, num_resamples=20_000)["mean"] == pytest.approx(
        2 / 16, abs=0.01
    )


def test_mcnemar_of_systems_that_never_differ() -> None:
    assert metrics.mcnemar([True, False], [True, False]) == 1.0
    assert metrics.mcnemar([True] * 10, [False] * 10) == pytest.approx(2 / 2**10)


def test_half_a_pair_is_refused() -> None:
    with pytest.raises(InputError, match="3 examples are not those of two systems"):
        metrics.paired_bootstrap(_means(np.ones(3)))
    with pytest.raises(InputError, match="3 examples are not those of two systems"):
        metrics.approximate_randomisation(_means(np.ones(3)))
