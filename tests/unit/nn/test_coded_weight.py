"""Weights that are held as codes: products, lookups, and what other operators see."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from yanmo import machine
from yanmo.nn.coded_weight import CodedWeight, hold_as_codes, tiled, untiled
from yanmo.nn.held_weight import Bfloat16Weight, hold_as_numbers
from yanmo.nn.kernels import library
from yanmo.nn.quantization import QuantizedMatrix, quantize

needs_kernels = pytest.mark.skipif(not library.has_codes(), reason="no kernels here")
BITS = pytest.mark.parametrize("bits", [8, 4])


def matrix(bits: int, rows: int = 50, columns: int = 96) -> QuantizedMatrix:
    return quantize(torch.randn(rows, columns, generator=torch.Generator().manual_seed(bits)), bits)


def coded_vectors(x: torch.Tensor) -> torch.Tensor:
    """The numbers that the codes of vectors stand for: 8 bits a group of 32, to nearest."""
    groups = x.unflatten(-1, (-1, 32))
    scales = groups.abs().amax(-1, keepdim=True) / 127
    return (groups / scales).nan_to_num().round().mul(scales).flatten(-2)


@BITS
def test_tiles_hold_what_the_file_has(bits: int) -> None:
    given = matrix(bits)
    again = untiled(*tiled(given), bits, given.shape)
    assert torch.equal(again.codes, given.codes) and torch.equal(again.scales_RS, given.scales_RS)


@needs_kernels
@BITS
@pytest.mark.parametrize("is_fine", [False, True])
@pytest.mark.parametrize("shape", [(1,), (2, 3), (13,), (31,), (300,)], ids=str)
def test_products_are_those_of_coded_vectors(bits: int, is_fine: bool, shape: tuple[int, ...]) -> None:
    given = matrix(bits)
    x = torch.randn(*shape, 96, generator=torch.Generator().manual_seed(9))
    x[0, ..., :32] = 0
    bias = torch.randn(50)
    found = functional.linear(x, CodedWeight(given, is_fine=is_fine), bias)
    seen = coded_vectors(x)
    if is_fine:
        seen = seen + coded_vectors(x - seen)
        assert float((x - seen).abs().max()) < float((x - coded_vectors(x)).abs().max()) / 100
    expected = functional.linear(seen.double(), given.dequantized().double(), bias.double())
    assert found.shape == expected.shape
    # Of what is left out, a number between two codes may be rounded to either.
    torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-3 if is_fine else 1e-4)


@needs_kernels
@BITS
def test_lookups_give_rows(bits: int) -> None:
    given = matrix(bits)
    tokens = torch.tensor([[0, 49, 17], [16, 15, 0]])
    assert torch.equal(functional.embedding(tokens, CodedWeight(given)), given.dequantized()[tokens])


@needs_kernels
def test_other_operators_see_numbers_and_none_may_write() -> None:
    given = matrix(8)
    weight = CodedWeight(given)
    assert torch.equal(weight + 0, given.dequantized()) and weight.shape == (50, 96)
    assert weight.nbytes < 96 * 64 * 1.1
    with pytest.raises(TypeError, match="read"):
        weight.mul_(2)


@needs_kernels
def test_a_module_is_held_as_codes_and_as_numbers_again() -> None:
    given, linear = matrix(4), nn.Linear(96, 50, bias=False)
    hold_as_codes(linear, "weight", given)
    assert isinstance(linear.weight, CodedWeight) and isinstance(linear.weight, nn.Parameter)
    hold_as_numbers(linear)
    assert torch.equal(linear.weight, given.dequantized())


@needs_kernels
@pytest.mark.parametrize("number", [1, 2, 7, 40])
def test_bfloat16_rows(number: int) -> None:
    given = torch.randn(45, 96, generator=torch.Generator().manual_seed(1)).bfloat16()
    x = torch.randn(number, 96, generator=torch.Generator().manual_seed(2))
    weight = Bfloat16Weight(given)
    found = functional.linear(x, weight)
    # Vectors are as they are where no instructions multiply bfloat16, and where they are few; else rounded.
    kept, rounded = ((value.double() @ given.double().T) for value in (x, x.bfloat16()))
    is_few = number < 12
    is_exact = is_few and not machine.cpu_flags(("avx512_bf16",))
    expected = kept if is_exact else rounded
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=2e-5 if is_few else 0.2)
    assert torch.equal(functional.embedding(torch.tensor([3, 44]), weight), given[[3, 44]].float())
    assert weight.nbytes == given.nbytes
