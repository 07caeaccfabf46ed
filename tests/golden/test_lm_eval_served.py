"""lm-eval's ``local-completions`` gives a served model the scores that it has in this process."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

# Before any library of Hugging Face is imported: nothing is asked of the network.
os.environ.setdefault("HF_HUB_OFFLINE", "1")

lm_eval = pytest.importorskip("lm_eval", reason="lm-eval is not installed")
pytest.importorskip("tenacity", reason="lm-eval's clients need tenacity")

from lm_eval_made import made_model, made_tasks  # noqa: E402
from serving_fakes import live_server  # noqa: E402

from yanmo.evaluation.lm_eval import model_class  # noqa: E402
from yanmo.serving.opening import describe  # noqa: E402


def scores(model: Any, tasks: list[str], folder: Path) -> dict[str, dict[str, float]]:
    from lm_eval.tasks import TaskManager

    found = lm_eval.simple_evaluate(
        model=model,
        tasks=tasks,
        task_manager=TaskManager(include_path=str(folder), include_defaults=False),
        bootstrap_iters=0,
        random_seed=0,
        fewshot_random_seed=0,
    )
    return {
        task: {name: value for name, value in found["results"][task].items() if isinstance(value, float)}
        for task in tasks
    }


def test_ranked_answers_score_as_in_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from lm_eval.models.openai_completions import LocalCompletionsAPI

    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    model = made_model(tmp_path / "model")
    # Room for every row: what is too long is cut here and there at different places.
    for name, key in (
        ("config.json", "max_position_embeddings"),
        ("tokenizer_config.json", "model_max_length"),
    ):
        settings = json.loads((model / name).read_text())
        (model / name).write_text(json.dumps(settings | {key: 512}))
    tasks = [name for name in made_tasks(tmp_path / "tasks") if name in ("made_choices", "made_last_word")]
    assert tasks
    ours = scores(model_class()(pretrained=model), tasks, tmp_path / "tasks")
    served = describe(model)
    with live_server(served) as url:
        client = LocalCompletionsAPI(
            base_url=f"{url}/v1/completions",
            model=served.card.name,
            tokenizer_backend="huggingface",
            tokenizer=str(model),
            max_length=512,
            num_concurrent=1,
            max_retries=1,
        )
        theirs = scores(client, tasks, tmp_path / "tasks")
    for task in tasks:
        assert theirs[task] == pytest.approx(ours[task], rel=1e-4, abs=1e-4)
