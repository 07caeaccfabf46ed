"""lm-eval gives a model of ours the scores that it gives the same weights in transformers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

# Before any library of Hugging Face is imported: nothing is asked of the network.
os.environ.setdefault("HF_HUB_OFFLINE", "1")

lm_eval = pytest.importorskip("lm_eval", reason="lm-eval is not installed")

from lm_eval_made import made_generation_task, made_model, made_plain_task, made_tasks  # noqa: E402

from yanmo.evaluation.lm_eval import model_class  # noqa: E402
from yanmo.evaluation.suites import evaluate_suite  # noqa: E402


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("lm_eval")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("datasets.config.HF_DATASETS_CACHE", path / "cache")
        yield path


@pytest.fixture(scope="module")
def model(folder: Path) -> Path:
    return made_model(folder / "model")


def scores(model: Any, tasks: list[str], folder: Path) -> dict[str, dict[str, float]]:
    from lm_eval.tasks import TaskManager

    manager = TaskManager(include_path=str(folder), include_defaults=False)
    found = lm_eval.simple_evaluate(
        model=model,
        tasks=tasks,
        task_manager=manager,
        bootstrap_iters=0,
        random_seed=0,
        fewshot_random_seed=0,
    )
    return {
        task: {name: value for name, value in found["results"][task].items() if isinstance(value, float)}
        for task in tasks
    }


def transformers_model(model: Path) -> Any:
    from lm_eval.models.huggingface import HFLM

    return HFLM(pretrained=str(model), device="cpu", dtype="float32", batch_size=4)


def test_three_tasks_score_as_with_transformers(model: Path, folder: Path) -> None:
    tasks = made_tasks(folder / "tasks")
    ours = scores(model_class()(pretrained=model), tasks, folder / "tasks")
    theirs = scores(transformers_model(model), tasks, folder / "tasks")
    assert set(theirs["made_choices"]) >= {"acc,none", "acc_norm,none"}
    for task in tasks:
        assert ours[task] == pytest.approx(theirs[task], rel=1e-3, abs=1e-3)
    # Scores of a model that says something: neither all right nor all wrong.
    assert 0 < ours["made_choices"]["acc,none"] < 1
    assert ours["made_text"]["bits_per_byte,none"] > 1


def test_suites_score_as_the_harness_does_with_transformers(model: Path, folder: Path) -> None:
    place = folder / "suites"
    made_tasks(place)
    tasks = [made_plain_task(place), "made_last_word"]
    theirs = scores(transformers_model(model), tasks, place)
    ranked = evaluate_suite(model, place / "made_plain.jsonl", "choices").model.metrics
    assert ranked["accuracy"]["value"] == pytest.approx(theirs["made_plain"]["acc,none"], abs=1e-3)
    assert ranked["accuracy_per_character"]["value"] == pytest.approx(
        theirs["made_plain"]["acc_norm,none"], abs=1e-3
    )
    assert ranked["accuracy"]["value"] != ranked["accuracy_per_character"]["value"]
    words = evaluate_suite(model, place / "made_last_word.jsonl", "lambada").model.metrics
    assert words["perplexity"]["value"] == pytest.approx(
        theirs["made_last_word"]["perplexity,none"], rel=1e-3
    )
    assert words["accuracy"]["value"] == pytest.approx(theirs["made_last_word"]["acc,none"], abs=1e-3)


def test_answers_in_words_are_those_of_transformers(model: Path, folder: Path) -> None:
    from lm_eval.api.instance import Instance

    settings = {"until": ["\n"], "max_gen_toks": 12, "do_sample": False}
    requests = [
        Instance("generate_until", {}, (text, dict(settings)), 0)
        for text in ("the old dog sees", "绿色的小鸟", "water " * 120)
    ]
    ours = model_class()(pretrained=model).generate_until(requests)
    theirs = transformers_model(model).generate_until(requests)
    assert ours == theirs and all(ours)
    task = made_generation_task(folder / "generation")
    assert scores(model_class()(pretrained=model), [task], folder / "generation")[task] is not None
