"""Heads against formulas written out; stacks whose layers differ, or are the same."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from yanmo.errors import InputError
from yanmo.models.heads import Head, HeadConfig, HeadKind, Select, TransformConfig
from yanmo.models.stack import Stack, StackConfig
from yanmo.nn.attention import AttentionConfig
from yanmo.nn.block import BlockConfig
from yanmo.nn.feed_forward import Activation, FeedForwardConfig
from yanmo.nn.norm import NormConfig, NormKind
from yanmo.nn.packing import Segments
from yanmo.nn.position import PositionConfig, RopeConfig

BLOCK = BlockConfig(
    attention=AttentionConfig(num_heads=2, num_kv_heads=2, head_dim=4, window=3),
    feed_forward=FeedForwardConfig(d_ff=12),
)
POSITION = PositionConfig(local_rope=RopeConfig(theta=50.0))


BASE = StackConfig(num_layers=4, block=BLOCK, position=POSITION, causal=False)


def drawn(config: StackConfig) -> Stack:
    """A stack of width 8 with the same weights each time."""
    torch.manual_seed(0)
    made = Stack(8, 16, config)
    with torch.no_grad():
        for weight in made.parameters():
            weight.normal_(0, 0.3)
    return made


@torch.no_grad()
def test_masked_tokens_by_the_embedding_behind_a_transform() -> None:
    transform = TransformConfig(
        width=3, activation=Activation.RELU, norm=NormConfig(kind=NormKind.LAYER, eps=1e-6)
    )
    head = Head(
        4, HeadConfig(kind=HeadKind.MASKED_LM, num_outputs=7, transform=transform, tied=True, bias=True)
    )
    for weight in head.parameters():
        weight.normal_()
    weights = dict(head.named_parameters())
    assert sorted(weights) == [
        "bias",
        "transform.dense.bias",
        "transform.dense.weight",
        "transform.norm.weight",
    ]
    table, states = torch.randn(7, 3), torch.randn(2, 5, 4)
    x = (states @ weights["transform.dense.weight"].T + weights["transform.dense.bias"]).clamp_min(0)
    x = x - x.mean(-1, keepdim=True)
    x = x / (x.square().mean(-1, keepdim=True) + 1e-6).sqrt() * weights["transform.norm.weight"]
    assert torch.allclose(head(states, table), x @ table.T + weights["bias"], atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("packed", [False, True])
def test_a_pooler_is_the_transform_of_each_first_token(packed: bool) -> None:
    pooler = TransformConfig(width=4, activation=Activation.TANH)
    head = Head(
        4, HeadConfig(kind=HeadKind.POOLED, num_outputs=0, select=Select.FIRST, transform=pooler, bias=True)
    )
    states = torch.randn(1, 6, 4) if packed else torch.randn(2, 3, 4)
    first = states[0, [0, 4]] if packed else states[:, 0]
    assert head.transform is not None
    dense = head.transform.dense
    expected = torch.tanh(first @ dense.weight.T + dense.bias)
    given = head(states, torch.empty(0), Segments([4, 2]) if packed else None)
    assert torch.allclose(given, expected, atol=1e-6)
    # Nothing is multiplied behind it, so there is no bias either.
    assert sorted(name for name, _ in head.named_parameters()) == [
        "transform.dense.bias",
        "transform.dense.weight",
    ]


def test_layers_that_share_are_one_module_and_go_in_order() -> None:
    shared = Stack(8, 16, replace(BASE, num_groups=2))
    assert len(shared.blocks) == 2 and shared.order == [0, 0, 1, 1]
    with pytest.raises(InputError, match="num_groups must be 1 to 4, not 5"):
        replace(BASE, num_groups=5)


@torch.no_grad()
def test_shared_layers_give_what_equal_layers_give() -> None:
    shared = drawn(replace(BASE, num_groups=1))
    single = Stack(8, 16, BASE)
    for block in single.blocks:
        block.load_state_dict(shared.blocks[0].state_dict())
    single.norm.load_state_dict(shared.norm.state_dict())
    vectors = torch.randn(2, 6, 8)
    assert torch.equal(shared(vectors), single(vectors))


@torch.no_grad()
@pytest.mark.parametrize("local", [False, True])
def test_a_layer_has_the_window_and_the_rotary_table_of_its_kind(local: bool) -> None:
    config = replace(BASE, num_layers=1, local_layers=(local,))
    other_local = replace(config, position=replace(POSITION, local_rope=RopeConfig(theta=9.0)))
    other_global = replace(config, position=replace(POSITION, rope=RopeConfig(theta=9.0)))
    vectors = torch.randn(1, 6, 8)
    far = vectors.clone()
    far[0, 5] += 1.0
    given = drawn(config)(vectors)
    # A window of 3 sees up to 2 tokens away: of position 2 the fifth is out of sight, of position 3 not.
    assert torch.equal(drawn(config)(far)[0, 2], given[0, 2]) == local
    assert not torch.equal(drawn(config)(far)[0, 3], given[0, 3])
    assert torch.equal(drawn(other_local)(vectors), given) != local
    assert torch.equal(drawn(other_global)(vectors), given) == local


def test_layers_without_a_kind_are_refused() -> None:
    with pytest.raises(InputError, match="local_layers has 3 entries for 4 layers"):
        replace(BASE, local_layers=(True, False, True))


def test_the_first_block_can_take_its_input_as_it_is() -> None:
    names = [name for name, _ in Stack(8, 16, replace(BASE, first_norm=False)).named_parameters()]
    norms = [name for name in names if name.endswith("attention_norm.weight")]
    assert norms == [f"blocks.{layer}.attention_norm.weight" for layer in (1, 2, 3)]
