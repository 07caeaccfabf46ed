"""Llama decoders (Touvron et al. 2023, arXiv 2302.13971; Dubey et al. 2024, arXiv 2407.21783), SmolLM2 among
them, and Mistral (Jiang et al. 2023, arXiv 2310.06825), which adds a sliding window.
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

# model_type to what the names of its classes begin with.
_NAMES = {"llama": "Llama", "mistral": "Mistral"}
ARCHITECTURES = tuple(f"{name}{end}" for name in _NAMES.values() for end in DECODER_CLASSES)
PREFIX = "model."
# Tables of rotary positions, and the output that some writers repeat although it is tied.
IGNORED = (r"rotary_emb\.inv_freq$", r"^lm_head\.weight$")

_DEFAULTS: dict[str, dict[str, Any]] = {
    "llama": {"rms_norm_eps": 1e-6, "max_position_embeddings": 2048},
    "mistral": {
        "num_key_value_heads": 8,
        "rms_norm_eps": 1e-6,
        "max_position_embeddings": 131_072,
        "sliding_window": 4096,
    },
}


def read_config(config: Mapping[str, Any], *, where: object = None) -> TransformerConfig:
    """Our config of a config.json.

    Raises:
        InputError: a key is missing, or asks for something that this stack does not do.
    """
    model_type = config.get("model_type", "llama")
    fields = Fields({**_DEFAULTS[model_type], **config}, where)
    windowed = model_type == "mistral"
    biased = not windowed and fields.flag("attention_bias", False)
    block = BlockConfig(
        attention=decoders.read_attention(
            fields,
            qkv_bias=biased,
            out_bias=biased,
            window=fields.size("sliding_window", None) if windowed else None,
        ),
        feed_forward=decoders.read_feed_forward(fields, bias=not windowed and fields.flag("mlp_bias", False)),
        norm=decoders.read_norm(fields),
    )
    return decoders.read_decoder(fields, block, _NAMES[model_type])


def write_config(config: TransformerConfig, *, model_type: str = "llama") -> dict[str, Any]:
    """The config.json of ours."""
    block = config.last_stack.block
    own: dict[str, Any] = {"sliding_window": block.attention.window}
    if model_type == "llama":
        own = {"attention_bias": block.attention.qkv_bias, "mlp_bias": block.feed_forward.bias}
    return decoders.write_decoder(config, _NAMES[model_type], model_type=model_type) | own


def weights(config: TransformerConfig) -> Iterator[Weight]:
    """Our weight names and theirs."""
    return decoders.weights(config, Names(layer=LAYER))
