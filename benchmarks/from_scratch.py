"""Classes of texts from nothing but the rows, with a budget, beside the bag of words.

    python -m benchmarks from_scratch [BUDGET [SETS [SPLIT [FLAGS ...]]]]

BUDGET is that of ``yanmo finetune text-classification --model scratch``, 20m where nothing is given; SETS,
separated by commas, are of ``SETS``; SPLIT is valid (usual: what is tried is judged on development rows) or
test; FLAGS are further ones of the command. Of Chinese reviews (ChnSentiCorp) the test rows that are not
among the training rows judge; of English sentences (MR), for which novels and articles are read too, those of
the development file, and a twentieth of the training rows chooses. Beside it the bag of words that the run
itself tries, with the paired difference in macro F1. Seconds are of everything, from the files to the scores.
Every run is kept, and found again.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from benchmarks.kept_runs import runs_folder, source, yanmo
from benchmarks.machine import describe
from benchmarks.task_data import TaskData, read_keys

SETS = {
    name: TaskData(
        task="text-classification",
        folder=name,
        files=files,
        read=read_keys("text", "label"),
        scored_as="text-classification",
        score="accuracy",
    )
    for name, files in {
        "chnsenticorp": ("train.jsonl.gz", "dev.jsonl.gz", "test_unseen.jsonl.gz"),
        "mr": ("train.jsonl.gz", None, "dev.jsonl.gz"),
    }.items()
}


def main() -> None:
    """Print a table of the sets."""
    given = [*sys.argv[2:5], *[""] * 3]
    budget, split, flags = given[0] or "20m", given[2] or "valid", sys.argv[5:]
    print(f"classes from nothing, a budget of {budget}, scored on {split} rows. {describe()}")
    print("| set | rows | accuracy (95%) | bag of words | macro F1 above it, p | parameters | seconds |")
    print("|---|---|---|---|---|---|---|")
    for name in given[1].split(",") if given[1] else SETS:
        _print_row(name, _run(name, budget, split, flags))


def _run(name: str, budget: str, split: str, flags: list[str]) -> dict[str, Any]:
    train, valid, *test = SETS[name].write(judged=split == "test")
    run = runs_folder() / "from-scratch" / "-".join((name, budget, split, *flags)).replace("--", "-")
    judged = ("--test", str(test[0] if test else valid))
    corpus = ("--corpus", str(source("english"))) if name == "mr" else ()
    result = yanmo(
        *("finetune", "text-classification", str(train), "--valid", str(valid), *judged),
        *("--model", "scratch", "--budget", budget, "--out", str(run), *corpus, *flags),
    )
    evaluation = json.loads((run / "evaluation.json").read_text(encoding="utf-8"))
    return {**result, "lead": evaluation["lead"]}


def _print_row(name: str, result: dict[str, Any]) -> None:
    accuracy, words = (found["metrics"]["accuracy"] for found in (result, result["baseline"]))
    lead = result["lead"]
    low, high = accuracy["interval"]
    cells = (
        name,
        f"{result['num_train_examples']:,}",
        f"{accuracy['value']:.4f} ({low:.4f} to {high:.4f})",
        f"{words['value']:.4f}, {result['baseline']['name']}",
        f"{lead['difference']:+.4f} ({lead['low']:+.4f} to {lead['high']:+.4f}), {lead['p_value']:.3f}",
        f"{result['num_parameters'] / 1e6:.2f} M",
        f"{result['wall_s']:.0f}",
    )
    print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
