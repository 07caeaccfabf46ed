"""The report of a task: one HTML file that says how good a model is, where it fails, and what was done.

It is made from what evaluation.json, metrics.jsonl and result.json of a run say, so it can be made again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup, escape

from yanmo import metrics
from yanmo.config import format_duration
from yanmo.evaluation.report_repeats import repeats_section
from yanmo.evaluation.report_words import (
    baseline_words,
    metric_words,
    score_cells,
    severity_words,
    split_words,
    state_words,
    task_words,
    written,
)
from yanmo.reporting.axes import Axis, Words
from yanmo.reporting.charts import Estimate, Series, interval_chart, line_chart
from yanmo.reporting.comparison import format_energy
from yanmo.reporting.history import History, smooth
from yanmo.reporting.html import Language, render_report, write_report
from yanmo.reporting.sections import Fact, Figure, flat
from yanmo.reporting.tuning import trials_section

_ACCENT, _INK, _FAINT = "var(--accent, #b8392b)", "var(--ink, #222)", "var(--faint, #999)"
_SURE_P = 0.05
_MOST_WORDS = 12


@dataclass(frozen=True, kw_only=True)
class Part:
    """A slice in a table: its name, how many, its scores, and low, high and value on a line of 0 to 1."""

    name: str | Words
    num_rows: str
    scores: Sequence[str]
    bar: tuple[float, float, float] | None
    small: bool


def write_task_report(
    path: Path,
    evaluation: Mapping[str, Any],
    *,
    name: str,
    history: History | None = None,
    result: Mapping[str, Any] | None = None,
    checks: Mapping[str, Any] | None = None,
    settings: Mapping[str, Any] | None = None,
    language: Language = "en",
) -> None:
    """Write the report of a task.

    Args:
        path: the file to write.
        evaluation: as ``TaskEvaluation.to_json`` says it, with ``split`` where the rows are of one.
        name: of the run, or of the model.
        history: of the training.
        result: of the run: rows, recipe, time, energy.
        checks: of the data (``checks_of``).
        settings: of the run.
        language: what is shown first.

    Raises:
        OSError: the file cannot be written.
    """
    text = task_report(
        evaluation,
        name=name,
        history=history,
        result=result or {},
        checks=checks or {},
        settings=settings or {},
        language=language,
    )
    write_report(path, text)


def task_report(
    evaluation: Mapping[str, Any],
    *,
    name: str,
    history: History | None,
    result: Mapping[str, Any],
    checks: Mapping[str, Any],
    settings: Mapping[str, Any],
    language: Language = "en",
) -> str:
    """The report as HTML; arguments as of ``write_task_report``."""
    slices, calibration = evaluation.get("slices") or {}, evaluation.get("calibration")
    decides = evaluation["decides"]
    score = evaluation["metrics"].get(decides)
    return render_report(
        "task.html.j2",
        language,
        name=name,
        split=evaluation.get("split", ""),
        task=task_words(evaluation["task"]),
        value=written(decides, score["value"]) if score else "–",
        of=_of_rows(evaluation),
        verdict=verdict(evaluation),
        chart=_beside(evaluation),
        facts=_facts(evaluation, result),
        judged=_judged(evaluation),
        scores=list(_scores(evaluation)),
        repeats=repeats_section(result.get("repeats"), decides),
        trials=_trials(result.get("tune")),
        curves=_curves(history, evaluation["metrics_name"]) if history is not None else [],
        confusion=_confusion(evaluation.get("confusion")),
        kinds=evaluation.get("kinds"),
        mistakes=evaluation["mistakes"][:_MOST_WORDS],
        by_label=[_part_of_label(part) for part in slices.get("by_label", ())],
        by_length=_parts_of_length(slices),
        length_score=metric_words(slices.get("by_length_score", decides)),
        calibration=calibration,
        reliability=_reliability(calibration) if calibration else None,
        sureness=_sureness(calibration) if calibration else None,
        worst=[_worst(row) for row in evaluation["wrong"]],
        checks=checks,
        severity=severity_words,
        places=_places,
        states=state_words,
        tables=[
            (
                Words("Recipe", "训练配方"),
                [*_class_weights(settings), *_words_beside(result), *flat(result.get("recipe") or {})],
            ),
            (Words("Settings", "设置"), list(flat(settings))),
        ],
    )


def checks_of(report: Any, how: str) -> dict[str, Any]:
    """What a check of examples found (``tasks.check.Report``), as plain values.

    Args:
        report: the check.
        how: the rows were divided.
    """
    return {
        "num_rows": dict(report.num_examples),
        "num_broken": report.num_broken,
        "how": how,
        "findings": [
            {
                "kind": finding.kind.value,
                "severity": finding.severity.value,
                "what": finding.what._asdict(),
                "proposal": finding.proposal._asdict(),
                "rows": [str(row) for row in finding.rows],
                "num_rows": finding.num_rows,
            }
            for finding in report.findings
        ],
    }


def verdict(evaluation: Mapping[str, Any]) -> Words:
    """How the model stands to the best cheap one, in a sentence."""
    lead, decides = evaluation.get("lead"), evaluation["decides"]
    if lead is None:
        return Words(
            "No cheap model stands beside it: there were no rows to train one on, so nothing says yet "
            "whether the model was worth its time.",
            "没有简单模型可比：缺少训练它的数据，因此还无法判断这个模型是否值得。",
        )
    other = baseline_words(evaluation["baseline"]["name"])
    measure = metrics.metric(decides)
    gain = lead["difference"] if measure.larger_is_better else -lead["difference"]
    size = f"{abs(lead['difference']):.3f}"
    low, high, p_value = (
        f"{lead['low']:+.3f}",
        f"{lead['high']:+.3f}",
        f"{max(lead['p_value'], 0.001):.3f}",
    )
    told = f"({low} … {high}, p = {p_value})"
    if lead["p_value"] >= _SURE_P or gain == 0:
        return Words(
            f"The model and “{other.en}” cannot be told apart on these rows {told}. More rows may part them.",
            f"在这些数据上，模型与“{other.zh}”难分高下 {told}。更多数据也许能分出高下。",
        )
    if gain > 0:
        return Words(
            f"The model beats “{other.en}”, the best of the cheap ones, by {size} {measure.en} {told}.",
            f"模型胜过最好的简单模型“{other.zh}”：{measure.zh}相差 {size} {told}。",
        )
    return Words(
        f"“{other.en}” is better by {size} {measure.en} {told}: the model is not worth its time here. "
        "Give it more rows, or a better model to begin with.",
        f"“{other.zh}”更好，{measure.zh}相差 {size} {told}：这里不值得用这个模型。"
        "请给更多数据，或换更好的起始模型。",
    )


def _of_rows(evaluation: Mapping[str, Any]) -> Words:
    words, rows = metric_words(evaluation["decides"]), f"{evaluation['num_examples']:,}"
    split = split_words(evaluation.get("split", ""))
    return Words(f"{words.en}, {rows} {split.en}", f"{words.zh}，{rows} {split.zh}")


def _judged(evaluation: Mapping[str, Any]) -> list[Words]:
    """What stands in the table of scores."""
    return [
        Words("this model", "本模型"),
        *(baseline_words(other["name"]) for other in _compared(evaluation)),
    ]


def _compared(evaluation: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """What stands beside the model: the network alone where words speak too, and cheap ones, best first."""
    alone = evaluation.get("alone")
    return [*([alone] if alone else []), *reversed(evaluation["baselines"])]


def _beside(evaluation: Mapping[str, Any]) -> Markup:
    decides = evaluation["decides"]
    found = [evaluation["metrics"], *(other["metrics"] for other in _compared(evaluation))]
    rows = [
        Estimate(
            name=name,
            value=told[decides]["value"],
            interval=tuple(told[decides]["interval"]),
            color=_ACCENT if place == 0 else _INK,
        )
        for place, (name, told) in enumerate(zip(_judged(evaluation), found, strict=True))
        if decides in told
    ]
    return interval_chart(rows, name="headline", title=metric_words(decides))


def _scores(evaluation: Mapping[str, Any]) -> Iterator[tuple[Words, list[tuple[str, str]]]]:
    """Each score: value and interval of the model, and of the cheap ones."""
    found = [evaluation["metrics"], *(other["metrics"] for other in _compared(evaluation))]
    shown = metrics.task_metrics(evaluation["metrics_name"]).shown
    for name in dict.fromkeys([*shown, *evaluation["metrics"]]):
        if name in evaluation["metrics"]:
            yield metric_words(name), [score_cells(name, told.get(name)) for told in found]


def _facts(evaluation: Mapping[str, Any], result: Mapping[str, Any]) -> list[tuple[Words, str]]:
    facts = [(Words("rows judged", "评测行数"), f"{evaluation['num_examples']:,}")]
    if "num_train_examples" in result:
        facts.append((Words("rows learned from", "训练行数"), f"{result['num_train_examples']:,}"))
    if "num_parameters" in result:
        facts.append((Words("parameters", "参数"), f"{result['num_parameters']:,}"))
    if "steps" in result:
        facts.append((Words("steps", "步数"), f"{result['steps']:,}"))
    if "wall_s" in result:
        facts.append((Words("time", "用时"), format_duration(result["wall_s"])))
    if result.get("energy_wh") is not None:
        source = result.get("energy_source")
        facts.append((Words("energy", "能耗"), format_energy(result["energy_wh"], source)))
    return facts


def _class_weights(settings: Mapping[str, Any]) -> list[Fact]:
    """How much each class counts in the loss; nothing where nothing was learned."""
    if not settings:
        return []
    given = settings.get("class_weights", "none")
    value = ", ".join(f"{k} {v:g}" for k, v in given.items()) if isinstance(given, Mapping) else str(given)
    return [Fact(name=Words("class weights", "类别权重"), value=value)]


def _words_beside(result: Mapping[str, Any]) -> list[Fact]:
    """The linear model that speaks beside the network; nothing where there is none."""
    blend = result.get("blend")
    if not blend:
        return []
    before, after = blend["valid_loss_nats_alone"], blend["valid_loss_nats"]
    value = f"{blend['words']} × {blend['weight']:.3g}: {before:.4f} → {after:.4f} nats"
    return [Fact(name=Words("words beside the network", "与网络共同判断的词模型"), value=value)]


def _trials(tune: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return trials_section(tune, score=metric_words(tune["decides"])) if tune else None


def _curves(history: History, metrics_name: str) -> list[Figure]:
    """Loss, and the scores of the validation rows that decide and that chose the step."""
    told = metrics.task_metrics(metrics_name)
    steps = Axis(name=Words("steps", "步数"))
    train = history.points("step", "loss_nats")
    smoothed = zip([x for x, _ in train], smooth([y for _, y in train], 0.1), strict=True)
    loss = Words("Loss", "损失")
    drawn = [
        (
            loss,
            [
                Series(name=Words("training", "训练"), points=list(smoothed), color=_FAINT, width=1.2),
                Series(
                    name=Words("validation", "验证"),
                    points=history.points("step", "loss_nats", kind="valid"),
                    color=_ACCENT,
                    width=2.2,
                    dots=True,
                ),
            ],
        ),
    ]
    for name in dict.fromkeys([told.decides, told.chooses]):
        score, points = metric_words(name), history.points("step", name, kind="valid")
        caption = Words(f"Validation: {score.en}", f"验证：{score.zh}")
        drawn.append((caption, [Series(name=score, points=points, color=_ACCENT, dots=True)]))
    return [
        Figure(caption=caption, chart=chart)
        for number, (caption, series) in enumerate(drawn)
        if (
            chart := line_chart(
                series, name=f"curve-{number}", title=caption, x=steps, y=Axis(name=caption), size=(400, 270)
            )
        )
    ]


def _confusion(table: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Labels, and of each cell its number, its share of the row's cases, and whether it is right."""
    if not table or len(table["labels"]) < 2:
        return None
    rest = Words("all others", "其余")
    labels = [rest if label is None else label for label in table["labels"]]
    rows = []
    for place, (label, counts) in enumerate(zip(labels, table["counts"], strict=True)):
        whole = max(1, sum(counts))
        cells = [(count, count / whole, column == place) for column, count in enumerate(counts)]
        rows.append((label, cells))
    return {"labels": labels, "rows": rows}


def _part_of_label(part: Mapping[str, Any]) -> Part:
    return Part(
        name=part["label"],
        num_rows=f"{part['num_cases']:,}",
        scores=[f"{part[name]['value']:.3f}" for name in ("precision", "recall", "f1")],
        bar=(*part["f1"]["interval"], part["f1"]["value"]),
        small=part["small"],
    )


def _parts_of_length(slices: Mapping[str, Any]) -> list[Part]:
    parts = slices.get("by_length", ())
    most = max((abs(edge) for part in parts for edge in part["score"]["interval"]), default=1.0) or 1.0
    scale = most if most > 1 else 1.0
    return [
        Part(
            name=f"{part['from']:,} – {part['to']:,}",
            num_rows=f"{part['num_rows']:,}",
            scores=[written(slices["by_length_score"], part["score"]["value"])],
            bar=tuple(
                min(1.0, max(0.0, edge / scale))
                for edge in (*part["score"]["interval"], part["score"]["value"])
            ),
            small=part["small"],
        )
        for part in parts
    ]


def _reliability(calibration: Mapping[str, Any]) -> Markup:
    """How often what was given a probability came true, with Wilson's intervals."""
    share = "{:.0%}".format
    series = [Series(name=Words("as it should be", "理想"), points=[(0, 0), (1, 1)], color=_FAINT, width=1)]
    before = calibration.get("before")
    if before:
        points = [(one["confidence"], one["accuracy"]) for one in before["bins"]]
        series.append(Series(name=Words("before", "校准前"), points=points, color=_INK, width=1, dots=True))
    bins = calibration["bins"]
    series.append(
        Series(
            name=Words("calibrated", "校准后") if before else Words("this model", "本模型"),
            points=[(one["confidence"], one["accuracy"]) for one in bins],
            intervals=[tuple(one["interval"]) for one in bins],
            color=_ACCENT,
            width=2,
            dots=True,
        )
    )
    return line_chart(
        series,
        name="reliability",
        title=Words("Probability said and share that came true", "给出的概率与实际正确率"),
        x=Axis(name=Words("probability that was said", "给出的概率"), write=share),
        y=Axis(name=Words("share that came true", "实际正确率"), write=share),
        size=(400, 330),
    )


def _sureness(calibration: Mapping[str, Any]) -> list[tuple[Words, str, str]]:
    """Each measure: without and with the temperature."""
    before = calibration.get("before") or {}
    return [
        (metric_words(name), f"{before[name]:.4f}" if name in before else "", f"{calibration[name]:.4f}")
        for name in ("ece", "brier", "nll")
    ]


def _places(rows: Sequence[str]) -> str:
    """Places in files, ``a.csv line 3, 5; b.csv line 1``: what several begin with is said once."""
    told: dict[str, list[str]] = {}
    for row in rows:
        first, _, last = row.rpartition(" ")
        told.setdefault(first, []).append(last)
    return "; ".join(f"{first} {', '.join(lasts)}".strip() for first, lasts in told.items())


def _worst(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row with its marked text as HTML."""
    text, marks = row.get("context", row["text"]), row.get("marks", ())
    return {
        **row,
        "probability": None if row.get("probability") is None else f"{row['probability']:.1%}",
        "marked": _marked(text, marks),
        "question": row["text"] if "context" in row else "",
    }


def _marked(text: str, marks: Sequence[Mapping[str, Any]]) -> Markup:
    parts, place = [], 0
    for mark in marks:
        parts.append(escape(text[place : mark["start"]]))
        said = Markup("<small>{}</small>").format(mark["said"]) if mark["said"] else ""
        parts.append(
            Markup('<mark class="{}">{}{}</mark>').format(
                mark["state"], text[mark["start"] : mark["end"]], said
            )
        )
        place = mark["end"]
    return Markup("").join([*parts, escape(text[place:])])
