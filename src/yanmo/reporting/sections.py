"""What the report of a run says: headline, verdict, charts and tables, out of the run's files.

Every section is empty where its files are missing, and the template leaves an empty section out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from yanmo.config import format_duration, format_size
from yanmo.reporting.axes import Axis, Words
from yanmo.reporting.charts import Band, Estimate, Reference, Series, interval_chart, line_chart
from yanmo.reporting.comparison import MEASURES, format_energy, interval_of, leaves
from yanmo.reporting.history import smooth
from yanmo.reporting.runs import RunRecord, RunSummary, number, summarise, table_in

# The loss in other units.
_DRAWN_ELSEWHERE = ("loss_nats", "bits_per_byte", "perplexity")
_ACCENT, _INK, _FAINT = "var(--accent, #b8392b)", "var(--ink, #222)", "var(--faint, #999)"
_BASELINE = Words("n-gram baseline", "n-gram 基线")
_BITS = Words("bits per byte", "每字节比特数")
_VALID_BITS = Words("bits per byte, validation text", "每字节比特数（验证文本）")
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
    """Bits per byte beside the baseline and the plan, with a verdict in words; else the loss in nats."""
    summary = summarise(record)
    tested = summary.bits_per_byte
    value = tested if tested is not None else summary.best_valid_bits_per_byte
    if value is None:
        return _headline_in_nats(record)
    baseline = summary.baseline_bits_per_byte if tested is not None else None
    evaluation, chosen = record.evaluation, record.chosen
    own = _interval(evaluation.get("interval")) if tested is not None else None
    other = _interval(table_in(evaluation, "baseline").get("interval"))
    rows = [Estimate(name=Words("this model", "本模型"), value=value, interval=own, color=_ACCENT)]
    if baseline is not None:
        rows.append(Estimate(name=_BASELINE, value=baseline, interval=other))
    if (predicted := number(chosen.get("predicted_bits_per_byte"))) is not None:
        planned = Words("planned (validation text)", "计划（验证文本）")
        rows.append(Estimate(name=planned, value=predicted, interval=interval_of(record), color=_FAINT))
    return Headline(
        value=value,
        of=Words("bits per byte, test text", "每字节比特数（测试文本）")
        if tested is not None
        else Words("bits per byte, validation text", "每字节比特数（验证文本）"),
        verdict=verdict(value, baseline, own, other),
        chart=interval_chart(rows, name="headline", title=Words("Bits per byte", "每字节比特数")),
    )


def _headline_in_nats(record: RunRecord) -> Headline | None:
    """Of an objective that hides tokens: a loss a token, which only its like can be compared with."""
    nats = summarise(record).best_valid_loss_nats
    if nats is None:
        return None
    return Headline(
        value=nats,
        of=Words("nats per predicted token, validation text", "每个预测词元的奈特数（验证文本）"),
        verdict=Words(
            "This objective predicts only some of the tokens, so there is no count of bits per byte; "
            "compare the loss with runs of the same objective and tokenizer.",
            "此目标只预测一部分词元，因此没有每字节比特数；请与目标和分词器相同的训练比较损失。",
        ),
        chart=Markup(""),
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
    """The curves of a run: its loss over time and over tokens, and how training went."""
    history = record.history
    longest_s = max(
        [x for x, _ in history.points("elapsed_s", "step", kind="valid")]
        + [x for x, _ in history.points("elapsed_s", "step")[-1:]],
        default=0.0,
    )
    unit_s, time_axis = _time_axis(longest_s)
    key, words = ("bits_per_byte", Words("Bits per byte", "每字节比特数"))
    if not history.points("step", key) and not history.points("step", key, kind="valid"):
        key, words = ("loss_nats", Words("Loss (nats per token)", "损失（奈特/词元）"))
    drawn = [
        Figure(
            caption=Words(f"{words.en} over time", f"{words.zh}随时间的变化"),
            chart=_learning_curve(record, "over-time", time_axis, ("elapsed_s", unit_s), key),
        ),
        Figure(
            caption=Words(f"{words.en} over tokens seen", f"{words.zh}随已见词元数的变化"),
            chart=_learning_curve(record, "over-tokens", Axis(name=_TOKENS, log=True), ("tokens", 1.0), key),
        ),
    ]
    small = [(name, "valid", _measure_name(name), False) for name in history.measured()]
    small = [entry for entry in small if entry[0] not in _DRAWN_ELSEWHERE]
    small += [
        ("lr_factor", "train", Words("Learning rate, share of its peak", "学习率（相对峰值）"), False),
        ("grad_norm", "train", Words("Gradient norm", "梯度范数"), True),
        ("tokens_per_s", "train", Words("Tokens per second", "每秒词元数"), False),
    ]
    for name, kind, caption, log in small:
        points = [(x / unit_s, y) for x, y in history.points("elapsed_s", name, kind=kind)]
        color = _ACCENT if kind == "valid" else _INK
        chart = line_chart(
            [Series(name=caption, points=points, color=color, width=1.2, dots=kind == "valid")],
            name=re.sub(r"\W|_", "-", name),
            title=caption,
            x=time_axis,
            y=Axis(name=caption, log=log, from_zero=not log),
            size=(300, 170),
        )
        drawn.append(Figure(caption=caption, chart=chart))
    return [figure for figure in drawn if figure.chart]


def outcome(record: RunRecord) -> list[Fact]:
    """What was planned beside what came of it."""
    chosen, result, summary, history = record.chosen, record.result, summarise(record), record.history
    if not chosen:
        return []
    steps, batch = number(chosen.get("num_steps")), number(chosen.get("batch_tokens"))
    # The plan predicts training alone; a result that tells no training time has only the whole.
    planned_s, trained_s = number(chosen.get("predicted_s")), number(result.get("training_s"))
    trained_s = history.newest().get("elapsed_s", summary.elapsed_s) if trained_s is None else trained_s
    planned_tokens = steps * batch if steps is not None and batch is not None else None
    planned_speed = planned_tokens / planned_s if planned_tokens and planned_s else None
    predicted, expected = number(chosen.get("predicted_bits_per_byte")), interval_of(record)
    # The plan promises the loss on validation text; test text may be of another kind.
    actual = summary.valid_bits_per_byte
    note, is_over = None, summary.state == "done"
    if is_over and actual is not None and expected is not None:
        inside = expected[0] <= actual <= expected[1]
        note = (
            Words("inside the interval", "在区间内") if inside else Words("outside the interval", "在区间外")
        )
    bits = "" if predicted is None else f"{predicted:.3f}"
    if bits and expected is not None:
        bits += f" [{expected[0]:.3f}, {expected[1]:.3f}]"
    speed = number(result.get("tokens_per_s"))
    if speed is None and trained_s and summary.tokens:
        speed = summary.tokens / trained_s
    written: list[tuple[Words, float | None, float | None, Callable[[float], str]]] = [
        (Words("training time", "训练时间"), planned_s, trained_s, format_duration),
        (
            Words("peak memory", "内存峰值"),
            number(chosen.get("predicted_memory_bytes")),
            number(result.get("peak_memory_bytes")),
            format_size,
        ),
        (Words("tokens per second", "每秒词元数"), planned_speed, speed, _count),
        (Words("steps", "步数"), steps, summary.steps, _count),
        (_TOKENS, planned_tokens, summary.tokens, _count),
    ]
    rows = [
        *(_compared(*entry, is_over=is_over) for entry in written),
        Fact(name=_VALID_BITS, expected=bits, value="" if actual is None else f"{actual:.3f}", note=note),
        _energy(record, summary),
    ]
    return [row for row in rows if row.value or row.expected]


def _energy(record: RunRecord, summary: RunSummary) -> Fact:
    predicted = number(record.chosen.get("predicted_energy_wh"))
    return Fact(
        name=Words("energy", "能耗"),
        expected=format_energy(predicted, None),
        value=format_energy(summary.energy_wh, summary.energy_source),
        note=Words("measured (RAPL)", "实测（RAPL）")
        if summary.energy_source == "rapl"
        else Words("an estimate from processor time", "按处理器时间估计"),
    )


def incidents(record: RunRecord) -> list[Fact]:
    """Where the loop left out a batch or went back to a checkpoint, in the order of the steps."""
    named = {"skipped": Words("batch left out", "跳过一个批次"), "rollback": Words("gone back", "回退")}
    rows = sorted(
        ((number(row.get("step")) or 0.0, kind, row) for kind in named for row in record.history.rows(kind)),
        key=lambda entry: entry[0],
    )
    return [
        Fact(
            name=named[kind],
            value=f"{step:,.0f}",
            note=_reason(row),
        )
        for step, kind, row in rows
    ]


@dataclass(frozen=True, kw_only=True)
class Change:
    """A score before and after going on with a model."""

    name: Words
    before: str
    after: str


def forgetting(record: RunRecord) -> list[Change]:
    """Perplexity on new and on old text before and after continued pretraining; empty for other runs."""
    before, after = table_in(record.result, "before"), table_in(record.result, "after")
    texts = {"new": Words("the new text", "新文本"), "old": Words("the old text", "旧文本")}
    measures = {
        "perplexity": Words("perplexity on", "困惑度："),
        "bits_per_byte": Words("bits per byte of", "每字节比特数："),
    }
    changes = []
    for text, words in texts.items():
        for measure, said in measures.items():
            first, last = (number(table_in(scores, text).get(measure)) for scores in (before, after))
            if first is not None and last is not None:
                name = Words(f"{said.en} {words.en}", f"{said.zh}{words.zh}")
                changes.append(Change(name=name, before=f"{first:.4g}", after=f"{last:.4g}"))
    return changes


def samples(record: RunRecord, limit: int = 4) -> list[tuple[int, str]]:
    """What the model wrote along the way: the first sample, some between, and the last."""
    rows = [
        (round(number(row.get("step")) or 0), str(row.get("text", "")))
        for row in record.history.rows("sample")
    ]
    if len(rows) <= limit:
        return rows
    return [rows[round(index * (len(rows) - 1) / (limit - 1))] for index in range(limit)]


def shape(record: RunRecord) -> list[Fact]:
    """The model's size in the numbers that people ask for first."""
    chosen, summary = record.chosen, summarise(record)
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


def flat(table: Mapping[str, Any]) -> Iterator[Fact]:
    """Every leaf of nested tables as a row, named by its dotted path."""
    return (Fact(name=name, value=_leaf(value)) for name, value in leaves(table))


def _learning_curve(record: RunRecord, name: str, x: Axis, place: tuple[str, float], key: str) -> Markup:
    """``place`` is the column along the x axis, and what its numbers are divided by."""
    history, (column, unit) = record.history, place
    in_bits = key == "bits_per_byte"
    references, bands = [], []
    if in_bits and (baseline := summarise(record).baseline_bits_per_byte) is not None:
        references.append(Reference(name=_BASELINE, y=baseline, color=_INK))
    if in_bits and (expected := interval_of(record)) is not None:
        bands.append(Band(name=Words("predicted end", "预测终点"), low=expected[0], high=expected[1]))
    measured = history.points(column, key)
    train = zip([px / unit for px, _ in measured], smooth([py for _, py in measured]), strict=True)
    valid = [(px / unit, py) for px, py in history.points(column, key, kind="valid")]
    y_name = _BITS if in_bits else Words("nats per token", "奈特/词元")
    return line_chart(
        [
            Series(name=Words("training", "训练"), points=list(train), color=_FAINT, width=1.2),
            Series(name=Words("validation", "验证"), points=valid, color=_ACCENT, width=2.2, dots=True),
        ],
        name=name,
        title=Words(f"{y_name.en} while training", f"训练中的{y_name.zh}"),
        x=x,
        y=Axis(name=y_name, log=True),
        references=references,
        bands=bands,
    )


def _measure_name(name: str) -> Words:
    return MEASURES.get(name, Words(name.replace("_", " "), name.replace("_", " ")))


def _reason(row: Mapping[str, Any]) -> Words | None:
    if (origin := number(row.get("from_step"))) is not None:
        return Words(f"from step {origin:,.0f}", f"从第 {origin:,.0f} 步")
    reason = row.get("reason")
    return Words(reason, reason) if isinstance(reason, str) else None


def _time_axis(longest: float) -> tuple[float, Axis]:
    if longest < 180:
        return 1.0, Axis(name=Words("seconds", "秒"))
    if longest < 3 * 3600:
        return 60.0, Axis(name=Words("minutes", "分钟"))
    return 3600.0, Axis(name=Words("hours", "小时"))


def _compared(
    name: Words,
    expected: float | None,
    actual: float | None,
    write: Callable[[float], str],
    *,
    is_over: bool,
) -> Fact:
    note = None
    # How far a run is from its plan means nothing before its end.
    if is_over and expected and actual is not None:
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


def _interval(value: object) -> tuple[float, float] | None:
    if not isinstance(value, list | tuple) or len(value) != 2:
        return None
    low, high = number(value[0]), number(value[1])
    return None if low is None or high is None else (low, high)
