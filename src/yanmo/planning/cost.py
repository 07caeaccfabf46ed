"""What a training step costs in time and memory, from sizes and from measurements of this machine.

The analytic model ranks candidates; ``measure_step_s`` times real steps of one of them, and the ratio of
the two corrects the others.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch

from yanmo.data.loader import Batch
from yanmo.models.transformer import Transformer, TransformerConfig
from yanmo.planning.probe import Machine
from yanmo.training.objective import causal
from yanmo.training.optimizer import Optimizer, OptimizerConfig

_PROCESS_BYTES = 450 * 2**20
# Share of the probe's speed that a step's own products reach.
_PRODUCT_EFFICIENCY = 0.87
# Bytes of memory traffic per element of the residual stream, of the feed-forward layer and of the
# attention scores, forward and backward, in bf16; fitted on steps of 2 to 6 layers.
_STREAM_TRAFFIC, _FEED_FORWARD_TRAFFIC, _SCORE_TRAFFIC = 500.0, 90.0, 55.0
_OPERATORS_PER_LAYER = 150


@dataclass(frozen=True, kw_only=True)
class StepShape:
    """One optimizer step: what model, how many rows of how many tokens."""

    model: TransformerConfig
    batch_size: int
    seq_len: int

    @property
    def batch_tokens(self) -> int:
        """Tokens a step."""
        return self.batch_size * self.seq_len


def matrix_flop_per_token(config: TransformerConfig, seq_len: int) -> float:
    """Floating-point operations of forward and backward for one token, matrix products only."""
    block = config.last_stack.block
    attention = config.d_model * 2 * (block.attention.query_width + block.attention.key_width)
    layer = attention + 3 * config.d_model * block.feed_forward.d_ff
    layer += 2 * seq_len * block.attention.query_width
    return 6.0 * (config.num_layers * layer + config.vocab_size * config.d_model)


def predict_step_s(shape: StepShape, machine: Machine) -> float:
    """Seconds of one optimizer step, by the analytic model."""
    config, block = shape.model, shape.model.last_stack.block
    flop = shape.batch_tokens * matrix_flop_per_token(config, shape.seq_len)
    products_s = flop / (_PRODUCT_EFFICIENCY * machine.gemm_flop_per_s)
    width = 2 if machine.dtype == "bfloat16" else 4
    traffic = (
        config.num_layers
        * width
        / 2
        * (
            _STREAM_TRAFFIC * config.d_model
            + _FEED_FORWARD_TRAFFIC * block.feed_forward.d_ff
            + _SCORE_TRAFFIC * block.attention.num_heads * shape.seq_len
        )
        + 30.0 * config.vocab_size
    )
    traffic_s = shape.batch_tokens * traffic / machine.memory_bytes_per_s
    overhead_s = config.num_layers * _OPERATORS_PER_LAYER * machine.operator_overhead_s
    return products_s + traffic_s + overhead_s + _optimizer_s(config, machine)


def predict_memory_bytes(shape: StepShape, machine: Machine) -> int:
    """Most memory that training holds: weights, masters, gradients, moments, activations."""
    config, block = shape.model, shape.model.last_stack.block
    width = 2 if machine.dtype == "bfloat16" else 4
    weights = config.num_parameters * (2 * width + 4 + 4 + 8)
    per_token = config.num_layers * (
        16 * config.d_model + 5 * block.feed_forward.d_ff + 4 * block.attention.num_heads * shape.seq_len
    )
    # Freed blocks are kept for the next step, so the peak holds the backward pass's too.
    return int(_PROCESS_BYTES + weights + 1.5 * width * shape.batch_tokens * per_token)


def measure_step_s(shape: StepShape, *, dtype: torch.dtype, dropout: float, num_steps: int = 3) -> float:
    """Seconds of one optimizer step, the median of real ones on random tokens."""
    model = Transformer(shape.model)
    optimizer = Optimizer(model, OptimizerConfig())
    model.to(dtype).train()
    model.set_dropout(dropout)
    tokens_BT = torch.randint(0, shape.model.vocab_size, (shape.batch_size, shape.seq_len + 1))
    batch = Batch(inputs_BT=tokens_BT[:, :-1], targets_BT=tokens_BT[:, 1:])
    times_s = []
    for _ in range(num_steps + 1):
        began_s = time.perf_counter()
        loss = causal(model, batch)
        loss.loss_nats.backward()
        optimizer.accumulate()
        optimizer.step(factor=1.0, num_tokens=loss.num_tokens)
        times_s.append(time.perf_counter() - began_s)
    return sorted(times_s[1:])[num_steps // 2]


def _optimizer_s(config: TransformerConfig, machine: Machine) -> float:
    """Muon's products (five iterations of three) and the traffic of masters and moments."""
    block = config.last_stack.block
    small, wide = config.d_model, block.feed_forward.d_ff
    heads = block.attention.query_width + block.attention.key_width
    flop = 0.0
    for rows in (2 * heads, 3 * wide):
        flop += 5 * (4.0 * small * small * rows + 2.0 * small**3 * rows / max(small, wide))
    products_s = config.num_layers * flop / machine.gemm_flop_per_s
    return products_s + config.num_parameters * 60.0 / machine.memory_bytes_per_s
