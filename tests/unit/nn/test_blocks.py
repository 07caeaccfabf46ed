"""Attention's variants, where norms stand, and experts, by formulas written out."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor

from yanmo.errors import InputError
from yanmo.nn.attention import Attention, AttentionConfig, QkNorm
from yanmo.nn.block import Block, BlockConfig, ParallelBlock, Residual
from yanmo.nn.context import Context
from yanmo.nn.feed_forward import (
    Activation,
    Experts,
    ExpertsConfig,
    FeedForwardConfig,
    GatedFeedForward,
    build_feed_forward,
)
from yanmo.nn.norm import NormConfig
from yanmo.nn.packing import Segments

WIDTH = 12
ATTENTION = AttentionConfig(num_heads=4, num_kv_heads=2, head_dim=6)


def drawn(module: torch.nn.Module) -> torch.nn.Module:
    generator = torch.Generator().manual_seed(0)
    for weight in module.parameters():
        weight.data = torch.randn(weight.shape, generator=generator) * 0.5
    return module.eval()


def input_of(length: int) -> Tensor:
    return torch.randn(1, length, WIDTH, generator=torch.Generator().manual_seed(1))


def rms(x: Tensor, weight: Tensor) -> Tensor:
    return x / (x.square().mean(-1, keepdim=True) + 1e-6).sqrt() * weight


def by_loops(layer: Attention, x_TD: Tensor, *, window: int | None) -> Tensor:
    """Token by token and head by head."""
    config = layer.config
    q, k, v = layer.qkv(x_TD).split(layer.qkv.parts, dim=-1)
    if config.qk_norm is QkNorm.FULL:
        q, k = rms(q, layer.query_norm.weight), rms(k, layer.key_norm.weight)
    q, k, v = (part.unflatten(-1, (-1, config.head_dim)) for part in (q, k, v))
    if config.qk_norm is QkNorm.HEAD:
        q, k = rms(q, layer.query_norm.weight), rms(k, layer.key_norm.weight)
    scale = config.head_dim**-0.5 if config.scale is None else config.scale
    group = config.num_heads // config.num_kv_heads
    out = torch.zeros(len(x_TD), config.num_heads, config.head_dim)
    for token in range(len(x_TD)):
        first = 0 if window is None else max(0, token - window + 1)
        for head in range(config.num_heads):
            scores = k[first : token + 1, head // group] @ q[token, head] * scale
            if config.softcap is not None:
                scores = config.softcap * torch.tanh(scores / config.softcap)
            out[token, head] = torch.softmax(scores, 0) @ v[first : token + 1, head // group]
    return layer.out(out.flatten(1))


@pytest.mark.parametrize("window", [None, 3, 1])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"scale": 0.9},
        {"softcap": 0.7},
        {"qk_norm": QkNorm.HEAD, "qkv_bias": True},
        {"qk_norm": QkNorm.FULL, "out_bias": True, "num_kv_heads": 4},
    ],
    ids=str,
)
def test_attention_token_by_token(settings: dict[str, object], window: int | None) -> None:
    config = dataclasses.replace(ATTENTION, window=window, **settings)
    layer = drawn(Attention(WIDTH, config, NormConfig(), window=window, local=False))
    assert isinstance(layer, Attention)
    x_1TD = input_of(7)
    expected = by_loops(layer, x_1TD[0], window=window)
    torch.testing.assert_close(layer(x_1TD, Context(causal=True))[0], expected)
    lengths = [2, 2, 3]
    parts = [by_loops(layer, part, window=window) for part in x_1TD[0].split(lengths)]
    packed = layer(x_1TD, Context(causal=True, segments=Segments(lengths)))
    torch.testing.assert_close(packed[0], torch.cat(parts))


@pytest.mark.parametrize("residual", list(Residual))
def test_where_the_norms_stand(residual: Residual) -> None:
    config = BlockConfig(
        attention=ATTENTION, feed_forward=FeedForwardConfig(d_ff=8), norm=NormConfig(), residual=residual
    )
    kind = ParallelBlock if residual is Residual.PARALLEL else Block
    block = drawn(kind(WIDTH, config, layer=0))
    assert isinstance(block, Block)
    context, x = Context(causal=True), input_of(5)

    def attention(x: Tensor) -> Tensor:
        return block.attention(x, context)

    first, second = block.attention_norm, block.feed_forward_norm
    end_first, end_second = block.attention_end_norm, block.feed_forward_end_norm
    if residual is Residual.PRE:
        x1 = x + attention(first(x))
        expected = x1 + block.feed_forward(second(x1))
    elif residual is Residual.POST:
        x1 = first(x + attention(x))
        expected = second(x1 + block.feed_forward(x1))
    elif residual is Residual.SANDWICH:
        assert end_first is not None and end_second is not None
        x1 = x + end_first(attention(first(x)))
        expected = x1 + end_second(block.feed_forward(second(x1)))
    elif residual is Residual.BRANCH:
        x1 = x + first(attention(x))
        expected = x1 + second(block.feed_forward(x1))
    else:
        expected = x + attention(first(x)) + block.feed_forward(second(x))
    torch.testing.assert_close(block(x, context), expected)


@pytest.mark.parametrize("normalise", [True, False])
@pytest.mark.parametrize("activation", [Activation.SILU, Activation.GELU])
def test_experts_token_by_token(activation: Activation, normalise: bool) -> None:
    config = ExpertsConfig(num_experts=5, num_active=2, d_ff=8, normalise=normalise)
    experts = drawn(Experts(WIDTH, activation, config))
    assert isinstance(experts, Experts)
    act = torch.nn.functional.silu if activation is Activation.SILU else torch.nn.functional.gelu
    x_1TD = input_of(9)
    expected = torch.zeros(9, WIDTH)
    for token, x_D in enumerate(x_1TD[0]):
        share_X = torch.softmax(experts.router.weight @ x_D, 0)
        chosen = share_X.argsort(descending=True)[:2]
        total = share_X[chosen].sum() if normalise else torch.tensor(1.0)
        for expert in chosen:
            gate_F, up_F = (experts.gate_up_XGD[expert] @ x_D).chunk(2)
            out_D = experts.down_XDF[expert] @ (act(gate_F) * up_F)
            expected[token] += share_X[expert] / total * out_D
    torch.testing.assert_close(experts(x_1TD)[0], expected)


def test_experts_learn_through_the_router_too() -> None:
    experts = drawn(Experts(WIDTH, Activation.SILU, ExpertsConfig(num_experts=4, num_active=2, d_ff=8)))
    experts(input_of(6)).square().sum().backward()
    for name, weight in experts.named_parameters():
        assert weight.grad is not None and weight.grad.abs().sum() > 0, name


def test_layers_without_experts_are_plain() -> None:
    experts = ExpertsConfig(num_experts=4, num_active=2, d_ff=8, layers=(True, False))
    config = FeedForwardConfig(d_ff=16, experts=experts)
    kinds = [type(build_feed_forward(WIDTH, config, layer=layer)) for layer in range(2)]
    assert kinds == [Experts, GatedFeedForward]
    with pytest.raises(InputError, match="num_active must be 1 to num_experts"):
        ExpertsConfig(num_experts=2, num_active=3, d_ff=8)
