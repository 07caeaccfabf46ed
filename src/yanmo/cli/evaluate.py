"""``yanmo evaluate``: bits per byte and perplexity beside a baseline."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

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
    out: Annotated[Path | None, Parameter(help="JSON file to write the result to as well.")] = None,
    dtype: Dtype = "float32",
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Bits per byte and perplexity of a model on a text, beside a Kneser-Ney n-gram.

    Args:
        data: A corpus, or any file or folder of text; the corpus of the model's run if not given.
    """
    import yanmo

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
