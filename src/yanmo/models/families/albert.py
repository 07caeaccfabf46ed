"""ALBERT (Lan et al. 2020, arXiv 1909.11942): narrow embeddings, and layers that share their weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from yanmo.models.families.encoder import embedding_weights, read_encoder, with_heads, write_encoder
from yanmo.models.families.fields import Fields
from yanmo.models.families.heads import ENCODER_CLASSES, class_of, head_weights, kinds_of
from yanmo.models.families.mapping import Weight, linear
from yanmo.models.heads import HeadKind
from yanmo.models.transformer import TransformerConfig

# Its second head says whether two sentences stand in their order.
_CLASSES = {
    **ENCODER_CLASSES,
    "Model": (HeadKind.POOLED,),
    "ForPreTraining": (HeadKind.MASKED_LM, HeadKind.NEXT_SENTENCE),
}
ARCHITECTURES = tuple(f"Albert{end}" for end in _CLASSES)
PREFIX = "albert."
IGNORED = (r"position_ids$", r"^predictions\.", r"^sop_classifier\.", r"(^|\.)pooler\.")

_HEADS = {
    HeadKind.MASKED_LM: {
        "dense": "predictions.dense",
        "norm": "predictions.LayerNorm",
        "output": "predictions.decoder",
        "bias": "predictions.bias",
    },
    HeadKind.NEXT_SENTENCE: {"dense": "albert.pooler", "output": "sop_classifier.classifier"},
    HeadKind.SEQUENCE_CLASSIFICATION: {"dense": "albert.pooler", "output": "classifier"},
    HeadKind.TOKEN_CLASSIFICATION: {"output": "classifier"},
    HeadKind.SPAN: {"output": "qa_outputs"},
    HeadKind.POOLED: {"dense": "albert.pooler"},
}


def read_config(config: Mapping[str, Any], *, where: object = None) -> TransformerConfig:
    """Our config of a config.json.

    Raises:
        InputError: a key is missing, or asks for something that this stack does not do.
    """
    fields = Fields(config, where)
    fields.require("inner_group_num", 1, default=1)
    num_groups = fields.layers("num_hidden_groups", 1)
    if fields.layers("num_hidden_layers") % num_groups:
        # Which layers would share is then a matter of rounding.
        raise fields.refuse("num_hidden_groups", num_groups, "not a part of num_hidden_layers")
    bare = read_encoder(
        fields,
        activation="gelu_new",
        norm_eps=fields.number("layer_norm_eps", 1e-12),
        num_groups=num_groups,
        num_token_types=fields.size("type_vocab_size", 2),
        width=fields.size("embedding_size", 128),
        always_project=True,
    )
    return with_heads(bare, fields, kinds_of(config, "Albert", _CLASSES))


def write_config(config: TransformerConfig, *, model_type: str = "albert") -> dict[str, Any]:
    """The config.json of ours."""
    stack = config.last_stack
    return {
        "architectures": [class_of(config, "Albert", _CLASSES)],
        "model_type": model_type,
        **write_encoder(config),
        "embedding_size": config.embedding_width,
        "num_hidden_groups": stack.num_groups or stack.num_layers,
        "inner_group_num": 1,
        "type_vocab_size": stack.input.num_token_types,
        "layer_norm_eps": stack.block.norm.eps,
    }


def weights(config: TransformerConfig) -> Iterator[Weight]:
    """Our weight names and theirs."""
    yield from embedding_weights(config, PREFIX)
    yield from linear({"encoder.input.projection": "albert.encoder.embedding_hidden_mapping_in"}, bias=True)
    layer = {
        "attention.qkv": ("attention.query", "attention.key", "attention.value"),
        "attention.out": "attention.dense",
        "attention_norm": "attention.LayerNorm",
        "feed_forward.up": "ffn",
        "feed_forward.down": "ffn_output",
        "feed_forward_norm": "full_layer_layer_norm",
    }
    stack = config.last_stack
    for index in range(stack.num_groups or stack.num_layers):
        theirs = f"albert.encoder.albert_layer_groups.{index}.albert_layers.0."
        yield from linear(layer, bias=True, prefix=(f"encoder.blocks.{index}.", theirs))
    yield from head_weights(config, _HEADS)
