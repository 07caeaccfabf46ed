"""Special tokens of trained tokenizers: those that an objective needs, and none that it does not."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from corpus_made import prose
from objectives_made import CHINESE, ENGLISH, tokenizer_for

from yanmo.cli.main import run as run_cli
from yanmo.corpus.build import build_corpus
from yanmo.corpus.store import Corpus
from yanmo.errors import InputError
from yanmo.tokenizers.bpe import fit_bpe
from yanmo.tokenizers.load import Tokenizer
from yanmo.tokenizers.purpose import NUM_SENTINELS, SPECIALS, Purpose
from yanmo.tokenizers.train import prepare_tokenizer
from yanmo.tokenizers.words import continues, token_word_starts


def again(tokenizer: Tokenizer, folder: Path) -> Tokenizer:
    tokenizer.save(folder)
    return Tokenizer.load(folder)


@pytest.mark.parametrize("is_saved", [False, True])
def test_a_masked_tokenizer_has_its_roles_and_frames_texts(tmp_path: Path, is_saved: bool) -> None:
    tokenizer = tokenizer_for(Purpose.MASKED)
    tokenizer = again(tokenizer, tmp_path) if is_saved else tokenizer
    named = {tokenizer.named_ids[f"{role}_token"] for role in ("pad", "unk", "cls", "sep", "mask")}
    assert named == set(tokenizer.special_ids.values()) == set(range(415, 420))
    assert tokenizer.eos_id == tokenizer.sep_id
    assert tokenizer.bos_id is None and tokenizer.chat_template is None
    text = tokenizer.encode("[MASK] you")
    assert tokenizer.mask_id not in text and tokenizer.decode(text) == "[MASK] you"
    framed = tokenizer.encode_with_specials("跑步", "you")
    first, second = tokenizer.encode("跑步"), tokenizer.encode("you")
    cls, sep = tokenizer.cls_id, tokenizer.sep_id
    assert framed.ids == [cls, *first, sep, *second, sep]
    assert framed.type_ids == [0] * (len(first) + 2) + [1] * (len(second) + 1)


@pytest.mark.parametrize("is_saved", [False, True])
def test_a_denoising_tokenizer_has_sentinels_in_order(tmp_path: Path, is_saved: bool) -> None:
    tokenizer = tokenizer_for(Purpose.DENOISING)
    tokenizer = again(tokenizer, tmp_path) if is_saved else tokenizer
    assert len(tokenizer.sentinel_ids) == NUM_SENTINELS == 100
    assert (
        tokenizer.decode(tokenizer.sentinel_ids[:2], skip_special_tokens=False) == "<extra_id_0><extra_id_1>"
    )
    assert tokenizer.encode_with_specials("you").ids == [*tokenizer.encode("you"), tokenizer.eos_id]
    assert len({tokenizer.eos_id, tokenizer.pad_id, tokenizer.unk_id, *tokenizer.sentinel_ids}) == 103
    assert not tokenizer_for(Purpose.CAUSAL).sentinel_ids


def test_the_texts_own_tokens_do_not_depend_on_the_purpose() -> None:
    texts = ENGLISH + CHINESE
    sizes = {purpose: 320 + len(SPECIALS[purpose].tokens) for purpose in Purpose}
    ids = [
        [text.tolist() for text in fit_bpe(texts, size, purpose).encode_batch(texts)]
        for purpose, size in sizes.items()
    ]
    assert ids[0] == ids[1] == ids[2]
    # Sentinels come on top of the size that is fitted to the text.
    free = {purpose: fit_bpe(texts, None, purpose) for purpose in (Purpose.CAUSAL, Purpose.DENOISING)}
    assert free[Purpose.DENOISING].num_text_ids >= free[Purpose.CAUSAL].num_text_ids


def test_a_vocabulary_without_room_for_the_special_tokens_is_refused() -> None:
    with pytest.raises(InputError, match="choose 359"):
        fit_bpe(ENGLISH, 358, Purpose.DENOISING)
    assert fit_bpe(ENGLISH, 359, Purpose.DENOISING).vocab_size == 359


def test_a_folder_for_another_purpose_is_not_taken(tmp_path: Path) -> None:
    source = tmp_path / "texts"
    source.mkdir()
    for number in range(20):
        (source / f"{number}.txt").write_text(prose(number, 20), encoding="utf-8")
    build_corpus(source, tmp_path / "corpus")
    corpus, out = Corpus.open(tmp_path / "corpus"), tmp_path / "tokenizer"
    masked = prepare_tokenizer(corpus, out, vocab_size=300, purpose=Purpose.MASKED)
    assert prepare_tokenizer(corpus, out, vocab_size=300, purpose=Purpose.MASKED).sha256 == masked.sha256
    with pytest.raises(InputError, match="purpose"):
        prepare_tokenizer(corpus, out, vocab_size=300)
    arguments = ["tokenizer", str(tmp_path / "corpus"), "--vocab-size", "300", "--out"]
    assert run_cli([*arguments, str(tmp_path / "by_command"), "--objective", "masked"]) == 0
    assert Tokenizer.load(tmp_path / "by_command").sha256 == masked.sha256


def test_tokens_begin_where_the_library_says() -> None:
    tokenizer = tokenizer_for(Purpose.MASKED)
    texts = [ENGLISH[0], CHINESE[0], "龘 a", ""]
    for text, (ids, starts), expected in zip(
        texts, tokenizer.encode_batch_with_starts(texts), tokenizer.encode_batch(texts), strict=True
    ):
        np.testing.assert_array_equal(ids, expected)
        assert (np.diff(starts) >= 0).all() and len(starts) == len(ids)
        for begin, end in zip(range(len(ids)), range(1, len(ids)), strict=False):
            if starts[end] > starts[begin]:
                assert tokenizer.decode(ids[:end]) == text[: starts[end]]


def words(text: str) -> list[str]:
    edges = [*np.flatnonzero(~continues(text)), len(text)]
    return [text[start:end] for start, end in itertools.pairwise(edges)]


def test_words_are_runs_of_letters_and_chinese_is_cut() -> None:
    pytest.importorskip("rjieba", reason="it cuts Chinese into words")
    assert words("Naïve e\u0301tude, x_1!") == ["Naïve", " ", "e\u0301tude", ",", " ", "x_1", "!"]
    assert words("用Python写南京市长江大桥") == ["用", "Python", "写", "南京市", "长江大桥"]
    assert words("") == [""][1:]


def test_bytes_of_one_character_belong_together() -> None:
    # Two tokens of one character, then one of the next word.
    assert token_word_starts("龘 a", np.array([0, 0, 1])).tolist() == [True, False, True]
    # A token that reaches into the next word ties it to the one before.
    assert token_word_starts("ab cd", np.array([0, 1, 4])).tolist() == [True, False, False]


def test_chinese_without_the_segmenter_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    from yanmo.tokenizers import segmenter as module

    monkeypatch.setattr(module, "_SEGMENTER", "no_such_segmenter")
    module._cut.cache_clear()
    assert module.segmenter_version() is None
    assert words("plain words") == ["plain", " ", "words"]
    with pytest.raises(InputError, match=r"no_such_segmenter.*yanmo\[classical\]"):
        words("我们在跑步")
    module._cut.cache_clear()
