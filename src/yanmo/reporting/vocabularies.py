"""The report of a comparison of vocabularies: one HTML file, English and Chinese in one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from yanmo.config import format_duration
from yanmo.reporting.axes import Axis, Words
from yanmo.reporting.charts import Estimate, Series, interval_chart, line_chart
from yanmo.reporting.html import Language, render_report, write_report
from yanmo.reporting.runs import number

_COLORS = {
    "bpe": "var(--accent, #b8392b)",
    "unigram": "var(--ink, #222)",
    "wordpiece": "var(--band, #b9862b)",
    "char": "var(--faint, #999)",
}
_ELSEWHERE = "var(--muted, #777)"
_KINDS = {
    "bpe": Words("byte-level BPE", "字节级 BPE"),
    "wordpiece": Words("WordPiece", "WordPiece"),
    "unigram": Words("Unigram", "Unigram"),
    "char": Words("characters", "字符"),
    None: Words("given", "给定"),
}
_SCRIPTS = {
    "latin": Words("Latin", "拉丁字母"),
    "digits": Words("digits", "数字"),
    "han": Words("Chinese", "汉字"),
    "kana": Words("kana", "假名"),
    "hangul": Words("Hangul", "谚文"),
    "cyrillic": Words("Cyrillic", "西里尔字母"),
    "greek": Words("Greek", "希腊字母"),
    "arabic": Words("Arabic", "阿拉伯字母"),
    "hebrew": Words("Hebrew", "希伯来字母"),
    "indic": Words("Indic", "印度文字"),
    "thai": Words("Thai", "泰文"),
    "other": Words("other", "其他"),
}
_BYTES_PER_TOKEN = Words("bytes per token", "每词元字节数")


@dataclass(frozen=True, kw_only=True)
class _Line:
    """A vocabulary's row in a table."""

    name: str
    kind: Words
    values: tuple[str, ...]


def write_vocabulary_report(
    result: Mapping[str, Any], path: Path, *, name: str, language: Language = "en"
) -> None:
    """Write the report of a comparison; the same result gives the same bytes.

    Args:
        result: what ``comparison.json`` holds.
        path: the file to write.
        name: of the comparison.
        language: what is shown first.

    Raises:
        OSError: the file cannot be written.
    """
    write_report(path, vocabulary_report(result, name=name, language=language))


def vocabulary_report(result: Mapping[str, Any], *, name: str, language: Language = "en") -> str:
    """The report as HTML; arguments as of ``write_vocabulary_report``."""
    rows: Sequence[Mapping[str, Any]] = result["candidates"]
    scripts = list(dict.fromkeys(script for row in rows for script in row["scripts"]))
    best = rows[0]
    return render_report(
        "vocabularies.html.j2",
        language,
        name=name,
        split=result["split"],
        best=best,
        verdict=_verdict(rows),
        num_bytes=best["num_bytes"],
        headline=_headline(rows),
        by_size=_by_size(rows),
        scores=[_Line(name=row["name"], kind=_KINDS[row["kind"]], values=_values(row)) for row in rows],
        scripts=[_SCRIPTS.get(script, Words(script, script)) for script in scripts],
        fertility=[
            _Line(
                name=row["name"],
                kind=_KINDS[row["kind"]],
                values=tuple(_fertility(row["scripts"].get(script)) for script in scripts),
            )
            for row in rows
        ],
    )


def _verdict(rows: Sequence[Mapping[str, Any]]) -> Words:
    """Which vocabulary writes the text in the fewest tokens, and which of them loses something."""
    best = rows[0]
    en = f"{best['name']} needs the fewest tokens: {best['bytes_per_token']:.2f} bytes each."
    zh = f"{best['name']} 用的词元最少：每个词元 {best['bytes_per_token']:.2f} 字节。"
    lossy = [row["name"] for row in rows if row["exact_share"] < 1]
    if lossy:
        names = ", ".join(lossy)
        return Words(
            f"{en} Text does not come back exactly from: {names}.", f"{zh}不能逐字还原文本：{names}。"
        )
    return Words(f"{en} From each, text comes back exactly.", f"{zh}全部都能逐字还原文本。")


def _headline(rows: Sequence[Mapping[str, Any]]) -> Markup:
    estimates = [
        Estimate(
            name=Words(row["name"], row["name"]),
            value=row["bytes_per_token"],
            color=_COLORS.get(row["kind"], _ELSEWHERE),
        )
        for row in rows
    ]
    return interval_chart(estimates, name="bytes-per-token", title=_BYTES_PER_TOKEN)


def _by_size(rows: Sequence[Mapping[str, Any]]) -> Markup:
    """Bytes per token against the size, a line a kind; nothing where no kind has two sizes."""
    points: dict[str | None, list[tuple[float, float]]] = {}
    for row in rows:
        points.setdefault(row["kind"], []).append((row["vocab_size"], row["bytes_per_token"]))
    if not any(kind is not None and len(found) > 1 for kind, found in points.items()):
        return Markup("")
    series = [
        Series(
            name=_KINDS[kind],
            points=sorted(found),
            color=_COLORS.get(kind or "", _ELSEWHERE),
            dots=True,
            width=1.6 if kind is not None else 0,
        )
        for kind, found in points.items()
    ]
    return line_chart(
        series,
        name="by-size",
        title=_BYTES_PER_TOKEN,
        x=Axis(name=Words("tokens in the vocabulary", "词表大小"), log=True),
        y=Axis(name=_BYTES_PER_TOKEN),
    )


def _values(row: Mapping[str, Any]) -> tuple[str, ...]:
    speed, train_s = number(row["encode_bytes_per_s"]), number(row["train_s"])
    return (
        f"{row['vocab_size']:,}",
        f"{row['bytes_per_token']:.3f}",
        f"{row['characters_per_token']:.3f}",
        _share(row["unknown_share"]),
        _share(row["byte_share"]),
        _share(row["used_share"]),
        _share(row["exact_share"]),
        "–" if train_s is None else format_duration(train_s),
        "–" if speed is None else f"{speed / 1e6:.1f}",
    )


def _fertility(script: Mapping[str, Any] | None) -> str:
    """Tokens a word; a dash where there are none, or words cannot be told."""
    if script is None or not script["num_tokens"]:
        return "–"
    words = number(script["tokens_per_word"])
    return "–" if words is None else f"{words:.2f}"


def _share(value: float) -> str:
    """A share as percent; what is not none, or not all, never looks so."""
    if 0 < value < 0.0001:
        return "<0.01%"
    if 0.9999 < value < 1:
        return ">99.99%"
    return f"{value:.2%}"
