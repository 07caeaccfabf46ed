"""Weights that are held otherwise than as float32 numbers, and multiplied as they are held.

Linear layers and lookups take them as any other weight; all other operators see the float32 numbers that they
stand for, made anew each time. What goes in and comes out is float32.

Shapes: R rows, C columns, N vectors.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils._pytree import tree_map

from yanmo import machine
from yanmo.nn.kernels import library

# From so many vectors on, torch's product of matrices is quicker than reading row by row.
_MATRIX_MIN_VECTORS = 12
_BFLOAT16_FLAGS = ("avx512_bf16", "amx_bf16")


class Matrix(ctypes.Structure):
    """A matrix as ``kernels/products.h`` has it."""

    _fields_ = [
        ("codes", ctypes.c_void_p),
        ("scales", ctypes.c_void_p),
        ("bits", ctypes.c_int64),
        ("rows", ctypes.c_int64),
        ("columns", ctypes.c_int64),
        ("is_fine", ctypes.c_int64),
    ]


class HeldWeight(Tensor):
    """A float32 matrix (R, C) to all who ask; it can be read, not written."""

    matrix: Matrix
    held: tuple[Tensor, ...]

    def numbers(self) -> Tensor:
        """The float32 matrix."""
        raise NotImplementedError

    def product(self, x_NC: Tensor) -> Tensor:
        """x W^T of contiguous float32 vectors, (N, R)."""
        raise NotImplementedError

    def rows(self, ids_N: Tensor) -> Tensor:
        """Some rows, float32 (N, C)."""
        raise NotImplementedError

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
        if func._schema.is_mutable and isinstance(args[0], HeldWeight):
            raise TypeError(f"{func} would change a weight that can only be read")
        args, kwargs = tree_map(_numbers, (args, kwargs or {}))
        return func(*args, **kwargs)


class Bfloat16Weight(HeldWeight):
    """Held as bfloat16 numbers, row by row."""

    @staticmethod
    def __new__(cls, weight_RC: Tensor) -> Bfloat16Weight:
        """Nothing is copied.

        Args:
            weight_RC: contiguous, bfloat16.
        """
        assert weight_RC.dtype == torch.bfloat16 and weight_RC.is_contiguous()
        weight = Tensor._make_wrapper_subclass(cls, weight_RC.shape, dtype=torch.float32)
        assert isinstance(weight, Bfloat16Weight)
        weight.held = (weight_RC.detach(),)
        weight.matrix = Matrix(weight_RC.data_ptr(), None, 16, *weight_RC.shape)
        return weight

    def numbers(self) -> Tensor:
        """Widened."""
        return self.held[0].float()

    def product(self, x_NC: Tensor) -> Tensor:
        """By the kernel where vectors are few, else by torch, in the type that this machine is quick at."""
        if len(x_NC) < _MATRIX_MIN_VECTORS:
            out_NR = torch.empty(len(x_NC), self.matrix.rows)
            rounded_NC = torch.empty_like(x_NC, dtype=torch.bfloat16)
            addresses = (ctypes.addressof(self.matrix), x_NC.data_ptr(), out_NR.data_ptr())
            library.coded_product(*addresses, len(x_NC), rounded_NC.data_ptr(), 0, 0)
            return out_NR
        if machine.cpu_flags(_BFLOAT16_FLAGS):
            return functional.linear(x_NC.bfloat16(), self.held[0]).float()
        return functional.linear(x_NC, self.numbers())

    def rows(self, ids_N: Tensor) -> Tensor:
        """Widened."""
        return self.held[0][ids_N].float()


def hold_as_numbers(model: nn.Module) -> None:
    """Replace what is held otherwise by numbers, for whoever has to write or to follow weights."""
    for name, weight in list(model.named_parameters()):
        if isinstance(weight, HeldWeight):
            put(model, name, weight.numbers())


def put(model: nn.Module, name: str, weight: Tensor) -> None:
    """Replace a parameter by one that does not learn."""
    module, _, own = name.rpartition(".")
    assert isinstance(getattr(model.get_submodule(module), own), nn.Parameter)
    setattr(model.get_submodule(module), own, nn.Parameter(weight, requires_grad=False))


def _numbers(value: object) -> object:
    return value.numbers() if isinstance(value, HeldWeight) else value


def _linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    assert isinstance(weight, HeldWeight), "only weights are held so"
    out_NR = weight.product(x.reshape(-1, weight.matrix.columns).float().contiguous())
    out = out_NR.view(*x.shape[:-1], weight.matrix.rows).to(x.dtype)
    return out if bias is None else out + bias


def _embedding(tokens: Tensor, weight: HeldWeight, **unused: object) -> Tensor:
    return weight.rows(tokens.flatten()).view(*tokens.shape, -1)


def _never(weight: HeldWeight, requires_grad: bool = True) -> HeldWeight:
    assert not requires_grad, "what is held so has no gradient"
    return weight


_OWN: dict[Callable[..., Any], Callable[..., Any]] = {
    functional.linear: _linear,
    functional.embedding: _embedding,
    Tensor.detach: lambda weight: weight,
    Tensor.requires_grad_: _never,
    Tensor.data_ptr: lambda weight: weight.held[0].data_ptr(),
    Tensor.nbytes.__get__: lambda weight: sum(tensor.nbytes for tensor in weight.held),  # type: ignore[attr-defined]
}
