"""Masked tokens, next sentences and spans: tiny models learn them, and any split of a step is the step."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from objectives_made import assert_any_split_gives_the_same, chain, stored, tokenizer_for, train

from yanmo.data.masking import MaskedBatch, MaskedBatches, MaskingConfig
from yanmo.data.pairs import PairBatches
from yanmo.data.spans import DENOISERS, SpanBatches
from yanmo.data.token_store import TokenStore
from yanmo.errors import InputError
from yanmo.models.families import bert, modernbert, qwen3, t5
from yanmo.models.lstm import LstmConfig, LstmModel
from yanmo.models.transformer import Transformer, TransformerConfig
from yanmo.tokenizers.purpose import Purpose
from yanmo.training.denoising import Denoising
from yanmo.training.masked import Masked, MaskedWithNextSentence
from yanmo.training.optimizer import OptimizerConfig

MASKED = tokenizer_for(Purpose.MASKED)
DENOISED = tokenizer_for(Purpose.DENOISING)
SIZES = {"d_model": 32, "num_layers": 2, "num_heads": 2, "d_ff": 64, "max_seq_len": 32}
NUM_SYMBOLS = 40
# Norms behind the sums bear smaller steps of the tables.
GENTLE = OptimizerConfig(adam_learning_rate=0.003)


def language(edge_id: int, *, seed: int = 0) -> TokenStore:
    return stored([chain(400, NUM_SYMBOLS, seed=seed + number) for number in range(20)], edge_id)


def topics(*, seed: int, num_topics: int = 8, num_words: int = 5) -> TokenStore:
    """Documents whose words no document of another topic has."""
    rng = np.random.default_rng(seed)
    topic = np.arange(32) % num_topics
    return stored([t * num_words + rng.integers(num_words, size=150) for t in topic], MASKED.eos_id)


def modern() -> TransformerConfig:
    return modernbert.encoder(vocab_size=MASKED.vocab_size, **SIZES)


def paired() -> TransformerConfig:
    return bert.encoder(vocab_size=MASKED.vocab_size, **SIZES)


def both() -> TransformerConfig:
    return t5.encoder_decoder(vocab_size=DENOISED.vocab_size, head_dim=16, **SIZES)


def masked_batches(*, seed: int = 0, batch_size: int = 16, share: float = 0.2) -> MaskedBatches:
    store, config = language(MASKED.eos_id, seed=100 * seed), MaskingConfig(share=share)
    return MaskedBatches(store, MASKED, config=config, batch_size=batch_size, seq_len=32, seed=seed)


def span_batches(name: str = "spans", *, seed: int = 0, batch_size: int = 16) -> SpanBatches:
    store = language(DENOISED.eos_id, seed=100 * seed)
    return SpanBatches(
        store, DENOISED, denoisers=DENOISERS[name], batch_size=batch_size, seq_len=32, seed=seed
    )


def test_an_encoder_learns_hidden_tokens() -> None:
    model = train(modern(), Masked(), masked_batches(), num_steps=150)
    score = Masked().score(model, masked_batches(seed=1), 4)
    assert score["masked_accuracy"] > 0.6  # 1 in 40 by chance
    assert score["loss_nats"] < 0.6 * math.log(NUM_SYMBOLS)
    assert score == Masked().score(model, masked_batches(seed=1), 4)


def test_an_encoder_learns_which_texts_follow() -> None:
    batches = PairBatches(topics(seed=0), MASKED, batch_size=16, seq_len=32, seed=0)
    held_out = PairBatches(topics(seed=1), MASKED, batch_size=32, seq_len=32, seed=1)
    objective = MaskedWithNextSentence(weight=0.3 * 32)
    model = train(paired(), objective, batches, num_steps=250, rates=GENTLE)
    score = objective.score(model, held_out, 4)
    assert score["next_sentence_accuracy"] > 0.8
    assert score["next_sentence_loss_nats"] < 0.5
    assert score["masked_accuracy"] > 0.15  # 1 in 5 of the right topic, 1 in 40 by chance
    assert score["num_pairs"] == 128


def test_an_encoder_decoder_learns_to_fill_in_spans() -> None:
    model = train(both(), Denoising(), span_batches(), num_steps=200)
    score = Denoising().score(model, span_batches(seed=1), 4)
    assert score["target_accuracy"] > 0.6
    assert score["loss_nats"] < 0.5 * math.log(NUM_SYMBOLS)


@pytest.mark.parametrize("name", ["spans", "ul2"])
def test_any_split_of_spans_is_the_step(name: str) -> None:
    assert_any_split_gives_the_same(Transformer(both()), Denoising(), span_batches(name, batch_size=7))


def test_any_split_of_masked_rows_is_the_step() -> None:
    assert_any_split_gives_the_same(Transformer(modern()), Masked(), masked_batches(batch_size=7))


def test_any_split_of_pairs_is_the_step() -> None:
    batches = PairBatches(language(MASKED.eos_id), MASKED, batch_size=7, seq_len=32, seed=0)
    assert_any_split_gives_the_same(Transformer(paired()), MaskedWithNextSentence(weight=5.0), batches)


@pytest.mark.parametrize("shape", ["modern", "pair", "spans"])
def test_the_first_loss_is_that_of_knowing_nothing(shape: str) -> None:
    torch.manual_seed(0)
    if shape == "modern":
        loss = Masked()(Transformer(modern()), masked_batches().rows(0, range(16)))
        expected = math.log(MASKED.vocab_size)
    elif shape == "pair":
        batches = PairBatches(language(MASKED.eos_id), MASKED, batch_size=16, seq_len=32, seed=0)
        batch = batches.rows(0, range(16))
        loss = MaskedWithNextSentence(weight=8.0)(Transformer(paired()), batch)
        expected = math.log(MASKED.vocab_size) + 8.0 * 16 * math.log(2) / len(batch.masked.targets_N)
    else:
        loss = Denoising()(Transformer(both()), span_batches().rows(0, range(16)))
        expected = math.log(DENOISED.vocab_size)
    assert float(loss.loss_nats.detach()) / loss.num_tokens == pytest.approx(expected, rel=0.02)


def test_the_loss_is_the_cross_entropy_of_the_models_own_answers() -> None:
    torch.manual_seed(0)
    model = Transformer(paired())
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.1 * torch.randn_like(weight))
    batch = masked_batches().rows(0, range(4))
    logits = model(batch.inputs_BT).flatten(0, 1)[batch.positions_N]
    expected = torch.nn.functional.cross_entropy(logits, batch.targets_N, reduction="sum")
    given = Masked()(model, batch)
    torch.testing.assert_close(given.loss_nats, expected, rtol=1e-5, atol=1e-4)
    assert given.num_tokens == len(batch.targets_N)
    figures = Masked().score(model, masked_batches(batch_size=4), 1)
    assert figures["loss_nats"] == pytest.approx(float(expected.detach()) / given.num_tokens, rel=1e-5)
    assert figures["masked_accuracy"] == pytest.approx(
        float((logits.argmax(-1) == batch.targets_N).float().mean())
    )


def test_another_shape_is_refused() -> None:
    decoder = Transformer(qwen3.decoder(vocab_size=MASKED.vocab_size, num_kv_heads=1, head_dim=16, **SIZES))
    with pytest.raises(InputError, match="trains an encoder, not this decoder"):
        Masked()(decoder, masked_batches().rows(0, range(1)))
    with pytest.raises(InputError, match="trains an encoder-decoder, not this encoder"):
        Denoising()(Transformer(modern()), span_batches().rows(0, range(1)))
    lstm = LstmModel(LstmConfig(vocab_size=MASKED.vocab_size, d_model=8, d_hidden=8, num_layers=1))
    with pytest.raises(InputError, match="trains an encoder, not this LstmModel"):
        Masked()(lstm, masked_batches().rows(0, range(1)))
    batches = PairBatches(language(MASKED.eos_id), MASKED, batch_size=1, seq_len=32, seed=0)
    with pytest.raises(InputError, match="no next_sentence"):
        MaskedWithNextSentence(weight=1.0)(Transformer(modern()), batches.rows(0, range(1)))


def test_rows_without_a_hidden_token_have_no_loss() -> None:
    model = Transformer(paired())
    row = masked_batches().rows(0, range(1))
    none = torch.zeros(0, dtype=torch.int64)
    loss = Masked()(model, MaskedBatch(inputs_BT=row.inputs_BT, positions_N=none, targets_N=none))
    loss.loss_nats.backward()
    assert float(loss.loss_nats.detach()) == loss.num_tokens == 0
    assert all(not p.grad.any() for p in model.parameters() if p.grad is not None)
