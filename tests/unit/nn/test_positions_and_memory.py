"""Sinusoidal, learned and relative positions, and what cross-attention looks at, by hand."""

from __future__ import annotations

import math

import pytest
import torch

from yanmo.nn.context import Memory
from yanmo.nn.embedding import InputConfig, StackInput
from yanmo.nn.packing import Segments
from yanmo.nn.position import (
    LearnedPositions,
    PositionConfig,
    PositionKind,
    RelativeBias,
    SinusoidalPositions,
)


def test_sinusoids_by_hand() -> None:
    """Two frequencies of width 4: 1 and 1/100, sines before cosines."""
    given = SinusoidalPositions(4)(torch.tensor([0, 3]))
    expected = [[0, 0, 1, 1], [math.sin(3), math.sin(0.03), math.cos(3), math.cos(0.03)]]
    torch.testing.assert_close(given, torch.tensor(expected))


def test_learned_positions_begin_behind_the_offset() -> None:
    positions = LearnedPositions(3, 1, offset=2)
    with torch.no_grad():
        positions.weight.copy_(torch.arange(5.0)[:, None])
    assert positions(torch.tensor([0, 2])).flatten().tolist() == [2, 4]


def test_the_input_scales_tokens_and_not_positions() -> None:
    config = InputConfig(scale=3.0)
    stack_input = StackInput(2, 4, config, PositionConfig(kind=PositionKind.SINUSOIDAL))
    vectors = torch.tensor([[[1.0, 2.0], [1.0, 2.0], [1.0, 2.0]]])
    expected = [[3.0, 7.0], [3 + math.sin(1), 6 + math.cos(1)], [3 + math.sin(2), 6 + math.cos(2)]]
    torch.testing.assert_close(stack_input(vectors)[0], torch.tensor(expected))
    # A later step begins at its own position; a packed row counts anew in each text.
    torch.testing.assert_close(stack_input(vectors[:, :1], start=2)[0, 0], torch.tensor(expected[2]))
    packed = stack_input(vectors, segments=Segments([1, 2]))[0]
    torch.testing.assert_close(packed, torch.tensor([expected[0], *expected[:2]]))


@pytest.mark.parametrize(
    ("bidirectional", "ahead", "bucket"),
    [
        # 8 buckets, half of them for tokens ahead; 0 and 1 exact, then up to 16 in two.
        (True, 0, 0),
        (True, -1, 1),
        (True, -2, 2),
        (True, -5, 2),
        (True, -6, 3),
        (True, -500, 3),
        (True, 1, 5),
        (True, 6, 7),
        # 8 buckets for tokens behind; 0 to 3 exact, then logarithmic: 4 * log(8 / 4) / log(16 / 4) = 2.
        (False, 1, 0),
        (False, -3, 3),
        (False, -4, 4),
        (False, -8, 6),
        (False, -12, 7),
        (False, -500, 7),
    ],
)
def test_relative_buckets_by_hand(bidirectional: bool, ahead: int, bucket: int) -> None:
    config = PositionConfig(kind=PositionKind.RELATIVE_BIAS, num_buckets=8, max_distance=16)
    bias = RelativeBias(1, config, bidirectional=bidirectional)
    with torch.no_grad():
        bias.weight.copy_(torch.arange(8.0)[:, None])
    size = abs(ahead) + 1
    row, column = (0, ahead) if ahead > 0 else (-ahead, 0)
    assert bias(size, size)[0, row, column] == bucket
    # The last query alone, as in a step with a cache.
    if ahead <= 0:
        assert bias(1, size)[0, 0, 0] == bucket


def test_a_memory_hides_its_padding_and_follows_its_rows() -> None:
    packed = Memory(torch.arange(1.0, 7.0)[None, :, None], segments=Segments([1, 3, 2]))
    memory = packed.padded()
    assert memory.hidden_BSD[..., 0].tolist() == [[1, 0, 0], [2, 3, 4], [5, 6, 0]]
    chosen = memory.select(torch.tensor([2, 2, 1]))
    assert chosen.hidden_BSD[..., 0].tolist() == [[5, 6, 0], [5, 6, 0], [2, 3, 4]]
    bias = chosen.bias(torch.float32)
    assert bias is not None and bias.shape == (3, 1, 1, 3)
    assert bias[:, 0, 0].isinf().tolist() == [[False, False, True], [False, False, True], [False] * 3]
    assert Memory(torch.zeros(2, 3, 1)).bias(torch.float32) is None
