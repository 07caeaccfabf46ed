"""What the server has done, as Prometheus reads it: requests, tokens, the waiting line, times, memory.

Names and units follow prometheus.io/docs/practices/naming. No label comes from a request: routes are those of
the route table, models those of the catalog.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from starlette.types import Scope

if TYPE_CHECKING:
    from yanmo.serving.batches import Batches
    from yanmo.serving.catalog import Catalog
    from yanmo.serving.limits import Line

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
_REQUEST_BOUNDS_S = (0.005, 0.02, 0.1, 0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600)
_TOKEN_BOUNDS_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2)


class Metrics:
    """Counters of one server."""

    def __init__(self) -> None:
        """All at zero."""
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self._requests = Counter(
            "yanmo_http_requests",
            "Requests answered.",
            ("method", "route", "status"),
            registry=registry,
        )
        self._request_s = Histogram(
            "yanmo_http_request_seconds",
            "From a request's head to the end of its answer.",
            ("route",),
            buckets=_REQUEST_BOUNDS_S,
            registry=registry,
        )
        self._tokens = Counter(
            "yanmo_tokens", "Tokens read and written.", ("model", "kind"), registry=registry
        )
        self._first_token_s = Histogram(
            "yanmo_time_to_first_token_seconds",
            "From joining the line to the first token.",
            ("model",),
            buckets=_REQUEST_BOUNDS_S,
            registry=registry,
        )
        self._token_s = Histogram(
            "yanmo_time_per_token_seconds",
            "Between two tokens of an answer.",
            ("model",),
            buckets=_TOKEN_BOUNDS_S,
            registry=registry,
        )
        self._line_s = Histogram(
            "yanmo_line_wait_seconds",
            "Time that requests waited in the line.",
            buckets=_REQUEST_BOUNDS_S,
            registry=registry,
        )

    def watch(self, line: Line, batches: Batches, catalog: Catalog) -> None:
        """Report the line, the batch and the models in memory as they are whenever somebody reads."""
        batch = batches.batch
        counts, memory = batch.counts, batch.memory
        self._gauge("yanmo_batch_waiting", "Requests that wait.", lambda: batches.num_waiting)
        self._gauge("yanmo_batch_rows", "Answers that go on together.", lambda: batch.num_running)
        self._gauge("yanmo_batch_steps", "Steps, of one model each.", lambda: counts.steps)
        self._gauge(
            "yanmo_batch_given_back",
            "Times an answer gave its keys and values back, to take them in again.",
            lambda: counts.given_back,
        )
        self._gauge(
            "yanmo_prefix_hits", "Answers whose prompt began as another text.", lambda: counts.prefix_hits
        )
        self._gauge(
            "yanmo_prefix_tokens", "Tokens that were not read again for it.", lambda: counts.prefix_tokens
        )
        self._gauge("yanmo_key_value_bytes", "Memory of keys and values.", lambda: memory.used_bytes)
        self._gauge("yanmo_key_value_budget_bytes", "Most that they may take.", lambda: memory.budget_bytes)
        self._gauge("yanmo_line_waiting", "Requests that wait.", lambda: line.num_waiting)
        self._gauge("yanmo_line_running", "Requests that run.", lambda: line.num_running)
        self._gauge("yanmo_models_in_memory", "Models in memory.", lambda: len(catalog.bytes_in_memory()))
        self._gauge(
            "yanmo_models_bytes",
            "What the models in memory need.",
            lambda: sum(catalog.bytes_in_memory().values()),
        )
        self._gauge("yanmo_models_opened", "Times a model was loaded.", lambda: catalog.num_opened)
        self._gauge("yanmo_models_evicted", "Times a model had to go.", lambda: catalog.num_evicted)

    def answered(self, scope: Scope, status: int, seconds: float) -> None:
        """A request was answered, or its client left (status 499)."""
        route = getattr(scope.get("route"), "path", "none")
        method = scope["method"] if scope["method"] in ("GET", "HEAD", "POST") else "other"
        self._requests.labels(method, route, str(status or 499)).inc()
        self._request_s.labels(route).observe(seconds)

    def read(self, model: str, num_tokens: int) -> None:
        """A model has taken in so many tokens of a prompt or of texts."""
        self._tokens.labels(model, "prompt").inc(num_tokens)

    def waited(self, seconds: float) -> None:
        """A request has left the line to run."""
        self._line_s.observe(seconds)

    def meter(self, model: str) -> Meter:
        """Times the tokens of an answer that begins now."""
        return Meter(
            written=self._tokens.labels(model, "completion"),
            first_s=self._first_token_s.labels(model),
            next_s=self._token_s.labels(model),
        )

    def text(self) -> bytes:
        """All of it in the text format."""
        return generate_latest(self._registry)

    def _gauge(self, name: str, what: str, value: Callable[[], float]) -> None:
        Gauge(name, what, registry=self._registry).set_function(value)


class Meter:
    """Times the tokens of one request's answers."""

    def __init__(self, *, written: Counter, first_s: Histogram, next_s: Histogram) -> None:
        """Begin now."""
        self._written, self._first_s, self._next_s = written, first_s, next_s
        self._last_s, self._is_first = time.monotonic(), True

    def step(self, num_tokens: int) -> None:
        """So many tokens have just come."""
        if not num_tokens:
            return
        now_s = time.monotonic()
        (self._first_s if self._is_first else self._next_s).observe(now_s - self._last_s)
        self._written.inc(num_tokens)
        self._last_s, self._is_first = now_s, False
