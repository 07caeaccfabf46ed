"""Matrices as codes: what comes back, beside llama.cpp's own formats."""

from __future__ import annotations

import gguf
import numpy as np
import pytest
import torch
from gguf.quants import dequantize as gguf_dequantize
from gguf.quants import quantize as gguf_quantize

from yanmo.errors import InputError
from yanmo.nn.quantization import GROUP_SIZE, QuantizedMatrix, can_quantize, quantize


def weight(seed: int = 0, rows: int = 24, columns: int = 96) -> torch.Tensor:
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed)) * 0.05


def test_codes_of_8_bits_are_within_half_a_step() -> None:
    weight_RC = weight()
    found = quantize(weight_RC, 8)
    steps_RC = found.scales_RS.float().repeat_interleave(GROUP_SIZE, dim=1)
    # float16 scales are off by up to a thousandth, which the largest code multiplies by 127.
    assert ((found.dequantized() - weight_RC).abs() <= steps_RC * 0.57).all()
    assert found.bits == 8 and found.shape == tuple(weight_RC.shape)


@pytest.mark.parametrize("kind", ["Q4_0", "Q4_1"])
def test_4_bits_are_no_worse_than_llama_cpp_in_any_group(kind: str) -> None:
    weight_RC = weight(1)
    theirs_kind = gguf.GGMLQuantizationType[kind]
    theirs = gguf_dequantize(gguf_quantize(weight_RC.numpy(), theirs_kind), theirs_kind)

    def errors(values: np.ndarray) -> np.ndarray:
        return ((values - weight_RC.numpy()) ** 2).reshape(-1, GROUP_SIZE).sum(1)

    ours = errors(quantize(weight_RC, 4).dequantized().numpy())
    assert (ours <= errors(theirs) * (1 + 1e-3)).all()
    assert ours.sum() < 0.95 * errors(theirs).sum()


def test_what_q4_1_holds_comes_back() -> None:
    kind = gguf.GGMLQuantizationType.Q4_1
    given = torch.from_numpy(gguf_dequantize(gguf_quantize(weight(3).numpy(), kind), kind))
    assert torch.allclose(quantize(given, 4).dequantized(), given, atol=1e-4)


@pytest.mark.parametrize("bits", [4, 8])
def test_what_codes_stand_for_has_the_same_codes(bits: int) -> None:
    once = quantize(weight(2), bits)
    again = quantize(once.dequantized(), bits)
    assert torch.allclose(again.dequantized(), once.dequantized(), atol=2e-4)


def test_two_codes_share_a_byte_the_even_column_below() -> None:
    values = torch.arange(-8, 8).repeat(2).float()[None]
    found = quantize(values, 4)
    assert found.codes.shape == (1, 16) and found.codes.dtype == torch.uint8
    assert torch.equal(found.dequantized(), values)
    assert found.codes[0, 0].item() & 15 != found.codes[0, 0].item() >> 4


def test_zeros_stay_zeros() -> None:
    for bits in (4, 8):
        assert not quantize(torch.zeros(2, 32), bits).dequantized().any()


def test_too_large_for_a_scale_is_refused() -> None:
    with pytest.raises(InputError, match="float16"):
        quantize(torch.full((1, 32), 1e9), 8)
    with pytest.raises(InputError, match="finite"):
        quantize(torch.full((1, 32), float("nan")), 4)


def test_only_whole_groups() -> None:
    assert can_quantize((3, 64)) and not can_quantize((3, 48)) and not can_quantize((64,))
    assert isinstance(quantize(torch.ones(1, 32), 4), QuantizedMatrix)
