"""The sliding window, the batches, the sums and the intervals, on models that can be seen through."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from yanmo.errors import InputError
from yanmo.evaluation.scoring import Tally, evaluate_texts, sequence_losses
from yanmo.models.base import Session
from yanmo.models.ngram.model import fit_ngram


class ContextLength:
    """The loss of a token is 1000 times its id plus how many tokens the model saw before it."""

    vocab_size = 300

    def __init__(self, max_seq_len: int | None) -> None:
        self.max_seq_len = max_seq_len
        self.shapes: list[tuple[int, int]] = []

    def start(self, batch_size: int = 1) -> Session:
        raise NotImplementedError

    def token_losses(self, tokens_BT: Tensor) -> Tensor:
        rows, columns = tokens_BT.shape
        assert self.max_seq_len is None or columns <= self.max_seq_len
        self.shapes.append((rows, columns))
        return tokens_BT[:, 1:].float() * 1000 + torch.arange(1, columns).float()


class Bytes:
    """A byte is a token; 256 ends a text."""

    eos_id = 256
    vocab_size = 257

    def encode_batch(self, texts: Sequence[str]) -> list[NDArray[np.int64]]:
        return [np.frombuffer(text.encode(), np.uint8).astype(np.int64) for text in texts]

    def token_bytes(self, token_id: int) -> bytes:
        return bytes([token_id]) if token_id < 256 else b""


@pytest.mark.parametrize("max_seq_len", [2, 3, 8, 16, 100])
@pytest.mark.parametrize("stride", [None, 1, 3, 7])
def test_every_token_is_scored_once_with_enough_before_it(max_seq_len: int, stride: int | None) -> None:
    if stride is not None and stride >= max_seq_len:
        return
    rng = np.random.default_rng(0)
    sequences = [rng.integers(0, 300, length) for length in (1, 2, 5, 8, 9, 17, 40, 16, 3, 101)]
    losses = list(sequence_losses(ContextLength(max_seq_len), sequences, stride=stride, batch_tokens=32))
    least = max_seq_len - (stride or max(1, max_seq_len // 2))
    for sequence, row in zip(sequences, losses, strict=True):
        ids, seen = np.divmod(row.astype(np.int64), 1000)
        assert np.array_equal(ids, sequence[1:])
        before = np.arange(1, len(sequence))
        assert np.all(seen >= np.minimum(before, least)) and np.all(seen <= before)


def test_a_model_without_limit_sees_everything() -> None:
    (row,) = sequence_losses(ContextLength(None), [np.arange(50)])
    assert (row.astype(int) % 1000).tolist() == list(range(1, 50))


def test_batches_keep_their_budget_and_hardly_pad() -> None:
    model = ContextLength(64)
    rng = np.random.default_rng(1)
    sequences = [rng.integers(0, 300, length) for length in rng.integers(2, 64, 500)]
    list(sequence_losses(model, sequences, batch_tokens=512))
    assert all(rows * columns <= 512 for rows, columns in model.shapes)
    computed, needed = sum(r * c for r, c in model.shapes), sum(map(len, sequences))
    assert computed < 1.15 * needed


def test_results_do_not_depend_on_the_batches() -> None:
    tokenizer = Bytes()
    texts = ["To be, or not to be, that is the question. " * 4, "天地玄黄", "x", "", "abc" * 40]
    model = fit_ngram(tokenizer.encode_batch(texts), order=3, vocab_size=257, eos_id=256)
    one = evaluate_texts(model, tokenizer, texts, batch_tokens=1)
    many = evaluate_texts(model, tokenizer, texts, batch_tokens=100_000)
    assert one.loss_nats == pytest.approx(many.loss_nats, rel=1e-6)


def test_the_sums_by_hand() -> None:
    tokenizer = Bytes()
    model = fit_ngram(tokenizer.encode_batch(["abab", "天"]), order=2, vocab_size=257, eos_id=256)
    score = evaluate_texts(model, tokenizer, ["ab", "", "天"])
    expected = 0.0
    for text in ("ab", "天"):
        ids = [256, *text.encode()]
        # Given the end of text before it, and without the end of text after it.
        expected -= sum(float(model.next_scores(ids[:i])[ids[i]]) for i in range(1, len(ids)))
    assert score.loss_nats == pytest.approx(expected, rel=1e-5)
    assert (score.num_tokens, score.num_bytes, score.num_documents) == (5, 5, 2)
    assert score.bits_per_byte == pytest.approx(expected / math.log(2) / 5, rel=1e-5)
    assert score.perplexity == pytest.approx(math.exp(expected / 5), rel=1e-5)
    assert set(score.to_json()) >= {"bits_per_byte", "perplexity", "num_bytes", "num_tokens", "interval"}


class Lossy(Bytes):
    """Drops every byte that is not ASCII."""

    def encode_batch(self, texts: Sequence[str]) -> list[NDArray[np.int64]]:
        return [row[row < 128] for row in super().encode_batch(texts)]


def test_bytes_are_those_of_the_text_whatever_the_tokenizer_does(capsys: pytest.CaptureFixture[str]) -> None:
    model = fit_ngram([[97, 98]], order=2, vocab_size=257, eos_id=256)
    assert evaluate_texts(model, Lossy(), ["a天b"]).num_bytes == 5
    assert "changes some texts" in capsys.readouterr().err
    with pytest.raises(InputError, match="makes no token"):
        evaluate_texts(model, Lossy(), ["天"])


@pytest.mark.parametrize("stride", [0, -1, 8, 100])
def test_a_stride_out_of_range_is_refused(stride: int) -> None:
    with pytest.raises(InputError, match="choose 1 to 7"):
        list(sequence_losses(ContextLength(8), [np.arange(5)], stride=stride))


def test_no_text_is_refused() -> None:
    model = fit_ngram([[97]], order=2, vocab_size=257, eos_id=256)
    for texts in ([], ["", ""]):
        with pytest.raises(InputError, match="no text to score"):
            evaluate_texts(model, Bytes(), texts)


def tally_of(num_documents: int, num_tokens: int, seed: int) -> Tally:
    """Tokens of one byte and independent losses of mean 1 nat and deviation 1."""
    rng = np.random.default_rng(seed)
    tally = Tally()
    for _ in range(num_documents):
        tally.add(rng.exponential(1.0, num_tokens), np.ones(num_tokens, np.int64))
    return tally


@pytest.mark.parametrize(("num_documents", "num_tokens"), [(1, 20_000), (3, 5_000), (200, 100)])
def test_intervals_hold_the_truth_about_as_often_as_they_say(num_documents: int, num_tokens: int) -> None:
    truth, hits, widths = 1 / math.log(2), 0, []
    for seed in range(40):
        low, high = tally_of(num_documents, num_tokens, seed).score().interval
        hits += low <= truth <= high
        widths.append(high - low)
    assert hits >= 32
    expected = 2 * 1.96 / math.sqrt(num_documents * num_tokens) / math.log(2)
    assert np.mean(widths) == pytest.approx(expected, rel=0.25)


def test_interval_is_seeded_and_holds_the_value() -> None:
    tally = tally_of(2, 3000, 0)
    score = tally.score(seed=3)
    assert score.interval[0] < score.bits_per_byte < score.interval[1]
    assert score.interval == tally.score(seed=3).interval != tally.score(seed=4).interval
