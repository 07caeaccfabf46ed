"""DistilBERT (Sanh et al. 2019, arXiv 1910.01108): BERT without token types and pooler."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from yanmo.models.families.encoder import Keys, embedding_weights, read_encoder, with_heads, write_encoder
from yanmo.models.families.fields import Fields
from yanmo.models.families.heads import ENCODER_CLASSES, class_of, head_weights, kinds_of
from yanmo.models.families.mapping import Weight, linear
from yanmo.models.heads import HeadKind
from yanmo.models.transformer import TransformerConfig
from yanmo.nn.feed_forward import Activation

ARCHITECTURES = tuple(f"DistilBert{end}" for end in ENCODER_CLASSES)
PREFIX = "distilbert."
IGNORED = (r"position_ids$", r"^vocab_")

_KEYS = Keys(
    d_model="dim", num_layers="n_layers", num_heads="n_heads", d_ff="hidden_dim", activation="activation"
)
_HEADS = {
    HeadKind.MASKED_LM: {"dense": "vocab_transform", "norm": "vocab_layer_norm", "output": "vocab_projector"},
    HeadKind.SEQUENCE_CLASSIFICATION: {"dense": "pre_classifier", "output": "classifier"},
    HeadKind.TOKEN_CLASSIFICATION: {"output": "classifier"},
    HeadKind.SPAN: {"output": "qa_outputs"},
}


def read_config(config: Mapping[str, Any], *, where: object = None) -> TransformerConfig:
    """Our config of a config.json.

    Sinusoidal positions need nothing of their own: the table is in the file like a learned one.

    Raises:
        InputError: a key is missing, or asks for something that this stack does not do.
    """
    fields = Fields(config, where)
    bare = read_encoder(fields, keys=_KEYS)
    kinds = kinds_of(config, "DistilBert", ENCODER_CLASSES)
    return with_heads(bare, fields, kinds, pooler=Activation.RELU)


def write_config(config: TransformerConfig, *, model_type: str = "distilbert") -> dict[str, Any]:
    """The config.json of ours."""
    return {
        "architectures": [class_of(config, "DistilBert", ENCODER_CLASSES)],
        "model_type": model_type,
        **write_encoder(config, keys=_KEYS),
    }


def weights(config: TransformerConfig) -> Iterator[Weight]:
    """Our weight names and theirs."""
    yield from embedding_weights(config, PREFIX)
    layer = {
        "attention.qkv": ("attention.q_lin", "attention.k_lin", "attention.v_lin"),
        "attention.out": "attention.out_lin",
        "attention_norm": "sa_layer_norm",
        "feed_forward.up": "ffn.lin1",
        "feed_forward.down": "ffn.lin2",
        "feed_forward_norm": "output_layer_norm",
    }
    for index in range(config.last_stack.num_layers):
        theirs = f"distilbert.transformer.layer.{index}."
        yield from linear(layer, bias=True, prefix=(f"encoder.blocks.{index}.", theirs))
    yield from head_weights(config, _HEADS)
