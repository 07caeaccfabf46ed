"""Requests that schemathesis makes of the OpenAPI document: no 5xx, no answer that it does not describe.

``YANMO_SCHEMATHESIS=200`` makes so many requests of each route; the default is a few.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
from serving_fakes import fake_model, live_server
from starlette.testclient import TestClient

from yanmo.serving.app import create_app
from yanmo.serving.catalog import Catalog, ServedModel
from yanmo.serving.limits import Limits
from yanmo.serving.tasks import TASK_REQUESTS

schemathesis = pytest.importorskip("schemathesis")
hypothesis = pytest.importorskip("hypothesis")
checks = pytest.importorskip("schemathesis.specs.openapi.checks")

COUNT = int(os.environ.get("YANMO_SCHEMATHESIS", "5"))
ROUTES = (
    "completions",
    "chat/completions",
    "responses",
    "embeddings",
    "similarity",
    *(t.route for t in TASK_REQUESTS),
)
CHECKS = [
    schemathesis.checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
]


def served() -> ServedModel:
    return fake_model("mine", routes=ROUTES, tools="tagged", task="text-classification")


def operations() -> list[Any]:
    asked = TestClient(create_app(Catalog([served()])), base_url="http://localhost")
    schema = schemathesis.openapi.from_dict(asked.get("/openapi.json").json())
    return [found.ok() for found in schema.get_all_operations()]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with live_server(served(), limits=Limits(max_body_bytes=20_000, max_new_tokens=64)) as url:
        yield url


@pytest.mark.parametrize("operation", operations(), ids=lambda each: f"{each.method} {each.path}")
def test_no_request_breaks_the_server_or_its_document(operation: Any, url: str) -> None:
    seen: list[int] = []

    @hypothesis.given(case=operation.as_strategy())
    @hypothesis.settings(
        max_examples=COUNT,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    def send(case: Any) -> None:
        if isinstance(case.body, dict):
            case.body["model"] = "mine"
        answer = case.call(base_url=url)
        seen.append(answer.status_code)
        case.validate_response(answer, checks=CHECKS)

    send()
    assert seen
