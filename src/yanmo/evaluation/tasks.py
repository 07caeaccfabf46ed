"""How good a model is at a task: its scores with intervals, beside those of cheap models on the same rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from yanmo import metrics
from yanmo.artifact import write_json
from yanmo.errors import InputError
from yanmo.evaluation.mistakes import confusion, frequent_mistakes, kinds_of_names
from yanmo.evaluation.slices import slices_of
from yanmo.evaluation.sureness import sureness_of
from yanmo.evaluation.task_baselines import baselines_of
from yanmo.evaluation.task_report import checks_of, write_task_report
from yanmo.evaluation.worst import worst_rows
from yanmo.finetuning.embeddings import Embeddings
from yanmo.finetuning.skill import Prediction, Skill
from yanmo.finetuning.task_model import TaskModel
from yanmo.finetuning.text_labels import OneClass
from yanmo.finetuning.token_tags import TokenTags, words_of
from yanmo.metrics import Difference, Scores
from yanmo.models.features.linear_terms import LinearTerms
from yanmo.tasks.base import ReadSettings
from yanmo.tasks.check import check_examples
from yanmo.tasks.columns import Columns
from yanmo.tasks.examples import Example
from yanmo.tasks.labels import LabelKind
from yanmo.tasks.read import load_examples

NETWORK_ALONE = "the network alone"


class Answerer(Protocol):
    """What answers a task: a fine-tuned model, or a language model with a prompt."""

    @property
    def name(self) -> str:
        """For people."""

    @property
    def task(self) -> str:
        """Name of the task."""

    @property
    def skill(self) -> Skill[Any]:
        """What its answers are."""

    def answer(self, examples: Sequence[Example]) -> list[Prediction]:
        """One prediction an example."""


@dataclass(frozen=True, kw_only=True)
class Judged:
    """The scores of one model: value and interval of 95% by name."""

    name: str
    metrics: Mapping[str, Mapping[str, Any]]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {"name": self.name, "metrics": dict(self.metrics)}


@dataclass(frozen=True, kw_only=True)
class TaskEvaluation:
    """A model's scores on labelled rows, beside those of cheap models.

    Attributes:
        task: name of the task.
        metrics_name: its name among ``yanmo.metrics.TASKS``.
        model: the model's scores.
        alone: those of its network without the words that speak beside it; None where none do.
        baselines: those of cheap models, the best last; empty where there were no rows to train them on.
        lead: of the model over the best of them by the deciding score, with interval and p-value; None
            without one.
        num_examples: rows that were judged.
        decides: the score that says which of two models is better.
        mistakes: gold and predicted class of wrong rows, most frequent first, with their numbers.
        wrong: the rows that it is worst at, its surest mistakes first (``worst.worst_rows``).
        analysis: ``slices``, ``calibration``, ``confusion`` and ``kinds`` (``analyse``).
    """

    task: str
    metrics_name: str
    model: Judged
    alone: Judged | None
    baselines: tuple[Judged, ...]
    lead: Difference | None
    num_examples: int
    decides: str
    mistakes: tuple[tuple[str, str, int], ...]
    wrong: tuple[Mapping[str, Any], ...]
    analysis: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Plain values, as ``yanmo evaluate --json`` prints them."""
        return {
            "task": self.task,
            "name": self.model.name,
            "metrics_name": self.metrics_name,
            "metrics": dict(self.model.metrics),
            "alone": None if self.alone is None else self.alone.to_json(),
            "num_examples": self.num_examples,
            "decides": self.decides,
            "baseline": self.baselines[-1].to_json() if self.baselines else {},
            "baselines": [baseline.to_json() for baseline in self.baselines],
            "lead": None if self.lead is None else vars(self.lead),
            "mistakes": [list(mistake) for mistake in self.mistakes],
            "wrong": list(self.wrong),
            **self.analysis,
        }

    def to_text(self) -> str:
        """A small table for people."""
        alone = [] if self.alone is None else [self.alone]
        shown = [self.model, *alone, *reversed(self.baselines)]
        names = metrics.task_metrics(self.metrics_name).shown
        width = max(len(judged.name) for judged in shown)
        lines = [f"{'':<{width}}  " + "  ".join(f"{name:<26}" for name in names)]
        for judged in shown:
            cells = [_cell(judged.metrics.get(name)) for name in names]
            lines.append(f"{judged.name:<{width}}  " + "  ".join(f"{cell:<26}" for cell in cells))
        lines.append(f"{self.num_examples:,} rows; intervals of 95%")
        if self.lead is not None:
            lead = self.lead
            lines.append(
                f"{self.decides} above {self.baselines[-1].name}: {lead.difference:+.4f}"
                f" ({lead.low:+.4f} to {lead.high:+.4f}, p {lead.p_value:.3f})"
            )
        lines += [f"  {count:,} x {gold} taken for {said}" for gold, said, count in self.mistakes[:5]]
        return "\n".join(lines)


def evaluate_task(
    model: Answerer,
    examples: Sequence[Any],
    *,
    train: Sequence[Example] = (),
    words: LinearTerms | None = None,
    seed: int = 0,
) -> TaskEvaluation:
    """Score a model on labelled examples.

    Args:
        model: what answers.
        examples: to be judged on.
        train: what it has learned from, for the cheap models; without any there are none.
        words: the linear one of them, where it has learned already.
        seed: of the intervals and the test.

    Raises:
        InputError: there is no example with a label.
    """
    if not examples:
        raise InputError("there is no row with a label to judge on")
    skill: Skill[Any] = model.skill
    if isinstance(skill, Embeddings):
        skill, examples = skill.judging(examples)
    predictions, alone = (
        model.answer_with_network_alone(examples)
        if isinstance(model, TaskModel)
        else (model.answer(examples), None)
    )
    scores = skill.score(examples, predictions)
    own = judge(model.name, scores, seed=seed)
    decides = metrics.task_metrics(skill.metrics_name).decides
    others = [(one.name, one.predict(examples)) for one in baselines_of(skill, train, words)]
    ranked = sorted(
        ((judge(name, skill.score(examples, found), seed=seed), found) for name, found in others),
        key=lambda pair: _worth(pair[0], decides),
    )
    return TaskEvaluation(
        task=model.task,
        metrics_name=skill.metrics_name,
        model=own,
        alone=None if alone is None else judge(NETWORK_ALONE, skill.score(examples, alone), seed=seed),
        baselines=tuple(baseline for baseline, _ in ranked),
        lead=_lead(skill, examples, predictions, ranked[-1][1], decides, seed) if ranked else None,
        num_examples=len(examples),
        decides=decides,
        mistakes=frequent_mistakes(examples, predictions),
        wrong=worst_rows(examples, predictions, scores, decides),
        analysis=analyse(skill, examples, predictions, scores, seed=seed),
    )


def analyse(
    skill: Skill[Any],
    examples: Sequence[Any],
    predictions: Sequence[Prediction],
    scores: Scores,
    *,
    seed: int,
) -> dict[str, Any]:
    """What lies behind the scores.

    Returns:
        ``slices`` (``slices.slices_of``), ``calibration`` (``sureness.sureness_of``), ``confusion`` of labels
        and ``kinds`` of names (``mistakes``); what a task has not is None.
    """
    table, kinds = None, None
    if isinstance(skill, OneClass):
        gold = ["|".join(example.labels()) for example in examples]
        table = confusion(gold, [row["label"] for row in predictions])
    elif isinstance(skill, TokenTags) and skill.has_names:
        kinds = kinds_of_names(examples, predictions)
    elif isinstance(skill, TokenTags):
        tags = [tag for example in examples for tag in words_of(example).tags or ()]
        table = confusion(tags, [tag for row in predictions for tag in row["tags"]])
    return {
        "slices": slices_of(skill, examples, predictions, scores, seed=seed),
        "calibration": sureness_of(skill, examples, predictions),
        "confusion": table,
        "kinds": kinds,
    }


def evaluate_task_file(
    path: Path | str,
    data: Path | str,
    *,
    task: str | None = None,
    columns: Columns | None = None,
    header: bool | None = None,
    label_kind: str | None = None,
    train: Path | str | None = None,
    seed: int = 0,
    out: Path | None = None,
) -> TaskEvaluation:
    """Score a model folder on a file of labelled examples.

    Args:
        path: the model.
        data: file or folder of examples.
        task: how the rows are read; the model's own task where None.
        columns: of the table, where guessing is not wanted.
        header: whether its first row names the columns, where guessing is not wanted.
        label_kind: ``one``, ``several`` or ``number``, where guessing is not wanted.
        train: rows that the cheap models learn from; without them there are none.
        seed: of the intervals and the test.
        out: JSON file to write the result to, with a report beside it (.html); nothing is written if None.

    Raises:
        InputError: the model or the rows cannot be read.
    """
    model = TaskModel.load(path, task=task)
    kind = None if label_kind is None else LabelKind(label_kind)
    settings = ReadSettings(columns=columns or {}, header=header, label_kind=kind)
    rows, known = (
        load_examples(Path(source), task or model.task, settings).examples if source is not None else []
        for source in (data, train)
    )
    result = evaluate_task(model, rows, train=known, seed=seed)
    if out is not None:
        write_json(out, result.to_json())
        checks = checks_of(check_examples({"train": known, "test": rows}), "") if known else None
        write_task_report(out.with_suffix(".html"), result.to_json(), name=model.name, checks=checks)
    return result


def judge(name: str, scores: Scores, *, seed: int) -> Judged:
    """All scores that are defined, with their intervals."""
    intervals = metrics.bootstrap(scores, seed=seed)
    return Judged(
        name=name,
        metrics={
            key: {"value": value, "interval": [intervals[key].low, intervals[key].high]}
            for key, value in scores.values.items()
            if value == value
        },
    )


def _worth(judged: Judged, decides: str) -> float:
    """The deciding score, larger for better; the least where it is not defined."""
    value = judged.metrics.get(decides, {}).get("value")
    if value is None:
        return float("-inf")
    return float(value) if metrics.metric(decides).larger_is_better else -float(value)


def _lead(
    skill: Skill[Any],
    examples: Sequence[Example],
    predictions: Sequence[Prediction],
    others: Sequence[Prediction],
    decides: str,
    seed: int,
) -> Difference:
    both = skill.score([*examples, *examples], [*others, *predictions])
    return metrics.paired_bootstrap(both.only([decides]), seed=seed)[decides]


def _cell(score: Mapping[str, Any] | None) -> str:
    if score is None:
        return "-"
    low, high = score["interval"]
    return f"{score['value']:.4f} ({low:.4f}, {high:.4f})"
