"""T5, mT5 and Flan-T5 (Raffel et al. 2020, arXiv 1910.10683; v1.1 as in Shazeer 2020, arXiv 2002.05202).

``encoder_decoder``, of version 1.1, is what yanmo pretrains to fill in spans. T5's scores are not divided by
the root of head_dim: its queries are drawn, and stay, as much smaller. Muon moves every matrix by as much
as any other, which would be that many times too far for those queries; so what is pretrained here has
divided scores, and the factor goes into the queries when a checkpoint is written.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from yanmo.models.families.fields import ACTIVATION_NAMES, ACTIVATIONS, Fields
from yanmo.models.families.mapping import SAME, Scaled, Weight, linear
from yanmo.models.heads import HeadConfig, HeadKind
from yanmo.models.stack import StackConfig
from yanmo.models.transformer import TransformerConfig
from yanmo.nn.attention import AttentionConfig
from yanmo.nn.block import BlockConfig
from yanmo.nn.feed_forward import Activation, FeedForwardConfig
from yanmo.nn.norm import NormConfig
from yanmo.nn.position import PositionConfig, PositionKind

_ENCODERS = ("T5EncoderModel", "MT5EncoderModel")
_BARE = ("T5Model", "MT5Model")
ARCHITECTURES = (
    "T5ForConditionalGeneration",
    "MT5ForConditionalGeneration",
    "T5WithLMHeadModel",
    *_BARE,
    *_ENCODERS,
)
PREFIX = ""
IGNORED = (
    r"^(encoder|decoder)\.embed_tokens\.weight$",
    r"^lm_head\.weight$",
    r"decoder\.block\.0\.layer\.1\.EncDecAttention\.relative_attention_bias",
)
# Relative positions have no limit; where a file names none, texts are cut where training cut them.
_MAX_SEQ_LEN = 512

# What feed_forward_proj may say: activation, and whether the layer is gated.
_PROJECTIONS = {name: (activation, False) for name, activation in ACTIVATIONS.items()} | {
    f"gated-{name}": (activation, True) for name, activation in ACTIVATIONS.items()
}
# transformers reads "gated-gelu" as the tanh approximation.
_PROJECTIONS["gated-gelu"] = (Activation.GELU_TANH, True)


def encoder_decoder(
    *,
    vocab_size: int,
    d_model: int,
    num_layers: int,
    num_heads: int,
    head_dim: int,
    d_ff: int,
    max_seq_len: int,
    num_decoder_layers: int | None = None,
) -> TransformerConfig:
    """An encoder-decoder of these sizes: RMSNorm, relative positions, gated GELU, an output of its own.

    Args:
        vocab_size: token ids.
        d_model: width of the stream.
        num_layers: blocks of the encoder.
        num_heads: attention heads.
        head_dim: numbers in a head.
        d_ff: width of the feed-forward.
        max_seq_len: longest source, and longest target, in tokens.
        num_decoder_layers: blocks of the decoder; None is as many as the encoder's.

    Raises:
        InputError: the sizes do not fit.
    """
    config = read_config(
        {
            "architectures": ["T5ForConditionalGeneration"],
            "model_type": "t5",
            "vocab_size": vocab_size,
            "d_model": d_model,
            "d_kv": head_dim,
            "d_ff": d_ff,
            "num_layers": num_layers,
            "num_decoder_layers": num_decoder_layers or num_layers,
            "num_heads": num_heads,
            "feed_forward_proj": "gated-gelu",
            "tie_word_embeddings": False,
            "n_positions": max_seq_len,
        }
    )
    return dataclasses.replace(config, encoder=_divided(config.encoder), decoder=_divided(config.decoder))


def _divided(stack: StackConfig | None) -> StackConfig:
    """The same stack with scores divided by the root of head_dim."""
    assert stack is not None
    attention = dataclasses.replace(stack.block.attention, scale=None)
    return dataclasses.replace(stack, block=dataclasses.replace(stack.block, attention=attention))


def read_config(config: Mapping[str, Any], *, where: object = None) -> TransformerConfig:
    """Our config of a config.json.

    Raises:
        InputError: a key is missing, or asks for something that this stack does not do.
    """
    fields = Fields(config, where)
    usual = "gated-gelu" if config["model_type"] == "mt5" else "relu"
    activation, gated = fields.choice("feed_forward_proj", _PROJECTIONS, usual)
    num_heads = fields.size("num_heads")
    attention = AttentionConfig(
        num_heads=num_heads, num_kv_heads=num_heads, head_dim=fields.size("d_kv"), scale=1.0
    )
    feed_forward = FeedForwardConfig(d_ff=fields.size("d_ff"), activation=activation, gated=gated)
    norm = NormConfig(eps=fields.number("layer_norm_epsilon", 1e-6))
    position = PositionConfig(
        kind=PositionKind.RELATIVE_BIAS,
        num_buckets=fields.size("relative_attention_num_buckets", 32, least=4),
        max_distance=fields.size("relative_attention_max_distance", 128, least=2),
    )
    if position.max_distance <= position.num_buckets // 2:
        # Up to there each distance has a bucket of its own.
        raise fields.refuse("relative_attention_max_distance", position.max_distance, "within the buckets")
    num_layers = fields.layers("num_layers")
    block = BlockConfig(attention=attention, feed_forward=feed_forward, norm=norm)
    encoder = StackConfig(num_layers=num_layers, block=block, position=position, causal=False)
    whole = TransformerConfig(
        vocab_size=fields.size("vocab_size"),
        d_model=fields.size("d_model"),
        max_seq_len=fields.size("n_positions", _MAX_SEQ_LEN),
        encoder=encoder,
    )
    named = (config.get("architectures") or ARCHITECTURES)[0]
    if named in _ENCODERS:
        return whole
    decoder = dataclasses.replace(
        encoder,
        num_layers=fields.layers("num_decoder_layers", num_layers),
        block=dataclasses.replace(block, cross_attention=True),
        causal=True,
    )
    heads = () if named in _BARE else (_head(fields, whole, config["model_type"]),)
    return dataclasses.replace(whole, decoder=decoder, heads=heads)


def _head(fields: Fields, config: TransformerConfig, model_type: object) -> HeadConfig:
    # Only v1.0 ties its output, and scales it then; files of the others may still say that it is tied.
    tied = model_type != "mt5" and fields.flag("tie_word_embeddings", True)
    tied = fields.flag("scale_decoder_outputs", tied)
    scale = config.d_model**-0.5 if tied else 1.0
    return HeadConfig(kind=HeadKind.SEQ2SEQ_LM, num_outputs=config.vocab_size, tied=tied, scale=scale)


def write_config(config: TransformerConfig, *, model_type: str = "t5") -> dict[str, Any]:
    """The config.json of ours."""
    assert config.encoder is not None
    block, position = config.encoder.block, config.encoder.position
    name = ACTIVATION_NAMES[block.feed_forward.activation]
    if block.feed_forward.gated:
        name = "gated-gelu" if block.feed_forward.activation is Activation.GELU_TANH else f"gated-{name}"
    of_heads = ("tie_word_embeddings", "scale_decoder_outputs")
    name_of_class = "ForConditionalGeneration" if config.heads else "Model"
    if config.decoder is None:
        name_of_class = "EncoderModel"
    return {
        "architectures": [f"{model_type.upper()}{name_of_class}"],
        "model_type": model_type,
        "vocab_size": config.vocab_size,
        "d_model": config.d_model,
        "d_kv": block.attention.head_dim,
        "d_ff": block.feed_forward.d_ff,
        "num_layers": config.encoder.num_layers,
        "num_decoder_layers": (config.decoder or config.encoder).num_layers,
        "num_heads": block.attention.num_heads,
        "relative_attention_num_buckets": position.num_buckets,
        "relative_attention_max_distance": position.max_distance,
        "feed_forward_proj": name,
        "layer_norm_epsilon": block.norm.eps,
        "n_positions": config.max_seq_len,
        **{key: head.tied for head in config.heads for key in of_heads},
        "is_encoder_decoder": config.decoder is not None,
        "pad_token_id": 0,
        "eos_token_id": 1,
        "decoder_start_token_id": 0,
    }


def weights(config: TransformerConfig) -> Iterator[Weight]:
    """Our weight names and theirs."""
    yield Weight("embedding.weight", ("shared.weight",), aliases=("encoder.embed_tokens.weight",))
    if config.heads and not config.heads[0].tied:
        yield Weight("heads.seq2seq_lm.output.weight", ("lm_head.weight",), aliases=("shared.weight",))
    for side, stack in (("encoder", config.encoder), ("decoder", config.decoder)):
        if stack is None:
            continue
        yield Weight(f"{side}.norm.weight", (f"{side}.final_layer_norm.weight",))
        bias = f"{side}.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
        yield Weight(f"{side}.position_bias.weight", (bias,))
        for index in range(stack.num_layers):
            layer = _layer(gated=stack.block.feed_forward.gated, is_decoder=side == "decoder")
            prefix = (f"{side}.blocks.{index}.", f"{side}.block.{index}.layer.")
            for weight in linear(layer, bias=False, prefix=prefix):
                yield _with_factor(weight, stack.block.attention)


def _with_factor(weight: Weight, attention: AttentionConfig) -> Weight:
    """The same weight; theirs of queries has the factor that ours leaves to the scores."""
    factor = attention.head_dim**-0.5 if attention.scale is None else attention.scale
    if factor == 1.0 or not weight.ours.endswith(("attention.qkv.weight", "cross_attention.query.weight")):
        return weight
    return dataclasses.replace(weight, layout=(Scaled(factor), *[SAME] * (len(weight.theirs) - 1)))


def _layer(*, gated: bool, is_decoder: bool) -> dict[str, str | tuple[str, ...]]:
    last = 2 if is_decoder else 1
    layer: dict[str, str | tuple[str, ...]] = {
        "attention_norm": "0.layer_norm",
        "attention.qkv": ("0.SelfAttention.q", "0.SelfAttention.k", "0.SelfAttention.v"),
        "attention.out": "0.SelfAttention.o",
        "feed_forward_norm": f"{last}.layer_norm",
        "feed_forward.down": f"{last}.DenseReluDense.wo",
    }
    if is_decoder:
        layer |= {
            "cross_attention_norm": "1.layer_norm",
            "cross_attention.query": "1.EncDecAttention.q",
            "cross_attention.key_value": ("1.EncDecAttention.k", "1.EncDecAttention.v"),
            "cross_attention.out": "1.EncDecAttention.o",
        }
    up = f"{last}.DenseReluDense.wi"
    return layer | ({"feed_forward.gate_up": (f"{up}_0", f"{up}_1")} if gated else {"feed_forward.up": up})
