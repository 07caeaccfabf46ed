"""Ticks, scales, and the SVG of charts."""

from __future__ import annotations

import math
import re
from xml.etree import ElementTree

import pytest
from markupsafe import Markup

from yanmo.reporting.axes import Axis, Words, linear_ticks, log_ticks, scale_of, thin, write_number
from yanmo.reporting.charts import (
    Band,
    Estimate,
    Reference,
    Series,
    bar_chart,
    interval_chart,
    line_chart,
)

SVG = "{http://www.w3.org/2000/svg}"
X, Y = Words("time", "时间"), Words("bits", "比特")


def parse(chart: Markup) -> ElementTree.Element:
    return ElementTree.fromstring(str(chart))


def texts(chart: Markup) -> list[str]:
    return [element.text or "" for element in parse(chart).iter(f"{SVG}text")]


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0, 10, [0, 2, 4, 6, 8, 10]),
        (0, 3, [0, 1, 2, 3]),
        (0.1, 0.9, [0.2, 0.4, 0.6, 0.8]),
        (-1, 1, [-1, -0.5, 0, 0.5, 1]),
        (5, 5, [5]),
    ],
)
def test_linear_ticks_are_round(low: float, high: float, ticks: list[float]) -> None:
    assert linear_ticks(low, high) == ticks


@pytest.mark.parametrize(("low", "high"), [(1.6, 1.7), (1.2, 8), (3e3, 5e6), (1e-9, 1e9), (0.9, 1.1)])
def test_log_ticks_are_few_rising_and_inside(low: float, high: float) -> None:
    ticks = log_ticks(low, high)
    assert 2 <= len(ticks) <= 8
    assert ticks == sorted(set(ticks))
    assert low * 0.999 <= ticks[0]
    assert ticks[-1] <= high * 1.001


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (0.002, "0.002"), (1.5, "1.5"), (30_000, "30k"), (2.5e6, "2.5M"), (1e9, "1G")],
)
def test_numbers_are_short(value: float, text: str) -> None:
    assert write_number(value) == text


def test_a_scale_maps_its_ends_and_its_logarithmic_middle() -> None:
    linear = scale_of([0.0, 10.0], Axis(name=X), 100, 200, pad=0.0)
    assert (linear(0), linear(5), linear(10)) == (100, 150, 200)
    log = scale_of([1.0, 100.0], Axis(name=X, log=True), 100, 200, pad=0.0)
    assert [round(log(value)) for value in (1, 10, 100)] == [100, 150, 200]


@pytest.mark.parametrize("log", [False, True])
def test_a_scale_of_one_value_has_room_on_both_sides(log: bool) -> None:
    scale = scale_of([3.0], Axis(name=X, log=log), 0, 100, pad=0.05)
    assert 20 < scale(3.0) < 80


def test_thinning_keeps_ends_number_and_mean() -> None:
    points = [(float(i), float(i % 2)) for i in range(10_000)]
    thinned = thin(points, 100)
    assert len(thinned) == 100
    assert (thinned[0], thinned[-1]) == (points[0], points[-1])
    assert all(abs(y - 0.5) < 0.02 for _, y in thinned[1:-1])
    assert thin(points[:50], 100) == points[:50]


def test_a_line_chart_holds_lines_legend_ticks_and_words_in_both_languages() -> None:
    chart = line_chart(
        [Series(name=Words("a<b", "甲"), points=[(0, 8), (1, 2), (2, 1.5)], dots=True)],
        name="c",
        title=Words("Loss & time", "损失"),
        x=Axis(name=X),
        y=Axis(name=Y, log=True),
        references=[Reference(name=Words("baseline", "基线"), y=1.9)],
        bands=[Band(name=Words("predicted", "预测"), low=1.4, high=1.6)],
    )
    root = parse(chart)
    assert root.get("role") == "img"
    assert root.get("aria-labelledby") == "c-title c-desc"
    assert root.findtext(f"{SVG}title") == "Loss & time · 损失"
    description = root.findtext(f"{SVG}desc") or ""
    assert "a<b: bits from 8 to 1.5" in description
    assert "甲：比特从 8 到 1.5" in description
    found = texts(chart)
    for word in ("a<b", "甲", "baseline", "基线", "predicted", "预测", "time", "时间"):
        assert word in found
    assert len(list(root.iter(f"{SVG}circle"))) == 3
    assert "script" not in chart
    assert "http" not in str(chart).replace('xmlns="http://www.w3.org/2000/svg"', "")


def test_the_line_goes_down_where_the_numbers_do() -> None:
    chart = line_chart(
        [Series(name=X, points=[(0, 4), (1, 2), (2, 1)])],
        name="c",
        title=X,
        x=Axis(name=X),
        y=Axis(name=Y),
    )
    (line,) = [p for p in parse(chart).iter(f"{SVG}path") if "L" in p.get("d", "")]
    heights = [float(pair.split()[1]) for pair in re.split("[ML]", line.get("d", "")) if pair]
    assert heights == sorted(heights)
    assert heights[1] - heights[0] == pytest.approx(2 * (heights[2] - heights[1]), abs=0.2)


def test_points_that_cannot_be_drawn_are_left_out() -> None:
    points = [(0.0, math.nan), (1.0, -1.0), (2.0, 0.0), (3.0, 2.0), (4.0, math.inf), (5.0, 1.0)]
    chart = line_chart(
        [Series(name=X, points=points, dots=True)],
        name="c",
        title=X,
        x=Axis(name=X),
        y=Axis(name=Y, log=True),
        references=[Reference(name=Y, y=-3.0)],
    )
    assert len(list(parse(chart).iter(f"{SVG}circle"))) == 2
    assert "nan" not in chart
    assert "inf" not in chart


def test_nothing_to_draw_is_nothing() -> None:
    empty = line_chart([Series(name=X, points=[])], name="c", title=X, x=Axis(name=X), y=Axis(name=Y))
    assert empty == ""
    assert bar_chart([], name="b", title=X) == ""
    assert interval_chart([], name="i", title=X) == ""


def test_one_point_is_a_dot() -> None:
    chart = line_chart(
        [Series(name=X, points=[(1, 2)])], name="c", title=X, x=Axis(name=X), y=Axis(name=Y, log=True)
    )
    assert len(list(parse(chart).iter(f"{SVG}circle"))) == 1


def test_bars_are_as_long_as_their_numbers() -> None:
    chart = bar_chart([(Words("long", "长"), 200), (Words("short", "短"), 50)], name="b", title=X)
    lengths = [float(rect.get("width", "")) for rect in parse(chart).iter(f"{SVG}rect")]
    assert lengths[0] == pytest.approx(4 * lengths[1], rel=0.01)
    assert {"long", "长", "200", "50"} <= set(texts(chart))


def test_intervals_lie_around_their_numbers() -> None:
    chart = interval_chart(
        [Estimate(name=X, value=1.5, interval=(1.4, 1.7)), Estimate(name=Y, value=2.0)], name="i", title=X
    )
    root = parse(chart)
    (bar,) = [p for p in root.iter(f"{SVG}path") if p.get("stroke-width") == "7"]
    start, end = map(float, re.findall(r"M([\d.]+) [\d.]+H([\d.]+)", bar.get("d", ""))[0])
    first, second = (float(circle.get("cx", "")) for circle in root.iter(f"{SVG}circle"))
    assert start < first < end < second
    assert (first - start) / (end - start) == pytest.approx(1 / 3, abs=0.01)
