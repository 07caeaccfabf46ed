"""GPT-NeoX decoders (Black et al. 2022, arXiv 2204.06745), Pythia among them: attention and feed-forward side
by side, rotary positions on a part of each head.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from yanmo.models.families import decoders
from yanmo.models.families.decoders import DECODER_CLASSES, Names
from yanmo.models.families.fields import Fields
from yanmo.models.families.mapping import InterleavedHeads, Weight
from yanmo.models.heads import HeadKind
from yanmo.models.transformer import TransformerConfig
from yanmo.nn.attention import AttentionConfig
from yanmo.nn.block import BlockConfig, Residual
from yanmo.nn.norm import NormConfig, NormKind

ARCHITECTURES = tuple(f"GPTNeoX{end}" for end in DECODER_CLASSES)
PREFIX = "gpt_neox."
IGNORED = (
    r"attention\.(masked_)?bias$",
    r"rotary_emb\.inv_freq$",
    r"^embed_out\.weight$",
)

_NAMES = Names(
    layer={
        "attention_norm": "input_layernorm",
        "attention.out": "attention.dense",
        "feed_forward_norm": "post_attention_layernorm",
        "feed_forward.up": "mlp.dense_h_to_4h",
        "feed_forward.down": "mlp.dense_4h_to_h",
    },
    embedding="gpt_neox.embed_in",
    norm="gpt_neox.final_layer_norm",
    layers="gpt_neox.layers",
    heads={
        HeadKind.CAUSAL_LM: {"output": "embed_out"},
        HeadKind.SEQUENCE_CLASSIFICATION: {"output": "score"},
        HeadKind.TOKEN_CLASSIFICATION: {"output": "classifier"},
    },
)


def read_config(config: Mapping[str, Any], *, where: object = None) -> TransformerConfig:
    """Our config of a config.json.

    Raises:
        InputError: a key is missing, or asks for something that this stack does not do.
    """
    rope = {
        "rope_theta": config.get("rotary_emb_base", 10_000),
        "partial_rotary_factor": config.get("rotary_pct", 0.25),
    }
    fields = Fields({"max_position_embeddings": 2048, "layer_norm_eps": 1e-5, **config, **rope}, where)
    biased, num_heads = fields.flag("attention_bias", True), fields.size("num_attention_heads")
    block = BlockConfig(
        attention=AttentionConfig(
            num_heads=num_heads,
            num_kv_heads=num_heads,
            head_dim=fields.divide("hidden_size", "num_attention_heads"),
            qkv_bias=biased,
            out_bias=biased,
        ),
        feed_forward=decoders.read_feed_forward(fields, activation="gelu", gated=False, bias=True),
        norm=NormConfig(kind=NormKind.LAYER, eps=fields.number("layer_norm_eps"), bias=True),
        residual=Residual.PARALLEL if fields.flag("use_parallel_residual", True) else Residual.PRE,
    )
    return decoders.read_decoder(fields, block, "GPTNeoX")


def write_config(config: TransformerConfig, *, model_type: str = "gpt_neox") -> dict[str, Any]:
    """The config.json of ours."""
    stack = config.last_stack
    return decoders.write_decoder(config, "GPTNeoX", model_type=model_type) | {
        "layer_norm_eps": stack.block.norm.eps,
        "rotary_emb_base": stack.position.rope.theta,
        "rotary_pct": stack.position.rope.partial,
        "use_parallel_residual": stack.block.residual is Residual.PARALLEL,
        "attention_bias": stack.block.attention.qkv_bias,
        "hidden_dropout": 0.0,
    }


def weights(config: TransformerConfig) -> Iterator[Weight]:
    """Our weight names and theirs; queries, keys and values are kept head by head."""
    yield from decoders.weights(config, _NAMES)
    stack = config.last_stack
    layout = InterleavedHeads(stack.block.attention.num_heads)
    for index in range(stack.num_layers):
        theirs = f"{_NAMES.layers}.{index}.attention.query_key_value"
        for part in ("weight", "bias") if stack.block.attention.qkv_bias else ("weight",):
            yield Weight(f"decoder.blocks.{index}.attention.qkv.{part}", (f"{theirs}.{part}",), layout)
