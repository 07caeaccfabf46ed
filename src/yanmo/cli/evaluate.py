"""``yanmo evaluate``: bits per byte, or the scores of a task, beside a baseline."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Protocol

from cyclopts import Parameter

from yanmo.cli.finetune import Columns, HeaderFlag, LabelKindFlag, columns_of
from yanmo.cli.models import Dtype, Model, open_model, torch_dtype
from yanmo.cli.output import Json, Seed, emit


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Prompting:
    """A language model asked by prompts, without training."""

    suite: Annotated[
        str | None,
        Parameter(help="Questions of hellaswag, arc, piqa, lambada, blimp, ceval, or choices (your own)."),
    ] = None
    few_shot: Annotated[
        int | None, Parameter(help="Solved examples before each question, of a suite or of a task.")
    ] = None
    calibrate: Annotated[
        bool, Parameter(negative="", help="Divide by what a label gets for inputs that say nothing.")
    ] = False
    label_words: Annotated[
        str | None, Parameter(help="How labels that say little are read: 0=negative,1=positive.")
    ] = None
    limit: Annotated[int | None, Parameter(help="Judge by a sample of so many questions or rows.")] = None

    @property
    def is_wanted(self) -> bool:
        """Whether any of these was given."""
        return any(vars(self).values()) or self.few_shot is not None

    def __post_init__(self) -> None:
        """Refuse what would have no effect."""
        from yanmo.errors import InputError

        if self.suite is not None and (self.calibrate or self.label_words):
            raise InputError(
                "answers of suites are not labels", remedy="leave --calibrate and --label-words out"
            )


def evaluate(
    model: Model,
    data: Path | None = None,
    *,
    split: Annotated[str, Parameter(help="Split of the corpus: test, valid or train.")] = "test",
    baseline: Annotated[bool, Parameter(help="Train an n-gram and score it on the same text.")] = True,
    baseline_corpus: Annotated[
        Path | None, Parameter(help="Corpus to train the baseline on, where DATA is not one.")
    ] = None,
    stride: Annotated[
        int | None, Parameter(help="Tokens by which the window moves; half the context if not given.")
    ] = None,
    task: Annotated[
        str | None, Parameter(help="How labelled rows are read; the model's own task if not given.")
    ] = None,
    columns: Columns = None,
    header: HeaderFlag = None,
    label_kind: LabelKindFlag = None,
    train: Annotated[
        Path | None,
        Parameter(help="Labelled rows that the cheap models beside it learn from, and few-shot examples."),
    ] = None,
    prompting: Prompting = Prompting(),
    out: Annotated[Path | None, Parameter(help="JSON file to write the result to as well.")] = None,
    dtype: Dtype = "float32",
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """How good a model is, beside a cheap one, with intervals.

    A language model: bits per byte and perplexity on a text, beside a Kneser-Ney n-gram; with --suite its
    answers to published questions, beside guessing; with --task and --few-shot its labels for rows, asked by
    a prompt. A model that was fine-tuned for a task: its scores on labelled rows, beside TF-IDF with a linear
    model.

    Args:
        data: A corpus, or any file or folder of text; the corpus of the model's run if not given. For a task:
            a file or folder of labelled rows. For a suite: its questions, as published.
    """
    import yanmo
    from yanmo.finetuning.task_model import answers_a_task

    result: Result
    if prompting.is_wanted:
        result = _prompted(
            prompting,
            model,
            data,
            task=task,
            columns=columns_of(columns),
            header=header,
            label_kind=label_kind,
            train=train,
            dtype=dtype,
            seed=seed,
            out=out,
        )
    elif task is not None or answers_a_task(model):
        from yanmo.evaluation.tasks import evaluate_task_file

        result = evaluate_task_file(
            model,
            _given(data, "rows"),
            task=task,
            columns=columns_of(columns),
            header=header,
            label_kind=label_kind,
            train=train,
            seed=seed,
            out=out,
        )
    else:
        result = yanmo.evaluate(
            open_model(model, dtype),
            data,
            split=split,
            baseline=baseline,
            baseline_corpus=baseline_corpus,
            stride=stride,
            seed=seed,
            out=out,
        )
    emit(result.to_json(), result.to_text(), as_json=json)


class Result(Protocol):
    """What each kind of evaluation gives."""

    def to_json(self) -> dict[str, Any]:
        """Plain values."""

    def to_text(self) -> str:
        """A small table for people."""


def _prompted(
    prompting: Prompting,
    model: Path,
    data: Path | None,
    *,
    task: str | None,
    columns: dict[str, str],
    header: bool | None,
    label_kind: str | None,
    train: Path | None,
    dtype: str,
    seed: int,
    out: Path | None,
) -> Result:
    from yanmo.errors import InputError
    from yanmo.evaluation.few_shot import evaluate_few_shot
    from yanmo.evaluation.suites import evaluate_suite

    if prompting.suite is not None:
        return evaluate_suite(
            model,
            _given(data, "questions"),
            prompting.suite,
            few_shot=prompting.few_shot or 0,
            train=train,
            limit=prompting.limit,
            dtype=torch_dtype(dtype),
            seed=seed,
            out=out,
        )
    if task is None or prompting.few_shot is None:
        raise InputError("a prompt needs a task and examples", remedy="name --task with --few-shot")
    return evaluate_few_shot(
        model,
        _given(data, "rows"),
        task,
        few_shot=prompting.few_shot,
        train=train,
        columns=columns,
        header=header,
        label_kind=label_kind,
        label_words=_label_words(prompting.label_words),
        calibrated=prompting.calibrate,
        limit=prompting.limit,
        dtype=torch_dtype(dtype),
        seed=seed,
        out=out,
    )


def _given(data: Path | None, what: str) -> Path:
    from yanmo.errors import InputError

    if data is None:
        raise InputError(f"there are no {what} to evaluate on", remedy=f"give a file of {what}")
    return data


def _label_words(given: str | None) -> dict[str, str]:
    """From ``0=negative,1=positive`` to a word for each label.

    Raises:
        InputError: a part is not of that form.
    """
    from yanmo.errors import InputError

    words = {}
    for pair in given.split(",") if given else ():
        label, _, word = pair.partition("=")
        if not label.strip() or not word.strip():
            raise InputError(f"--label-words {pair!r}", remedy="write it as LABEL=WORD,LABEL=WORD")
        words[label.strip()] = word.strip()
    return words
