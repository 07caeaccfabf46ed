"""``yanmo score``: loss of a text under a model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from yanmo.cli.models import Dtype, Model, open_model
from yanmo.cli.output import Json, emit


def score(
    model: Model,
    *,
    text: Annotated[str | None, Parameter(help="The text.", allow_leading_hyphen=True)] = None,
    file: Annotated[Path | None, Parameter(help="A UTF-8 file, scored as one text.")] = None,
    stride: Annotated[
        int | None, Parameter(help="Tokens by which the window moves; half the context if not given.")
    ] = None,
    dtype: Dtype = "float32",
    json: Json = False,
) -> None:
    """Loss of a text under a model, as it is: all tokens but the first are scored."""
    import yanmo
    from yanmo.evaluation.evaluate import given_text

    result = yanmo.score(open_model(model, dtype), given_text(text, file), stride=stride)
    emit(result, "  ".join(f"{name} {value:,.6g}" for name, value in result.items()), as_json=json)
