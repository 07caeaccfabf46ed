"""The HTTP server: an API that OpenAI's clients speak, and the page.

Routes: POST /v1/completions and /v1/chat/completions, GET /v1/models and /v1/models/{id}, /health,
/api/runs and /api/runs/{name}/metrics, / and /static. Errors have OpenAI's shape everywhere.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar
from urllib.parse import quote

import torch
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from yanmo.errors import InputError, Interrupted, YanmoError
from yanmo.reporting.progress import say
from yanmo.serving import api_errors, catalog
from yanmo.serving.api_errors import ApiError
from yanmo.serving.catalog import Catalog
from yanmo.serving.guard import Access, Guard, read_api_key
from yanmo.serving.limits import Limits, Line
from yanmo.serving.page import file_response, read_page
from yanmo.serving.schema import ChatRequest, CompletionRequest, GenerationRequest, parse
from yanmo.serving.streaming import answer
from yanmo.serving.training_runs import run_list, run_metrics

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

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        line.close()

    # FastAPI's own documentation pages load scripts from elsewhere.
    app = FastAPI(lifespan=lifespan, redirect_slashes=False, docs_url=None, redoc_url=None, openapi_url=None)
    app.state.line = line
    app.add_middleware(Guard, access=access or Access())
    _add_errors(app)
    _add_page(app)
    _add_runs(app, runs_dir)
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
    with contextlib.closing(_listen(host, port)) as listener:
        served = catalog.load([Path(path) for path in models], dtype=dtype)
        app = create_app(served, access=access, limits=limits, runs_dir=runs_dir)
        url = _url(host, listener.getsockname()[1])
        server = _Server(app, on_started=lambda: (on_ready or _say_ready)(url))
        asyncio.run(server.serve(sockets=[listener]))
    if server.signal is None:
        raise YanmoError("the server stopped by itself")
    raise Interrupted("the server was stopped", exit_code=128 + server.signal)


class _Server(uvicorn.Server):
    """Uvicorn that says when it is ready, and stops at once but in good order."""

    def __init__(self, app: FastAPI, *, on_started: Callable[[], None]) -> None:
        # h11 rather than httptools: pure Python, strict about what a request is.
        super().__init__(
            uvicorn.Config(
                app,
                http="h11",
                ws="none",
                loop="asyncio",
                access_log=False,
                log_level="warning",
                server_header=False,
                proxy_headers=False,
                timeout_graceful_shutdown=5,
            )
        )
        self._line: Line = app.state.line
        self._on_started = on_started
        self.signal: int | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self._on_started()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        # Uvicorn would raise the signal again when it is done; ours becomes the exit code instead.
        self.signal = self.signal or sig
        self.force_exit = self.should_exit
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # First of all: uvicorn waits for answers that are being written.
        self._line.close()
        await super().shutdown(sockets=sockets)


def _listen(host: str, port: int) -> socket.socket:
    """A listening socket, made before the models are loaded so that a taken port is told at once."""
    if not 0 <= port <= 65535:
        # The system would take it modulo 65536.
        raise InputError(
            f"port {port} does not exist", remedy="choose 1 to 65535 with --port; 0 takes a free one"
        )
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, UnicodeError):
        raise _no_such_host(host) from None
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise _listen_error(error, host, port) from None
    return listener


def _listen_error(error: OSError, host: str, port: int) -> InputError:
    if error.errno == errno.EADDRINUSE:
        return InputError(f"port {port} is in use", remedy="choose another with --port; 0 takes a free one")
    if error.errno == errno.EACCES:
        return InputError(f"port {port} may not be used by you", remedy="choose --port 1024 or above")
    if error.errno == errno.EADDRNOTAVAIL:
        return _no_such_host(host)
    return InputError(f"cannot listen on {host} port {port}: {error}", remedy="choose another --port")


def _no_such_host(host: str) -> InputError:
    return InputError(f"{host} is not an address of this machine", remedy="choose another --host")


def _say_ready(url: str) -> None:
    say(f"yanmo: serving on {url} (Ctrl-C stops)")


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def _add_errors(app: FastAPI) -> None:
    @app.exception_handler(ApiError)
    async def refuse(_: Request, error: ApiError) -> Response:
        return error.response()

    @app.exception_handler(HTTPException)
    async def explain(request: Request, error: HTTPException) -> Response:
        place = f"{request.method} {quote(request.url.path)[:200]}"
        if error.status_code == 405:
            return ApiError(
                f"Not allowed: {place}. Perhaps another HTTP method was meant.",
                status=405,
                code="method_not_supported",
                headers=dict(error.headers or {}),
            ).response()
        return ApiError(f"Invalid URL ({place})", status=error.status_code, code="unknown_url").response()


def _add_page(app: FastAPI) -> None:
    page = read_page()

    @app.api_route("/", methods=["GET", "HEAD"])
    async def index(request: Request) -> Response:
        return file_response(page, "index.html", request)

    @app.get("/favicon.ico")
    async def favicon(request: Request) -> Response:
        return file_response(page, "favicon.svg", request)

    @app.get("/static/{name}")
    async def static(name: str, request: Request) -> Response:
        return file_response(page, name, request)

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "ok"}


def _add_runs(app: FastAPI, runs_dir: Path) -> None:
    # Plain functions: FastAPI runs them in a thread, for they read files.
    @app.get("/api/runs")
    def list_runs() -> Response:
        return _fresh({"object": "list", "data": run_list(runs_dir)})

    @app.get("/api/runs/{name}/metrics")
    def show_metrics(name: str) -> Response:
        return _fresh(run_metrics(runs_dir, name))


def _add_models(app: FastAPI, models: Catalog) -> None:
    @app.get("/v1/models")
    async def list_models() -> Response:
        return _fresh({"object": "list", "data": [model.to_mapping() for model in models]})

    @app.get("/v1/models/{name:path}")
    async def show_model(name: str) -> Response:
        return _fresh(models.find(name).to_mapping())


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


def _fresh(content: dict[str, Any]) -> Response:
    return JSONResponse(content, headers={"Cache-Control": "no-store"})
