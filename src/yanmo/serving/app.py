"""The HTTP server: an API that OpenAI's clients speak, and the page.

Routes: POST /v1/completions and /v1/chat/completions, GET /v1/models and /v1/models/{id}, and those of the
page (``site``).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import torch
from fastapi import FastAPI, Request
from fastapi.responses import Response
from starlette.requests import ClientDisconnect

from yanmo.reporting.progress import say
from yanmo.serving import api_errors, catalog, server
from yanmo.serving.api_errors import ApiError
from yanmo.serving.catalog import Catalog
from yanmo.serving.guard import Access, read_api_key
from yanmo.serving.limits import Limits, Line
from yanmo.serving.schema import ChatRequest, CompletionRequest, GenerationRequest, parse
from yanmo.serving.site import create_site, fresh
from yanmo.serving.streaming import answer

# How far a body that is too large is read after all, so that its sender sees the answer.
_DISCARD_FACTOR = 16
_DISCARD_S = 2.0

_Body = TypeVar("_Body", bound=GenerationRequest)


def create_app(
    models: Catalog,
    *,
    access: Access | None = None,
    limits: Limits | None = None,
    runs_dir: Path = Path("runs"),
) -> FastAPI:
    """Build the application.

    Args:
        models: what is served.
        access: who may ask; None for this machine alone, without a key.
        limits: what one request may cost; None for the defaults.
        runs_dir: folder of the training runs that the page shows; need not be there.
    """
    limits = limits or Limits()
    line = Line(max_waiting=limits.max_waiting)

    app = create_site(access=access, runs=[runs_dir], on_stop=line.close)
    app.state.line = line
    _add_models(app, models)
    _add_generation(app, models, line, limits)
    return app


def serve(
    models: Sequence[Path | str],
    *,
    port: int = 8000,
    host: str = "127.0.0.1",
    api_key_file: Path | None = None,
    runs_dir: Path = Path("runs"),
    limits: Limits | None = None,
    dtype: torch.dtype = torch.float32,
    on_ready: Callable[[str], None] | None = None,
) -> None:
    """Load models and serve them until SIGINT or SIGTERM.

    Args:
        models: model folders, runs, .gguf files or cached names.
        port: to listen on; 0 takes a free one.
        host: address to listen on; other than loopback needs a key.
        api_key_file: file with the API key that requests must bring, or None.
        runs_dir: folder of the training runs that the page shows.
        limits: what one request may cost; None for the defaults.
        dtype: type of the weights in memory.
        on_ready: told the URL when requests are taken; None prints it on stderr.

    Raises:
        InputError: a model cannot be loaded, the port is taken, or the host is refused.
        Interrupted: always at the end: the signal that stopped the server.
    """
    access = Access(host=host, api_key=None if api_key_file is None else read_api_key(api_key_file))
    with contextlib.closing(server.listen(host, port)) as listener:
        served = catalog.load([Path(path) for path in models], dtype=dtype)
        app = create_app(served, access=access, limits=limits, runs_dir=runs_dir)
        server.run(app, listener, server.url(host, listener), on_ready=on_ready or _say_ready)


def _say_ready(url: str) -> None:
    say(f"yanmo: serving on {url} (Ctrl-C stops)")


def _add_models(app: FastAPI, models: Catalog) -> None:
    @app.get("/v1/models")
    async def list_models() -> Response:
        return fresh({"object": "list", "data": [model.to_mapping() for model in models]})

    @app.get("/v1/models/{name:path}")
    async def show_model(name: str) -> Response:
        return fresh(models.find(name).to_mapping())


def _add_generation(app: FastAPI, models: Catalog, line: Line, limits: Limits) -> None:
    async def respond(request: Request, kind: type[_Body]) -> Response:
        body = parse(kind, await _read_body(request, limits), limits)
        return await answer(request, body, models.find(body.model), line, limits)

    @app.post("/v1/completions")
    async def complete(request: Request) -> Response:
        return await respond(request, CompletionRequest)

    @app.post("/v1/chat/completions")
    async def chat(request: Request) -> Response:
        return await respond(request, ChatRequest)


async def _read_body(request: Request, limits: Limits) -> bytes:
    """The body, kept no further than the limit.

    Raises:
        ApiError: 413 too large, 408 too slow, or the client left.
    """
    body = bytearray()
    try:
        async with asyncio.timeout(limits.max_body_s):
            async for block in request.stream():
                body += block
                if len(body) > limits.max_body_bytes:
                    break
    except TimeoutError:
        raise ApiError(
            f"The request body took longer than {limits.max_body_s:g} s.", status=408, code="body_too_slow"
        ) from None
    except ClientDisconnect:
        raise api_errors.client_left() from None
    if len(body) > limits.max_body_bytes:
        await _discard_rest(request, _DISCARD_FACTOR * limits.max_body_bytes)
        raise api_errors.body_too_large(limits.max_body_bytes)
    return bytes(body)


async def _discard_rest(request: Request, most_bytes: int) -> None:
    """Read on for a moment: a connection closed over unread bytes is reset, and takes the answer with it."""
    num_bytes = 0
    with contextlib.suppress(TimeoutError, ClientDisconnect):
        async with asyncio.timeout(_DISCARD_S):
            more = True
            while more and num_bytes < most_bytes:
                message = await request.receive()
                more = message.get("more_body", False)
                num_bytes += len(message.get("body", b""))
