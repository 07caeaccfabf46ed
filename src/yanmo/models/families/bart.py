"""BART, mBART and Marian: one encoder-decoder with its norms and positions in different places.

BART: Lewis et al. 2020 (arXiv 1910.13461). mBART: Liu et al. 2020 (arXiv 2001.08210). Marian:
Junczys-Dowmunt et al. 2018 (arXiv 1804.00344).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from yanmo.models.families.fields import ACTIVATION_NAMES, Fields
from yanmo.models.families.mapping import Weight, linear
from yanmo.models.heads import HeadConfig, HeadKind
from yanmo.models.stack import StackConfig
from yanmo.models.transformer import TransformerConfig
from yanmo.nn.attention import AttentionConfig
from yanmo.nn.block import BlockConfig, Residual
from yanmo.nn.embedding import InputConfig
from yanmo.nn.feed_forward import FeedForwardConfig
from yanmo.nn.norm import NormConfig, NormKind
from yanmo.nn.position import PositionConfig, PositionKind


@dataclass(frozen=True, kw_only=True)
class _Kind:
    """What tells the model types apart.

    Attributes:
        architecture: class name in config.json.
        residual: where the norms of a block stand.
        position: how positions enter.
        input_norm: whether the input is normalised.
        final_norm: whether the output of a stack is.
        token_ids: what config.json says of special tokens, from the vocabulary's end where negative.
    """

    architecture: str
    residual: Residual
    position: PositionConfig
    input_norm: bool
    final_norm: bool
    token_ids: Mapping[str, int]


# Two rows of the table stand before that of position 0.
_LEARNED = PositionConfig(kind=PositionKind.LEARNED, offset=2)
_SINUSOIDAL = PositionConfig(kind=PositionKind.SINUSOIDAL)
_FAIRSEQ_IDS = {"bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2}
_KINDS = {
    "bart": _Kind(
        architecture="BartForConditionalGeneration",
        residual=Residual.POST,
        position=_LEARNED,
        input_norm=True,
        final_norm=False,
        token_ids=_FAIRSEQ_IDS | {"decoder_start_token_id": 2, "forced_eos_token_id": 2},
    ),
    "mbart": _Kind(
        architecture="MBartForConditionalGeneration",
        residual=Residual.PRE,
        position=_LEARNED,
        input_norm=True,
        final_norm=True,
        token_ids=_FAIRSEQ_IDS | {"forced_eos_token_id": 2},
    ),
    "marian": _Kind(
        architecture="MarianMTModel",
        residual=Residual.POST,
        position=_SINUSOIDAL,
        input_norm=False,
        final_norm=False,
        token_ids={
            "eos_token_id": 0,
            "forced_eos_token_id": 0,
            "pad_token_id": -1,
            "decoder_start_token_id": -1,
        },
    ),
}
# Some checkpoints name the bare model; their output is tied, so nothing is missing.
_BARE = ("BartModel", "MBartModel", "MarianModel")
ARCHITECTURES = (*(kind.architecture for kind in _KINDS.values()), *_BARE)
PREFIX = "model."
# Positions that are computed, and copies of the shared table under its other names.
IGNORED = (
    r"(encoder|decoder)\.embed_positions\.weight$",
    r"(encoder|decoder)\.embed_tokens\.weight$",
    r"^lm_head\.weight$",
    r"(encoder|decoder)\.version$",
)


class _Row:
    """A vector that the file keeps as a matrix of one row."""

    def ours(self, theirs: Tensor) -> Tensor:
        """The row."""
        return theirs.reshape(-1)

    def theirs(self, ours: Tensor) -> Tensor:
        """A matrix of one row."""
        return ours.unsqueeze(0)


def read_config(config: Mapping[str, Any], *, where: object = None) -> TransformerConfig:
    """Our config of a config.json.

    Raises:
        InputError: a key is missing, or asks for something that this stack does not do.
    """
    fields = Fields(config, where)
    kind = _KINDS[str(config["model_type"])]
    vocab_size, d_model = fields.size("vocab_size"), fields.size("d_model")
    fields.require("tie_word_embeddings", True, default=True)
    fields.require("share_encoder_decoder_embeddings", True, default=True)
    if "decoder_vocab_size" in fields:
        # One table serves both sides here.
        fields.require("decoder_vocab_size", vocab_size)
    is_sinusoidal = kind.position.kind is PositionKind.SINUSOIDAL
    fields.require("static_position_embeddings", is_sinusoidal, default=is_sinusoidal)
    is_pre = kind.residual is Residual.PRE
    fields.require("normalize_before", is_pre, default=is_pre)
    if is_sinusoidal and d_model % 2:
        raise fields.refuse("d_model", d_model, "odd; half of it are sines and half cosines")
    head = HeadConfig(kind=HeadKind.SEQ2SEQ_LM, num_outputs=vocab_size, tied=True, bias=True)
    return TransformerConfig(
        vocab_size=vocab_size,
        d_model=d_model,
        max_seq_len=fields.size("max_position_embeddings", 1024),
        encoder=_read_stack(fields, kind, "encoder"),
        decoder=_read_stack(fields, kind, "decoder"),
        heads=(head,),
    )


def _read_stack(fields: Fields, kind: _Kind, side: str) -> StackConfig:
    num_heads = fields.size(f"{side}_attention_heads")
    norm = NormConfig(kind=NormKind.LAYER, eps=1e-5, bias=True)
    block = BlockConfig(
        attention=AttentionConfig(
            num_heads=num_heads,
            num_kv_heads=num_heads,
            head_dim=fields.divide("d_model", f"{side}_attention_heads"),
            qkv_bias=True,
            out_bias=True,
        ),
        feed_forward=FeedForwardConfig(
            d_ff=fields.size(f"{side}_ffn_dim"),
            activation=fields.activation("activation_function", "gelu"),
            gated=False,
            bias=True,
        ),
        norm=norm,
        residual=kind.residual,
        cross_attention=side == "decoder",
    )
    scaled = fields.flag("scale_embedding", False)
    return StackConfig(
        num_layers=fields.layers(f"{side}_layers"),
        block=block,
        position=kind.position,
        input=InputConfig(
            scale=math.sqrt(fields.size("d_model")) if scaled else 1.0,
            norm=norm if kind.input_norm else None,
        ),
        causal=side == "decoder",
        final_norm=kind.final_norm,
    )


def write_config(config: TransformerConfig, *, model_type: str) -> dict[str, Any]:
    """The config.json of ours."""
    assert config.encoder is not None and config.decoder is not None
    written: dict[str, Any] = {
        "architectures": [_KINDS[model_type].architecture],
        "model_type": model_type,
        "vocab_size": config.vocab_size,
        "d_model": config.d_model,
        "max_position_embeddings": config.max_seq_len,
        "activation_function": ACTIVATION_NAMES[config.encoder.block.feed_forward.activation],
        "scale_embedding": config.encoder.input.scale != 1.0,
        "tie_word_embeddings": True,
        "is_encoder_decoder": True,
        "num_hidden_layers": config.encoder.num_layers,
    }
    for side, stack in (("encoder", config.encoder), ("decoder", config.decoder)):
        written |= {
            f"{side}_layers": stack.num_layers,
            f"{side}_attention_heads": stack.block.attention.num_heads,
            f"{side}_ffn_dim": stack.block.feed_forward.d_ff,
        }
    ids = _KINDS[model_type].token_ids
    return written | {name: token_id % config.vocab_size for name, token_id in ids.items()}


def weights(config: TransformerConfig) -> Iterator[Weight]:
    """Our weight names and theirs."""
    shared = ("shared", "encoder.embed_tokens", "decoder.embed_tokens")
    names = (*(f"model.{name}.weight" for name in shared), "lm_head.weight")
    yield Weight("embedding.weight", names[:1], aliases=names[1:])
    yield Weight("heads.seq2seq_lm.bias", ("final_logits_bias",), layout=_Row(), default=0.0)
    for side, stack in (("encoder", config.encoder), ("decoder", config.decoder)):
        assert stack is not None
        if stack.position.kind is PositionKind.LEARNED:
            yield Weight(f"{side}.input.positions.weight", (f"model.{side}.embed_positions.weight",))
        ends = {f"{side}.input.norm": "layernorm_embedding"} if stack.input.norm else {}
        ends |= {f"{side}.norm": "layer_norm"} if stack.final_norm else {}
        yield from linear(ends, bias=True, prefix=("", f"model.{side}."))
        layer = _LAYER | _CROSS_ATTENTION if stack.block.cross_attention else _LAYER
        for index in range(stack.num_layers):
            prefix = (f"{side}.blocks.{index}.", f"model.{side}.layers.{index}.")
            yield from linear(layer, bias=True, prefix=prefix)


_LAYER: dict[str, str | tuple[str, ...]] = {
    "attention.qkv": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "attention.out": "self_attn.out_proj",
    "attention_norm": "self_attn_layer_norm",
    "feed_forward.up": "fc1",
    "feed_forward.down": "fc2",
    "feed_forward_norm": "final_layer_norm",
}
_CROSS_ATTENTION: dict[str, str | tuple[str, ...]] = {
    "cross_attention.query": "encoder_attn.q_proj",
    "cross_attention.key_value": ("encoder_attn.k_proj", "encoder_attn.v_proj"),
    "cross_attention.out": "encoder_attn.out_proj",
    "cross_attention_norm": "encoder_attn_layer_norm",
}
