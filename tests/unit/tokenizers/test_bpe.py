"""Training: exact round trips, no token across characters, determinism, sizes."""

from __future__ import annotations

import random

import pytest

from yanmo.errors import InputError
from yanmo.tokenizers.bpe import fit_bpe
from yanmo.tokenizers.load import SPECIAL_TOKENS, Tokenizer
from yanmo.tokenizers.purpose import Purpose
from yanmo.tokenizers.sizes import suggest_vocab_size

_RNG = random.Random(1)
_SYLLABLES = [a + b for a in "bdfghklmnprstw" for b in ("a", "en", "i", "or", "us")]
_WORDS = ["".join(_RNG.choices(_SYLLABLES, k=_RNG.randint(1, 3))) for _ in range(300)]
ENGLISH = [f"It's {' '.join(_RNG.choices(_WORDS, k=12))}, {n} times!\n" for n in range(200)]
_NAMES = ["宋江", "李逵", "林冲", "武松", "鲁智深", "吴用"]
_DEEDS = ["在水泊梁山喝酒", "说道：兄弟们好", "今日天气很热", "打虎去了", "上山下海", "骑马看书写字"]
CHINESE = [
    f"第{n}回，{_RNG.choice(_NAMES)}{_RNG.choice(_DEEDS)}，{_RNG.choice(_NAMES)}{_RNG.choice(_DEEDS)}。"
    for n in range(200)
]


@pytest.fixture(scope="module")
def mixed() -> Tokenizer:
    return fit_bpe(ENGLISH + CHINESE, 600)


def random_texts(seed: int, count: int) -> list[str]:
    rng = random.Random(seed)
    ranges = [
        (0, 0x20),
        (0x20, 0x7F),
        (0x80, 0x250),
        (0x300, 0x370),
        (0x2000, 0x2070),
        (0x4E00, 0x9FFF),
        (0xAC00, 0xD7A3),
        (0xE000, 0xE010),
        (0xFE00, 0xFE10),
        (0x10280, 0x10290),
        (0x1F300, 0x1F6FF),
        (0xF0000, 0xF0010),
        (0x10FFF0, 0x10FFFF),
    ]
    texts = []
    for _ in range(count):
        characters = [chr(rng.randint(*rng.choice(ranges))) for _ in range(rng.randint(0, 40))]
        characters += rng.choices([" ", "\n", "\r\n", "你", "the", "<|im_end|>", "<|endoftext|>"], k=5)
        rng.shuffle(characters)
        texts.append("".join(characters))
    return texts


def test_any_text_comes_back_exactly(mixed: Tokenizer) -> None:
    texts = [*random_texts(0, 400), "", " ", "\x00", "e\u0301 é ﬁ ①", "👩‍👩‍👧‍👦🇨🇳"]
    for text, ids in zip(texts, mixed.encode_batch(texts), strict=True):
        assert ids.tolist() == mixed.encode(text)
        assert mixed.decode(ids) == text
        assert b"".join(mixed.token_bytes(int(i)) for i in ids) == text.encode()


def test_lone_surrogates_are_refused(mixed: Tokenizer) -> None:
    for call in (lambda: mixed.encode("a\ud800"), lambda: mixed.encode_batch(["a\ud800"])):
        with pytest.raises(InputError, match="lone surrogate at character 1"):
            call()
    with pytest.raises(InputError, match="surrogate"):
        fit_bpe(["a\udfff"])


def test_no_token_crosses_a_character(mixed: Tokenizer) -> None:
    """Each token is whole characters, or a beginning of one character, or a single byte."""
    num_whole_chinese = 0
    for token_id in range(mixed.vocab_size):
        raw = mixed.token_bytes(token_id)
        try:
            num_whole_chinese += any("\u4e00" <= c <= "\u9fff" for c in raw.decode())
        except UnicodeDecodeError:
            assert len(raw) == 1 or (raw[0] >= 0xC0 and all(byte & 0xC0 == 0x80 for byte in raw[1:]))
            assert len(raw) < 4
    assert num_whole_chinese > 50


def test_frequent_chinese_characters_are_one_token_or_part_of_a_longer_one(mixed: Tokenizer) -> None:
    text = "宋江在水泊梁山说道：兄弟们，今日天气很热"
    assert len(mixed.encode(text)) < len(text)
    for character in text:
        assert len(mixed.encode(character)) == 1


def test_rare_characters_cost_at_most_their_bytes(mixed: Tokenizer) -> None:
    # 龘 shares no two bytes with a trained character for sure, 宍 shares two with 宋 (E5 AE).
    assert len(mixed.encode("龘")) <= 3
    assert len(mixed.encode("宍")) == 2


def test_the_same_texts_give_the_same_tokenizer(mixed: Tokenizer) -> None:
    again = fit_bpe(iter(ENGLISH + CHINESE), 600)
    assert again.sha256 == mixed.sha256
    assert fit_bpe(ENGLISH, 600).sha256 != mixed.sha256


def test_characters_standing_in_for_rare_ones_may_occur() -> None:
    tokenizer = fit_bpe(["\U00010280\ue000 ab" * 50 + "稀" + "ab" * 50], 400)
    text = "ab\U00010280\ue000稀ab"
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_vocab_size_counts_special_tokens_and_is_met(mixed: Tokenizer) -> None:
    assert mixed.vocab_size == 600
    assert sorted(mixed.special_ids.values()) == [596, 597, 598, 599]
    assert [mixed.special_ids[text] for text in SPECIAL_TOKENS] == [596, 597, 598, 599]
    assert fit_bpe(ENGLISH, 260).vocab_size == 260


def test_digits_stay_single(mixed: Tokenizer) -> None:
    assert len(mixed.encode("2024")) == 4


@pytest.mark.parametrize("size", [0, 259, 2**20 + 1])
def test_impossible_sizes_are_refused(size: int) -> None:
    with pytest.raises(InputError, match=f"vocabulary of {size} is out of range"):
        fit_bpe(ENGLISH, size)


@pytest.mark.parametrize("texts", [[], ["", ""]])
def test_no_text_is_refused(texts: list[str]) -> None:
    with pytest.raises(InputError, match="no text"):
        fit_bpe(texts)


def test_suggested_sizes_grow_with_the_corpus() -> None:
    assert suggest_vocab_size(1_000_000, 0) == 512
    assert suggest_vocab_size(0, 0) == suggest_vocab_size(10_000, 0) == 320
    assert 1900 <= suggest_vocab_size(10_000_000, 0) <= 2200
    assert 30_000 <= suggest_vocab_size(1_000_000_000, 0) <= 34_000
    assert suggest_vocab_size(1_000_000, 2000) == 512 + 2000 // 64 * 64
    assert suggest_vocab_size(10**12, 5000) == 65_536


@pytest.mark.parametrize("purpose", [Purpose.MASKED, Purpose.DENOISING])
def test_models_that_understand_have_more_words(purpose: Purpose) -> None:
    assert suggest_vocab_size(1_000_000, 0, purpose) == 2048
    assert suggest_vocab_size(16_000_000, 2000, purpose) == 4 * 2048 + 2000 // 64 * 64
    assert suggest_vocab_size(10**12, 0, purpose) == 65_536


def test_size_is_fitted_to_the_texts_where_none_is_given() -> None:
    # Chinese of the same length has characters to hold, so it gets more places.
    chinese = ["".join(chr(0x4E00 + (7 * n + k) % 900) for k in range(200)) for n in range(200)]
    english = ["the cat sat on the mat " * 25 for _ in range(200)]
    assert fit_bpe(chinese).vocab_size > 900
    assert fit_bpe(english).vocab_size < 500


def test_a_line_without_a_space_is_learned_from_in_good_time() -> None:
    rng = random.Random(3)
    tokenizer = fit_bpe(["".join(rng.choices("abcdef", k=300_000)), "x" * 300_000], 300)
    assert tokenizer.vocab_size == 300
    assert len(tokenizer.encode("x" * 64)) <= 8


def test_scarce_places_go_to_the_most_frequent_characters() -> None:
    rare = "".join(chr(0x4E00 + 64 * n) * 2 for n in range(20))
    tokenizer = fit_bpe([rare, "好了" * 500], 266)
    assert len(tokenizer.encode("好")) == len(tokenizer.encode("了")) == 1
    assert len(tokenizer.encode(chr(0x4E00))) > 1
