"""The route table as a whole: who may ask what, what is counted, what the document says."""

from __future__ import annotations

import json
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from serving_fakes import TEXT, fake_model
from starlette.testclient import TestClient

from yanmo.serving.app import create_app
from yanmo.serving.catalog import Catalog
from yanmo.serving.guard import Access

KEY = "a-long-enough-key"
OPEN = {"/", "/favicon.ico", "/static/{name}", "/health"}
HELLO = [{"role": "user", "content": "hi"}]
LOCAL = [
    *("evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "evil.example:8000", "0.0.0.0"),
    *("192.168.1.5", "localhost@evil.example", "[2001:db8::1]", "127.0.0.1.", "", "localhost evil.example"),
]
FORGED_HOSTS = [host for host in LOCAL if host != "127.0.0.1."]
FORGED_ORIGINS = [
    *("http://evil.example", "https://evil.example:8000", "null", "http://localhost:1", "http://127.0.0.1"),
    *("http://localhost.evil.example", "file://", "chrome-extension://abc", "http://[::1", "localhost"),
]


def app(**settings: Any) -> Any:
    models = Catalog([fake_model(), fake_model("vectors", routes=("embeddings", "similarity"))])
    return create_app(models, **settings)


def client(**settings: Any) -> TestClient:
    return TestClient(app(**settings), base_url="http://localhost")


def routes() -> list[tuple[str, str]]:
    return sorted((method, route.path) for route in app().routes for method in route.methods)


def counted(asked: TestClient, **headers: str) -> dict[str, float]:
    answer = asked.get("/metrics", headers=headers)
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    return {
        sample.name + "".join(sorted(f" {value}" for value in sample.labels.values())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def test_every_route_but_those_of_the_page_wants_the_key() -> None:
    asked = client(access=Access(api_key=KEY))
    assert len(routes()) > 15
    for method, path in [*routes(), ("GET", "/none"), ("POST", "/none"), ("DELETE", "/v1/models")]:
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {KEY}"}):
            status = asked.request(method, path, headers=headers).status_code
            assert (status == 401) is (path not in OPEN), (method, path)
        with_key = asked.request(method, path, headers={"Authorization": f"Bearer {KEY}"})
        assert with_key.status_code != 401


def test_a_route_that_someone_adds_is_closed_until_it_is_opened_on_purpose() -> None:
    added = app(access=Access(api_key=KEY))
    paths = ("/added", "/healthy", "/health/added", "/v1/added", "/static", "/favicon.ico/added")
    for path in paths:
        added.add_api_route(path, lambda: "secret", methods=["GET", "POST", "DELETE"])
    asked = TestClient(added, base_url="http://localhost")
    for path in paths:
        for method in ("GET", "POST", "DELETE"):
            assert asked.request(method, path).status_code == 401, path
            answer = asked.request(method, path, headers={"Authorization": f"Bearer {KEY}"})
            assert (answer.status_code, answer.json()) == (200, "secret")


@pytest.mark.parametrize("host", FORGED_HOSTS)
def test_forged_hosts(host: str) -> None:
    asked = client()
    for method, path in (("GET", "/v1/models"), ("POST", "/v1/completions"), ("GET", "/")):
        assert 400 <= asked.request(method, path, headers={"Host": host}).status_code < 500
    assert asked.get("/v1/models", headers={"Host": "127.0.0.1:8000"}).status_code == 200


@pytest.mark.parametrize("origin", FORGED_ORIGINS)
def test_forged_origins(origin: str) -> None:
    body = {"model": "fake", "prompt": "x"}
    for method, path in routes():
        if method == "POST":
            answer = client().post(path, json=body, headers={"Origin": origin})
            assert answer.status_code == 403, path
            assert answer.json()["error"]["code"] == "origin_not_allowed"


def test_what_is_counted() -> None:
    asked = client()
    asked.post("/v1/completions", json={"model": "fake", "prompt": "abc", "max_tokens": 5})
    asked.post("/v1/chat/completions", json={"model": "fake", "messages": HELLO, "stream": True})
    asked.post("/v1/embeddings", json={"model": "vectors", "input": "ink"})
    asked.post("/v1/embeddings", json={"model": "none", "input": "ink"})
    asked.get("/anything/at/all")
    found = counted(asked)
    assert found["yanmo_http_requests_total /v1/completions 200 POST"] == 1
    assert found["yanmo_http_requests_total /v1/embeddings 200 POST"] == 1
    assert found["yanmo_http_requests_total /v1/embeddings 404 POST"] == 1
    assert found["yanmo_http_requests_total 404 GET none"] == 1
    assert found["yanmo_tokens_total completion fake"] == 5 + len(TEXT.encode())
    assert found["yanmo_tokens_total prompt vectors"] == 3
    assert found["yanmo_time_to_first_token_seconds_count fake"] == 2
    assert found["yanmo_time_per_token_seconds_count fake"] == 4 + len(TEXT.encode()) - 1
    assert found["yanmo_line_wait_seconds_count"] == 3
    assert (found["yanmo_line_waiting"], found["yanmo_models_in_memory"]) == (0, 2)
    assert found["process_resident_memory_bytes"] > 0
    assert found["yanmo_http_request_seconds_count /v1/completions"] == 1


def test_the_document_names_every_route_and_every_body() -> None:
    document = client().get("/openapi.json").json()
    ours = {path for _, path in routes()} - {"/", "/favicon.ico", "/static/{name}"}
    assert set(document["paths"]) == {path.replace("{name:path}", "{name}") for path in ours}
    schemas = document["components"]["schemas"]
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            assert operation["summary"], path
            assert "422" not in operation["responses"]
            content = operation["responses"]["200"]["content"]
            streams = path.endswith(("completions", "responses"))
            assert ("text/event-stream" in content) is streams
            assert path == "/metrics" or content["application/json"]["schema"]["type"] == "object", path
            if method == "post":
                name = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].split("/")[
                    -1
                ]
                assert "model" in schemas[name]["required"]
    text = json.dumps(document)
    assert "ValidationError" not in text
    # Every reference leads somewhere.
    for reference in set(text.split('"$ref": "')[1:]):
        assert reference.split('"')[0].removeprefix("#/components/schemas/") in schemas


def test_the_load_says_what_runs_and_what_is_in_memory() -> None:
    asked = client()
    before = asked.get("/api/load").json()
    assert (before["running"], before["waiting"], before["max_waiting"]) == (0, 0, 8)
    assert before["models"] == [] and before["memory"]["models"] == 0
    assert before["memory"]["available"] > 0 and before["memory"]["budget"] is None
    asked.post("/v1/chat/completions", json={"model": "fake", "messages": HELLO})
    assert asked.get("/api/load").json()["models"] == ["fake"]
