"""``yanmo evaluate``: bits per byte, or the scores of a task, beside a baseline."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from yanmo.cli.finetune import Columns, LabelKindFlag, columns_of
from yanmo.cli.models import Dtype, Model, open_model
from yanmo.cli.output import Json, Seed, emit


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
    label_kind: LabelKindFlag = None,
    train: Annotated[
        Path | None,
        Parameter(help="Labelled rows that the cheap models beside it learn from, and few-shot examples."),
    ] = None,
    suite: Annotated[
        str | None,
        Parameter(help="Judge without training: hellaswag, arc, piqa, lambada, blimp, ceval, choices."),
    ] = None,
    few_shot: Annotated[
        int | None, Parameter(help="Solved examples before each question, of a suite or of a task.")
    ] = None,
    limit: Annotated[int | None, Parameter(help="Judge by a sample of so many questions.")] = None,
    out: Annotated[Path | None, Parameter(help="JSON file to write the result to as well.")] = None,
    dtype: Dtype = "float32",
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """How good a model is, beside a cheap one, with intervals.

    A language model: bits per byte and perplexity on a text, beside a Kneser-Ney n-gram. A model that was
    fine-tuned for a task: its scores on labelled rows, beside TF-IDF with a linear model.

    Args:
        data: A corpus, or any file or folder of text; the corpus of the model's run if not given. For a task:
            a file or folder of labelled rows.
    """
    import yanmo
    from yanmo.errors import InputError
    from yanmo.finetuning.task_model import answers_a_task

    if suite is not None:
        from yanmo.evaluation.suites import evaluate_suite

        if data is None:
            raise InputError(f"there are no questions for --suite {suite}", remedy="give its file or folder")
        ranked = evaluate_suite(
            open_model(model, dtype),
            data,
            suite,
            few_shot=few_shot or 0,
            train=train,
            limit=limit,
            seed=seed,
            out=out,
        )
        emit(ranked.to_json(), ranked.to_text(), as_json=json)
        return
    if task is not None or answers_a_task(model):
        from yanmo.evaluation.tasks import evaluate_task_file

        if data is None:
            raise InputError("there are no rows to evaluate on", remedy="give a file of labelled rows")
        judged = evaluate_task_file(
            model,
            data,
            task=task,
            columns=columns_of(columns),
            label_kind=label_kind,
            train=train,
            seed=seed,
            out=out,
        )
        emit(judged.to_json(), judged.to_text(), as_json=json)
        return
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
