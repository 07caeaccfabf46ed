"""What came of a run and what to do next, in a few lines for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from yanmo.config import format_duration
from yanmo.recipes.forgetting import forgetting_lines
from yanmo.recipes.model_card import score_words

_CONTINUES_TEXT = ("decoder", "lstm")


def conclusion(result: Mapping[str, Any]) -> str:
    """The lines that ``train`` and ``pretrain`` end with; ``result`` is what they return."""
    model = result["model"]
    lines = [
        f"model    {model} ({result['num_parameters'] / 1e6:.1f} M parameters, "
        f"{result['steps']:,} steps, {result['tokens']:,} tokens)",
        f"report   {result['report']}",
        f"time     {format_duration(result['wall_s'])}",
    ]
    if result.get("baseline_bits_per_byte"):
        lines.append(
            f"score    {result['bits_per_byte']:.3f} bits per byte on test text; "
            f"n-gram {result['baseline_bits_per_byte']:.3f}"
        )
    elif "valid_loss_nats" in result:
        valid = {"loss_nats": result["valid_loss_nats"], "bits_per_byte": result["valid_bits_per_byte"]}
        lines.append(f"score    {score_words(result.get('valid') or valid)} on validation text")
    lines += forgetting_lines(result)
    # A result of an earlier version names no shape: there was one.
    if result.get("shape", "decoder") in _CONTINUES_TEXT:
        lines.append(f'next     yanmo serve {model}   or   yanmo generate {model} --prompt "..."')
    else:
        lines.append(f"next     yanmo inspect {model}")
    return "\n".join(lines)
