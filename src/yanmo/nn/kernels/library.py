"""The compiled kernels as functions: loaded when first asked for, checked, and called through ctypes."""

from __future__ import annotations

import _ctypes
import ctypes
import functools
import logging
import os
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from yanmo.nn.kernels import build, check

# Arguments of each kernel: p a tensor or None, c a count, f a float; the number of threads follows.
_SIGNATURES = {
    "rms_norm": "ppppccf",
    "rms_norm_backward": "pppppppccc",
    "split_heads": "pppppppppccccccf",
    "split_heads_backward": "ppppppppppppccccccc",
    "gate": "ppccff",
    "gate_backward": "pppccff",
    "softmax": "pccccf",
    "softmax_backward": "ppccccf",
    "cross_entropy": "pppcc",
}
_FLOAT_ONLY = {
    "decode_step": "pppppppp" + "cc" + "pppp",
    "coded_product": "pppcppp",
    "attention": "pppppp" + "pp" + "cccccccc" + "f",
}
_TYPES: dict[str, Any] = {"p": ctypes.c_void_p, "c": ctypes.c_int64, "f": ctypes.c_float, "i": ctypes.c_int}
_SUFFIXES = {torch.float32: "float", torch.bfloat16: "bfloat16"}
_PLAIN_TYPES = (Tensor, torch.nn.Parameter)

Result = TypeVar("Result")
Argument = Tensor | int | float | None


@dataclass(frozen=True, kw_only=True)
class _Library:
    """Whether there are kernels; if not, ``status`` says why; ``is_fallback`` where nobody wished it so."""

    status: str
    is_on: bool = False
    is_fallback: bool = False


_lock = threading.Lock()
_library: _Library | None = None
# Filled before the kernels are checked; nobody else calls one before the check is over.
_functions: dict[tuple[str, torch.dtype], Callable[..., None]] = {}


def status() -> str:
    """Whether the kernels are in use, and if not, why; compiles and loads them if nobody has yet."""
    return _loaded().status


def suit(*tensors: Tensor) -> bool:
    """Whether kernels can take these: plain tensors of one type they know, on the CPU, and nobody tracing."""
    dtype = tensors[0].dtype
    if dtype not in _SUFFIXES or torch.compiler.is_compiling() or torch._C._is_tracing():
        return False
    for tensor in tensors:
        if type(tensor) not in _PLAIN_TYPES or tensor.dtype is not dtype or not tensor.is_cpu:
            return False
    return _loaded().is_on


def call(name: str, dtype: torch.dtype, *arguments: Argument) -> None:
    """Call a kernel with contiguous tensors, on as many threads as torch's own operators use."""
    plain = [value.data_ptr() if isinstance(value, Tensor) else value for value in arguments]
    _functions[name, dtype](*plain, torch.get_num_threads())


def has_codes() -> bool:
    """Whether ``coded_product`` and ``decode_step`` can be called."""
    return _loaded().is_on


def coded_product(*arguments: int) -> None:
    """Products of vectors with a matrix of codes; addresses and counts as ``products.c`` takes them."""
    _functions["coded_product", torch.float32](*arguments, torch.get_num_threads())


def decode_step(*arguments: int) -> None:
    """A token for each row through a whole decoder; addresses and counts as ``decoding.c`` takes them."""
    _functions["decode_step", torch.float32](*arguments, torch.get_num_threads())


def first_derivative(backward: Callable[..., Result]) -> Callable[..., Result]:
    """Refuse to be differentiated again, which would leave out what was written by hand without a word."""

    @functools.wraps(backward)
    def refusing(ctx: Any, *grads: Tensor) -> Result:
        # Gradients are recorded during a backward pass only where its own derivative is wanted.
        if torch.is_grad_enabled():
            raise RuntimeError("hand-written gradients have no second derivatives: leave create_graph out")
        return backward(ctx, *grads)

    return refusing


def _loaded() -> _Library:
    global _library
    if _library is None:
        with _lock:
            if _library is None:
                _library = _load()
                if _library.is_fallback:
                    logging.getLogger(__name__).warning("fused kernels are %s", _library.status)
    return _library


def _load() -> _Library:
    if os.environ.get("YANMO_KERNELS") == "0":
        return _Library(status="off: YANMO_KERNELS is 0")
    if sys.platform != "linux":
        return _Library(status="off: they are made for Linux only")
    try:
        built = build.built_library()
        refusal = _take(built.path)
        if refusal and not built.is_new:
            built = build.built_library(again=True)
            refusal = _take(built.path)
    except build.Unavailable as reason:
        return _Library(status=f"off, torch's operators are used: {reason}", is_fallback=True)
    if refusal:
        return _Library(
            status=f"off, torch's operators are used: compiled by {built.compiler}, {refusal}",
            is_fallback=True,
        )
    return _Library(status=f"on, compiled by {built.compiler}", is_on=True)


def _take(path: Path) -> str | None:
    """Load the library and check it; what is wrong with it, or None."""
    _functions.clear()
    try:
        library = ctypes.CDLL(str(path))
        for name, signature in _SIGNATURES.items():
            for dtype, suffix in _SUFFIXES.items():
                function = library[f"{name}_{suffix}"]
                function.argtypes = [_TYPES[kind] for kind in f"{signature}i"]
                function.restype = None
                _functions[name, dtype] = function
        for name, signature in _FLOAT_ONLY.items():
            function = library[name]
            function.argtypes, function.restype = [_TYPES[kind] for kind in f"{signature}i"], None
            _functions[name, torch.float32] = function
    except (OSError, AttributeError) as error:
        return f"they cannot be loaded: {error}"
    wrong = check.what_is_wrong()
    if wrong:
        # Otherwise a better one under the same name would be taken for this one.
        _functions.clear()
        _ctypes.dlclose(library._handle)
    return wrong
