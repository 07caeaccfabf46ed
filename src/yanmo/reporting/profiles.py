"""The profile of a run's steps in its report: a bar, a table by kind of work, and the slowest operators."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from yanmo.config import format_size
from yanmo.reporting.axes import Words
from yanmo.reporting.charts import stacked_bar
from yanmo.reporting.runs import RunRecord, number

_KINDS = {
    "matrix products": Words("matrix products", "矩阵乘法"),
    "attention products": Words("attention products", "注意力乘法"),
    "softmax and losses": Words("softmax and losses", "softmax 与损失"),
    "norms": Words("norms", "归一化"),
    "other elementwise": Words("other elementwise", "其他逐元素运算"),
    "muon products": Words("Muon's products", "Muon 的乘法"),
    "optimizer, the rest": Words("optimizer, the rest", "优化器其余部分"),
    "data loading": Words("data loading", "数据读取"),
    "python and framework": Words("Python and framework", "Python 与框架"),
    "validation": Words("validation", "验证"),
    "saving": Words("saving", "保存"),
}
_COLORS = (
    *("#b8321f", "#d0705c", "#c08a2d", "#8a7a3a", "#5f7f4f", "#1f5f8b", "#5b8fb3", "#74459c", "#8d8479"),
    *("#0f7a78", "#6b4a3a"),
)


@dataclass(frozen=True, kw_only=True)
class KindRow:
    """Time of one kind of work in a step."""

    name: Words
    color: str
    took: str
    share: str
    of_peak: str


@dataclass(frozen=True, kw_only=True)
class Profile:
    """What the report shows of a profile."""

    summary: Words
    chart: Markup
    kinds: tuple[KindRow, ...]
    operators: tuple[tuple[str, str], ...]


def profile_of(record: RunRecord) -> Profile | None:
    """The profile in ``profile.json``; None where there is none."""
    made = record.profile
    kinds = [(name, s, share, peak) for name, s, share, peak in _kinds(made) if share > 0.0005]
    step_s, speed = number(made.get("step_s")), number(made.get("tokens_per_s"))
    if not kinds or step_s is None or speed is None:
        return None
    colored = [(*kind, _COLORS[index % len(_COLORS)]) for index, kind in enumerate(kinds)]
    return Profile(
        summary=_summary(made, step_s, speed),
        chart=stacked_bar(
            [(name, share, color) for name, _, share, _, color in colored],
            name="profile",
            title=Words("Where the time of a step goes", "一步的时间花在哪里"),
        ),
        kinds=tuple(
            KindRow(
                name=name,
                color=color,
                took=f"{seconds * 1e3:,.2f} ms",
                share=f"{share:.1%}",
                of_peak="" if peak is None else f"{peak:.0%}",
            )
            for name, seconds, share, peak, color in colored
        ),
        operators=tuple(_operators(made)),
    )


def _summary(made: Mapping[str, Any], step_s: float, speed: float) -> Words:
    of_peak, memory = number(made.get("share_of_peak")), number(made.get("peak_memory_bytes"))
    english = [f"A step takes {step_s * 1e3:,.1f} ms: {speed:,.0f} tokens per second"]
    chinese = [f"一步用时 {step_s * 1e3:,.1f} 毫秒：每秒 {speed:,.0f} 词元"]
    if of_peak is not None:
        english.append(f"{of_peak:.0%} of the speed of a large matrix product on this machine")
        chinese.append(f"为本机大矩阵乘法速度的 {of_peak:.0%}")
    if memory is not None:
        english.append(f"{format_size(memory)} of memory at most")
        chinese.append(f"内存最多 {format_size(memory)}")
    return Words(", ".join(english) + ".", "，".join(chinese) + "。")


def _kinds(made: Mapping[str, Any]) -> Iterator[tuple[Words, float, float, float | None]]:
    for kind in _listed(made, "kinds"):
        name, seconds, share = str(kind.get("name")), number(kind.get("seconds")), number(kind.get("share"))
        if seconds is not None and share is not None:
            yield _KINDS.get(name, Words(name, name)), seconds, share, number(kind.get("share_of_peak"))


def _operators(made: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for operator in _listed(made, "operators"):
        if (seconds := number(operator.get("seconds"))) is not None:
            yield str(operator.get("name")), f"{seconds * 1e3:,.2f} ms"


def _listed(made: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    rows = made.get(key)
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
