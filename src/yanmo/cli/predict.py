"""``yanmo predict``: what a fine-tuned model says of texts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from yanmo.cli.finetune import Columns, HeaderFlag, columns_of
from yanmo.cli.models import Dtype, Model, torch_dtype
from yanmo.cli.output import Force, Json, emit


def predict(
    model: Model,
    *,
    text: Annotated[str | None, Parameter(help="One text.", allow_leading_hyphen=True)] = None,
    pair: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None,
    file: Annotated[
        Path | None,
        Parameter(help="One text a line (.txt), or whatever finetune reads: CSV, JSONL, Excel, CoNLL ..."),
    ] = None,
    columns: Columns = None,
    header: HeaderFlag = None,
    out: Annotated[Path | None, Parameter(help="CSV or JSONL file to write.")] = None,
    dtype: Dtype = "float32",
    force: Force = False,
    json: Json = False,
) -> None:
    """Labels with probabilities, numbers, names in texts, or answers, as the model has learned.

    Args:
        pair: A second text: what the first is compared with, or where a question is answered from.
    """
    from yanmo.runtime import tune_process

    tune_process()
    from yanmo.errors import InputError
    from yanmo.evaluation.predictions import questions
    from yanmo.finetuning.task_model import TaskModel
    from yanmo.reporting.progress import Progress, say

    if (text is None) == (file is None) or (pair is not None and text is None):
        raise InputError("give either --text (with --pair for a second one) or --file")
    if out is not None and out.exists() and not force:
        raise InputError("already exists", where=out, remedy="choose another --out, or --force")
    loaded = TaskModel.load(model, dtype=torch_dtype(dtype))
    texts = None if text is None else (text, pair) if pair is not None else (text,)
    examples = questions(loaded.task, texts, file, columns=columns_of(columns), header=header, note=say)
    with Progress("predict", total=len(examples), unit="texts") as progress:
        found = loaded.answer(examples, on_progress=progress.advance)
    # An answer that is a text has that name; what was asked is its source.
    rows = [
        {"source" if "text" in prediction else "text": " | ".join(example.inputs()), **prediction}
        for example, prediction in zip(examples, found, strict=True)
    ]
    if out is not None:
        _write(out, rows)
    shown = "\n".join(map(_line, rows)) if out is None else f"{out}: {len(rows):,} predictions"
    emit({"predictions": rows if out is None else [], "num_predictions": len(rows)}, shown, as_json=json)


def _line(row: dict[str, Any]) -> str:
    if "source" in row:
        return f"{row['text']}\t{row['source']}"
    if "probabilities" in row and "label" in row:
        said = f"{row['label']} {row['probabilities'][row['label']]:.3f}"
    elif "label" in row:
        said = f"{row['label']} {row['score']:+.4f}"
    elif "nats" in row:
        said = f"{row['nats']:.2f} nats of {row['tokens']:,} tokens"
    elif "answer" in row:
        said = row["answer"] or "no answer"
    elif "embedding" in row:
        said = f"{len(row['embedding'])} numbers"
    elif "score" in row:
        said = f"{row['score']:.4f}"
    elif "entities" in row:
        said = ", ".join(f"{name['text']} [{name['label']}]" for name in row["entities"]) or "no names"
    else:
        said = " ".join(row["tags"]) if "tags" in row else ", ".join(row["labels"]) or "none"
    return f"{said}\t{row['text']}"


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
            row.update({f"reward_{name}": number for name, number in row.pop("rewards", {}).items()})
            for name, cell in row.items():
                if name in ("labels", "tags"):
                    row[name] = "|".join(cell)
                elif name in ("entities", "embedding"):
                    row[name] = json.dumps(cell, ensure_ascii=False)
        names = dict.fromkeys(name for row in flat for name in row)
        writer = csv.DictWriter(stream, list(names) or ["text"])
        writer.writeheader()
        writer.writerows(flat)
        text = stream.getvalue()
    write_bytes(out, text.encode())
