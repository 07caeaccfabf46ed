"""Requests to a live server that shares steps: begun and ended apart, so that many are under way at once."""

from __future__ import annotations

import contextlib
import http.client
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from yanmo.serving import server
from yanmo.serving.app import create_app
from yanmo.serving.catalog import Catalog
from yanmo.serving.limits import Limits


@contextlib.contextmanager
def served(catalog: Catalog, limits: Limits | None = None) -> Iterator[tuple[str, Any]]:
    """A live server; its address, and its batches."""
    app = create_app(catalog, limits=limits, runs_dir=Path("no-such-folder"))
    with contextlib.closing(server.listen("127.0.0.1", 0)) as listener:
        address = urlsplit(server.url("127.0.0.1", listener)).netloc
        with server.in_background(app, listener, limits=limits):
            yield address, app.state.batches


def begin(address: str, **body: Any) -> http.client.HTTPConnection:
    connection = http.client.HTTPConnection(address, timeout=30)
    fields = {"model": "qwen3", "prompt": "a cat", "max_tokens": 30, "seed": 1, **body}
    connection.request("POST", "/v1/completions", json.dumps(fields))
    return connection


def end(connection: http.client.HTTPConnection) -> tuple[int, dict[str, Any]]:
    with contextlib.closing(connection):
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())


def until(condition: Callable[[], object], *, seconds: float = 20) -> bool:
    give_up_s = time.monotonic() + seconds
    while not condition() and time.monotonic() < give_up_s:
        time.sleep(0.01)
    return bool(condition())
