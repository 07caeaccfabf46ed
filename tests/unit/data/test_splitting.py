import numpy as np
import pytest
import torch

from yanmo.data.loader import Loader
from yanmo.data.splitting import SplitRows, Splitter, can_split
from yanmo.errors import InputError
from yanmo.tokenizers.bpe import fit_bpe
from yanmo.tokenizers.char import fit_char
from yanmo.tokenizers.load import Tokenizer
from yanmo.tokenizers.unigram import fit_unigram

ENGLISH = "the grinding of the ink stone and the thinking of the other thing. " * 40
CHINESE = "研墨磨成而后书，研墨的人磨墨，磨墨的人研墨。" * 40


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return fit_bpe([ENGLISH, CHINESE], 400)


def text_of(tokenizer: Tokenizer, tokens: np.ndarray) -> bytes:
    return b"".join(tokenizer.token_bytes(int(token)) for token in tokens)


@pytest.mark.parametrize("text", [ENGLISH, CHINESE])
def test_taken_apart_a_text_stays_the_same_text_in_more_tokens(tokenizer: Tokenizer, text: str) -> None:
    tokens = np.array(tokenizer.encode(text))
    split = Splitter(tokenizer, share=0.3, num_steps=10).split(tokens, 0, np.random.default_rng(0))
    assert len(split) > 1.2 * len(tokens)
    assert text_of(tokenizer, split) == text.encode()


def test_no_character_is_taken_apart(tokenizer: Tokenizer) -> None:
    tokens = np.array(tokenizer.encode(CHINESE))
    split = Splitter(tokenizer, share=0.99, num_steps=1000).split(tokens, 0, np.random.default_rng(0))
    assert len(split) > 0.9 * len(CHINESE)
    for token in split:
        tokenizer.token_bytes(int(token)).decode()


def test_so_many_merges_are_undone_as_the_share_says(tokenizer: Tokenizer) -> None:
    tokens = np.array(tokenizer.encode(ENGLISH))
    merged = [token for token in tokens if len(tokenizer.token_bytes(int(token))) > 1][:200]
    splitter = Splitter(tokenizer, share=0.2, num_steps=100)
    kept = [
        len(splitter.split(np.array([token]), 0, np.random.default_rng(i))) == 1
        for i, token in enumerate(merged)
    ]
    assert 0.7 < np.mean(kept) < 0.9


def test_less_is_taken_apart_towards_the_end_and_nothing_after_it(tokenizer: Tokenizer) -> None:
    tokens = np.array(tokenizer.encode(ENGLISH))
    splitter = Splitter(tokenizer, share=0.3, num_steps=10)
    lengths = [len(splitter.split(tokens, step, np.random.default_rng(1))) for step in (0, 5, 9, 10, 11)]
    assert lengths == sorted(lengths, reverse=True)
    assert lengths[0] > lengths[2] > len(tokens)
    assert lengths[3:] == [len(tokens)] * 2


def test_rows_keep_their_length_and_depend_on_seed_step_and_row_alone(tokenizer: Tokenizer) -> None:
    stream = np.array(tokenizer.encode(ENGLISH), np.uint16)
    loader = Loader(stream, batch_size=4, seq_len=16, seed=5)
    splitter = Splitter(tokenizer, share=0.3, num_steps=100)
    batches = SplitRows(loader, splitter, seed=5)
    whole = batches.rows(3, range(4))
    assert whole.inputs_BT.shape == whole.targets_BT.shape == (4, 16)
    assert torch.equal(whole.inputs_BT[:, 1:], whole.targets_BT[:, :-1])
    part = SplitRows(loader, splitter, seed=5).rows(3, range(2, 4))
    assert torch.equal(part.inputs_BT, whole.inputs_BT[2:])
    assert not torch.equal(whole.inputs_BT, SplitRows(loader, splitter, seed=6).rows(3, range(4)).inputs_BT)
    plain = loader.rows(3, range(4))
    for row in range(4):
        text = text_of(tokenizer, plain.inputs_BT[row].numpy())
        assert text.startswith(text_of(tokenizer, whole.inputs_BT[row].numpy()))


def test_what_has_no_merges_cannot_be_taken_apart(tokenizer: Tokenizer) -> None:
    assert can_split(tokenizer)
    assert not can_split(fit_char([CHINESE], 300))
    unigram = fit_unigram([ENGLISH], 290)
    assert not can_split(unigram)
    with pytest.raises(InputError, match="has no merges to undo"):
        Splitter(unigram, share=0.1, num_steps=10)
