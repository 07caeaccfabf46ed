"""Tiny training runs for one or several processes, and the starting of several.

Run as a program (``python tests/parallel_made.py OUT CASES``), it is one of the processes.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from yanmo.data.loader import Batch
from yanmo.models.families import qwen3, t5
from yanmo.models.transformer import Transformer
from yanmo.nn.cross_entropy import linear_cross_entropy
from yanmo.training.objective import LossSum, causal
from yanmo.training.optimizer import Optimizer, OptimizerConfig
from yanmo.training.parallel import Group, open_group
from yanmo.training.sharding import Parallelism, lay_out, require_equal_shares

VOCAB_SIZE, BATCH_SIZE, MICRO_BATCH_SIZE, SEQ_LEN = 33, 8, 2, 12


@dataclass(frozen=True, kw_only=True)
class Case:
    """One run: ``num_steps`` steps from a checkpoint or from the start."""

    name: str
    parallelism: str = Parallelism.REPLICATED.value
    num_steps: int = 6
    first_step: int = 0
    resume_from: str = ""
    dtype: str = "float32"
    validate_first: bool = False
    shape: str = "decoder"


def build_model(shape: str) -> Transformer:
    """Rows of its matrices and its vocabulary divide neither by 2 nor by 4."""
    torch.manual_seed(0)
    if shape == "encoder-decoder":
        sizes = {"d_model": 18, "num_layers": 1, "num_heads": 3, "head_dim": 6, "d_ff": 37}
        return Transformer(t5.encoder_decoder(vocab_size=VOCAB_SIZE, max_seq_len=SEQ_LEN, **sizes))
    return Transformer(
        qwen3.decoder(
            vocab_size=VOCAB_SIZE,
            d_model=18,
            num_layers=2,
            num_heads=3,
            num_kv_heads=1,
            head_dim=6,
            d_ff=37,
            max_seq_len=SEQ_LEN,
        )
    )


def rows_of(step: int, rows: range) -> Batch:
    """The data, the same whoever asks: rows that count up by 1 to 4."""
    row_R1 = torch.tensor([step * BATCH_SIZE + row for row in rows])[:, None]
    tokens = (row_R1 * 7 + torch.arange(SEQ_LEN + 1) * (1 + row_R1 % 4)) % VOCAB_SIZE
    return Batch(inputs_BT=tokens[:, :-1], targets_BT=tokens[:, 1:])


def continuation(model: Transformer, batch: Batch) -> LossSum:
    """Predict a row from itself, once through the encoder and once through the decoder."""
    hidden_BTD = model.hidden(batch.inputs_BT, memory=model.encode(batch.targets_BT))
    loss = linear_cross_entropy(hidden_BTD.flatten(0, 1), model.output_weight_VD, batch.targets_BT.flatten())
    return LossSum(loss, batch.targets_BT.numel())


def train(case: Case, group: Group) -> tuple[dict[str, Tensor], list[int]]:
    """Train as the loop does.

    Returns:
        On the first process the weights, moments, losses and norms by name; and the rows that were read here.
    """
    model = build_model(case.shape)
    objective = causal if case.shape == "decoder" else continuation
    optimizer = Optimizer(model, OptimizerConfig(), lay_out(model, group, Parallelism(case.parallelism)))
    model.to(getattr(torch, case.dtype))
    if case.resume_from:
        saved = load_file(case.resume_from)
        optimizer.load(part_of(saved, "weights"), part_of(saved, "state"))
    validation = []
    if case.validate_first:
        with torch.inference_mode():
            validation.append(float(objective(model.eval(), rows_of(99, range(4))).loss_nats))
    model.set_dropout(0.1)
    model.train()
    require_equal_shares(BATCH_SIZE, MICRO_BATCH_SIZE, group)
    losses, norms, read = [], [], []
    for step in range(case.first_step, case.first_step + case.num_steps):
        loss_nats, num_tokens = 0.0, 0
        starts = list(range(0, BATCH_SIZE, MICRO_BATCH_SIZE))[group.rank :: group.size]
        for start in starts:
            rows = range(start, start + MICRO_BATCH_SIZE)
            torch.manual_seed(step * 100 + start)
            loss = objective(model, rows_of(step, rows))
            loss.loss_nats.backward()
            optimizer.accumulate()
            loss_nats += float(loss.loss_nats.detach())
            num_tokens += loss.num_tokens
            read += [step * BATCH_SIZE + row for row in rows]
        loss_nats, count = group.add([loss_nats, float(num_tokens)])
        group.add_tensors(optimizer.gradient_sums())
        norms.append(optimizer.step(factor=1.0, num_tokens=round(count)))
        losses.append(loss_nats / count)
    with torch.inference_mode():
        validation.append(float(objective(model.eval(), rows_of(99, range(4))).loss_nats))
    shapes = {name: value.shape for name, value in optimizer.masters().items()}
    assert shapes == {name: value.shape for name, value in build_model(case.shape).named_parameters()}
    result = {f"weights.{name}": value.clone() for name, value in optimizer.masters().items()}
    result |= {f"state.{name}": value.clone() for name, value in optimizer.state().items()}
    for name, values in (("losses", losses), ("norms", norms), ("validation", validation)):
        result[name] = torch.tensor(values, dtype=torch.float64)
    return result, read


def part_of(result: dict[str, Tensor], kind: str) -> dict[str, Tensor]:
    """The weights or the state in a result."""
    return {name.removeprefix(f"{kind}."): v for name, v in result.items() if name.startswith(f"{kind}.")}


def start_processes(arguments: list[str], num_processes: int) -> list[subprocess.Popen[str]]:
    """Start one command several times, as torchrun would."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    place = {"WORLD_SIZE": num_processes, "LOCAL_WORLD_SIZE": num_processes, "MASTER_PORT": port}
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MASTER_ADDR": "127.0.0.1"}
    environment |= {name: str(value) for name, value in place.items()}
    return [
        subprocess.Popen(
            [sys.executable, *arguments],
            env={**environment, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(num_processes)
    ]


def train_together(folder: Path, cases: list[Case], num_processes: int) -> dict[str, dict[str, Tensor]]:
    """Train each case with several processes.

    Returns:
        What the first process had in the end, by case; ``read`` holds the rows each process read, in order.
    """
    folder.mkdir()
    listed = json.dumps([asdict(case) for case in cases])
    processes = start_processes([__file__, str(folder), listed], num_processes)
    outputs = [process.communicate(timeout=120) for process in processes]
    assert all(process.returncode == 0 for process in processes), [errors for _, errors in outputs]
    results = {}
    for case in cases:
        results[case.name] = load_file(folder / f"{case.name}.safetensors")
        read = [
            json.loads((folder / f"{case.name}-{rank}.json").read_text()) for rank in range(num_processes)
        ]
        results[case.name]["read"] = torch.tensor(read)
    return results


def main() -> None:
    """One of several processes."""
    folder, cases = Path(sys.argv[1]), [Case(**case) for case in json.loads(sys.argv[2])]
    torch.set_num_threads(1)
    with open_group(timeout_s=60) as group:
        for case in cases:
            result, read = train(case, group)
            (folder / f"{case.name}-{group.rank}.json").write_text(json.dumps(read))
            if group.rank == 0:
                save_file(result, folder / f"{case.name}.safetensors")


if __name__ == "__main__":
    main()
