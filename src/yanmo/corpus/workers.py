"""Work on files spread over processes that may hang or die.

A file that crashes the library that reads it, or keeps it busy without end, costs one process and is
named; its task is given again without it. Processes end with the one that started them, whatever ended that.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Generic, Protocol, TypeVar

from yanmo.corpus.document import Reason
from yanmo.errors import YanmoError

T = TypeVar("T")
R = TypeVar("R")

# Seconds that a file may take, and further ones for each megabyte of it.
LIMIT_S, LIMIT_S_PER_MB = 20.0, 4.0
_PATIENCE_S = 0.5
# A busy machine does not make a file slow: what computes for less of the time than this waits for something.
_LEAST_COMPUTING = 0.01


class Report(Protocol):
    """What work says while it goes on."""

    def begin(self, label: str, num_bytes: int) -> None:
        """A file begins; its time is counted from here."""

    def advance(self, num_bytes: int) -> None:
        """Bytes were read."""

    def note(self, line: str) -> None:
        """Something that the user should know."""


Work = Callable[[T, dict[str, Reason], Report], R]
"""From a task, and the files to leave out of it with the reason, to its result."""


class Spread(Protocol):
    """A way to have tasks done, such as ``spread``."""

    def __call__(
        self,
        work: Work[T, R],
        tasks: Sequence[T],
        *,
        num_workers: int,
        report: Report,
        limit_s: float = LIMIT_S,
    ) -> Iterator[tuple[T, R]]:
        """As ``spread``."""


@dataclass(frozen=True)
class _Crash:
    label: str
    reason: Reason


def spread(
    work: Work[T, R], tasks: Sequence[T], *, num_workers: int, report: Report, limit_s: float = LIMIT_S
) -> Iterator[tuple[T, R]]:
    """Results of the tasks as they are done, in any order.

    Args:
        work: picklable, as tasks and results are.
        tasks: in the order in which they are begun.
        num_workers: processes; 0 works in this one, where nothing can be stopped.
        report: hears what the work says.
        limit_s: seconds that a small file may take; of computing, while it computes.

    Raises:
        YanmoError: work failed, or a process died while it read no file.
    """
    if num_workers == 0:
        for task in tasks:
            yield task, work(task, {}, report)
        return
    crew = _Crew(work, list(tasks), report, limit_s)
    try:
        yield from crew.results(num_workers)
    finally:
        crew.dismiss()


@dataclass
class _Worker(Generic[T]):
    process: BaseProcess
    connection: Connection
    lifeline: Connection
    task: int | None = None
    label: str = ""
    deadline_s: float = float("inf")
    left_s: float = 0.0
    """Of computing, for the file."""
    seen: tuple[float, float] = (0.0, 0.0)
    """When it was last looked at, and what it had computed by then."""

    def begin(self, label: str, limit_s: float) -> None:
        """Count the time of a file."""
        self.label, self.left_s = label, limit_s
        self._look_again()

    def is_stuck(self) -> bool:
        """Whether the file took its time, or waits without computing; asked after the deadline."""
        then_s, before_s = self.seen
        waited_s, computed_s = time.monotonic() - then_s, computing_s(self.process.pid) - before_s
        self.left_s -= computed_s
        if self.left_s <= 0 or computed_s < _LEAST_COMPUTING * waited_s:
            return True
        self._look_again()
        return False

    def _look_again(self) -> None:
        now_s = time.monotonic()
        self.seen = now_s, computing_s(self.process.pid)
        self.deadline_s = now_s + max(self.left_s, _PATIENCE_S)


@dataclass
class _Crew(Generic[T, R]):
    work: Work[T, R]
    tasks: list[T]
    report: Report
    limit_s: float
    workers: list[_Worker[T]] = field(default_factory=list)
    skipped: dict[int, dict[str, Reason]] = field(default_factory=dict)

    def results(self, num_workers: int) -> Iterator[tuple[T, R]]:
        waiting = list(range(len(self.tasks)))[::-1]
        self.workers = [self._hire() for _ in range(min(num_workers, len(waiting)))]
        num_left = len(waiting)
        while num_left:
            for worker in self.workers:
                if worker.task is None and waiting:
                    self._give(worker, waiting.pop())
            for worker in self._ready():
                message = self._hear(worker)
                if isinstance(message, _Crash):
                    assert worker.task is not None
                    self.skipped.setdefault(worker.task, {})[message.label] = message.reason
                    waiting.append(worker.task)
                    self._replace(worker)
                elif message is not None:
                    assert worker.task is not None
                    yield self.tasks[worker.task], message[0]
                    worker.task, num_left = None, num_left - 1

    def dismiss(self) -> None:
        for worker in self.workers:
            worker.process.kill()
            worker.process.join()
            worker.connection.close()
            worker.lifeline.close()

    def _hire(self) -> _Worker[T]:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        held, watched = context.Pipe()
        process = context.Process(target=_serve, args=(self.work, theirs, watched), daemon=True)
        with _undisturbed():
            process.start()
        theirs.close()
        watched.close()
        return _Worker(process, ours, held)

    def _give(self, worker: _Worker[T], index: int) -> None:
        worker.task, worker.label, worker.deadline_s = index, "", float("inf")
        with contextlib.suppress(BrokenPipeError):
            worker.connection.send((self.tasks[index], self.skipped.get(index, {})))

    def _ready(self) -> list[_Worker[T]]:
        """Those that said something, died, or are over their time."""
        busy = [worker for worker in self.workers if worker.task is not None]
        heard = wait([worker.connection for worker in busy], timeout=_PATIENCE_S)
        now_s = time.monotonic()
        return [worker for worker in busy if worker.connection in heard or now_s > worker.deadline_s]

    def _hear(self, worker: _Worker[T]) -> tuple[R] | _Crash | None:
        """A result, the file that ended the process, or nothing to act on."""
        if not worker.connection.poll():
            return _Crash(worker.label, Reason.TIMEOUT) if worker.is_stuck() else None
        try:
            kind, *values = worker.connection.recv()
        except (EOFError, OSError):
            if not worker.label:
                raise YanmoError(
                    "a process that reads files was ended from outside",
                    remedy="it may have run out of memory: choose fewer --workers; the same command goes on",
                ) from None
            return _Crash(worker.label, Reason.CRASHED)
        if kind == "done":
            return (values[0],)
        if kind == "failed":
            raise values[0]
        if kind == "begin":
            label, num_bytes = values
            worker.begin(label, self.limit_s + LIMIT_S_PER_MB * num_bytes / 1e6)
            self.report.begin(label, num_bytes)
        elif kind == "advance":
            self.report.advance(values[0])
        else:
            self.report.note(values[0])
        return None

    def _replace(self, worker: _Worker[T]) -> None:
        worker.process.kill()
        worker.process.join()
        worker.connection.close()
        worker.lifeline.close()
        self.workers[self.workers.index(worker)] = self._hire()


def computing_s(process_id: int | None) -> float:
    """Processor time of a process so far; 0 where the system does not tell."""
    if process_id is None or not hasattr(time, "clock_gettime"):
        return 0.0
    try:
        # Linux: the clock of a process is named by its number (clock_getcpuclockid).
        return time.clock_gettime((~process_id << 3) | 2)
    except OSError:
        return 0.0


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """Ctrl-C and SIGTERM come afterwards: a process that is half begun would complain at length.

    The process itself keeps them blocked: it ends with its parent.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    both = (signal.SIGINT, signal.SIGTERM)
    came: list[int] = []
    # Python's handlers run in this thread whichever thread the signal goes to.
    before = {number: signal.signal(number, lambda own, _: came.append(own)) for number in both}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, both)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for number, handler in before.items():
            signal.signal(number, handler)
    for own in came[:1]:
        signal.raise_signal(own)


class _Teller:
    """The report as messages; many small ones become one."""

    _BYTES = 1 << 18

    def __init__(self, connection: Connection) -> None:
        self._connection, self._waiting = connection, 0

    def begin(self, label: str, num_bytes: int) -> None:
        self._connection.send(("begin", label, num_bytes))

    def advance(self, num_bytes: int) -> None:
        self._waiting += num_bytes
        if self._waiting >= self._BYTES:
            self.flush()

    def note(self, line: str) -> None:
        self._connection.send(("note", line))

    def flush(self) -> None:
        if self._waiting:
            self._connection.send(("advance", self._waiting))
        self._waiting = 0


def _serve(work: Work[Any, Any], connection: Connection, lifeline: Connection) -> None:
    """A process' life: one task after the other until nobody is there to ask."""
    threading.Thread(target=_end_with, args=(lifeline,), daemon=True).start()
    teller = _Teller(connection)
    with contextlib.suppress(EOFError, BrokenPipeError):
        while True:
            task, skipped = connection.recv()
            try:
                result = work(task, skipped, teller)
            except Exception as error:
                error.add_note(traceback.format_exc())
                connection.send(("failed", error))
                return
            teller.flush()
            connection.send(("done", result))


def _end_with(lifeline: Connection) -> None:
    with contextlib.suppress(EOFError, OSError):
        lifeline.recv()
    os._exit(1)
