"""Matrices as small whole numbers: groups of neighbouring columns of a row share a scale.

Codes of 8 bits are symmetric, round to nearest. Codes of 4 bits count, from 0 to 15, steps above the least
number of their group. Scale and least number are first those that reach from the smallest to the largest
weight, as in llama.cpp's Q4_1; of these, of narrower ranges, of Q4_0's, and of the best line through the
codes of each, those with the least squared error are taken, so that no group is worse than in either format.

Shapes: R rows, C columns, G groups of a row, N numbers of a group, S what goes with the codes of a row: G
scales, and of 4 bits G least numbers behind them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from yanmo.errors import InputError

GROUP_SIZE = 32
# Of the range of a group, what is tried: a few outliers may cost less than coarse steps for all.
_RANGES = tuple(1.0 - 0.03 * step for step in range(8))
_ROWS_AT_ONCE = 4096


@dataclass(frozen=True, kw_only=True)
class QuantizedMatrix:
    """A matrix as codes.

    Attributes:
        codes: int8 (R, C), or uint8 (R, C / 2) with the even columns in the lower half of each byte.
        scales_RS: float16.
    """

    codes: Tensor
    scales_RS: Tensor

    @property
    def bits(self) -> int:
        """Of a code: 8 or 4."""
        return 8 if self.codes.dtype == torch.int8 else 4

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the matrix."""
        return self.codes.shape[0], self.codes.shape[1] * 8 // self.bits

    def dequantized(self) -> Tensor:
        """The matrix that the codes stand for, float32 (R, C)."""
        return numbers_of(self.values_RC(), self.scales_RS)

    def values_RC(self) -> Tensor:
        """The codes one by one, int8 (R, C), or uint8 of 4 bits."""
        if self.bits == 8:
            return self.codes
        return torch.stack((self.codes & 15, self.codes >> 4), dim=-1).flatten(1)


def numbers_of(values_RC: Tensor, scales_RS: Tensor) -> Tensor:
    """What codes, one by one, stand for: float32 (R, C)."""
    values_RGN = values_RC.unflatten(1, (-1, GROUP_SIZE)).float()
    groups = values_RGN.shape[1]
    numbers_RGN = values_RGN * scales_RS[:, :groups].float().unsqueeze(-1)
    if scales_RS.shape[1] > groups:
        numbers_RGN += scales_RS[:, groups:].float().unsqueeze(-1)
    return numbers_RGN.flatten(1)


def num_scales(columns: int, bits: int) -> int:
    """What goes with the codes of a row: S."""
    return columns // GROUP_SIZE * (2 if bits == 4 else 1)


def can_quantize(shape: tuple[int, ...]) -> bool:
    """Whether it is a matrix whose rows are whole groups."""
    return len(shape) == 2 and shape[0] > 0 and shape[1] > 0 and shape[1] % GROUP_SIZE == 0


def quantize(weight_RC: Tensor, bits: int) -> QuantizedMatrix:
    """Codes of 8 or 4 bits for a matrix of any float type.

    Raises:
        InputError: a number is not finite, or beyond what a scale in float16 can reach.
    """
    assert bits in (4, 8) and can_quantize(tuple(weight_RC.shape))
    in_bits = _in_8_bits if bits == 8 else _in_4_bits
    parts = [in_bits(rows.float().unflatten(1, (-1, GROUP_SIZE))) for rows in weight_RC.split(_ROWS_AT_ONCE)]
    values_RC = torch.cat([values for values, _ in parts]).flatten(1)
    scales_RS = torch.cat([scales for _, scales in parts])
    if not scales_RS.isfinite().all():
        raise InputError("a weight is not finite, or too large for a scale in float16")
    if bits == 8:
        return QuantizedMatrix(codes=values_RC.to(torch.int8), scales_RS=scales_RS)
    low_RC, high_RC = values_RC.to(torch.uint8).unflatten(1, (-1, 2)).unbind(-1)
    return QuantizedMatrix(codes=low_RC | high_RC << 4, scales_RS=scales_RS)


def _in_8_bits(weight_RGN: Tensor) -> tuple[Tensor, Tensor]:
    scales_RG = (weight_RGN.abs().amax(-1) / 127).half()
    return _codes(weight_RGN, scales_RG, -127, 127), scales_RG


def _in_4_bits(weight_RGN: Tensor) -> tuple[Tensor, Tensor]:
    best: tuple[Tensor, Tensor, Tensor] | None = None
    for start in _starts(weight_RGN):
        values_RGN = _codes(weight_RGN - start[1].float().unsqueeze(-1), start[0], 0, 15)
        for tried in (start, _line(weight_RGN, values_RGN)):
            scale_RG1, least_RG1 = (part.float().unsqueeze(-1) for part in tried)
            error_RG = (weight_RGN - values_RGN * scale_RG1 - least_RG1).square().sum(-1)
            found = (error_RG, values_RGN, torch.stack(tried, dim=1))
            if best is None:
                best = found
                continue
            better_RG = error_RG < best[0]
            best = (
                torch.where(better_RG, error_RG, best[0]),
                torch.where(better_RG.unsqueeze(-1), values_RGN, best[1]),
                torch.where(better_RG.unsqueeze(1), found[2], best[2]),
            )
    assert best is not None
    return best[1], best[2].flatten(1)


def _starts(weight_RGN: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Scales and least numbers to begin with, (R, G) each."""
    least_RG, most_RG = weight_RGN.amin(-1), weight_RGN.amax(-1)
    for share in _RANGES:
        cut_RG = (most_RG - least_RG) * ((1 - share) / 2)
        yield ((most_RG - least_RG) * (share / 15)).half(), (least_RG + cut_RG).half()
    largest_RG1 = weight_RGN.abs().argmax(-1, keepdim=True)
    scales_RG = (weight_RGN.gather(-1, largest_RG1).squeeze(-1) / -8).half()
    yield scales_RG, -8 * scales_RG


def _line(weight_RGN: Tensor, values_RGN: Tensor) -> tuple[Tensor, Tensor]:
    """Scale and least number with the least squared error for some codes (ordinary least squares)."""
    mean_RG1, middle_RG1 = weight_RGN.mean(-1, keepdim=True), values_RGN.mean(-1, keepdim=True)
    away_RGN = values_RGN - middle_RG1
    scales_RG = ((weight_RGN - mean_RG1) * away_RGN).sum(-1) / away_RGN.square().sum(-1).clamp_min(1e-6)
    return scales_RG.half(), (mean_RG1.squeeze(-1) - scales_RG * middle_RG1.squeeze(-1)).half()


def _codes(weight_RGN: Tensor, scales_RG: Tensor, lowest: int, highest: int) -> Tensor:
    """Whole numbers as floats; 0 where the scale is too small to be told from 0."""
    scales_RG1 = scales_RG.float().unsqueeze(-1)
    inverse_RG1 = torch.where(scales_RG1 == 0, 0.0, 1 / scales_RG1)
    return (weight_RGN * inverse_RG1).round_().clamp_(lowest, highest)
