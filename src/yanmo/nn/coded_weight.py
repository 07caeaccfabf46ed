"""A weight that is held as codes alone and multiplied as such.

Vectors are coded in 8 bits a group before a product, as a decoder's step does (``nn/kernels/products.c``),
however many tokens are read at once.

Shapes: R rows in tiles of 16, C columns, G groups of 32 columns, N vectors.
"""

from __future__ import annotations

import ctypes
from collections.abc import Container

import torch
from torch import Tensor, nn
from torch.nn import functional

from yanmo.nn.held_weight import HeldWeight, Matrix, put
from yanmo.nn.kernels import library
from yanmo.nn.quantization import GROUP_SIZE, QuantizedMatrix

_LANES = 16
# Vectors that are coded together: CHUNK of products.c.
_CHUNK = 256


class CodedWeight(HeldWeight):
    """Held as codes in tiles."""

    @staticmethod
    def __new__(cls, matrix: QuantizedMatrix) -> CodedWeight:
        """Lay the codes out in tiles.

        Args:
            matrix: which need not be kept.
        """
        weight = Tensor._make_wrapper_subclass(cls, matrix.shape, dtype=torch.float32)
        assert isinstance(weight, CodedWeight)
        weight.held = tiled(matrix)
        weight.matrix = Matrix(*(tensor.data_ptr() for tensor in weight.held), matrix.bits, *matrix.shape)
        return weight

    def numbers(self) -> Tensor:
        """What the codes stand for."""
        codes, scales = self.held
        return untiled(codes, scales, self.matrix.bits, tuple(self.shape)).dequantized()

    def product(self, x_NC: Tensor) -> Tensor:
        """By the kernel."""
        number, columns = x_NC.shape
        out_NR, num_codes = torch.empty(number, self.matrix.rows), min(number, _CHUNK) * columns
        codes, scales = torch.empty(num_codes, dtype=torch.int8), torch.empty(num_codes // GROUP_SIZE)
        offsets = torch.empty(num_codes // GROUP_SIZE, dtype=torch.int32)
        addresses = (ctypes.addressof(self.matrix), x_NC.data_ptr(), out_NR.data_ptr())
        library.coded_product(*addresses, number, *(room.data_ptr() for room in (codes, scales, offsets)))
        return out_NR

    def rows(self, ids_N: Tensor) -> Tensor:
        """What their codes stand for."""
        tiles_N, lanes_N = ids_N // _LANES, ids_N % _LANES
        codes, scales_NG = (tensor[tiles_N, :, lanes_N] for tensor in self.held)
        values_NGE = _values(codes, self.matrix.bits).view(len(ids_N), -1, GROUP_SIZE)
        return (values_NGE.float() * scales_NG.float().unsqueeze(-1)).flatten(1)


def tiled(matrix: QuantizedMatrix) -> tuple[Tensor, Tensor]:
    """Codes and scales as the kernels read them (``products.h``).

    Returns:
        Codes, uint8 (tiles, C / 4, 16, 4), or (tiles, C / 8, 16, 4) of 4 bits, and scales (tiles, G, 16).
    """
    rows, columns = matrix.shape
    missing = -rows % _LANES
    values_RC = functional.pad(matrix.values_RGN().flatten(1), (0, 0, 0, missing))
    scales_RG = functional.pad(matrix.scales_RG, (0, 0, 0, missing))
    # Four neighbouring columns of each lane's row, then the next four.
    tiles = values_RC.view(-1, _LANES, columns // 4, 4).transpose(1, 2)
    scales = scales_RG.view(-1, _LANES, columns // GROUP_SIZE).transpose(1, 2).contiguous()
    if matrix.bits == 8:
        return (tiles.to(torch.int16) + 128).to(torch.uint8).contiguous(), scales
    low, high = (tiles + 8).to(torch.uint8).unflatten(1, (-1, 2)).unbind(2)
    return (low | high << 4).contiguous(), scales


def untiled(codes: Tensor, scales: Tensor, bits: int, shape: tuple[int, ...]) -> QuantizedMatrix:
    """The inverse of ``tiled``."""
    rows, columns = shape
    values_RC = _values(codes.transpose(1, 2).flatten(0, 1), bits)[:rows]
    scales_RG = scales.transpose(1, 2).flatten(0, 1)[:rows].contiguous()
    if bits == 8:
        return QuantizedMatrix(codes=values_RC.view(rows, columns), scales_RG=scales_RG)
    low_RC, high_RC = (values_RC + 8).to(torch.uint8).view(rows, -1, 2).unbind(-1)
    return QuantizedMatrix(codes=low_RC | high_RC << 4, scales_RG=scales_RG)


def _values(codes_NQ4: Tensor, bits: int) -> Tensor:
    """Of rows of tiles (N, C / 4 or C / 8, 4), the codes one by one: int8 (N, C)."""
    if bits == 8:
        return (codes_NQ4 ^ 128).view(torch.int8).flatten(1)
    halves = torch.stack((codes_NQ4 & 15, codes_NQ4 >> 4), dim=2)
    return halves.flatten(1).to(torch.int8) - 8


def make_room(model: nn.Module, coded: Container[str]) -> None:
    """Give a model that was laid out on no device its memory, but for parameters that will be codes."""
    for name, weight in list(model.named_parameters()):
        if name in coded:
            put(model, name, weight.detach()[:0])
    model.to_empty(device="cpu")


def hold_as_codes(model: nn.Module, name: str, matrix: QuantizedMatrix) -> None:
    """Replace one of a model's parameters by codes."""
    put(model, name, CodedWeight(matrix))
