"""Mixtral decoders (Jiang et al. 2024, arXiv 2401.04088): Mistral with experts in every layer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from yanmo.models.families import decoders
from yanmo.models.families.decoders import DECODER_CLASSES, LAYER, Experts, Names
from yanmo.models.families.fields import Fields
from yanmo.models.families.mapping import Weight
from yanmo.models.transformer import TransformerConfig
from yanmo.nn.block import BlockConfig

ARCHITECTURES = tuple(f"Mixtral{end}" for end in DECODER_CLASSES)
PREFIX = "model."
IGNORED = (r"rotary_emb\.inv_freq$", r"^lm_head\.weight$")

_DEFAULTS: dict[str, Any] = {
    "num_key_value_heads": 8,
    "rms_norm_eps": 1e-5,
    "max_position_embeddings": 131_072,
    "rope_theta": 1e6,
    "num_local_experts": 8,
    "num_experts_per_tok": 2,
}
_NAMES = Names(
    layer=LAYER,
    experts=Experts(
        router="block_sparse_moe.gate",
        gate="block_sparse_moe.experts.{}.w1",
        up="block_sparse_moe.experts.{}.w3",
        down="block_sparse_moe.experts.{}.w2",
    ),
)


def read_config(config: Mapping[str, Any], *, where: object = None) -> TransformerConfig:
    """Our config of a config.json.

    Raises:
        InputError: a key is missing, or asks for something that this stack does not do.
    """
    fields = Fields({**_DEFAULTS, **config}, where)
    experts = decoders.read_experts(fields, d_ff=fields.size("intermediate_size"))
    block = BlockConfig(
        attention=decoders.read_attention(fields, window=fields.size("sliding_window", None)),
        feed_forward=decoders.read_feed_forward(fields, experts=experts),
        norm=decoders.read_norm(fields),
    )
    return decoders.read_decoder(fields, block, "Mixtral")


def write_config(config: TransformerConfig, *, model_type: str = "mixtral") -> dict[str, Any]:
    """The config.json of ours."""
    block = config.last_stack.block
    experts = block.feed_forward.experts
    assert experts is not None
    return decoders.write_decoder(config, "Mixtral", model_type=model_type) | {
        "num_local_experts": experts.num_experts,
        "num_experts_per_tok": experts.num_active,
        "sliding_window": block.attention.window,
    }


def weights(config: TransformerConfig) -> Iterator[Weight]:
    """Our weight names and theirs."""
    return decoders.weights(config, _NAMES)
