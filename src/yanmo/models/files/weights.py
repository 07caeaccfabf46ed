"""Where weights come from: a protocol that every kind of weight file satisfies, and the memory they need.

A source says what it holds before anything is allocated and hands tensors over one at a time, so that a
loader copies each into its place, gives the pages back, and never holds the file and the model at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from yanmo import machine
from yanmo.config import format_size
from yanmo.errors import InputError

_PIECE_BYTES = 16 * 2**20


@dataclass(frozen=True)
class TensorInfo:
    """What a file says of one tensor; ``num_bytes`` is what it takes once read (as ``dtype``)."""

    shape: tuple[int, ...]
    dtype: torch.dtype
    num_bytes: int


class WeightSource(Protocol):
    """Named tensors that can be read one at a time."""

    @property
    def path(self) -> Path:
        """File or folder they come from, which messages name."""

    @property
    def tensors(self) -> Mapping[str, TensorInfo]:
        """All tensors by the names of the file; nothing is read for it."""

    def read(self, name: str) -> Tensor:
        """One tensor, of the shape and dtype that ``tensors`` gives; not to be written to.

        It is a view of the mapped file or made afresh. It stays right after ``release``, but a view that is
        read again brings its pages back.

        Raises:
            KeyError: there is no such tensor.
            InputError: the tensor is damaged.
        """

    def release(self) -> None:
        """Give back the memory of what was read so far; reading goes on as before."""


def equal(source: WeightSource, first: str, second: str) -> bool:
    """Whether two tensors of a source are the same, number for number; compared in pieces.

    Raises:
        KeyError: there is no such tensor.
        InputError: a tensor is damaged.
    """
    infos = source.tensors[first], source.tensors[second]
    if first == second or infos[0].shape != infos[1].shape or infos[0].dtype != infos[1].dtype:
        return first == second
    rows = max(1, _PIECE_BYTES * infos[0].shape[0] // max(1, infos[0].num_bytes)) if infos[0].shape else 1
    pieces = [source.read(name).view(-1, *infos[0].shape[1:]).split(rows) for name in (first, second)]
    for one, other in zip(*pieces, strict=True):
        if not torch.equal(one, other):
            return False
        source.release()
    return True


def fill(target: Tensor, weight: Tensor, source: WeightSource) -> None:
    """Copy a weight into its place in pieces, so that one large tensor never stands in memory twice.

    Args:
        target: where to, of the same shape and any dtype.
        weight: what ``source.read`` gave, or some rows of it. To transpose, transpose ``target``: pieces
            of a transposed file touch all of its pages.
        source: whose pages are given back after each piece.
    """
    assert target.shape == weight.shape, (target.shape, weight.shape)
    rows = max(1, _PIECE_BYTES * max(1, len(weight)) // max(1, weight.nbytes)) if weight.ndim else 1
    pieces = zip(target.split(rows), weight.split(rows), strict=True) if weight.ndim else [(target, weight)]
    with torch.no_grad():
        for target_piece, weight_piece in pieces:
            target_piece.copy_(weight_piece)
            source.release()


def require_memory(num_bytes: int, *, what: str, where: object) -> None:
    """Refuse, before anything is loaded, what this machine cannot hold.

    Args:
        num_bytes: memory that is going to be needed.
        what: what needs it, such as "the model in float32".
        where: its file or folder, for the message.

    Raises:
        InputError: less is available, with both figures.
    """
    available_bytes = machine.available_memory_bytes()
    if num_bytes > available_bytes:
        raise InputError(
            f"{what} needs {format_size(num_bytes)} of memory; {format_size(available_bytes)} is available",
            where=where,
            remedy="load it as bfloat16, take a smaller model, or close other programs",
        )
