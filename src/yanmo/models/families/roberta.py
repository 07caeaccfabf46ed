"""RoBERTa (Liu et al. 2019, arXiv 1907.11692) and XLM-RoBERTa (Conneau et al. 2020, arXiv 1911.02116).

Positions are counted from behind the id of padding, so the first rows of the position table are never used.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from yanmo.models.families.encoder import bert_weights, read_encoder, with_heads, write_encoder
from yanmo.models.families.fields import Fields
from yanmo.models.families.heads import ENCODER_CLASSES, class_of, head_weights, kinds_of
from yanmo.models.families.mapping import Weight
from yanmo.models.heads import HeadKind
from yanmo.models.transformer import TransformerConfig
from yanmo.nn.feed_forward import Activation

# model_type to what the names of its classes begin with.
_NAMES = {"roberta": "Roberta", "xlm-roberta": "XLMRoberta"}
_CLASSES = {**ENCODER_CLASSES, "Model": (HeadKind.POOLED,)}
ARCHITECTURES = tuple(f"{name}{end}" for name in _NAMES.values() for end in _CLASSES)
PREFIX = "roberta."
IGNORED = (r"position_ids$", r"^lm_head\.", r"(^|\.)pooler\.")

_HEADS = {
    HeadKind.MASKED_LM: {
        "dense": "lm_head.dense",
        "norm": "lm_head.layer_norm",
        "output": "lm_head.decoder",
        "bias": "lm_head.bias",
    },
    HeadKind.SEQUENCE_CLASSIFICATION: {"dense": "classifier.dense", "output": "classifier.out_proj"},
    HeadKind.TOKEN_CLASSIFICATION: {"output": "classifier"},
    HeadKind.SPAN: {"output": "qa_outputs"},
    HeadKind.POOLED: {"dense": "roberta.pooler.dense"},
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
        offset=fields.size("pad_token_id", 1, least=0) + 1,
        num_token_types=fields.size("type_vocab_size", 2),
    )
    kinds = kinds_of(config, _NAMES[config["model_type"]], _CLASSES)
    return with_heads(bare, fields, kinds, masked=Activation.GELU)


def write_config(config: TransformerConfig, *, model_type: str = "roberta") -> dict[str, Any]:
    """The config.json of ours."""
    return {
        "architectures": [class_of(config, _NAMES[model_type], _CLASSES)],
        "model_type": model_type,
        **write_encoder(config),
        "type_vocab_size": config.last_stack.input.num_token_types,
        "layer_norm_eps": config.last_stack.block.norm.eps,
        "pad_token_id": config.last_stack.position.offset - 1,
    }


def weights(config: TransformerConfig) -> Iterator[Weight]:
    """Our weight names and theirs."""
    yield from bert_weights(config, PREFIX)
    yield from head_weights(config, _HEADS)
