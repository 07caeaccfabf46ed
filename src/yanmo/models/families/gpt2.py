"""GPT-2 decoders (Radford et al. 2019, "Language Models are Unsupervised Multitask Learners")."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from yanmo.models.families.decoders import read_heads
from yanmo.models.families.fields import ACTIVATION_NAMES, Fields
from yanmo.models.families.heads import class_of, head_weights, label_table
from yanmo.models.families.mapping import TRANSPOSED, Weight, linear
from yanmo.models.heads import HeadKind
from yanmo.models.stack import StackConfig
from yanmo.models.transformer import TransformerConfig
from yanmo.nn.attention import AttentionConfig
from yanmo.nn.block import BlockConfig
from yanmo.nn.feed_forward import FeedForwardConfig
from yanmo.nn.norm import NormConfig, NormKind
from yanmo.nn.position import PositionConfig, PositionKind

_CLASSES = {
    "LMHeadModel": (HeadKind.CAUSAL_LM,),
    "ForSequenceClassification": (HeadKind.SEQUENCE_CLASSIFICATION,),
    "ForTokenClassification": (HeadKind.TOKEN_CLASSIFICATION,),
    "Model": (),
}
ARCHITECTURES = tuple(f"GPT2{end}" for end in _CLASSES)
PREFIX = "transformer."
# Causal masks, and the tied output that some writers repeat.
IGNORED = (r"attn\.(masked_)?bias$", r"^lm_head\.weight$")
_HEADS = {
    HeadKind.CAUSAL_LM: {"output": "lm_head"},
    HeadKind.SEQUENCE_CLASSIFICATION: {"output": "score"},
    HeadKind.TOKEN_CLASSIFICATION: {"output": "classifier"},
}


def read_config(config: Mapping[str, Any], *, where: object = None) -> TransformerConfig:
    """Our config of a config.json.

    Raises:
        InputError: a key is missing, or asks for something that this stack does not do.
    """
    fields = Fields(config, where)
    fields.require("scale_attn_weights", True, default=True)
    fields.require("scale_attn_by_inverse_layer_idx", False, default=False)
    fields.require("add_cross_attention", False, default=False)
    fields.require("tie_word_embeddings", True, default=True)
    d_model, num_heads = fields.size("n_embd"), fields.size("n_head")
    attention = AttentionConfig(
        num_heads=num_heads,
        num_kv_heads=num_heads,
        head_dim=fields.divide("n_embd", "n_head"),
        qkv_bias=True,
        out_bias=True,
    )
    feed_forward = FeedForwardConfig(
        d_ff=fields.size("n_inner", 4 * d_model),
        activation=fields.activation("activation_function", "gelu_new"),
        gated=False,
        bias=True,
    )
    norm = NormConfig(kind=NormKind.LAYER, eps=fields.number("layer_norm_epsilon", 1e-5), bias=True)
    stack = StackConfig(
        num_layers=fields.layers("n_layer"),
        block=BlockConfig(attention=attention, feed_forward=feed_forward, norm=norm),
        position=PositionConfig(kind=PositionKind.LEARNED),
    )
    return TransformerConfig(
        vocab_size=fields.size("vocab_size"),
        d_model=d_model,
        max_seq_len=fields.size("n_positions"),
        decoder=stack,
        heads=read_heads(fields, "GPT2", _CLASSES, tied=True),
    )


def write_config(config: TransformerConfig, *, model_type: str = "gpt2") -> dict[str, Any]:
    """The config.json of ours."""
    block = config.last_stack.block
    return {
        "architectures": [class_of(config, "GPT2", _CLASSES)],
        "model_type": model_type,
        "vocab_size": config.vocab_size,
        "n_embd": config.d_model,
        "n_layer": config.last_stack.num_layers,
        "n_head": block.attention.num_heads,
        "n_inner": block.feed_forward.d_ff,
        "n_positions": config.max_seq_len,
        "activation_function": ACTIVATION_NAMES[block.feed_forward.activation],
        "layer_norm_epsilon": block.norm.eps,
        "tie_word_embeddings": True,
        **label_table(config),
    }


def weights(config: TransformerConfig) -> Iterator[Weight]:
    """Our weight names and theirs; their products are kept as (inputs, outputs)."""
    yield Weight("embedding.weight", ("transformer.wte.weight",))
    yield Weight("decoder.input.positions.weight", ("transformer.wpe.weight",))
    yield from linear({"decoder.norm": "transformer.ln_f"}, bias=True)
    yield from head_weights(config, _HEADS)
    norms = {"attention_norm": "ln_1", "feed_forward_norm": "ln_2"}
    products = {
        "attention.qkv": "attn.c_attn",
        "attention.out": "attn.c_proj",
        "feed_forward.up": "mlp.c_fc",
        "feed_forward.down": "mlp.c_proj",
    }
    for index in range(config.last_stack.num_layers):
        prefix = (f"decoder.blocks.{index}.", f"transformer.h.{index}.")
        yield from linear(norms, bias=True, prefix=prefix)
        yield from linear(products, bias=True, prefix=prefix, layout=TRANSPOSED)
