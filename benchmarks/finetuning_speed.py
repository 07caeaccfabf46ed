"""Rows a second of fine-tuning and of prediction, beside transformers, in alternating processes.

    python -m benchmarks finetuning_speed [ROUNDS [ROWS [SETS [PARTS [BATCH]]]]]

ROUNDS are 3, ROWS 320 and BATCH 16 where nothing is given; SETS and PARTS (train, predict) are separated by
commas, all where nothing is given.

all-MiniLM-L6-v2 with a head of classes, batches of so many rows on both sides, on short texts (SST-2),
middling ones (AG News) and long ones (abstracts of SciTLDR, with a class that means nothing). Ours is
``yanmo finetune``: packed batches without padding, in the number format that this machine is quickest in. The
Trainer's are padded to 512 tokens in float32; padded to the longest row of a batch in float32; and in bf16
with rows of like length together. Each learns the rows twice, and the second time counts, without validation
(padded to 512, where every step costs the same, an eighth of the rows).

Then prediction: ``TaskModel`` in float32 (usual) and bfloat16 against ``transformers.pipeline`` in float32 on
the same model folder, the best of batches of 1, 8, 32 and 64 rows, in the rows' order (as it is used) and
sorted by length. Medians over the rounds; a ratio is the median of each round's own.
"""

from __future__ import annotations

import dataclasses
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.kept_runs import runs_folder, yanmo
from benchmarks.machine import data_folder, describe, in_a_process
from benchmarks.planted_texts import read_records
from benchmarks.task_data import TASK_DATA, Row, model_folder, read_rows

OURS, THEIRS = "ours", ("padded", "defaults", "best")
SHOWN = {
    OURS: "ours",
    "padded": "Trainer, padded to 512, float32",
    "defaults": "Trainer, padded to the batch, float32",
    "best": "Trainer, grouped by length, bf16",
}
VALID_ROWS, PADDED_SHARE, _WARM_ROWS = 32, 8, 16
PIPELINE_BATCHES = (1, 8, 32, 64)
OURS_BF16, SORTED = "ours in bfloat16", "pipeline, sorted by length"
ANSWERS = (OURS, OURS_BF16, "pipeline", SORTED)


def main() -> None:
    """Print both tables."""
    if sys.argv[2:3] == ["--one"]:
        what, *arguments = sys.argv[3:]
        print(json.dumps(_RUNS[what](*arguments)))
        return
    num_rounds = int(sys.argv[2]) if sys.argv[2:] else 3
    num_rows = int(sys.argv[3]) if sys.argv[3:] else 320
    names = sys.argv[4].split(",") if sys.argv[4:] else list(_READERS)
    parts = sys.argv[5].split(",") if sys.argv[5:] else ["train", "predict"]
    batch = int(sys.argv[6]) if sys.argv[6:] else 16
    rows = f"{num_rows} rows in batches of {batch}"
    print(f"all-MiniLM-L6-v2, {rows}, {num_rounds} alternating rounds. {describe()}")
    if "train" in parts:
        print("\n| rows | mean tokens | fine-tuning | rows/s | ours is faster |\n|---|---|---|---|---|")
        for name in names:
            folder = _write(name, num_rows)
            _print_training(name, _rounds(num_rounds, (OURS, *THEIRS), "train", folder, batch))
    if "predict" in parts:
        print("\n| rows | prediction | rows/s | ours: times | in bfloat16 | other labels |")
        print("|---|---|---|---|---|---|")
        for name in names:
            folder = _write(name, num_rows)
            model = _model(folder)
            _print_prediction(name, _rounds(num_rounds, ANSWERS, "predict", folder, model))


def _rounds(num_rounds: int, sides: Sequence[str], *arguments: object) -> list[dict[str, dict[str, Any]]]:
    return [
        {side: in_a_process("finetuning_speed", *arguments, side) for side in sides}
        for _ in range(num_rounds)
    ]


def _print_training(name: str, rounds: list[dict[str, dict[str, float]]]) -> None:
    for what, shown in SHOWN.items():
        speed = statistics.median(found[what]["rows_per_s"] for found in rounds)
        ratio = statistics.median(found[OURS]["rows_per_s"] / found[what]["rows_per_s"] for found in rounds)
        tokens = f"{rounds[0]['defaults']['mean_tokens']:.0f}"
        faster = "" if what == OURS else f"{ratio:.2f} times"
        print(f"| {name} | {tokens} | {shown} | {speed:.2f} | {faster} |", flush=True)


def _print_prediction(name: str, rounds: list[dict[str, dict[str, Any]]]) -> None:
    right = rounds[0]["pipeline"]["labels"]
    for what in ANSWERS:
        runs = [found[what] for found in rounds]
        speed = statistics.median(run["rows_per_s"] for run in runs)
        other = sum(one != label for one, label in zip(runs[0]["labels"], right, strict=True))
        ratios = [
            statistics.median(found[own]["rows_per_s"] / found[what]["rows_per_s"] for found in rounds)
            for own in (OURS, OURS_BF16)
        ]
        cells = (
            name,
            f"{what}{runs[0]['how']}",
            f"{speed:.1f}",
            *(f"{ratio:.2f}" for ratio in ratios),
            str(other),
        )
        print(f"| {' | '.join(cells)} |", flush=True)


def _abstracts() -> list[Row]:
    records = read_records("scitldr", "train.jsonl.gz")
    return [{"text": record["source"], "label": str(n % 2)} for n, record in enumerate(records)]


def _of_task(name: str) -> list[Row]:
    data = TASK_DATA[name]
    return list(data.read(data_folder(data.folder) / data.files[0]))


_READERS: dict[str, Callable[[], list[Row]]] = {
    "sst2": lambda: _of_task("sst2"),
    "ag_news": lambda: _of_task("ag_news"),
    "scitldr": _abstracts,
}


def _write(name: str, num_rows: int) -> Path:
    """``train.jsonl`` and a small ``valid.jsonl``, every n-th row of the set."""
    folder = runs_folder() / "sources" / "finetuning-speed" / f"{name}-{num_rows}"
    rows = _READERS[name]()
    every = max(1, len(rows) // (num_rows + VALID_ROWS))
    chosen = rows[::every][: num_rows + VALID_ROWS]
    folder.mkdir(parents=True, exist_ok=True)
    for split, own in (("train", chosen[:num_rows]), ("valid", chosen[num_rows:])):
        lines = (json.dumps({"text": row["text"], "label": str(row["label"])}) for row in own)
        (folder / f"{split}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def _model(folder: Path) -> Path:
    """A model folder that both read, fine-tuned a little."""
    run = runs_folder() / "finetuning-speed" / folder.name
    files = [str(folder / f"{split}.jsonl") for split in ("train", "valid")]
    flags = ("--model", str(model_folder()), "--out", str(run), "--epochs", "1")
    yanmo("finetune", "text-classification", *files, *flags)
    return run / "model"


def _train(folder: str, batch: str, what: str) -> dict[str, float]:
    if what == OURS:
        return _train_ours(Path(folder), int(batch))
    return _train_theirs(Path(folder), int(batch), what)


def _train_ours(folder: Path, batch: int) -> dict[str, float]:
    from yanmo.runtime import tune_process

    tune_process()
    from yanmo.recipes.finetune import FinetuneSettings, finetune

    settings = FinetuneSettings(task="text-classification", model=model_folder(), epochs=2, batch_size=batch)
    files = [folder / f"{split}.jsonl" for split in ("train", "valid")]
    with TemporaryDirectory() as run:
        finetune(files, Path(run) / "run", settings=settings)
        lines = (Path(run) / "run" / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    # Of a step the log has the rows that were learned ("tokens", all of them so far) and the rate.
    steps = [row for row in map(json.loads, lines) if row["kind"] == "train"]
    rows = [after["tokens"] - before["tokens"] for before, after in pairwise(steps)]
    times_s = [num / step["tokens_per_s"] for num, step in zip(rows, steps[1:], strict=True)]
    half = len(steps) // 2
    return {"rows_per_s": sum(rows[-half:]) / sum(times_s[-half:])}


def _train_theirs(folder: Path, batch: int, what: str) -> dict[str, float]:
    from transformers import Trainer, TrainerCallback

    from benchmarks.trainer_peer import Fitted, arguments, peer

    rows, how = read_rows(folder / "train.jsonl"), dataclasses.replace(peer(what), batch_size=batch)
    chosen = rows if how.pad_to is None else rows[::PADDED_SHARE]
    # Classes are read alike, whatever the rows are.
    fitted = Fitted(TASK_DATA["sst2"], rows)
    encoded = fitted.encode(chosen)
    ends_s: list[float] = []

    class Clock(TrainerCallback):
        def on_epoch_end(self, *args: Any, **kwargs: Any) -> None:
            ends_s.append(time.perf_counter())

    with TemporaryDirectory() as place:
        Trainer(
            model=fitted.model(),
            args=arguments(place, how, epochs=2, seed=0),
            train_dataset=encoded,
            processing_class=fitted.tokenizer,
            data_collator=fitted.collator(how.pad_to),
            callbacks=[Clock()],
        ).train()
    mean_tokens = statistics.mean(len(row["input_ids"]) for row in encoded.rows)
    return {"rows_per_s": len(chosen) / (ends_s[1] - ends_s[0]), "mean_tokens": mean_tokens}


def _predict(folder: str, model: str, what: str) -> dict[str, Any]:
    texts = [row["text"] for row in read_rows(Path(folder) / "train.jsonl")]
    if what in (OURS, OURS_BF16):
        return _predict_ours(texts, model, is_narrow=what == OURS_BF16)
    return _predict_theirs(texts, model, is_sorted=what == SORTED)


def _predict_ours(texts: list[str], model: str, *, is_narrow: bool) -> dict[str, Any]:
    from yanmo.runtime import tune_process

    tune_process()
    import torch

    from yanmo.finetuning.task_model import TaskModel

    loaded = TaskModel.load(model, dtype=torch.bfloat16 if is_narrow else torch.float32)
    inputs = [(text,) for text in texts]
    loaded.predict(inputs[:_WARM_ROWS])
    began_s = time.perf_counter()
    found = loaded.predict(inputs)
    rate = len(texts) / (time.perf_counter() - began_s)
    return {"rows_per_s": rate, "how": "", "labels": [row["label"] for row in found]}


def _predict_theirs(texts: list[str], model: str, *, is_sorted: bool) -> dict[str, Any]:
    from transformers import pipeline

    from benchmarks.trainer_peer import MAX_SEQ_LEN

    ask = pipeline("text-classification", model=model, device="cpu")
    settings: dict[str, Any] = {"truncation": True, "max_length": MAX_SEQ_LEN}
    ask(texts[:_WARM_ROWS], batch_size=1, **settings)
    order = list(range(len(texts)))
    if is_sorted:
        order.sort(key=lambda row: len(texts[row]))
    best: dict[str, Any] = {"rows_per_s": 0.0}
    for batch in PIPELINE_BATCHES:
        began_s = time.perf_counter()
        found = ask([texts[row] for row in order], batch_size=batch, **settings)
        rate = len(texts) / (time.perf_counter() - began_s)
        if rate > best["rows_per_s"]:
            labels = [found[place]["label"] for place in sorted(range(len(order)), key=order.__getitem__)]
            best = {"rows_per_s": rate, "how": f", batches of {batch}", "labels": labels}
    return best


_RUNS: dict[str, Callable[..., dict[str, Any]]] = {"train": _train, "predict": _predict}


if __name__ == "__main__":
    main()
