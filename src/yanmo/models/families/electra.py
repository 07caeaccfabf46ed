"""ELECTRA generators and discriminators (Clark et al. 2020, arXiv 2003.10555).

A discriminator says of each token whether it was replaced; a generator fills masks, as BERT does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from yanmo.models.families.encoder import bert_weights, read_encoder, with_heads, write_encoder
from yanmo.models.families.fields import Fields
from yanmo.models.families.heads import ENCODER_CLASSES, class_of, head_weights, kinds_of
from yanmo.models.families.mapping import Weight, linear
from yanmo.models.heads import HeadKind
from yanmo.models.transformer import TransformerConfig
from yanmo.nn.feed_forward import Activation

_CLASSES = {**ENCODER_CLASSES, "ForPreTraining": (HeadKind.REPLACED_TOKEN,)}
ARCHITECTURES = tuple(f"Electra{end}" for end in _CLASSES)
PREFIX = "electra."
IGNORED = (r"position_ids$", r"^generator_", r"^discriminator_")

_HEADS = {
    HeadKind.MASKED_LM: {
        "dense": "generator_predictions.dense",
        "norm": "generator_predictions.LayerNorm",
        "output": "generator_lm_head",
    },
    HeadKind.REPLACED_TOKEN: {
        "dense": "discriminator_predictions.dense",
        "output": "discriminator_predictions.dense_prediction",
    },
    HeadKind.SEQUENCE_CLASSIFICATION: {"dense": "classifier.dense", "output": "classifier.out_proj"},
    HeadKind.TOKEN_CLASSIFICATION: {"output": "classifier"},
    HeadKind.SPAN: {"output": "qa_outputs"},
}


def read_config(config: Mapping[str, Any], *, where: object = None) -> TransformerConfig:
    """Our config of a config.json.

    Raises:
        InputError: a key is missing, or asks for something that this stack does not do.
    """
    fields = Fields(config, where)
    bare = read_encoder(
        fields,
        norm_eps=fields.number("layer_norm_eps", 1e-12),
        num_token_types=fields.size("type_vocab_size", 2),
        width=fields.size("embedding_size", 128),
    )
    kinds = kinds_of(config, "Electra", _CLASSES)
    return with_heads(bare, fields, kinds, pooler=Activation.GELU, masked=Activation.GELU)


def write_config(config: TransformerConfig, *, model_type: str = "electra") -> dict[str, Any]:
    """The config.json of ours."""
    return {
        "architectures": [class_of(config, "Electra", _CLASSES)],
        "model_type": model_type,
        **write_encoder(config),
        "embedding_size": config.embedding_width,
        "type_vocab_size": config.last_stack.input.num_token_types,
        "layer_norm_eps": config.last_stack.block.norm.eps,
    }


def weights(config: TransformerConfig) -> Iterator[Weight]:
    """Our weight names and theirs."""
    yield from bert_weights(config, PREFIX)
    if config.embedding_width != config.d_model:
        yield from linear({"encoder.input.projection": "electra.embeddings_project"}, bias=True)
    yield from head_weights(config, _HEADS)
