"""What the report of a run says: headline, verdict, charts and tables, out of the run's files.

Every section is empty where its files are missing, and the template leaves an empty section out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from yanmo.config import format_duration, format_size
from yanmo.reporting.axes import Axis, Point, Words
from yanmo.reporting.charts import Band, Estimate, Reference, Series, interval_chart, line_chart
from yanmo.reporting.runs import RunRecord, number, summarise

_ACCENT, _INK, _FAINT = "var(--accent, #b8392b)", "var(--ink, #222)", "var(--faint, #999)"
_BASELINE = Words("n-gram baseline", "n-gram 基线")
_BITS = Words("bits per byte", "每字节比特数")
_TOKENS = Words("tokens", "词元")


@dataclass(frozen=True, kw_only=True)
class Fact:
    """One row of a table: a name, what was expected (where something was), what it came to."""

    name: Words | str
    value: str
    expected: str = ""
    note: Words | None = None


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A chart with its caption."""

    caption: Words
    chart: Markup


@dataclass(frozen=True, kw_only=True)
class Headline:
    """The one number of a run, and what it means."""

    value: float
    of: Words
    verdict: Words
    chart: Markup


def headline(record: RunRecord) -> Headline | None:
    """Bits per byte beside the baseline and the plan, with a verdict in words."""
    summary = summarise(record)
    tested = summary.bits_per_byte
    value = tested if tested is not None else summary.best_valid_bits_per_byte
    if value is None:
        return None
    baseline = summary.baseline_bits_per_byte if tested is not None else None
    evaluation = record.evaluation
    own = _interval(evaluation.get("interval")) if tested is not None else None
    other = _interval(_table(evaluation, "baseline").get("interval"))
    rows = [Estimate(name=Words("this model", "本模型"), value=value, interval=own, color=_ACCENT)]
    if baseline is not None:
        rows.append(Estimate(name=_BASELINE, value=baseline, interval=other))
    chosen = _table(record.plan, "chosen")
    if (predicted := number(chosen.get("predicted_bits_per_byte"))) is not None:
        expected = _interval(chosen.get("interval"))
        rows.append(Estimate(name=Words("planned", "计划"), value=predicted, interval=expected, color=_FAINT))
    return Headline(
        value=value,
        of=Words("bits per byte, test text", "每字节比特数（测试文本）")
        if tested is not None
        else Words("bits per byte, validation text", "每字节比特数（验证文本）"),
        verdict=verdict(value, baseline, own, other),
        chart=interval_chart(rows, name="headline", title=Words("Bits per byte", "每字节比特数")),
    )


def verdict(
    value: float,
    baseline: float | None,
    interval: tuple[float, float] | None,
    baseline_interval: tuple[float, float] | None,
) -> Words:
    """Say in a sentence how the model stands to the baseline (bits per byte, fewer is better)."""
    if baseline is None:
        return Words(
            "There is no baseline to compare with yet: the run has not been evaluated on its test text.",
            "尚无基线可比：本次训练还没有在测试文本上评估。",
        )
    percent = abs(baseline - value) / baseline * 100
    low, high = interval or (value, value)
    other_low, other_high = baseline_interval or (baseline, baseline)
    if low <= other_high and other_low <= high:
        return Words(
            f"The model and the n-gram baseline cannot be told apart on this text ({percent:.1f}% between "
            "them, and their intervals overlap). More time or more text may part them.",
            f"在这份文本上，模型与 n-gram 基线难分高下（相差 {percent:.1f}%，区间重叠）。"
            "更长的时间或更多的文本也许能分出高下。",
        )
    if value < baseline:
        return Words(
            f"The model beats the n-gram baseline: it needs {percent:.1f}% fewer bits for the same text.",
            f"模型胜过 n-gram 基线：编码同样的文本少用 {percent:.1f}% 的比特。",
        )
    return Words(
        f"The n-gram baseline is still better: the model needs {percent:.1f}% more bits for the same text. "
        "Give it more time, or more text.",
        f"n-gram 基线仍然更好：编码同样的文本，模型多用 {percent:.1f}% 的比特。请给它更多时间或更多文本。",
    )


def figures(record: RunRecord) -> list[Figure]:
    """The curves of a run: bits per byte over time and over tokens, and how training went."""
    train, valid = record.rows("train"), record.rows("valid")
    unit_s, time_axis = _time_axis([number(row.get("elapsed_s")) or 0.0 for row in (*train, *valid)])

    def seconds(row: Mapping[str, Any]) -> float | None:
        elapsed_s = number(row.get("elapsed_s"))
        return None if elapsed_s is None else elapsed_s / unit_s

    def tokens(row: Mapping[str, Any]) -> float | None:
        return number(row.get("tokens"))

    drawn = [
        Figure(
            caption=Words("Bits per byte over time", "每字节比特数随时间的变化"),
            chart=_learning_curve(record, "over-time", time_axis, seconds),
        ),
        Figure(
            caption=Words("Bits per byte over tokens seen", "每字节比特数随已见词元数的变化"),
            chart=_learning_curve(record, "over-tokens", Axis(name=_TOKENS, log=True), tokens),
        ),
    ]
    for key, caption, log in (
        ("lr_factor", Words("Learning rate, share of its peak", "学习率（相对峰值）"), False),
        ("grad_norm", Words("Gradient norm", "梯度范数"), True),
        ("tokens_per_s", Words("Tokens per second", "每秒词元数"), False),
    ):
        chart = line_chart(
            [Series(name=caption, points=_points(train, seconds, key), color=_INK, width=1.2)],
            name=key.replace("_", "-"),
            title=caption,
            x=time_axis,
            y=Axis(name=caption, log=log, from_zero=not log),
            size=(300, 170),
        )
        drawn.append(Figure(caption=caption, chart=chart))
    return [figure for figure in drawn if figure.chart]


def outcome(record: RunRecord) -> list[Fact]:
    """What was planned beside what came of it."""
    chosen, result, summary = _table(record.plan, "chosen"), record.result, summarise(record)
    if not chosen:
        return []
    steps, batch = number(chosen.get("num_steps")), number(chosen.get("batch_tokens"))
    # The plan predicts training alone; a result that tells no training time has only the whole.
    planned_s, trained_s = number(chosen.get("predicted_s")), number(result.get("training_s"))
    trained_s = summary.elapsed_s if trained_s is None else trained_s
    planned_tokens = steps * batch if steps is not None and batch is not None else None
    planned_speed = planned_tokens / planned_s if planned_tokens and planned_s else None
    predicted, expected = number(chosen.get("predicted_bits_per_byte")), _interval(chosen.get("interval"))
    actual = summary.bits_per_byte or summary.best_valid_bits_per_byte
    note = None
    if actual is not None and expected is not None:
        inside = expected[0] <= actual <= expected[1]
        note = (
            Words("inside the interval", "在区间内") if inside else Words("outside the interval", "在区间外")
        )
    bits = "" if predicted is None else f"{predicted:.3f}"
    if bits and expected is not None:
        bits += f" [{expected[0]:.3f}, {expected[1]:.3f}]"
    rows = [
        _compared(Words("training time", "训练时间"), planned_s, trained_s, format_duration),
        _compared(
            Words("peak memory", "内存峰值"),
            number(chosen.get("predicted_memory_bytes")),
            number(result.get("peak_memory_bytes")),
            format_size,
        ),
        _compared(
            Words("tokens per second", "每秒词元数"),
            planned_speed,
            number(result.get("tokens_per_s")),
            _count,
        ),
        _compared(Words("steps", "步数"), steps, summary.steps, _count),
        _compared(_TOKENS, planned_tokens, summary.tokens, _count),
        Fact(name=_BITS, expected=bits, value="" if actual is None else f"{actual:.3f}", note=note),
    ]
    return [row for row in rows if row.value or row.expected]


def samples(record: RunRecord, limit: int = 4) -> list[tuple[int, str]]:
    """What the model wrote along the way: the first sample, some between, and the last."""
    rows = [(round(number(row.get("step")) or 0), str(row.get("text", ""))) for row in record.rows("sample")]
    if len(rows) <= limit:
        return rows
    return [rows[round(index * (len(rows) - 1) / (limit - 1))] for index in range(limit)]


def shape(record: RunRecord) -> list[Fact]:
    """The model's size in the numbers that people ask for first."""
    chosen, summary = _table(record.plan, "chosen"), summarise(record)
    named = (
        ("num_layers", Words("layers", "层数")),
        ("d_model", Words("width", "宽度")),
        ("vocab_size", Words("vocabulary", "词表")),
        ("max_seq_len", Words("context", "上下文长度")),
    )
    facts = [
        Fact(name=name, value=_count(v)) for k, name in named if (v := number(chosen.get(k))) is not None
    ]
    if summary.num_parameters is not None:
        facts.insert(0, Fact(name=Words("parameters", "参数"), value=_count(summary.num_parameters)))
    return facts


def flat(table: Mapping[str, Any], prefix: str = "") -> Iterator[Fact]:
    """Every leaf of nested tables as a row, named by its dotted path."""
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield Fact(name=f"{prefix}{key}", value=_leaf(value))


def _learning_curve(
    record: RunRecord, name: str, x: Axis, place: Callable[[Mapping[str, Any]], float | None]
) -> Markup:
    summary, chosen = summarise(record), _table(record.plan, "chosen")
    references = []
    if (baseline := summary.baseline_bits_per_byte) is not None:
        references.append(Reference(name=_BASELINE, y=baseline, color=_INK))
    bands = []
    if (expected := _interval(chosen.get("interval"))) is not None:
        bands.append(Band(name=Words("predicted end", "预测终点"), low=expected[0], high=expected[1]))
    train, valid = (_points(record.rows(kind), place, "bits_per_byte") for kind in ("train", "valid"))
    return line_chart(
        [
            Series(name=Words("training", "训练"), points=train, color=_FAINT, width=1.2),
            Series(name=Words("validation", "验证"), points=valid, color=_ACCENT, width=2.2, dots=True),
        ],
        name=name,
        title=Words("Bits per byte while training", "训练中的每字节比特数"),
        x=x,
        y=Axis(name=_BITS, log=True),
        references=references,
        bands=bands,
    )


def _time_axis(elapsed_s: Sequence[float]) -> tuple[float, Axis]:
    longest = max(elapsed_s, default=0.0)
    if longest < 180:
        return 1.0, Axis(name=Words("seconds", "秒"))
    if longest < 3 * 3600:
        return 60.0, Axis(name=Words("minutes", "分钟"))
    return 3600.0, Axis(name=Words("hours", "小时"))


def _points(
    rows: Sequence[Mapping[str, Any]], place: Callable[[Mapping[str, Any]], float | None], key: str
) -> list[Point]:
    pairs = ((place(row), number(row.get(key))) for row in rows)
    return [(x, y) for x, y in pairs if x is not None and y is not None]


def _compared(
    name: Words, expected: float | None, actual: float | None, write: Callable[[float], str]
) -> Fact:
    note = None
    if expected and actual is not None:
        percent = round((actual / expected - 1) * 100)
        change = f"{percent:+d}%" if percent else "0%"
        note = Words(change, change)
    return Fact(
        name=name,
        expected="" if expected is None else write(expected),
        value="" if actual is None else write(actual),
        note=note,
    )


def _count(value: float) -> str:
    return f"{value:,.0f}"


def _leaf(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return f"{value:,}" if abs(value) >= 10_000 else str(value)
    if isinstance(value, float):
        return f"{value:.6g}"
    return ", ".join(map(_leaf, value)) if isinstance(value, list | tuple) else str(value)


def _table(mapping: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = mapping.get(key)
    return value if isinstance(value, dict) else {}


def _interval(value: object) -> tuple[float, float] | None:
    if not isinstance(value, list | tuple) or len(value) != 2:
        return None
    low, high = number(value[0]), number(value[1])
    return None if low is None or high is None else (low, high)
