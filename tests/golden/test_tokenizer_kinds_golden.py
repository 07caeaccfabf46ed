"""Tokenizers of every kind that yanmo learns, opened by transformers: the same ids, the same text."""

from __future__ import annotations

from pathlib import Path

import pytest

from yanmo.tokenizers.load import Tokenizer
from yanmo.tokenizers.purpose import Purpose
from yanmo.tokenizers.train import KINDS

transformers = pytest.importorskip("transformers", reason="the reference is transformers")

TRAINING = [
    "The quick brown fox jumps over the lazy dog; it's the dog's, isn't it?\n" * 20,
    "天地玄黄，宇宙洪荒。日月盈昃，辰宿列张。我们在学习语言模型。\n" * 20,
]
TEXTS = [
    "It's the fox, 3 times!\n\n  龘我们",
    "<0x41> ▁ tab\tend ",
    "寒来暑往，秋收冬藏。",
    "[MASK] <|endoftext|>",
]


@pytest.mark.parametrize("kind", list(KINDS))
def test_transformers_gives_the_same_ids(kind: str, tmp_path: Path) -> None:
    if kind == "unigram":
        pytest.importorskip("sentencepiece", reason="it learns Unigram vocabularies")
    for purpose in Purpose:
        KINDS[kind](TRAINING, 420, purpose).save(tmp_path / purpose)
        theirs = transformers.AutoTokenizer.from_pretrained(tmp_path / purpose)
        ours = Tokenizer.load(tmp_path / purpose)
        for text in TEXTS[:3]:
            framed = ours.encode_with_specials(text).ids
            assert theirs(text)["input_ids"] == framed
            assert theirs.decode(framed, skip_special_tokens=True) == ours.decode(framed)
        # There the string of a special token is that token; here a text never holds one.
        assert not set(ours.encode(TEXTS[3])) & (set(ours.special_ids.values()) - {ours.unk_id})
