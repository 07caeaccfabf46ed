"""Qwen3 decoders (Yang et al. 2025, arXiv 2505.09388): what yanmo pretrains, and what it can read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from yanmo.models.families import decoders
from yanmo.models.families.decoders import DECODER_CLASSES, LAYER, QK_NORMS, Names
from yanmo.models.families.fields import Fields
from yanmo.models.families.heads import causal_lm
from yanmo.models.families.mapping import Weight
from yanmo.models.stack import StackConfig
from yanmo.models.transformer import TransformerConfig
from yanmo.nn.attention import AttentionConfig, QkNorm
from yanmo.nn.block import BlockConfig
from yanmo.nn.feed_forward import FeedForwardConfig
from yanmo.nn.norm import NormConfig
from yanmo.nn.position import PositionConfig, RopeConfig

ARCHITECTURES = tuple(f"Qwen3{end}" for end in DECODER_CLASSES)
PREFIX = "model."
IGNORED = (r"rotary_emb\.inv_freq$", r"^lm_head\.weight$")

_DEFAULTS: dict[str, Any] = {
    "num_key_value_heads": 32,
    "head_dim": 128,
    "rms_norm_eps": 1e-6,
    "max_position_embeddings": 32_768,
    "sliding_window": 4096,
    "max_window_layers": 28,
}


def decoder(
    *,
    vocab_size: int,
    d_model: int,
    num_layers: int,
    num_heads: int,
    num_kv_heads: int,
    head_dim: int,
    d_ff: int,
    max_seq_len: int,
    tied_embeddings: bool = True,
    rope: RopeConfig | None = None,
    norm_eps: float = 1e-6,
) -> TransformerConfig:
    """A decoder of these sizes: RMSNorm, SwiGLU, rotary positions, QK-norm, grouped heads."""
    block = BlockConfig(
        attention=AttentionConfig(
            num_heads=num_heads, num_kv_heads=num_kv_heads, head_dim=head_dim, qk_norm=QkNorm.HEAD
        ),
        feed_forward=FeedForwardConfig(d_ff=d_ff),
        norm=NormConfig(eps=norm_eps),
    )
    stack = StackConfig(
        num_layers=num_layers, block=block, position=PositionConfig(rope=rope or RopeConfig())
    )
    head = causal_lm(vocab_size, tied=tied_embeddings)
    return TransformerConfig(
        vocab_size=vocab_size, d_model=d_model, max_seq_len=max_seq_len, decoder=stack, heads=(head,)
    )


def read_config(config: Mapping[str, Any], *, where: object = None) -> TransformerConfig:
    """Our config of a config.json.

    Raises:
        InputError: a key is missing, or asks for something that this stack does not do.
    """
    fields = Fields({**_DEFAULTS, **config}, where)
    biased = fields.flag("attention_bias", False)
    window, local_layers = decoders.read_window(fields)
    block = BlockConfig(
        attention=decoders.read_attention(
            fields, qkv_bias=biased, out_bias=biased, qk_norm=QkNorm.HEAD, window=window
        ),
        feed_forward=decoders.read_feed_forward(fields),
        norm=decoders.read_norm(fields),
    )
    return decoders.read_decoder(fields, block, "Qwen3", local_layers=local_layers)


def write_config(config: TransformerConfig, *, model_type: str = "qwen3") -> dict[str, Any]:
    """The config.json of ours."""
    stack = config.last_stack
    written = decoders.write_decoder(config, "Qwen3", model_type=model_type)
    return written | decoders.write_window(stack) | {"attention_bias": stack.block.attention.qkv_bias}


def weights(config: TransformerConfig) -> Iterator[Weight]:
    """Our weight names and theirs."""
    return decoders.weights(config, Names(layer={**LAYER, **QK_NORMS}))
