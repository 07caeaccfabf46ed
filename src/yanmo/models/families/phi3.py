"""Phi-3 and Phi-4 decoders (Abdin et al. 2024, arXiv 2404.14219): fused products, LongRoPE."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from yanmo.errors import InputError
from yanmo.models.families import decoders
from yanmo.models.families.decoders import DECODER_CLASSES, LAYER, Names
from yanmo.models.families.fields import Fields
from yanmo.models.families.mapping import Weight
from yanmo.models.transformer import TransformerConfig
from yanmo.nn.block import BlockConfig
from yanmo.nn.rope_scaling import RopeScalingKind

ARCHITECTURES = tuple(f"Phi3{end}" for end in DECODER_CLASSES)
PREFIX = "model."
IGNORED = (r"rotary_emb\.inv_freq$", r"^lm_head\.weight$")

_DEFAULTS: dict[str, Any] = {
    "rms_norm_eps": 1e-5,
    "max_position_embeddings": 4096,
    "original_max_position_embeddings": 4096,
}
_NAMES = Names(
    layer={
        **LAYER,
        "attention.qkv": "self_attn.qkv_proj",
        "feed_forward.gate_up": "mlp.gate_up_proj",
    }
)


def read_config(config: Mapping[str, Any], *, where: object = None) -> TransformerConfig:
    """Our config of a config.json.

    Raises:
        InputError: a key is missing, or asks for something that this stack does not do.
    """
    fields = Fields({**_DEFAULTS, **config}, where)
    block = BlockConfig(
        attention=decoders.read_attention(fields, window=fields.size("sliding_window", None)),
        feed_forward=decoders.read_feed_forward(fields),
        norm=decoders.read_norm(fields),
    )
    model = decoders.read_decoder(fields, block, "Phi3")
    kind = model.last_stack.position.rope.scaling.kind
    if kind not in (RopeScalingKind.NONE, RopeScalingKind.LONGROPE):
        raise InputError(f"rotary positions of Phi-3 are not scaled by {kind}", where=where)
    return model


def write_config(config: TransformerConfig, *, model_type: str = "phi3") -> dict[str, Any]:
    """The config.json of ours."""
    stack = config.last_stack
    return decoders.write_decoder(config, "Phi3", model_type=model_type) | {
        "original_max_position_embeddings": (
            stack.position.rope.scaling.original_max_seq_len or config.max_seq_len
        ),
        "sliding_window": stack.block.attention.window,
        "resid_pdrop": 0.0,
        "embd_pdrop": 0.0,
    }


def weights(config: TransformerConfig) -> Iterator[Weight]:
    """Our weight names and theirs."""
    return decoders.weights(config, _NAMES)
