"""``yanmo predict``: what a fine-tuned model says of texts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from yanmo.cli.models import Model
from yanmo.cli.output import Force, Json, emit


def predict(
    model: Model,
    *,
    text: Annotated[str | None, Parameter(help="One text.", allow_leading_hyphen=True)] = None,
    pair: Annotated[str | None, Parameter(help="A second text beside it.", allow_leading_hyphen=True)] = None,
    file: Annotated[
        Path | None,
        Parameter(help="One text a line, or a record of a CSV, TSV, JSON, JSONL or Parquet file."),
    ] = None,
    column: Annotated[
        str | None, Parameter(help="Column of the text in a table; guessed if not given.")
    ] = None,
    out: Annotated[Path | None, Parameter(help="CSV or JSONL file to write.")] = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Labels with probabilities, or numbers, for texts."""
    from yanmo.corpus.texts import given_texts
    from yanmo.errors import InputError
    from yanmo.finetuning.task_model import TaskModel
    from yanmo.reporting.progress import Progress, say

    if pair is not None and text is None:
        raise InputError("--pair is beside --text")
    if out is not None and out.exists() and not force:
        raise InputError("already exists", where=out, remedy="choose another --out, or --force")
    inputs: list[tuple[str, ...]] = (
        [(text, pair)]
        if text is not None and pair is not None
        else [(one,) for one in given_texts(text, file, text_column=column, note=say)]
    )
    loaded = TaskModel.load(model)
    with Progress("predict", total=len(inputs), unit="texts") as progress:
        found = loaded.predict(inputs, on_progress=progress.advance)
    rows = [{"text": texts[0], **prediction} for texts, prediction in zip(inputs, found, strict=True)]
    if out is not None:
        _write(out, rows)
    shown = "\n".join(map(_line, rows)) if out is None else f"{out}: {len(rows):,} predictions"
    emit({"predictions": rows if out is None else [], "num_predictions": len(rows)}, shown, as_json=json)


def _line(row: dict[str, Any]) -> str:
    probabilities = row.get("probabilities", {})
    if "score" in row:
        return f"{row['score']:.4f}\t{row['text']}"
    named = row["label"] if "label" in row else ", ".join(row["labels"])
    sure = f" {probabilities[row['label']]:.3f}" if "label" in row else ""
    return f"{named}{sure}\t{row['text']}"


def _write(out: Path, rows: list[dict[str, Any]]) -> None:
    import csv
    import io
    import json

    from yanmo.artifact import write_bytes

    if out.suffix == ".jsonl":
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    else:
        stream = io.StringIO()
        flat = [{**row, **row.get("probabilities", {})} for row in rows]
        for row in flat:
            row.pop("probabilities", None)
            if "labels" in row:
                row["labels"] = "|".join(row["labels"])
        writer = csv.DictWriter(stream, list(flat[0]) if flat else ["text"])
        writer.writeheader()
        writer.writerows(flat)
        text = stream.getvalue()
    write_bytes(out, text.encode())
