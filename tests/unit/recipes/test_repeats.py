from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sentence_made import make_encoder, write_animals

from yanmo.cli.finetune import _table
from yanmo.errors import InputError, Interrupted
from yanmo.finetuning.task_model import TaskModel
from yanmo.recipes.finetune import FinetuneSettings, finetune
from yanmo.recipes.learner import Learner


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_encoder(tmp_path_factory.mktemp("made") / "encoder")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_animals(tmp_path / "rows.csv")


def settings(encoder: Path, **changes: Any) -> FinetuneSettings:
    made = FinetuneSettings(
        task="text-classification",
        model=encoder,
        epochs=3.0,
        learning_rate=3e-3,
        batch_size=8,
        dropout=0.0,
    )
    return dataclasses.replace(made, **changes)


def test_every_row_is_judged_by_a_model_that_has_not_seen_it(
    encoder: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[set[str], set[str]]] = []
    judge = Learner.judge

    def watching(learner: Learner, model: TaskModel) -> dict[str, Any]:
        splits = learner._splits
        learned = {example.inputs()[0] for example in (*splits.train, *splits.valid)}
        seen.append((learned, {example.inputs()[0] for example in splits.test}))
        return judge(learner, model)

    monkeypatch.setattr(Learner, "judge", watching)
    result = finetune(data, tmp_path / "run", settings=settings(encoder, folds=3))
    *folds, (everything, last_test) = seen
    assert [len(held) for _, held in folds] == [20, 20, 20] and len(everything) == 60 and not last_test
    assert all(not learned & held and len(learned) == 40 for learned, held in folds)
    assert set.union(*(held for _, held in folds)) == everything
    repeats = result["repeats"]
    scores = [run["metrics"]["accuracy"] for run in repeats["runs"]]
    told = repeats["metrics"]["accuracy"]
    assert told["mean"] == pytest.approx(np.mean(scores))
    # Student's t with 2 degrees of freedom, and a fold half as large as what it was not.
    reach = 4.302653 * np.std(scores, ddof=1) * np.sqrt(1 / 3 + 1 / 2)
    assert told["high"] - told["mean"] == pytest.approx(reach, rel=1e-5)
    assert result["metrics"]["accuracy"]["value"] == told["mean"]
    assert result["split"] == "folds" and result["num_examples"] == 60
    assert "accuracy" in repeats["baseline"] and (tmp_path / "run" / "model").is_dir()
    assert not list((tmp_path / "run" / "parts").glob("*/model"))
    table = _table(result)
    assert (
        "folds    3; kept is the model of all rows" in table and "fold-3" in table and "cheap model" in table
    )


def test_folds_leave_test_rows_given_apart_alone(encoder: Path, data: Path, tmp_path: Path) -> None:
    test = tmp_path / "judged.csv"
    test.write_text("text,label\nthe cat,cat\na dog,dog\n", encoding="utf-8")
    result = finetune(data, tmp_path / "run", settings=settings(encoder, epochs=1.0, folds=2, test=test))
    assert result["split"] == "test" and result["num_examples"] == 2
    assert [run["num_examples"] for run in result["repeats"]["runs"]] == [30, 30]


def test_seeds_differ_and_what_is_done_is_kept(
    encoder: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, run = settings(encoder, epochs=1.0, dropout=0.1, seeds=3), tmp_path / "run"
    learn, begun = Learner.learn, []

    def stopping(learner: Learner) -> Any:
        begun.append(learner._run.path.name)
        if len(begun) == 2:
            raise Interrupted("stopped", exit_code=143)
        return learn(learner)

    monkeypatch.setattr(Learner, "learn", stopping)
    with pytest.raises(Interrupted):
        finetune(data, run, settings=made)
    result = finetune(data, run, settings=made)
    assert begun == ["seed-1", "seed-2", "seed-2", "run"]
    repeats = result["repeats"]
    assert [each["seed"] for each in repeats["runs"]] == [0, 1, 2] and "of seed 0" in repeats["kept"]
    assert repeats["runs"][0]["metrics"]["accuracy"] == result["metrics"]["accuracy"]["value"]
    assert result["split"] == "test"
    with pytest.raises(InputError, match="holds a run with other settings: seeds"):
        finetune(data, run, settings=settings(encoder, epochs=1.0, dropout=0.1, seeds=4))
    shutil.rmtree(run / "model")
    (run / "result.json").unlink()
    with pytest.raises(InputError, match="holds a run with other settings"):
        finetune(data, run, settings=settings(encoder, epochs=2.0, seeds=3))


def test_a_budget_is_shared(encoder: Path) -> None:
    assert settings(encoder, folds=4, budget_s=100.0).alone().budget_s == 20
    assert settings(encoder, seeds=4, budget_s=100.0).alone().budget_s == 25
    assert settings(encoder, seeds=2, tune="18", budget_s=100.0).alone().budget_s == 5
    assert settings(encoder, tune="60s", budget_s=100.0).alone().budget_s == 40
    assert settings(encoder).alone() == settings(encoder)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"folds": 1}, "--folds must be 2 or more, not 1"),
        ({"seeds": 0}, "--seeds must be 2 or more, not 0"),
        ({"folds": 2, "seeds": 2}, "--folds and --seeds do not go together"),
        ({"folds": 2, "tune": "3"}, "--folds and --tune do not go together"),
        ({"tune": "0"}, "--tune 0 searches nothing"),
        ({"tune": "long"}, "'long' is not a duration"),
        ({"tune": "1h", "budget_s": 60.0}, "--tune takes all of the --budget"),
    ],
)
def test_wrong_repetitions_are_refused(encoder: Path, changes: dict[str, Any], match: str) -> None:
    with pytest.raises(InputError, match=match):
        settings(encoder, **changes)
