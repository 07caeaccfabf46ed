"""Training tokens/s of this project's loop beside transformers' Trainer, in alternating processes.

    python -m benchmarks throughput            both sizes, three rounds
    python -m benchmarks throughput 1          one round

Theirs is GPT-2 as its users train it on a CPU: float32 with the defaults; bf16; bf16 compiled. Ours
has the shape that ``yanmo pretrain`` trains (Qwen3's, with as many key heads as query heads, so that both
have the same sizes), moved by Muon with AdamW, through the same ``Trainer`` class. Random tokens. A figure is
the median over rounds of the median over steps; the GEMM peak is measured beside each of our runs.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.machine import describe, in_a_process

# Layers, width, vocabulary, context, rows.
SIZES = ((6, 384, 65, 256, 16), (8, 512, 8192, 512, 8))
THEIRS = ("fp32", "bf16", "bf16 compiled")
STEPS, WARM_UP = 10, 3


def main() -> None:
    """Print a row a size and a peer."""
    if sys.argv[2:3] == ["--one"]:
        name, *sizes = sys.argv[3:]
        run = _ours if name == "ours" else _theirs
        print(json.dumps(run(name, *map(int, sizes))))
        return
    num_rounds = int(sys.argv[2]) if sys.argv[2:] else 3
    print(f"training tokens/s, alternating, {num_rounds} rounds. {describe()}")
    print(
        "| layers, width, vocabulary, context, rows | what | parameters | tokens/s | ours / it | GEMM share |"
    )
    print("|---|---|---|---|---|---|")
    for sizes in SIZES:
        found: dict[str, list[dict[str, float]]] = {name: [] for name in ("ours", *THEIRS)}
        for _ in range(num_rounds):
            for name, results in found.items():
                results.append(in_a_process("throughput", name, *sizes))
        _print_rows(sizes, found)


def _print_rows(sizes: tuple[int, ...], found: dict[str, list[dict[str, float]]]) -> None:
    speeds = {name: [run["tokens_per_s"] for run in runs] for name, runs in found.items()}
    for name, runs in found.items():
        # Each round's own ratio: a busy moment slows both.
        ratios = [ours / other for ours, other in zip(speeds["ours"], speeds[name], strict=True)]
        cells = (
            ", ".join(map(str, sizes)),
            name,
            f"{runs[0]['num_parameters'] / 1e6:.1f} M",
            f"{statistics.median(speeds[name]):,.0f}",
            "" if name == "ours" else f"{statistics.median(ratios):.2f}",
            f"{statistics.median(run['share'] for run in runs):.2f}" if name == "ours" else "",
        )
        print("| " + " | ".join(cells) + " |", flush=True)


def _ours(name: str, layers: int, width: int, vocab_size: int, context: int, rows: int) -> dict[str, float]:
    from yanmo.runtime import StopSignal, tune_process

    tune_process()
    import numpy as np
    import torch

    from yanmo.data.loader import Loader
    from yanmo.machine import usable_cores
    from yanmo.models.families import qwen3
    from yanmo.models.transformer import Transformer
    from yanmo.planning.cost import matrix_flop_per_token
    from yanmo.planning.probe import probe
    from yanmo.training.checkpoint import CheckpointStore
    from yanmo.training.objective import causal
    from yanmo.training.optimizer import Optimizer, OptimizerConfig
    from yanmo.training.schedule import Schedule, ScheduleConfig
    from yanmo.training.trainer import Trainer, TrainerConfig

    torch.set_num_threads(usable_cores())
    machine = probe()
    config = qwen3.decoder(
        vocab_size=vocab_size,
        d_model=width,
        num_layers=layers,
        num_heads=width // 64,
        num_kv_heads=width // 64,
        head_dim=64,
        d_ff=round(width * 8 / 3 / 64) * 64,
        max_seq_len=context,
    )
    model = Transformer(config)
    optimizer = Optimizer(model, OptimizerConfig())
    model.to(getattr(torch, machine.dtype))
    tokens = np.random.default_rng(0).integers(0, vocab_size, 2_000_000).astype(np.uint16)
    times = _Times()
    with TemporaryDirectory() as folder:
        Trainer(
            model,
            causal,
            Loader(tokens, batch_size=rows, seq_len=context, seed=0),
            optimizer,
            Schedule(ScheduleConfig(), STEPS),
            CheckpointStore(Path(folder)),
            lambda _: {"loss_nats": 0.0, "bits_per_byte": 0.0},
            config=TrainerConfig(micro_batch_size=rows, num_validations=1, checkpoint_every_s=1e9),
            deadline_s=None,
            stop=StopSignal(),
            listeners=(times,),
        ).run()
    tokens_per_s = times.tokens_per_s(rows * context)
    machine = probe()
    return {
        "tokens_per_s": tokens_per_s,
        "num_parameters": config.num_parameters,
        "share": tokens_per_s * matrix_flop_per_token(config, context) / machine.gemm_flop_per_s,
    }


class _Times:
    """When each step ended."""

    def __init__(self) -> None:
        self._ends_s: list[float] = []

    def stepped(self, row: dict[str, Any], time_left_s: float) -> None:
        self._ends_s.append(time.perf_counter())

    def validated(self, row: dict[str, Any], model: Any) -> None:
        """Not timed."""

    def tokens_per_s(self, batch_tokens: int) -> float:
        gaps_s = [after - before for before, after in zip(self._ends_s, self._ends_s[1:], strict=False)]
        return batch_tokens / statistics.median(gaps_s[WARM_UP:])


def _theirs(name: str, layers: int, width: int, vocab_size: int, context: int, rows: int) -> dict[str, float]:
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainerCallback, TrainingArguments

    class Rows(torch.utils.data.Dataset[dict[str, torch.Tensor]]):
        def __len__(self) -> int:
            return 4096

        def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
            row = torch.randint(0, vocab_size, (context,))
            return {"input_ids": row, "labels": row}

    times = _Times()

    class Timer(TrainerCallback):
        def on_step_end(self, *args: Any, **kwargs: Any) -> None:
            times.stepped({}, 0.0)

    model = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=vocab_size,
            n_positions=context,
            n_embd=width,
            n_layer=layers,
            n_head=width // 64,
            bos_token_id=0,
            eos_token_id=0,
        )
    )
    with TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            folder,
            per_device_train_batch_size=rows,
            max_steps=STEPS,
            report_to=[],
            save_strategy="no",
            use_cpu=True,
            bf16="bf16" in name,
            torch_compile="compiled" in name,
            disable_tqdm=True,
        )
        Trainer(model=model, args=arguments, train_dataset=Rows(), callbacks=[Timer()]).train()
    return {
        "tokens_per_s": times.tokens_per_s(rows * context),
        "num_parameters": sum(weight.numel() for weight in model.parameters()),
    }


if __name__ == "__main__":
    main()
