"""OLMo 2 decoders (OLMo Team 2025, arXiv 2501.00656, section 3.2): norms on what is added, and on all queries
and all keys as one vector each.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from yanmo.models.families import decoders
from yanmo.models.families.decoders import DECODER_CLASSES, LAYER, QK_NORMS, Names
from yanmo.models.families.fields import Fields
from yanmo.models.families.mapping import Weight
from yanmo.models.transformer import TransformerConfig
from yanmo.nn.attention import QkNorm
from yanmo.nn.block import BlockConfig, Residual

_CLASSES = {end: heads for end, heads in DECODER_CLASSES.items() if end != "ForTokenClassification"}
ARCHITECTURES = tuple(f"Olmo2{end}" for end in _CLASSES)
PREFIX = "model."
IGNORED = (r"rotary_emb\.inv_freq$", r"^lm_head\.weight$")

_DEFAULTS: dict[str, Any] = {"rms_norm_eps": 1e-5, "max_position_embeddings": 2048}
_NAMES = Names(
    layer={
        **LAYER,
        **QK_NORMS,
        "attention_norm": "post_attention_layernorm",
        "feed_forward_norm": "post_feedforward_layernorm",
    }
)


def read_config(config: Mapping[str, Any], *, where: object = None) -> TransformerConfig:
    """Our config of a config.json.

    Raises:
        InputError: a key is missing, or asks for something that this stack does not do.
    """
    fields = Fields({**_DEFAULTS, **config}, where)
    biased = fields.flag("attention_bias", False)
    block = BlockConfig(
        attention=decoders.read_attention(fields, qkv_bias=biased, out_bias=biased, qk_norm=QkNorm.FULL),
        feed_forward=decoders.read_feed_forward(fields),
        norm=decoders.read_norm(fields),
        residual=Residual.BRANCH,
    )
    return decoders.read_decoder(fields, block, "Olmo2", classes=_CLASSES)


def write_config(config: TransformerConfig, *, model_type: str = "olmo2") -> dict[str, Any]:
    """The config.json of ours."""
    written = decoders.write_decoder(config, "Olmo2", model_type=model_type, classes=_CLASSES)
    return written | {"attention_bias": config.last_stack.block.attention.qkv_bias}


def weights(config: TransformerConfig) -> Iterator[Weight]:
    """Our weight names and theirs."""
    return decoders.weights(config, _NAMES)
