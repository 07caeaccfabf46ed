"""``yanmo inspect``: what a model is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from yanmo.cli.models import Model
from yanmo.cli.output import Json, emit


def inspect(model: Model, *, json: Json = False) -> None:
    """Architecture, parameters, memory at each precision, tokenizer, template and hashes of a model."""
    from yanmo.models.inspect import inspect as look

    found = look(model)
    emit(found, _text(found), as_json=json)


def _text(found: Mapping[str, Any]) -> str:
    from yanmo.config import format_size

    lines = [("model", found["path"]), ("family", f"{found['family']}, {found['shape']}")]
    lines.append(("parameters", f"{found['num_parameters']:,}"))
    if "architecture" in found:
        lines += [
            ("architecture", found["architecture"]),
            ("heads", ", ".join(found["heads"]) or "none"),
        ]
    lines.append(("sizes", "  ".join(f"{k} {v}" for k, v in found["sizes"].items() if v)))
    memory = "  ".join(f"{name} {format_size(size)}" for name, size in found["bytes"].items())
    stored = "  ".join(f"{name} {format_size(size)}" for name, size in found["stored"].items())
    lines += [("memory", memory), ("in the file", stored)]
    if found.get("kv_cache_bytes_per_token"):
        lines.append(("cache", f"{format_size(found['kv_cache_bytes_per_token'])} a token"))
    tokenizer = found["tokenizer"]
    if "problem" in tokenizer:
        lines.append(("tokenizer", tokenizer["problem"]))
    else:
        template = "with a chat template" if tokenizer["chat_template"] else "no chat template"
        lines.append(("tokenizer", f"{tokenizer['vocab_size']:,} tokens, {template}"))
    lines += [("sha256", f"{digest[:16]}…  {name}") for name, digest in found["files"].items()]
    return "\n".join(f"{label:<13} {value}" for label, value in lines)
