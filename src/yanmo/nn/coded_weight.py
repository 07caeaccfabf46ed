"""A weight that is held as codes alone and multiplied as such.

Vectors are coded in 8 bits a group before a product, as a decoder's step does (``nn/kernels/products.c``),
however many tokens are read at once.

Shapes: R rows in tiles of 16, C columns, S scales of a row (``nn/quantization.py``), N vectors.
"""

from __future__ import annotations

import ctypes
from collections.abc import Container

import torch
from torch import Tensor, nn
from torch.nn import functional

from yanmo.nn.held_weight import HeldWeight, Matrix, put
from yanmo.nn.kernels import library
from yanmo.nn.quantization import GROUP_SIZE, QuantizedMatrix, numbers_of

_LANES = 16
_FINE = "attention.qkv.weight"
# Vectors that are coded together: CHUNK of products.c.
_CHUNK = 256


class CodedWeight(HeldWeight):
    """Held as codes in tiles."""

    @staticmethod
    def __new__(cls, matrix: QuantizedMatrix, *, is_fine: bool = False) -> CodedWeight:
        """Lay the codes out in tiles.

        Args:
            matrix: which need not be kept.
            is_fine: code what the codes of vectors leave out as well, in products of twice the length.
        """
        weight = Tensor._make_wrapper_subclass(cls, matrix.shape, dtype=torch.float32)
        assert isinstance(weight, CodedWeight)
        weight.held = tiled(matrix)
        addresses = (tensor.data_ptr() for tensor in weight.held)
        weight.matrix = Matrix(*addresses, matrix.bits, *matrix.shape, is_fine)
        return weight

    def numbers(self) -> Tensor:
        """What the codes stand for."""
        codes, scales = self.held
        return untiled(codes, scales, self.matrix.bits, tuple(self.shape)).dequantized()

    def product(self, x_NC: Tensor) -> Tensor:
        """By the kernel."""
        number, columns = x_NC.shape
        num_codes = min(number, _CHUNK) * columns * (1 + self.matrix.is_fine)
        out_NR = torch.empty(number, self.matrix.rows)
        codes, scales = torch.empty(num_codes, dtype=torch.int8), torch.empty(num_codes // GROUP_SIZE)
        offsets = torch.empty(num_codes // GROUP_SIZE, dtype=torch.int32)
        addresses = (ctypes.addressof(self.matrix), x_NC.data_ptr(), out_NR.data_ptr())
        library.coded_product(*addresses, number, *(room.data_ptr() for room in (codes, scales, offsets)))
        return out_NR

    def rows(self, ids_N: Tensor) -> Tensor:
        """What their codes stand for."""
        tiles_N, lanes_N = ids_N // _LANES, ids_N % _LANES
        codes, scales_NS = (tensor[tiles_N, :, lanes_N] for tensor in self.held)
        return numbers_of(_values(codes, self.matrix.bits), scales_NS)


def tiled(matrix: QuantizedMatrix) -> tuple[Tensor, Tensor]:
    """Codes and scales as the kernels read them (``products.h``).

    Returns:
        Codes, uint8 (tiles, C / 4, 16, 4), or (tiles, C / 8, 16, 4) of 4 bits, and scales (tiles, S, 16).
    """
    rows, columns = matrix.shape
    missing = -rows % _LANES
    values_RC = functional.pad(matrix.values_RC(), (0, 0, 0, missing))
    scales_RS = functional.pad(matrix.scales_RS, (0, 0, 0, missing))
    # Four neighbouring columns of each lane's row, then the next four.
    tiles = values_RC.view(-1, _LANES, columns // 4, 4).transpose(1, 2)
    scales = scales_RS.unflatten(0, (-1, _LANES)).transpose(1, 2).contiguous()
    if matrix.bits == 8:
        return (tiles.to(torch.int16) + 128).to(torch.uint8).contiguous(), scales
    low, high = tiles.unflatten(1, (-1, 2)).unbind(2)
    return (low | high << 4).contiguous(), scales


def untiled(codes: Tensor, scales: Tensor, bits: int, shape: tuple[int, ...]) -> QuantizedMatrix:
    """The inverse of ``tiled``."""
    rows, columns = shape
    values_RC = _values(codes.transpose(1, 2).flatten(0, 1), bits)[:rows]
    scales_RS = scales.transpose(1, 2).flatten(0, 1)[:rows].contiguous()
    if bits == 8:
        return QuantizedMatrix(codes=values_RC.view(rows, columns), scales_RS=scales_RS)
    low_RC, high_RC = values_RC.view(rows, -1, 2).unbind(-1)
    return QuantizedMatrix(codes=low_RC | high_RC << 4, scales_RS=scales_RS)


def _values(codes_NQ4: Tensor, bits: int) -> Tensor:
    """Of rows of tiles (N, C / 4 or C / 8, 4), the codes one by one: (N, C), int8, or uint8 of 4 bits."""
    if bits == 8:
        return (codes_NQ4 ^ 128).view(torch.int8).flatten(1)
    return torch.stack((codes_NQ4 & 15, codes_NQ4 >> 4), dim=2).flatten(1)


def make_room(model: nn.Module, coded: Container[str]) -> None:
    """Give a model that was laid out on no device its memory, but for parameters that will be codes."""
    for name, weight in list(model.named_parameters()):
        if name in coded:
            put(model, name, weight.detach()[:0])
    model.to_empty(device="cpu")


def hold_as_codes(model: nn.Module, name: str, matrix: QuantizedMatrix) -> None:
    """Replace one of a model's parameters by codes.

    Most of what 8 bits lose, they lose in the vectors that queries, keys and values are made of
    (benchmarks/RESULTS.md), so these are coded twice.
    """
    put(model, name, CodedWeight(matrix, is_fine=matrix.bits == 8 and name.endswith(_FINE)))
