"""Every kind of tokenizer: same texts same bytes, what comes back, what is unknown, what stands apart."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from test_bpe import CHINESE, ENGLISH, random_texts

from yanmo.errors import InputError
from yanmo.tokenizers import unigram
from yanmo.tokenizers.char import fit_char
from yanmo.tokenizers.load import Tokenizer
from yanmo.tokenizers.purpose import SPECIALS, UNKNOWN, Purpose
from yanmo.tokenizers.train import KINDS
from yanmo.tokenizers.unigram import fit_unigram
from yanmo.tokenizers.wordpiece import fit_wordpiece

pytest.importorskip("sentencepiece", reason="it learns Unigram vocabularies")

EXACT = ("bpe", "unigram", "char")
_TRAIN = """
import hashlib, sys
from pathlib import Path
from yanmo.tokenizers.train import KINDS
text = Path(sys.argv[1]).read_text(encoding="utf-8")
for name, fit in KINDS.items():
    print(name, hashlib.sha256(fit(text.splitlines(keepends=True), 700)._json.encode()).hexdigest())
"""


@pytest.mark.parametrize("kind", EXACT)
def test_any_text_comes_back_exactly(kind: str) -> None:
    tokenizer = KINDS[kind](ENGLISH + CHINESE, 700)
    texts = [
        *random_texts(5, 300),
        "",
        " ",
        "\x00\t\u2581 \ue000",
        "<0x41><0xE4>",
        "e\u0301 é ﬁ ①",
        "👩‍👩‍👧🇨🇳",
    ]
    for text, ids in zip(texts, tokenizer.encode_batch(texts), strict=True):
        assert tokenizer.decode(ids) == text
        assert b"".join(tokenizer.token_bytes(i) for i in ids.tolist()) == text.encode()
        stream = tokenizer.stream_decoder()
        assert "".join(map(stream.push, ids.tolist())) + stream.finish() == text
        assert not set(ids.tolist()) & set(tokenizer.special_ids.values())


def test_another_process_learns_the_same_bytes(tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    # Equal counts everywhere, so that only the order of ties decides.
    text.write_text("".join(ENGLISH + CHINESE), encoding="utf-8")
    runs = {
        subprocess.run(
            [sys.executable, "-c", _TRAIN, str(text)],
            env={**os.environ, "PYTHONHASHSEED": seed, "RAYON_NUM_THREADS": threads},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed, threads in (("1", "1"), ("2", "2"))
    }
    assert len(runs) == 1 and len(runs.pop().splitlines()) == len(KINDS)


@pytest.mark.parametrize("purpose", list(Purpose))
@pytest.mark.parametrize("kind", list(KINDS))
def test_special_tokens_stand_behind_the_texts_own(kind: str, purpose: Purpose, tmp_path: Path) -> None:
    made = KINDS[kind](ENGLISH + CHINESE, 600, purpose)
    made.save(tmp_path)
    tokenizer = Tokenizer.load(tmp_path)
    assert tokenizer.vocab_size <= 600
    ids = list(tokenizer.special_ids.values())
    assert ids == list(range(tokenizer.num_text_ids, tokenizer.vocab_size))
    assert list(tokenizer.special_ids)[: len(SPECIALS[purpose].tokens)] == list(SPECIALS[purpose].tokens)
    assert tokenizer.named_ids.keys() >= SPECIALS[purpose].roles.keys()
    text = "It's <|endoftext|> [MASK] <unk> 武松"
    assert set(tokenizer.encode(text)) & set(ids) <= {tokenizer.unk_id}
    assert tokenizer.encode(text) == made.encode(text)


def test_wordpiece_parts_chinese_and_continues_words_with_a_sign() -> None:
    texts = ["unbelievable unbreakable believable breakable able " * 30, "天地玄黄，宇宙洪荒。" * 30]
    tokenizer = fit_wordpiece(texts, 300, Purpose.MASKED)
    tokens = [tokenizer.decode([i]) for i in tokenizer.encode("天地 unbreakable，able")]
    assert tokens[:2] == ["天", "地"] and tokens[-1] == "able" and tokens[-2] == "，"
    assert len(tokens) == 5, "the whole word is a token"
    vocab = json.loads(tokenizer._json)["model"]["vocab"]
    assert "##able" in vocab or "##eakable" in vocab
    assert not [token for token in vocab if "天" in token and token != "天"]
    # White space is not kept, and says so by what comes back.
    assert tokenizer.decode(tokenizer.encode("able\n\n able")) == "able able"


def test_a_word_with_a_foreign_character_is_unknown_to_wordpiece_alone() -> None:
    text = "able ableж able"
    for purpose in Purpose:
        tokenizer = fit_wordpiece(["able to be able " * 40], 400, purpose)
        assert tokenizer.unk_id is not None
        able = tokenizer.encode("able")
        assert tokenizer.encode(text) == [*able, tokenizer.unk_id, *able]
    assert UNKNOWN in fit_wordpiece(["able to be able " * 40], 300).special_ids
    assert fit_unigram(["able to be able " * 40], 300).unk_id is None


def test_unigram_takes_the_likeliest_pieces_and_bytes_for_the_rest() -> None:
    tokenizer = fit_unigram(ENGLISH + CHINESE, 700)
    text = "It's times, times! 鲁智深龘"
    pieces = [tokenizer.token_bytes(i) for i in tokenizer.encode(text)]
    assert pieces[-3:] == ["龘".encode()[n : n + 1] for n in range(3)]
    assert len(pieces) < len(text) * 0.8 and b"".join(pieces) == text.encode()
    model = json.loads(tokenizer._json)["model"]
    scores = [score for _, score in model["vocab"]]
    assert model["type"] == "Unigram" and scores[256:] == sorted(scores[256:], reverse=True)
    # A byte is never taken where a piece would do.
    assert max(scores[0x80:0x100]) <= min(scores[256:]) - 10


def test_characters_are_tokens_and_rare_ones_bytes() -> None:
    texts = ["人之初，性本善。abc\n" * 50, "龘"]
    tokenizer = fit_char(texts)
    assert [tokenizer.decode([i]) for i in tokenizer.encode("人之abc。\n")] == list("人之abc。\n")
    assert len(tokenizer.encode("龘")) == 3
    # A smaller vocabulary keeps the frequent ones: three places beside bytes and special tokens.
    small = fit_char(["好" * 90 + "坏" * 10], 256 + 4 + 2)
    assert len(small.encode("好")) == 1 and len(small.encode("坏")) > 1


def test_kinds_refuse_what_bpe_refuses() -> None:
    for fit in KINDS.values():
        with pytest.raises(InputError, match="no text"):
            fit([], 400)
        with pytest.raises(InputError, match="lone surrogate"):
            fit(["a\ud800"], 400)
        with pytest.raises(InputError, match="out of range"):
            fit(["a"], 12)
        assert fit(["a"], 400).encode("a")


def test_unigram_without_its_trainer_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unigram, "_TRAINER", "no_such_trainer")
    with pytest.raises(InputError, match=r"no_such_trainer.*yanmo\[unigram\]"):
        fit_unigram(["text"], 400)
