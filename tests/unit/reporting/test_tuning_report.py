from __future__ import annotations

import math
import random
from pathlib import Path
from typing import Any

import pytest

from yanmo.reporting.tuning import tuning_report, write_tuning_report

SPACE = {
    "learning_rate": {"low": 2e-5, "high": 5e-4, "log": True},
    "batch_size": {"choices": [8, 16, 32]},
    "dropout": {"low": 0.0, "high": 0.3, "log": False},
}


def made(*, num_trials: int, larger_is_better: bool = True) -> dict[str, Any]:
    generator, trials = random.Random(0), []
    for number in range(num_trials):
        rate = math.exp(generator.uniform(math.log(2e-5), math.log(5e-4)))
        score = 0.9 - 0.05 * abs(math.log(rate / 1e-4)) + generator.gauss(0, 0.01)
        state = "ended early" if number > 4 and score < 0.85 else "complete"
        settings = {
            "learning_rate": rate,
            "batch_size": generator.choice([8, 16, 32]),
            "dropout": generator.random() * 0.3,
        }
        trials.append(
            {
                "number": number,
                "state": state,
                "score": score,
                "settings": settings,
                "scores": [],
                "seconds": 61.0,
            }
        )
    trials.append(
        {
            **trials[0],
            "number": num_trials,
            "state": "diverged",
            "score": None,
            "reason": "the loss is not finite",
        }
    )
    trials.sort(key=lambda trial: (trial["state"] != "complete", -(trial["score"] or 0)))
    return {
        "decides": "f1_macro",
        "larger_is_better": larger_is_better,
        "space": SPACE,
        "importance": {"learning_rate": 0.81, "dropout": 0.12, "batch_size": 0.07},
        "trials": trials,
    }


def test_every_trial_is_a_dot_and_a_row(tmp_path: Path) -> None:
    result = made(num_trials=60)
    whole = sum(trial["state"] == "complete" for trial in result["trials"])
    page = tuning_report(result, name="reviews")
    # In the course of the search and against each of three settings; the line of the best so far has none.
    assert page.count("<circle") == 4 * 60 and 0 < whole < 60
    assert page.count("<tr>") == 1 + 61 and f"<b>{61 - whole}</b>" in page
    assert f"{result['trials'][0]['score']:.4f}" in page and "81%" in page and "diverged" in page
    for words in ("learning rate", "学习率", "best so far", "目前最佳", "提前结束"):
        assert words in page
    write_tuning_report(result, tmp_path / "tune.html", name="reviews", language="zh")
    assert '<html lang="zh' in (tmp_path / "tune.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("larger_is_better", [True, False])
def test_the_line_of_the_best_goes_one_way(larger_is_better: bool) -> None:
    result = made(num_trials=12, larger_is_better=larger_is_better)
    page = tuning_report(result, name="reviews")
    (line,) = [
        part
        for part in page.split('<path d="M')[1:]
        if 'stroke="var(--accent' in part.split("/>")[0] and "L" in part.split('"')[0]
    ]
    heights = [float(point.split()[1]) for point in line.split('"')[0].split("L")]
    # Pixels count from the top.
    assert heights == sorted(heights, reverse=larger_is_better) and len(set(heights)) > 1


def test_a_search_without_a_whole_trial_has_a_page() -> None:
    result = made(num_trials=1)
    page = tuning_report({**result, "importance": {}, "trials": [result["trials"][-1]]}, name="reviews")
    assert "–" in page and "<circle" not in page
