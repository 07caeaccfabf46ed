"""What a model is, from its files alone: nothing of its weights is read but their headers."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch

from yanmo.artifact import sha256_of_file
from yanmo.errors import InputError
from yanmo.models import lstm
from yanmo.models.checkpoint import Checkpoint
from yanmo.models.families import family_of, named_architecture
from yanmo.models.files.safetensors_files import WEIGHTS_FILE, SafetensorsFiles
from yanmo.models.files.weights import WeightSource
from yanmo.models.gguf.reader import GgufFile
from yanmo.models.ngram import model as ngram
from yanmo.models.transformer import TransformerConfig

# Bytes of a number in memory; int4 with a float16 scale for each 32.
PRECISIONS = {"float32": 4.0, "bfloat16": 2.0, "int8": 1.0 + 2 / 32, "int4": 0.5 + 2 / 32}


def inspect(model: Path | str) -> dict[str, Any]:
    """Describe a model.

    Args:
        model: a model folder, a run, a .gguf file, or a name in the local Hugging Face cache.

    Returns:
        ``family``, ``architecture``, ``shape``, ``num_parameters``, ``num_layers`` and other sizes,
        ``heads``, ``bytes`` (memory of the weights at each precision), ``stored`` (bytes of the file by
        type), ``tokenizer``, ``files`` (sha256 of each).

    Raises:
        InputError: there is no such model, or it is damaged.
    """
    checkpoint = Checkpoint.open(model)
    found: dict[str, Any] = {
        "path": str(checkpoint.path),
        "name": checkpoint.name,
        "family": checkpoint.model_type,
    }
    if checkpoint.model_type in (ngram.MODEL_TYPE, lstm.MODEL_TYPE):
        found |= _own_kind(checkpoint)
    else:
        found |= _transformer(checkpoint)
    found["tokenizer"] = _tokenizer(checkpoint)
    found["files"] = _hashes(checkpoint.path)
    return found


def _own_kind(checkpoint: Checkpoint) -> dict[str, Any]:
    """An n-gram model or an LSTM: what its numbers take as they are, and an LSTM's at half the width."""
    is_ngram = checkpoint.model_type == ngram.MODEL_TYPE
    source = SafetensorsFiles(checkpoint.path / (ngram.WEIGHTS if is_ngram else WEIGHTS_FILE))
    floats = [info for info in source.tensors.values() if info.dtype.is_floating_point]
    num_parameters = sum(math.prod(info.shape) for info in floats)
    memory = {"float32": 4 * num_parameters, "bfloat16": 2 * num_parameters}
    if is_ngram:
        memory = {"float32": sum(info.num_bytes for info in source.tensors.values())}
    return {
        "shape": checkpoint.model_type.removeprefix("yanmo-"),
        "num_parameters": num_parameters,
        "sizes": {k: v for k, v in checkpoint.config.items() if isinstance(v, int)},
        "bytes": memory,
        "stored": _stored(source),
    }


def _stored(source: WeightSource) -> dict[str, int]:
    """Bytes in the file by type."""
    stored: dict[str, int] = {}
    for info in source.tensors.values():
        name = str(info.dtype).removeprefix("torch.")
        stored[name] = stored.get(name, 0) + math.prod(info.shape) * info.dtype.itemsize
    return stored


def _transformer(checkpoint: Checkpoint) -> dict[str, Any]:
    config, where = checkpoint.config, checkpoint.config_path
    ours = family_of(config, where=where).read_config(config, where=where)
    source = checkpoint.source(allow_pickle=True)
    stored = _stored(source)
    if isinstance(source, GgufFile):
        stored = {source.file_type: checkpoint.path.stat().st_size}
    return {
        "architecture": named_architecture(config),
        "shape": ours.shape,
        "num_parameters": ours.num_parameters,
        "sizes": _sizes(ours),
        "heads": [head.kind.value for head in ours.heads],
        "bytes": {name: round(ours.num_parameters * width) for name, width in PRECISIONS.items()},
        "kv_cache_bytes_per_token": _cache_bytes(ours),
        "stored": stored,
    }


def _sizes(config: TransformerConfig) -> dict[str, Any]:
    block = config.last_stack.block
    return {
        "vocab_size": config.vocab_size,
        "d_model": config.d_model,
        "num_layers": config.num_layers,
        "num_heads": block.attention.num_heads,
        "num_kv_heads": block.attention.num_kv_heads,
        "head_dim": block.attention.head_dim,
        "d_ff": block.feed_forward.d_ff,
        "num_experts": block.feed_forward.experts.num_experts if block.feed_forward.experts else 0,
        "max_seq_len": config.max_seq_len,
        "position": config.last_stack.position.kind.value,
        "window": block.attention.window,
    }


def _cache_bytes(config: TransformerConfig) -> int:
    """Bytes of keys and values that one token leaves in float32; 0 where nothing is continued."""
    if config.decoder is None:
        return 0
    return 2 * torch.float32.itemsize * config.decoder.num_layers * config.decoder.block.attention.key_width


def _tokenizer(checkpoint: Checkpoint) -> dict[str, Any] | None:
    """What the tokenizer is, or why it cannot be read."""
    try:
        tokenizer = checkpoint.tokenizer
    except InputError as error:
        return {"problem": str(error)}
    return {
        "vocab_size": tokenizer.vocab_size,
        "sha256": tokenizer.sha256,
        "special_tokens": dict(tokenizer.special_ids),
        "chat_template": tokenizer.chat_template is not None,
    }


def _hashes(path: Path) -> dict[str, str]:
    if path.is_file():
        return {path.name: sha256_of_file(path)}
    files = sorted(file for file in path.rglob("*") if file.is_file())
    return {file.relative_to(path).as_posix(): sha256_of_file(file) for file in files}
