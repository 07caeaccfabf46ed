"""/v1/embeddings and /v1/similarity, with a fake model and with a real one."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sentence_made import BERT, make_encoder, make_side_files
from serving_fakes import fake_model
from starlette.testclient import TestClient

from yanmo.models.sentence import SentenceEncoder
from yanmo.serving.app import create_app
from yanmo.serving.catalog import Catalog
from yanmo.serving.limits import Limits
from yanmo.serving.opening import load

ROUTES = ("embeddings", "similarity")


def client(**changes: Any) -> TestClient:
    models = Catalog([fake_model(routes=ROUTES, **changes), fake_model("writer")])
    return TestClient(create_app(models, limits=Limits(max_texts=4)), base_url="http://localhost")


def embed(asked: TestClient, **body: Any) -> Any:
    return asked.post("/v1/embeddings", json={"model": "fake", **body})


def error_of(answer: Any) -> tuple[int, str | None, str | None]:
    error = answer.json()["error"]
    return answer.status_code, error["param"], error["code"]


def test_one_text_and_several_in_their_order() -> None:
    one = embed(client(), input="研墨").json()
    assert one["data"] == [{"object": "embedding", "index": 0, "embedding": [2.0, 6.0, 1.0]}]
    assert (one["object"], one["model"]) == ("list", "fake")
    assert one["usage"] == {"prompt_tokens": 6, "total_tokens": 6}
    several = embed(client(), input=["ink", "a", "研墨"]).json()
    assert [(row["index"], row["embedding"][0]) for row in several["data"]] == [(0, 3), (1, 1), (2, 2)]


def test_tokens_mean_their_text_and_base64_the_same_numbers() -> None:
    asked = client()
    for tokens in ([105, 110, 107], [[105, 110, 107]]):
        assert embed(asked, input=tokens).json()["data"][0]["embedding"] == [3.0, 3.0, 1.0]
    coded = embed(asked, input="ink", encoding_format="base64").json()["data"][0]["embedding"]
    assert np.frombuffer(base64.b64decode(coded), dtype="<f4").tolist() == [3.0, 3.0, 1.0]


@pytest.mark.parametrize(
    ("body", "refused"),
    [
        ({"input": []}, (400, "input", "invalid_value")),
        ({"input": ["a"] * 5}, (400, "input", "array_above_max_length")),
        ({"input": [[]]}, (400, "input", "invalid_value")),
        ({"input": [258]}, (400, "input", "invalid_value")),
        ({"input": ["a", 1]}, (400, "input", "invalid_value")),
        ({"input": "x" * 21}, (400, "input", "context_length_exceeded")),
        ({"input": "x", "dimensions": 2}, (400, "dimensions", "invalid_value")),
        ({"input": "x", "encoding_format": "hex"}, (400, "encoding_format", "invalid_value")),
        ({"input": "x", "prompt_name": "query"}, (400, None, None)),
        ({"input": "x", "model": "writer"}, (400, "model", "model_not_supported")),
        ({"input": "x", "model": "none"}, (404, "model", "model_not_found")),
        ({"input": "x", "stream": True}, (400, None, "unknown_parameter")),
        ({}, (400, "input", "missing_required_parameter")),
    ],
)
def test_what_cannot_be_is_refused_with_its_field(body: dict[str, Any], refused: tuple[Any, ...]) -> None:
    assert error_of(embed(client(), **body)) == refused


def test_long_texts_are_cut_where_that_is_asked_for() -> None:
    answer = embed(client(), input="x" * 21, truncate_prompt_tokens=-1, dimensions=3)
    assert answer.json()["usage"]["prompt_tokens"] == 20


def test_similarity_of_pairs() -> None:
    body = {"model": "fake", "input": [["ab", "c"], ["ab", "ab"]]}
    answer = client().post("/v1/similarity", json=body).json()
    # Products of (characters, bytes, 1).
    assert [row["score"] for row in answer["data"]] == [5.0, 9.0]
    assert [row["object"] for row in answer["data"]] == ["similarity"] * 2
    assert answer["usage"]["prompt_tokens"] == 3
    for wrong in (["ab", "c"], [["a"]], [["a", "b", "c"]], [], "ab"):
        refused = client().post("/v1/similarity", json={"model": "fake", "input": wrong})
        assert error_of(refused)[:2] == (400, "input")


def test_a_sentence_folder_answers_as_yanmo_embed(tmp_path: Path) -> None:
    folder = make_side_files(make_encoder(tmp_path / "animals"), pooling={"pooling_mode_mean_tokens": True})
    asked = TestClient(create_app(load([folder])), base_url="http://localhost")
    (card,) = asked.get("/v1/models").json()["data"]
    assert (card["id"], card["routes"], card["chat"]) == ("animals", list(ROUTES), False)
    texts = ["the cat", "一个人在吃东西。"]
    found = asked.post("/v1/embeddings", json={"model": "animals", "input": texts}).json()
    wanted = SentenceEncoder.load(folder).encode(texts)
    got = np.array([row["embedding"] for row in found["data"]], dtype=np.float32)
    np.testing.assert_array_equal(got, wanted)
    assert BERT["hidden_size"] == got.shape[1]
    alike = asked.post("/v1/similarity", json={"model": "animals", "input": [texts]}).json()
    assert alike["data"][0]["score"] == pytest.approx(
        float(wanted[0] @ wanted[1] / np.linalg.norm(wanted[0]) / np.linalg.norm(wanted[1])), abs=1e-6
    )
    refused = asked.post("/v1/completions", json={"model": "animals", "prompt": "x"})
    assert error_of(refused) == (400, "model", "model_not_supported")
