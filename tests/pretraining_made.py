"""Small corpora, and pretraining runs of the command line at toy size."""

from __future__ import annotations

import contextlib
import json
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from yanmo.cli.main import run as run_cli
from yanmo.planning.probe import Machine
from yanmo.recipes import preparation, pretrain

TINY = ("--num-layers", "1", "--d-model", "32", "--max-seq-len", "32", "--batch-size", "4")
INK = ("ink", "stone", "water", "brush", "paper", "研墨", "宣纸", "grind", "slowly", "write")
LOOM = ("loom", "thread", "weave", "cotton", "silk", "织布", "纺车", "spin", "gently", "dye")
MACHINE = Machine(
    cores=1,
    memory_bytes=8 * 2**30,
    dtype="float32",
    gemm_flop_per_s=5e10,
    small_gemm_flop_per_s=4e10,
    fp32_gemm_flop_per_s=5e10,
    memory_bytes_per_s=8e9,
    operator_overhead_s=1e-5,
    compiler="",
    disk_free_bytes=2**36,
    cpu="",
    flags=(),
    threads=1,
    torch_version="2.13.0",
    system="Linux x86_64",
)


@contextlib.contextmanager
def one_known_machine() -> Iterator[None]:
    """Nothing is probed, and one thread works: threads that wait for each other cost more than they bring."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(preparation, "probe", lambda: MACHINE)
        for module in (preparation, pretrain):
            patch.setattr(module, "usable_cores", lambda: 1)
        yield
    torch.set_num_threads(before)


def make_corpus(folder: Path, words: Sequence[str] = INK, *, num_texts: int = 60) -> Path:
    """Sentences of which each word but the first follows from the one before it, three ways."""
    rng = random.Random("".join(words))
    follows = {word: rng.sample(words, 3) for word in words}
    source = folder / "source"
    source.mkdir(parents=True)
    for index in range(num_texts):
        sentences = []
        for _ in range(12):
            sentence = [rng.choice(words)]
            while len(sentence) < 10:
                sentence.append(rng.choice(follows[sentence[-1]]))
            sentences.append(" ".join(sentence) + ".")
        (source / f"{index}.txt").write_text(f"{index}: " + " ".join(sentences), encoding="utf-8")
    assert run_cli(["corpus", str(source), "--out", str(folder / "corpus")]) == 0
    return folder / "corpus"


def pretrained(corpus: Path, out: Path, *flags: str) -> dict[str, Any]:
    """The result of a run that ends well."""
    assert run_cli(["pretrain", str(corpus), "--out", str(out), *flags]) == 0
    result = json.loads((out / "result.json").read_text())
    assert isinstance(result, dict)
    return result


def validations(out: Path) -> list[dict[str, Any]]:
    """The rows of a run's validations, in order."""
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [row for row in rows if row["kind"] == "valid"]
