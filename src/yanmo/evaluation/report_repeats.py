"""Folds and seeds in the report of a task: what each training scored, and their mean."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from yanmo.evaluation.report_words import metric_words, score_cells, written
from yanmo.reporting.axes import Words
from yanmo.reporting.charts import Estimate, interval_chart

_ACCENT, _INK, _FAINT = "var(--accent, #b8392b)", "var(--ink, #222)", "var(--faint, #999)"
# More trainings than this are told by the table alone.
_MOST_DRAWN = 12


def repeats_section(repeats: Mapping[str, Any] | None, decides: str) -> dict[str, Any] | None:
    """What the template shows of folds or seeds.

    Args:
        repeats: of result.json; None where nothing was repeated.
        decides: the score that the chart shows.

    Returns:
        ``heading``, ``told`` of the interval, ``chart``, ``names`` of the scores, ``means`` (a score, and its
        cells of the model and of the cheap one), and ``runs`` (a name, rows, a cell a score).
    """
    if not repeats:
        return None
    count, is_folds = repeats["count"], repeats["kind"] == "folds"
    names = list(repeats["metrics"])
    means = []
    for name in names:
        found = [repeats["metrics"][name], repeats["baseline"].get(name)]
        cells = [
            score_cells(name, one and {"value": one["mean"], "interval": (one["low"], one["high"])})
            for one in found
        ]
        means.append((metric_words(name), cells))
    runs = [
        (_name_of(run), f"{run['num_examples']:,}", [written(name, run["metrics"][name]) for name in names])
        for run in repeats["runs"]
    ]
    folds = Words(
        "Each row is judged once, by a model that did not learn from it. The interval allows for what the "
        "models' rows have in common (Nadeau and Bengio 2003).",
        "每行数据只由未学过它的模型评判一次；区间已考虑各模型训练数据的重叠（Nadeau 与 Bengio 2003）。",
    )
    seeds = Words(
        "The same rows and settings with other random numbers: how much of a score is luck.",
        "数据与设置相同，仅随机数不同：可见得分中有多少出于偶然。",
    )
    return {
        "heading": Words(
            f"Over {count} {'folds' if is_folds else 'seeds'}",
            f"{count} {'折交叉验证' if is_folds else '个随机种子'}",
        ),
        "told": folds if is_folds else seeds,
        "chart": _chart(repeats, decides),
        "names": [metric_words(name) for name in names],
        "means": means,
        "runs": runs,
    }


def _chart(repeats: Mapping[str, Any], decides: str) -> Markup:
    """The mean with its interval, each training, and the cheap model's mean."""
    told, cheap = repeats["metrics"].get(decides), repeats["baseline"].get(decides)
    if told is None:
        return Markup("")
    rows = [_mean(Words("mean", "平均"), told, _ACCENT)]
    if len(repeats["runs"]) <= _MOST_DRAWN:
        rows += [
            Estimate(name=_name_of(run), value=run["metrics"][decides], interval=None, color=_FAINT)
            for run in repeats["runs"]
        ]
    if cheap is not None:
        rows.append(_mean(Words("cheap model, mean", "简单模型平均"), cheap, _INK))
    return interval_chart(rows, name="repeats", title=metric_words(decides))


def _mean(name: Words, told: Mapping[str, float], color: str) -> Estimate:
    return Estimate(name=name, value=told["mean"], interval=(told["low"], told["high"]), color=color)


def _name_of(run: Mapping[str, Any]) -> Words:
    """``fold-3`` or ``seed-1``."""
    kind, _, number = str(run["name"]).partition("-")
    return Words(f"{kind} {number}", f"{'第 ' + number + ' 折' if kind == 'fold' else '种子 ' + number}")
