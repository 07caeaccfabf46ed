"""Fine-tuning all-MiniLM-L6-v2 for eight tasks, beside transformers' Trainer, in alternation.

    python -m benchmarks finetuning [TASKS [SEEDS [PEERS [SPLIT [ROWS]]]]]

TASKS, SEEDS and PEERS are separated by commas: all of ``task_data``, 0,1,2 and defaults,best where nothing is
given. SPLIT is valid (usual: what is tried is judged on validation rows) or test, which opens the rows that
nothing was chosen on; ROWS, the most of a file, is for trying. Ours is ``yanmo finetune`` with its defaults;
the Trainer has the same rows, as many epochs, and the same seeds: ``defaults`` is AdamW at 5e-5 on batches of
16 in float32, padded to their longest row, ``best`` is in bf16 with rows of like length together;
``best@1e-4`` has another learning rate; vectors are learned by sentence-transformers' trainer. Seconds are of
everything from the files to the score, with validation and, of ours, the checks of the rows and the cheap
models beside it; a process each, so that importing is not counted. The interval is Student's over the seeds.
Every run is kept, and found again.
"""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.kept_runs import runs_folder
from benchmarks.machine import describe, in_a_process
from benchmarks.task_data import TASK_DATA, model_folder
from yanmo.metrics import mean_over_seeds

OURS = "ours"


def main() -> None:
    """Print a row a task and a way to learn it."""
    if sys.argv[2:3] == ["--one"]:
        print(json.dumps(_run(*sys.argv[3:])))
        return
    given = [*sys.argv[2:], *[""] * 5]
    tasks = given[0].split(",") if given[0] else list(TASK_DATA)
    seeds = [int(seed) for seed in (given[1] or "0,1,2").split(",")]
    peers = [name for name in (given[2] or "defaults,best").split(",") if name != "none"]
    split, most = given[3] or "valid", int(given[4] or 0)
    print(f"fine-tuning all-MiniLM-L6-v2, scored on {split} rows, {len(seeds)} seeds. {describe()}")
    print(
        "| task | score | what | epochs | mean (95% over seeds) | of each seed | seconds | ours is faster |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for task in tasks:
        found: dict[str, list[dict[str, float]]] = {name: [] for name in (OURS, *peers)}
        for seed in seeds:
            epochs = ""
            for name, runs in found.items():
                run = _kept(task, name, seed, split, most, epochs)
                epochs = epochs or str(run["epochs"])
                runs.append(run)
        _print_rows(task, found)


def _print_rows(task: str, found: dict[str, list[dict[str, float]]]) -> None:
    for name, runs in found.items():
        scores = [run["score"] for run in runs]
        # Each seed's own ratio: a busy moment slows both.
        ratios = [other["wall_s"] / ours["wall_s"] for ours, other in zip(found[OURS], runs, strict=True)]
        cells = (
            task,
            TASK_DATA[task].score,
            name,
            f"{runs[0]['epochs']:g}",
            _mean(scores),
            ", ".join(f"{score:.4f}" for score in scores),
            f"{statistics.median(run['wall_s'] for run in runs):.0f}",
            "" if name == OURS else f"{statistics.median(ratios):.2f} times",
        )
        print("| " + " | ".join(cells) + " |", flush=True)


def _mean(scores: list[float]) -> str:
    if len(scores) < 2:
        return f"{scores[0]:.4f}"
    interval = mean_over_seeds(scores)
    return f"{interval.mean:.4f} ({interval.low:.4f} to {interval.high:.4f})"


def _kept(task: str, name: str, seed: int, split: str, most: int, epochs: str) -> dict[str, float]:
    """One run's result, made now or found."""
    path = runs_folder() / "finetuning" / f"{task}-{name}-{seed}-{split}-{most or 'all'}.json"
    if not path.is_file():
        result = in_a_process("finetuning", task, name, seed, split, most, epochs or "none")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(result), encoding="utf-8")
    kept: dict[str, float] = json.loads(path.read_text(encoding="utf-8"))
    return kept


def _run(task: str, name: str, seed: str, split: str, most: str, epochs: str) -> dict[str, float]:
    files = TASK_DATA[task].write(judged=split == "test", most=int(most))
    run: Callable[..., dict[str, float]] = _ours if name == OURS else _theirs
    return run(task, files, name, int(seed), epochs)


def _ours(task: str, files: list[Path], name: str, seed: int, epochs: str) -> dict[str, float]:
    from yanmo.runtime import tune_process

    tune_process()
    from yanmo.recipes.finetune import FinetuneSettings, finetune

    data = TASK_DATA[task]
    settings = FinetuneSettings(task=data.task, model=model_folder(), seed=seed)
    with TemporaryDirectory() as folder:
        result: dict[str, Any] = finetune(files, Path(folder) / "run", settings=settings)
    return {
        "score": result["metrics"][data.score]["value"],
        "wall_s": result["wall_s"],
        "training_s": result["training_s"],
        "epochs": result["recipe"]["epochs"],
    }


def _theirs(task: str, files: list[Path], name: str, seed: int, epochs: str) -> dict[str, float]:
    import sentence_transformers  # noqa: F401 - so that importing is not timed
    import transformers  # noqa: F401

    from benchmarks import sentence_peer, trainer_peer

    if TASK_DATA[task].task == "sentence-similarity":
        found = sentence_peer.train_and_score(files, name, float(epochs), seed)
    else:
        found = trainer_peer.train_and_score(TASK_DATA[task], files, name, float(epochs), seed)
    return {**found, "epochs": float(epochs)}


if __name__ == "__main__":
    main()
