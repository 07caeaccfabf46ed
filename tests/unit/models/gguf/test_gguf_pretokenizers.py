"""llama.cpp's names for ways of parting text."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tokenizers import Tokenizer, models

from yanmo.errors import InputError
from yanmo.models.gguf.pretokenizers import PRE_TOKENIZERS, find_name, to_json
from yanmo.tokenizers.bpe import SPLIT_PATTERN, fit_bpe

_CL100K = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def byte_level(*, regex: bool) -> dict[str, Any]:
    return {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": regex}


def split(pattern: str, behavior: str = "Isolated", *, invert: bool = False) -> dict[str, Any]:
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": behavior, "invert": invert}


def sequence(*steps: dict[str, Any]) -> dict[str, Any]:
    return {"type": "Sequence", "pretokenizers": list(steps)}


_DIGIT = {"type": "Digits", "individual_digits": True}

# As the models' own files write it.
_KNOWN = [
    ("gpt-2", byte_level(regex=True), False),
    ("qwen2", sequence(split(SPLIT_PATTERN), byte_level(regex=False)), False),
    ("llama-bpe", sequence(split(_CL100K), byte_level(regex=False)), True),
    ("dbrx", sequence(split(_CL100K), byte_level(regex=False)), False),
    ("dbrx", sequence(split(_CL100K, "Removed", invert=True), byte_level(regex=False)), False),
    ("smollm", sequence(_DIGIT, byte_level(regex=True)), False),
    (
        "falcon",
        sequence(
            {"type": "Punctuation", "behavior": "Contiguous"},
            byte_level(regex=True),
            split("[0-9][0-9][0-9]"),
        ),
        False,
    ),
    (
        "deepseek-coder",
        sequence(
            split("[\r\n]"),
            split(r"\s?\p{L}+"),
            split(r"\s?\p{P}+"),
            split("[一-龥ࠀ-一가-\ud7ff]+"),
            _DIGIT,
            byte_level(regex=False),
        ),
        False,
    ),
]


@pytest.mark.parametrize(("name", "pre_tokenizer", "ignore_merges"), _KNOWN, ids=lambda v: str(v)[:12])
def test_known_ways(name: str, pre_tokenizer: dict[str, Any], ignore_merges: bool) -> None:
    assert find_name(pre_tokenizer, ignore_merges=ignore_merges, joins_digits=True) == name


def test_our_own_tokenizers_are_qwen2() -> None:
    content = json.loads(fit_bpe(["the owl saw the moon " * 20], 300)._json)
    assert find_name(content["pre_tokenizer"], ignore_merges=False, joins_digits=True) == "qwen2"


@pytest.mark.parametrize("name", sorted(PRE_TOKENIZERS.keys() - {"default"}))
def test_each_way_is_found_again(name: str) -> None:
    way = PRE_TOKENIZERS[name]
    content = json.loads(Tokenizer(models.BPE()).to_str()) | {"pre_tokenizer": to_json(way)}
    loaded = json.loads(Tokenizer.from_str(json.dumps(content)).to_str())["pre_tokenizer"]
    found = find_name(loaded, ignore_merges=way.ignore_merges, joins_digits=True)
    assert PRE_TOKENIZERS[found].steps == way.steps


def test_digits_one_by_one_or_together_are_one_where_no_token_joins_them() -> None:
    steps = to_json(PRE_TOKENIZERS["deepseek-llm"])["pretokenizers"]
    single = sequence(*steps[:-2], _DIGIT, steps[-1])
    assert find_name(single, ignore_merges=False, joins_digits=False) == "deepseek-llm"
    with pytest.raises(InputError):
        find_name(single, ignore_merges=False, joins_digits=True)


@pytest.mark.parametrize(
    "pre_tokenizer",
    [
        None,
        {"type": "Whitespace"},
        {"type": "ByteLevel", "add_prefix_space": True, "use_regex": True},
        sequence(split(r"\w+"), byte_level(regex=False)),
        sequence(split(SPLIT_PATTERN, "MergedWithNext"), byte_level(regex=False)),
        sequence(split(SPLIT_PATTERN), byte_level(regex=True)),
        sequence({"type": "Split", "pattern": {"String": " "}, "behavior": "Isolated", "invert": False}),
    ],
)
def test_other_ways_are_refused(pre_tokenizer: dict[str, Any] | None) -> None:
    with pytest.raises(InputError, match="does not part text as this tokenizer does"):
        find_name(pre_tokenizer, ignore_merges=False, joins_digits=True)
