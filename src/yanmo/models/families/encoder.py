"""What BERT and those after it share: norms behind the sums, learned positions, token types, and heads."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from yanmo.models.families.fields import ACTIVATION_NAMES, Fields
from yanmo.models.families.heads import classifier, label_table, masked_lm, span
from yanmo.models.families.mapping import Weight, linear
from yanmo.models.heads import HeadConfig, HeadKind, Select, TransformConfig
from yanmo.models.stack import StackConfig
from yanmo.models.transformer import TransformerConfig
from yanmo.nn.attention import AttentionConfig
from yanmo.nn.block import BlockConfig, Residual
from yanmo.nn.embedding import InputConfig
from yanmo.nn.feed_forward import Activation, FeedForwardConfig
from yanmo.nn.norm import NormConfig, NormKind
from yanmo.nn.position import PositionConfig, PositionKind


@dataclass(frozen=True, kw_only=True)
class Keys:
    """What a config.json calls the sizes of an encoder."""

    d_model: str = "hidden_size"
    num_layers: str = "num_hidden_layers"
    num_heads: str = "num_attention_heads"
    d_ff: str = "intermediate_size"
    activation: str = "hidden_act"


BERT_KEYS = Keys()


def read_encoder(
    fields: Fields,
    *,
    keys: Keys = BERT_KEYS,
    activation: str = "gelu",
    norm_eps: float = 1e-12,
    offset: int = 0,
    num_groups: int | None = None,
    **embedding: Any,
) -> TransformerConfig:
    """An encoder without heads.

    Args:
        fields: of config.json.
        keys: its names of sizes.
        activation: where it names none.
        norm_eps: of all norms.
        offset: rows of the position table before that of position 0.
        num_groups: different blocks, where layers share them.
        embedding: further settings of ``InputConfig``.

    Raises:
        InputError: a key is missing, or asks for something that this stack does not do.
    """
    fields.require("position_embedding_type", "absolute", default="absolute")
    fields.require("is_decoder", False, default=False)
    num_heads = fields.size(keys.num_heads)
    norm = NormConfig(kind=NormKind.LAYER, eps=norm_eps, bias=True)
    attention = AttentionConfig(
        num_heads=num_heads,
        num_kv_heads=num_heads,
        head_dim=fields.divide(keys.d_model, keys.num_heads),
        qkv_bias=True,
        out_bias=True,
    )
    feed_forward = FeedForwardConfig(
        d_ff=fields.size(keys.d_ff),
        activation=fields.activation(keys.activation, activation),
        gated=False,
        bias=True,
    )
    stack = StackConfig(
        num_layers=fields.layers(keys.num_layers),
        block=BlockConfig(attention=attention, feed_forward=feed_forward, norm=norm, residual=Residual.POST),
        position=PositionConfig(kind=PositionKind.LEARNED, offset=offset),
        input=InputConfig(norm=norm, **embedding),
        causal=False,
        final_norm=False,
        num_groups=num_groups,
    )
    return TransformerConfig(
        vocab_size=fields.size("vocab_size"),
        d_model=fields.size(keys.d_model),
        max_seq_len=fields.size("max_position_embeddings", least=offset + 1) - offset,
        encoder=stack,
    )


def with_heads(
    bare: TransformerConfig,
    fields: Fields,
    kinds: tuple[HeadKind, ...],
    *,
    pooler: Activation = Activation.TANH,
    masked: Activation | None = None,
) -> TransformerConfig:
    """The encoder with heads of these kinds.

    Args:
        bare: an encoder without heads.
        fields: of config.json, which has the labels.
        kinds: which heads.
        pooler: activation before what is said of a whole text.
        masked: activation before masked tokens, where it is not that of the blocks.
    """
    heads = tuple(_head(kind, bare, fields, pooler, masked) for kind in kinds)
    return dataclasses.replace(bare, heads=heads)


def _head(
    kind: HeadKind, bare: TransformerConfig, fields: Fields, pooler: Activation, masked: Activation | None
) -> HeadConfig:
    block = bare.last_stack.block
    activation = block.feed_forward.activation
    of_text = TransformConfig(width=bare.d_model, activation=pooler)
    match kind:
        case HeadKind.MASKED_LM:
            transform = TransformConfig(
                width=bare.embedding_width, activation=masked or activation, norm=block.norm
            )
            return masked_lm(bare.vocab_size, transform, tied=fields.flag("tie_word_embeddings", True))
        case HeadKind.REPLACED_TOKEN:
            transform = TransformConfig(width=bare.d_model, activation=activation)
            return HeadConfig(kind=kind, num_outputs=1, transform=transform, bias=True)
        case HeadKind.NEXT_SENTENCE:
            return HeadConfig(kind=kind, num_outputs=2, select=Select.FIRST, transform=of_text, bias=True)
        case HeadKind.SEQUENCE_CLASSIFICATION:
            return classifier(kind, fields.labels(), select=Select.FIRST, transform=of_text)
        case HeadKind.TOKEN_CLASSIFICATION:
            return classifier(kind, fields.labels())
        case HeadKind.SPAN:
            return span()
        case HeadKind.POOLED:
            return HeadConfig(kind=kind, num_outputs=0, select=Select.FIRST, transform=of_text)
    raise AssertionError(kind)


def write_encoder(config: TransformerConfig, *, keys: Keys = BERT_KEYS) -> dict[str, Any]:
    """What ``read_encoder`` and ``with_heads`` read; not what is handed to them."""
    stack = config.last_stack
    block = stack.block
    return {
        "vocab_size": config.vocab_size,
        keys.d_model: config.d_model,
        keys.num_layers: stack.num_layers,
        keys.num_heads: block.attention.num_heads,
        keys.d_ff: block.feed_forward.d_ff,
        keys.activation: ACTIVATION_NAMES[block.feed_forward.activation],
        "max_position_embeddings": config.max_seq_len + stack.position.offset,
        "tie_word_embeddings": all(head.tied for head in config.heads if head.kind is HeadKind.MASKED_LM),
        **label_table(config),
    }


def embedding_weights(config: TransformerConfig, prefix: str) -> Iterator[Weight]:
    """Weights before the first block, as BERT names them; ``prefix`` is of the bare model."""
    names = f"{prefix}embeddings."
    yield Weight("embedding.weight", (f"{names}word_embeddings.weight",))
    yield Weight("encoder.input.positions.weight", (f"{names}position_embeddings.weight",))
    if config.last_stack.input.num_token_types:
        yield Weight("encoder.input.types.weight", (f"{names}token_type_embeddings.weight",))
    yield from linear({"encoder.input.norm": f"{names}LayerNorm"}, bias=True)


def bert_weights(config: TransformerConfig, prefix: str) -> Iterator[Weight]:
    """All weights but those of heads, as BERT names them."""
    yield from embedding_weights(config, prefix)
    layer = {
        "attention.qkv": ("attention.self.query", "attention.self.key", "attention.self.value"),
        "attention.out": "attention.output.dense",
        "attention_norm": "attention.output.LayerNorm",
        "feed_forward.up": "intermediate.dense",
        "feed_forward.down": "output.dense",
        "feed_forward_norm": "output.LayerNorm",
    }
    for index in range(config.last_stack.num_layers):
        theirs = f"{prefix}encoder.layer.{index}."
        yield from linear(layer, bias=True, prefix=(f"encoder.blocks.{index}.", theirs))
