"""The shapes of models that are pretrained from nothing: which sizes are tried, and what each is built as."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from yanmo.errors import InputError
from yanmo.models.families import bert, modernbert, qwen3, t5
from yanmo.models.lstm import LstmConfig, LstmModel
from yanmo.models.transformer import Transformer, TransformerConfig

ShapeName = Literal["decoder", "encoder", "encoder-decoder", "lstm"]
ModelConfig = TransformerConfig | LstmConfig

_HEAD_DIM = 64
_NUM_LSTM_LAYERS = 2


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """Sizes of a network; those that a shape has no use for are None.

    Attributes:
        vocab_size: token ids.
        d_model: width of the stream.
        num_layers: blocks of each stack.
        max_seq_len: context in tokens.
        d_ff: width of the feed-forward layers.
        num_heads: query heads.
        num_kv_heads: key and value heads.
        head_dim: numbers in a head.
        d_hidden: width of an LSTM's inner layers.
    """

    vocab_size: int
    d_model: int
    num_layers: int
    max_seq_len: int
    d_ff: int | None = None
    num_heads: int | None = None
    num_kv_heads: int | None = None
    head_dim: int | None = None
    d_hidden: int | None = None


@dataclass(frozen=True, kw_only=True)
class Shape:
    """A kind of network.

    Attributes:
        ladder: layers and width of the candidates, smallest first.
        size: every size from the vocabulary, layers, width and context.
        build: what the network is built from.
        predicts_loss: whether the scaling law was fitted on models of this shape.
    """

    ladder: tuple[tuple[int, int], ...]
    size: Callable[[int, int, int, int], Sizes]
    build: Callable[[Sizes], ModelConfig]
    predicts_loss: bool = False


def build_model(config: ModelConfig, *, draw: bool = True) -> Transformer | LstmModel:
    """The network of a config.

    Args:
        config: what to build.
        draw: draw the weights from torch's global generator; False leaves a Transformer's as they come.
    """
    return LstmModel(config) if isinstance(config, LstmConfig) else Transformer(config, draw=draw)


def sizes_of(config: ModelConfig, context: int) -> Sizes:
    """Sizes of a network that is there already, trained on rows of ``context`` tokens."""
    if isinstance(config, LstmConfig):
        return Sizes(
            vocab_size=config.vocab_size,
            d_model=config.d_model,
            num_layers=config.num_layers,
            max_seq_len=context,
            d_hidden=config.d_hidden,
        )
    block = config.last_stack.block
    return Sizes(
        vocab_size=config.vocab_size,
        d_model=config.d_model,
        num_layers=config.last_stack.num_layers,
        max_seq_len=context,
        d_ff=block.feed_forward.d_ff,
        num_heads=block.attention.num_heads,
        num_kv_heads=block.attention.num_kv_heads,
        head_dim=block.attention.head_dim,
    )


def shape_of(config: ModelConfig) -> ShapeName:
    """The shape of a network that is there already."""
    if isinstance(config, LstmConfig):
        return "lstm"
    if config.encoder is None:
        return "decoder"
    return "encoder" if config.decoder is None else "encoder-decoder"


def _attention_sizes(vocab_size: int, num_layers: int, d_model: int, context: int) -> Sizes:
    head_dim = _HEAD_DIM if d_model % _HEAD_DIM == 0 else 2 * max(1, d_model // 8)
    num_heads = max(1, d_model // head_dim)
    return Sizes(
        vocab_size=vocab_size,
        d_model=d_model,
        num_layers=num_layers,
        max_seq_len=context,
        d_ff=max(64, round(d_model * 8 / 3 / 64) * 64),
        num_heads=num_heads,
        num_kv_heads=num_heads,
        head_dim=head_dim,
    )


def _decoder_sizes(vocab_size: int, num_layers: int, d_model: int, context: int) -> Sizes:
    sizes = _attention_sizes(vocab_size, num_layers, d_model, context)
    assert sizes.num_heads
    num_kv_heads = sizes.num_heads // 2 if sizes.num_heads % 2 == 0 else sizes.num_heads
    return dataclasses.replace(sizes, num_kv_heads=num_kv_heads)


def _encoder_sizes(vocab_size: int, num_layers: int, d_model: int, context: int) -> Sizes:
    sizes = _attention_sizes(vocab_size, num_layers, d_model, context)
    assert sizes.num_heads and sizes.head_dim
    if sizes.num_heads * sizes.head_dim != d_model:
        raise InputError(
            f"an encoder of width {d_model} cannot be parted into heads of {sizes.head_dim}",
            remedy="choose a --d-model that is a multiple of 64, or of 8",
        )
    return sizes


def _pair_encoder_sizes(vocab_size: int, num_layers: int, d_model: int, context: int) -> Sizes:
    # Not gated: two matrices of the feed-forward layer where the others have three.
    return dataclasses.replace(_encoder_sizes(vocab_size, num_layers, d_model, context), d_ff=4 * d_model)


def _both_sizes(vocab_size: int, num_layers: int, d_model: int, context: int) -> Sizes:
    # Each of the two stacks has half of the layers.
    return _attention_sizes(vocab_size, max(1, num_layers // 2), d_model, context)


def _builder(family: Callable[..., TransformerConfig], *own: str) -> Callable[[Sizes], ModelConfig]:
    """From sizes to a family's config, which takes these besides those that all have."""
    names = ("vocab_size", "d_model", "num_layers", "max_seq_len", *own)

    def build(sizes: Sizes) -> ModelConfig:
        return family(**{name: getattr(sizes, name) for name in names})

    return build


_encoder = _builder(modernbert.encoder, "num_heads", "d_ff")
_pair_encoder = _builder(bert.encoder, "num_heads", "d_ff")
_both = _builder(t5.encoder_decoder, "num_heads", "head_dim", "d_ff")
_decoder = _builder(qwen3.decoder, "num_heads", "num_kv_heads", "head_dim", "d_ff")


def _lstm_sizes(vocab_size: int, num_layers: int, d_model: int, context: int) -> Sizes:
    # Inner layers are wider than the embedding (Merity et al. 2017, section 5: 1,150 and 400).
    return Sizes(
        vocab_size=vocab_size,
        d_model=d_model,
        num_layers=num_layers,
        max_seq_len=context,
        d_hidden=2 * d_model,
    )


def _lstm(sizes: Sizes) -> LstmConfig:
    assert sizes.d_hidden
    return LstmConfig(
        vocab_size=sizes.vocab_size,
        d_model=sizes.d_model,
        d_hidden=sizes.d_hidden,
        num_layers=sizes.num_layers,
    )


# Layers and width, smallest first; neighbours differ by about 1.6 in parameters.
_LADDER = (
    (2, 128),
    (3, 192),
    (4, 256),
    (5, 320),
    (6, 384),
    (7, 448),
    (8, 512),
    (10, 640),
    (12, 768),
    (16, 1024),
)
_LSTMS = tuple((_NUM_LSTM_LAYERS, width) for width in (64, 96, 128, 192, 256, 320, 384, 512, 640, 768))

SHAPES: Mapping[ShapeName, Shape] = {
    "decoder": Shape(ladder=_LADDER, size=_decoder_sizes, build=_decoder, predicts_loss=True),
    "encoder": Shape(ladder=_LADDER, size=_encoder_sizes, build=_encoder),
    "encoder-decoder": Shape(ladder=_LADDER, size=_both_sizes, build=_both),
    "lstm": Shape(ladder=_LSTMS, size=_lstm_sizes, build=_lstm),
}
# An encoder that tells whether a text follows on another: a family of its own.
PAIR_ENCODER = Shape(ladder=_LADDER, size=_pair_encoder_sizes, build=_pair_encoder)
