"""Labels, their tables, thresholds and probabilities."""

from __future__ import annotations

import math

import numpy as np
import pytest

from yanmo import metrics
from yanmo.errors import InputError


def test_a_label_that_occurs_nowhere_has_no_say_in_a_macro_average() -> None:
    scores = metrics.classification(["好", "好", "坏"], ["好", "好", "坏"])
    without_bad = scores.only(["f1_macro"]).at([1.0, 1.0, 0.0])
    assert without_bad.tolist() == [1.0]


def test_labels_of_unlike_types_have_an_order() -> None:
    table = metrics.confusion_matrix([10, 9, "乙", True], [9, 9, "甲", True])
    assert table.labels == (True, 9, 10, "乙", "甲")
    assert table.counts.sum() == 4


def test_the_largest_mistakes_come_first() -> None:
    gold = ["正", "正", "正", "负", "中"]
    predicted = ["正", "负", "负", "正", "中"]
    mistakes = metrics.confusion_matrix(gold, predicted).largest_mistakes()
    assert mistakes == [("正", "负", 2), ("负", "正", 1)]
    with pytest.raises(InputError, match="a table of 3 labels is too large"):
        metrics.confusion_matrix(gold, predicted, most_labels=2)


def test_one_label_only() -> None:
    scores = metrics.classification(["好"] * 3, ["好"] * 3)
    assert (scores["accuracy"], scores["f1_macro"], scores["mcc"]) == (1.0, 1.0, 0.0)


def test_twenty_thousand_labels_fit() -> None:
    gold = [f"label {index}" for index in range(20_000)]
    scores = metrics.classification(gold, gold[1:] + gold[:1])
    assert scores["accuracy"] == 0.0
    low, high = metrics.bootstrap(scores.only(["accuracy"]), num_resamples=3)["accuracy"]
    assert (low, high) == (0.0, 0.0)


def test_expected_calibration_error_by_hand() -> None:
    # Bins of a fifth: 0.9, 0.9 with one right, 0.6 right. |1 - 1.8| + |1 - 0.6| over 3.
    table = [[0.9, 0.1], [0.9, 0.1], [0.4, 0.6]]
    scores = metrics.calibration([0, 1, 1], table, num_bins=5)
    assert scores["ece"] == pytest.approx((0.8 + 0.4) / 3)
    bins = metrics.reliability_bins([0.9, 0.9, 0.6], [True, False, True], num_bins=5)
    assert [found.num_examples for found in bins] == [0, 0, 1, 0, 2]
    assert (bins[4].confidence, bins[4].accuracy) == (pytest.approx(0.9), 0.5)
    assert bins[4].interval == metrics.wilson(1, 2)
    assert math.isnan(bins[0].accuracy)


def test_probabilities_that_are_true_have_no_error_and_bold_ones_do() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(20_000, 3)) * 2
    table = metrics.softmax(logits)
    gold = (rng.random(20_000)[:, None] > table.cumsum(1)).sum(1).tolist()
    assert metrics.calibration(gold, table)["ece"] < 0.015
    assert metrics.calibration(gold, metrics.softmax(3 * logits))["ece"] > 0.1
    assert metrics.fit_temperature(3 * logits, gold) == pytest.approx(3, rel=0.05)


def test_the_temperature_of_decisions() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(4000, 4)) * 2
    gold = rng.random((4000, 4)) < 1 / (1 + np.exp(-logits))
    assert metrics.fit_decision_temperature(2 * logits, gold) == pytest.approx(2, rel=0.05)
    with pytest.raises(InputError, match="does not fit"):
        metrics.fit_decision_temperature(logits, gold[:, :1])


def test_the_temperature_stays_in_its_range() -> None:
    assert metrics.fit_temperature([[2.0, 1.0], [0.0, 3.0]], [0, 1]) == 0.05
    assert metrics.fit_temperature([[2.0, 1.0], [0.0, 3.0]], [1, 0]) == 100.0


@pytest.mark.parametrize(
    ("gold", "table", "message"),
    [
        ([0, 2], [[0.5, 0.5], [0.5, 0.5]], "example 1: there is no label 2 among 2"),
        ([0, 0], [[0.5, 0.5], [0.9, 0.9]], "example 1: the probabilities do not sum to 1"),
        ([0, 0], [[0.5, 0.5], [1.5, -0.5]], "example 1: a number is no probability"),
        ([0], [[0.5, math.nan]], "example 0: a number is no probability"),
        ([0], [0.5], "not a row an example"),
        ([0], [[0.5, 0.5], [0.5, 0.5]], "1 gold answers and 2"),
    ],
)
def test_a_table_that_holds_no_probabilities_is_named(
    gold: list[int], table: list[object], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        metrics.calibration(gold, table)


def test_the_best_threshold_is_the_best_of_all() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        gold = rng.random(20) < 0.3
        gold[0] = True
        scores = (gold * 0.4 + rng.random(20)).round(1)
        threshold = metrics.best_threshold(gold.tolist(), scores.tolist())

        def f1(cut: float, truth: np.ndarray = gold, given: np.ndarray = scores) -> float:
            taken = given >= cut
            return 2 * (taken & truth).sum() / (taken.sum() + truth.sum())

        assert f1(threshold) == pytest.approx(max(f1(cut) for cut in np.linspace(-0.05, 1.5, 200)))


def test_thresholds_of_labels() -> None:
    gold = [[True, False], [True, False], [False, False]]
    scores = [[0.9, 0.3], [0.3, 0.2], [0.1, 0.1]]
    assert metrics.tune_thresholds(gold, scores).tolist() == pytest.approx([0.2, 0.5])
    # One for all: 0.9 alone is worth 2/3, 0.3 and above 4/5.
    assert metrics.tune_thresholds(gold, scores, average="micro").tolist() == pytest.approx([0.25, 0.25])
    with pytest.raises(InputError, match="does not fit"):
        metrics.tune_thresholds(gold, [[0.9], [0.3], [0.1]])
    with pytest.raises(InputError, match="example 2"):
        metrics.best_threshold([True, False, True], [0.1, 0.2, math.nan])


@pytest.mark.parametrize(("scores", "threshold"), [([0.4, 0.4], 0.4), ([0.8, 0.2], 0.5)])
def test_where_everything_is_best_taken_the_threshold_lies_below(
    scores: list[float], threshold: float
) -> None:
    assert metrics.best_threshold([True, False], scores) == pytest.approx(threshold)


def test_areas_of_labels_without_both_sides_are_refused() -> None:
    with pytest.raises(InputError, match="no label has both"):
        metrics.roc_auc_macro([0, 0], [[0.5], [0.5]])
    with pytest.raises(InputError, match="does not fit"):
        metrics.roc_auc_macro([0, 0, 0], [[0.5], [0.5]])
