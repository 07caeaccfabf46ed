"""Long texts in pieces: the same ids, or no cut."""

from __future__ import annotations

import random
from typing import Any

import pytest
from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers

from yanmo.tokenizers.bpe import SPLIT_PATTERN
from yanmo.tokenizers.pieces import cut_pattern, pieces

PARTS = [
    "hello", " world", "  ", "   ", "\n", "\n\n", "你好", "。", "!\n\n", "\r\n", "\t", "12", " \n ", "345",
    " --", "\n　　", "¨", "é", "e\u0301", "\u0301", "\x1c", "\xa0", "'s", " '", "_", "🙂", "\u200b", "x",
]  # fmt: skip
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"


def splits(*patterns: str, prefix: bool = False) -> Any:
    parts = [pre_tokenizers.Split(Regex(pattern), "isolated") for pattern in patterns]
    return pre_tokenizers.Sequence(
        [*parts, pre_tokenizers.ByteLevel(add_prefix_space=prefix, use_regex=False)]
    )


CUT = {
    "gpt2": pre_tokenizers.ByteLevel(add_prefix_space=False),
    "gpt2 with prefix": pre_tokenizers.ByteLevel(add_prefix_space=True),
    "gpt2 written out": splits(GPT2),
    "qwen2": splits(SPLIT_PATTERN),
    "llama3": splits(SPLIT_PATTERN.replace(r"\p{N}|", r"\p{N}{1,3}|")),
    "smollm": pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    ),
    "smollm written out": splits(r"\p{N}", GPT2),
    "bert": pre_tokenizers.BertPreTokenizer(),
    "words": pre_tokenizers.Whitespace(),
    "t5": pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()]),
}
WHOLE = {
    "nothing": None,
    "metaspace first": pre_tokenizers.Metaspace(prepend_scheme="first"),
    "whole text": pre_tokenizers.Metaspace(split=False),
    "unknown expression": splits(r"\w+\s\w+"),
    "byte level without": pre_tokenizers.ByteLevel(use_regex=False),
}


def backend_of(pre_tokenizer: Any, normalizer: Any = None) -> Tokenizer:
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer, backend.normalizer = pre_tokenizer, normalizer
    return backend


def words(backend: Tokenizer, text: str) -> list[str]:
    text = text if backend.normalizer is None else backend.normalizer.normalize_str(text)
    return [word for word, _ in backend.pre_tokenizer.pre_tokenize_str(text)]


@pytest.mark.parametrize(
    "normalizer", [None, normalizers.NFC(), normalizers.BertNormalizer(), normalizers.NFKC()]
)
@pytest.mark.parametrize("name", list(CUT))
def test_pieces_are_parted_as_the_whole(name: str, normalizer: Any) -> None:
    backend = backend_of(CUT[name], normalizer)
    pattern = cut_pattern(backend)
    if isinstance(normalizer, normalizers.BertNormalizer) and name not in ("bert", "words", "t5"):
        # It may take away what stands between two spaces.
        assert pattern is None
        return
    assert pattern is not None
    rng, num_pieces = random.Random(name), 0
    for _ in range(150):
        text = "".join(rng.choices(PARTS, k=40))
        parts = list(pieces(text, pattern, 8))
        assert "".join(parts) == text
        assert [word for part in parts for word in words(backend, part)] == words(backend, text), parts
        num_pieces += len(parts)
    assert num_pieces > 400


@pytest.mark.parametrize("name", list(WHOLE))
def test_where_it_is_not_known_to_hold_nothing_is_cut(name: str) -> None:
    pattern = cut_pattern(backend_of(WHOLE[name]))
    assert pattern is None
    assert list(pieces("a b " * 100, pattern, 8)) == ["a b " * 100]


@pytest.mark.parametrize(
    ("token", "may_cut"),
    [
        (AddedToken("<think>"), True),
        (AddedToken("   "), True),
        (AddedToken("two words"), False),
        (AddedToken("ends "), False),
        (AddedToken("<x>", rstrip=True), False),
        (AddedToken("<x>", lstrip=True), False),
        (AddedToken("<s>", rstrip=True, special=True), True),
    ],
)
def test_added_tokens_that_touch_a_space_forbid_it(token: AddedToken, may_cut: bool) -> None:
    backend = backend_of(CUT["gpt2"])
    backend.add_tokens([token])
    assert (cut_pattern(backend) is not None) is may_cut
    backend = backend_of(CUT["gpt2"], normalizers.Strip())
    assert cut_pattern(backend) is None


def test_a_text_without_a_place_stays_whole() -> None:
    pattern = cut_pattern(backend_of(CUT["qwen2"]))
    assert list(pieces("你好" * 100, pattern, 8)) == ["你好" * 100]
    assert list(pieces("", pattern, 8)) == [""]
