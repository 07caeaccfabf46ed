"""The report of a search for settings: one HTML file, English and Chinese in one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from yanmo.config import format_duration
from yanmo.reporting.axes import Axis, Point, Words
from yanmo.reporting.charts import Series, bar_chart, line_chart
from yanmo.reporting.html import Language, render_report, write_report

NAMES = {
    "learning_rate": Words("learning rate", "学习率"),
    "epochs": Words("epochs", "训练轮数"),
    "batch_size": Words("batch size", "批大小"),
    "dropout": Words("dropout", "丢弃率"),
    "layer_decay": Words("layer decay", "逐层学习率衰减"),
}
_STATES = {
    "complete": Words("complete", "完成"),
    "ended early": Words("ended early", "提前结束"),
    "diverged": Words("diverged", "发散"),
}
_ENDED, _WHOLE, _BEST = "var(--faint, #999)", "var(--ink, #222)", "var(--accent, #b8392b)"


def write_tuning_report(
    result: Mapping[str, Any],
    path: Path,
    *,
    name: str,
    score: Words | None = None,
    language: Language = "en",
) -> None:
    """Write the report of a search; the same result gives the same bytes.

    Args:
        result: the search, its trials with the best first.
        path: the file to write.
        name: of the run.
        score: what the trials are compared by is called; as ``result`` names it where None.
        language: what is shown first.

    Raises:
        OSError: the file cannot be written.
    """
    write_report(path, tuning_report(result, name=name, score=score, language=language))


def tuning_report(
    result: Mapping[str, Any], *, name: str, score: Words | None = None, language: Language = "en"
) -> str:
    """The report as HTML; arguments as of ``write_tuning_report``."""
    trials: Sequence[Mapping[str, Any]] = result["trials"]
    whole = [trial for trial in trials if trial["state"] == "complete"]
    ended = [trial for trial in trials if trial["state"] != "complete" and trial["score"] is not None]
    section = trials_section(result, score=score)
    score = section["score"]
    return render_report(
        "tuning.html.j2",
        language,
        name=name,
        score=score,
        best=f"{whole[0]['score']:.4f}" if whole else "–",
        num_trials=len(trials),
        num_ended=len(trials) - len(whole),
        took=format_duration(sum(trial["seconds"] for trial in trials)),
        course=section["course"],
        importance=_importance(result["importance"]),
        by_setting=list(_by_setting(result["space"], whole, ended, score)),
        settings=section["settings"],
        rows=section["rows"],
    )


def trials_section(result: Mapping[str, Any], *, score: Words | None = None) -> dict[str, Any]:
    """What a report shows of a search: the ``course``, the names of ``settings``, the ``rows`` best first.

    Args:
        result: the search, its trials with the best first.
        score: what the trials are compared by is called.
    """
    trials, settings = result["trials"], list(result["space"])
    whole = [trial for trial in trials if trial["state"] == "complete"]
    ended = [trial for trial in trials if trial["state"] != "complete" and trial["score"] is not None]
    score = score or Words(result["decides"], result["decides"])
    return {
        "course": _course(whole, ended, score, larger_is_better=result["larger_is_better"]),
        "score": score,
        "settings": [_name(setting) for setting in settings],
        "rows": [_cells(trial, settings) for trial in trials],
    }


def _course(
    whole: Sequence[Mapping[str, Any]],
    ended: Sequence[Mapping[str, Any]],
    score: Words,
    *,
    larger_is_better: bool,
) -> Markup:
    """The score of each trial in its order, and the best one so far."""
    best: list[Point] = []
    better = max if larger_is_better else min
    for trial in sorted(whole, key=lambda trial: trial["number"]):
        value = trial["score"] if not best else better(best[-1][1], trial["score"])
        best += (
            [(trial["number"], best[-1][1]), (trial["number"], value)] if best else [(trial["number"], value)]
        )
    return line_chart(
        [
            *_dots(whole, ended, lambda trial: float(trial["number"])),
            Series(name=Words("best so far", "目前最佳"), points=best, color=_BEST),
        ],
        name="course",
        title=Words("The trials", "各次试验"),
        x=Axis(name=Words("trial", "试验")),
        y=Axis(name=score),
    )


def _by_setting(
    space: Mapping[str, Mapping[str, Any]],
    whole: Sequence[Mapping[str, Any]],
    ended: Sequence[Mapping[str, Any]],
    score: Words,
) -> Iterator[tuple[Words, Markup]]:
    for setting, told in space.items():
        dots = _dots(whole, ended, lambda trial, setting=setting: float(trial["settings"][setting]))
        chart = line_chart(
            dots,
            name=f"by-{setting.replace('_', '-')}",
            title=_name(setting),
            x=Axis(name=_name(setting), log=bool(told.get("log"))),
            y=Axis(name=score),
            size=(400, 250),
        )
        yield _name(setting), chart


def _dots(whole: Sequence[Mapping[str, Any]], ended: Sequence[Mapping[str, Any]], place: Any) -> list[Series]:
    """A dot a trial; those that were ended stand apart."""
    groups = (
        (Words("whole trials", "完整试验"), whole, _WHOLE),
        (Words("ended early", "提前结束"), ended, _ENDED),
    )
    return [
        Series(
            name=name,
            points=sorted((place(trial), trial["score"]) for trial in trials),
            color=color,
            width=0,
            dots=True,
        )
        for name, trials, color in groups
        if trials
    ]


def _importance(shares: Mapping[str, float]) -> Markup:
    return bar_chart(
        [(_name(setting), share) for setting, share in shares.items()],
        name="importance",
        title=Words("What matters", "各设置的影响"),
        write="{:.0%}".format,
    )


def _cells(trial: Mapping[str, Any], settings: Sequence[str]) -> tuple[str, Words, list[str]]:
    score = "–" if trial["score"] is None else f"{trial['score']:.4f}"
    values = [f"{trial['settings'][setting]:.3g}" for setting in settings]
    return str(trial["number"]), _STATES[trial["state"]], [score, *values, format_duration(trial["seconds"])]


def _name(setting: str) -> Words:
    return NAMES.get(setting, Words(setting, setting))
