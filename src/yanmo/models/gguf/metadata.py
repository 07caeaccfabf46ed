"""The metadata of a GGUF file: values of the type and within the bounds that their reader asks for."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from yanmo.errors import InputError
from yanmo.models.files.foreign_files import DAMAGED, shorten
from yanmo.models.gguf.header import Value

# Above any size of a model in use, and far below what a table of it would fill a machine with.
MAX_SIZE = 2**27


class Metadata:
    """Typed access to metadata; every getter raises InputError where the value is of another type.

    A key that begins with a dot is one of the architecture's: ``.block_count`` is ``llama.block_count``.
    """

    def __init__(self, values: Mapping[str, Value], where: Path) -> None:
        """Look at the values of a file.

        Raises:
            InputError: it does not say which architecture it holds.
        """
        self.values = values
        self.where = where
        self.architecture = self.text("general.architecture")

    def full_key(self, key: str) -> str:
        """The key as the file writes it."""
        return self.architecture + key if key.startswith(".") else key

    def has(self, key: str) -> bool:
        """Whether the file has the key."""
        return self.full_key(key) in self.values

    def text(self, key: str, default: str | None = None) -> str:
        """A string."""
        value = self._get(key, default)
        if not isinstance(value, str):
            raise self.wrong(key, "no string")
        return value

    def flag(self, key: str, default: bool | None = None) -> bool:
        """True or false."""
        value = self._get(key, default)
        if not isinstance(value, bool):
            raise self.wrong(key, "neither true nor false")
        return value

    def integer(self, key: str, default: int | None = None, *, low: int = 1, high: int = MAX_SIZE) -> int:
        """A whole number from ``low`` to ``high``; one for each layer is taken where all are the same."""
        value = self._get(key, default)
        if isinstance(value, list) and value and all(item == value[0] for item in value):
            value = value[0]
        if type(value) is not int or not low <= value <= high:
            raise self.wrong(key, f"no whole number from {low} to {high}")
        return value

    def number(self, key: str, default: float | None = None) -> float:
        """A finite number, as the shortest decimal that is the same in float32 (1e-06, not 9.99e-07)."""
        value = self._get(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise self.wrong(key, "no number")
        return shortest(float(value))

    def texts(self, key: str) -> list[str]:
        """Strings; none where the key is missing."""
        value = self.values.get(self.full_key(key), [])
        if not isinstance(value, list) or any(not isinstance(item, str) for item in value):
            raise self.wrong(key, "no list of strings")
        return [item for item in value if isinstance(item, str)]

    def integers(self, key: str) -> list[int]:
        """Whole numbers (false is 0, true is 1); none where the key is missing."""
        value = self.values.get(self.full_key(key), [])
        if not isinstance(value, list) or any(not isinstance(item, int) for item in value):
            raise self.wrong(key, "no list of whole numbers")
        return [int(item) for item in value]

    def numbers(self, key: str) -> list[float]:
        """Finite numbers; none where the key is missing."""
        value = self.values.get(self.full_key(key), [])
        if not isinstance(value, list):
            raise self.wrong(key, "no list of numbers")
        found = [float(item) for item in value if isinstance(item, int | float)]
        if len(found) != len(value) or not all(map(math.isfinite, found)):
            raise self.wrong(key, "no list of numbers")
        return found

    def wrong(self, key: str, what: str) -> InputError:
        """The error for a value that cannot be."""
        shown = shorten(self.values.get(self.full_key(key)))
        return InputError(f"{self.full_key(key)} is {what}: {shown}", where=self.where, remedy=DAMAGED)

    def _get(self, key: str, default: Value | None) -> Value:
        value = self.values.get(self.full_key(key), default)
        if value is None:
            raise InputError(f"{self.full_key(key)} is missing", where=self.where, remedy=DAMAGED)
        return value


def shortest(value: float) -> float:
    """The shortest decimal that is the same float32, where the value is one; else the value."""
    if abs(value) > float(np.finfo(np.float32).max):
        return value
    single = np.float32(value)
    return float(str(single)) if float(single) == value else value
