"""A weight that is held as codes alone and multiplied as such.

Linear layers and lookups take it as any other weight; all other operators see the numbers that its codes
stand for, made anew each time. Vectors are coded in 8 bits a group before a product, as a decoder's step does
(``nn/kernels/products.c``), however many tokens are read at once.

Shapes: R rows in tiles of 16, C columns, G groups of 32 columns, N vectors.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Container, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils._pytree import tree_map

from yanmo.nn.kernels import library
from yanmo.nn.quantization import GROUP_SIZE, QuantizedMatrix

_LANES = 16
# Vectors that are coded together: CHUNK of products.c.
_CHUNK = 256


class Matrix(ctypes.Structure):
    """A matrix as ``products.h`` has it."""

    _fields_ = [
        ("codes", ctypes.c_void_p),
        ("scales", ctypes.c_void_p),
        ("bits", ctypes.c_int64),
        ("rows", ctypes.c_int64),
        ("columns", ctypes.c_int64),
    ]


class CodedWeight(Tensor):
    """A float32 matrix (R, C) that exists as codes in tiles; it can be read, not written."""

    matrix: Matrix
    _codes: Tensor
    _scales: Tensor

    @staticmethod
    def __new__(cls, matrix: QuantizedMatrix) -> CodedWeight:
        """Lay the codes out in tiles.

        Args:
            matrix: which need not be kept.
        """
        weight = Tensor._make_wrapper_subclass(cls, matrix.shape, dtype=torch.float32)
        assert isinstance(weight, CodedWeight)
        weight._codes, weight._scales = tiled(matrix)
        addresses = (weight._codes.data_ptr(), weight._scales.data_ptr())
        weight.matrix = Matrix(*addresses, matrix.bits, *matrix.shape)
        return weight

    def coded(self) -> QuantizedMatrix:
        """The codes as files have them."""
        return untiled(self._codes, self._scales, self.matrix.bits, tuple(self.shape))

    @classmethod
    def __torch_function__(
        cls,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Products and lookups by codes; what is asked of the tensor as such is answered."""
        own = _OWN.get(func)
        if own is not None:
            return own(*args, **(kwargs or {}))
        with torch._C.DisableTorchFunctionSubclass():
            return func(*args, **(kwargs or {}))

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[Any, Any] | None = None
    ) -> Any:
        """Other operators on the numbers."""
        if func._schema.is_mutable and isinstance(args[0], CodedWeight):
            raise TypeError(f"{func} would change a weight that is held as codes")
        args, kwargs = tree_map(_numbers, (args, kwargs or {}))
        return func(*args, **kwargs)


def _numbers(value: object) -> object:
    return value.coded().dequantized() if isinstance(value, CodedWeight) else value


def _linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    assert isinstance(weight, CodedWeight), "only weights are held as codes"
    x_NC = x.reshape(-1, weight.matrix.columns).float().contiguous()
    number, rows = len(x_NC), weight.matrix.rows
    out_NR = torch.empty(number, rows)
    held = min(number, _CHUNK) * weight.matrix.columns
    codes, scales = torch.empty(held, dtype=torch.int8), torch.empty(held // GROUP_SIZE)
    offsets = torch.empty(held // GROUP_SIZE, dtype=torch.int32)
    addresses = [tensor.data_ptr() for tensor in (x_NC, out_NR)]
    room = [tensor.data_ptr() for tensor in (codes, scales, offsets)]
    library.coded_product(ctypes.addressof(weight.matrix), *addresses, number, *room)
    out = out_NR.view(*x.shape[:-1], rows).to(x.dtype)
    return out if bias is None else out + bias


def _embedding(tokens: Tensor, weight: CodedWeight, **unused: object) -> Tensor:
    rows_N = tokens.flatten()
    tiles_N, lanes_N = rows_N // _LANES, rows_N % _LANES
    codes, scales_NG = weight._codes[tiles_N, :, lanes_N], weight._scales[tiles_N, :, lanes_N]
    values_NGE = _values(codes, weight.matrix.bits).view(len(rows_N), -1, GROUP_SIZE)
    vectors_NC = (values_NGE.float() * scales_NG.float().unsqueeze(-1)).flatten(1)
    return vectors_NC.view(*tokens.shape, -1)


_OWN: dict[Callable[..., Any], Callable[..., Any]] = {
    functional.linear: _linear,
    functional.embedding: _embedding,
    Tensor.detach: lambda weight: weight,
    Tensor.requires_grad_: lambda weight, requires_grad=True: _never(weight, requires_grad),
    Tensor.data_ptr: lambda weight: weight._codes.data_ptr(),
    Tensor.nbytes.__get__: lambda weight: weight._codes.nbytes + weight._scales.nbytes,  # type: ignore[attr-defined]
}


def _never(weight: CodedWeight, requires_grad: bool) -> CodedWeight:
    assert not requires_grad, "codes have no gradient"
    return weight


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
            _put(model, name, nn.Parameter(weight.detach()[:0], requires_grad=False))
    model.to_empty(device="cpu")


def hold_as_codes(model: nn.Module, name: str, matrix: QuantizedMatrix) -> None:
    """Replace one of a model's parameters by codes."""
    _put(model, name, nn.Parameter(CodedWeight(matrix), requires_grad=False))


def hold_as_numbers(model: nn.Module) -> None:
    """Replace codes by the numbers that they stand for, for whoever has to write or to follow weights."""
    for name, weight in list(model.named_parameters()):
        if isinstance(weight, CodedWeight):
            _put(model, name, nn.Parameter(weight.coded().dequantized(), requires_grad=False))


def _put(model: nn.Module, name: str, weight: nn.Parameter) -> None:
    module, _, own = name.rpartition(".")
    assert isinstance(getattr(model.get_submodule(module), own), nn.Parameter)
    setattr(model.get_submodule(module), own, weight)
