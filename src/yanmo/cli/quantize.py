"""``yanmo quantize``: weights of 8 or 4 bits, and what that costs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from yanmo.cli.models import Model
from yanmo.cli.output import DryRun, Force, Json, emit


def quantize(
    model: Model,
    *,
    to: Annotated[Literal["int8", "int4"], Parameter(help="Bits of a weight: 8 or 4.")],
    out: Annotated[Path, Parameter(help="Folder to write; it loads as any other model.")],
    text: Annotated[Path | None, Parameter(help="A UTF-8 file that both are judged by.")] = None,
    gguf: Annotated[bool, Parameter(negative="", help="Write OUT.gguf (q8_0, q4_0) as well.")] = False,
    dry_run: DryRun = False,
    force: Force = False,
    json: Json = False,
) -> None:
    """Store a model's weights in 8 or 4 bits; with a text, its perplexity and speed before and after."""
    from yanmo.compression.quantization import quantize_model
    from yanmo.config import format_size
    from yanmo.evaluation.evaluate import given_text

    judged = None if text is None else given_text(None, text)
    made = quantize_model(model, out, to=to, text=judged, gguf=gguf, force=force, dry_run=dry_run)
    sizes = f"{format_size(made.num_bytes)} of weights, before {format_size(made.num_bytes_before)}"
    lines = [f"{made.model}  {sizes}"]
    if dry_run:
        emit(made.to_json(), f"would write {lines[0]}", as_json=json)
        return
    if made.gguf is not None:
        lines.append(str(made.gguf))
    if made.quality_before is not None and made.quality_after is not None:
        before, after = made.quality_before.perplexity, made.quality_after.perplexity
        change = f"{100 * (after / before - 1):+.2f}%"
        lines.append(f"perplexity {before:.3f} before, {after:.3f} after ({change})")
        speeds = (made.quality_before.tokens_per_s, made.quality_after.tokens_per_s)
        lines.append("tokens/s of one answer: {:.1f} before, {:.1f} after".format(*speeds))
    else:
        lines.append("not judged: --text FILE compares the perplexities")
    emit(made.to_json(), "\n".join(lines), as_json=json)
