"""Qwen2 decoders (Yang et al. 2024, arXiv 2407.10671): biases on queries, keys and values; some
layers may have a window.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from yanmo.models.families import decoders
from yanmo.models.families.decoders import DECODER_CLASSES, LAYER, Names
from yanmo.models.families.fields import Fields
from yanmo.models.families.mapping import Weight
from yanmo.models.transformer import TransformerConfig
from yanmo.nn.block import BlockConfig

ARCHITECTURES = tuple(f"Qwen2{end}" for end in DECODER_CLASSES)
PREFIX = "model."
IGNORED = (r"rotary_emb\.inv_freq$", r"^lm_head\.weight$")

_DEFAULTS: dict[str, Any] = {
    "num_key_value_heads": 32,
    "rms_norm_eps": 1e-6,
    "max_position_embeddings": 32_768,
    "sliding_window": 4096,
    "max_window_layers": 28,
}


def read_config(config: Mapping[str, Any], *, where: object = None) -> TransformerConfig:
    """Our config of a config.json.

    Raises:
        InputError: a key is missing, or asks for something that this stack does not do.
    """
    fields = Fields({**_DEFAULTS, **config}, where)
    window, local_layers = decoders.read_window(fields)
    block = BlockConfig(
        attention=decoders.read_attention(fields, qkv_bias=True, window=window),
        feed_forward=decoders.read_feed_forward(fields),
        norm=decoders.read_norm(fields),
    )
    return decoders.read_decoder(fields, block, "Qwen2", local_layers=local_layers)


def write_config(config: TransformerConfig, *, model_type: str = "qwen2") -> dict[str, Any]:
    """The config.json of ours."""
    written = decoders.write_decoder(config, "Qwen2", model_type=model_type)
    return written | decoders.write_window(config.last_stack)


def weights(config: TransformerConfig) -> Iterator[Weight]:
    """Our weight names and theirs."""
    return decoders.weights(config, Names(layer=LAYER))
