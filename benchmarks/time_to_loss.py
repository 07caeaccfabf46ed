"""Seconds to nanoGPT's loss on tinyshakespeare by characters: transformers' GPT-2 recipe beside ours.

    python -m benchmarks time_to_loss [ROUNDS]

The last tenth is held out; 1.88 nats a character is what nanoGPT's documented CPU recipe reaches. Theirs:
GPT-2 of 4 layers and width 128, context 64, 12 rows, AdamW at 1e-3 with transformers' Trainer, float32. Ours:
the same layers, width and context, and characters as tokens too; 24 rows. Both have the fewest steps, and
their schedule over just these, that reach the loss (found once, before the rounds). Only training is
timed; validation text is read in windows of the context. Rounds alternate.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.machine import data_folder, describe, in_a_process

GOAL_NATS = 1.88
LAYERS, WIDTH, CONTEXT = 4, 128, 64
THEIR_ROWS, OUR_ROWS = 12, 24
STEPS = {"theirs": (1600, 2000, 2400, 2800, 3400, 4200), "ours": (120, 140, 160, 180, 200, 240)}


def main() -> None:
    """Print a line for each, and the ratio."""
    if sys.argv[2:3] == ["--one"]:
        name, steps = sys.argv[3:]
        print(json.dumps((_theirs if name == "theirs" else _ours)(int(steps))))
        return
    num_rounds = int(sys.argv[2]) if sys.argv[2:] else 3
    fewest = {name: _fewest(name) for name in STEPS}
    rounds = [
        tuple(in_a_process("time_to_loss", name, steps) for name, steps in fewest.items())
        for _ in range(num_rounds)
    ]
    print(f"tinyshakespeare by characters, {GOAL_NATS} nats, {num_rounds} rounds. {describe()}")
    print("| what | steps | tokens | loss, nats/char | training s |")
    print("|---|---|---|---|---|")
    for index, name in enumerate(("transformers' Trainer, GPT-2", "ours")):
        runs = [pair[index] for pair in rounds]
        print(
            f"| {name} | {runs[0]['steps']} | {runs[0]['tokens']:,} | {runs[0]['loss_nats']:.3f} "
            f"| {statistics.median(run['training_s'] for run in runs):.1f} |"
        )
    ratio = statistics.median(theirs["training_s"] / ours["training_s"] for theirs, ours in rounds)
    print(f"ratio: {ratio:.1f}")


def _fewest(name: str) -> int:
    """The fewest steps that reach the loss."""
    for steps in STEPS[name]:
        if in_a_process("time_to_loss", name, steps)["loss_nats"] <= GOAL_NATS:
            return steps
    sys.exit(f"{name}: not reached in {STEPS[name][-1]} steps")


def _characters() -> tuple[Any, Any, int]:
    """Ids of the first nine tenths and of the last, and how many characters there are."""
    import numpy as np

    text = (data_folder("tinyshakespeare") / "input.txt").read_text(encoding="utf-8")
    characters = sorted(set(text))
    ids = np.array([characters.index(character) for character in text], dtype=np.uint16)
    cut = len(ids) * 9 // 10
    return ids[:cut], ids[cut:], len(characters)


def _windows(ids: Any) -> Any:
    """(N, CONTEXT + 1) windows that predict every character but the first of the text once."""
    import torch

    count = (len(ids) - 1) // CONTEXT
    starts = torch.arange(count)[:, None] * CONTEXT + torch.arange(CONTEXT + 1)
    return torch.from_numpy(ids.astype("int64"))[starts]


def _ours(num_steps: int) -> dict[str, float]:
    from yanmo.runtime import tune_process

    tune_process()
    import torch

    from yanmo.data.loader import Batch, Loader
    from yanmo.machine import usable_cores
    from yanmo.models.families import qwen3
    from yanmo.models.transformer import Transformer
    from yanmo.planning.probe import probe
    from yanmo.training.objective import causal
    from yanmo.training.optimizer import Optimizer, OptimizerConfig
    from yanmo.training.schedule import Schedule, ScheduleConfig

    torch.set_num_threads(usable_cores())
    dtype = getattr(torch, probe().dtype)
    train, valid, vocab_size = _characters()
    torch.manual_seed(0)
    model = Transformer(
        qwen3.decoder(
            vocab_size=vocab_size,
            d_model=WIDTH,
            num_layers=LAYERS,
            num_heads=2,
            num_kv_heads=2,
            head_dim=64,
            d_ff=320,
            max_seq_len=CONTEXT,
        )
    )
    optimizer = Optimizer(model, OptimizerConfig())
    model.to(dtype).train()
    loader = Loader(train, batch_size=OUR_ROWS, seq_len=CONTEXT, seed=0)
    schedule = Schedule(ScheduleConfig(warmup_steps=10, decay_from=0.2), num_steps)
    began_s = time.perf_counter()
    for step in range(num_steps):
        loss = causal(model, loader.rows(step, range(OUR_ROWS)))
        loss.loss_nats.backward()
        optimizer.accumulate()
        optimizer.step(factor=schedule.factor(step), num_tokens=loss.num_tokens)
    training_s = time.perf_counter() - began_s
    model.eval()
    with torch.no_grad():
        total = count = 0.0
        for rows in _windows(valid).split(256):
            found = causal(model, Batch(inputs_BT=rows[:, :-1], targets_BT=rows[:, 1:]))
            total, count = total + float(found.loss_nats), count + found.num_tokens
    tokens = num_steps * OUR_ROWS * CONTEXT
    return {"training_s": training_s, "steps": num_steps, "tokens": tokens, "loss_nats": total / count}


def _theirs(num_steps: int) -> dict[str, float]:
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainerCallback, TrainingArguments

    train, valid, vocab_size = _characters()
    rows = _windows(valid)
    stream = torch.from_numpy(train.astype("int64"))

    class Rows(torch.utils.data.Dataset[dict[str, torch.Tensor]]):
        def __len__(self) -> int:
            return len(stream) - CONTEXT

        def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
            row = stream[index : index + CONTEXT]
            return {"input_ids": row, "labels": row}

    times_s: list[float] = []

    class Clock(TrainerCallback):
        def on_train_begin(self, *args: Any, **kwargs: Any) -> None:
            times_s.append(time.perf_counter())

        on_train_end = on_train_begin

    model = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=vocab_size,
            n_positions=CONTEXT,
            n_embd=WIDTH,
            n_layer=LAYERS,
            n_head=4,
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            bos_token_id=0,
            eos_token_id=0,
        )
    )
    with TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            folder,
            per_device_train_batch_size=THEIR_ROWS,
            max_steps=num_steps,
            learning_rate=1e-3,
            lr_scheduler_type="cosine",
            warmup_steps=100,
            weight_decay=0.1,
            adam_beta2=0.99,
            report_to=[],
            save_strategy="no",
            use_cpu=True,
            disable_tqdm=True,
        )
        Trainer(model=model, args=arguments, train_dataset=Rows(), callbacks=[Clock()]).train()
    tokens = num_steps * THEIR_ROWS * CONTEXT
    loss_nats = _validate(model, rows)
    return {
        "training_s": times_s[1] - times_s[0],
        "steps": num_steps,
        "tokens": tokens,
        "loss_nats": loss_nats,
    }


def _validate(model: Any, rows: Any) -> float:
    """Mean nats a character over windows of the context."""
    import torch
    from torch.nn import functional

    model.eval()
    total = count = 0.0
    with torch.no_grad():
        for part in rows.split(256):
            logits = model(input_ids=part[:, :-1]).logits
            total += float(
                functional.cross_entropy(logits.flatten(0, 1), part[:, 1:].flatten(), reduction="sum")
            )
            count += part[:, 1:].numel()
    model.train()
    return total / count


if __name__ == "__main__":
    main()
