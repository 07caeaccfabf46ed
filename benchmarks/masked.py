"""Masked pretraining for 20 minutes, and what it is worth on SST-2 after fine-tuning.

    python -m benchmarks masked [BUDGET]

BERT's shape with next-sentence prediction on Python's reference, ModernBERT's without it on English prose and
on three Chinese novels, there with whole words masked: accuracy on masked tokens and on pairs of held-out
text. Then ``yanmo finetune`` teaches the two English encoders, and ones that were never pretrained, SST-2's
sentences (no phrases), beside TF-IDF with a linear SVM; part of the training set chooses of both, the
development set judges.
"""

from __future__ import annotations

import gzip
import json
import shutil
import sys
from pathlib import Path

import torch

from benchmarks.kept_runs import runs_folder, source, yanmo
from benchmarks.machine import data_folder, describe
from yanmo.machine import usable_cores
from yanmo.models.checkpoint import Checkpoint
from yanmo.models.files.safetensors_files import write_safetensors
from yanmo.models.folder import CheckpointWeights
from yanmo.models.registry import load
from yanmo.models.transformer import Transformer

RUNS = (
    ("bert", "python", ("--next-sentence",)),
    ("modernbert", "prose", ()),
    ("modernbert", "novels", ("--whole-words",)),
)


def main() -> None:
    """Print both tables."""
    budget = sys.argv[2] if sys.argv[2:] else "20m"
    torch.set_num_threads(usable_cores())
    print(f"masked pretraining, {budget}. {describe()}")
    print("| shape | text | parameters | steps | masked accuracy | next-sentence accuracy |")
    print("|---|---|---|---|---|---|")
    encoders: dict[str, Path] = {}
    for shape, text, flags in RUNS:
        corpus = runs_folder() / f"{text}-corpus"
        run = runs_folder() / f"masked-{shape}-{text}-{budget}"
        sizes = ("--shape", "encoder", "--budget", budget, *flags)
        yanmo("corpus", str(source(text)), "--out", str(corpus))
        result = yanmo("pretrain", str(corpus), "--out", str(run), *sizes)
        valid = result["valid"]
        pairs = f"{valid['next_sentence_accuracy']:.4f}" if "next_sentence_accuracy" in valid else ""
        print(
            f"| {shape} | {text} | {result['num_parameters'] / 1e6:.2f} M | {result['steps']} "
            f"| {valid['masked_accuracy']:.4f} | {pairs} |",
            flush=True,
        )
        if text != "novels":
            encoders[f"{shape}, {text}"] = run / "model"
    _probe(encoders)


def _probe(encoders: dict[str, Path]) -> None:
    """Fine-tune each encoder, and one of its sizes that was never pretrained, on the same rows."""
    folder = _sentences()
    with gzip.open(data_folder("sst2") / "train.jsonl.gz") as stream:
        print(f"SST-2, {sum(1 for _ in stream)} sentences to learn from; the development set judges")
    print("| what | accuracy (interval) | TF-IDF and a linear SVM | lead, p | time |")
    print("|---|---|---|---|---|")
    settings = [(path, name) for name, path in encoders.items()]
    settings += [(_untrained(path), f"{name}'s sizes, never pretrained") for name, path in encoders.items()]
    for path, name in settings:
        run = path.parent.with_name(f"{path.parent.name}-sst2")
        result = yanmo(
            "finetune", "text-classification", str(folder), "--model", str(path), "--out", str(run)
        )
        evaluation = json.loads((run / "evaluation.json").read_text(encoding="utf-8"))
        accuracy, baseline = (found["metrics"]["accuracy"] for found in (result, result["baseline"]))
        lead, (low, high) = evaluation["lead"], accuracy["interval"]
        print(
            f"| {name} | {accuracy['value']:.4f} ({low:.4f} to {high:.4f})"
            f" | {baseline['value']:.4f} | {lead['difference']:+.4f}, {lead['p_value']:.3f}"
            f" | {result['wall_s']:.0f} s |",
            flush=True,
        )


def _sentences() -> Path:
    """A folder of the training and of the development set, the latter named as what is judged on."""
    folder = runs_folder() / "sources" / "sst2"
    if not folder.is_dir():
        folder.mkdir(parents=True)
        for name, split in (("train", "train"), ("dev", "test")):
            content = (data_folder("sst2") / f"{name}.jsonl.gz").read_bytes()
            (folder / f"{split}.jsonl").write_bytes(gzip.decompress(content))
    return folder


def _untrained(model: Path) -> Path:
    """The same model with weights as they are drawn."""
    folder = model.parent.with_name(f"{model.parent.name}-untrained") / "model"
    if not folder.is_dir():
        torch.manual_seed(0)
        shutil.copytree(model, folder)
        loaded = load(model)
        assert isinstance(loaded.model, Transformer)
        loaded.model.initialise()
        checkpoint = Checkpoint.open(model)
        weights = CheckpointWeights(loaded.model, checkpoint.model_type, dtype=torch.float32)
        write_safetensors(folder, weights)
    return folder


if __name__ == "__main__":
    main()
