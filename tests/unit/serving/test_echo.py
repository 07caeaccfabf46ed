"""``echo``: prompts repeated with their log-probabilities, as harnesses that rank answers ask for them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import answers_made
import pytest
import torch
from serving_fakes import FakeEngine, fake_model
from starlette.testclient import TestClient

from yanmo.models.registry import load as load_model
from yanmo.serving.app import create_app
from yanmo.serving.catalog import Catalog
from yanmo.serving.opening import load

HALF = pytest.approx(-0.6931, abs=1e-4)


def complete(asked: TestClient, **body: Any) -> Any:
    return asked.post("/v1/completions", json={"model": "fake", "temperature": 0, **body})


@pytest.fixture
def asked() -> TestClient:
    models = Catalog([fake_model(engine=FakeEngine("!?"))])
    return TestClient(create_app(models), base_url="http://localhost")


def test_the_prompt_stands_before_the_answer(asked: TestClient) -> None:
    body = {"prompt": "研墨", "echo": True, "logprobs": 1, "max_tokens": 1}
    choice = complete(asked, **body).json()["choices"][0]
    assert choice["text"] == "研墨!"
    scores = choice["logprobs"]
    assert scores["token_logprobs"] == [None, *[HALF] * 6]
    assert scores["top_logprobs"][0] is None
    assert scores["tokens"][-1] == "!"
    assert scores["text_offset"] == [0, 0, 0, 1, 1, 1, 2]
    assert {len(values) for values in scores.values()} == {7}


def test_nothing_more_than_the_prompt(asked: TestClient) -> None:
    choice = complete(asked, prompt=[97, 98], echo=True, logprobs=0, max_tokens=0).json()["choices"][0]
    assert (choice["text"], choice["finish_reason"]) == ("ab", "length")
    assert choice["logprobs"]["tokens"] == ["a", "b"]
    plain = complete(asked, prompt="", echo=True, max_tokens=1).json()
    assert (plain["choices"][0]["text"], plain["choices"][0]["logprobs"]) == ("!", None)
    assert complete(asked, prompt="ab", max_tokens=0).json()["error"]["param"] == "max_tokens"


def test_streamed_and_for_every_answer(asked: TestClient) -> None:
    body = {"prompt": ["ab", "c"], "n": 2, "echo": True, "logprobs": 0, "max_tokens": 1}
    whole = complete(asked, **body).json()["choices"]
    assert [choice["text"] for choice in whole] == ["ab!", "ab!", "c!", "c!"]
    blocks = complete(asked, stream=True, **body).text.split("\n\n")[:-2]
    texts, tokens = [""] * 4, [list[str]() for _ in range(4)]
    for choice in (json.loads(block.removeprefix("data: "))["choices"][0] for block in blocks):
        texts[choice["index"]] += choice["text"]
        tokens[choice["index"]] += (choice["logprobs"] or {"tokens": []})["tokens"]
    assert texts == ["ab!", "ab!", "c!", "c!"]
    assert tokens == [choice["logprobs"]["tokens"] for choice in whole]


def test_log_probabilities_are_the_models(tmp_path: Path) -> None:
    folder = answers_made.decoder(tmp_path).path
    loaded = load_model(folder)
    prompt = "a man is eating food, and a cat is resting by the door. " * 6
    ids = loaded.tokenizer.encode(prompt)[:90]
    # Longer than what is scored at once.
    assert len(ids) > 64
    asked = TestClient(create_app(load([folder])), base_url="http://localhost")
    body = {"model": loaded.name, "prompt": ids, "echo": True, "logprobs": 2, "max_tokens": 1}
    scores = complete(asked, **body).json()["choices"][0]["logprobs"]
    wanted = -loaded.model.token_losses(torch.tensor([ids]))[0]
    assert scores["token_logprobs"][0] is None
    torch.testing.assert_close(
        torch.tensor(scores["token_logprobs"][1 : len(ids)]), wanted, atol=1e-4, rtol=1e-4
    )
    logits = loaded.model(torch.tensor([ids]))[0]
    best = logits.argmax(-1)
    for place, top in enumerate(scores["top_logprobs"][1 : len(ids)]):
        assert len(top) == 2
        name = max(top, key=top.get)
        if (raw := loaded.tokenizer.token_bytes(int(best[place]))).isascii():
            assert name == raw.decode()


def test_source_texts_are_not_echoed(tmp_path: Path) -> None:
    folder = answers_made.encoder_decoder(tmp_path).path
    asked = TestClient(create_app(load([folder])), base_url="http://localhost")
    answer = complete(asked, model=folder.name, prompt="a man", echo=True, logprobs=1)
    assert answer.status_code == 400
    assert "source text" in answer.json()["error"]["message"]
