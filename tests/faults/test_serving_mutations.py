"""Bodies made from the OpenAPI document and damaged at random: never a 5xx, and the server lives.

``YANMO_MUTATIONS=10000`` sends so many; the default is a few hundred.
"""

from __future__ import annotations

import copy
import json
import os
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import answers_made
from serving_fakes import fake_model
from starlette.testclient import TestClient

from yanmo.serving.app import create_app
from yanmo.serving.catalog import Catalog
from yanmo.serving.limits import Limits
from yanmo.serving.opening import load
from yanmo.serving.tasks import TASK_REQUESTS

COUNT = int(os.environ.get("YANMO_MUTATIONS", "300"))
ROUTES = ("completions", "chat/completions", "responses", "embeddings", "similarity")
ALL = (*ROUTES, *(kind.route for kind in TASK_REQUESTS))
SCALARS: list[Any] = [
    *(None, True, False, 0, -1, 1, 2**31, 2**63, -(2**64), 10**400, 0.5, -1e308, 1e308, 257, 258),
    *(
        "",
        "x",
        "墨" * 50,
        "\x00",
        "<|im_end|>",
        "🎨",
        "true",
        "1",
        "none",
        "fake",
        "function",
        "tool",
        "a" * 3000,
    ),
    *([], {}, [[]], [None], [[], []], {"": ""}, {"a": {"a": {"a": []}}}, [1, "a"], ["a", ["b", "c"]]),
]
RAW = [b"\xff", b"\x00", b"{", b"}", b"]", b'"', b"\\ud800", b"NaN", b"1e999", b"-", b",", b":", b"[" * 2000]


def made(schema: Mapping[str, Any], defs: Mapping[str, Any], chance: random.Random, depth: int = 0) -> Any:
    """A value that a schema takes, as far as it says what."""
    if "$ref" in schema:
        return made(defs[schema["$ref"].split("/")[-1]], defs, chance, depth)
    if "anyOf" in schema:
        return made(chance.choice(schema["anyOf"]), defs, chance, depth)
    if "enum" in schema or "const" in schema:
        return chance.choice(schema.get("enum") or [schema["const"]])
    match schema.get("type"):
        case "object":
            properties, required = schema.get("properties", {}), schema.get("required", [])
            names = [name for name in properties if name in required or chance.random() < 0.25]
            return {name: made(properties[name], defs, chance, depth + 1) for name in names}
        case "array":
            count = chance.randint(schema.get("minItems", 0), max(2, schema.get("minItems", 0)))
            return [made(schema["items"], defs, chance, depth + 1) for _ in range(count)]
        case "integer":
            return chance.choice([schema.get("minimum", 0), schema.get("maximum", 3), 1, 2])
        case "number":
            return chance.choice([schema.get("minimum", 0.5), schema.get("maximum", 1.0), 0.7])
        case "boolean":
            return chance.random() < 0.5
        case "null":
            return None
        case _:
            return chance.choice(["ink", "研墨宜缓。", "a", ""])


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every container with each of its keys."""
    if isinstance(value, dict):
        return [(value, key) for key in value] + [found for each in value.values() for found in places(each)]
    if isinstance(value, list):
        own = [(value, index) for index in range(len(value))]
        return own + [found for each in value for found in places(each)]
    return []


def damage(body: dict[str, Any], chance: random.Random) -> bytes:
    """One to three changes of values, names or bytes."""
    for _ in range(chance.randint(0, 3)):
        container, key = chance.choice(places(body) or [(body, "model")])
        match chance.randrange(4):
            case 0 | 1:
                container[key] = copy.deepcopy(chance.choice(SCALARS))
            case 2 if isinstance(container, dict):
                container[chance.choice(["", "role", "n", "墨", "x" * 300])] = container.pop(key, None)
            case _:
                container[key] = [container[key]] * 3 if key in container or isinstance(key, int) else None
    raw = bytearray(json.dumps(body, ensure_ascii=chance.random() < 0.5).encode())
    if chance.random() < 0.25:
        at = chance.randrange(len(raw) + 1)
        raw[at : at + chance.randint(0, 4)] = chance.choice(RAW)
    return bytes(raw)


def send_damaged(models: Catalog, name: str, routes: tuple[str, ...], count: int) -> dict[int, int]:
    """Send so many bodies to the routes of a model in turn; how often each status came."""
    limits = Limits(max_body_bytes=20_000, max_new_tokens=64)
    asked = TestClient(create_app(models, limits=limits), base_url="http://localhost")
    document = asked.get("/openapi.json").json()
    defs, chance = document["components"]["schemas"], random.Random(7)
    statuses: dict[int, int] = {}
    for number in range(count):
        path = f"/v1/{routes[number % len(routes)]}"
        schema = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]
        raw = damage(made(schema, defs, chance) | {"model": name}, chance)
        answer = asked.post(path, content=raw)
        assert answer.status_code in (200, 400, 404, 413), (path, raw, answer.text)
        if answer.status_code != 200:
            assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
            assert len(answer.text) < 3000
        statuses[answer.status_code] = statuses.get(answer.status_code, 0) + 1
    answer = asked.post("/v1/completions", json={"model": name, "prompt": "x", "max_tokens": 2})
    assert answer.status_code == 200
    return statuses


def test_damaged_bodies_never_break_the_server() -> None:
    models = Catalog([fake_model("mine", routes=ALL, tools="tagged", task="text-classification")])
    statuses = send_damaged(models, "mine", ALL, COUNT)
    # Both ends are reached: the bodies are neither all right nor all wrong.
    assert statuses[200] > COUNT / 20
    assert statuses[400] > COUNT / 5


def test_damaged_bodies_never_break_a_real_model(tmp_path: Path) -> None:
    folder = answers_made.decoder(tmp_path).path
    statuses = send_damaged(load([folder]), folder.name, ROUTES, COUNT // 4)
    assert statuses[200] > COUNT / 80
    assert statuses[400] > COUNT / 20
