"""Whole models to damage: each is loaded and asked for its answer to a few tokens.

A damaged value may still make sense (another number of heads of the same width); then the model must load
and answer with the right shapes.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch

from yanmo.models.checkpoint import Checkpoint
from yanmo.models.convert import answer
from yanmo.models.families import FAMILIES
from yanmo.models.files.safetensors_files import write_safetensors
from yanmo.models.folder import CheckpointWeights, load_transformer, save_model
from yanmo.models.gguf.writer import write_gguf
from yanmo.models.transformer import Transformer
from yanmo.tokenizers.bpe import fit_bpe

_SMALL = {"vocab_size": 320, "max_position_embeddings": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
_DECODER = _SMALL | {"hidden_size": 32, "intermediate_size": 64, "num_key_value_heads": 1, "head_dim": 16}
_T5 = {"vocab_size": 320, "d_model": 32, "d_kv": 16, "d_ff": 64, "num_layers": 2, "num_heads": 2}
# What the small models are, as their config.json says; the sizes of each family by its own names.
CONFIGS = {
    "qwen3": _DECODER | {"tie_word_embeddings": True},
    "gemma3_text": _DECODER | {"sliding_window": 8, "query_pre_attn_scalar": 16},
    "mixtral": _DECODER | {"num_local_experts": 4, "num_experts_per_tok": 2},
    "bert": _SMALL | {"hidden_size": 32, "intermediate_size": 64},
    "modernbert": _SMALL | {"hidden_size": 32, "intermediate_size": 64, "local_attention": 8},
    "t5": _T5,
}


def make_folder(folder: Path, model_type: str) -> None:
    """Write a model of a family, without a tokenizer, into a folder."""
    model = _model(model_type)
    config = FAMILIES[model_type].write_config(model.config, model_type=model_type)
    (folder / "config.json").write_text(json.dumps(config, indent=2), encoding="utf-8")
    write_safetensors(folder, CheckpointWeights(model, model_type, dtype=torch.float32))


def make_whole(folder: Path) -> None:
    """Writes a language model with its tokenizer into a folder."""
    tokenizer = fit_bpe(["hello world, how do you do? " * 9, "你好世界，你好吗？" * 9], 320)
    model = _model("qwen3")
    weights = dict(model.named_parameters())
    save_model(folder / "model", model, weights, tokenizer, dtype=torch.float32, details={}, card="")


def make_gguf(folder: Path) -> None:
    """Writes the same as a GGUF file."""
    make_whole(folder)
    checkpoint = Checkpoint.open(folder / "model")
    write_gguf(
        folder / "model.gguf",
        config=checkpoint.config,
        tensors=checkpoint.source(),
        tokenizer_json=checkpoint.tokenizer_folder.content,
        tokenizer_config=checkpoint.tokenizer_folder.config,
        chat_template=checkpoint.tokenizer_folder.template,
        dtype="q8_0",
        name="tiny",
    )


def read_folder(folder: Path) -> None:
    """Load the model of a folder, or its GGUF file, and ask it."""
    file = folder / "model.gguf"
    checkpoint = Checkpoint.open(file if file.exists() else folder)
    model = load_transformer(checkpoint.config, checkpoint.source(), where=checkpoint.config_path)
    tokens_BT = torch.tensor([[0, 1, 2, 1, 0][: model.max_seq_len]]) % model.vocab_size
    answered = answer(model, tokens_BT)
    assert answered.shape[0] == 1 and answered.shape[-1] in (model.vocab_size, model.config.d_model)


def read_whole(folder: Path) -> None:
    """Load a model with its tokenizer, encode and ask."""
    file = folder / "model.gguf"
    checkpoint = Checkpoint.open(file if file.exists() else folder / "model")
    ids = checkpoint.tokenizer.encode("hello 你好")
    assert ids and max(ids) < checkpoint.tokenizer.vocab_size
    read_folder(checkpoint.path.parent if checkpoint.path.is_file() else checkpoint.path)


def _model(model_type: str) -> Transformer:
    torch.manual_seed(0)
    family = FAMILIES[model_type]
    config = CONFIGS[model_type] | {"model_type": model_type}
    return Transformer(family.read_config(config))
