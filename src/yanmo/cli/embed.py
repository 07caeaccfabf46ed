"""``yanmo embed``: one vector a text."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from yanmo.cli.models import Model
from yanmo.cli.output import DryRun, Force, Json, emit


def embed(
    model: Model,
    *,
    text: Annotated[str | None, Parameter(help="One text.", allow_leading_hyphen=True)] = None,
    file: Annotated[
        Path | None,
        Parameter(help="One text a line, or a record of a CSV, TSV, JSON, JSONL or Parquet file."),
    ] = None,
    column: Annotated[
        str | None, Parameter(help="Column of the text in a table; guessed if not given.")
    ] = None,
    out: Annotated[Path | None, Parameter(help="NumPy file (.npy, float32) to write.")] = None,
    prompt: Annotated[
        str | None, Parameter(help="Name of the model's prompt to put before each text; '' for none.")
    ] = None,
    force: Force = False,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Vectors of texts that are close where their meanings are."""
    import yanmo
    from yanmo.corpus.texts import given_texts
    from yanmo.errors import InputError
    from yanmo.models.sentence import survey
    from yanmo.reporting.progress import Progress, say

    texts = given_texts(text, file, text_column=column, note=say)
    if file is not None and out is None:
        raise InputError("the vectors of a file need a place", remedy="--out vectors.npy")
    if dry_run:
        found = survey(model, texts, out=out, force=force)
        emit(found, f"would make {found['shape'][0]:,} x {found['shape'][1]:,}", as_json=json)
        return
    with Progress("embed", total=len(texts), unit="texts") as progress:
        vectors = yanmo.embed(model, texts, out=out, prompt=prompt, force=force, on_progress=progress.update)
    result = {"shape": vectors.shape} | ({} if text is None else {"vector": vectors[0].tolist()})
    place = "" if out is None else f"{out}: "
    emit(result, f"{place}{vectors.shape[0]:,} x {vectors.shape[1]:,}", as_json=json)
