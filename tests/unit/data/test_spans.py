"""Spans that were taken out can be put back; lengths, shares and mixtures are as they say."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from objectives_made import stored, tokenizer_for

from yanmo.data.spans import DENOISERS, Denoiser, SpanBatch, SpanBatches, row_tokens
from yanmo.data.token_store import TokenStore
from yanmo.errors import InputError
from yanmo.tokenizers.purpose import Purpose

TOKENIZER = tokenizer_for(Purpose.DENOISING)
SENTINELS = list(TOKENIZER.sentinel_ids)


def store_of(length: int = 6000) -> TokenStore:
    return stored([np.random.default_rng(0).integers(TOKENIZER.num_text_ids, size=length)], TOKENIZER.eos_id)


def batches_of(
    name: str, *, seq_len: int = 64, size: int = 16, seed: int = 0, store: TokenStore | None = None
) -> SpanBatches:
    return SpanBatches(
        store or store_of(),
        TOKENIZER,
        denoisers=DENOISERS[name],
        batch_size=size,
        seq_len=seq_len,
        seed=seed,
    )


def rows_of(batch: SpanBatch) -> list[tuple[list[int], list[int], list[int]]]:
    """Source, decoder's input and target of each row."""
    lengths = list(batch.source_segments.lengths), list(batch.target_segments.lengths)
    parts = [
        [part.tolist() for part in packed[0].split(sizes)]
        for packed, sizes in (
            (batch.sources_1S, lengths[0]),
            (batch.inputs_1T, lengths[1]),
            (batch.targets_1T, lengths[1]),
        )
    ]
    return list(zip(*parts, strict=True))


def restore(source: list[int], target: list[int]) -> tuple[list[int], list[tuple[int, int]]]:
    """The text, and place and length of each span, from a source and its target."""
    assert source[-1] == target[-1] == TOKENIZER.eos_id
    spans: dict[int, list[int]] = {}
    for token in target[:-1]:
        if token in SENTINELS:
            assert token == SENTINELS[len(spans)]
            spans[token] = []
        else:
            spans[list(spans)[-1]].append(token)
    text: list[int] = []
    places = []
    for token in source[:-1]:
        if token in spans:
            places.append((len(text), len(spans[token])))
        text += spans.get(token, [token])
    assert len(places) == len(spans) and all(spans.values())
    return text, places


@pytest.mark.parametrize("name", sorted(DENOISERS))
def test_the_text_can_be_put_back_together(name: str) -> None:
    store = store_of()
    stream = store.tokens.tolist()
    length = row_tokens(DENOISERS[name], 64)
    windows = {tuple(stream[start : start + length]) for start in range(len(stream))}
    batches = batches_of(name, store=store)
    for step in range(10):
        for source, decoder, target in rows_of(batches.rows(step, range(16))):
            text, _ = restore(source, target)
            assert tuple(text) in windows
            assert decoder == [TOKENIZER.pad_id, *target[:-1]]
            assert len(source) <= 64 and len(target) <= 64


def test_span_corruption_has_its_share_and_lengths() -> None:
    lengths, starts, ends, taken = [], 0, 0, 0
    batches, num_rows = batches_of("spans", seq_len=128), 0
    for step in range(20):
        batch = batches.rows(step, range(16))
        assert set(batch.source_segments.lengths) == {128}
        assert len(set(batch.target_segments.lengths)) == 1
        for source, _, target in rows_of(batch):
            text, places = restore(source, target)
            taken += sum(length for _, length in places)
            lengths += [length for _, length in places]
            starts += places[0][0] == 0
            ends += sum(places[-1]) == len(text)
            num_rows += 1
    assert taken / (num_rows * len(text)) == pytest.approx(0.15, abs=0.005)
    assert np.mean(lengths) == pytest.approx(3.0, abs=0.1)
    assert {1, 2, 3, 4, 5} <= set(lengths)
    # A text may begin and end with a span, as often as chance has it.
    assert 0 < starts < num_rows / 4 and 0 < ends < num_rows / 4


def test_the_mixture_draws_each_denoiser_as_often() -> None:
    batches = batches_of("ul2", seq_len=128)
    length = row_tokens(DENOISERS["ul2"], 128)
    kinds = {denoiser.lengths(length): denoiser for denoiser in DENOISERS["ul2"]}
    assert len(kinds) == 7
    seen: Counter[Denoiser] = Counter()
    for step in range(100):
        batch = batches.rows(step, range(16))
        pairs = list(zip(batch.source_segments.lengths, batch.target_segments.lengths, strict=True))
        assert pairs == sorted(pairs)  # equal lengths are neighbours
        seen.update(kinds[pair] for pair in pairs)
        for source, _, target in rows_of(batch):
            text, places = restore(source, target)
            if kinds[(len(source), len(target))].at_end:
                assert len(places) == 1 and sum(places[0]) == len(text)
    assert len(seen) == 7
    # Four standard deviations of 1,600 draws.
    assert all(count / 1600 == pytest.approx(1 / 7, abs=0.035) for count in seen.values())


def test_weights_decide_how_often() -> None:
    mixture = (Denoiser(weight=3.0), Denoiser(share=0.5))
    batches = SpanBatches(store_of(), TOKENIZER, denoisers=mixture, batch_size=16, seq_len=64, seed=0)
    longest = max(denoiser.lengths(row_tokens(mixture, 64))[1] for denoiser in mixture)
    lengths = [n for step in range(50) for n in batches.rows(step, range(16)).target_segments.lengths]
    assert lengths.count(longest) / len(lengths) == pytest.approx(0.25, abs=0.06)


@pytest.mark.parametrize("name", sorted(DENOISERS))
def test_any_order_and_any_split_of_rows_gives_the_same(name: str) -> None:
    store = store_of()
    straight = batches_of(name, store=store)
    whole = {step: sorted(rows_of(straight.rows(step, range(16)))) for step in range(30)}
    fresh = batches_of(name, store=store)
    for step in (29, 4, 17):
        parts = [fresh.rows(step, rows) for rows in (range(9, 16), range(9))]
        assert sorted(row for part in parts for row in rows_of(part)) == whole[step]
    other = batches_of(name, store=store, seed=1)
    assert sorted(rows_of(other.rows(4, range(16)))) != whole[4]


def test_every_token_is_seen_once_an_epoch() -> None:
    store = stored([np.arange(TOKENIZER.num_text_ids)], TOKENIZER.eos_id)
    batches = batches_of("spans", seq_len=20, size=1, store=store)
    steps = round(1 / batches.epochs(1))
    texts = [
        token
        for step in range(steps)
        for source, _, target in rows_of(batches.rows(step, range(1)))
        for token in restore(source, target)[0]
    ]
    assert len(texts) == len(set(texts)) > 250


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(InputError, match="no denoiser"):
        Denoiser(share=1.0)
    with pytest.raises(InputError, match="leave no text"):
        row_tokens((), 64)
    with pytest.raises(InputError, match="leave no text"):
        row_tokens(DENOISERS["spans"], 2)
    with pytest.raises(InputError, match="sentinels; the tokenizer has 0"):
        SpanBatches(store_of(), tokenizer_for(Purpose.CAUSAL), batch_size=1, seq_len=64, seed=0)
    with pytest.raises(InputError, match="176 spans a row"):
        SpanBatches(
            store_of(),
            TOKENIZER,
            denoisers=(Denoiser(share=0.5, mean_span=2.25),),
            batch_size=1,
            seq_len=int(512 * 1.118),
            seed=0,
        )


def test_packing_holds_what_the_batch_says() -> None:
    batch = batches_of("ul2").rows(0, range(16))
    assert batch.sources_1S.shape == (1, batch.source_segments.num_tokens)
    assert batch.inputs_1T.shape == batch.targets_1T.shape == (1, batch.target_segments.num_tokens)
    assert batch.sources_1S.dtype == batch.targets_1T.dtype == torch.int64
