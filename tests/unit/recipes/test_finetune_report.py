"""What a person sees and trusts after fine-tuning: the report, the calibration, the JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from sentence_made import make_encoder

from yanmo.errors import InputError
from yanmo.evaluation.tasks import evaluate_task_file
from yanmo.finetuning.task_model import TaskModel
from yanmo.recipes.finetune import FinetuneSettings, finetune

WORDS = ("man", "food", "girl", "is", "the", "a", "eating")


@pytest.fixture
def encoder(tmp_path: Path) -> Path:
    return make_encoder(tmp_path / "encoder")


def write_rows(path: Path, *, repeats: int = 1, broken: str = "") -> Path:
    """Cats and dogs; every sixth row says the other one, so that nobody can be sure."""
    rows = ["text,label"]
    for number, (first, second) in enumerate((a, b) for a in WORDS for b in WORDS):
        for animal in ("cat", "dog"):
            label = animal if number % 6 else {"cat": "dog", "dog": "cat"}[animal]
            rows += [f"{first} {animal} {second},{label}"] * repeats
    path.write_text("\n".join(rows) + broken + "\n", encoding="utf-8")
    return path


def settings(encoder: Path, **changes: Any) -> FinetuneSettings:
    told = {"epochs": 6.0, "learning_rate": 5e-3, "batch_size": 8, "dropout": 0.0, **changes}
    return FinetuneSettings(task="text-classification", model=encoder, **told)


def test_a_run_is_calibrated_and_tells_of_itself(encoder: Path, tmp_path: Path) -> None:
    data = write_rows(tmp_path / "rows.csv", broken="\n,cat")
    run = tmp_path / "run"
    result = finetune(data, run, settings=settings(encoder, class_weights="balanced"))
    config = json.loads((run / "model" / "config.json").read_text(encoding="utf-8"))
    temperature = config["finetuning_temperature"]
    assert temperature != 1 and result["calibration"]["temperature"] == temperature
    assert result["calibration"]["before"]["ece"] != result["calibration"]["ece"]
    assert {"by_label", "by_length"} <= result["slices"].keys() and result["energy_wh"] > 0
    told = TaskModel.load(run).predict([("a cat man",)])[0]["probabilities"]
    plain = TaskModel.load(run)
    plain.skill = type(plain.skill)(labels=plain.skill.labels)
    logs = torch.tensor(list(plain.predict([("a cat man",)])[0]["probabilities"].values())).log()
    assert list(told.values()) == pytest.approx((logs / temperature).softmax(-1).tolist(), abs=1e-5)
    checks = json.loads((run / "checks.json").read_text(encoding="utf-8"))
    assert checks["num_broken"] == 1 and checks["num_rows"]["train"] == result["num_train_examples"]
    html = (run / "report.html").read_text(encoding="utf-8")
    for words in (
        "校准误差",
        "calibration error",
        "reliability-title",
        "curve-0-title",
        "balanced",
        "rows.csv",
    ):
        assert words in html
    assert str(result["report"]) == str(run / "report.html")


def test_evaluation_is_written_as_a_page_beside_its_json(encoder: Path, tmp_path: Path) -> None:
    data = write_rows(tmp_path / "rows.csv")
    finetune(data, tmp_path / "run", settings=settings(encoder, epochs=1.0, decide_by="f1"))
    found = evaluate_task_file(tmp_path / "run", data, train=data, out=tmp_path / "result.json")
    told = json.loads((tmp_path / "result.json").read_text(encoding="utf-8"))
    assert told["slices"]["by_label"][0]["num_cases"] == 49 and len(told["confusion"]["counts"]) == 2
    assert told["calibration"]["bins"] and sum(told["calibration"]["thresholds"].values()) == pytest.approx(1)
    assert found.analysis["calibration"]["ece"] == told["calibration"]["ece"]
    html = (tmp_path / "result.html").read_text(encoding="utf-8")
    # All rows of the test are in train, which the page says.
    assert "in train too" in html and "也在训练集中" in html


def test_other_words_for_weights_and_thresholds_are_refused(encoder: Path) -> None:
    with pytest.raises(InputError, match="no class weights are named 'even'"):
        settings(encoder, class_weights="even")
    with pytest.raises(InputError, match="nothing decides by 'coin'"):
        settings(encoder, decide_by="coin")
