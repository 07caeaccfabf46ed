"""Training speed of this stack beside transformers' Qwen3 on the same sizes, in alternation.

Both compute in bf16 where the machine does that well. Theirs is moved by the fused AdamW of torch, ours
by Muon with AdamW over float32 masters. Rounds alternate; medians are printed.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

from benchmarks.machine import describe
from yanmo.runtime import tune_process

tune_process()

import torch  # noqa: E402 - after the process is tuned

from yanmo.data.loader import Batch  # noqa: E402
from yanmo.models.families import qwen3  # noqa: E402
from yanmo.models.transformer import Transformer, TransformerConfig  # noqa: E402
from yanmo.planning.cost import matrix_flop_per_token  # noqa: E402
from yanmo.planning.probe import probe  # noqa: E402
from yanmo.training.objective import causal  # noqa: E402
from yanmo.training.optimizer import Optimizer, OptimizerConfig  # noqa: E402

SHAPES = ((4, 256, 512, 128, 32), (6, 384, 512, 256, 16))  # layers, width, vocabulary, context, rows
ROUNDS = 9


def main() -> None:
    """Print a row a shape."""
    machine = probe()
    dtype = getattr(torch, machine.dtype)
    print(f"training step, {machine.dtype}. {describe()}")
    print(
        "| layers x width | parameters | ours tokens/s | transformers tokens/s | ratio | share of GEMM peak |"
    )
    print("|---|---|---|---|---|---|")
    for layers, width, vocab_size, context, rows in SHAPES:
        config = qwen3.decoder(
            vocab_size=vocab_size,
            d_model=width,
            num_layers=layers,
            num_heads=width // 64,
            num_kv_heads=width // 128,
            head_dim=64,
            d_ff=round(width * 8 / 3 / 64) * 64,
            max_seq_len=context,
        )
        tokens = torch.randint(0, vocab_size, (rows, context + 1))
        steps = (_ours(config, dtype, tokens), _theirs(config, dtype, tokens))
        times_s: tuple[list[float], list[float]] = ([], [])
        for _ in range(ROUNDS + 1):
            for step, kept in zip(steps, times_s, strict=True):
                began = time.perf_counter()
                step()
                kept.append(time.perf_counter() - began)
        ours, theirs = (rows * context / statistics.median(kept[1:]) for kept in times_s)
        share = ours * matrix_flop_per_token(config, context) / machine.gemm_flop_per_s
        print(
            f"| {layers} x {width} | {config.num_parameters / 1e6:.1f} M | {ours:,.0f} | {theirs:,.0f} "
            f"| {ours / theirs:.2f} | {share:.2f} |"
        )


def _ours(config: TransformerConfig, dtype: torch.dtype, tokens: torch.Tensor) -> Callable[[], None]:
    model = Transformer(config)
    optimizer = Optimizer(model, OptimizerConfig())
    model.to(dtype).train()
    batch = Batch(inputs_BT=tokens[:, :-1], targets_BT=tokens[:, 1:])

    def step() -> None:
        loss = causal(model, batch)
        loss.loss_nats.backward()
        optimizer.accumulate()
        optimizer.step(factor=1.0, num_tokens=loss.num_tokens)

    return step


def _theirs(config: TransformerConfig, dtype: torch.dtype, tokens: torch.Tensor) -> Callable[[], None]:
    from transformers import Qwen3Config, Qwen3ForCausalLM

    model = Qwen3ForCausalLM(Qwen3Config(**qwen3.write_config(config)))
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)

    def step() -> None:
        with torch.autocast("cpu", dtype, enabled=dtype == torch.bfloat16):
            loss = model(input_ids=tokens[:, :-1], labels=tokens[:, :-1]).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


if __name__ == "__main__":
    main()
