"""``yanmo convert``: a model from one format to another."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from yanmo.cli.models import Model
from yanmo.cli.output import DryRun, Force, Json, emit


def convert(
    source: Model,
    destination: Path,
    *,
    to: Annotated[Literal["hf", "gguf", "onnx"], Parameter(help="Format of the destination.")],
    dtype: Annotated[
        Literal["f32", "f16", "bf16", "q8_0", "q4_0"] | None,
        Parameter(help="Type of the weights; q8_0 and q4_0 for gguf. A folder keeps its type, else f32."),
    ] = None,
    force: Force = False,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Write a model as a Hugging Face folder, a GGUF file or an ONNX file, and compare the answers.

    Args:
        destination: The folder or file to write.
    """
    from yanmo.config import format_size
    from yanmo.models.convert import convert as run
    from yanmo.models.convert import survey

    if dry_run:
        found = survey(source, destination, to=to, dtype=dtype, force=force)
        emit(found, f"would write {found['family']} {found['path']} as {to}", as_json=json)
        return
    made = run(source, destination, to=to, dtype=dtype, force=force)
    result = {
        "path": str(made.path),
        "num_bytes": made.num_bytes,
        "max_abs_difference": made.max_abs_difference,
    }
    text = (
        f"{made.path}  {format_size(made.num_bytes)}  "
        f"largest difference of the answers {made.max_abs_difference:.2g}"
    )
    emit(result, text, as_json=json)
