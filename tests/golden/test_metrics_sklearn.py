"""Scores against scikit-learn's and scipy's, on whole examples and under weights."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import scipy.optimize
import scipy.stats
from sklearn import metrics as peer
from sklearn.preprocessing import MultiLabelBinarizer

from yanmo import metrics

LABELS = ["好", "坏", "neutral", "very good", "罕见"]


def _labels(seed: int, count: int = 200) -> tuple[list[str], list[str]]:
    rng = np.random.default_rng(seed)
    gold = rng.choice(len(LABELS), count, p=[0.5, 0.3, 0.15, 0.04, 0.01])
    predicted = np.where(rng.random(count) < 0.7, gold, rng.integers(0, 4, count))
    return [LABELS[index] for index in gold], [LABELS[index] for index in predicted]


@pytest.mark.parametrize("seed", range(5))
def test_one_label_an_example(seed: int) -> None:
    gold, predicted = _labels(seed)
    ours = metrics.classification(gold, predicted)
    assert ours["accuracy"] == pytest.approx(peer.accuracy_score(gold, predicted))
    assert ours["mcc"] == pytest.approx(peer.matthews_corrcoef(gold, predicted))
    for average in ("macro", "weighted"):
        theirs = peer.precision_recall_fscore_support(gold, predicted, average=average, zero_division=0)
        found = [ours[f"{score}_{average}"] for score in ("precision", "recall", "f1")]
        assert found == pytest.approx(theirs[:3])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert ours["balanced_accuracy"] == pytest.approx(peer.balanced_accuracy_score(gold, predicted))


@pytest.mark.parametrize("seed", range(3))
def test_each_label_and_their_confusion(seed: int) -> None:
    gold, predicted = _labels(seed)
    table = metrics.confusion_matrix(gold, predicted)
    ours = metrics.classification_by_label(gold, predicted)
    theirs = peer.precision_recall_fscore_support(gold, predicted, labels=table.labels, zero_division=0)
    for row, score in enumerate(("precision", "recall", "f1")):
        assert [ours[f"{score}/{label}"] for label in table.labels] == pytest.approx(theirs[row])
    assert (table.counts == peer.confusion_matrix(gold, predicted, labels=table.labels)).all()


@pytest.mark.parametrize("seed", range(5))
def test_sets_of_labels(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth = rng.random((150, 5)) < [0.5, 0.3, 0.2, 0.1, 0.1]
    answer = truth ^ (rng.random((150, 5)) < 0.15)
    names = np.array(LABELS)
    gold, predicted = [set(names[row]) for row in truth], [set(names[row]) for row in answer]
    wanted, got = (MultiLabelBinarizer(classes=LABELS).fit_transform(sets) for sets in (gold, predicted))
    ours = metrics.multi_label(gold, predicted)
    for average in ("micro", "macro", "weighted"):
        theirs = peer.precision_recall_fscore_support(wanted, got, average=average, zero_division=0)
        found = [ours[f"{score}_{average}"] for score in ("precision", "recall", "f1")]
        assert found == pytest.approx(theirs[:3])
    # Two empty sets agree: scikit-learn says so when asked to.
    samples = peer.f1_score(wanted, got, average="samples", zero_division=1)
    assert ours["f1_samples"] == pytest.approx(samples)
    jaccard = peer.jaccard_score(wanted, got, average="samples", zero_division=1)
    assert ours["jaccard_samples"] == pytest.approx(jaccard)
    assert ours["exact_match"] == pytest.approx(peer.accuracy_score(wanted, got))
    assert ours["hamming_loss"] == pytest.approx(peer.hamming_loss(wanted, got))


@pytest.mark.parametrize("shift", [0.0, 1e6])
@pytest.mark.parametrize("seed", range(5))
def test_numbers(seed: int, shift: float) -> None:
    rng = np.random.default_rng(seed)
    gold = rng.integers(0, 6, 120) + shift
    predicted = gold + rng.integers(-2, 3, 120)
    ours = metrics.regression(gold.tolist(), predicted.tolist())
    assert ours["pearson"] == pytest.approx(scipy.stats.pearsonr(gold, predicted)[0])
    assert ours["spearman"] == pytest.approx(scipy.stats.spearmanr(gold, predicted)[0])
    assert ours["mae"] == pytest.approx(peer.mean_absolute_error(gold, predicted))
    assert ours["rmse"] == pytest.approx(peer.root_mean_squared_error(gold, predicted))
    assert ours["r2"] == pytest.approx(peer.r2_score(gold, predicted))
    kappa = peer.cohen_kappa_score(gold.astype(int), predicted.astype(int), weights="quadratic")
    assert ours["concordance"] == pytest.approx(kappa)


@pytest.mark.parametrize("decimals", [1, 6])
@pytest.mark.parametrize("seed", range(4))
def test_areas_under_curves_with_weights_and_ties(seed: int, decimals: int) -> None:
    rng = np.random.default_rng(seed)
    gold = rng.random(90) < 0.3
    scores = (gold + rng.normal(size=90)).round(decimals)
    ours = metrics.ranking_curves(gold.tolist(), scores.tolist())
    assert ours["roc_auc"] == pytest.approx(peer.roc_auc_score(gold, scores))
    assert ours["average_precision"] == pytest.approx(peer.average_precision_score(gold, scores))
    weights = rng.integers(0, 4, 90)
    area, precision = ours.at(weights)
    assert area == pytest.approx(peer.roc_auc_score(gold, scores, sample_weight=weights))
    assert precision == pytest.approx(peer.average_precision_score(gold, scores, sample_weight=weights))


def test_mean_area_of_labels() -> None:
    rng = np.random.default_rng(0)
    gold = rng.integers(0, 4, 200)
    table = metrics.softmax(rng.normal(size=(200, 4)) + np.eye(4)[gold])
    expected = peer.roc_auc_score(gold, table, multi_class="ovr")
    assert metrics.roc_auc_macro(gold, table) == pytest.approx(expected)


def test_calibration_scores() -> None:
    rng = np.random.default_rng(1)
    gold = rng.integers(0, 3, 300)
    table = metrics.softmax(2 * rng.normal(size=(300, 3)) + np.eye(3)[gold])
    ours = metrics.calibration(gold.tolist(), table)
    assert ours["nll"] == pytest.approx(peer.log_loss(gold, table))
    assert ours["brier"] == pytest.approx(peer.brier_score_loss(gold, table, scale_by_half=True))
    yes = table[:, 0]
    decisions = metrics.decision_calibration((gold == 0).tolist(), yes.tolist())
    assert decisions["brier"] == pytest.approx(peer.brier_score_loss(gold == 0, yes))
    assert decisions["nll"] == pytest.approx(peer.log_loss(gold == 0, yes))


@pytest.mark.parametrize("sharpness", [0.3, 1.0, 6.0])
def test_the_temperature_is_where_a_general_search_finds_it(sharpness: float) -> None:
    rng = np.random.default_rng(2)
    gold = rng.integers(0, 4, 500)
    logits = sharpness * (rng.normal(size=(500, 4)) + 1.5 * np.eye(4)[gold])

    def loss(log_temperature: float) -> float:
        return peer.log_loss(gold, metrics.softmax(logits, temperature=float(np.exp(log_temperature))))

    best = scipy.optimize.minimize_scalar(loss, bounds=(-3, 4), method="bounded", options={"xatol": 1e-7})
    assert metrics.fit_temperature(logits, gold.tolist()) == pytest.approx(np.exp(best.x), rel=1e-3)


@pytest.mark.parametrize("seed", range(3))
def test_ranked_lists(seed: int) -> None:
    rng = np.random.default_rng(seed)
    grades = rng.integers(0, 4, (40, 12))
    grades[:, 0] = 1
    scores = rng.permuted(np.tile(np.arange(12.0), (40, 1)), axis=1)
    relevant = [{f"文档{item}": grade for item, grade in enumerate(row)} for row in grades.tolist()]
    ranked = [[f"文档{item}" for item in np.argsort(-row)] for row in scores]
    ours = metrics.retrieval(relevant, ranked, cutoffs=(3, 12))
    assert ours["ndcg@3"] == pytest.approx(peer.ndcg_score(grades, scores, k=3))
    assert ours["ndcg@12"] == pytest.approx(peer.ndcg_score(grades, scores))
    expected = peer.label_ranking_average_precision_score(grades > 0, scores)
    assert ours["map"] == pytest.approx(expected)
    assert ours["recall@12"] == 1.0


@pytest.mark.parametrize(("right", "count"), [(0, 7), (7, 7), (3, 10), (905, 1000)])
@pytest.mark.parametrize("confidence", [0.9, 0.95])
def test_intervals_of_a_share(right: int, count: int, confidence: float) -> None:
    theirs = scipy.stats.binomtest(right, count)
    exact = theirs.proportion_ci(confidence, method="exact")
    assert metrics.clopper_pearson(right, count, confidence=confidence) == pytest.approx(
        (exact.low, exact.high)
    )
    wilson = theirs.proportion_ci(confidence, method="wilson")
    assert metrics.wilson(right, count, confidence=confidence) == pytest.approx((wilson.low, wilson.high))


def test_the_interval_over_seeds() -> None:
    values = [0.91, 0.915, 0.902]
    ours = metrics.mean_over_seeds(values)
    error = scipy.stats.sem(values)
    low, high = scipy.stats.t.interval(0.95, 2, loc=np.mean(values), scale=error)
    assert (ours.low, ours.high, ours.num_seeds) == (pytest.approx(low), pytest.approx(high), 3)


def test_the_bootstrap_of_a_correlation() -> None:
    rng = np.random.default_rng(3)
    gold = rng.normal(size=80)
    predicted = gold + rng.normal(size=80)
    ours = metrics.bootstrap(metrics.regression(gold.tolist(), predicted.tolist()), num_resamples=4000)

    def correlation(x: np.ndarray, y: np.ndarray) -> float:
        return float(np.corrcoef(x, y)[0, 1])

    theirs = scipy.stats.bootstrap(
        (gold, predicted),
        correlation,
        paired=True,
        vectorized=False,
        n_resamples=2000,
        method="percentile",
        rng=0,
    ).confidence_interval
    assert ours["pearson"] == pytest.approx((theirs.low, theirs.high), abs=0.02)


def test_mcnemar_is_a_binomial_test() -> None:
    first = [True] * 12 + [False] * 5 + [True] * 20 + [False] * 3
    second = [False] * 12 + [True] * 5 + [True] * 20 + [False] * 3
    assert metrics.mcnemar(first, second) == pytest.approx(scipy.stats.binomtest(5, 17).pvalue)


def test_exchanging_answers_agrees_with_a_permutation_test() -> None:
    rng = np.random.default_rng(4)
    first = rng.random(40)
    second = first + rng.normal(0.1, 0.3, 40)

    def difference(x: np.ndarray, y: np.ndarray, axis: int = -1) -> np.ndarray:
        return np.mean(y - x, axis=axis)

    theirs = scipy.stats.permutation_test(
        (first, second), difference, permutation_type="samples", vectorized=True, n_resamples=20_000, rng=0
    ).pvalue
    both = metrics.from_ratios(["mean"], np.concatenate([first, second])[:, None])
    ours = metrics.approximate_randomisation(both, num_resamples=20_000)["mean"]
    assert ours == pytest.approx(theirs, abs=0.01)
    assert 0.001 < ours < 0.5
