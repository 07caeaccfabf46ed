"""Scales of charts: round numbers for ticks, and from values to pixels, linear or logarithmic."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from markupsafe import Markup

_MAX_POINTS = 320
Point = tuple[float, float]


class Words(NamedTuple):
    """The same words in English and Chinese."""

    en: str
    zh: str

    def html(self, tag: str = "span") -> Markup:
        """Both, each in its element marked with ``lang``."""
        both = Markup('<{0} lang="en">{1}</{0}><{0} lang="zh">{2}</{0}>')
        return both.format(Markup(tag), self.en, self.zh)


@dataclass(frozen=True, kw_only=True)
class Axis:
    """A direction of a chart: its name, its scale, and how its numbers are written."""

    name: Words
    log: bool = False
    from_zero: bool = False
    write: Callable[[float], str] = field(default=lambda value: write_number(value))


def write_number(value: float) -> str:
    """A number for an axis: ``0.002``, ``1.5``, ``30k``, ``2M``."""
    for limit, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= limit:
            return f"{value / (1e3 if unit == 'k' else limit):.6g}{unit}"
    return f"{value:.6g}"


def linear_ticks(low: float, high: float, count: int = 5) -> list[float]:
    """About ``count`` round numbers (1, 2, 2.5 or 5 times a power of ten) from ``low`` to ``high``."""
    if not high > low:
        return [low]
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= rough * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [float(f"{index * step:.12g}") for index in range(first, last + 1)]


def log_ticks(low: float, high: float, count: int = 8) -> list[float]:
    """At most ``count`` round numbers for a logarithmic axis from ``low`` to ``high``, both above 0."""
    powers = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 1)
    for mantissas in ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 5, 7)):
        values = [float(f"{m * 10.0**p:.12g}") for p in powers for m in mantissas]
        inside = [value for value in values if low * (1 - 1e-9) <= value <= high * (1 + 1e-9)]
        if len(inside) >= min(4, count):
            return inside[:: math.ceil(len(inside) / max(2, count))]
    return linear_ticks(low, high, min(count, 5))


def thin(points: Sequence[Point], limit: int = _MAX_POINTS) -> list[Point]:
    """At most ``limit`` points, each the mean of its neighbours; the first and last stay as they are."""
    if len(points) <= limit:
        return list(points)
    size = (len(points) - 2) / (limit - 2)
    groups = [points[1 + int(i * size) : 1 + int((i + 1) * size)] for i in range(limit - 2)]
    means = [(sum(x for x, _ in g) / len(g), sum(y for _, y in g) / len(g)) for g in groups if g]
    return [points[0], *means, points[-1]]


@dataclass(frozen=True)
class Scale:
    """From values to pixels."""

    low: float
    high: float
    log: bool
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """The pixel of a value."""
        low, high = (math.log(self.low), math.log(self.high)) if self.log else (self.low, self.high)
        place = math.log(value) if self.log else value
        return self.start + (place - low) / (high - low) * (self.end - self.start)

    def ticks(self) -> list[float]:
        """Round numbers along the scale, as many as there is room for."""
        room = round(abs(self.end - self.start) / (38 if self.end < self.start else 76))
        if self.log:
            return log_ticks(self.low, self.high, room)
        return linear_ticks(self.low, self.high, max(2, room))


def scale_of(values: Sequence[float], axis: Axis, start: float, end: float, *, pad: float) -> Scale:
    """The scale that holds ``values``, from pixel ``start`` to ``end``; ``pad`` is its margin, as a share."""
    low, high = min(values), max(values)
    if axis.log:
        low, high = (low * 0.8, high * 1.25) if low == high else (low, high)
        margin = (high / low) ** pad
        return Scale(low / margin, high * margin, True, start, end)
    if axis.from_zero or 0 <= low < 0.1 * high:
        low = min(low, 0.0)
    if low == high:
        half = abs(low) / 2 or 0.5
        low, high = low - half, high + half
    margin = (high - low) * pad
    return Scale(low - margin if low else 0.0, high + margin, False, start, end)
