"""Line charts, bars and histograms as inline SVG: no script, no font, no outside resource.

Colours are CSS variables with fallbacks, so the page around decides on light or dark. Every word is
given in English and Chinese; both are drawn, marked with ``lang``, and the page shows one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from markupsafe import Markup

from yanmo.reporting.axes import Axis, Point, Scale, Words, scale_of, thin

_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 14, 34, 42
# Charts that stand two beside each other on a wide page, and alone on a narrow one.
_NARROW = 400


@dataclass(frozen=True, kw_only=True)
class Series:
    """One line of a chart; ``intervals`` are drawn as upright lines, one a point or none at all."""

    name: Words
    points: Sequence[Point]
    color: str = "var(--ink, #222)"
    width: float = 1.6
    dots: bool = False
    intervals: Sequence[tuple[float, float]] = ()


@dataclass(frozen=True, kw_only=True)
class Reference:
    """A horizontal line across the chart, such as a baseline."""

    name: Words
    y: float
    color: str = "var(--muted, #777)"


@dataclass(frozen=True, kw_only=True)
class Band:
    """A shaded interval of y, such as a predicted loss with its uncertainty."""

    name: Words
    low: float
    high: float
    color: str = "var(--band, #b9862b)"


@dataclass(frozen=True)
class _Plot:
    """The rectangle that lines are drawn in, with its two scales."""

    x: Scale
    y: Scale
    left: float
    right: float
    bottom: float


def line_chart(
    series: Sequence[Series],
    *,
    name: str,
    title: Words,
    x: Axis,
    y: Axis,
    references: Sequence[Reference] = (),
    bands: Sequence[Band] = (),
    size: tuple[int, int] = (760, 320),
) -> Markup:
    """Draw lines as one SVG element.

    Args:
        series: the lines; a point that is not finite, or not above 0 on a log axis, is left out.
        name: identifier of the chart within its page (letters, digits, hyphens).
        title: what the chart shows, for those who cannot see it.
        x: the horizontal axis.
        y: the vertical axis.
        references: horizontal lines.
        bands: shaded intervals of y.
        size: width and height in pixels at which the text has 12 pixels.

    Returns:
        The SVG element, or nothing where there is no point to draw.
    """
    drawn = [(line, _usable(line.points, x, y)) for line in series]
    drawn = [(line, points) for line, points in drawn if points]
    if not drawn:
        return Markup("")
    references = [reference for reference in references if _drawable(y, reference.y)]
    bands = [band for band in bands if _drawable(y, band.low, band.high)]
    levels = [reference.y for reference in references] + [edge for b in bands for edge in (b.low, b.high)]
    levels += [edge for line in series for ends in line.intervals for edge in ends if _drawable(y, edge)]
    every = [point for _, points in drawn for point in points]
    several = len(drawn) + len(references) + len(bands) > 1
    right, top, bottom = size[0] - _RIGHT, _TOP if several else 10, size[1] - _BOTTOM
    plot = _Plot(
        x=scale_of([px for px, _ in every], x, _LEFT, right, pad=0.0),
        y=scale_of([py for _, py in every] + levels, y, bottom, top, pad=0.05),
        left=_LEFT,
        right=right,
        bottom=bottom,
    )
    parts = [
        *_grid(x, y, plot),
        *(_band(band, plot) for band in bands),
        *(_reference(reference, plot) for reference in references),
        *(_intervals(line, plot, x, y) for line, _ in drawn),
        *(_path(line, points, plot) for line, points in drawn),
        *(_legend([line for line, _ in drawn], references, bands) if several else ()),
    ]
    spoken = [_spoken(line.name, points, y) for line, points in drawn]
    return _svg(name, title, spoken, parts, size)


def bar_chart(
    bars: Sequence[tuple[Words, float]],
    *,
    name: str,
    title: Words,
    write: Callable[[float], str] = "{:,.0f}".format,
) -> Markup:
    """Draw horizontal bars below their names and numbers as one SVG element.

    Args:
        bars: names and values, 0 or more, in the order drawn.
        name: identifier of the chart within its page.
        title: what the chart shows.
        write: how the numbers are written.
    """
    if not bars:
        return Markup("")
    most = max(value for _, value in bars) or 1.0
    (width, row), parts = (_NARROW, 36), []
    for index, (words, value) in enumerate(bars):
        top, number = index * row, write(value)
        room = width - _width(number) - 16
        fitting = Words(_fitting(words.en, room), _fitting(words.zh, room))
        parts.append(_text(fitting, 0, top + 13, fill="var(--ink, #222)"))
        parts.append(_plain(number, width, top + 13, anchor="end"))
        parts.append(
            Markup('<rect x="0" y="{}" width="{:.1f}" height="8" fill="var(--accent, #b8392b)"/>').format(
                top + 19, max(width * value / most, 1.0)
            )
        )
    spoken = [Words(f"{words.en} {write(value)}", f"{words.zh} {write(value)}") for words, value in bars]
    return _svg(name, title, spoken, parts, (width, row * len(bars) - 8))


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One row of columns of a histogram."""

    name: Words
    counts: Sequence[float]
    color: str


def histogram(
    edges: Sequence[float], layers: Sequence[Layer], *, name: str, title: Words, x: Axis, y: Axis
) -> Markup:
    """Draw columns as one SVG element; each layer is narrower than the one behind it.

    Args:
        edges: where the columns begin, and where the last one ends, rising; above 0 on a log axis.
        layers: their heights, 0 or more.
        name: identifier of the chart within its page.
        title: what the chart shows.
        x: the horizontal axis.
        y: the vertical axis, which begins at 0.
    """
    if not any(count > 0 for layer in layers for count in layer.counts):
        return Markup("")
    width, height = _NARROW, 250
    right, bottom = width - _RIGHT, height - _BOTTOM
    heights = [0.0, *(count for layer in layers for count in layer.counts)]
    plot = _Plot(
        x=scale_of(edges, x, _LEFT, right, pad=0.0),
        y=scale_of(heights, y, bottom, _TOP, pad=0.05),
        left=_LEFT,
        right=right,
        bottom=bottom,
    )
    column = Markup('<rect x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}" fill="{}"/>')
    parts = list(_grid(x, y, plot))
    for number, layer in enumerate(layers):
        for (begin, end), count in zip(pairwise(edges), layer.counts, strict=True):
            left, full = plot.x(begin), plot.x(end) - plot.x(begin)
            margin = full * (0.04 + 0.42 * number / len(layers))
            if count > 0:
                top = min(plot.y(count), bottom - 1.0)
                parts.append(column.format(left + margin, top, full - 2 * margin, bottom - top, layer.color))
    parts += _legend((), (), (), layers)
    spoken = [
        Words(f"{layer.name.en} {sum(layer.counts):,.0f}", f"{layer.name.zh} {sum(layer.counts):,.0f}")
        for layer in layers
    ]
    return _svg(name, title, spoken, parts, (width, height))


def stacked_bar(parts: Sequence[tuple[Words, float, str]], *, name: str, title: Words) -> Markup:
    """Draw shares of a whole as one bar, as one SVG element; the names stand in a table beside it.

    Args:
        parts: names, shares of 1, and colours, from left to right.
        name: identifier of the chart within its page.
        title: what the chart shows.
    """
    whole = sum(share for _, share, _ in parts)
    if whole <= 0:
        return Markup("")
    width, place, drawn = 760, 0.0, []
    for _, share, color in parts:
        length = width * share / whole
        drawn.append(
            Markup(
                '<rect x="{:.1f}" y="2" width="{:.1f}" height="26" fill="{}" stroke="var(--paper, #fff)"/>'
            ).format(place, length, color)
        )
        if length > 40:
            drawn.append(
                _plain(f"{share:.0%}", place + length / 2, 20, anchor="middle", fill="var(--paper, #fff)")
            )
        place += length
    spoken = [Words(f"{words.en} {share:.0%}", f"{words.zh} {share:.0%}") for words, share, _ in parts]
    return _svg(name, title, spoken, drawn, (width, 30))


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A number with its interval, one row of an interval chart."""

    name: Words
    value: float
    interval: tuple[float, float] | None = None
    color: str = "var(--ink, #222)"


def interval_chart(rows: Sequence[Estimate], *, name: str, title: Words) -> Markup:
    """Draw numbers with their intervals on one common line as one SVG element.

    Args:
        rows: the numbers, best told apart when few.
        name: identifier of the chart within its page.
        title: what the chart shows.
    """
    if not rows:
        return Markup("")
    edges = [edge for row in rows for edge in (row.value, *(row.interval or ()))]
    widest = max(_width(word) for row in rows for word in row.name)
    width, left, row_height = 480, max(120, min(round(widest) + 20, 220)), 34
    low, high = min(edges), max(edges)
    pad = (high - low) * 0.08 or abs(low) * 0.1 or 1.0
    place_of = Scale(low - pad, high + pad, False, left, width - 66)
    parts: list[Markup] = []
    for index, row in enumerate(rows):
        middle, place = 17 + row_height * index, place_of(row.value)
        name_of_row = Words(*(_fitting(word, left - 14) for word in row.name))
        parts.append(_text(name_of_row, left - 14, middle + 4, anchor="end"))
        parts.append(
            Markup('<path d="M{} {}H{}" stroke="var(--rule, #ddd)"/>').format(left, middle, width - 66)
        )
        if row.interval is not None:
            low_x, high_x = place_of(row.interval[0]), place_of(row.interval[1])
            parts.append(
                Markup('<path d="M{:.1f} {}H{:.1f}" stroke="{}" stroke-width="7" opacity="0.35"/>').format(
                    low_x, middle, max(high_x, low_x + 1), row.color
                )
            )
        parts.append(Markup('<circle cx="{:.1f}" cy="{}" r="5" fill="{}"/>').format(place, middle, row.color))
        parts.append(_plain(f"{row.value:.3f}", width - 48, middle + 4, fill="var(--ink, #222)"))
    spoken = [Words(f"{r.name.en} {r.value:.3f}", f"{r.name.zh} {r.value:.3f}") for r in rows]
    return _svg(name, title, spoken, parts, (width, row_height * len(rows)))


def _usable(points: Sequence[Point], x: Axis, y: Axis) -> list[Point]:
    return thin(
        [
            (px, py)
            for px, py in points
            if math.isfinite(px) and math.isfinite(py) and (px > 0 or not x.log) and (py > 0 or not y.log)
        ]
    )


def _drawable(axis: Axis, *values: float) -> bool:
    return all(math.isfinite(value) and (value > 0 or not axis.log) for value in values)


def _grid(x: Axis, y: Axis, plot: _Plot) -> Iterator[Markup]:
    line = Markup('<path d="M{:.1f} {:.1f}H{}" stroke="{}" fill="none"/>')
    for tick in plot.y.ticks():
        yield line.format(plot.left, plot.y(tick), plot.right, "var(--rule, #ddd)")
        yield _plain(y.write(tick), plot.left - 8, plot.y(tick) + 4, anchor="end")
    for tick in plot.x.ticks():
        place = plot.x(tick)
        yield Markup('<path d="M{:.1f} {}v5" stroke="var(--muted, #777)"/>').format(place, plot.bottom)
        yield _plain(x.write(tick), place, plot.bottom + 18, anchor="middle")
    yield line.format(plot.left, plot.bottom, plot.right, "var(--muted, #777)")
    yield _text(x.name, plot.right, plot.bottom + 36, anchor="end")


def _path(line: Series, points: Sequence[Point], plot: _Plot) -> Markup:
    places = [(plot.x(px), plot.y(py)) for px, py in points]
    parts = Markup("")
    if len(places) > 1:
        data = "M" + "L".join(f"{px:.1f} {py:.1f}" for px, py in places)
        parts += Markup(
            '<path d="{}" fill="none" stroke="{}" stroke-width="{}" stroke-linejoin="round"/>'
        ).format(data, line.color, line.width)
    if len(places) == 1 or (line.dots and (len(places) <= 40 or not line.width)):
        for px, py in places:
            parts += Markup('<circle cx="{:.1f}" cy="{:.1f}" r="2.6" fill="{}"/>').format(px, py, line.color)
    return parts


def _intervals(line: Series, plot: _Plot, x: Axis, y: Axis) -> Markup:
    upright = Markup('<path d="M{:.1f} {:.1f}V{:.1f}" stroke="{}" stroke-width="5" opacity="0.3"/>')
    return Markup("").join(
        upright.format(plot.x(place), plot.y(low), plot.y(high), line.color)
        for (place, _), (low, high) in zip(line.points, line.intervals, strict=False)
        if _drawable(x, place) and _drawable(y, low, high)
    )


def _reference(reference: Reference, plot: _Plot) -> Markup:
    return Markup(
        '<path d="M{} {:.1f}H{}" stroke="{}" stroke-width="1.4" stroke-dasharray="6 4" fill="none"/>'
    ).format(plot.left, plot.y(reference.y), plot.right, reference.color)


def _band(band: Band, plot: _Plot) -> Markup:
    top, bottom = plot.y(band.high), plot.y(band.low)
    return Markup('<rect x="{}" y="{:.1f}" width="{}" height="{:.1f}" fill="{}" opacity="0.22"/>').format(
        plot.left, top, plot.right - plot.left, max(bottom - top, 1.5), band.color
    )


def _legend(
    lines: Sequence[Series],
    references: Sequence[Reference],
    bands: Sequence[Band],
    layers: Sequence[Layer] = (),
) -> Iterator[Markup]:
    stroke = Markup('<path d="M{:.0f} 12h18" stroke="{}" stroke-width="2" stroke-dasharray="{}"/>')
    block = Markup('<rect x="{:.0f}" y="6" width="18" height="12" fill="{}" opacity="0.3"/>')
    solid = Markup('<rect x="{:.0f}" y="6" width="18" height="12" fill="{}"/>')
    entries: list[tuple[Words, Markup, str, str]] = [
        *((line.name, stroke, line.color, "none") for line in lines),
        *((reference.name, stroke, reference.color, "5 3") for reference in references),
        *((band.name, block, band.color, "") for band in bands),
        *((layer.name, solid, layer.color, "") for layer in layers),
    ]
    for language in ("en", "zh"):
        place = float(_LEFT)
        yield Markup('<g lang="{}">').format(language)
        for words, mark, color, dashes in entries:
            word = getattr(words, language)
            yield mark.format(place, color, dashes)
            yield _plain(word, place + 24, 16, fill="var(--ink, #222)")
            place += 24 + _width(word) + 18
        yield Markup("</g>")


def _width(word: str) -> float:
    """Width of a word at 12 pixels, near enough to place the next one."""
    return sum(12.0 if ord(letter) > 0x2E80 else 6.6 for letter in word)


def _fitting(word: str, room: float) -> str:
    """The word, without its middle where it is wider than there is room."""
    shown, kept = word, len(word)
    while _width(shown) > room and kept > 2:
        kept -= 1
        shown = f"{word[: kept - kept // 2]}…{word[len(word) - kept // 2 :]}"
    return shown


def _plain(
    text: str, x: float, y: float, *, anchor: str = "start", fill: str = "var(--muted, #777)", lang: str = ""
) -> Markup:
    language = Markup(' lang="{}"').format(lang) if lang else Markup("")
    return Markup('<text x="{:.1f}" y="{:.1f}" text-anchor="{}" fill="{}"{}>{}</text>').format(
        x, y, anchor, fill, language, text
    )


def _text(
    words: Words, x: float, y: float, *, anchor: str = "start", fill: str = "var(--muted, #777)"
) -> Markup:
    english, chinese = (
        _plain(word, x, y, anchor=anchor, fill=fill, lang=language)
        for word, language in ((words.en, "en"), (words.zh, "zh"))
    )
    return english + chinese


def _spoken(name: Words, points: Sequence[Point], y: Axis) -> Words:
    first, last = f"{points[0][1]:.4g}", f"{points[-1][1]:.4g}"
    return Words(
        f"{name.en}: {y.name.en} from {first} to {last}", f"{name.zh}：{y.name.zh}从 {first} 到 {last}"
    )


def _svg(
    name: str, title: Words, spoken: Sequence[Words], parts: Sequence[Markup], size: tuple[int, int]
) -> Markup:
    english, chinese = ". ".join(w.en for w in spoken), "；".join(w.zh for w in spoken)
    return Markup(
        '<svg viewBox="0 0 {0} {1}" role="img" aria-labelledby="{2}-title {2}-desc" font-size="12" '
        'xmlns="http://www.w3.org/2000/svg"><title id="{2}-title">{3} · {4}</title>'
        '<desc id="{2}-desc">{5}</desc>{6}</svg>'
    ).format(*size, name, title.en, title.zh, f"{english}. {chinese}。", Markup("").join(parts))
