"""Hidden tokens: how many, which, what becomes of them, and that a row is a function of (seed, step, row)."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from objectives_made import CHINESE, ENGLISH, stored, tokenizer_for

from yanmo.data.masking import MaskedBatch, MaskedBatches, Masker, MaskingConfig
from yanmo.data.token_store import TokenStore
from yanmo.errors import InputError
from yanmo.tokenizers.load import Tokenizer
from yanmo.tokenizers.purpose import Purpose

TOKENIZER = tokenizer_for(Purpose.MASKED)
SPECIAL = set(TOKENIZER.special_ids.values())
LENGTH = 64


def original(batch: MaskedBatch) -> torch.Tensor:
    """The rows before anything was hidden."""
    tokens = batch.inputs_BT.clone()
    tokens.view(-1)[batch.positions_N] = batch.targets_N
    return tokens


def random_store(num_documents: int = 40, length: int = 400) -> TokenStore:
    rng = np.random.default_rng(0)
    documents = [rng.integers(TOKENIZER.num_text_ids, size=length) for _ in range(num_documents)]
    return stored(documents, TOKENIZER.eos_id)


def worded_store(folder: Path, texts: list[str], tokenizer: Tokenizer = TOKENIZER) -> TokenStore:
    return TokenStore.open_or_build(
        folder / "tokens", texts, tokenizer, corpus_sha256="0", split="train", words=True
    )


def batches_of(store: TokenStore, config: MaskingConfig, *, size: int = 32, seed: int = 0) -> MaskedBatches:
    return MaskedBatches(store, TOKENIZER, config=config, batch_size=size, seq_len=LENGTH, seed=seed)


@pytest.mark.parametrize("share", [0.15, 0.3])
def test_share_and_fates_are_as_configured(share: float) -> None:
    batches = batches_of(random_store(), MaskingConfig(share=share))
    num_chosen = num_masked = num_kept = num_places = 0
    for step in range(20):
        batch = batches.rows(step, range(32))
        shown = batch.inputs_BT.view(-1)[batch.positions_N]
        num_chosen += len(shown)
        num_masked += int((shown == TOKENIZER.mask_id).sum())
        num_kept += int((shown == batch.targets_N).sum())
        num_places += int((~torch.isin(original(batch), torch.tensor(sorted(SPECIAL)))).sum())
    assert num_chosen / num_places == pytest.approx(share, rel=0.01)
    # Three standard deviations of a binomial count.
    assert num_masked / num_chosen == pytest.approx(0.8, abs=3 * (0.16 / num_chosen) ** 0.5)
    assert num_kept / num_chosen == pytest.approx(0.1 + 0.1 / 384, abs=3 * (0.09 / num_chosen) ** 0.5)


def test_rows_are_framed_and_no_special_token_is_hidden_or_drawn() -> None:
    batches = batches_of(random_store(length=20), MaskingConfig(share=0.5, random_share=1.0, mask_share=0.0))
    drawn = set()
    for step in range(20):
        batch = batches.rows(step, range(32))
        assert (batch.inputs_BT[:, 0] == TOKENIZER.cls_id).all()
        assert (batch.inputs_BT[:, -1] == TOKENIZER.sep_id).all()
        # Documents of 20 tokens: a row holds about three of the tokens between them.
        assert (batch.inputs_BT == TOKENIZER.sep_id).sum() > 3 * 32
        assert not set(batch.targets_N.tolist()) & SPECIAL
        drawn |= set(batch.inputs_BT.view(-1)[batch.positions_N].tolist())
    assert not drawn & SPECIAL
    assert len(drawn) > 0.95 * TOKENIZER.num_text_ids


def test_rows_are_the_text_of_the_store() -> None:
    store = stored([np.arange(380) for _ in range(5)], TOKENIZER.eos_id)
    batches = batches_of(store, MaskingConfig())
    rows = original(batches.rows(2, range(32)))[:, 1:-1]
    stream = store.tokens.tolist()
    text = {tuple(stream[start : start + LENGTH - 2]) for start in range(len(stream))}
    assert all(tuple(row) in text for row in rows.tolist())


def test_any_order_and_any_split_of_rows_gives_the_same() -> None:
    store = random_store()
    straight = batches_of(store, MaskingConfig())
    steps = {step: straight.rows(step, range(32)) for step in range(60)}
    fresh = batches_of(store, MaskingConfig())
    for step in (59, 3, 30):
        pieces = [fresh.rows(step, rows) for rows in (range(20, 32), range(1), range(1, 20))]
        joined = torch.cat([pieces[1].inputs_BT, pieces[2].inputs_BT, pieces[0].inputs_BT])
        assert torch.equal(joined, steps[step].inputs_BT)
        targets = torch.cat([pieces[1].targets_N, pieces[2].targets_N, pieces[0].targets_N])
        assert torch.equal(targets, steps[step].targets_N)
    other = batches_of(store, MaskingConfig(), seed=1).rows(3, range(32))
    assert not torch.equal(other.inputs_BT, steps[3].inputs_BT)


def test_places_are_new_in_every_epoch() -> None:
    store = stored([np.arange(LENGTH - 3)], TOKENIZER.eos_id)
    batches = batches_of(store, MaskingConfig(), size=1)
    assert batches.epochs(5) == 5
    places = {tuple(batches.rows(step, range(1)).positions_N.tolist()) for step in range(30)}
    assert len(places) == 30


@pytest.mark.parametrize("texts", [ENGLISH, CHINESE], ids=["English", "Chinese"])
def test_whole_words_are_hidden_as_one(tmp_path: Path, texts: list[str]) -> None:
    store = worded_store(tmp_path, texts)
    starts = store.word_starts(0, store.num_tokens)
    config = MaskingConfig(share=0.3, whole_words=True)
    batches = batches_of(store, config)
    stream = torch.from_numpy(store.tokens.astype(np.int64))
    words = torch.from_numpy(np.cumsum(starts))
    num_long = num_hidden = num_places = 0
    for step in range(10):
        batch = batches.rows(step, range(32))
        hidden = torch.zeros(batch.inputs_BT.numel(), dtype=torch.bool)
        hidden[batch.positions_N] = True
        for row, is_hidden, shown in zip(original(batch), hidden.view(32, -1), batch.inputs_BT, strict=True):
            (place,) = torch.where((stream.unfold(0, LENGTH - 2, 1) == row[1:-1]).all(1))
            word_of = words[place[0] : place[0] + LENGTH - 2]
            is_hidden, masked = is_hidden[1:-1], (shown == TOKENIZER.mask_id)[1:-1]
            for word in word_of.unique():
                whole = is_hidden[word_of == word]
                assert whole.all() or not whole.any()
                # What becomes of a word becomes of all of it.
                fate = masked[word_of == word]
                assert fate.all() or not fate.any()
                num_long += len(whole) > 1
            num_hidden += int(is_hidden.sum())
            num_places += int((row[1:-1] != TOKENIZER.sep_id).sum())
    assert num_long > 1000
    assert num_hidden / num_places == pytest.approx(0.3, abs=0.02)


def test_words_of_the_store_are_words_of_the_text(tmp_path: Path) -> None:
    pytest.importorskip("rjieba", reason="it cuts Chinese into words")
    texts = ["Unbelievable storytellers, 我们在南京市长江大桥上跑步。", "龘龘 ok"]
    # So small that hardly a token is more than a character, and most Chinese ones are less.
    tokenizer = tokenizer_for(Purpose.MASKED, 300)
    store = worded_store(tmp_path, texts, tokenizer)
    edges = [*np.flatnonzero(store.word_starts(0, store.num_tokens)), store.num_tokens]
    words = [tokenizer.decode(store.tokens[start:end].tolist()) for start, end in itertools.pairwise(edges)]
    # Of the token between documents nothing is left; a comma may begin a token of its own or follow one.
    assert [word.strip(" ,。") for word in words if word.strip(" ,。")] == [
        "Unbelievable",
        "storytellers",
        "我们",
        "在",
        "南京市",
        "长江大桥",
        "上",
        "跑步",
        "龘",
        "龘",
        "ok",
    ]


def test_bits_are_those_of_their_tokens_wherever_a_window_begins(tmp_path: Path) -> None:
    store = worded_store(tmp_path, ENGLISH[:3] + CHINESE[:3])
    whole = store.word_starts(0, store.num_tokens)
    assert len(whole) == store.num_tokens and 0.2 < whole.mean() < 0.9
    for start in range(20):
        np.testing.assert_array_equal(store.word_starts(start, 21), whole[start : start + 21])
    assert whole[store.document_starts()].all()


def test_a_store_without_words_is_made_again_where_they_are_asked_for(tmp_path: Path) -> None:
    def built(words: bool) -> TokenStore:
        return TokenStore.open_or_build(
            tmp_path / "t", ENGLISH, TOKENIZER, corpus_sha256="0", split="train", words=words
        )

    plain = built(False)
    assert plain.word_bits is None
    with pytest.raises(InputError, match="where words begin"):
        batches_of(plain, MaskingConfig(whole_words=True))
    assert not built(True).word_starts(0, 200).all()
    assert not (built(False).word_starts(0, 200) == 0).any()


def test_words_of_several_tokens_meet_the_share_on_average() -> None:
    masker = Masker(TOKENIZER, MaskingConfig(share=0.25, whole_words=True))
    tokens = np.full((2000, 18), 65)
    tokens[:, 0], tokens[:, -1] = masker.cls_id, masker.sep_id
    begins = np.ones_like(tokens, bool)
    begins[:, 2:16] = np.arange(2, 16) % 3 == 1  # five words of three tokens and one of one
    batch = masker.hide(tokens, begins, [np.random.default_rng([1, row]) for row in range(2000)])
    chosen = np.zeros(tokens.size, bool)
    chosen[batch.positions_N.numpy()] = True
    by_row = chosen.reshape(tokens.shape).sum(1)
    assert set(by_row) == {3, 4, 6}
    assert by_row.mean() == pytest.approx(0.25 * 16, rel=0.03)


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(InputError, match="between 0 and 1"):
        MaskingConfig(share=0.0)
    with pytest.raises(InputError, match="0 to 1 together"):
        MaskingConfig(mask_share=0.9, random_share=0.2)
    with pytest.raises(InputError, match="fewer than one row"):
        batches_of(stored([[1, 2, 3]], TOKENIZER.eos_id), MaskingConfig())
    causal = tokenizer_for(Purpose.CAUSAL)
    with pytest.raises(InputError, match=r"no \[CLS\]"):
        MaskedBatches(random_store(), causal, batch_size=1, seq_len=LENGTH, seed=0)


def test_a_row_without_text_hides_nothing() -> None:
    masker = Masker(TOKENIZER, MaskingConfig())
    tokens = np.full((2, 8), masker.sep_id)
    tokens[1, 3] = 65
    begins = np.ones_like(tokens, bool)
    batch = masker.hide(tokens, begins, [np.random.default_rng(row) for row in range(2)])
    assert batch.positions_N.tolist() == [8 + 3] and batch.targets_N.tolist() == [65]
