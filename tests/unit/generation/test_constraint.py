"""Answers of a given form: whatever the model would say, what comes out parses; Chinese too."""

from __future__ import annotations

import builtins
import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from fake_model import FakeModel

from yanmo.errors import InputError
from yanmo.generation.constraint import FormKind, OutputForm
from yanmo.generation.engine import Engine, SamplingParams
from yanmo.generation.speculation import Speculation
from yanmo.models.registry import LoadedModel
from yanmo.tokenizers.bpe import fit_bpe
from yanmo.tokenizers.load import Tokenizer

pytest.importorskip("llguidance")

SCHEMA = {
    "type": "object",
    "properties": {
        "城市": {"enum": ["北京", "上海", "New York"]},
        "name": {"type": "string", "maxLength": 6},
        "age": {"type": "integer", "minimum": 0, "maximum": 150},
        "tags": {"type": "array", "items": {"type": "boolean"}, "maxItems": 3},
    },
    "required": ["城市", "name", "age", "tags"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return fit_bpe(["hello world, how do you do? " * 9, "你好世界，你好吗？" * 9], 330)


@pytest.fixture(scope="module")
def engine(tokenizer: Tokenizer) -> Engine:
    return Engine(FakeModel(tokenizer.vocab_size, max_seq_len=512), tokenizer)


def schema(value: object) -> OutputForm:
    return OutputForm(kind=FormKind.JSON_SCHEMA, text=json.dumps(value))


def regex(text: str) -> OutputForm:
    return OutputForm(kind=FormKind.REGEX, text=text)


def nested(depth: int) -> dict[str, object]:
    value: dict[str, object] = {}
    for _ in range(depth):
        value = {"not": value}
    return value


def check_schema(text: str) -> None:
    value = json.loads(text)
    assert list(value) == ["城市", "name", "age", "tags"]
    assert value["城市"] in ("北京", "上海", "New York")
    assert isinstance(value["name"], str) and len(value["name"]) <= 6
    assert 0 <= value["age"] <= 150 and len(value["tags"]) <= 3
    assert all(isinstance(tag, bool) for tag in value["tags"])


@pytest.mark.parametrize(
    "settings", [{"temperature": 0.0}, {"temperature": 1.5}, {"top_p": 0.9, "min_tokens": 9}]
)
def test_json_always_parses_and_keeps_its_schema(engine: Engine, settings: dict[str, Any]) -> None:
    params = SamplingParams(max_tokens=200, seed=3, form=schema(SCHEMA), **settings)
    found = engine.generate_samples([1], params, num_samples=5)
    for answer in found:
        assert answer.finish_reason == "stop" and "\ufffd" not in answer.text
        check_schema(answer.text)
    assert len({answer.text for answer in found}) == (1 if settings.get("temperature") == 0 else 5)


def test_a_regular_expression_is_matched_whole_and_chinese_is_never_cut(engine: Engine) -> None:
    # No character of these is a token of its own: each takes three bytes.
    for pattern in ("[龘齉爨]{4}", r"(鑫|\d{2})-[a-c]+!", "a{3}|b"):
        params = SamplingParams(max_tokens=120, temperature=1.2, seed=0, form=regex(pattern))
        for answer in engine.generate_samples([1], params, num_samples=4):
            assert answer.finish_reason == "stop" and re.fullmatch(pattern, answer.text)
    pieces = list(engine.stream([1], SamplingParams(seed=0, form=regex("[龘齉爨]{4}"))))
    assert all("\ufffd" not in piece.text for piece in pieces) and len(pieces) == 12


@pytest.mark.parametrize(
    "grammar",
    [
        'start: "<" word ("，" word)* ">"\nword: "世界" | "word"',
        'root ::= "<" w ("，" w)* ">"\nw ::= "世界" | "word"',
    ],
)
def test_grammars_of_both_notations(engine: Engine, grammar: str) -> None:
    params = SamplingParams(max_tokens=200, seed=1, form=OutputForm(kind=FormKind.GRAMMAR, text=grammar))
    for answer in engine.generate_samples([1], params, num_samples=4):
        assert re.fullmatch("<(世界|word)(，(世界|word))*>", answer.text) or answer.finish_reason == "length"


def test_it_may_end_only_where_it_has_the_form(tokenizer: Tokenizer) -> None:
    script = [*tokenizer.encode("12"), tokenizer.eos_id]
    engine = Engine(FakeModel(tokenizer.vocab_size, script=script), tokenizer)
    params = SamplingParams(temperature=0, max_tokens=9, form=regex("[0-9]{2,9}"))
    assert engine.generate([1], params).text == "12"
    # The model would end after two figures; it has to go on.
    longer = SamplingParams(temperature=0, max_tokens=9, form=regex("[0-9]{4}"))
    assert re.fullmatch("12[0-9]{2}", engine.generate([1], longer).text)


def test_a_draft_changes_nothing_of_the_form(tokenizer: Tokenizer, engine: Engine) -> None:
    draft = LoadedModel(
        model=FakeModel(tokenizer.vocab_size, max_seq_len=512),
        tokenizer=tokenizer,
        path=Path("draft"),
        name="draft",
        architecture="Fake",
        num_parameters=0,
        chat=False,
    )
    expected = engine.generate([1], SamplingParams(temperature=0, max_tokens=200, form=schema(SCHEMA)))
    for speculation in (Speculation(), Speculation(draft=draft)):
        drafted = Engine(engine.model, tokenizer, speculation=speculation)
        greedy = SamplingParams(temperature=0, max_tokens=200, form=schema(SCHEMA))
        assert drafted.generate([1], greedy).text == expected.text
        drawn = SamplingParams(temperature=1.2, seed=4, max_tokens=200, form=schema(SCHEMA))
        for answer in drafted.generate_samples([1], drawn, num_samples=3):
            check_schema(answer.text)


def test_what_cannot_be_a_form_is_one_clear_line(engine: Engine) -> None:
    for form, message in (
        (lambda: OutputForm(kind=FormKind.JSON_SCHEMA, text="{"), "the schema is not JSON"),
        (lambda: schema([1]), "not a JSON object"),
        (lambda: schema({"type": "foo"}), "the json schema cannot be used: Invalid type: foo"),
        (lambda: schema({"$ref": "http://a/b"}), "does not fetch|not fetch"),
        (lambda: schema({"$ref": "#"}), "no answer can have the form that was asked for: NoExtensionBias$"),
        (lambda: regex("a" * 100_001), "described in 100,001 characters is too long"),
        (lambda: regex("(" * 20_000 + "a" + ")" * 20_000), "the regex cannot be used"),
        (lambda: OutputForm(kind=FormKind.JSON_SCHEMA, text="[" * 50_000), "the schema is not JSON"),
        (lambda: schema({"const": 0} | nested(300)), "recursion limit"),
        (lambda: regex("("), "the regex cannot be used"),
        (lambda: OutputForm(kind=FormKind.GRAMMAR, text="start: nothing"), "the grammar cannot be used"),
    ):
        with pytest.raises(InputError, match=message) as caught:
            engine.generate([1], SamplingParams(form=form()))
        assert "\n" not in str(caught.value) and len(str(caught.value)) < 500


def test_without_the_library_the_extra_is_named(
    tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def missing(name: str, *args: Any, **options: Any) -> Any:
        if name == "llguidance":
            raise ImportError(name)
        return real(name, *args, **options)

    monkeypatch.setattr(builtins, "__import__", missing)
    engine = Engine(FakeModel(tokenizer.vocab_size), tokenizer)
    with pytest.raises(InputError, match=r"yanmo\[constrained\]"):
        engine.generate([1], SamplingParams(form=regex("a")))


def test_a_form_that_the_model_may_not_say_is_told(tokenizer: Tokenizer) -> None:
    engine = Engine(FakeModel(tokenizer.vocab_size), tokenizer)
    banned = dict.fromkeys(range(tokenizer.vocab_size), -torch.inf)
    with pytest.raises(InputError, match="no token is left"):
        engine.generate([1], SamplingParams(form=regex("abc"), logit_bias=banned))
