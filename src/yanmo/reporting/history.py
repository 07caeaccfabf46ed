"""What a run has measured so far, read from its metrics file as that grows.

A run of a hundred thousand steps is looked at every few seconds while it goes on, so only what is new is
read, the rows of steps are kept as columns of numbers, and what goes to a chart is thinned.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from yanmo.reporting.axes import Point
from yanmo.reporting.metrics_log import parse_row

# The numbers of a step's row that are kept.
STEP_COLUMNS = (
    *("step", "tokens", "elapsed_s", "loss_nats", "bits_per_byte"),
    *("lr_factor", "grad_norm", "tokens_per_s", "energy_j"),
)
# What belongs to a row's place in the run and not to what was measured there.
PLACE_COLUMNS = ("step", "tokens", "elapsed_s")
NOT_MEASURED = (*PLACE_COLUMNS, "batch")
# A file is the same one, only longer, while it still ends here as it did.
_TAIL_BYTES = 256
_SMOOTH_SHARE = 0.02
_SMOOTHED = ("loss_nats", "bits_per_byte")
Numbers = NDArray[np.float64]


class History:
    """The rows of one run by kind; those of steps as columns, the others (few) as they are."""

    def __init__(self, path: Path | None = None) -> None:
        """Name the metrics file; ``refresh`` reads it. None is a run without measurements."""
        self._path = path
        self._offset, self._tail = 0, b""
        self._columns = {name: array("d") for name in STEP_COLUMNS}
        self._others: dict[str, list[Mapping[str, Any]]] = {}

    def refresh(self) -> bool:
        """Read what has been written since; True where that changed anything.

        A file that was cut back or replaced is read anew. A line still being written waits.

        Raises:
            OSError: the file is there and cannot be read.
        """
        if self._path is None or not self._path.is_file():
            changed = self._offset > 0
            self._forget()
            return changed
        with self._path.open("rb") as file:
            file.seek(max(0, self._offset - len(self._tail)))
            anew = file.read(len(self._tail)) != self._tail
            if anew:
                self._forget()
                file.seek(0)
            raw = file.read()
        whole = raw[: raw.rfind(b"\n") + 1]
        if not whole:
            return anew
        self._offset += len(whole)
        self._tail = (self._tail + whole)[-_TAIL_BYTES:]
        for line in whole.splitlines():
            if (row := parse_row(line)) is not None:
                self._add(row)
        return True

    @property
    def num_steps(self) -> int:
        """How many rows of steps there are."""
        return len(self._columns["step"])

    def column(self, name: str) -> Sequence[float]:
        """One of ``STEP_COLUMNS``, NaN where a row lacks it."""
        return self._columns[name]

    def rows(self, kind: str) -> list[Mapping[str, Any]]:
        """The rows of a kind other than ``train``, in order."""
        return self._others.get(kind, [])

    def newest(self) -> dict[str, float]:
        """Where the run stands: the numbers of its furthest row of a step or a validation."""
        last_step = {name: column[-1] for name, column in self._columns.items() if column}
        rows = [
            last_step,
            *({k: number_or_nan(v) for k, v in row.items()} for row in self.rows("valid")[-1:]),
        ]
        best = max(rows, key=lambda row: row.get("step") or 0.0)
        return {name: value for name, value in best.items() if math.isfinite(value)}

    def points(self, x: str, y: str, *, kind: str = "train") -> list[Point]:
        """The pairs of two numbers over the rows of ``train`` or another kind that have both."""
        if kind == "train":
            pairs: Iterator[Point] = zip(self._columns[x], self._columns[y], strict=True)
        else:
            pairs = ((number_or_nan(row.get(x)), number_or_nan(row.get(y))) for row in self.rows(kind))
        return [(px, py) for px, py in pairs if math.isfinite(px) and math.isfinite(py)]

    def measured(self) -> list[str]:
        """The names of what the validations measured, in the order of their appearance."""
        names = dict.fromkeys(
            name for row in self.rows("valid") for name, value in row.items() if is_number(value)
        )
        return [name for name in names if name not in NOT_MEASURED]

    def _forget(self) -> None:
        self._offset, self._tail = 0, b""
        self._columns = {name: array("d") for name in STEP_COLUMNS}
        self._others = {}

    def _add(self, row: Mapping[str, Any]) -> None:
        if row.get("kind") != "train":
            self._others.setdefault(str(row.get("kind")), []).append(row)
            return
        if not is_number(row.get("step")):
            return
        steps = self._columns["step"]
        if steps and row["step"] <= steps[-1]:
            self._go_back_to(row["step"])
        for name, column in self._columns.items():
            column.append(number_or_nan(row.get(name)))

    def _go_back_to(self, step: float) -> None:
        """The run was rolled back: what it had measured from this step on is no part of it any more."""
        steps = self._columns["step"]
        keep = next((index for index, made in enumerate(steps) if made >= step), len(steps))
        for column in self._columns.values():
            del column[keep:]
        for kind in ("valid", "sample"):
            self._others[kind] = [row for row in self.rows(kind) if number_or_nan(row.get("step")) < step]


def is_number(value: object) -> bool:
    """Whether a value from a file is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def number_or_nan(value: object) -> float:
    """The value if it is a finite number, else NaN."""
    return float(value) if isinstance(value, int | float) and is_number(value) else math.nan


def smooth(values: Sequence[float], share: float = _SMOOTH_SHARE) -> list[float]:
    """The mean of each value and its neighbours, over a window of ``share`` of all; NaN counts for nothing.

    The window shrinks towards both ends, so that the first and the last value stay as they are.
    """
    numbers = np.asarray(values, dtype=float)
    known = np.isfinite(numbers)
    sums = np.concatenate([[0.0], np.cumsum(np.where(known, numbers, 0.0))])
    counts = np.concatenate([[0], np.cumsum(known)])
    places = np.arange(len(numbers))
    half = math.ceil(len(numbers) * share / 2)
    reach = np.minimum(half, np.minimum(places, places[::-1]))
    low, high = places - reach, places + reach + 1
    return _quotients(sums[high] - sums[low], counts[high] - counts[low]).tolist()


def thinned(history: History, *, most: int = 600) -> dict[str, list[float | None]]:
    """The columns of the steps for a chart, at most ``most`` points each.

    Losses are smoothed (``smooth``). Where there are more steps than points, each point stands for a group of
    neighbours: by their mean, and by their maximum for the gradient norm, whose peaks are what one looks for.

    Returns:
        Names to values; null where nothing was measured.
    """
    length = history.num_steps
    if not length:
        return {name: [] for name in STEP_COLUMNS}
    starts = np.linspace(0, length, min(length, most) + 1).round().astype(int)[:-1]
    columns: dict[str, list[float | None]] = {}
    for name in STEP_COLUMNS:
        values = history.column(name)
        numbers = np.asarray(smooth(values) if name in _SMOOTHED else values, dtype=float)
        known = np.isfinite(numbers)
        if name == "grad_norm":
            joined = np.maximum.reduceat(np.where(known, numbers, -np.inf), starts)
        else:
            sums = np.add.reduceat(np.where(known, numbers, 0.0), starts)
            joined = _quotients(sums, np.add.reduceat(known.astype(int), starts))
        # A chart begins and ends where the run does.
        if name in PLACE_COLUMNS:
            joined[0], joined[-1] = numbers[0], numbers[-1]
        columns[name] = [value if math.isfinite(value) else None for value in joined.tolist()]
    return columns


def _quotients(sums: Numbers, counts: NDArray[np.int_]) -> Numbers:
    """Means, NaN where there is nothing."""
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
