from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from sentence_made import make_encoder, write_animals

from yanmo.cli.finetune import _table
from yanmo.errors import InputError, Interrupted
from yanmo.finetuning.lora import LoraConfig
from yanmo.finetuning.recipe import FinetuneRecipe
from yanmo.recipes import tuning
from yanmo.recipes.finetune import FinetuneSettings, finetune
from yanmo.reporting.tuning import tuning_report
from yanmo.tasks.split import Splits
from yanmo.training.trainer import Trainer

pytest.importorskip("optuna")


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_encoder(tmp_path_factory.mktemp("made") / "encoder")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_animals(tmp_path / "rows.csv")


def settings(encoder: Path, **changes: Any) -> FinetuneSettings:
    made = FinetuneSettings(task="text-classification", model=encoder, epochs=2.0, batch_size=8, tune="3")
    return dataclasses.replace(made, **changes)


def without_times(path: Path) -> dict[str, Any]:
    made = json.loads((path / "tune.json").read_text(encoding="utf-8"))
    for trial in made["trials"]:
        del trial["seconds"]
    return made


def test_the_best_settings_train_the_model_and_the_test_rows_are_not_looked_at(
    encoder: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Splits] = []
    begin = tuning.Learner.__init__

    def watching(learner: Any, run: Any, checkpoint: Any, splits: Splits, *rest: Any, **named: Any) -> None:
        seen.append(splits)
        begin(learner, run, checkpoint, splits, *rest, **named)

    monkeypatch.setattr(tuning.Learner, "__init__", watching)
    result = finetune(data, tmp_path / "run", settings=settings(encoder))
    # One that asks for the rules, three trials, the one that is kept.
    assert [bool(splits.test) for splits in seen] == [False] * 4 + [True]
    tune = result["tune"]
    best, others = tune["trials"][0], tune["trials"][1:]
    whole = [trial["score"] for trial in tune["trials"] if trial["state"] == "complete"]
    assert len(others) == 2 and best["score"] == max(whole)
    assert {name: result["recipe"][name] for name in ("learning_rate", "dropout")} == {
        name: best["settings"][name] for name in ("learning_rate", "dropout")
    }
    assert set(tune["space"]) == {"learning_rate", "dropout", "layer_decay"}
    (first,) = (trial for trial in tune["trials"] if trial["number"] == 0)
    assert first["settings"] == tune["rules"] and tune["rules"]["layer_decay"] == 1
    assert result["split"] == "test" and not list((tmp_path / "run" / "trials").glob("*/checkpoints"))
    assert "trials   3, by the validation rows" in _table(result)
    for language in ("en", "zh"):
        page = tuning_report(tune, name="run", language=language)
        assert "学习率" in page and "learning rate" in page and page.count("<svg") >= 4


def test_a_search_that_was_killed_goes_on_as_if_it_had_not(
    encoder: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = settings(encoder, epochs=1.0)
    finetune(data, tmp_path / "whole", settings=made)
    advance, num_steps = Trainer._advance, 0

    def stopping(trainer: Trainer[object]) -> None:
        nonlocal num_steps
        advance(trainer)
        num_steps += 1
        # In the middle of the first trial and of the third, after some of their validations.
        if num_steps in (4, 16):
            trainer._save()
            raise Interrupted("stopped", exit_code=143)

    monkeypatch.setattr(Trainer, "_advance", stopping)
    for _ in range(2):
        with pytest.raises(Interrupted):
            finetune(data, tmp_path / "killed", settings=made)
    finetune(data, tmp_path / "killed", settings=made)
    assert num_steps > 16
    assert without_times(tmp_path / "killed") == without_times(tmp_path / "whole")


def test_hopeless_trials_are_ended_early(
    encoder: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates = iter([3e-3, 1e-9])

    def asking(search: tuning.Search) -> Any:
        study = search._study()
        study.enqueue_trial({**search._rules, "learning_rate": next(rates)})
        return study.ask(search._distributions())

    monkeypatch.setattr(tuning.Search, "_ask", asking)
    monkeypatch.setattr(tuning, "_LEAST_TRIALS", 1)
    any_rate = {"low": 1e-10, "high": 1.0, "log": True}
    monkeypatch.setattr(tuning, "_RANGES", {**tuning._RANGES, "learning_rate": lambda rule: any_rate})
    result = finetune(data, tmp_path / "run", settings=settings(encoder, epochs=4.0, tune="2", dropout=0.0))
    first, second = result["tune"]["trials"]
    assert first["state"] == "complete" and len(first["scores"]) == 10
    assert second["state"] == "ended early" and len(second["scores"]) < 10
    assert second["reason"] == f"below the median after {len(second['scores'])} of 10 validations"


def test_a_search_ends_with_its_time_but_not_before_a_whole_trial(
    encoder: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = finetune(data, tmp_path / "short", settings=settings(encoder, tune="0.01s", epochs=1.0))
    (trial,) = result["tune"]["trials"]
    assert trial["state"] == "complete" and trial["seconds"] > 0.01
    # A clock that goes on by an hour whenever a trial looks at it.
    monkeypatch.setattr(tuning.Search, "_spent_s", lambda search: 3600.0 * len(search._rows))
    result = finetune(data, tmp_path / "long", settings=settings(encoder, tune="90m", epochs=1.0))
    assert [trial["state"] for trial in result["tune"]["trials"]] == ["complete", "complete"]
    monkeypatch.setattr(tuning.Search, "_is_late", lambda search, began_s: bool(search._rows))
    result = finetune(data, tmp_path / "late", settings=settings(encoder, tune="90m", epochs=1.0))
    assert result["tune"]["trials"][1]["reason"] == "the time of the search was over"


def test_what_is_fixed_is_not_searched(encoder: Path) -> None:
    recipe = FinetuneRecipe(epochs=4.0, batch_size=16, learning_rate=1e-4)
    assert set(tuning._searched(recipe, settings(encoder))) == {"learning_rate", "dropout", "layer_decay"}
    made = settings(encoder, lora=LoraConfig(), epochs=None, batch_size=None, learning_rate=1e-3)
    assert tuning._searched(recipe, made) == {"epochs": 4.0, "batch_size": 16, "dropout": 0.1}


def test_what_cannot_be_searched_is_told(
    encoder: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = settings(encoder, learning_rate=1e-3, dropout=0.0, lora=LoraConfig())
    with pytest.raises(InputError, match="all settings are fixed by hand"):
        finetune(data, tmp_path / "fixed", settings=made)
    monkeypatch.setattr(tuning.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"--tune needs Optuna \(pip install yanmo\[tune\]\)"):
        finetune(data, tmp_path / "run", settings=settings(encoder))
