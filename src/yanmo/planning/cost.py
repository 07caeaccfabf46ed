"""What a training step costs in time and memory, from sizes and from measurements of this machine.

The analytic model ranks candidates; ``measure_step_s`` times real steps of one of them, and the ratio of
the two corrects the others.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import nn

from yanmo.data.loader import Batches
from yanmo.models.base import Trainable
from yanmo.models.lstm import LstmConfig
from yanmo.models.stack import StackConfig
from yanmo.models.transformer import TransformerConfig
from yanmo.planning.probe import Machine
from yanmo.planning.shapes import ModelConfig
from yanmo.training.objective import Objective
from yanmo.training.optimizer import Optimizer, OptimizerConfig

_PROCESS_BYTES = 450 * 2**20
# Share of the probe's speed that a step's own products reach.
_PRODUCT_EFFICIENCY = 0.87
# The same of a recurrent layer, most of whose products wait for the one before (benchmarks/LOG.md).
_RECURRENT_EFFICIENCY = 0.5
# Bytes of memory traffic per element of the residual stream, of the feed-forward layer and of the
# attention scores, forward and backward, in bf16; fitted on steps of 2 to 6 layers.
_STREAM_TRAFFIC, _FEED_FORWARD_TRAFFIC, _SCORE_TRAFFIC = 500.0, 90.0, 55.0
_OPERATORS_PER_LAYER = 150
# Operators of a recurrent layer for each token of a row, and numbers it keeps for each hidden unit.
_OPERATORS_PER_TOKEN, _KEPT_PER_UNIT = 8, 12

B = TypeVar("B")


@dataclass(frozen=True, kw_only=True)
class StepShape:
    """One optimizer step: what model, how many rows of how many tokens.

    Attributes:
        model: sizes of the network.
        batch_size: rows.
        seq_len: tokens of a row.
        rows_at_once: rows whose gradients are computed together; None is all of them.
        outputs_per_token: predictions for each token of a row: 1 where every next token is predicted, the
            masked share of a masked text, the length of its targets to a text with gaps.
    """

    model: ModelConfig
    batch_size: int
    seq_len: int
    rows_at_once: int | None = None
    outputs_per_token: float = 1.0

    @property
    def batch_tokens(self) -> int:
        """Tokens a step."""
        return self.batch_size * self.seq_len


@dataclass(frozen=True)
class _Column:
    """A stack at work: the length of its rows, and its tokens for each token of the batch's rows."""

    stack: StackConfig
    seq_len: float
    tokens_per_token: float


def matrix_flop_per_token(config: ModelConfig, seq_len: int, outputs_per_token: float = 1.0) -> float:
    """Floating-point operations of forward and backward for one token, matrix products only."""
    outputs = outputs_per_token * config.vocab_size * config.d_model
    if isinstance(config, LstmConfig):
        return 6.0 * (_recurrent_weights(config) + outputs)
    columns = _columns(config, seq_len, outputs_per_token)
    return 6.0 * (sum(_stack_flop(config, column) for column in columns) + outputs)


def predict_step_s(shape: StepShape, machine: Machine) -> float:
    """Seconds of one optimizer step, by the analytic model."""
    config = shape.model
    flop = shape.batch_tokens * matrix_flop_per_token(config, shape.seq_len, shape.outputs_per_token)
    width = 2 if machine.dtype == "bfloat16" else 4
    traffic = 30.0 * config.vocab_size * shape.outputs_per_token
    if isinstance(config, LstmConfig):
        efficiency, num_operators = _RECURRENT_EFFICIENCY, shape.seq_len * _OPERATORS_PER_TOKEN
        traffic += width / 2 * _STREAM_TRAFFIC * sum(config.widths)
    else:
        efficiency, num_operators = _PRODUCT_EFFICIENCY, _OPERATORS_PER_LAYER
        traffic += width / 2 * _traffic_per_token(shape)
    products_s = flop / (efficiency * machine.gemm_flop_per_s)
    traffic_s = shape.batch_tokens * traffic / machine.memory_bytes_per_s
    overhead_s = config.num_layers * num_operators * machine.operator_overhead_s
    return products_s + traffic_s + overhead_s + _optimizer_s(config, machine)


def predict_memory_bytes(shape: StepShape, machine: Machine) -> int:
    """Most memory that training holds: the state of its weights, a copy that is saved, and activations."""
    config = shape.model
    width = 2 if machine.dtype == "bfloat16" else 4
    # Weights and gradients; sums, which are twice as wide; masters and moments, and their copy for the thread
    # that saves; what the optimizer's step makes on its way, of float64 sums their float32 besides.
    num_bytes = 2 * width + 2 * width + 2 * (4 + 8) + (4 if width == 2 else 8)
    weights = config.num_parameters * num_bytes
    if isinstance(config, LstmConfig):
        per_token = float(_KEPT_PER_UNIT * sum(config.widths))
    else:
        per_token = sum(_kept_per_token(config, column) for column in _columns_of(shape))
    tokens_at_once = (shape.rows_at_once or shape.batch_size) * shape.seq_len
    # Freed blocks are kept for the next step, so the peak holds the backward pass's too.
    return int(_PROCESS_BYTES + weights + 1.5 * width * tokens_at_once * per_token)


def measure_step_s(
    model: Trainable,
    objective: Objective[B],
    batches: Batches[B],
    *,
    dtype: torch.dtype,
    dropout: float,
    micro_batch_size: int,
    num_steps: int = 3,
) -> float:
    """Seconds of one optimizer step, the median of real ones; the model is spent afterwards.

    Args:
        model: any weights.
        objective: loss of a micro-batch.
        batches: what it is computed on.
        dtype: type that the model computes in.
        dropout: as in training.
        micro_batch_size: rows at once.
        num_steps: how many are timed, after one that is not.
    """
    assert isinstance(model, nn.Module)
    optimizer = Optimizer(model, OptimizerConfig())
    model.to(dtype).train()
    model.set_dropout(dropout)
    times_s = []
    for step in range(num_steps + 1):
        began_s, num_tokens = time.perf_counter(), 0
        for start in range(0, batches.batch_size, micro_batch_size):
            rows = range(start, min(start + micro_batch_size, batches.batch_size))
            loss = objective(model, batches.rows(step, rows))
            loss.loss_nats.backward()
            optimizer.accumulate()
            num_tokens += loss.num_tokens
        optimizer.step(factor=1.0, num_tokens=max(1, num_tokens))
        times_s.append(time.perf_counter() - began_s)
    return sorted(times_s[1:])[num_steps // 2]


def _columns(config: TransformerConfig, seq_len: int, outputs_per_token: float) -> Iterator[_Column]:
    if config.encoder is not None:
        yield _Column(config.encoder, seq_len, 1.0)
    if config.decoder is not None:
        # A decoder of its own reads the rows; one behind an encoder writes the targets.
        share = 1.0 if config.encoder is None else outputs_per_token
        yield _Column(config.decoder, seq_len * share, share)


def _columns_of(shape: StepShape) -> Iterator[_Column]:
    assert isinstance(shape.model, TransformerConfig)
    return _columns(shape.model, shape.seq_len, shape.outputs_per_token)


def _stack_flop(config: TransformerConfig, column: _Column) -> float:
    """Multiplications of the forward pass for one token of the batch's rows."""
    block, d_model = column.stack.block, config.d_model
    attention = d_model * 2 * (block.attention.query_width + block.attention.key_width)
    layer = attention + _feed_forward_matrices(column.stack) * d_model * block.feed_forward.d_ff
    num_layers, scores = column.stack.num_layers, 2 * block.attention.query_width
    seen = sum(_seen(column, index) for index in range(num_layers))
    flop = num_layers * layer + scores * seen
    if block.cross_attention:
        # Queries and outputs of the targets, scores to the whole source; its keys cost the source's tokens.
        source_len = column.seq_len / column.tokens_per_token
        flop += num_layers * (d_model * 2 * block.attention.query_width + scores * source_len)
        keys = num_layers * d_model * 2 * block.attention.key_width
        return column.tokens_per_token * flop + keys
    return column.tokens_per_token * flop


def _seen(column: _Column, layer: int) -> float:
    """Tokens that a token's attention is computed with."""
    window = column.stack.block.attention.window
    if window is None or not column.stack.is_local(layer):
        return column.seq_len
    return min(column.seq_len, 2.0 * window)


def _traffic_per_token(shape: StepShape) -> float:
    """Bytes in bf16 for one token of the batch's rows."""
    assert isinstance(shape.model, TransformerConfig)
    traffic = 0.0
    for column in _columns_of(shape):
        block = column.stack.block
        traffic += (
            column.tokens_per_token
            * column.stack.num_layers
            * (
                _STREAM_TRAFFIC * shape.model.d_model
                + _FEED_FORWARD_TRAFFIC * block.feed_forward.d_ff
                + _SCORE_TRAFFIC * block.attention.num_heads * column.seq_len
            )
        )
    return traffic


def _kept_per_token(config: TransformerConfig, column: _Column) -> float:
    block = column.stack.block
    return (
        column.tokens_per_token
        * column.stack.num_layers
        * (16 * config.d_model + 5 * block.feed_forward.d_ff + 4 * block.attention.num_heads * column.seq_len)
    )


def _feed_forward_matrices(stack: StackConfig) -> int:
    return 3 if stack.block.feed_forward.gated else 2


def _recurrent_weights(config: LstmConfig) -> int:
    return config.num_parameters - config.vocab_size * config.d_model


def _optimizer_s(config: ModelConfig, machine: Machine) -> float:
    """Muon's products (five iterations of three) and the traffic of masters and moments."""
    traffic_s = config.num_parameters * 60.0 / machine.memory_bytes_per_s
    if isinstance(config, LstmConfig):
        return traffic_s
    flop = 0.0
    for stack in (config.encoder, config.decoder):
        if stack is None:
            continue
        block, small, wide = stack.block, config.d_model, stack.block.feed_forward.d_ff
        heads = block.attention.query_width + block.attention.key_width
        for rows in (2 * heads, _feed_forward_matrices(stack) * wide):
            flop += stack.num_layers * 5 * (4.0 * small**2 * rows + 2.0 * small**3 * rows / max(small, wide))
    return flop / machine.gemm_flop_per_s + traffic_s
