"""New tokens on top of tokenizers of every family: old ids stay, old text stays, new tokens are used."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tokenizers_made import FAMILIES, TEXTS

from yanmo.errors import InputError
from yanmo.tokenizers.extension import check_unchanged, extend_tokenizer
from yanmo.tokenizers.folder import read_folder
from yanmo.tokenizers.load import Tokenizer
from yanmo.tokenizers.merges import is_whole, learn_merges

# Words that none of the made vocabularies has.
NEW_TEXTS = [f"gyroscopic gyroscopes measure zymurgy {n}; 语言模型宇宙洪荒，语言模型。" for n in range(40)]


@pytest.mark.parametrize("family", [name for name in FAMILIES if name != "without-decoder"])
def test_every_family_takes_new_tokens_behind_its_old_ones(family: str, tmp_path: Path) -> None:
    FAMILIES[family](tmp_path / "old")
    before = Tokenizer.load(tmp_path / "old")
    made = extend_tokenizer(before, read_folder(tmp_path / "old"), NEW_TEXTS, 12)
    assert 0 < len(made.new) <= 12
    made.tokenizer.save(tmp_path / "new")
    after = Tokenizer.load(tmp_path / "new")
    assert after.vocab_size == before.vocab_size + len(made.new)
    assert after.special_ids == before.special_ids and after.named_ids == before.named_ids
    assert after.tokens_by_id[: before.vocab_size] == before.tokens_by_id
    assert after.tokens_by_id[before.vocab_size :] == [token.text for token in made.new]
    text = NEW_TEXTS[0]
    assert len(after.encode(text)) < len(before.encode(text))
    assert max(after.encode(text)) >= made.first_id
    assert after.decode(after.encode(text)) == before.decode(before.encode(text))
    unrelated = [each for each in TEXTS if max(after.encode(each), default=0) < made.first_id]
    assert len(unrelated) >= len(TEXTS) - 4
    for each in unrelated:
        assert after.encode(each) == before.encode(each)
        framed, expected = after.encode_with_specials(each), before.encode_with_specials(each)
        assert framed == expected
    check_unchanged(before, made, [*TEXTS, *NEW_TEXTS])


@pytest.mark.parametrize("family", ["gpt2", "bert", "xlm-roberta", "llama2"])
def test_pieces_are_what_stood_there_before(family: str, tmp_path: Path) -> None:
    FAMILIES[family](tmp_path)
    before = Tokenizer.load(tmp_path)
    made = extend_tokenizer(before, read_folder(tmp_path), NEW_TEXTS, 8)
    assert sorted((t.num_saved for t in made.new), reverse=True)[0] >= 40
    tokens = before.tokens_by_id
    for token in made.new:
        written = "".join(str(tokens[piece]) for piece in token.pieces)
        assert len(token.pieces) > 1 and written.replace("##", "") == token.text.replace("##", "")


def test_merges_are_those_that_save_most() -> None:
    names = {1: "a", 2: "b", 3: "c"}
    words = {(1, 2, 1, 2): 5, (2, 3): 9, (1, 2, 3): 2, (1,): 50}

    def join(left: int, right: int) -> str | None:
        text = names[left] + names[right]
        if text == "bc":
            return None
        names[10 + len(names) - 3] = text
        return text

    merges = list(learn_merges(words, 10, join))
    # a b occurs 5 * 2 + 2 times; then ab ab 5 times; b c may not be; ab c twice.
    assert [(m.text, m.count) for m in merges] == [("ab", 12), ("abab", 5), ("abc", 2)]
    # Overlapping pairs are merged from the left, and a pair that fell behind is judged anew.
    runs = list(learn_merges({(1, 1, 1, 1, 1): 4}, 10, lambda left, right: f"{left}-{right}"))
    assert [(m.left, m.right) for m in runs] == [(1, 1), (10, 1)] or runs[0].left == runs[0].right == 1


def test_no_token_begins_in_the_middle_of_a_character() -> None:
    raw = "你好".encode()
    assert is_whole(raw) and is_whole(raw[:2]) and is_whole(b"ab") and is_whole(b"")
    assert not is_whole(raw[1:]) and not is_whole(raw[:4]) and not is_whole(b"a" + raw[:1])


def test_chinese_is_learned_by_a_vocabulary_of_bytes(tmp_path: Path) -> None:
    FAMILIES["gpt2"](tmp_path)
    before = Tokenizer.load(tmp_path)
    text = "量子纠缠与量子计算"
    made = extend_tokenizer(before, read_folder(tmp_path), [text] * 30, 60)
    assert made.tokenizer.encode(text)[0] >= made.first_id
    assert len(made.tokenizer.encode(text)) == 1 < len(before.encode(text)) // 8
    for token in made.new:
        assert is_whole(made.tokenizer.token_bytes(made.first_id + made.new.index(token)))


def test_what_cannot_be_extended_is_refused(tmp_path: Path) -> None:
    FAMILIES["gpt2"](tmp_path)
    before, source = Tokenizer.load(tmp_path), read_folder(tmp_path)
    with pytest.raises(InputError, match="0 new tokens"):
        extend_tokenizer(before, source, NEW_TEXTS, 0)
    with pytest.raises(InputError, match="no pair of tokens"):
        extend_tokenizer(before, source, ["a"], 5)
    content = json.loads(before.content)
    content["model"] = {"type": "WordLevel", "vocab": {"a": 0, "?": 1}, "unk_token": "?"}
    content["added_tokens"] = []
    words = Tokenizer(json.dumps(content), eos_token=None, pad_token=None)
    with pytest.raises(InputError, match="WordLevel tokenizer cannot be extended"):
        extend_tokenizer(words, source, NEW_TEXTS, 5)


def test_the_same_texts_give_the_same_tokens(tmp_path: Path) -> None:
    FAMILIES["qwen2"](tmp_path)
    before, source = Tokenizer.load(tmp_path), read_folder(tmp_path)
    first, again = (extend_tokenizer(before, source, texts, 30) for texts in (NEW_TEXTS, iter(NEW_TEXTS)))
    assert first.tokenizer.content == again.tokenizer.content
