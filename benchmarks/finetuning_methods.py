"""What moves in fine-tuning and how it is regularised, each way beside the plain one: scores and seconds.

    python -m benchmarks finetuning_methods [TASKS [SEEDS [ROWS [METHODS [SPLIT]]]]]

TASKS, SEEDS and METHODS are separated by commas: trec,semeval, 0,1,2 and all of ``METHODS`` where nothing is
given. ROWS is the most of a file (1,000 where nothing is given, 0 for all): few examples are where these
methods are said to help. SPLIT is valid (usual) or test. The model is all-MiniLM-L6-v2 and everything else is
what ``yanmo finetune`` chooses; seconds are of a processor's time, of everything from the files to the score,
so that other programs do not count. The interval is Student's over the seeds. Every run is kept, and found
again.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.kept_runs import runs_folder
from benchmarks.machine import describe, in_a_process
from benchmarks.task_data import TASK_DATA, model_folder
from yanmo.metrics import mean_over_seeds

PLAIN = "plain"


def methods() -> dict[str, dict[str, Any]]:
    """Settings of each way, by name."""
    from yanmo.finetuning.freezing import FreezingConfig
    from yanmo.finetuning.lora import LoraConfig, Targets

    return {
        PLAIN: {},
        "lora": {"lora": LoraConfig()},
        "lora-query-value": {"lora": LoraConfig(targets=Targets.QUERY_VALUE)},
        "dora": {"lora": LoraConfig(dora=True)},
        "head-only": {"freezing": FreezingConfig(last_blocks=0)},
        "last-2-blocks": {"freezing": FreezingConfig(last_blocks=2)},
        "gradual": {"freezing": FreezingConfig(gradual_until=0.3)},
        "layer-decay": {"freezing": FreezingConfig(layer_decay=0.8)},
        "fgm": {"adversarial": "fgm"},
        "freelb": {"adversarial": "freelb"},
        "r-drop": {"r_drop": 1.0},
    }


def main() -> None:
    """Print a row a task and a way."""
    if sys.argv[2:3] == ["--one"]:
        print(json.dumps(_run(*sys.argv[3:])))
        return
    given = [*sys.argv[2:], *[""] * 5]
    tasks = (given[0] or "trec,semeval").split(",")
    seeds = (given[1] or "0,1,2").split(",")
    most, split = int(given[2] or 1000), given[4] or "valid"
    names = given[3].split(",") if given[3] else list(methods())
    rows = f"at most {most:,} rows of a file" if most else "all rows"
    print(f"ways to fine-tune all-MiniLM-L6-v2, {rows}, scored on {split} rows. {describe()}")
    print("| task | score | way | mean (95% over seeds) | of each seed | processor seconds |")
    print("|---|---|---|---|---|---|")
    for task in tasks:
        for name in names:
            _print_row(task, name, [_kept(task, name, seed, split, most) for seed in seeds])


def _print_row(task: str, name: str, runs: list[dict[str, float]]) -> None:
    scores = [run["score"] for run in runs]
    mean = f"{scores[0]:.4f}"
    if len(scores) > 1:
        interval = mean_over_seeds(scores)
        mean = f"{interval.mean:.4f} ({interval.low:.4f} to {interval.high:.4f})"
    cells = (
        task,
        TASK_DATA[task].score,
        name,
        mean,
        ", ".join(f"{score:.4f}" for score in scores),
        f"{statistics.median(run['processor_s'] for run in runs):.0f}",
    )
    print("| " + " | ".join(cells) + " |", flush=True)


def _kept(task: str, name: str, seed: str, split: str, most: int) -> dict[str, float]:
    """One run's result, made now or found."""
    path = runs_folder() / "finetuning_methods" / f"{task}-{name}-{seed}-{split}-{most or 'all'}.json"
    if not path.is_file():
        result = in_a_process("finetuning_methods", task, name, seed, split, most)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(result), encoding="utf-8")
    kept: dict[str, float] = json.loads(path.read_text(encoding="utf-8"))
    return kept


def _run(task: str, name: str, seed: str, split: str, most: str) -> dict[str, float]:
    from yanmo.runtime import tune_process

    tune_process()
    from yanmo.recipes.finetune import FinetuneSettings, finetune

    data = TASK_DATA[task]
    files = data.write(judged=split == "test", most=int(most))
    settings = FinetuneSettings(task=data.task, model=model_folder(), seed=int(seed), **methods()[name])
    began_s = time.process_time()
    with TemporaryDirectory() as folder:
        result: dict[str, Any] = finetune(files, Path(folder) / "run", settings=settings)
    return {"score": result["metrics"][data.score]["value"], "processor_s": time.process_time() - began_s}


if __name__ == "__main__":
    main()
