"""Qwen3 decoders (Yang et al. 2025, arXiv 2505.09388): what yanmo pretrains, and what it can read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from yanmo.errors import InputError
from yanmo.models.transformer import TransformerConfig

ARCHITECTURE = "Qwen3ForCausalLM"


def read_config(config: Mapping[str, Any], *, where: object = None) -> TransformerConfig:
    """Sizes from a Hugging Face config.json.

    Raises:
        InputError: a key is missing, or asks for something that this stack does not do.
    """
    refused = {
        "hidden_act": config.get("hidden_act", "silu") != "silu",
        "attention_bias": bool(config.get("attention_bias")),
        "use_sliding_window": bool(config.get("use_sliding_window")),
    }
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    refused["rope_scaling"] = rope.get("rope_type", rope.get("type", "default")) != "default"
    for key, is_refused in refused.items():
        if is_refused:
            raise InputError(f"{key} = {config.get(key)!r} is not supported for Qwen3", where=where)
    try:
        return TransformerConfig(
            vocab_size=config["vocab_size"],
            d_model=config["hidden_size"],
            num_layers=config["num_hidden_layers"],
            num_heads=config["num_attention_heads"],
            num_kv_heads=config.get("num_key_value_heads", config["num_attention_heads"]),
            head_dim=config.get("head_dim", 128),
            d_ff=config["intermediate_size"],
            max_seq_len=config["max_position_embeddings"],
            rope_theta=float(rope.get("rope_theta", config.get("rope_theta", 10_000.0))),
            norm_eps=config.get("rms_norm_eps", 1e-6),
            tied_embeddings=config.get("tie_word_embeddings", False),
        )
    except KeyError as error:
        raise InputError(f"{error} is missing", where=where, remedy="the file is damaged") from None


def write_config(config: TransformerConfig) -> dict[str, Any]:
    """The Hugging Face config.json of these sizes."""
    return {
        "architectures": [ARCHITECTURE],
        "model_type": "qwen3",
        "vocab_size": config.vocab_size,
        "hidden_size": config.d_model,
        "num_hidden_layers": config.num_layers,
        "num_attention_heads": config.num_heads,
        "num_key_value_heads": config.num_kv_heads,
        "head_dim": config.head_dim,
        "intermediate_size": config.d_ff,
        "max_position_embeddings": config.max_seq_len,
        "max_window_layers": config.num_layers,
        "rope_theta": config.rope_theta,
        "rope_parameters": {"rope_type": "default", "rope_theta": config.rope_theta},
        "rms_norm_eps": config.norm_eps,
        "tie_word_embeddings": config.tied_embeddings,
        "hidden_act": "silu",
        "attention_bias": False,
        "attention_dropout": 0.0,
        "use_sliding_window": False,
        "use_cache": True,
    }


def names(config: TransformerConfig) -> dict[str, list[str]]:
    """Our weight names to theirs; several of theirs are stacked by rows into one of ours."""
    table = {
        "embedding.weight": ["model.embed_tokens.weight"],
        "norm.weight": ["model.norm.weight"],
    }
    if not config.tied_embeddings:
        table["head.weight"] = ["lm_head.weight"]
    for index in range(config.num_layers):
        layer = {
            "attention_norm": ["input_layernorm"],
            "attention.qkv": ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"],
            "attention.query_norm": ["self_attn.q_norm"],
            "attention.key_norm": ["self_attn.k_norm"],
            "attention.out": ["self_attn.o_proj"],
            "feed_forward_norm": ["post_attention_layernorm"],
            "feed_forward.gate_up": ["mlp.gate_proj", "mlp.up_proj"],
            "feed_forward.down": ["mlp.down_proj"],
        }
        for ours, theirs in layer.items():
            table[f"blocks.{index}.{ours}.weight"] = [f"model.layers.{index}.{t}.weight" for t in theirs]
    return table
