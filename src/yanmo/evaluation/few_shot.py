"""How good a language model is at a task by a few examples in its prompt: ``yanmo evaluate --few-shot``."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from yanmo.artifact import write_json
from yanmo.errors import InputError
from yanmo.evaluation.prompting import CHINESE, PromptedModel, draw_examples
from yanmo.evaluation.tasks import TaskEvaluation, evaluate_task
from yanmo.finetuning.registry import kind_of_task
from yanmo.metrics.segments import mostly_chinese
from yanmo.models.registry import LoadedModel, load
from yanmo.reporting.progress import say
from yanmo.tasks.base import ReadSettings
from yanmo.tasks.columns import Columns
from yanmo.tasks.examples import Example
from yanmo.tasks.labels import LabelKind
from yanmo.tasks.read import load_examples

_SHOWN_PROMPT_CHARS = 900


@dataclass(frozen=True, kw_only=True)
class FewShotEvaluation:
    """Scores of a prompted model, and its prompt.

    Attributes:
        scores: as of a fine-tuned model.
        examples: places of the rows in the prompt.
        calibrated: whether what inputs that say nothing get was divided out.
        language: ``en`` or ``zh``: of the prompt.
        prompt: what the model read before the first answer.
    """

    scores: TaskEvaluation
    examples: tuple[str, ...]
    calibrated: bool
    language: str
    prompt: str

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            **self.scores.to_json(),
            "few_shot": len(self.examples),
            "examples": list(self.examples),
            "calibrated": self.calibrated,
            "language": self.language,
            "prompt": self.prompt,
        }

    def to_text(self) -> str:
        """A small table for people, and the first prompt."""
        shown = self.prompt
        if len(shown) > _SHOWN_PROMPT_CHARS:
            half = _SHOWN_PROMPT_CHARS // 2
            shown = f"{shown[:half]} ... {shown[-half:]}"
        how = ", calibrated by inputs that say nothing" if self.calibrated else ""
        plural = "" if len(self.examples) == 1 else "s"
        lines = [
            self.scores.to_text(),
            f"{len(self.examples)} example{plural} in the prompt{how}; the first:",
        ]
        return "\n".join([*lines, *(f"  | {line}" for line in shown.splitlines())])


def evaluate_few_shot(
    model: Path | str | LoadedModel,
    data: Path | str,
    task: str,
    *,
    few_shot: int,
    train: Path | str | None = None,
    columns: Columns | None = None,
    header: bool | None = None,
    label_kind: str | None = None,
    label_words: Mapping[str, str] | None = None,
    calibrated: bool = False,
    limit: int | None = None,
    dtype: torch.dtype = torch.float32,
    seed: int = 0,
    out: Path | None = None,
) -> FewShotEvaluation:
    """Judge a language model on labelled rows by a prompt with some of them.

    Args:
        model: a language model, or where it is.
        data: file or folder of labelled rows.
        task: how they are read.
        few_shot: rows in the prompt; 0 asks by the wording alone.
        train: rows that these are drawn from, and that the cheap models learn from; without them they are
            drawn from ``data``, where they are not judged, and the cheap models learn from these few.
        columns: of the table, where guessing is not wanted.
        header: whether its first row names the columns, where guessing is not wanted.
        label_kind: ``one``, where guessing is not wanted.
        label_words: how the model reads labels that say little.
        calibrated: divide by what inputs that say nothing get.
        limit: judge by a sample of so many rows; all if None.
        dtype: type of the weights in memory, where ``model`` is a path.
        seed: of the draws and the intervals.
        out: JSON file to write the result to; nothing is written if None.

    Raises:
        InputError: the model or the rows cannot be read, there are too few rows, or the task is not asked by
            prompts.
    """
    kind = None if label_kind is None else LabelKind(label_kind)
    settings = ReadSettings(columns=columns or {}, header=header, label_kind=kind)
    rows = _rows(data, task, settings)
    known = _rows(train, task, settings) if train is not None else []
    skill = kind_of_task(task).fit([*known, *rows])
    shown = draw_examples(known or rows, few_shot, seed=seed)
    judged = _judged(rows, () if known else shown, limit, seed)
    loaded = model if isinstance(model, LoadedModel) else load(model, dtype=dtype)
    chinese = mostly_chinese(text for example in judged[:200] for text in example.inputs())
    prompted = PromptedModel(
        loaded, skill, shown, task=task, label_words=label_words, calibrated=calibrated, chinese=chinese
    )
    scores = evaluate_task(prompted, judged, train=known or shown, seed=seed)
    result = FewShotEvaluation(
        scores=scores,
        examples=tuple(str(example.origin) for example in shown),
        calibrated=calibrated,
        language="zh" if prompted.wording is CHINESE else "en",
        prompt=prompted.prompt(judged[0].inputs()),
    )
    if out is not None:
        write_json(out, result.to_json())
    return result


def _rows(source: Path | str, task: str, settings: ReadSettings) -> list[Example]:
    loaded = load_examples(Path(source), task, settings)
    for line in loaded.notes:
        say(line)
    if len(loaded.broken):
        first = next(iter(loaded.broken))
        say(f"{len(loaded.broken):,} rows are set aside: {first} ...")
    return loaded.examples


def _judged(rows: Sequence[Example], shown: Sequence[Example], limit: int | None, seed: int) -> list[Example]:
    """The rows that are not shown, or a sample of them."""
    drawn = {id(example) for example in shown}
    left = [example for example in rows if id(example) not in drawn]
    if not left:
        raise InputError("all rows are in the prompt: none is left to judge by", remedy="ask for fewer")
    if limit is None or limit >= len(left):
        return left
    if limit < 1:
        raise InputError(f"a sample of {limit} rows is none", remedy="choose 1 or more")
    return [left[index] for index in sorted(random.Random(seed).sample(range(len(left)), limit))]
