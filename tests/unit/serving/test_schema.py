"""Request bodies: what is taken, what is refused, and with which words."""

from __future__ import annotations

import json
from typing import Any

import pytest

from yanmo.serving.api_errors import ApiError
from yanmo.serving.limits import Limits
from yanmo.serving.schema import ChatRequest, CompletionRequest, parse

HELLO = [{"role": "user", "content": "hi"}]


def completion(**fields: Any) -> CompletionRequest:
    return parse(CompletionRequest, json.dumps({"model": "m", **fields}).encode(), Limits())


def chat(**fields: Any) -> ChatRequest:
    return parse(ChatRequest, json.dumps({"model": "m", "messages": HELLO, **fields}).encode(), Limits())


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"temperature": 2.1}, "temperature", "decimal_above_max_value"),
        ({"temperature": -0.1}, "temperature", "decimal_below_min_value"),
        ({"temperature": "0.5"}, "temperature", "invalid_value"),
        ({"top_p": 1.5}, "top_p", "decimal_above_max_value"),
        ({"min_p": -1}, "min_p", "decimal_below_min_value"),
        ({"repetition_penalty": 0}, "repetition_penalty", "decimal_below_min_value"),
        ({"presence_penalty": 3}, "presence_penalty", "decimal_above_max_value"),
        ({"max_tokens": 0}, "max_tokens", "integer_below_min_value"),
        ({"max_tokens": 1.5}, "max_tokens", "invalid_value"),
        ({"max_tokens": True}, "max_tokens", "invalid_value"),
        ({"n": 0}, "n", "integer_below_min_value"),
        ({"n": 17}, "n", "integer_above_max_value"),
        ({"seed": 2**63}, "seed", "integer_above_max_value"),
        ({"stop": ["a", "b", "c", "d", "e"]}, "stop", "invalid_value"),
        ({"stop": ""}, "stop", "invalid_value"),
        ({"logprobs": 6}, "logprobs", "integer_above_max_value"),
        ({"prompt": [1, "a"]}, "prompt", "invalid_value"),
        ({"prompt": []}, "prompt", "invalid_value"),
        ({"prompt": ["a"] * 9, "n": 2}, "n", "integer_above_max_value"),
        ({"best_of": 3, "n": 2}, "best_of", "unsupported_parameter"),
        ({"suffix": "x"}, "suffix", "unsupported_parameter"),
        ({"logit_bias": {"5": 101}}, "logit_bias", "decimal_above_max_value"),
        ({"logit_bias": {"ink": 1}}, "logit_bias", "invalid_value"),
        ({"typical_p": 0}, "typical_p", "decimal_below_min_value"),
        ({"min_tokens": -1}, "min_tokens", "integer_below_min_value"),
        ({"temprature": 1}, None, "unknown_parameter"),
        ({"stream_options": {"include_usage": True}}, "stream_options", None),
        ({"model": None}, "model", "invalid_value"),
    ],
)
def test_bad_completion_is_refused_with_its_field(fields: dict[str, Any], param: str, code: str) -> None:
    with pytest.raises(ApiError) as caught:
        completion(**fields)
    assert (caught.value.status, caught.value.kind) == (400, "invalid_request_error")
    assert (caught.value.param, caught.value.code) == (param, code)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "wizard", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user"}]}, "messages"),
        ({"messages": [*HELLO, {"role": "user", "content": 5}]}, "messages[1].content"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "url": "x"}]}]},
            "messages[0].content",
        ),
        ({"messages": "hi"}, "messages"),
        ({"top_logprobs": 2}, "top_logprobs"),
        ({"top_logprobs": 21, "logprobs": True}, "top_logprobs"),
        ({"tools": [{"type": "function"}]}, "tools"),
        ({"response_format": {"type": "json"}}, "response_format"),
        ({"response_format": {"type": "json_schema", "json_schema": {"name": "x"}}}, "response_format"),
        ({"max_completion_tokens": 0}, "max_completion_tokens"),
    ],
)
def test_bad_chat_is_refused_with_its_field(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(ApiError) as caught:
        chat(**fields)
    assert (caught.value.status, caught.value.param) == (400, param)


@pytest.mark.parametrize(
    "raw", [b"", b"{", b"[]", b"null", b'{"model": "\xff"}', b'{"model": "\\ud800"}', b"[" * 100_000]
)
def test_what_is_no_json_object_is_refused_in_one_short_line(raw: bytes) -> None:
    with pytest.raises(ApiError) as caught:
        parse(CompletionRequest, raw, Limits())
    assert caught.value.status == 400
    assert len(caught.value.message) < 200
    assert "\n" not in caught.value.message


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"1e999"])
def test_numbers_that_are_none_are_refused(number: bytes) -> None:
    with pytest.raises(ApiError) as caught:
        parse(CompletionRequest, b'{"model": "m", "temperature": %b}' % number, Limits())
    assert caught.value.param == "temperature"


def test_missing_model_is_named() -> None:
    with pytest.raises(ApiError) as caught:
        parse(CompletionRequest, b"{}", Limits())
    assert (caught.value.param, caught.value.code) == ("model", "missing_required_parameter")


def test_harmless_parameters_are_ignored() -> None:
    body = chat(user="me", metadata={"a": "b"}, store=False, tools=[], response_format={"type": "text"})
    assert body.num_answers == 1


def test_settings_reach_the_sampler() -> None:
    body = completion(
        temperature=0.5, top_p=0, top_k=-1, min_p=0.1, repetition_penalty=1.1, presence_penalty=-1,
        frequency_penalty=2, stop=["a", "b"], seed=2**63 - 1, logprobs=3, typical_p=0.9,
        logit_bias={"7": -100, "8": 1.5}, no_repeat_ngram_size=3, min_tokens=2, stop_token_ids=[5],
    )  # fmt: skip
    params = body.sampling(max_tokens=9, seed=body.first_seed())
    assert (params.max_tokens, params.temperature, params.min_p, params.num_logprobs) == (9, 0.5, 0.1, 3)
    assert 0 < params.top_p < 1e-6
    assert params.top_k == 0
    assert (params.repetition_penalty, params.presence_penalty, params.frequency_penalty) == (1.1, -1, 2)
    assert params.stop == ("a", "b")
    assert params.seed == 2**63 - 1
    assert (params.typical_p, params.no_repeat_ngram, params.min_tokens) == (0.9, 3, 2)
    assert params.logit_bias == {7: -100, 8: 1.5}
    assert params.stop_token_ids == (5,)


def test_forms_of_answers() -> None:
    schema = {"type": "object", "properties": {"墨": {"type": "string"}}}
    named = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema, "strict": True}}
    for body, kind, text in [
        (chat(response_format=named), "json-schema", json.dumps(schema, ensure_ascii=False)),
        (chat(response_format={"type": "json_object"}), "json-schema", '{"type": "object"}'),
        (completion(guided_regex="[0-9]+"), "regex", "[0-9]+"),
        (chat(guided_grammar='start: "a"'), "grammar", 'start: "a"'),
    ]:
        form = body.sampling(max_tokens=9, seed=0).form
        assert (form.kind, form.text) == (kind, text)
    assert chat(response_format={"type": "text"}).form is None


def test_openai_defaults_where_nothing_is_said() -> None:
    params = completion(stop="x").sampling(max_tokens=16, seed=0)
    assert (params.temperature, params.top_p, params.top_k, params.stop) == (1.0, 1.0, 0, ("x",))
    assert params.num_logprobs is None
    assert chat(logprobs=True).num_logprobs == 0
    assert chat(max_tokens=3, max_completion_tokens=5).max_new_tokens == 5


def test_without_a_seed_each_request_draws_its_own() -> None:
    assert len({completion().first_seed() for _ in range(8)}) > 1


@pytest.mark.parametrize(
    ("prompt", "prompts"),
    [
        (None, [""]),
        ("hi", ["hi"]),
        (["a", "b"], ["a", "b"]),
        ([1, 2], [[1, 2]]),
        ([[1], [2, 3]], [[1], [2, 3]]),
    ],
)
def test_all_forms_of_prompt(prompt: Any, prompts: Any) -> None:
    assert completion(prompt=prompt).prompts == prompts


def test_messages_become_plain_text() -> None:
    parts = [{"type": "text", "text": "研"}, {"type": "text", "text": "墨"}]
    body = chat(
        messages=[
            {"role": "developer", "content": "be short"},
            {"role": "user", "content": parts, "name": "x"},
            {"role": "assistant", "content": None},
        ]
    )
    assert [message.plain() for message in body.messages] == [
        {"role": "system", "content": "be short"},
        {"role": "user", "content": "研墨"},
        {"role": "assistant", "content": ""},
    ]
