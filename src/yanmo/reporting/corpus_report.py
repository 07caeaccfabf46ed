"""The report of a corpus: one HTML file, English and Chinese in one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from yanmo.config import format_size
from yanmo.reporting import sections
from yanmo.reporting.axes import Axis, Words
from yanmo.reporting.charts import Layer, bar_chart, histogram
from yanmo.reporting.corpus_words import (
    action_words,
    kind_words,
    language_words,
    personal_words,
    reason_words,
)
from yanmo.reporting.html import Language, render_report, write_report
from yanmo.reporting.runs import number

# So many bars are taken in at a glance; the table beside them has the rest.
_MAX_BARS = 10
_SHOWN = ("num_documents", "num_bytes", "num_characters", "splits", "rejected", "cleaned", "account")
_RANKINGS: dict[str, tuple[Words, Callable[[str], Words]]] = {
    "languages": (Words("Languages", "语言"), language_words),
    "sources": (Words("Sources", "来源"), lambda name: Words(name, name)),
    "kinds": (Words("Kinds of files", "文件类型"), kind_words),
}


@dataclass(frozen=True, kw_only=True)
class _Ranking:
    """What the corpus is made of, by one property."""

    heading: Words
    chart: Markup
    rows: Sequence[tuple[Words, str, str, str]]
    """Name, documents, bytes, refused."""


@dataclass(frozen=True, kw_only=True)
class _Refusals:
    """What was refused for one reason, or by one rule."""

    reason: Words
    rule: str
    count: str
    examples: Sequence[Mapping[str, str]]


def write_corpus_report(
    summary: Mapping[str, Any], path: Path, *, name: str = "", language: Language = "en"
) -> None:
    """Write the report of a corpus; the same summary gives the same bytes.

    Args:
        summary: what ``corpus.json`` holds: num_documents, num_bytes, splits, rejected (reason to count),
            cleaned (step to count of documents changed), account; anything else is listed.
        path: the file to write.
        name: of the corpus; that of the file's folder by default.
        language: what is shown first.

    Raises:
        OSError: the file cannot be written.
    """
    write_report(path, corpus_report(summary, name=name or path.resolve().parent.name, language=language))


def corpus_report(summary: Mapping[str, Any], *, name: str, language: Language = "en") -> str:
    """The report of a corpus as HTML; arguments as of ``write_corpus_report``."""
    account = summary.get("account") or {}
    counts = {key: f"{value:,.0f}" for key in _SHOWN[:3] if (value := number(summary.get(key))) is not None}
    return render_report(
        "corpus.html.j2",
        language,
        name=name,
        counts=counts,
        num_refused=f"{sum(_counts(summary.get('rejected')).values()):,.0f}",
        splits=_splits(summary.get("splits")),
        rankings=[_ranking(key, rows) for key in _RANKINGS if (rows := account.get(key))],
        lengths=_lengths(account.get("lengths") or ()),
        rejected=_bars(summary.get("rejected"), "rejected", Words("Refused by reason", "被拒（按原因）")),
        refused=[_refusals(row) for row in account.get("refused") or ()],
        cleaned=_bars(
            summary.get("cleaned"), "cleaned", Words("Documents changed by each step", "各步骤改动的文档")
        ),
        personal=[
            (personal_words(row["kind"]), f"{row['num_found']:,}", action_words(row["action"]))
            for row in account.get("personal") or ()
        ],
        passages=account.get("passages"),
        copies=account.get("copies"),
        clusters=account.get("clusters"),
        settings=list(sections.flat({k: value for k, value in summary.items() if k not in _SHOWN})),
    )


def _ranking(key: str, rows: Sequence[Mapping[str, Any]]) -> _Ranking:
    heading, words_of = _RANKINGS[key]
    named = [(_name(row, words_of), row) for row in rows]
    bars = [(words, float(row["num_bytes"])) for words, row in named if row["num_bytes"]]
    title = Words(f"{heading.en}: bytes of text", f"{heading.zh}：文本字节数")
    return _Ranking(
        heading=heading,
        chart=bar_chart(bars[:_MAX_BARS], name=key, title=title, write=format_size),
        rows=[
            (words, f"{row['num_documents']:,}", format_size(row["num_bytes"]), f"{row['num_refused']:,}")
            for words, row in named
        ],
    )


def _name(row: Mapping[str, Any], words_of: Callable[[str], Words]) -> Words:
    if row["name"] is None:
        return Words(f"{row['num_names']:,} others", f"其余 {row['num_names']:,} 项")
    return words_of(row["name"])


def _lengths(rows: Sequence[Mapping[str, int]]) -> Markup:
    """Documents by their lengths, in columns from each power of two to the next."""
    if not rows:
        return Markup("")
    found = {row["min_chars"]: row for row in rows}
    edges = [min(found)]
    while edges[-1] <= max(found):
        edges.append(2 * edges[-1])
    nothing = {"num_read": 0, "num_kept": 0}
    layers = [
        Layer(name=words, counts=[found.get(edge, nothing)[key] for edge in edges[:-1]], color=color)
        for key, words, color in (
            ("num_read", Words("read", "读入"), "var(--rule, #ddd)"),
            ("num_kept", Words("kept", "保留"), "var(--accent, #b8392b)"),
        )
    ]
    return histogram(
        edges,
        layers,
        name="lengths",
        title=Words("Lengths of documents", "文档长度"),
        x=Axis(name=Words("characters", "字符"), log=True),
        y=Axis(name=Words("documents", "文档"), from_zero=True),
    )


def _refusals(row: Mapping[str, Any]) -> _Refusals:
    return _Refusals(
        reason=reason_words(row["reason"]),
        rule=row["rule"],
        count=f"{row['num_items']:,}",
        examples=row["examples"],
    )


def _bars(value: object, name: str, title: Words) -> Markup:
    ordered = sorted(_counts(value).items(), key=lambda item: (-item[1], item[0]))
    return bar_chart([(reason_words(key), count) for key, count in ordered], name=name, title=title)


def _counts(value: object) -> dict[str, float]:
    if not isinstance(value, Mapping):
        return {}
    return {str(key): found for key, count in value.items() if (found := number(count))}


def _splits(splits: object) -> list[tuple[str, dict[str, Any]]]:
    if not isinstance(splits, Mapping):
        return []
    return [
        (str(name), dict(counts) if isinstance(counts, Mapping) else {"num_documents": counts})
        for name, counts in splits.items()
    ]
