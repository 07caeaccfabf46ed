"""Batches on the device that computes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Generic, TypeVar, cast

import torch
from torch import Tensor

from yanmo.data.loader import Batches

B = TypeVar("B")


class OnDevice(Generic[B]):
    """The batches of another ``Batches``, each tensor of them on a device."""

    def __init__(self, batches: Batches[B], device: torch.device) -> None:
        """Batches of any kind that ``move`` understands."""
        self._batches, self._device = batches, device

    @property
    def batch_size(self) -> int:
        """Rows of a step."""
        return self._batches.batch_size

    def rows(self, step: int, rows: range) -> B:
        """Some rows of optimizer step ``step`` (0-based)."""
        # Made on the CPU, with its random numbers, whatever device is in use.
        with torch.device("cpu"):
            batch = self._batches.rows(step, rows)
        return move(batch, self._device)

    def epochs(self, step: int) -> float:
        """Passes over the text before ``step``."""
        return self._batches.epochs(step)


def move(value: B, device: torch.device) -> B:
    """The same value with every tensor on a device.

    Args:
        value: a tensor, or a dataclass, tuple, list or mapping of such values; anything else stays.
        device: where the tensors shall be.
    """
    return cast(B, _move(value, device))


def _move(value: Any, device: torch.device) -> Any:
    if isinstance(value, Tensor):
        return value.to(device, non_blocking=True)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value) if field.init}
        return dataclasses.replace(value, **{name: _move(item, device) for name, item in fields.items()})
    if isinstance(value, Mapping):
        return {key: _move(item, device) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return type(value)(_move(item, device) for item in value)
    return value
