"""BERT encoders (Devlin et al. 2019, arXiv 1810.04805), with all of their heads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from yanmo.models.families.fields import ACTIVATION_NAMES, Fields
from yanmo.models.families.heads import classifier, label_table, tied_masked_lm
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

# Class names to the heads that each has, the one that answers first.
_HEADS = {
    "BertForMaskedLM": (HeadKind.MASKED_LM,),
    "BertForPreTraining": (HeadKind.MASKED_LM, HeadKind.NEXT_SENTENCE),
    "BertForNextSentencePrediction": (HeadKind.NEXT_SENTENCE,),
    "BertForSequenceClassification": (HeadKind.SEQUENCE_CLASSIFICATION,),
    "BertForTokenClassification": (HeadKind.TOKEN_CLASSIFICATION,),
    "BertForQuestionAnswering": (HeadKind.SPAN,),
    "BertModel": (HeadKind.POOLED,),
}
ARCHITECTURES = tuple(_HEADS)
PREFIX = "bert."
IGNORED = (r"position_ids$", r"^cls\.", r"(^|\.)pooler\.")


def read_config(config: Mapping[str, Any], *, where: object = None) -> TransformerConfig:
    """Our config of a config.json.

    Raises:
        InputError: a key is missing, or asks for something that this stack does not do.
    """
    fields = Fields(config, where)
    fields.require("position_embedding_type", "absolute", default="absolute")
    fields.require("is_decoder", False, default=False)
    d_model, num_heads = fields.size("hidden_size"), fields.size("num_attention_heads")
    norm = NormConfig(kind=NormKind.LAYER, eps=fields.number("layer_norm_eps", 1e-12), bias=True)
    activation = fields.activation("hidden_act", "gelu")
    attention = AttentionConfig(
        num_heads=num_heads,
        num_kv_heads=num_heads,
        head_dim=fields.divide("hidden_size", "num_attention_heads"),
        qkv_bias=True,
        out_bias=True,
    )
    feed_forward = FeedForwardConfig(
        d_ff=fields.size("intermediate_size"), activation=activation, gated=False, bias=True
    )
    stack = StackConfig(
        num_layers=fields.layers("num_hidden_layers"),
        block=BlockConfig(attention=attention, feed_forward=feed_forward, norm=norm, residual=Residual.POST),
        position=PositionConfig(kind=PositionKind.LEARNED),
        input=InputConfig(num_token_types=fields.size("type_vocab_size", 2), norm=norm),
        causal=False,
        final_norm=False,
    )
    vocab_size = fields.size("vocab_size")
    pooler = TransformConfig(width=d_model, activation=Activation.TANH)
    heads = {
        HeadKind.MASKED_LM: tied_masked_lm(vocab_size, width=d_model, activation=activation, norm=norm),
        HeadKind.NEXT_SENTENCE: HeadConfig(
            kind=HeadKind.NEXT_SENTENCE, num_outputs=2, select=Select.FIRST, transform=pooler, bias=True
        ),
        HeadKind.SEQUENCE_CLASSIFICATION: classifier(
            HeadKind.SEQUENCE_CLASSIFICATION, fields.labels(), select=Select.FIRST, transform=pooler
        ),
        HeadKind.TOKEN_CLASSIFICATION: classifier(HeadKind.TOKEN_CLASSIFICATION, fields.labels()),
        HeadKind.SPAN: HeadConfig(kind=HeadKind.SPAN, num_outputs=2, bias=True),
        HeadKind.POOLED: HeadConfig(
            kind=HeadKind.POOLED, num_outputs=0, select=Select.FIRST, transform=pooler
        ),
    }
    named = (config.get("architectures") or ["BertModel"])[0]
    return TransformerConfig(
        vocab_size=vocab_size,
        d_model=d_model,
        max_seq_len=fields.size("max_position_embeddings"),
        encoder=stack,
        heads=tuple(heads[kind] for kind in _HEADS[named]),
    )


def write_config(config: TransformerConfig, *, model_type: str = "bert") -> dict[str, Any]:
    """The config.json of ours."""
    stack = config.last_stack
    block = stack.block
    kinds = tuple(head.kind for head in config.heads)
    architecture = next(name for name, heads in _HEADS.items() if heads == kinds)
    return {
        "architectures": [architecture],
        "model_type": model_type,
        "vocab_size": config.vocab_size,
        "hidden_size": config.d_model,
        "num_hidden_layers": stack.num_layers,
        "num_attention_heads": block.attention.num_heads,
        "intermediate_size": block.feed_forward.d_ff,
        "hidden_act": ACTIVATION_NAMES[block.feed_forward.activation],
        "max_position_embeddings": config.max_seq_len,
        "type_vocab_size": stack.input.num_token_types,
        "layer_norm_eps": block.norm.eps,
        **label_table(config),
    }


def weights(config: TransformerConfig) -> Iterator[Weight]:
    """Our weight names and theirs."""
    yield Weight("embedding.weight", ("bert.embeddings.word_embeddings.weight",))
    yield Weight("encoder.input.positions.weight", ("bert.embeddings.position_embeddings.weight",))
    yield Weight("encoder.input.types.weight", ("bert.embeddings.token_type_embeddings.weight",))
    yield from linear({"encoder.input.norm": "bert.embeddings.LayerNorm"}, bias=True)
    layer = {
        "attention.qkv": ("attention.self.query", "attention.self.key", "attention.self.value"),
        "attention.out": "attention.output.dense",
        "attention_norm": "attention.output.LayerNorm",
        "feed_forward.up": "intermediate.dense",
        "feed_forward.down": "output.dense",
        "feed_forward_norm": "output.LayerNorm",
    }
    for index in range(config.last_stack.num_layers):
        yield from linear(
            layer, bias=True, prefix=(f"encoder.blocks.{index}.", f"bert.encoder.layer.{index}.")
        )
    for head in config.heads:
        yield from _head_weights(head.kind)


def _head_weights(kind: HeadKind) -> Iterator[Weight]:
    ours = f"heads.{kind.value}."
    if kind is HeadKind.MASKED_LM:
        transform = {
            "transform.dense": "cls.predictions.transform.dense",
            "transform.norm": "cls.predictions.transform.LayerNorm",
        }
        yield from linear(transform, bias=True, prefix=(ours, ""))
        bias = "cls.predictions.bias"
        yield Weight(f"{ours}bias", (bias,), aliases=("cls.predictions.decoder.bias",))
        return
    if kind in (HeadKind.NEXT_SENTENCE, HeadKind.SEQUENCE_CLASSIFICATION, HeadKind.POOLED):
        yield from linear({"transform.dense": "bert.pooler.dense"}, bias=True, prefix=(ours, ""))
    outputs = {
        HeadKind.NEXT_SENTENCE: "cls.seq_relationship",
        HeadKind.SEQUENCE_CLASSIFICATION: "classifier",
        HeadKind.TOKEN_CLASSIFICATION: "classifier",
        HeadKind.SPAN: "qa_outputs",
    }
    if kind in outputs:
        yield Weight(f"{ours}output.weight", (f"{outputs[kind]}.weight",))
        yield Weight(f"{ours}bias", (f"{outputs[kind]}.bias",))
