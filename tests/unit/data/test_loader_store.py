from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import cast

import numpy as np
import pytest
from numpy.typing import NDArray

from yanmo.data import token_store
from yanmo.data.loader import Loader
from yanmo.data.token_store import TokenStore
from yanmo.errors import InputError
from yanmo.tokenizers.load import Tokenizer
from yanmo.tokenizers.train import fit_bpe

TEXTS = ["磨墨如病夫，把笔如壮士。", "Grind ink like an invalid, hold the brush like a warrior."] * 30


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return fit_bpe(TEXTS, 320)


def open_store(folder: Path, texts: list[str], tokenizer: Tokenizer, corpus: str = "a") -> TokenStore:
    return TokenStore.open_or_build(folder, texts, tokenizer, corpus_sha256=corpus, split="train")


def test_store_holds_every_document_behind_its_boundary(tmp_path: Path, tokenizer: Tokenizer) -> None:
    store = open_store(tmp_path / "t", TEXTS, tokenizer)
    assert store.num_documents == 60
    assert store.num_bytes == sum(len(text.encode()) for text in TEXTS)
    starts = np.flatnonzero(store.tokens == tokenizer.eos_id)
    assert len(starts) == 60 and starts[0] == 0
    pieces = np.split(store.tokens, starts[1:])
    assert [tokenizer.decode(piece[1:].tolist()) for piece in pieces] == TEXTS


def test_long_documents_are_encoded_a_few_at_a_time(
    tmp_path: Path, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(token_store, "_CHARACTERS_PER_BATCH", 100)
    sizes: list[int] = []

    class Counting:
        def __getattr__(self, name: str) -> object:
            return getattr(tokenizer, name)

        def encode_batch(self, texts: list[str]) -> list[NDArray[np.int64]]:
            sizes.append(sum(map(len, texts)))
            return tokenizer.encode_batch(texts)

    store = open_store(tmp_path / "few", TEXTS, cast(Tokenizer, Counting()))
    longest = max(map(len, TEXTS))
    assert len(sizes) > 10 and max(sizes) < 100 + longest and sum(sizes) == sum(map(len, TEXTS))
    monkeypatch.undo()
    np.testing.assert_array_equal(store.tokens, open_store(tmp_path / "all", TEXTS, tokenizer).tokens)


def test_store_is_reused_only_for_the_same_corpus_and_whole_files(
    tmp_path: Path, tokenizer: Tokenizer
) -> None:
    folder = tmp_path / "t"
    first = open_store(folder, TEXTS, tokenizer)

    def never() -> Iterator[str]:
        raise AssertionError("the store was made again")
        yield ""

    again = TokenStore.open_or_build(folder, never(), tokenizer, corpus_sha256="a", split="train")
    np.testing.assert_array_equal(again.tokens, first.tokens)
    other = open_store(folder, TEXTS[:10], tokenizer, corpus="b")
    assert other.num_documents == 10
    (folder / "tokens.bin").write_bytes(b"\0\0")
    assert open_store(folder, TEXTS, tokenizer, corpus="b").num_documents == 60


def test_each_epoch_visits_every_window_once_in_its_own_order() -> None:
    tokens = np.arange(1003, dtype=np.uint16)
    loader = Loader(tokens, batch_size=3, seq_len=10, seed=5)
    steps = 99 // 3
    epochs = []
    for epoch in range(2):
        rows = np.concatenate(
            [loader.rows(epoch * steps + step, range(3)).inputs_BT.numpy() for step in range(steps)]
        )
        assert len(np.unique(rows)) == rows.size == 990
        epochs.append(rows[:, 0])
    assert not np.array_equal(*epochs)
    batch = loader.rows(7, range(3))
    np.testing.assert_array_equal(batch.targets_BT[:, :-1], batch.inputs_BT[:, 1:])


def test_a_batch_depends_on_seed_and_step_alone() -> None:
    tokens = np.random.default_rng(0).integers(0, 500, 5000).astype(np.uint16)
    straight = Loader(tokens, batch_size=4, seq_len=16, seed=1)
    batches = [straight.rows(step, range(4)).inputs_BT.tolist() for step in range(200)]
    fresh = Loader(tokens, batch_size=4, seq_len=16, seed=1)
    for step in (199, 3, 120, 77):
        assert fresh.rows(step, range(4)).inputs_BT.tolist() == batches[step]
    assert Loader(tokens, batch_size=4, seq_len=16, seed=2).rows(0, range(4)).inputs_BT.tolist() != batches[0]


def test_text_shorter_than_a_window_is_refused() -> None:
    with pytest.raises(InputError, match="fewer than one row"):
        Loader(np.zeros(16, np.uint16), batch_size=1, seq_len=16, seed=0)
    shortest = Loader(np.zeros(17, np.uint16), batch_size=2, seq_len=16, seed=0)
    assert shortest.rows(3, range(2)).inputs_BT.shape == (2, 16)
