"""A weight counts an example that often, whatever the score."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from yanmo import metrics
from yanmo.errors import InputError
from yanmo.metrics import Scores
from yanmo.metrics.tasks import METRICS, TASKS

COUNT = 60
RNG = np.random.default_rng(5)
NOISE = RNG.random(COUNT) < 0.7
CLASSES = RNG.integers(0, 4, COUNT)
WORDS = np.array(["今", "天", "好", "cat", "sat", "mat", "the", "我们"])
TEXTS = [" ".join(RNG.choice(WORDS, RNG.integers(1, 9))) for _ in range(COUNT)]
NUMBERS = RNG.integers(0, 9, COUNT) / 2
TABLE = metrics.softmax(RNG.normal(size=(COUNT, 4)) + np.eye(4)[CLASSES])
RELATIONS = ["Other", "Cause-Effect(e1,e2)", "Cause-Effect(e2,e1)", "发明(e1,e2)"]


def _mixed(values: Sequence[Any]) -> list[Any]:
    """The values, most in their places."""
    return [
        value if keep else values[(index + 7) % COUNT]
        for index, (value, keep) in enumerate(zip(values, NOISE, strict=True))
    ]


def _sets(values: Sequence[Any]) -> list[set[Any]]:
    return [{values[index], values[(index * 3 + 1) % COUNT]} for index in range(COUNT)]


ENTITIES = [
    {metrics.Entity(["PER", "地点"][index % 2], start, start + 2) for start in range(index % 4)}
    for index in CLASSES
]
TAGS = [[["n", "动词", "adj"][(index + step) % 3] for step in range(1 + index % 3)] for index in range(COUNT)]
RANKED = [RNG.permutation(6).tolist() for _ in range(COUNT)]

CASES: dict[str, tuple[Callable[..., Scores], Any, Any]] = {
    "classification": (metrics.classification, CLASSES.tolist(), _mixed(CLASSES.tolist())),
    "by label": (metrics.classification_by_label, CLASSES.tolist(), _mixed(CLASSES.tolist())),
    "multi-label": (metrics.multi_label, _sets(CLASSES), _sets(_mixed(CLASSES))),
    "regression": (metrics.regression, NUMBERS, _mixed(NUMBERS)),
    "curves": (metrics.ranking_curves, CLASSES > 1, _mixed(NUMBERS)),
    "entities": (metrics.entity_scores, ENTITIES, _mixed(ENTITIES)),
    "entities by type": (metrics.entity_scores_by_type, ENTITIES, _mixed(ENTITIES)),
    "tags": (metrics.tagging, TAGS, [[*tags[:-1], "n"] for tags in TAGS]),
    "relations": (
        metrics.relation_extraction,
        [RELATIONS[index] for index in CLASSES],
        _mixed([RELATIONS[index] for index in CLASSES]),
    ),
    "answers": (
        metrics.answer_scores,
        [[text] if keep else [] for text, keep in zip(TEXTS, CLASSES, strict=True)],
        _mixed(TEXTS),
    ),
    "retrieval": (metrics.retrieval, [{int(index): 2.0, 5: 1.0} for index in CLASSES], RANKED),
    "bleu": (metrics.bleu, TEXTS, _mixed(TEXTS)),
    "chrf": (metrics.chrf, TEXTS, _mixed(TEXTS)),
    "joined": (
        lambda gold, made: metrics.joined(metrics.bleu(gold, made), metrics.chrf(gold, made)),
        TEXTS,
        _mixed(TEXTS),
    ),
    "rouge": (metrics.rouge, TEXTS, _mixed(TEXTS)),
    "calibration": (metrics.calibration, CLASSES, TABLE),
}


def _take(values: Any, rows: np.ndarray) -> Any:
    return values[rows] if isinstance(values, np.ndarray) else [values[row] for row in rows]


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("largest", [1, 3])
def test_weights_are_repetitions(name: str, largest: int) -> None:
    score, gold, predicted = CASES[name]
    rng = np.random.default_rng(largest)
    whole = score(gold, predicted)
    weights = rng.integers(0, largest + 1, (4, COUNT))
    weighted = whole.at(weights)
    for row, counts in enumerate(weights):
        rows = np.repeat(np.arange(COUNT), counts)
        repeated = score(_take(gold, rows), _take(predicted, rows))
        found = dict(zip(whole.names, weighted[row], strict=True))
        for key, value in repeated.values.items():
            assert found[key] == pytest.approx(value, rel=1e-9, abs=1e-12, nan_ok=True), key


@pytest.mark.parametrize("name", CASES)
def test_an_interval_of_every_score_holds_its_value(name: str) -> None:
    score, gold, predicted = CASES[name]
    whole = score(gold, predicted)
    intervals = metrics.bootstrap(whole, num_resamples=200, confidence=0.99)
    assert list(intervals) == list(whole.names)
    for key, (low, high) in intervals.items():
        # Never negative and so never even: noise raises it (see its docstring).
        if key != "ece":
            assert low <= whole[key] <= high, key
        assert low < high or whole[key] in (0.0, 1.0)


def test_every_score_of_every_task_has_its_meaning() -> None:
    for task, scores in TASKS.items():
        assert scores.shown[0] == scores.decides, task
        for name in (*scores.shown, scores.chooses):
            assert metrics.metric(name) is not None
    for score, gold, predicted in CASES.values():
        for name in score(gold, predicted).names:
            assert metrics.metric(name).unit
    assert not METRICS["rmse"].larger_is_better
    assert TASKS["text-classification"].chooses == "f1_macro"


@pytest.mark.parametrize(
    ("task", "case"),
    [
        ("text-classification", "classification"),
        ("text-classification/multi-label", "multi-label"),
        ("text-classification/regression", "regression"),
        ("text-classification/ordinal", "regression"),
        ("token-classification", "entities"),
        ("token-classification/tags", "tags"),
        ("relation-extraction", "relations"),
        ("sentence-similarity", "regression"),
        ("text-ranking", "retrieval"),
        ("question-answering", "answers"),
        ("summarization", "rouge"),
        ("translation", "bleu"),
        ("preference", "classification"),
    ],
)
def test_the_functions_of_a_task_give_the_scores_it_shows(task: str, case: str) -> None:
    _, gold, predicted = CASES[case]
    found = {name for scores in metrics.all_scores(task, gold, predicted) for name in scores.names}
    assert set(metrics.task_metrics(task).shown) <= found


def test_examples_of_one_kind_are_counted_together() -> None:
    scores = metrics.classification(["好", "坏"] * 500, ["好", "好"] * 500)
    assert scores.num_kinds == 2
    assert scores.counts.tolist() == [500, 500]
    assert scores["accuracy"] == 0.5


def test_a_slice_is_a_weighting() -> None:
    scores = metrics.classification(["a", "a", "b", "b"], ["a", "b", "b", "b"])
    accuracy = scores.only(["accuracy"])
    assert accuracy.at(np.array([True, True, False, False])).tolist() == [0.5]
    assert accuracy.at(np.array([[True, True, False, False], [False, False, True, True]])).tolist() == [
        [0.5],
        [1.0],
    ]


@pytest.mark.parametrize("name", [name for name in CASES if name != "curves"])
def test_an_example_alone_and_a_slice_have_scores(name: str) -> None:
    score, gold, predicted = CASES[name]
    whole = score(gold, predicted)
    assert whole.each() == pytest.approx(whole.at(np.eye(COUNT)), nan_ok=True)
    rows = np.flatnonzero(CLASSES > 1)
    part = whole.among(rows)
    assert list(part.values.values()) == pytest.approx(whole.at(CLASSES > 1).tolist(), nan_ok=True)
    assert part.num_examples == len(rows)
    assert part.only(whole.names[:1]).each()[:, 0] == pytest.approx(whole.each()[rows, 0], nan_ok=True)
    assert list(metrics.bootstrap(part, num_resamples=20)) == list(whole.names)


def test_what_only_many_examples_have_is_refused_of_one() -> None:
    curves = metrics.ranking_curves([True, False], [0.9, 0.1])
    with pytest.raises(InputError, match="an example alone has no roc_auc"):
        curves.each()
    with pytest.raises(InputError, match="no example to score"):
        curves.among([False, False])


def test_scores_of_different_examples_are_not_joined() -> None:
    with pytest.raises(InputError, match="are not of the same ones"):
        metrics.joined(metrics.chrf(TEXTS, TEXTS), metrics.chrf(TEXTS[:-1], TEXTS[:-1]))


def test_what_does_not_fit_is_refused() -> None:
    scores = metrics.classification(["a", "b"], ["a", "a"])
    with pytest.raises(InputError, match="do not fit 2 examples"):
        scores.at([1.0, 1.0, 1.0])
    with pytest.raises(InputError, match="no score is named 'f2'"):
        scores["f2"]
    with pytest.raises(InputError, match="no score is named 'f2'"):
        scores.only(["f2"])
    with pytest.raises(InputError, match="no score is named 'f2'"):
        metrics.metric("f2")
    with pytest.raises(InputError, match="no task is named"):
        metrics.task_metrics("情感")


@pytest.mark.parametrize("name", [name for name in CASES if name != "calibration"])
def test_examples_must_be_paired(name: str) -> None:
    score, gold, predicted = CASES[name]
    with pytest.raises(InputError, match="60 gold answers and 59 predicted ones"):
        score(gold, predicted[:-1])
    with pytest.raises(InputError, match="no example"):
        score(gold[:0], predicted[:0])


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_number_that_is_none_is_named(bad: float) -> None:
    with pytest.raises(InputError, match="example 1: a number to score is NaN"):
        metrics.regression([1.0, 2.0, 3.0], [1.0, bad, 3.0])
    with pytest.raises(InputError, match="example 1: a number to score is NaN"):
        metrics.ranking_curves([True, False], [0.5, bad])
