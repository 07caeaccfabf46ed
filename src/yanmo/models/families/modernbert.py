"""ModernBERT encoders (Warner et al. 2024, arXiv 2412.13663): rotary, gated, and mostly local attention.

``encoder`` is what yanmo pretrains where masked tokens alone are predicted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from yanmo.models.families.fields import ACTIVATION_NAMES, Fields, write_rope
from yanmo.models.families.heads import (
    ENCODER_CLASSES,
    class_of,
    classifier,
    head_weights,
    kinds_of,
    label_table,
    masked_lm,
    span,
)
from yanmo.models.families.mapping import Weight, linear
from yanmo.models.heads import HeadConfig, HeadKind, Select, TransformConfig
from yanmo.models.stack import StackConfig
from yanmo.models.transformer import TransformerConfig
from yanmo.nn.attention import AttentionConfig
from yanmo.nn.block import BlockConfig
from yanmo.nn.embedding import InputConfig
from yanmo.nn.feed_forward import FeedForwardConfig
from yanmo.nn.norm import NormConfig, NormKind
from yanmo.nn.position import PositionConfig, RopeConfig

ARCHITECTURES = tuple(f"ModernBert{end}" for end in ENCODER_CLASSES)
PREFIX = "model."
IGNORED = (r"rotary_emb\.", r"^decoder\.", r"^head\.")

_POOLINGS = {"cls": Select.FIRST, "mean": Select.MEAN}
_LAYERS = {"full_attention": False, "sliding_attention": True}
_HEADS = {
    HeadKind.MASKED_LM: {"dense": "head.dense", "norm": "head.norm", "output": "decoder"},
    HeadKind.SEQUENCE_CLASSIFICATION: {"dense": "head.dense", "norm": "head.norm", "output": "classifier"},
    HeadKind.TOKEN_CLASSIFICATION: {"dense": "head.dense", "norm": "head.norm", "output": "classifier"},
    HeadKind.SPAN: {"dense": "head.dense", "norm": "head.norm", "output": "classifier"},
}


def encoder(
    *,
    vocab_size: int,
    d_model: int,
    num_layers: int,
    num_heads: int,
    d_ff: int,
    max_seq_len: int,
    global_every: int = 1,
) -> TransformerConfig:
    """An encoder of these sizes: norms before the branches, gated GELU, rotary positions, tied output.

    Args:
        vocab_size: token ids.
        d_model: width of the stream, a multiple of ``num_heads``.
        num_layers: blocks.
        num_heads: attention heads, of d_model / num_heads numbers each, an even one.
        d_ff: width of the feed-forward.
        max_seq_len: longest text in tokens.
        global_every: every so many-th layer, the first included, sees the whole text, the others 64 tokens
            at either side; 1 for all layers. Windows pay only where texts are much longer than they are.

    Raises:
        InputError: the sizes do not fit.
    """
    return read_config(
        {
            "architectures": ["ModernBertForMaskedLM"],
            "vocab_size": vocab_size,
            "hidden_size": d_model,
            "num_hidden_layers": num_layers,
            "num_attention_heads": num_heads,
            "intermediate_size": d_ff,
            "max_position_embeddings": max_seq_len,
            "global_attn_every_n_layers": global_every,
            # The base of the released models is for 8192 tokens.
            "global_rope_theta": 10_000.0 if max_seq_len <= 2048 else 160_000.0,
            "decoder_bias": False,
        }
    )


def read_config(config: Mapping[str, Any], *, where: object = None) -> TransformerConfig:
    """Our config of a config.json.

    Raises:
        InputError: a key is missing, or asks for something that this stack does not do.
    """
    fields = Fields(config, where)
    num_heads = fields.size("num_attention_heads")
    norm = NormConfig(
        kind=NormKind.LAYER, eps=fields.number("norm_eps", 1e-5), bias=fields.flag("norm_bias", False)
    )
    bias = fields.flag("attention_bias", False)
    attention = AttentionConfig(
        num_heads=num_heads,
        num_kv_heads=num_heads,
        head_dim=fields.divide("hidden_size", "num_attention_heads"),
        qkv_bias=bias,
        out_bias=bias,
        # The file's window is the whole of it, this one what a token sees at either side and itself.
        window=fields.size("local_attention", 128) // 2 + 1,
    )
    feed_forward = FeedForwardConfig(
        d_ff=fields.size("intermediate_size"),
        activation=fields.activation("hidden_activation", "gelu"),
        bias=fields.flag("mlp_bias", False),
    )
    stack = StackConfig(
        num_layers=fields.layers("num_hidden_layers"),
        block=BlockConfig(attention=attention, feed_forward=feed_forward, norm=norm),
        position=PositionConfig(
            rope=_rope(fields, "full_attention", "global_rope_theta", 160_000.0),
            local_rope=_rope(fields, "sliding_attention", "local_rope_theta", 10_000.0),
        ),
        input=InputConfig(norm=norm),
        causal=False,
        first_norm=False,
        local_layers=_local_layers(fields),
    )
    return TransformerConfig(
        vocab_size=fields.size("vocab_size"),
        d_model=fields.size("hidden_size"),
        max_seq_len=fields.size("max_position_embeddings", 8192),
        encoder=stack,
        heads=tuple(_head(kind, fields, norm) for kind in kinds_of(config, "ModernBert", ENCODER_CLASSES)),
    )


def _head(kind: HeadKind, fields: Fields, norm: NormConfig) -> HeadConfig:
    transform = TransformConfig(
        width=fields.size("hidden_size"),
        activation=fields.activation("classifier_activation", "gelu"),
        norm=norm,
        bias=fields.flag("classifier_bias", False),
    )
    if kind is HeadKind.MASKED_LM:
        tied, bias = fields.flag("tie_word_embeddings", True), fields.flag("decoder_bias", True)
        return masked_lm(fields.size("vocab_size"), transform, tied=tied, bias=bias)
    if kind is HeadKind.SPAN:
        return span(transform)
    whole = kind is HeadKind.SEQUENCE_CLASSIFICATION
    select = fields.choice("classifier_pooling", _POOLINGS, "cls") if whole else Select.ALL
    return classifier(kind, fields.labels(), select=select, transform=transform)


def _local_layers(fields: Fields) -> tuple[bool, ...]:
    """Which layers have the window: as listed, or all but every so many-th."""
    named = fields.names("layer_types")
    if named is None:
        every = fields.size("global_attn_every_n_layers", 3)
        return tuple(layer % every != 0 for layer in range(fields.layers("num_hidden_layers")))
    if not set(named) <= set(_LAYERS):
        raise fields.refuse("layer_types", named, f"not a list of {' and '.join(_LAYERS)}")
    return tuple(_LAYERS[name] for name in named)


def _rope(fields: Fields, layers: str, old_name: str, theta: float) -> RopeConfig:
    """Rotary positions of one kind of layers; before transformers 5 there was just a base for each."""
    fields.require("rope_scaling", None)
    tables = fields.inner("rope_parameters")
    table = None if tables is None else tables.inner(layers)
    theta = fields.number(old_name, theta)
    return fields.rope(fields.size("max_position_embeddings", 8192), table or Fields({}), theta=theta)


def write_config(config: TransformerConfig, *, model_type: str = "modernbert") -> dict[str, Any]:
    """The config.json of ours."""
    stack = config.last_stack
    block, position = stack.block, stack.position
    assert block.attention.window is not None and position.local_rope is not None
    ropes = {"full_attention": position.rope, "sliding_attention": position.local_rope}
    names = {local: name for name, local in _LAYERS.items()}
    written = {
        "architectures": [class_of(config, "ModernBert", ENCODER_CLASSES)],
        "model_type": model_type,
        "vocab_size": config.vocab_size,
        "hidden_size": config.d_model,
        "num_hidden_layers": stack.num_layers,
        "num_attention_heads": block.attention.num_heads,
        "intermediate_size": block.feed_forward.d_ff,
        "hidden_activation": ACTIVATION_NAMES[block.feed_forward.activation],
        "max_position_embeddings": config.max_seq_len,
        "norm_eps": block.norm.eps,
        "norm_bias": block.norm.bias,
        "attention_bias": block.attention.qkv_bias,
        "mlp_bias": block.feed_forward.bias,
        "local_attention": 2 * (block.attention.window - 1),
        "layer_types": [names[local] for local in stack.local_layers],
        "rope_parameters": {name: write_rope(rope) for name, rope in ropes.items()},
        "global_rope_theta": position.rope.theta,
        "local_rope_theta": position.local_rope.theta,
        # The ids that transformers would assume are those of one vocabulary.
        **dict.fromkeys(f"{name}_token_id" for name in ("pad", "bos", "eos", "cls", "sep")),
        **label_table(config),
    }
    for head in config.heads:
        written |= _write_head(head)
    return written


def _write_head(head: HeadConfig) -> dict[str, Any]:
    assert head.transform is not None and head.transform.activation is not None
    written: dict[str, Any] = {
        "classifier_activation": ACTIVATION_NAMES[head.transform.activation],
        "classifier_bias": head.transform.bias,
    }
    if head.kind is HeadKind.MASKED_LM:
        written |= {"tie_word_embeddings": head.tied, "decoder_bias": head.bias}
    if head.select is not Select.ALL:
        written["classifier_pooling"] = "mean" if head.select is Select.MEAN else "cls"
    return written


def weights(config: TransformerConfig) -> Iterator[Weight]:
    """Our weight names and theirs."""
    block = config.last_stack.block
    yield Weight("embedding.weight", ("model.embeddings.tok_embeddings.weight",))
    ends = {"encoder.input.norm": "model.embeddings.norm", "encoder.norm": "model.final_norm"}
    yield from linear(ends, bias=block.norm.bias)
    attention = {"attention.qkv": "attn.Wqkv", "attention.out": "attn.Wo"}
    feed_forward = {"feed_forward.gate_up": "mlp.Wi", "feed_forward.down": "mlp.Wo"}
    norms = {"feed_forward_norm": "mlp_norm"}
    for index in range(config.last_stack.num_layers):
        prefix = (f"encoder.blocks.{index}.", f"model.layers.{index}.")
        yield from linear(norms, bias=block.norm.bias, prefix=prefix)
        yield from linear(attention, bias=block.attention.qkv_bias, prefix=prefix)
        yield from linear(feed_forward, bias=block.feed_forward.bias, prefix=prefix)
        # The first block's input is normalised already.
        norms = {"attention_norm": "attn_norm", "feed_forward_norm": "mlp_norm"}
    yield from head_weights(config, _HEADS)
