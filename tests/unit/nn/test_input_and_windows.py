"""What enters a stack, and what windows hide, against formulas written out."""

from __future__ import annotations

import math

import pytest
import torch

from yanmo.nn.context import Context, hidden
from yanmo.nn.embedding import InputConfig, StackInput
from yanmo.nn.norm import NormConfig, NormKind
from yanmo.nn.packing import Segments
from yanmo.nn.position import PositionConfig, PositionKind

LEARNED = PositionConfig(kind=PositionKind.LEARNED, offset=2)
LAYER_NORM = NormConfig(kind=NormKind.LAYER, eps=1e-5, bias=True)


def drawn(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in module.parameters():
            weight.copy_(torch.randn(weight.shape, generator=generator))
    return dict(module.named_parameters())


@torch.no_grad()
def test_types_and_positions_are_added_then_normalised_then_widened() -> None:
    config = InputConfig(width=3, num_token_types=2, norm=LAYER_NORM)
    module = StackInput(5, 6, config, LEARNED)
    weights = drawn(module)
    vectors = torch.randn(1, 4, 3)
    types = [0, 1, 1, 0]
    given = module(vectors, types_BT=torch.tensor([types]), segments=Segments([3, 1]))
    for place, (kind, row) in enumerate(zip(types, [2, 3, 4, 2], strict=True)):
        x = vectors[0, place] + weights["types.weight"][kind] + weights["positions.weight"][row]
        centred = x - x.mean()
        x = centred / math.sqrt(float(centred.square().mean()) + 1e-5)
        x = x * weights["norm.weight"] + weights["norm.bias"]
        expected = weights["projection.weight"] @ x + weights["projection.bias"]
        assert torch.allclose(given[0, place], expected, atol=1e-5)


@torch.no_grad()
def test_tokens_without_types_are_of_the_first() -> None:
    module = StackInput(4, 6, InputConfig(num_token_types=2), PositionConfig(kind=PositionKind.NONE))
    weights = drawn(module)
    vectors = torch.randn(2, 3, 4)
    assert torch.equal(module(vectors), vectors + weights["types.weight"][0])


def test_a_projection_can_be_wanted_where_widths_are_equal() -> None:
    assert StackInput(4, 6, InputConfig(), LEARNED).projection is None
    assert StackInput(4, 6, InputConfig(always_project=True), LEARNED).projection is not None


@pytest.mark.parametrize(
    ("causal", "window", "seen"),
    [
        (False, 2, ["11000", "11100", "01110", "00111", "00011"]),
        (True, 2, ["10000", "11000", "01100", "00110", "00011"]),
        (False, 1, ["10000", "01000", "00100", "00010", "00001"]),
        (False, None, ["11111"] * 5),
    ],
)
def test_windows_by_hand(causal: bool, window: int | None, seen: list[str]) -> None:
    expected = torch.tensor([[place == "0" for place in row] for row in seen])
    assert torch.equal(hidden(5, 5, causal=causal, window=window), expected)
    assert torch.equal(hidden(2, 5, causal=causal, window=window), expected[3:])


def test_a_window_wider_than_the_text_needs_no_mask() -> None:
    context = Context(causal=False)
    assert context.bias(4, 4, 4, torch.float32) is None
    bias = context.bias(5, 5, 4, torch.float32)
    assert bias is not None
    assert bias.isinf().nonzero().tolist() == [[0, 4], [4, 0]]
