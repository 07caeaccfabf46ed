"""What one request may cost, and the waiting line in front of the one job that runs.

A job uses every core, so two at once would only halve each other's speed: one runs at a time in a worker
thread, a few wait in the order they came, and the next is refused with 429. What is not in the line
(``batches``) computes by turns with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, Self, TypeVar

from yanmo.serving import api_errors

Event = TypeVar("Event")
Cancelled = Callable[[], bool]


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Bounds that hold for every request.

    Attributes:
        max_body_bytes: a longer body is refused with 413.
        max_waiting: requests that may wait behind those that run; the next is refused with 429.
        max_streams: answers that go on together, where a model's answers can.
        max_request_s: seconds from arrival to the last token, waiting included.
        max_body_s: seconds within which the body must have arrived.
        max_new_tokens: most tokens of one answer, and the default of a chat with a model that has no limit.
        max_choices: most answers (prompts times ``n``) of one request.
        max_texts: most texts of one request that asks for vectors or for a fine-tuned model's answers.
        max_head_s: seconds within which a request's head must have arrived; also how long a connection
            may idle between two requests.
        max_stall_s: seconds that a reader of an answer may take nothing of it.
        max_connections: at once; past that, those whose head has not come are closed, oldest first.
    """

    max_body_bytes: int = 4 * 2**20
    max_waiting: int = 8
    max_streams: int = 16
    max_request_s: float = 600.0
    max_body_s: float = 30.0
    max_new_tokens: int = 8192
    max_choices: int = 16
    max_texts: int = 2048
    max_head_s: float = 10.0
    max_stall_s: float = 30.0
    max_connections: int = 512


class Turns:
    """Who computes: one thread at a time, in the order in which they asked. A context manager."""

    def __init__(self) -> None:
        """Nobody does."""
        self._changed = threading.Condition()
        self._num_asked = self._num_done = 0
        self._owner: int | None = None

    def __enter__(self) -> Self:
        """Wait for the turn."""
        with self._changed:
            place = self._num_asked
            self._num_asked += 1
            self._changed.wait_for(lambda: self._num_done == place)
            self._owner = threading.get_ident()
        return self

    def __exit__(self, *_: object) -> None:
        """Leave it to the next."""
        with self._changed:
            self._owner = None
            self._num_done += 1
            self._changed.notify_all()

    def pass_on(self) -> None:
        """Let those who wait compute first; called by the one whose turn it is."""
        if self._num_asked > self._num_done + 1:
            with self.left():
                pass

    @contextlib.contextmanager
    def left(self) -> Iterator[None]:
        """Leave the turn to others inside the block, if it is this thread's."""
        is_ours = self._owner == threading.get_ident()
        if is_ours:
            self.__exit__()
        try:
            yield
        finally:
            if is_ours:
                self.__enter__()


class Reply(Generic[Event]):
    """What a request waits for: events made in a worker thread and read in the event loop."""

    def __init__(self, *, max_request_s: float) -> None:
        """Nothing has come; call in a running event loop.

        Args:
            max_request_s: seconds from now within which the last event must have come.
        """
        self._max_request_s = max_request_s
        self._loop = asyncio.get_running_loop()
        self._deadline_s = self._loop.time() + max_request_s
        self._events: asyncio.Queue[Event | BaseException | None] = asyncio.Queue()
        self._cancelled = threading.Event()
        self._joined_s, self.waited_s = time.monotonic(), 0.0

    @property
    def cancelled(self) -> bool:
        """Whether nobody waits for the rest."""
        return self._cancelled.is_set()

    def cancel(self) -> None:
        """Stop within one step. May be called from any thread, and more than once."""
        self._cancelled.set()

    def begin(self) -> None:
        """The work begins now."""
        self.waited_s = time.monotonic() - self._joined_s

    def put(self, event: Event) -> None:
        """Hand an event to the reader. This and the following may be called from any thread."""
        self._put(event)

    def finish(self) -> None:
        """There will be no more events."""
        self._put(None)

    def fail(self, error: BaseException) -> None:
        """Stop, and raise ``error`` where the events are read."""
        self.cancel()
        self._put(error)

    async def next_event(self) -> Event | None:
        """The next event, or None after the last.

        Raises:
            ApiError: the time limit has passed.
            BaseException: whatever the work raised.
        """
        try:
            async with asyncio.timeout_at(self._deadline_s):
                event = await self._events.get()
        except TimeoutError:
            self.cancel()
            raise api_errors.out_of_time(self._max_request_s) from None
        if isinstance(event, BaseException):
            raise event
        return event

    def _put(self, event: Event | BaseException | None) -> None:
        # A loop that is closed has no reader left: the process is ending.
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._events.put_nowait, event)


class Job(Reply[Event]):
    """A reply whose work runs in the line's thread."""

    def __init__(self, work: Callable[[Cancelled], Iterator[Event]], *, max_request_s: float) -> None:
        """Prepare the job; call in a running event loop.

        Args:
            work: yields events; asks the function it is handed, at every step, whether to stop.
            max_request_s: as ``Reply``.
        """
        super().__init__(max_request_s=max_request_s)
        self._work = work

    def run(self, turns: Turns) -> None:
        """Do the work in the calling thread, by turns with others; what it raises goes to the reader."""

        def is_cancelled() -> bool:
            turns.pass_on()
            return self.cancelled

        self.begin()
        try:
            with turns:
                for event in self._work(is_cancelled):
                    if self.cancelled:
                        break
                    self._put(event)
            self._put(None)
        except BaseException as error:
            self._put(error)


class Line:
    """Runs one job at a time in a worker thread; the others wait in the order they came."""

    def __init__(self, *, max_waiting: int, turns: Turns | None = None) -> None:
        """Prepare an empty line; its thread starts with the first job.

        Args:
            max_waiting: jobs that may wait behind the one that runs.
            turns: who computes besides; None where nobody does.
        """
        self._max_waiting, self._turns = max_waiting, turns or Turns()
        self._changed = threading.Condition()
        self._waiting: deque[Job[Any]] = deque()
        self._running: Job[Any] | None = None
        self._thread: threading.Thread | None = None
        self._closed = False
        self._job_s = 1.0

    @property
    def num_waiting(self) -> int:
        """Jobs that wait."""
        return len(self._waiting)

    @property
    def num_running(self) -> int:
        """Jobs that run: one or none."""
        return int(self._running is not None)

    def join(self, job: Job[Any]) -> None:
        """Put a job in the line.

        Raises:
            ApiError: the line is full (429) or closed (503).
        """
        with self._changed:
            if self._closed:
                raise api_errors.stopping()
            # A job whose client has left holds no place.
            self._waiting = deque(waiting for waiting in self._waiting if not waiting.cancelled)
            ahead = len(self._waiting) + (self._running is not None)
            if ahead > self._max_waiting:
                raise api_errors.line_full(max(1, round(self._job_s * ahead)))
            self._waiting.append(job)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="yanmo-generation", daemon=True)
                self._thread.start()
            self._changed.notify()

    def close(self) -> None:
        """Refuse new jobs and stop those that wait or run; their readers are told."""
        with self._changed:
            self._closed = True
            for job in (*self._waiting, *([self._running] if self._running else [])):
                job.fail(api_errors.stopping())
            self._waiting.clear()
            self._changed.notify()

    def wait(self, seconds: float) -> None:
        """After ``close``: until the thread has ended, which it must before the process does."""
        if self._thread is not None:
            self._thread.join(seconds)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closed)
                if self._closed:
                    return
                job = self._running = self._waiting.popleft()
            started_s = time.monotonic()
            if not job.cancelled:
                job.run(self._turns)
                self._job_s += 0.3 * (time.monotonic() - started_s - self._job_s)
            with self._changed:
                self._running = None
