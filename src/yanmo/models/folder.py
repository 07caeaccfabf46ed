"""Model folders in the Hugging Face layout: config.json, model.safetensors, tokenizer, model card."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from yanmo import artifact
from yanmo.errors import InputError
from yanmo.models.families import FAMILIES, qwen3
from yanmo.models.transformer import Transformer
from yanmo.tokenizers.load import Tokenizer

WEIGHTS_FILE = "model.safetensors"


def save_model(
    folder: Path,
    model: Transformer,
    weights: Mapping[str, Tensor],
    tokenizer: Tokenizer,
    *,
    dtype: torch.dtype,
    details: Mapping[str, Any],
    card: str,
) -> None:
    """Write a model folder whole, replacing one that is there.

    Args:
        folder: where to.
        model: gives the sizes.
        weights: by our names, any float type.
        tokenizer: saved beside the weights.
        dtype: type of the weights in the file.
        details: what made the model, for the manifest.
        card: the model card, Markdown.
    """
    config = model.config
    theirs: dict[str, Tensor] = {}
    for our_name, their_names in qwen3.names(config).items():
        parts = getattr(model.get_submodule(our_name.rpartition(".")[0]), "parts", None)
        pieces = weights[our_name].split(parts) if parts else (weights[our_name],)
        theirs |= {n: p.to(dtype).contiguous() for n, p in zip(their_names, pieces, strict=True)}
    end_ids = [tokenizer.eos_id, *([tokenizer.im_end_id] if tokenizer.im_end_id is not None else [])]
    ids = {
        "bos_token_id": tokenizer.bos_id,
        "eos_token_id": tokenizer.eos_id,
        "pad_token_id": tokenizer.pad_id,
    }
    with artifact.new_folder(folder, kind="model", details=details) as temporary:
        save_file(theirs, temporary / WEIGHTS_FILE, metadata={"format": "pt"})
        dtype_name = str(dtype).removeprefix("torch.")
        artifact.write_json(
            temporary / "config.json", qwen3.write_config(config) | ids | {"dtype": dtype_name}
        )
        artifact.write_json(
            temporary / "generation_config.json",
            {**ids, "eos_token_id": end_ids, "do_sample": True, "temperature": 0.8, "top_p": 0.95},
        )
        tokenizer.save(temporary, max_seq_len=config.max_seq_len)
        artifact.write_bytes(temporary / "README.md", card.encode())


def load_transformer(folder: Path, config: Mapping[str, Any]) -> Transformer:
    """Build the model that a folder's config.json asks for, with the folder's weights in float32.

    Raises:
        InputError: the architecture is unknown, or the weights are missing, damaged or do not fit.
    """
    where = folder / "config.json"
    family = FAMILIES.get(str(config.get("model_type")))
    architectures = config.get("architectures") or [family.ARCHITECTURE if family else None]
    if family is None or family.ARCHITECTURE not in architectures:
        known = ", ".join(f.ARCHITECTURE for f in FAMILIES.values())
        raise InputError(f"unknown architecture {architectures[0]!r}", where=where, remedy=f"known: {known}")
    sizes = family.read_config(config, where=where)
    with torch.device("meta"):
        model = Transformer(sizes)
    model.to_empty(device="cpu")
    model.rotary.tabulate()
    model.load_state_dict(_read_weights(folder / WEIGHTS_FILE, family.names(sizes), model))
    return model.eval()


def _read_weights(path: Path, table: Mapping[str, list[str]], model: Transformer) -> dict[str, Tensor]:
    remedy = "the folder is damaged; make or copy it again"
    if not path.is_file():
        raise InputError("no such file", where=path, remedy=remedy)
    expected = dict(model.named_parameters())
    weights = {}
    try:
        with safe_open(path, framework="pt") as file:
            present = set(file.keys())
            for our_name, their_names in table.items():
                for name in their_names:
                    if name not in present:
                        raise InputError(f"weight {name} is missing", where=path, remedy=remedy)
                weight = torch.cat([file.get_tensor(name) for name in their_names]).float()
                if weight.shape != expected[our_name].shape:
                    sizes = f"{tuple(weight.shape)}, not {tuple(expected[our_name].shape)}"
                    raise InputError(f"weight {our_name} has shape {sizes}", where=path, remedy=remedy)
                weights[our_name] = weight
    except (SafetensorError, OSError) as error:
        raise InputError(f"not a safetensors file: {error}", where=path, remedy=remedy) from None
    return weights
