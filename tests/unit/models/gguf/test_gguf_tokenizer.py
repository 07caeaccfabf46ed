"""Tokenizers on their way into a GGUF file and back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gguf_made
import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from yanmo.errors import InputError
from yanmo.models.gguf.metadata import Metadata
from yanmo.models.gguf.sentencepiece import merges_of
from yanmo.models.gguf.tokenizer import read_special_ids, read_tokenizer, write_tokenizer
from yanmo.tokenizers.bpe import fit_bpe
from yanmo.tokenizers.load import Tokenizer as OurTokenizer

_SIZE = 700
# llama.cpp's numbers of kinds of tokens.
_NORMAL, _UNKNOWN, _CONTROL, _USER_DEFINED, _UNUSED, _BYTE = range(1, 7)


def written(tokenizer: Tokenizer | str, **options: Any) -> dict[str, Any]:
    content = tokenizer if isinstance(tokenizer, str) else tokenizer.to_str()
    config = {"vocab_size": _SIZE, "eos_token_id": 2, **options.pop("config", {})}
    return write_tokenizer(
        content,
        options.pop("tokenizer_config", {}),
        options.pop("chat_template", None),
        config=config,
        generation_config=options.pop("generation_config", {}),
    )


def metadata_of(entries: dict[str, Any]) -> Metadata:
    return Metadata({"general.architecture": "llama", **entries}, Path("m.gguf"))


def read_back(entries: dict[str, Any]) -> tuple[Tokenizer, dict[str, Any], dict[str, bytes]]:
    files = read_tokenizer(metadata_of(entries), _SIZE, 256)
    tokenizer = Tokenizer.from_str(files["tokenizer.json"].decode())
    return tokenizer, json.loads(files["tokenizer_config.json"]), files


def edited(tokenizer: Tokenizer, **changes: Any) -> str:
    return json.dumps(json.loads(tokenizer.to_str()) | changes)


@pytest.mark.parametrize(
    "made",
    [gguf_made.byte_level, gguf_made.sentencepiece, lambda: gguf_made.sentencepiece(prefixed=False)],
    ids=["byte-level", "sentencepiece", "sentencepiece without prefix"],
)
def test_ids_and_texts_come_back(made: Any) -> None:
    original = made()
    again, _, _ = read_back(written(original))
    assert again.get_vocab(with_added_tokens=True) == original.get_vocab(with_added_tokens=True)
    for text in [*gguf_made.MIXED_TEXTS, "a<s>b</s> <think>c<|endoftext|>"]:
        ids = original.encode(text).ids
        assert again.encode(text).ids == ids, text
        assert again.decode(ids) == original.decode(ids)


def test_our_own_tokenizer_comes_back_whole(tmp_path: Path) -> None:
    original = fit_bpe([*gguf_made.MIXED_TEXTS] * 3, 600)
    original.save(tmp_path / "first")
    config = json.loads((tmp_path / "first" / "tokenizer_config.json").read_text())
    entries = written(original._json, tokenizer_config=config, chat_template=original.chat_template)
    assert entries["tokenizer.ggml.pre"] == "qwen2"
    (tmp_path / "second").mkdir()
    for name, content in read_back(entries)[2].items():
        (tmp_path / "second" / name).write_bytes(content)
    again = OurTokenizer.load(tmp_path / "second")
    assert again.vocab_size == original.vocab_size
    assert (again.eos_id, again.pad_id, again.bos_id) == (original.eos_id, original.pad_id, original.bos_id)
    assert again.chat_template == original.chat_template and again.chat_tuned is original.chat_tuned is False
    assert dict(again.special_ids) == dict(original.special_ids)
    for text in gguf_made.MIXED_TEXTS:
        assert again.encode(text) == original.encode(text)
        assert again.decode(again.encode(text)) == text


def test_rows_without_a_token_are_filled_and_left_out_again() -> None:
    original = gguf_made.byte_level()
    entries = written(original)
    size = original.get_vocab_size()
    assert len(entries["tokenizer.ggml.tokens"]) == _SIZE
    assert entries["tokenizer.ggml.tokens"][-1] == f"[PAD{_SIZE - 1}]"
    assert set(entries["tokenizer.ggml.token_type"][size:]) == {_UNUSED}
    assert read_back(entries)[0].get_vocab_size() == size


def test_names_of_filled_rows_are_not_taken() -> None:
    original = gguf_made.byte_level()
    original.add_tokens([AddedToken(f"[PAD{_SIZE - 1}]")])
    tokens = written(original)["tokenizer.ggml.tokens"]
    assert len(set(tokens)) == len(tokens)


def test_kinds_of_tokens() -> None:
    entries = written(gguf_made.byte_level())
    kind_of = dict(zip(entries["tokenizer.ggml.tokens"], entries["tokenizer.ggml.token_type"], strict=True))
    assert (kind_of["<|bos|>"], kind_of["<think>"], kind_of["a"]) == (_CONTROL, _USER_DEFINED, _NORMAL)
    entries = written(gguf_made.sentencepiece())
    kind_of = dict(zip(entries["tokenizer.ggml.tokens"], entries["tokenizer.ggml.token_type"], strict=True))
    assert (kind_of["<unk>"], kind_of["<s>"], kind_of["<0x0A>"]) == (_UNKNOWN, _CONTROL, _BYTE)


def test_special_ids() -> None:
    entries = written(
        gguf_made.byte_level(),
        tokenizer_config={
            "eos_token": {"content": "<|endoftext|>"},
            "bos_token": "<|bos|>",
            "unk_token": "<|unk|>",
        },
        config={"eos_token_id": [2, 7], "pad_token_id": 5},
        generation_config={"eos_token_id": [2, 7, 9], "pad_token_id": 6},
    )
    ids = {key.split(".")[-1]: value for key, value in entries.items() if key.endswith("_id")}
    assert ids == {
        "bos_token_id": 1,
        "eos_token_id": 2,
        "eot_token_id": 7,
        "eom_token_id": 9,
        "unknown_token_id": 0,
        "padding_token_id": 5,
    }
    found = read_special_ids(metadata_of(entries), _SIZE)
    assert (found.bos, found.ends, found.eos, found.pad, found.unk) == (1, (2, 7, 9), 2, 5, 0)


def test_a_text_must_have_an_end() -> None:
    """Without one, llama.cpp ends texts at the ordinary token 11."""
    with pytest.raises(InputError, match="names no token that ends a text"):
        written(gguf_made.byte_level(), config={"eos_token_id": None})


def test_an_end_of_turn_is_known_by_its_text() -> None:
    original = gguf_made.byte_level()
    original.add_special_tokens(["<|im_end|>"])
    found = read_special_ids(metadata_of(written(original, config={"eos_token_id": 2})), _SIZE)
    assert found.ends == (2, original.token_to_id("<|im_end|>"))


def test_ids_that_are_none() -> None:
    entries = written(gguf_made.byte_level())
    assert (
        read_special_ids(metadata_of(entries | {"tokenizer.ggml.bos_token_id": 2**32 - 1}), _SIZE).bos is None
    )
    with pytest.raises(InputError, match="bos_token_id is no token"):
        read_special_ids(metadata_of(entries | {"tokenizer.ggml.bos_token_id": _SIZE}), _SIZE)


@pytest.mark.parametrize("made", [gguf_made.byte_level, gguf_made.sentencepiece])
def test_tokens_around_a_text(made: Any) -> None:
    original = made()
    begin = original.id_to_token(1)
    original.post_processor = processors.TemplateProcessing(single=f"{begin} $A", special_tokens=[(begin, 1)])
    entries = written(original)
    assert entries["tokenizer.ggml.add_bos_token"] is True
    assert entries["tokenizer.ggml.bos_token_id"] == 1
    again, config, _ = read_back(entries)
    assert again.encode("hello").ids == original.encode("hello").ids
    assert again.encode("hello").ids[0] == 1
    assert (config["add_bos_token"], config["bos_token"]) == (True, begin)
    # A tokenizer_config.json has the last word, as in transformers.
    entries = written(original, tokenizer_config={"add_bos_token": False})
    assert read_back(entries)[0].encode("hello").ids[0] != 1


def test_more_tokens_around_a_text_are_refused() -> None:
    original = gguf_made.byte_level()
    original.post_processor = processors.TemplateProcessing(
        single="<|bos|> <|bos|> $A", special_tokens=[("<|bos|>", 1)]
    )
    with pytest.raises(InputError, match="at most one token"):
        written(original)


def test_begin_tokens_where_the_file_says_nothing() -> None:
    entries = written(gguf_made.sentencepiece())
    del entries["tokenizer.ggml.add_bos_token"], entries["tokenizer.ggml.add_eos_token"]
    # llama.cpp begins texts of SentencePiece models with token 1.
    assert read_back(entries)[0].encode("hello").ids[0] == 1
    entries = written(gguf_made.byte_level(), config={"bos_token_id": 1})
    del entries["tokenizer.ggml.add_bos_token"]
    assert read_back(entries)[0].encode("hello").ids[0] != 1
    assert read_back(entries | {"tokenizer.ggml.pre": "llama-bpe"})[0].encode("hello").ids[0] == 1


def test_a_template_without_word_of_training_means_a_chat_model() -> None:
    entries = written(gguf_made.byte_level(), chat_template="{{ messages }}")
    _, config, files = read_back(entries)
    assert files["chat_template.jinja"] == b"{{ messages }}" and config["yanmo_chat"] is True
    assert "chat_template.jinja" not in read_back(written(gguf_made.byte_level()))[2]


def test_qwens_normalizer_is_the_one_that_may_be_dropped() -> None:
    original = gguf_made.byte_level()
    original.normalizer = normalizers.NFC()
    assert read_back(written(original))[0].normalizer is None
    original.normalizer = normalizers.Lowercase()
    with pytest.raises(InputError, match="does not normalise"):
        written(original)


@pytest.mark.parametrize(
    ("tokenizer", "what"),
    [
        ("{}", "not a tokenizer"),
        ("no JSON", "not a tokenizer"),
        (Tokenizer(models.WordPiece({"[UNK]": 0}, unk_token="[UNK]")), "'WordPiece' cannot be written"),
        (Tokenizer(models.Unigram([("a", 0.0)])), "'Unigram' cannot be written"),
        (gguf_made.byte_level(pre_tokenizers.Whitespace()), "does not part text"),
        (Tokenizer(models.BPE({"a": _SIZE}, [])), "rows for them"),
    ],
    ids=str,
)
def test_tokenizers_that_cannot_be_written(tokenizer: Tokenizer | str, what: str) -> None:
    with pytest.raises(InputError, match=what):
        written(tokenizer)


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"tokenizer.ggml.model": "bert"}, "'bert' are not read"),
        ({"tokenizer.ggml.pre": "kimi-k2"}, "'kimi-k2' of parting text is not known"),
        ({"tokenizer.ggml.tokens": ["a"]}, "1 tokens and the model 700"),
        ({"tokenizer.ggml.tokens": ["a"] * _SIZE}, "a token is there twice"),
        ({"tokenizer.ggml.token_type": [1]}, "not as many"),
        ({"tokenizer.ggml.merges": ["a"]}, "not of two tokens"),
        ({"tokenizer.ggml.merges": ["a 我"]}, "not of two tokens"),
        ({"tokenizer.ggml.merges": ["a b c"]}, "not of two tokens"),
    ],
)
def test_damaged_tokenizers(changes: dict[str, Any], what: str) -> None:
    with pytest.raises(InputError, match=what):
        read_back(written(gguf_made.byte_level()) | changes)


def test_a_sentencepiece_vocabulary_without_scores_is_refused() -> None:
    with pytest.raises(InputError, match="scores"):
        read_back(written(gguf_made.sentencepiece()) | {"tokenizer.ggml.scores": [0.0]})


def test_merges_that_scores_imply() -> None:
    scores = {"a": -9.0, "b": -9.0, "c": -9.0, "ab": -1.0, "bc": -2.0, "abc": -3.0, "xy": 0.0}
    assert merges_of(scores) == [["a", "b"], ["b", "c"], ["ab", "c"], ["a", "bc"]]


def test_merges_of_another_order_are_refused() -> None:
    original = gguf_made.sentencepiece()
    model = json.loads(original.to_str())["model"]
    fewer = edited(original, model=model | {"merges": model["merges"][:-1]})
    with pytest.raises(InputError, match="not those of a SentencePiece vocabulary"):
        written(fewer)
    token = "".join(model["merges"][-1])
    twice = next(i for i, merge in enumerate(model["merges"]) if len("".join(merge)) > 2)
    assert token
    moved = [model["merges"][twice], *model["merges"][:twice], *model["merges"][twice + 1 :]]
    with pytest.raises(InputError, match="SentencePiece vocabulary"):
        written(edited(original, model=model | {"merges": [*moved, moved[0]]}))


def test_the_newer_form_of_sentencepiece_files() -> None:
    """transformers 5 writes Metaspace where older files have a normalizer."""
    original = gguf_made.sentencepiece()
    newer = Tokenizer.from_str(original.to_str())
    newer.normalizer = None
    newer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="first", split=False)
    assert written(newer) == written(original)
    newer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="never", split=False)
    assert written(newer)["tokenizer.ggml.add_space_prefix"] is False
    newer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="first", split=True)
    with pytest.raises(InputError, match="does not prepare text"):
        written(newer)


def test_bytes_and_unknown_are_wanted() -> None:
    bare = Tokenizer(models.BPE({"a": 0, "b": 1, "ab": 2}, [("a", "b")], byte_fallback=True))
    bare.normalizer = normalizers.Replace(" ", "▁")
    bare.decoder = decoders.Fuse()
    with pytest.raises(InputError, match="one for each byte"):
        written(bare)
