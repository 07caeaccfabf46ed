"""The routes of the API, answered by a model that always says the same."""

from __future__ import annotations

import json
from typing import Any

import pytest
from serving_fakes import EOS, TEXT, FakeEngine, fake_model
from starlette.testclient import TestClient

from yanmo.errors import InputError
from yanmo.serving.app import create_app
from yanmo.serving.catalog import Catalog, ServedModel
from yanmo.serving.limits import Limits

HELLO = [{"role": "user", "content": "hi"}]


def client(*models: ServedModel, limits: Limits | None = None) -> TestClient:
    return TestClient(
        create_app(Catalog(models or [fake_model()]), limits=limits), base_url="http://localhost"
    )


def events(asked: TestClient, path: str, **body: Any) -> list[dict[str, Any]]:
    answer = asked.post(path, json={"model": "fake", "stream": True, **body})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/event-stream")
    blocks = answer.text.split("\n\n")
    assert blocks[-2:] == ["data: [DONE]", ""]
    return [json.loads(block.removeprefix("data: ")) for block in blocks[:-2]]


def error_of(answer: Any) -> dict[str, Any]:
    body = answer.json()
    assert list(body) == ["error"]
    assert set(body["error"]) == {"message", "type", "param", "code"}
    return body["error"]


def test_models_in_the_order_given() -> None:
    asked = client(fake_model("b"), fake_model("研墨/a", chat=False))
    listed = asked.get("/v1/models").json()
    assert listed["object"] == "list"
    assert [model["id"] for model in listed["data"]] == ["b", "研墨/a"]
    assert [model["chat"] for model in listed["data"]] == [True, False]
    assert asked.get("/v1/models/研墨/a").json() == listed["data"][1]
    missing = asked.get("/v1/models/none")
    assert (missing.status_code, error_of(missing)["code"]) == (404, "model_not_found")


def test_catalog_refuses_none_and_twins() -> None:
    with pytest.raises(InputError, match="no model"):
        Catalog([])
    with pytest.raises(InputError, match="same name: a, a"):
        Catalog([fake_model("a"), fake_model("a")])


def test_whole_completion() -> None:
    body = client().post("/v1/completions", json={"model": "fake", "prompt": "研", "max_tokens": 300}).json()
    assert (body["object"], body["model"]) == ("text_completion", "fake")
    assert body["choices"] == [{"index": 0, "text": TEXT, "logprobs": None, "finish_reason": "stop"}]
    count = len(TEXT.encode())
    assert body["usage"] == {"prompt_tokens": 3, "completion_tokens": count, "total_tokens": 3 + count}


def test_completions_have_sixteen_tokens_by_default() -> None:
    body = client().post("/v1/completions", json={"model": "fake", "prompt": "x"}).json()
    assert body["usage"]["completion_tokens"] == 16
    assert body["choices"][0]["finish_reason"] == "length"


def test_whole_chat() -> None:
    engine = FakeEngine()
    asked = client(fake_model(engine=engine))
    body = asked.post("/v1/chat/completions", json={"model": "fake", "messages": HELLO}).json()
    assert body["object"] == "chat.completion"
    assert body["choices"][0]["message"] == {"role": "assistant", "content": TEXT, "refusal": None}
    assert bytes(i for i in engine.prompts[0] if i < 256) == b"user: hi"
    assert body["usage"]["prompt_tokens"] == len(engine.prompts[0])


@pytest.mark.parametrize("usage", [False, True])
def test_streamed_chat(usage: bool) -> None:
    options = {"stream_options": {"include_usage": True}} if usage else {}
    chunks = events(client(), "/v1/chat/completions", messages=HELLO, **options)
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert len({chunk["id"] for chunk in chunks}) == 1
    if usage:
        counts = chunks.pop()
        assert counts["choices"] == []
        assert counts["usage"]["completion_tokens"] == len(TEXT.encode())
    assert all(("usage" in chunk) is usage and chunk.get("usage") is None for chunk in chunks)
    choices = [chunk["choices"][0] for chunk in chunks]
    assert choices[0]["delta"] == {"role": "assistant", "content": ""}
    assert "".join(choice["delta"].get("content", "") for choice in choices) == TEXT
    assert "\ufffd" not in "".join(choice["delta"].get("content", "") for choice in choices)
    assert [choice["finish_reason"] for choice in choices[-2:]] == [None, "stop"]
    assert choices[-1]["delta"] == {}


def test_streamed_completion_equals_the_whole_one() -> None:
    chunks = events(client(), "/v1/completions", prompt="x", max_tokens=30, logprobs=1)
    whole = (
        client()
        .post("/v1/completions", json={"model": "fake", "prompt": "x", "max_tokens": 30, "logprobs": 1})
        .json()["choices"][0]
    )
    choices = [chunk["choices"][0] for chunk in chunks]
    assert "".join(choice["text"] for choice in choices) == whole["text"]
    assert choices[-1]["finish_reason"] == whole["finish_reason"] == "length"
    for key, values in whole["logprobs"].items():
        assert [
            value for choice in choices if choice["logprobs"] for value in choice["logprobs"][key]
        ] == values


def test_completion_logprobs_spell_out_split_characters() -> None:
    engine = FakeEngine("a墨!")
    body = {"model": "fake", "prompt": "x", "logprobs": 3}
    scores = (
        client(fake_model(engine=engine)).post("/v1/completions", json=body).json()["choices"][0]["logprobs"]
    )
    assert scores["tokens"] == ["a", "bytes:\\xe5", "bytes:\\xa2", "bytes:\\xa8", "!"]
    assert scores["text_offset"] == [0, 1, 1, 1, 2]
    assert scores["token_logprobs"][0] == pytest.approx(-0.6931, abs=1e-4)
    assert scores["top_logprobs"][0] == {"a": pytest.approx(-0.6931, abs=1e-4)} | {
        "<|endoftext|>": pytest.approx(-1.3863, abs=1e-4),
        "x": -9999.0,
    }


def test_chat_logprobs() -> None:
    body = {"model": "fake", "messages": HELLO, "max_tokens": 1, "logprobs": True, "top_logprobs": 2}
    scores = client().post("/v1/chat/completions", json=body).json()["choices"][0]["logprobs"]
    (entry,) = scores["content"]
    assert (entry["token"], entry["bytes"]) == ("I", [73])
    assert [top["token"] for top in entry["top_logprobs"]] == ["I", "<|endoftext|>"]


def test_several_prompts_and_answers() -> None:
    engine = FakeEngine("墨")
    asked = client(fake_model(engine=engine))
    body = {"model": "fake", "prompt": [[1, 2], [3]], "n": 2, "seed": 7}
    answer = asked.post("/v1/completions", json=body).json()
    assert [choice["index"] for choice in answer["choices"]] == [0, 1, 2, 3]
    assert {choice["text"] for choice in answer["choices"]} == {"墨"}
    assert engine.prompts == [[1, 2], [1, 2], [3], [3]]
    assert [params.seed for params in engine.params] == [7, 8, 7, 8]
    assert answer["usage"] == {"prompt_tokens": 3, "completion_tokens": 12, "total_tokens": 15}
    chunks = events(asked, "/v1/chat/completions", messages=HELLO, n=2)
    texts = ["", ""]
    for choice in (chunk["choices"][0] for chunk in chunks):
        texts[choice["index"]] += choice["delta"].get("content", "")
    assert texts == ["墨", "墨"]


def test_an_empty_prompt_begins_a_document() -> None:
    engine = FakeEngine()
    asked = client(fake_model(engine=engine))
    for prompt in ("", None, [[]]):
        assert asked.post("/v1/completions", json={"model": "fake", "prompt": prompt}).status_code == 200
    assert engine.prompts == [[EOS]] * 3


@pytest.mark.parametrize("path", ["completions", "chat/completions"])
def test_a_prompt_longer_than_the_context(path: str) -> None:
    engine = FakeEngine()
    body = {"model": "fake", "prompt": "x" * 513, "messages": [{"role": "user", "content": "x" * 513}]}
    del body["messages" if path == "completions" else "prompt"]
    answer = client(fake_model(engine=engine)).post(f"/v1/{path}", json={**body, "stream": True})
    error = error_of(answer)
    assert (answer.status_code, error["code"]) == (400, "context_length_exceeded")
    assert error["param"] == ("prompt" if path == "completions" else "messages")
    assert "512" in error["message"]
    assert engine.prompts == []


@pytest.mark.parametrize(
    ("truncate", "max_tokens", "kept"), [(-1, 100, 413), (-1, 500, 256), (5, 100, 5), (0, 100, 1)]
)
def test_truncation_keeps_the_end_of_the_prompt(truncate: int, max_tokens: int, kept: int) -> None:
    engine = FakeEngine()
    prompt = "a" * 600 + "b"
    body = {"model": "fake", "prompt": prompt, "max_tokens": max_tokens, "truncate_prompt_tokens": truncate}
    answer = client(fake_model(engine=engine)).post("/v1/completions", json=body)
    assert answer.status_code == 200
    assert bytes(engine.prompts[0]).decode() == prompt[-kept:]


@pytest.mark.parametrize("token", [-1, 258])
def test_unknown_token_ids_are_refused(token: int) -> None:
    answer = client().post("/v1/completions", json={"model": "fake", "prompt": [1, token]})
    assert (answer.status_code, error_of(answer)["param"]) == (400, "prompt")


def test_more_tokens_than_the_server_gives() -> None:
    asked = client(limits=Limits(max_new_tokens=100))
    answer = asked.post("/v1/completions", json={"model": "fake", "prompt": "x", "max_tokens": 101})
    assert (answer.status_code, error_of(answer)["param"]) == (400, "max_tokens")


def test_unknown_model_unknown_path_wrong_method() -> None:
    asked = client()
    cases = [
        (asked.post("/v1/completions", json={"model": "gpt-9", "prompt": "x"}), 404, "model_not_found"),
        (asked.get("/v1/nothing"), 404, "unknown_url"),
        (asked.get("/v1/completions"), 405, "method_not_supported"),
        (asked.get("/docs"), 404, "unknown_url"),
        (asked.post("/v1/completions/", json={}), 404, "unknown_url"),
    ]
    for answer, status, code in cases:
        assert (answer.status_code, error_of(answer)["code"]) == (status, code)


def test_a_validation_error_is_400_and_never_422() -> None:
    answer = client().post("/v1/chat/completions", json={"model": "fake", "messages": 5})
    assert (answer.status_code, error_of(answer)["type"]) == (400, "invalid_request_error")


@pytest.mark.parametrize("size", [1001, 5000])
def test_a_body_past_the_limit(size: int) -> None:
    engine = FakeEngine()
    asked = client(fake_model(engine=engine), limits=Limits(max_body_bytes=1000))
    answer = asked.post("/v1/completions", json={"model": "fake", "prompt": "x" * size})
    assert (answer.status_code, error_of(answer)["code"]) == (413, "request_too_large")
    assert engine.prompts == []


def test_errors_of_the_engine_before_the_first_piece_have_their_status() -> None:
    for error, status, kind in [
        (InputError("the scores are wrong"), 400, "invalid_request_error"),
        (RuntimeError("secret detail"), 500, "server_error"),
    ]:
        asked = client(fake_model(engine=FakeEngine(error=error)))
        answer = asked.post("/v1/completions", json={"model": "fake", "prompt": "x", "stream": True})
        assert (answer.status_code, error_of(answer)["type"]) == (status, kind)
        assert "secret" not in answer.text


def test_health() -> None:
    assert client().get("/health").json() == {"status": "ok"}
