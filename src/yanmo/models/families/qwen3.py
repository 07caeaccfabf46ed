"""Qwen3 decoders (Yang et al. 2025, arXiv 2505.09388): what yanmo pretrains, and what it can read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from yanmo.models.families.fields import Fields, write_rope
from yanmo.models.families.mapping import Weight, linear
from yanmo.models.heads import HeadConfig, HeadKind
from yanmo.models.stack import StackConfig
from yanmo.models.transformer import TransformerConfig
from yanmo.nn.attention import AttentionConfig, QkNorm
from yanmo.nn.block import BlockConfig
from yanmo.nn.feed_forward import FeedForwardConfig
from yanmo.nn.norm import NormConfig
from yanmo.nn.position import PositionConfig, RopeConfig

ARCHITECTURES = ("Qwen3ForCausalLM",)
PREFIX = "model."
IGNORED = (r"rotary_emb\.inv_freq$",)


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
    head = HeadConfig(kind=HeadKind.CAUSAL_LM, num_outputs=vocab_size, tied=tied_embeddings)
    return TransformerConfig(
        vocab_size=vocab_size, d_model=d_model, max_seq_len=max_seq_len, decoder=stack, heads=(head,)
    )


def read_config(config: Mapping[str, Any], *, where: object = None) -> TransformerConfig:
    """Our config of a config.json.

    Raises:
        InputError: a key is missing, or asks for something that this stack does not do.
    """
    fields = Fields(config, where)
    fields.require("hidden_act", "silu", default="silu")
    fields.require("attention_bias", False, default=False)
    fields.require("use_sliding_window", False, default=False)
    max_seq_len = fields.size("max_position_embeddings")
    num_heads = fields.size("num_attention_heads")
    return decoder(
        vocab_size=fields.size("vocab_size"),
        d_model=fields.size("hidden_size"),
        num_layers=fields.layers("num_hidden_layers"),
        num_heads=num_heads,
        num_kv_heads=fields.size("num_key_value_heads", num_heads),
        head_dim=fields.size("head_dim", 128),
        d_ff=fields.size("intermediate_size"),
        max_seq_len=max_seq_len,
        tied_embeddings=fields.flag("tie_word_embeddings", False),
        rope=fields.rope(max_seq_len),
        norm_eps=fields.number("rms_norm_eps", 1e-6),
    )


def write_config(config: TransformerConfig, *, model_type: str = "qwen3") -> dict[str, Any]:
    """The config.json of ours."""
    stack = config.last_stack
    attention = stack.block.attention
    return {
        "architectures": list(ARCHITECTURES),
        "model_type": model_type,
        "vocab_size": config.vocab_size,
        "hidden_size": config.d_model,
        "num_hidden_layers": stack.num_layers,
        "num_attention_heads": attention.num_heads,
        "num_key_value_heads": attention.num_kv_heads,
        "head_dim": attention.head_dim,
        "intermediate_size": stack.block.feed_forward.d_ff,
        "max_position_embeddings": config.max_seq_len,
        "max_window_layers": stack.num_layers,
        "rope_theta": stack.position.rope.theta,
        "rope_parameters": write_rope(stack.position.rope),
        "rms_norm_eps": stack.block.norm.eps,
        "tie_word_embeddings": config.heads[0].tied,
        "hidden_act": "silu",
        "attention_bias": False,
        "attention_dropout": 0.0,
        "use_sliding_window": False,
        "use_cache": True,
    }


def weights(config: TransformerConfig) -> Iterator[Weight]:
    """Our weight names and theirs."""
    yield Weight("embedding.weight", ("model.embed_tokens.weight",))
    yield Weight("decoder.norm.weight", ("model.norm.weight",))
    if not config.heads[0].tied:
        yield Weight("heads.causal_lm.output.weight", ("lm_head.weight",))
    layer = {
        "attention_norm": "input_layernorm",
        "attention.qkv": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
        "attention.query_norm": "self_attn.q_norm",
        "attention.key_norm": "self_attn.k_norm",
        "attention.out": "self_attn.o_proj",
        "feed_forward_norm": "post_attention_layernorm",
        "feed_forward.gate_up": ("mlp.gate_proj", "mlp.up_proj"),
        "feed_forward.down": "mlp.down_proj",
    }
    for index in range(config.last_stack.num_layers):
        yield from linear(layer, bias=False, prefix=(f"decoder.blocks.{index}.", f"model.layers.{index}."))
