"""Sessions that take back tokens go on as if these had never been read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest
import torch

from yanmo.models.base import Reversible, Session
from yanmo.models.families import qwen3, t5
from yanmo.models.lstm import LstmConfig, LstmModel
from yanmo.models.ngram.model import fit_ngram
from yanmo.models.transformer import Transformer, TransformerConfig
from yanmo.nn.position import RopeConfig
from yanmo.nn.rope_scaling import RopeScaling, RopeScalingKind

SIZES = {"d_model": 16, "num_layers": 2, "num_heads": 2, "head_dim": 8, "d_ff": 32, "max_seq_len": 40}
LONG_ROPE = RopeScaling(
    kind=RopeScalingKind.LONGROPE,
    original_max_seq_len=6,
    short_factors=(1.0, 1.0, 1.0, 1.0),
    long_factors=(1.0, 2.0, 3.0, 4.0),
)


def _network(config: TransformerConfig) -> Transformer:
    torch.manual_seed(0)
    model = Transformer(config).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.normal_(0.0, 0.5)
    return model


def _decoder(rope: RopeConfig, window: int | None = None) -> Callable[[], Session]:
    config = qwen3.decoder(vocab_size=30, num_kv_heads=1, rope=rope, **SIZES)
    assert config.decoder is not None
    attention = replace(config.decoder.block.attention, window=window)
    block = replace(config.decoder.block, attention=attention)
    config = replace(config, decoder=replace(config.decoder, block=block))
    return partial(_network(config).start, 2)


def _encoder_decoder() -> Callable[[], Session]:
    model = _network(t5.encoder_decoder(vocab_size=30, **SIZES))
    with torch.inference_mode():
        memory = model.encode(torch.arange(14).view(2, 7))
    return lambda: model.start(2, memory=memory)


def _ngram() -> Callable[[], Session]:
    model = fit_ngram([[1, 2, 3, 4, 1, 2, 5, 6], [3, 4, 5, 1, 2]], order=3, vocab_size=30, eos_id=0)
    return lambda: model.start(2)


MAKERS: dict[str, Callable[[], Callable[[], Session]]] = {
    "decoder": partial(_decoder, RopeConfig()),
    "window": partial(_decoder, RopeConfig(), 3),
    "longrope": partial(_decoder, RopeConfig(scaling=LONG_ROPE)),
    "encoder-decoder": _encoder_decoder,
    "n-gram": _ngram,
}


@pytest.mark.parametrize("name", MAKERS)
def test_what_was_taken_back_leaves_no_trace(name: str) -> None:
    start = MAKERS[name]()
    tokens_BT = torch.randint(1, 7, (2, 12), generator=torch.Generator().manual_seed(1))
    others_BT = torch.randint(1, 7, (2, 5), generator=torch.Generator().manual_seed(2))
    session = start()
    assert isinstance(session, Reversible)
    session.extend(tokens_BT[:, :4])
    session.extend_each(others_BT)
    session.rollback(4)
    assert session.num_tokens == 4
    scores_BTV = session.extend_each(tokens_BT[:, 4:9])
    for place in range(5):
        torch.testing.assert_close(
            scores_BTV[:, place], start().extend(tokens_BT[:, : 5 + place]), atol=1e-4, rtol=1e-4
        )
    # All of it, too.
    session.rollback(0)
    torch.testing.assert_close(session.extend(tokens_BT), start().extend(tokens_BT), atol=1e-4, rtol=1e-4)


def test_an_lstm_keeps_no_earlier_state() -> None:
    model = LstmModel(LstmConfig(vocab_size=9, d_model=8, d_hidden=8, num_layers=1))
    assert not isinstance(model.start(1), Reversible)
