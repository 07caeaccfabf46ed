"""The routes of fine-tuned models: one schema each, and what ``yanmo predict`` says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import answers_made
import pytest
from sentence_made import BERT, make_encoder
from serving_fakes import fake_model
from starlette.testclient import TestClient

from yanmo.finetuning.answers.written import Rewriting
from yanmo.finetuning.task_model import TaskModel
from yanmo.serving.app import create_app
from yanmo.serving.catalog import Catalog
from yanmo.serving.limits import Limits
from yanmo.serving.opening import load

ROUTES = ("classify", "tag", "answer", "translate", "summarize")
LABELS = {"id2label": {"0": "cat", "1": "狗"}, "label2id": {"cat": 0, "狗": 1}}


def client(*, task: str = "text-classification") -> TestClient:
    models = Catalog([fake_model(routes=ROUTES, task=task), fake_model("writer")])
    return TestClient(create_app(models, limits=Limits(max_texts=4)), base_url="http://localhost")


def ask(asked: TestClient, route: str, given: Any, **more: Any) -> Any:
    return asked.post(f"/v1/{route}", json={"model": "fake", "input": given, **more})


def error_of(answer: Any) -> tuple[int, str | None, str | None]:
    error = answer.json()["error"]
    return answer.status_code, error["param"], error["code"]


@pytest.mark.parametrize("route", ["classify", "tag", "translate", "summarize"])
def test_one_text_and_a_batch(route: str) -> None:
    asked = client()
    one = ask(asked, route, "研墨").json()
    assert (one["object"], one["model"]) == ("list", "fake")
    assert [(row["index"], row["label"], row["text"]) for row in one["data"]] == [(0, "short", "墨研")]
    writes = route in ("translate", "summarize")
    assert one["usage"] == {
        "prompt_tokens": 6,
        "completion_tokens": 6 * writes,
        "total_tokens": 6 + 6 * writes,
    }
    batch = ask(asked, route, ["grind slowly", "ink"]).json()
    assert [row["label"] for row in batch["data"]] == ["long", "short"]
    names = {"classify": "classification", "tag": "tags", "translate": "translation", "summarize": "summary"}
    assert {row["object"] for row in batch["data"]} == {names[route]}


def test_questions_and_pairs() -> None:
    question = {"question": "who", "context": "Wang grinds"}
    asked = client(task="question-answering")
    assert len(ask(asked, "answer", question).json()["data"]) == 1
    assert [row["label"] for row in ask(asked, "answer", [question, question]).json()["data"]] == ["long"] * 2
    pairs = client(task="pair-classification")
    assert ask(pairs, "classify", [["a", "b"], ["a", "grinds"]]).json()["data"][1]["label"] == "long"
    assert error_of(ask(pairs, "classify", ["a", "b"])) == (400, "input", "invalid_value")
    assert error_of(ask(client(), "classify", [["a", "b"]])) == (400, "input", "invalid_value")


@pytest.mark.parametrize(
    ("route", "given"),
    [
        ("classify", []),
        ("classify", 5),
        ("classify", ["a", ["a", "b"]]),
        ("classify", ["a"] * 5),
        ("tag", [["a"]]),
        ("answer", "who?"),
        ("answer", {"question": "who"}),
        ("answer", {"question": "who", "context": "x", "more": 1}),
        ("translate", ["a"] * 17),
        ("summarize", None),
    ],
)
def test_wrong_input_is_refused_with_its_field(route: str, given: Any) -> None:
    assert error_of(ask(client(), route, given))[:2] == (400, "input")


def test_a_model_of_another_task_says_what_it_answers() -> None:
    answer = ask(client(), "classify", "x", model="writer")
    assert error_of(answer) == (400, "model", "model_not_supported")
    assert "/v1/chat/completions" in answer.json()["error"]["message"]
    assert error_of(ask(client(), "classify", "x", temperature=1))[2] == "unknown_parameter"


@pytest.mark.parametrize(
    ("architecture", "task", "route", "given"),
    [
        ("BertForSequenceClassification", "text-classification", "classify", ["the cat", "一个人"]),
        ("BertForTokenClassification", "token-classification", "tag", ["the girl is a man", "a cat"]),
        (
            "BertForQuestionAnswering",
            "question-answering",
            "answer",
            [{"question": "man", "context": "the girl is eating food"}],
        ),
    ],
)
def test_heads_answer_as_yanmo_predict(
    tmp_path: Path, architecture: str, task: str, route: str, given: list[Any]
) -> None:
    config = BERT | {"architectures": [architecture]} | (LABELS if route != "answer" else {})
    folder = make_encoder(tmp_path / "fake", config=config)
    # As where a sentence model was fine-tuned.
    (folder / "modules.json").write_text("[]")
    asked = TestClient(create_app(load([folder])), base_url="http://localhost")
    (card,) = asked.get("/v1/models").json()["data"]
    assert (card["task"], card["routes"]) == (task, [route])
    texts = [tuple(each.values()) if isinstance(each, dict) else (each,) for each in given]
    wanted = json.loads(json.dumps(TaskModel.load(folder).predict(texts)))
    rows = ask(asked, route, given).json()["data"]
    assert [{key: row[key] for key in row if key not in ("object", "index")} for row in rows] == wanted
    assert error_of(ask(asked, "embeddings", "x"))[2] == "model_not_supported"


@pytest.mark.parametrize("make", [answers_made.encoder_decoder, answers_made.decoder])
def test_a_translator_translates_and_completes(tmp_path: Path, make: Any) -> None:
    checkpoint = make(tmp_path / "fake")
    folder, skill = checkpoint.path, Rewriting(task="translation")
    skill.network(checkpoint)
    config = {**checkpoint.config, "finetuning_task": "translation", **skill.settings}
    (folder / "config.json").write_text(json.dumps(config))
    asked = TestClient(create_app(load([folder])), base_url="http://localhost")
    (card,) = asked.get("/v1/models").json()["data"]
    routes = ["translate", "completions", "chat/completions", "responses", "embeddings", "similarity"]
    assert (card["task"], card["routes"]) == ("translation", routes)
    wanted = TaskModel.load(folder).predict([("a b",)])[0]["text"]
    model = {"model": card["id"]}
    assert ask(asked, "translate", "a b", **model).json()["data"][0]["text"] == wanted
    completed = asked.post("/v1/completions", json={"prompt": "a b", "max_tokens": 2, **model})
    assert completed.status_code == 200
    assert len(ask(asked, "embeddings", "a b", **model).json()["data"][0]["embedding"]) > 1
    assert error_of(ask(asked, "summarize", "a", **model))[2] == "model_not_supported"
