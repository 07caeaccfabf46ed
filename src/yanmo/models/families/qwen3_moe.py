"""Qwen3 decoders with mixtures of experts (Yang et al. 2025, arXiv 2505.09388, section 2)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from yanmo.models.families import decoders
from yanmo.models.families.decoders import DECODER_CLASSES, LAYER, QK_NORMS, Experts, Names
from yanmo.models.families.fields import Fields
from yanmo.models.families.mapping import Weight
from yanmo.models.transformer import TransformerConfig
from yanmo.nn.attention import QkNorm
from yanmo.nn.block import BlockConfig

ARCHITECTURES = tuple(f"Qwen3Moe{end}" for end in DECODER_CLASSES)
PREFIX = "model."
IGNORED = (r"rotary_emb\.inv_freq$", r"^lm_head\.weight$")

_DEFAULTS: dict[str, Any] = {
    "num_key_value_heads": 4,
    "rms_norm_eps": 1e-6,
    "max_position_embeddings": 32_768,
    "sliding_window": 4096,
    "num_experts": 128,
    "num_experts_per_tok": 8,
    "moe_intermediate_size": 768,
    "decoder_sparse_step": 1,
}
_NAMES = Names(
    layer={**LAYER, **QK_NORMS},
    experts=Experts(
        router="mlp.gate",
        gate="mlp.experts.{}.gate_proj",
        up="mlp.experts.{}.up_proj",
        down="mlp.experts.{}.down_proj",
    ),
)


def read_config(config: Mapping[str, Any], *, where: object = None) -> TransformerConfig:
    """Our config of a config.json.

    Raises:
        InputError: a key is missing, or asks for something that this stack does not do.
    """
    fields = Fields({**_DEFAULTS, **config}, where)
    biased = fields.flag("attention_bias", False)
    # Here a window is every layer's.
    window = fields.size("sliding_window", None) if fields.flag("use_sliding_window", False) else None
    experts = decoders.read_experts(
        fields,
        d_ff=fields.size("moe_intermediate_size"),
        normalise=fields.flag("norm_topk_prob", False),
        layers=_sparse_layers(fields),
    )
    block = BlockConfig(
        attention=decoders.read_attention(
            fields, qkv_bias=biased, out_bias=biased, qk_norm=QkNorm.HEAD, window=window
        ),
        feed_forward=decoders.read_feed_forward(fields, experts=experts),
        norm=decoders.read_norm(fields),
    )
    return decoders.read_decoder(fields, block, "Qwen3Moe")


def _sparse_layers(fields: Fields) -> tuple[bool, ...]:
    step, dense = fields.size("decoder_sparse_step"), fields.indices("mlp_only_layers")
    num_layers = fields.layers("num_hidden_layers")
    layers = tuple((layer + 1) % step == 0 and layer not in dense for layer in range(num_layers))
    return () if all(layers) else layers


def write_config(config: TransformerConfig, *, model_type: str = "qwen3_moe") -> dict[str, Any]:
    """The config.json of ours."""
    stack = config.last_stack
    attention, experts = stack.block.attention, stack.block.feed_forward.experts
    assert experts is not None
    return decoders.write_decoder(config, "Qwen3Moe", model_type=model_type) | {
        "attention_bias": attention.qkv_bias,
        "use_sliding_window": attention.window is not None,
        "sliding_window": attention.window,
        "num_experts": experts.num_experts,
        "num_experts_per_tok": experts.num_active,
        "moe_intermediate_size": experts.d_ff,
        "norm_topk_prob": experts.normalise,
        "decoder_sparse_step": 1,
        "mlp_only_layers": [layer for layer in range(stack.num_layers) if not experts.has(layer)],
    }


def weights(config: TransformerConfig) -> Iterator[Weight]:
    """Our weight names and theirs."""
    return decoders.weights(config, _NAMES)
