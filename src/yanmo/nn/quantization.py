"""Matrices as small whole numbers: groups of neighbouring columns of a row share a scale.

Codes of 8 bits are symmetric, round to nearest. Codes of 4 bits are -8 to 7 times a scale, which is first the
number largest in size by -8, as in llama.cpp's Q4_0; of several scales around that one and the best scale
for the codes of each, the one with the least squared error is taken, so that no group is worse than Q4_0's.

Shapes: R rows, C columns, G groups of a row, N numbers of a group.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from yanmo.errors import InputError

GROUP_SIZE = 32
_STEPS_OF_SEARCH = tuple(8.0 + 0.125 * step for step in range(-10, 7))
_ROWS_AT_ONCE = 4096


@dataclass(frozen=True, kw_only=True)
class QuantizedMatrix:
    """A matrix as codes.

    Attributes:
        codes: int8 (R, C), or uint8 (R, C / 2) with the even columns in the lower half of each byte, plus 8.
        scales_RG: float16, one a group.
    """

    codes: Tensor
    scales_RG: Tensor

    @property
    def bits(self) -> int:
        """Of a code: 8 or 4."""
        return 8 if self.codes.dtype == torch.int8 else 4

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the matrix."""
        return self.scales_RG.shape[0], self.scales_RG.shape[1] * GROUP_SIZE

    def dequantized(self) -> Tensor:
        """The matrix that the codes stand for, float32 (R, C)."""
        return (self.values_RGN().float() * self.scales_RG.float().unsqueeze(-1)).flatten(1)

    def values_RGN(self) -> Tensor:
        """The codes one by one, int8 (R, G, N)."""
        codes = self.codes
        if self.bits == 4:
            codes = torch.stack((codes & 15, codes >> 4), dim=-1).flatten(1).to(torch.int8) - 8
        return codes.unflatten(1, (-1, GROUP_SIZE))


def can_quantize(shape: tuple[int, ...]) -> bool:
    """Whether it is a matrix whose rows are whole groups."""
    return len(shape) == 2 and shape[0] > 0 and shape[1] > 0 and shape[1] % GROUP_SIZE == 0


def quantize(weight_RC: Tensor, bits: int) -> QuantizedMatrix:
    """Codes of 8 or 4 bits for a matrix of any float type.

    Raises:
        InputError: a number is not finite, or beyond what a scale in float16 can reach.
    """
    assert bits in (4, 8) and can_quantize(tuple(weight_RC.shape))
    by_group = _in_8_bits if bits == 8 else _in_4_bits
    parts = [by_group(rows.float().unflatten(1, (-1, GROUP_SIZE))) for rows in weight_RC.split(_ROWS_AT_ONCE)]
    values_RC = torch.cat([values for values, _ in parts]).flatten(1)
    scales_RG = torch.cat([scales for _, scales in parts])
    if not scales_RG.isfinite().all():
        raise InputError("a weight is not finite, or too large for a scale in float16")
    if bits == 8:
        return QuantizedMatrix(codes=values_RC.to(torch.int8), scales_RG=scales_RG)
    low_RC, high_RC = (values_RC + 8).to(torch.uint8).unflatten(1, (-1, 2)).unbind(-1)
    return QuantizedMatrix(codes=low_RC | high_RC << 4, scales_RG=scales_RG)


def _in_8_bits(weight_RGN: Tensor) -> tuple[Tensor, Tensor]:
    scales_RG = (weight_RGN.abs().amax(-1) / 127).half()
    return _codes(weight_RGN, scales_RG, -127, 127), scales_RG


def _in_4_bits(weight_RGN: Tensor) -> tuple[Tensor, Tensor]:
    largest_RG1 = weight_RGN.abs().argmax(-1, keepdim=True)
    extreme_RG = weight_RGN.gather(-1, largest_RG1).squeeze(-1)
    best: tuple[Tensor, Tensor, Tensor] | None = None
    for steps in _STEPS_OF_SEARCH:
        scales_RG = (-extreme_RG / steps).half()
        values_RGN = _codes(weight_RGN, scales_RG, -8, 7)
        # Of these codes the scale with the least squared error.
        fitted_RG = (weight_RGN * values_RGN).sum(-1) / values_RGN.square().sum(-1).clamp_min(1)
        for tried_RG in (scales_RG, fitted_RG.half()):
            error_RG = (weight_RGN - values_RGN * tried_RG.float().unsqueeze(-1)).square().sum(-1)
            if best is None:
                best = (error_RG, values_RGN, tried_RG)
                continue
            better_RG = error_RG < best[0]
            best = (
                torch.where(better_RG, error_RG, best[0]),
                torch.where(better_RG.unsqueeze(-1), values_RGN, best[1]),
                torch.where(better_RG, tried_RG, best[2]),
            )
    assert best is not None
    return best[1], best[2]


def _codes(weight_RGN: Tensor, scales_RG: Tensor, lowest: int, highest: int) -> Tensor:
    """Whole numbers as floats; 0 where the scale is too small to be told from 0."""
    scales_RG1 = scales_RG.float().unsqueeze(-1)
    inverse_RG1 = torch.where(scales_RG1 == 0, 0.0, 1 / scales_RG1)
    return (weight_RGN * inverse_RG1).round_().clamp_(lowest, highest)
