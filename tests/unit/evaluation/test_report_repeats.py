"""Folds, seeds and trials in the report of a task."""

from __future__ import annotations

from typing import Any

import pytest

from yanmo.evaluation.task_report import task_report

MEAN = {"mean": 0.8, "low": 0.7, "high": 0.9, "deviation": 0.05}


def repeats(kind: str, count: int) -> dict[str, Any]:
    one = "fold" if kind == "folds" else "seed"
    runs = [
        {
            "name": f"{one}-{n}",
            "seed": n,
            "num_examples": 40,
            "metrics": {"f1_macro": 0.75 + n / 100},
            "baseline": {},
        }
        for n in range(1, count + 1)
    ]
    told = {"metrics": {"f1_macro": MEAN}, "baseline": {"f1_macro": {**MEAN, "mean": 0.613}}}
    return {"kind": kind, "count": count, "kept": "", **told, "runs": runs}


TUNE = {
    "decides": "f1_macro",
    "larger_is_better": True,
    "space": {"learning_rate": {"low": 1e-5, "high": 1e-3, "log": True}},
    "importance": {},
    "trials": [
        {
            "number": 1,
            "state": "complete",
            "score": 0.9123,
            "settings": {"learning_rate": 2e-4},
            "seconds": 9.0,
        },
        {"number": 0, "state": "complete", "score": 0.8, "settings": {"learning_rate": 1e-4}, "seconds": 9.0},
    ],
}


def page(result: dict[str, Any], language: Any = "en") -> str:
    evaluation = {
        "task": "text-classification",
        "metrics_name": "text-classification",
        "metrics": {"f1_macro": {"value": 0.8, "interval": [0.7, 0.9]}},
        "num_examples": 40,
        "decides": "f1_macro",
        "baseline": {},
        "baselines": [],
        "lead": None,
        "mistakes": [],
        "wrong": [],
    }
    settings: dict[str, Any] = {"history": None, "checks": {}, "settings": {}}
    return task_report(evaluation, name="reviews", result=result, language=language, **settings)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("folds", ("Over 5 folds", "5 折交叉验证", "fold 3", "第 3 折", "Nadeau and Bengio")),
        ("seeds", ("Over 5 seeds", "5 个随机种子", "seed 3", "种子 3", "随机数不同")),
    ],
)
def test_each_training_and_their_mean_are_told_and_drawn(kind: str, words: tuple[str, ...]) -> None:
    html = page({"repeats": repeats(kind, 5)})
    for word in (
        *words,
        "repeats-title",
        "cheap model, mean",
        "简单模型平均",
        "0.700 – 0.900",
        "0.613",
        "0.780",
    ):
        assert word in html
    assert "tune.html" not in html


def test_many_trainings_are_told_by_the_table_alone() -> None:
    few, many = (page({"repeats": repeats("folds", count)}) for count in (12, 20))
    # In the table, and of few in the chart and its title too.
    assert few.count("fold 12") > many.count("fold 12") == 1


def test_a_search_is_told_and_drawn() -> None:
    html = page({"tune": TUNE})
    for word in (
        "Search for settings",
        "超参数搜索",
        "course-title",
        "0.9123",
        "learning rate",
        "学习率",
        "宏平均 F1",
    ):
        assert word in html
    assert "Over" not in html
