"""Tool calls: told to the template, read out of what the model says, whole and streamed."""

from __future__ import annotations

import json
from typing import Any

import pytest
from serving_fakes import FakeEngine, fake_model
from starlette.testclient import TestClient

from yanmo.serving.app import create_app
from yanmo.serving.catalog import Catalog
from yanmo.serving.tools import ToolReader, wraps_calls
from yanmo.tokenizers.chat_template import render, split

HELLO = [{"role": "user", "content": "what is the weather in 杭州?"}]
TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "of a town",
        "parameters": {"type": "object", "properties": {"town": {"type": "string"}}},
    },
}
CALL = '<tool_call>\n{"name": "weather", "arguments": {"town": "杭州"}}\n</tool_call>'
TEMPLATE = (
    "{% if tools %}{% for tool in tools %}{{ tool | tojson }}{% endfor %}{% endif %}"
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}"
    "{% for call in message.tool_calls or [] %}<tool_call>{{ call.function | tojson }}</tool_call>"
    "{% endfor %}<|im_end|>{% endfor %}"
)


def post(engine: FakeEngine, **body: Any) -> Any:
    tools = body.pop("template", "tagged")
    asked = TestClient(
        create_app(Catalog([fake_model(engine=engine, tools=tools)])), base_url="http://localhost"
    )
    given = {"model": "fake", "messages": HELLO, "tools": [TOOL], "max_tokens": 500, **body}
    return asked.post("/v1/chat/completions", json=given)


def read(text: str, *, step: int = 1) -> tuple[str, str, list[tuple[str, str]]]:
    reader = ToolReader(["weather"])
    shown = "".join(reader.push(text[i : i + step]) for i in range(0, len(text), step))
    rest, calls = reader.finish()
    return shown, rest, [(call.name, call.arguments) for call in calls]


@pytest.mark.parametrize("step", [1, 3, 1000])
@pytest.mark.parametrize(
    ("text", "said", "called"),
    [
        (CALL, "", 1),
        (f"Let me see.\n{CALL}\n{CALL}", "Let me see.", 2),
        (CALL.removesuffix("</tool_call>"), "", 1),
        ('{"name": "weather", "parameters": {"town": "杭州"}}', "", 1),
        ('[{"name": "weather", "arguments": {"town": "杭州"}}]', "", 1),
        ("It rains. 1 < 2 <tool", "It rains. 1 < 2 <tool", 0),
        ('{"name": "other"}', '{"name": "other"}', 0),
        ("<tool_call>half", "<tool_call>half", 0),
        ('{"a": 1', '{"a": 1', 0),
        ("[" * 5000, "[" * 5000, 0),
        ("", "", 0),
    ],
)
def test_an_answer_is_parted_however_it_comes(text: str, said: str, called: int, step: int) -> None:
    shown, rest, calls = read(text, step=step)
    assert shown + rest == said
    assert calls == [("weather", '{"town": "杭州"}')] * called


def test_whole_answer_with_a_call() -> None:
    engine = FakeEngine(f"Let me see.\n{CALL}")
    choice = post(engine).json()["choices"][0]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["content"] == "Let me see."
    (call,) = choice["message"]["tool_calls"]
    assert call["id"].startswith("call_")
    assert call["function"] == {"name": "weather", "arguments": '{"town": "杭州"}'}
    assert b"of a town" in bytes(i for i in engine.prompts[0] if i < 256)
    silent = post(FakeEngine(CALL)).json()["choices"][0]["message"]
    assert silent["content"] is None


def test_streamed_answer_with_a_call() -> None:
    answer = post(FakeEngine(f"Ink.\n{CALL}"), stream=True).text.split("\n\n")
    chunks = [json.loads(block.removeprefix("data: ")) for block in answer[:-2]]
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    assert "".join(delta.get("content") or "" for delta in deltas) == "Ink."
    (calls,) = [delta["tool_calls"] for delta in deltas if "tool_calls" in delta]
    assert (calls[0]["index"], calls[0]["function"]["name"]) == (0, "weather")
    assert chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"


def test_an_answer_cut_short_and_one_without_tools_stay_text() -> None:
    assert post(FakeEngine(CALL), max_tokens=20).json()["choices"][0]["finish_reason"] == "length"
    free = post(FakeEngine(CALL), tools=None).json()["choices"][0]
    assert (free["message"]["content"], free["finish_reason"]) == (CALL, "stop")
    engine = FakeEngine(CALL)
    assert post(engine, tool_choice="none").json()["choices"][0]["message"]["content"] == CALL
    assert b"of a town" not in bytes(i for i in engine.prompts[0] if i < 256)


def test_demanded_calls_are_held_to_their_form() -> None:
    engine = FakeEngine(CALL)
    chosen = {"type": "function", "function": {"name": "weather"}}
    for choice in ("required", chosen):
        assert post(engine, tool_choice=choice).status_code == 200
    post(engine, tool_choice="required", template="json")
    tagged, named, plain = [params.form for params in engine.params]
    assert tagged == named
    assert '"<tool_call>\\n" call' in tagged.text
    assert '{"const": "weather"}' in tagged.text
    assert json.loads(plain.text)["anyOf"][0]["required"] == ["name", "parameters"]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"template": None}, "tools"),
        ({"tools": [{"type": "function", "function": {"name": "a b"}}]}, "tools"),
        ({"tools": [], "tool_choice": "required"}, "tool_choice"),
        ({"tool_choice": {"type": "function", "function": {"name": "none"}}}, "tool_choice"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        (
            {
                "messages": [
                    *HELLO,
                    {"role": "assistant", "tool_calls": [{"function": {"name": "a", "arguments": "{"}}]},
                ]
            },
            "messages",
        ),
    ],
)
def test_what_cannot_be_is_refused(body: dict[str, Any], param: str) -> None:
    answer = post(FakeEngine(), **body)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


def test_templates_see_tools_calls_and_results_but_no_forged_frames() -> None:
    called = {"type": "function", "function": {"name": "weather", "arguments": {"town": "<|im_end|>"}}}
    messages = [
        {"role": "assistant", "content": "", "tool_calls": [called]},
        {"role": "tool", "content": "rain"},
    ]
    text = render(TEMPLATE, messages, add_generation_prompt=False, names={}, tools=[TOOL])
    assert json.dumps(TOOL, ensure_ascii=False) in text
    assert '<tool_call>{"name": "weather"' in text
    specials = ("<|im_start|>", "<|im_end|>")
    pieces = split(TEMPLATE, messages, specials=specials, add_generation_prompt=False, names={}, tools=[TOOL])
    assert sum(piece.is_special for piece in pieces) == 4
    assert "".join(piece.text for piece in pieces) == text
    assert wraps_calls(TEMPLATE)
