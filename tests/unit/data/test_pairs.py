"""Pairs of texts: half of them follow, and what is said of them is true."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from objectives_made import CHINESE, ENGLISH, stored, tokenizer_for

from yanmo.data.masking import MaskingConfig
from yanmo.data.pairs import PairBatch, PairBatches
from yanmo.data.token_store import TokenStore
from yanmo.errors import InputError
from yanmo.tokenizers.purpose import Purpose

TOKENIZER = tokenizer_for(Purpose.MASKED)
LENGTH = 35
EDGE = TOKENIZER.eos_id


def numbered(num_documents: int, length: int) -> TokenStore:
    """Documents in which each token tells where it stands: no two neighbours occur twice."""
    places = np.arange(num_documents * length)
    tokens = np.stack((places // 300, places % 300), 1).reshape(num_documents, -1)
    return stored(tokens, EDGE)


def batches_of(store: TokenStore, *, size: int = 64, seed: int = 0) -> PairBatches:
    return PairBatches(store, TOKENIZER, batch_size=size, seq_len=LENGTH, seed=seed)


def texts_of(batch: PairBatch) -> list[tuple[list[int], list[int]]]:
    tokens = batch.masked.inputs_BT.clone()
    tokens.view(-1)[batch.masked.positions_N] = batch.masked.targets_N
    pairs = []
    for row, types in zip(tokens, batch.types_BT, strict=True):
        first, second = row[types == 0].tolist(), row[types == 1].tolist()
        assert first[0] == TOKENIZER.cls_id and first[-1] == second[-1] == TOKENIZER.sep_id
        assert len(first) + len(second) == LENGTH
        pairs.append((first[1:-1], second[:-1]))
    return pairs


def places_of(store: TokenStore) -> dict[tuple[int, ...], int]:
    """Where each four neighbouring tokens stand, which no others are equal to."""
    stream = store.tokens.tolist()
    return {tuple(stream[i : i + 4]): i for i in range(len(stream) - 3)}


@pytest.mark.parametrize(("num_documents", "length"), [(12, 100), (1, 1200), (150, 6)])
def test_half_of_the_pairs_follow_and_no_other_does(num_documents: int, length: int) -> None:
    store = numbered(num_documents, length)
    places, starts = places_of(store), store.document_starts()
    batches = batches_of(store)
    unrelated = []
    for step in range(10):
        batch = batches.rows(step, range(64))
        for (first, second), label in zip(texts_of(batch), batch.unrelated_B.tolist(), strict=True):
            begin, then = places[tuple(first[:4])], places[tuple(second[:4])]
            end = begin + len(first)
            assert label == (then != end)
            assert EDGE not in (first[-1], second[0])
            if label:
                own, other = np.searchsorted(starts, [end - 1, then], side="right")
                assert own != other or num_documents == 1
                # Nothing of the text from elsewhere is in the row's own stretch.
                assert then + len(second) <= begin or then >= end + len(second)
            unrelated.append(label)
    # Four standard deviations.
    assert np.mean(unrelated) == pytest.approx(0.5, abs=4 * (0.25 / len(unrelated)) ** 0.5)


@pytest.mark.parametrize("texts", [ENGLISH, CHINESE], ids=["English", "Chinese"])
def test_texts_begin_where_sentences_end(texts: list[str]) -> None:
    ids = TOKENIZER.encode_batch(texts)
    batches = PairBatches(stored(ids, EDGE), TOKENIZER, batch_size=64, seq_len=99, seed=0)
    good = 0
    for step in range(4):
        batch = batches.rows(step, range(64))
        tokens = batch.masked.inputs_BT.clone()
        tokens.view(-1)[batch.masked.positions_N] = batch.masked.targets_N
        for row, types in zip(tokens, batch.types_BT, strict=True):
            before, behind = (TOKENIZER.decode(row[types == kind].tolist()) for kind in (0, 1))
            # In Chinese the end of a sentence may be one token with the word behind it.
            good += before.rstrip(' ”"').endswith((".", "!", "?", "。", "？", "！", "\n"))
            good += behind.startswith(("。", "？", "！"))
    assert good > 0.95 * 256


def test_any_order_and_any_split_of_rows_gives_the_same() -> None:
    store = numbered(12, 100)
    whole = {step: batches_of(store).rows(step, range(64)) for step in (0, 5, 40)}
    fresh = batches_of(store)
    for step in (40, 0, 5):
        parts = [fresh.rows(step, rows) for rows in (range(7), range(7, 64))]
        for name in ("types_BT", "unrelated_B"):
            joined = torch.cat([getattr(part, name) for part in parts])
            assert torch.equal(joined, getattr(whole[step], name))
        joined = torch.cat([part.masked.inputs_BT for part in parts])
        assert torch.equal(joined, whole[step].masked.inputs_BT)
    assert not torch.equal(batches_of(store, seed=1).rows(5, range(64)).types_BT, whole[5].types_BT)


def test_predictions_a_row_are_what_was_promised() -> None:
    batches = batches_of(numbered(12, 100))
    seen = [len(batches.rows(step, range(64)).masked.targets_N) / 64 for step in range(10)]
    # Tokens between documents cannot be hidden, so there are a few fewer.
    assert np.mean(seen) == pytest.approx(0.3 * (LENGTH - 3), rel=0.03)


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(InputError, match="too few for pairs"):
        batches_of(numbered(1, 60))
    with pytest.raises(InputError, match="where words begin"):
        PairBatches(
            numbered(12, 100),
            TOKENIZER,
            config=MaskingConfig(whole_words=True),
            batch_size=1,
            seq_len=LENGTH,
            seed=0,
        )
