"""One request's work: done by another thread, read in the event loop, cancelled when the client leaves."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Generic, Self, TypeVar

from fastapi import Request

from yanmo.errors import InputError
from yanmo.reporting.progress import say
from yanmo.serving import api_errors
from yanmo.serving.api_errors import ApiError
from yanmo.serving.batches import Batches
from yanmo.serving.catalog import Catalog
from yanmo.serving.limits import Cancelled, Job, Limits, Line, Reply
from yanmo.serving.metrics import Metrics

Event = TypeVar("Event")
Result = TypeVar("Result")
OnProgress = Callable[[int], None]


@dataclass(frozen=True, kw_only=True)
class Service:
    """What every route works with.

    Attributes:
        loading: the line of requests whose model is not in memory yet; no others wait behind them.
    """

    catalog: Catalog
    loading: Line
    line: Line
    batches: Batches
    limits: Limits
    metrics: Metrics


class Errand(Generic[Event]):
    """Work that is done while its client waits; a context manager that ends it."""

    def __init__(
        self, request: Request, service: Service, reply: Reply[Event], *, is_counted: bool = True
    ) -> None:
        """Watch over a reply that somebody makes.

        Args:
            request: whose client waits; its body has been read.
            service: with the metrics.
            reply: what it waits for.
            is_counted: whether the metrics shall know how long it waited.
        """
        self._reply = reply
        self._metrics, self._is_counted = service.metrics, is_counted
        self._watcher = asyncio.create_task(_cancel_when_client_leaves(request, reply))

    @classmethod
    def in_line(
        cls, request: Request, service: Service, work: Callable[[Cancelled], Iterator[Event]]
    ) -> Self:
        """Join the line.

        Args:
            request: whose client waits; its body has been read.
            service: with the line.
            work: as ``Job`` takes it.

        Raises:
            ApiError: the line is full (429) or closed (503).
        """
        job: Job[Event] = Job(work, max_request_s=service.limits.max_request_s)
        service.line.join(job)
        return cls(request, service, job)

    async def next(self) -> Event | None:
        """The next event, or None after the last.

        Raises:
            ApiError: whatever the work met, our own bugs as 500.
        """
        try:
            event = await self._reply.next_event()
        except (ApiError, asyncio.CancelledError):
            raise
        except InputError as error:
            raise ApiError(str(error)) from None
        except Exception as error:
            say(api_errors.report(error))
            raise api_errors.failed() from None
        if self._is_counted:
            self._is_counted = False
            self._metrics.waited(self._reply.waited_s)
        return event

    def end(self) -> None:
        """Cancel what is left; may be called more than once."""
        self._reply.cancel()
        self._watcher.cancel()

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End it."""
        self.end()


async def run_once(request: Request, service: Service, work: Callable[[OnProgress], Result]) -> Result:
    """Work that gives one result.

    Args:
        request: whose client waits.
        service: with the line.
        work: handed a function that it calls now and then, which ends it when the client has left.

    Raises:
        ApiError: as ``Errand``.
    """

    def yielding(cancelled: Cancelled) -> Iterator[Result]:
        def check(_: int) -> None:
            if cancelled():
                raise api_errors.client_left()

        yield work(check)

    with Errand.in_line(request, service, yielding) as errand:
        result = await errand.next()
    assert result is not None
    return result


async def bring(request: Request, service: Service, name: str) -> None:
    """Have a model in memory before a request joins those of models that are.

    Raises:
        ApiError: it does not fit or cannot be loaded, or too many wait for theirs.
    """
    if service.catalog.is_open(name):
        return

    def load(_: Cancelled) -> Iterator[bool]:
        with service.catalog.opened(name):
            yield True

    job: Job[bool] = Job(load, max_request_s=service.limits.max_request_s)
    service.loading.join(job)
    with Errand(request, service, job, is_counted=False) as errand:
        await errand.next()


async def _cancel_when_client_leaves(request: Request, reply: Reply[Event]) -> None:
    with contextlib.suppress(asyncio.CancelledError):
        while (await request.receive())["type"] != "http.disconnect":
            pass
        reply.fail(api_errors.client_left())
