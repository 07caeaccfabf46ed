"""A run small enough to be killed a hundred times, and children to kill."""

from __future__ import annotations

import hashlib
import math
import os
import random
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from yanmo.cli.main import main
from yanmo.data.loader import Batch, Loader
from yanmo.models.base import Trainable
from yanmo.models.families import qwen3
from yanmo.models.transformer import Transformer
from yanmo.runtime import StopSignal
from yanmo.training import checkpoint as checkpoint_module
from yanmo.training import trainer as trainer_module
from yanmo.training.checkpoint import CheckpointStore
from yanmo.training.listeners import Listener
from yanmo.training.objective import LossSum, causal
from yanmo.training.optimizer import Optimizer, OptimizerConfig
from yanmo.training.schedule import Schedule, ScheduleConfig
from yanmo.training.trainer import Trainer, TrainerConfig

KILLED = 9
TOKENS = np.random.default_rng(0).integers(0, 20, 700).astype(np.uint16)


@dataclass(frozen=True, kw_only=True)
class Spoiled:
    """A batch whose loss is multiplied."""

    batch: Batch
    factor: float


class SpoiledBatches:
    """Batches of which some have a loss that is no number, or too large: a function of the step alone."""

    def __init__(self, loader: Loader, factors: Mapping[int, float]) -> None:
        self._loader, self._factors = loader, factors
        self.batch_size = loader.batch_size

    def rows(self, step: int, rows: range) -> Spoiled:
        return Spoiled(batch=self._loader.rows(step, rows), factor=self._factors.get(step, 1.0))

    def epochs(self, step: int) -> float:
        return self._loader.epochs(step)


def spoiled_causal(model: Trainable, spoiled: Spoiled) -> LossSum:
    loss = causal(model, spoiled.batch)
    return LossSum(loss.loss_nats * spoiled.factor, loss.num_tokens)


class Rows:
    """Remembers every row of metrics, and all in their order."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.valid: list[dict[str, Any]] = []
        self.noted_rows: list[dict[str, Any]] = []

    def stepped(self, row: dict[str, Any], time_left_s: float) -> None:
        self.rows.append(row)

    def validated(self, row: dict[str, Any], model: Trainable) -> None:
        self.valid.append(row)

    def noted(self, row: dict[str, Any]) -> None:
        self.noted_rows.append(row)


@dataclass(frozen=True, kw_only=True)
class Run:
    """What a run is; ``make`` builds it anew in a folder, as a repeated command does."""

    num_steps: int = 20
    batch_size: int = 4
    micro_batch_size: int = 2
    dropout: float = 0.1
    num_validations: int = 2
    keep: int = 2
    checkpoint_every_s: float = 0.0
    num_workers: int = 0
    deadline_s: float | None = None
    warmup_steps: int = 2
    factors: Mapping[int, float] = field(default_factory=dict)
    objective: Callable[[Trainable, Spoiled], LossSum] = spoiled_causal
    validate: Callable[[Trainable], dict[str, float]] | None = None
    every_batch: bool = True
    """Save after every batch, whatever that costs."""

    def make(
        self, folder: Path, *, listeners: tuple[Listener, ...] = (), stop: StopSignal | None = None
    ) -> tuple[Trainer[Spoiled], Optimizer, CheckpointStore]:
        if self.every_batch:
            trainer_module._SAVING_SHARE = math.inf
        torch.manual_seed(0)
        sizes = {"num_heads": 2, "num_kv_heads": 1, "head_dim": 8, "d_ff": 16, "max_seq_len": 8}
        model = Transformer(qwen3.decoder(vocab_size=20, d_model=16, num_layers=1, **sizes))
        optimizer, store = Optimizer(model, OptimizerConfig()), CheckpointStore(folder)
        loader = Loader(TOKENS[:600], batch_size=self.batch_size, seq_len=8, seed=0)
        made = Trainer(
            model,
            self.objective,
            SpoiledBatches(loader, self.factors),
            optimizer,
            Schedule(ScheduleConfig(warmup_steps=self.warmup_steps), self.num_steps),
            store,
            self.validate or validate,
            config=TrainerConfig(
                dropout=self.dropout,
                micro_batch_size=self.micro_batch_size,
                num_validations=self.num_validations,
                checkpoint_every_s=self.checkpoint_every_s,
                keep_checkpoints=self.keep,
                num_workers=self.num_workers,
            ),
            deadline_s=self.deadline_s,
            stop=stop or StopSignal(),
            listeners=listeners,
        )
        return made, optimizer, store

    def finish(self, folder: Path) -> str:
        """Begin or go on, to the end; the hash of the last weights and moments."""
        made, optimizer, _ = self.make(folder)
        made.resume()
        made.run()
        return digest(optimizer)


def validate(model: Trainable) -> dict[str, float]:
    tokens_BT = torch.from_numpy(TOKENS[600:696].astype(np.int64)).view(12, 8)
    with torch.inference_mode():
        return {"loss_nats": float(model.token_losses(tokens_BT).mean())}


def digest(optimizer: Optimizer) -> str:
    return digest_of(optimizer.masters() | optimizer.state())


def digest_of(tensors: Mapping[str, Tensor]) -> str:
    hashed = hashlib.sha256()
    for name in sorted(tensors):
        hashed.update(name.encode() + tensors[name].detach().contiguous().numpy().tobytes())
    return hashed.hexdigest()


def in_child(work: Callable[[], object]) -> tuple[int, str]:
    """Work in a process of its own, which may die of it.

    Returns:
        Its exit code (0 done, 1 an exception), and what came of it: the result's text, or the traceback.
    """
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            # The threads of the parent's torch are not there any more.
            torch.set_num_threads(1)
            code, text = 0, str(work())
        except SystemExit as leaving:
            # As the interpreter would: threads that are no daemons are waited for.
            threading._shutdown()
            code, text = int(leaving.code or 0), ""
        except BaseException:
            code, text = 1, traceback.format_exc()
        os.write(write_end, text.encode()[-60_000:])
        os._exit(code)
    os.close(write_end)
    with os.fdopen(read_end) as file:
        text = file.read()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), text


def command_line(arguments: list[str], *, before: Callable[[], object] = lambda: None) -> tuple[int, str]:
    """``yanmo ARGUMENTS`` in a child that has its imports already, on one core.

    Args:
        arguments: of the command line.
        before: done in the child first, such as putting a signal into something's way.

    Returns:
        The exit code, and what was said on stderr.
    """
    with tempfile.TemporaryFile("w+", encoding="utf-8") as said:

        def work() -> None:
            os.dup2(said.fileno(), 2)
            sys.stderr = os.fdopen(2, "w", encoding="utf-8", closefd=False)
            os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
            sys.argv = ["yanmo", *arguments]
            before()
            main()

        code, failure = in_child(work)
        said.seek(0)
        return code, said.read() + failure


def make_corpus(folder: Path) -> Path:
    """A small corpus in two languages."""
    rng = random.Random(0)
    words = ["ink", "stone", "water", "brush", "paper", "研墨", "宣纸", "grind", "slowly", "write"]
    for index in range(60):
        text = " ".join(rng.choice(words) for _ in range(120))
        (folder / f"{index}.txt").write_text(f"{index}: {text}", encoding="utf-8")
    code, said = command_line(["corpus", str(folder), "--out", str(folder / "corpus")])
    assert code == 0, said
    return folder / "corpus"


def in_save(number: int, *, times: int, lasting_s: float, at: int = 5) -> Callable[[], None]:
    """Signals while a checkpoint is being written, which takes its time."""

    def install() -> None:
        save, calls = checkpoint_module.save_tensors, 0

        def slow(*arguments: Any) -> None:
            nonlocal calls
            calls += 1
            save(*arguments)
            if calls == at:
                for _ in range(times):
                    os.kill(os.getpid(), number)
                    time.sleep(0.3)
                time.sleep(lasting_s)

        checkpoint_module.save_tensors = slow

    return install
