"""The page and the training runs on it: all of the server that needs no model.

Routes: / and /static, /health, /api/runs, /api/runs/{name}/metrics and /api/comparison. Errors have OpenAI's
shape everywhere. ``live_page`` serves this alone, while runs go on; torch is not imported for it.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import FastAPI, Query, Request
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from yanmo.serving import server
from yanmo.serving.api_errors import ApiError
from yanmo.serving.guard import Access, Guard, OnAnswer
from yanmo.serving.page import file_response, read_page
from yanmo.serving.training_runs import TrainingRuns

_LOOPBACK = "127.0.0.1"


def create_site(
    *,
    access: Access | None = None,
    runs: Sequence[Path],
    on_stop: Callable[[], None] = lambda: None,
    on_answer: OnAnswer | None = None,
) -> FastAPI:
    """Build an application with the page and the runs; whoever has models adds their routes.

    Args:
        access: who may ask; None for this machine alone, without a key.
        runs: runs, and folders that hold runs; need not be there yet.
        on_stop: called first of all when the server stops.
        on_answer: told of every answer, with its status and seconds.
    """

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        on_stop()

    # FastAPI's own documentation pages load scripts from elsewhere.
    app = FastAPI(lifespan=lifespan, redirect_slashes=False, docs_url=None, redoc_url=None, openapi_url=None)
    app.state.on_stop = on_stop
    app.add_middleware(Guard, access=access or Access(), on_answer=on_answer)
    _add_errors(app)
    _add_page(app)
    _add_runs(app, TrainingRuns(runs))
    return app


@contextlib.contextmanager
def live_page(runs: Sequence[Path], *, port: int = 0) -> Iterator[str]:
    """Serve the page with these runs, and no model, to this machine alone while the block runs.

    Args:
        runs: runs, and folders that hold runs.
        port: 0 takes a free one.

    Yields:
        The URL.

    Raises:
        InputError: the port is taken.
    """
    with contextlib.closing(server.listen(_LOOPBACK, port)) as listener:
        app = create_site(runs=runs)

        @app.get("/v1/models")
        async def list_models() -> Response:
            return fresh({"object": "list", "data": []})

        with server.in_background(app, listener):
            yield server.url(_LOOPBACK, listener)


def fresh(content: dict[str, Any]) -> Response:
    """An answer that no one may keep."""
    return JSONResponse(content, headers={"Cache-Control": "no-store"})


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

    @app.api_route("/", methods=["GET", "HEAD"], include_in_schema=False)
    async def index(request: Request) -> Response:
        return file_response(page, "index.html", request)

    @app.get("/favicon.ico", include_in_schema=False)
    async def favicon(request: Request) -> Response:
        return file_response(page, "favicon.svg", request)

    @app.get("/static/{name}", include_in_schema=False)
    async def static(name: str, request: Request) -> Response:
        return file_response(page, name, request)

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "ok"}


def _add_runs(app: FastAPI, runs: TrainingRuns) -> None:
    # Plain functions: FastAPI runs them in a thread, for they read files.
    @app.get("/api/runs")
    def list_runs() -> Response:
        return fresh({"object": "list", "data": runs.summaries()})

    @app.get("/api/runs/{name}/metrics")
    def show_metrics(name: str) -> Response:
        return fresh(runs.metrics(name))

    @app.get("/api/comparison")
    def compare(run: Annotated[list[str], Query()]) -> Response:
        return fresh(runs.comparison(run))
