"""Requests that share steps: the answers of the line, its limits, and a thread that nobody holds for long."""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from answers_made import decoder
from requests_made import begin, end, served, until
from serving_fakes import FakeEngine, fake_model
from starlette.testclient import TestClient

from yanmo.cli.serve import serve
from yanmo.errors import InputError
from yanmo.models.rows import TransformerRows
from yanmo.serving import server
from yanmo.serving.app import create_app
from yanmo.serving.catalog import Card, Catalog, ServedModel
from yanmo.serving.limits import Limits, Turns
from yanmo.serving.opening import describe, key_value_bytes

PROMPTS = ["a cat is", "你好！你在做什么？", "hello! what do you do? i rest.", "the man"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> ServedModel:
    folder = decoder(tmp_path_factory.mktemp("model"), chat_tuned=True).path
    return describe(folder)


def in_line(model: ServedModel) -> ServedModel:
    return replace(model, card=replace(model.card, name="line", alone="a test"))


class Gate:
    """Steps wait for it where it is shut."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.open, self.num_steps = threading.Event(), 0
        self.open.set()
        step = TransformerRows.step

        def gated(*arguments: Any) -> Any:
            self.open.wait(20)
            self.num_steps += 1
            return step(*arguments)

        monkeypatch.setattr(TransformerRows, "step", gated)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    gate = Gate(monkeypatch)
    yield gate
    gate.open.set()


def plain(content: dict[str, Any]) -> dict[str, Any]:
    """Without what differs by its nature."""
    return {key: value for key, value in content.items() if key not in ("id", "created", "model")}


BODIES: list[tuple[str, dict[str, Any]]] = [
    ("completions", {"prompt": "a cat", "max_tokens": 12, "seed": 4}),
    ("completions", {"prompt": PROMPTS, "n": 3, "seed": 4, "echo": True, "stop": ["e", "，"]}),
    ("completions", {"prompt": "a cat", "seed": 4, "logprobs": 2, "echo": True}),
    ("completions", {"prompt": "a cat", "max_tokens": 0, "echo": True}),
    ("chat/completions", {"messages": [{"role": "user", "content": "你好"}], "temperature": 0, "n": 2}),
    ("completions", {"prompt": [1] * 90, "max_tokens": 500, "seed": 4}),
    ("completions", {"prompt": [1] * 900}),
    ("completions", {"prompt": "a", "logit_bias": {"100000": 1}}),
]


@pytest.mark.parametrize(("route", "body"), BODIES)
def test_answers_are_those_of_the_line(model: ServedModel, route: str, body: dict[str, Any]) -> None:
    app = create_app(Catalog([model, in_line(model)]), runs_dir=Path("no-such-folder"))
    asked = TestClient(app, base_url="http://localhost")
    found = [asked.post(f"/v1/{route}", json={"model": name, **body}) for name in ("qwen3", "line")]
    assert found[0].status_code == found[1].status_code
    if "logprobs" not in body:
        assert plain(found[0].json()) == plain(found[1].json())
    if found[0].status_code == 200:
        assert found[0].json()["choices"][0]["finish_reason"] in ("stop", "length")
        streams = [asked.post(f"/v1/{route}", json={"model": "qwen3", "stream": True, **body})]
        assert streams[0].text.endswith("data: [DONE]\n\n")


def test_many_at_once_get_what_each_gets_alone(model: ServedModel, gate: Gate) -> None:
    with served(Catalog([model])) as (address, batches):
        alone = [end(begin(address, prompt=prompt)) for prompt in PROMPTS]
        num_alone = gate.num_steps
        gate.open.clear()
        asked = [begin(address, prompt=prompt) for prompt in PROMPTS]
        # All have joined before the first may make its second step.
        assert until(lambda: batches.batch.num_running + batches.batch.num_waiting == 4)
        gate.open.set()
        together = [end(connection) for connection in asked]
        assert [plain(content) for _, content in together] == [plain(content) for _, content in alone]
        assert gate.num_steps - num_alone < 0.6 * num_alone
        assert until(lambda: batches.num_waiting == 0 and not batches.batch.has_work)


def test_more_than_may_wait_are_refused_and_all_others_served(model: ServedModel, gate: Gate) -> None:
    gate.open.clear()
    with served(Catalog([model]), Limits(max_streams=2, max_waiting=1)) as (address, batches):
        asked = [begin(address) for _ in range(3)]
        assert until(lambda: len(batches._joined) == 3)
        refused = begin(address)
        answer = refused.getresponse()
        assert (answer.status, json.loads(answer.read())["error"]["code"]) == (429, "rate_limit_exceeded")
        assert int(answer.headers["Retry-After"]) >= 1
        gate.open.set()
        assert [end(connection)[0] for connection in asked] == [200] * 3
        assert end(begin(address))[0] == 200


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_leaves_frees_its_place_within_a_step(
    model: ServedModel, gate: Gate, stream: bool
) -> None:
    with served(Catalog([model]), Limits(max_streams=1)) as (address, batches):
        gate.open.clear()
        leaving = begin(address, stream=stream, max_tokens=80)
        assert until(lambda: batches.batch.num_running == 1)
        waiting = begin(address, prompt="the")
        assert until(lambda: len(batches._joined) == 2)
        leaving.close()
        # It is marked, or has gone already.
        assert until(
            lambda: len(batches._joined) == 1 or any(each.reply.cancelled for each in batches._joined)
        )
        before = gate.num_steps
        gate.open.set()
        assert end(waiting)[0] == 200
        # One step that had begun, and those of the other answer.
        assert gate.num_steps - before <= 1 + 30
        assert until(lambda: not batches.batch.has_work)


def test_a_deadline_ends_the_answer_and_frees_its_place(model: ServedModel, gate: Gate) -> None:
    with served(Catalog([model]), Limits(max_request_s=0.3)) as (address, batches):
        gate.open.clear()
        status, content = end(begin(address))
        assert (status, content["error"]["code"]) == (504, "request_timeout")
        gate.open.set()
        assert until(lambda: not batches.batch.has_work)
        assert batches._joined == []


def test_stopping_ends_streams_in_good_order(model: ServedModel, gate: Gate) -> None:
    app = create_app(Catalog([model]), runs_dir=Path("no-such-folder"))
    with contextlib.closing(server.listen("127.0.0.1", 0)) as listener:
        address = urlsplit(server.url("127.0.0.1", listener)).netloc
        with server.in_background(app, listener):
            gate.open.clear()
            running = begin(address, stream=True)
            answer = running.getresponse()
            assert answer.readline().startswith(b"data: ")
        rest = answer.read().decode()
    assert '"code": "server_stopping"' in rest and "[DONE]" not in rest


def test_what_cannot_fit_is_one_clear_line(model: ServedModel) -> None:
    with served(Catalog([model], key_value_bytes=20_000)) as (address, _):
        status, content = end(begin(address, max_tokens=80))
        assert status == 400
        assert content["error"]["message"].startswith("keys and values of ")
        chat = {"model": "qwen3", "messages": [{"role": "user", "content": "hi"}]}
        connection = http.client.HTTPConnection(address, timeout=20)
        connection.request("POST", "/v1/chat/completions", json.dumps(chat))
        # Nothing was asked for, so what there is memory for is the bound.
        assert end(connection)[0] == 200


def test_streams_and_the_line_take_turns(model: ServedModel, gate: Gate) -> None:
    slow = FakeEngine(step_s=0.01)
    with served(Catalog([model, fake_model(engine=slow)])) as (address, batches):
        other = begin(address, model="fake", max_tokens=500)
        assert slow.started.wait(10)
        assert end(begin(address))[0] == 200
        # The job in the line, which is long, has neither ended nor been held up.
        assert batches.batch.counts.steps > 1 and slow.num_steps < len(slow.text.encode())
        assert end(other)[0] == 200


def test_a_model_that_leaves_the_memory_leaves_nothing_behind(model: ServedModel) -> None:
    def sized(name: str) -> ServedModel:
        return replace(model, card=replace(model.card, name=name))

    num_bytes = model.open().num_bytes
    catalog = Catalog([sized("a"), sized("b")], memory_bytes=num_bytes + 1000)
    with served(catalog) as (address, batches):
        assert end(begin(address, model="a", prompt=[1] * 30))[0] == 200
        assert batches.batch.memory.num_kept == 1
        kept = batches.batch.memory._kept[0].rows
        assert end(begin(address, model="b", prompt=[1] * 30))[0] == 200
        assert until(lambda: batches.batch.memory.num_kept == 1)
        assert batches.batch.memory._kept[0].rows is not kept
        assert batches.batch.counts.prefix_hits == 0


def test_models_take_turns_in_room_for_one(model: ServedModel) -> None:
    models = [replace(model, card=replace(model.card, name=name)) for name in ("a", "b")]
    catalog = Catalog(models, memory_bytes=model.open().num_bytes + 1000)
    with served(catalog) as (address, _):
        # Whoever has been answered holds on to nothing.
        assert {end(begin(address, model=name, prompt=[1] * 5))[0] for name in "ab" * 10} == {200}


def test_numbers_are_told(model: ServedModel) -> None:
    app = create_app(Catalog([model]), runs_dir=Path("no-such-folder"))
    asked = TestClient(app, base_url="http://localhost")
    for _ in range(2):
        asked.post("/v1/completions", json={"model": "qwen3", "prompt": [1] * 30, "max_tokens": 3})
    lines = dict(line.split() for line in asked.get("/metrics").text.splitlines() if line[:1] != "#")
    assert lines["yanmo_prefix_hits"] == "1.0" and float(lines["yanmo_prefix_tokens"]) == 30
    assert lines["yanmo_batch_rows"] == lines["yanmo_batch_waiting"] == "0.0"
    assert 0 < float(lines["yanmo_key_value_bytes"]) <= float(lines["yanmo_key_value_budget_bytes"])
    assert float(lines["yanmo_batch_steps"]) == 4


def test_no_streams_at_all_are_refused() -> None:
    with pytest.raises(InputError, match="--streams cannot be 0"):
        serve("none", streams=0)


def test_turns_come_in_the_order_asked_and_are_passed_on() -> None:
    turns, seen = Turns(), list[str]()
    threads = []

    def compute(name: str) -> None:
        with turns:
            seen.append(name)

    with turns:
        for name in "ab":
            threads.append(threading.Thread(target=compute, args=(name,)))
            threads[-1].start()
            place = len(threads) + 1
            assert until(lambda place=place: turns._num_asked == place)
        seen.append("first")
        turns.pass_on()
        seen.append("again")
    for thread in threads:
        thread.join(10)
    assert seen == ["first", "a", "b", "again"]
    with turns.left(), turns:
        seen.append("nobody's")
    assert seen[-1] == "nobody's"


def test_a_share_of_the_memory_is_for_keys_and_values() -> None:
    def card(num_bytes: int, alone: str = "") -> Card:
        return Card(name="m", routes=("completions",), num_bytes=num_bytes, alone=alone)

    assert key_value_bytes(1600, [card(10)]) == 400
    assert key_value_bytes(1600, [card(1300), card(10)]) == 300
    assert key_value_bytes(1600, [card(1590)]) == 100
    assert key_value_bytes(1600, [card(5000)]) == 400
    assert key_value_bytes(1600, [card(10, "it has an encoder")]) == 0
