"""Files that are wrong or meant to harm: one clear line, soon."""

from __future__ import annotations

import base64
import json
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from yanmo.errors import InputError
from yanmo.tokenizers import backend
from yanmo.tokenizers.backend import is_explosive, library_errors
from yanmo.tokenizers.bpe import SPLIT_PATTERN, fit_bpe
from yanmo.tokenizers.load import Tokenizer

MODEL: dict[str, Any] = {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": [["a", "b"]]}
ADDED = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}


def content(**parts: Any) -> str:
    empty = dict.fromkeys(
        ("truncation", "padding", "normalizer", "pre_tokenizer", "post_processor", "decoder")
    )
    return json.dumps({"version": "1.0", "added_tokens": [], **empty, "model": MODEL, **parts})


def split(pattern: str) -> dict[str, Any]:
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}


def replace(old: str, new: str) -> dict[str, Any]:
    return {"type": "Replace", "pattern": {"String": old}, "content": new}


def word_piece(**changes: Any) -> dict[str, Any]:
    plain = {"unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100}
    return {"type": "WordPiece", "vocab": {"a": 0}, **plain, **changes}


def charsmap(raw: bytes) -> dict[str, str]:
    return {"type": "Precompiled", "precompiled_charsmap": base64.b64encode(raw).decode()}


def template(single: list[dict[str, Any]]) -> dict[str, Any]:
    return {"type": "TemplateProcessing", "single": single, "pair": [], "special_tokens": {}}


REFUSED = {
    "deep": "[" * 100_000,
    "deep inside": content().replace('"decoder": null', '"decoder": ' + '{"a":' * 5000 + "1" + "}" * 5000),
    "no object": "[]",
    "unknown decoder": content(decoder={"type": "Magic"}),
    "unknown model": content(model={"type": "Magic", "vocab": {}}),
    "id too large": content(model=MODEL | {"vocab": {"a": 2**32}, "merges": []}),
    "ids beyond": content(model=MODEL | {"vocab": {"a": 0, "b": 2**31 + 5}, "merges": []}),
    "negative id": content(model=MODEL | {"vocab": {"a": -1}, "merges": []}),
    "no vocabulary": content(model=MODEL | {"vocab": {}, "merges": []}),
    "merge of nothing": content(model=MODEL | {"merges": [["x", "y"]]}),
    "wrong type": content(model=MODEL | {"vocab": {"a": "0"}, "merges": []}),
    "unknown id": content(model={"type": "Unigram", "unk_id": 9, "vocab": [["a", 0.0]]}),
    "cut map": content(normalizer=charsmap(b"\xff\xff\xff\x7f1234")),
    "no map": content(normalizer=charsmap(b"")),
    "no base64": content(normalizer={"type": "Precompiled", "precompiled_charsmap": "*"}),
    "bad expression": content(pre_tokenizer=split("(")),
    "explosive expression": content(pre_tokenizer=split("(a|a)+b")),
    "explosive normalizer": content(
        normalizer={"type": "Replace", "pattern": {"Regex": "(a*)*b"}, "content": ""}
    ),
    "growing normalizer": content(
        normalizer={"type": "Sequence", "normalizers": [replace("a", "a" * 1000)] * 3}
    ),
    "endless words": content(model=word_piece(max_input_chars_per_word=10**9)),
    "undefined special token": content(
        post_processor=template([{"SpecialToken": {"id": "[X]", "type_id": 0}}])
    ),
    "second text of a single one": content(
        post_processor=template([{"Sequence": {"id": "B", "type_id": 0}}])
    ),
}


@pytest.mark.parametrize("name", list(REFUSED))
def test_such_files_are_refused_in_one_line(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    began = time.monotonic()
    with pytest.raises(InputError, match="not a tokenizer") as caught:
        Tokenizer(REFUSED[name], where="tokenizer.json")
    assert str(caught.value).startswith("tokenizer.json: ") and "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500
    assert "panicked" not in capfd.readouterr().err
    assert time.monotonic() - began < 2


@pytest.mark.parametrize(
    ("parts", "act"),
    [
        ({"model": {"type": "Unigram", "unk_id": None, "vocab": [["a", 0.0]]}}, lambda t: t.encode("x")),
        ({"model": word_piece()}, lambda t: t.encode_batch(["x"])),
        ({"pre_tokenizer": {"type": "FixedLength", "length": 0}}, lambda t: t.encode_with_specials("ab")),
        ({"decoder": {"type": "Strip", "content": "a", "start": 0, "stop": 9}}, lambda t: t.decode([0])),
        ({"decoder": {"type": "CTC", "pad_token": "a", "word_delimiter_token": "b", "cleanup": True}},
         lambda t: t.stream_decoder()),
        ({}, lambda t: t.decode([-1])),
        ({}, lambda t: t.encode_chat([{"role": "user", "content": "\ud800"}])),
    ],
)  # fmt: skip
def test_what_fails_in_use_is_one_line_too(parts: dict[str, Any], act: Callable[[Tokenizer], object]) -> None:
    with pytest.raises(InputError) as caught:
        act(Tokenizer(content(**parts)))
    assert "\n" not in str(caught.value)


def test_only_the_librarys_errors_are_turned_into_ours() -> None:
    for error in (KeyboardInterrupt(), MemoryError(), ValueError("ours"), AssertionError()):
        with pytest.raises(type(error)), library_errors("no"):
            raise error
    with pytest.raises(InputError, match="no: two lines"), library_errors("no"):
        raise Exception("two\n lines")


def test_gaps_in_the_ids_are_ids_without_a_token() -> None:
    tokenizer = Tokenizer(content(model=MODEL | {"vocab": {"a": 0, "b": 1000}, "merges": []}), template=None)
    assert tokenizer.vocab_size == 1001 and tokenizer.encode("ab") == [0, 1000]
    assert tokenizer.token_bytes(500) == b"" and tokenizer.decode([0, 500, 1000]) == "a b"
    stream = tokenizer.stream_decoder()
    assert "".join(map(stream.push, [0, 500, 1000, 5000])) + stream.finish() == "a b"


def test_a_tokenizer_that_forgets_at_random_is_made_steady() -> None:
    tokenizer = Tokenizer(content(model=MODEL | {"dropout": 0.9}))
    assert all(tokenizer.encode("abababab") == [2, 2, 2, 2] for _ in range(20))


def test_a_file_of_another_size_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "tokenizer.json").open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(InputError, match="too large for a tokenizer"):
        Tokenizer.load(tmp_path)


@pytest.mark.parametrize(
    ("name", "config", "message"),
    [
        ("tokenizer_config.json", {"padding_side": "up"}, "padding_side cannot be 'up'"),
        ("tokenizer_config.json", {"added_tokens_decoder": [1]}, "no table of tokens"),
        ("tokenizer_config.json", {"added_tokens_decoder": {"x": {"content": "a"}}}, "no table of tokens"),
        ("tokenizer_config.json", {"added_tokens_decoder": {"1": "a"}}, "no table of tokens"),
        ("added_tokens.json", {"a": "b"}, "no table of tokens"),
        ("special_tokens_map.json", [], "not a JSON object"),
    ],
)
def test_configs_of_another_form_are_named(tmp_path: Path, name: str, config: object, message: str) -> None:
    (tmp_path / "tokenizer.json").write_text(content())
    (tmp_path / name).write_text(json.dumps(config))
    with pytest.raises(InputError, match=message) as caught:
        Tokenizer.load(tmp_path)
    assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize(
    ("expression", "wanted"),
    [
        (SPLIT_PATTERN, False),
        (r"\p{N}{1,3}(?=(?:\p{N}{3})*\b)", False),
        (r"(?=(\d{3})+(?!\d))", False),
        (r" ?[^(\s|[.,!?…。，、।۔،])]+", False),
        (r"[^\r\n\p{L}\p{N}]?\p{Ll}+(?i:'s|'t)?|\s+(?!\S)|\s+", False),
        (r"\(a+\)+", False),
        (r"(a+)+", True),
        (r"(?:a|b)*", True),
        (r"((a*)b?)+", True),
        (r"(a{1,9}){20}", True),
        (r"(?<x>a*){2,}", True),
    ],
)
def test_expressions_that_match_in_many_ways(expression: str, wanted: bool) -> None:
    assert is_explosive(expression) is wanted


def test_mutated_files_are_refused_or_work(tmp_path: Path) -> None:
    rng = random.Random(5)
    fit_bpe(["hello world, 你好世界。" * 20], 300).save(tmp_path)
    path = tmp_path / "tokenizer.json"
    raw = path.read_bytes()
    num_loaded = 0
    for _ in range(150):
        damaged = bytearray(raw)
        for _ in range(rng.choice([1, 4])):
            damaged[rng.randrange(len(damaged))] = rng.choice(b'09aZ"{}[],: \\-')
        path.write_bytes(damaged)
        try:
            tokenizer = Tokenizer.load(tmp_path)
            ids = tokenizer.encode("hello 你好 abc")
            stream = tokenizer.stream_decoder()
            assert "".join(map(stream.push, ids)) + stream.finish() == tokenizer.decode(ids)
            num_loaded += 1
        except InputError as error:
            assert "\n" not in str(error)
    assert 5 < num_loaded < 140


def test_the_limit_of_ids_is_above_the_field() -> None:
    assert backend.MAX_IDS > 10 * 262_144
