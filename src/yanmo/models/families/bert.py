"""BERT encoders (Devlin et al. 2019, arXiv 1810.04805), with all of their heads.

``encoder`` is what yanmo pretrains where next sentences are predicted too.
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

_CLASSES = {
    **ENCODER_CLASSES,
    "Model": (HeadKind.POOLED,),
    "ForPreTraining": (HeadKind.MASKED_LM, HeadKind.NEXT_SENTENCE),
    "ForNextSentencePrediction": (HeadKind.NEXT_SENTENCE,),
}
ARCHITECTURES = tuple(f"Bert{end}" for end in _CLASSES)
PREFIX = "bert."
IGNORED = (r"position_ids$", r"^cls\.", r"(^|\.)pooler\.")

_HEADS = {
    HeadKind.MASKED_LM: {
        "dense": "cls.predictions.transform.dense",
        "norm": "cls.predictions.transform.LayerNorm",
        "output": "cls.predictions.decoder",
        "bias": "cls.predictions.bias",
    },
    HeadKind.NEXT_SENTENCE: {"dense": "bert.pooler.dense", "output": "cls.seq_relationship"},
    HeadKind.SEQUENCE_CLASSIFICATION: {"dense": "bert.pooler.dense", "output": "classifier"},
    HeadKind.TOKEN_CLASSIFICATION: {"output": "classifier"},
    HeadKind.SPAN: {"output": "qa_outputs"},
    HeadKind.POOLED: {"dense": "bert.pooler.dense"},
}


def encoder(
    *,
    vocab_size: int,
    d_model: int,
    num_layers: int,
    num_heads: int,
    d_ff: int,
    max_seq_len: int,
    next_sentence: bool = True,
) -> TransformerConfig:
    """An encoder of these sizes: norms behind the sums, learned positions, two token types, tied output.

    Args:
        vocab_size: token ids.
        d_model: width of the stream, a multiple of ``num_heads``.
        num_layers: blocks.
        num_heads: attention heads, of d_model / num_heads numbers each.
        d_ff: width of the feed-forward, which is not gated.
        max_seq_len: longest text in tokens, or pair of texts.
        next_sentence: whether there is a head that tells whether a second text follows on the first.

    Raises:
        InputError: the sizes do not fit.
    """
    named = "BertForPreTraining" if next_sentence else "BertForMaskedLM"
    return read_config(
        {
            "architectures": [named],
            "vocab_size": vocab_size,
            "hidden_size": d_model,
            "num_hidden_layers": num_layers,
            "num_attention_heads": num_heads,
            "intermediate_size": d_ff,
            "max_position_embeddings": max_seq_len,
        }
    )


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
    )
    return with_heads(bare, fields, kinds_of(config, "Bert", _CLASSES))


def write_config(config: TransformerConfig, *, model_type: str = "bert") -> dict[str, Any]:
    """The config.json of ours."""
    return {
        "architectures": [class_of(config, "Bert", _CLASSES)],
        "model_type": model_type,
        **write_encoder(config),
        "type_vocab_size": config.last_stack.input.num_token_types,
        "layer_norm_eps": config.last_stack.block.norm.eps,
    }


def weights(config: TransformerConfig) -> Iterator[Weight]:
    """Our weight names and theirs."""
    yield from bert_weights(config, PREFIX)
    yield from head_weights(config, _HEADS)
