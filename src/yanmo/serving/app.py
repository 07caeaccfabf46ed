"""The HTTP server: an API that OpenAI's clients speak, and the page.

Routes below /v1: models, completions, chat/completions, responses, embeddings, similarity, and those of
fine-tuned models (``tasks``); /metrics; /api/load (``load``); /openapi.json, which says all of it; and those
of the page (``site``).
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from fastapi import FastAPI, Request
from fastapi.responses import Response

from yanmo.generation.batching import Batch, BatchLimits
from yanmo.reporting.progress import say
from yanmo.serving import metrics, opening, server
from yanmo.serving.batches import Batches
from yanmo.serving.bodies import read_body
from yanmo.serving.catalog import Catalog
from yanmo.serving.errand import Service
from yanmo.serving.guard import Access, log_asked, read_api_key
from yanmo.serving.limits import Limits, Line, Turns
from yanmo.serving.load import load_now
from yanmo.serving.metrics import Metrics
from yanmo.serving.openapi import describe
from yanmo.serving.responses import ResponsesRequest, respond
from yanmo.serving.schema import ApiRequest, ChatRequest, CompletionRequest, parse
from yanmo.serving.site import create_site, fresh
from yanmo.serving.streaming import answer
from yanmo.serving.tasks import TASK_REQUESTS, answer_task
from yanmo.serving.vectors import EmbeddingRequest, SimilarityRequest, compare, embed

# For a step, or a model that is being loaded, to come to its end when the server stops.
_END_S = 10.0

_Body = TypeVar("_Body", bound=ApiRequest)
Answering = Awaitable[Response]


def create_app(
    models: Catalog,
    *,
    access: Access | None = None,
    limits: Limits | None = None,
    runs_dir: Path = Path("runs"),
    log_prompts: bool = False,
) -> FastAPI:
    """Build the application.

    Args:
        models: what is served.
        access: who may ask; None for this machine alone, without a key.
        limits: what one request may cost; None for the defaults.
        runs_dir: folder of the training runs that the page shows; need not be there.
        log_prompts: write what is asked to the log.
    """
    limits = limits or Limits()
    turns = Turns()
    line = Line(max_waiting=limits.max_waiting, turns=turns)
    # As many as may be with the batch once their model is there.
    loading = Line(max_waiting=limits.max_streams + limits.max_waiting - 1)
    batch = Batch(memory_bytes=models.key_value_bytes, limits=BatchLimits(most_answers=limits.max_streams))
    batches = Batches(batch, max_waiting=limits.max_waiting, turns=turns)
    models.while_waiting = turns.left
    models.on_evicted = batches.forget_model
    service = Service(
        catalog=models, loading=loading, line=line, batches=batches, limits=limits, metrics=Metrics()
    )
    service.metrics.watch(line, batches, models)

    def stop() -> None:
        for each in (loading, line, batches):
            each.close()

    app = create_site(access=access, runs=[runs_dir], on_stop=stop, on_answer=service.metrics.answered)
    app.state.batches, app.state.computing = batches, (loading, line, batches)
    _add_models(app, models)
    bodies: dict[str, type[ApiRequest]] = {}

    def add(route: str, kind: type[_Body], respond: Callable[[Request, Any, Service], Answering]) -> None:
        bodies[f"/v1/{route}"] = kind
        _add_post(app, route, kind, respond, service, log_prompts=log_prompts)

    add("completions", CompletionRequest, answer)
    add("chat/completions", ChatRequest, answer)
    add("responses", ResponsesRequest, respond)
    add("embeddings", EmbeddingRequest, embed)
    add("similarity", SimilarityRequest, compare)
    for kind in TASK_REQUESTS:
        add(kind.route, kind, answer_task)
    _add_descriptions(app, service, bodies)
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
    memory_bytes: int | None = None,
    log_prompts: bool = False,
    on_ready: Callable[[str], None] | None = None,
) -> None:
    """Serve models until SIGINT or SIGTERM; the first is loaded at once, the others when they are asked.

    Args:
        models: model folders, runs, .gguf files or cached names.
        port: to listen on; 0 takes a free one.
        host: address to listen on; other than loopback needs a key.
        api_key_file: file with the API key that requests must bring, or None.
        runs_dir: folder of the training runs that the page shows.
        limits: what one request may cost; None for the defaults.
        dtype: type of the weights in memory.
        memory_bytes: that models in memory, and the keys and values of their answers, may need together;
            None takes most of what is free.
        log_prompts: write what is asked to the log, which otherwise tells nothing of it.
        on_ready: told the URL when requests are taken; None prints it on stderr.

    Raises:
        InputError: a model cannot be loaded, the port is taken, or the host is refused.
        Interrupted: always at the end: the signal that stopped the server.
    """
    limits = limits or Limits()
    access = Access(host=host, api_key=None if api_key_file is None else read_api_key(api_key_file))
    with contextlib.closing(server.listen(host, port)) as listener:
        served = opening.load([Path(path) for path in models], dtype=dtype, memory_bytes=memory_bytes)
        for card in served:
            if card.alone and "completions" in card.routes:
                say(f"yanmo: {card.name} answers one request at a time: {card.alone}")
        served.open_first()
        app = create_app(served, access=access, limits=limits, runs_dir=runs_dir, log_prompts=log_prompts)
        where = server.url(host, listener)
        try:
            server.run(app, listener, where, on_ready=on_ready or _say_ready, limits=limits)
        finally:
            # A thread that still computes when the interpreter goes would abort the process.
            for each in app.state.computing:
                each.wait(_END_S)


def _say_ready(url: str) -> None:
    say(f"yanmo: serving on {url} (Ctrl-C stops)")


def _add_models(app: FastAPI, models: Catalog) -> None:
    @app.get("/v1/models")
    async def list_models() -> Response:
        """The models that are served."""
        return fresh({"object": "list", "data": [model.to_mapping() for model in models]})

    @app.get("/v1/models/{name:path}")
    async def show_model(name: str) -> Response:
        """One model."""
        return fresh(models.find(name).to_mapping())


def _add_post(
    app: FastAPI,
    route: str,
    kind: type[_Body],
    respond: Callable[[Request, Any, Service], Answering],
    service: Service,
    *,
    log_prompts: bool,
) -> None:
    async def post(request: Request) -> Response:
        body = parse(kind, await read_body(request, service.limits), service.limits)
        if log_prompts:
            log_asked(request.url.path, body.model_dump(mode="json", exclude_unset=True))
        return await respond(request, body, service)

    post.__name__ = route.replace("/", "_")
    post.__doc__ = (kind.__doc__ or "").split("\n")[0]
    # The body is read and checked here; ``describe`` tells the document what it is.
    app.post(f"/v1/{route}")(post)


def _add_descriptions(app: FastAPI, service: Service, bodies: Mapping[str, type[ApiRequest]]) -> None:
    @app.get("/metrics")
    async def show_metrics() -> Response:
        """Counters and times, as Prometheus reads them."""
        return Response(
            service.metrics.text(), media_type=metrics.CONTENT_TYPE, headers={"Cache-Control": "no-store"}
        )

    @app.get("/api/load")
    async def show_load() -> Response:
        """The waiting line and the memory at this moment."""
        return fresh(load_now(service))

    @app.get("/openapi.json")
    async def show_openapi() -> Response:
        """This document."""
        return fresh(describe(app, bodies))
