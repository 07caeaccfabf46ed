"""``yanmo convert``: a model from one format to another."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from yanmo.cli.models import Model
from yanmo.cli.output import DryRun, Force, Json, emit

if TYPE_CHECKING:
    from yanmo.models.convert import Conversion


def convert(
    source: Model,
    destination: Path,
    *,
    to: Annotated[Literal["hf", "gguf", "onnx"], Parameter(help="Format of the destination.")],
    dtype: Annotated[
        Literal["f32", "f16", "bf16", "q8_0", "q4_0"] | None,
        Parameter(help="Type of the weights; q8_0 and q4_0 for gguf. A folder keeps its type, else f32."),
    ] = None,
    base: Annotated[
        Path | None,
        Parameter(help="Of adapters: the model they were trained on; the one they name if not given."),
    ] = None,
    force: Force = False,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Write a model as a Hugging Face folder, a GGUF file or an ONNX file, and compare the answers.

    Adapters (a folder of PEFT's) are added to their model, as a folder of float32 weights.

    Args:
        destination: The folder or file to write.
    """
    from yanmo.models.convert import convert as run
    from yanmo.models.convert import survey
    from yanmo.recipes.merging import holds_adapters, merge_adapters

    if holds_adapters(source):
        _require_plain(source, to, dtype, dry_run=dry_run)
        made = merge_adapters(source, destination, base=base, force=force)
        _tell(made, json=json)
        return
    if base is not None:
        from yanmo.errors import InputError

        raise InputError("--base is for adapters", where=source, remedy="leave it out")
    if dry_run:
        found = survey(source, destination, to=to, dtype=dtype, force=force)
        emit(found, f"would write {found['family']} {found['path']} as {to}", as_json=json)
        return
    _tell(run(source, destination, to=to, dtype=dtype, force=force), json=json)


def _require_plain(source: Path, to: str, dtype: str | None, *, dry_run: bool) -> None:
    from yanmo.errors import InputError

    if to != "hf" or dtype is not None or dry_run:
        raise InputError(
            "adapters are added to their model first",
            where=source,
            remedy="convert them with --to hf alone, and what that writes with the other flags",
        )


def _tell(made: Conversion, *, json: bool) -> None:
    from yanmo.config import format_size

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
