"""The first pass on a cluster by Dask (distributed.dask.org, an extra): the same work, the same bytes.

Dask sends the tasks round and gives those of a machine that is lost to another. Beside its worker each task
is done as on one machine (``workers.spread``), by a process of its own: a file that hangs or crashes ends
that process, is named and left out, and Dask's worker lives on. What is done lies in the folder that all
machines share, so that work goes on from there whatever was stopped.
"""

from __future__ import annotations

import importlib.util
import multiprocessing
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from yanmo.corpus.document import Reason
from yanmo.corpus.workers import LIMIT_S, Report, Work, spread
from yanmo.errors import InputError, YanmoError

if TYPE_CHECKING:
    from distributed import Client

T = TypeVar("T")
R = TypeVar("R")

# A process is started for each batch of tasks; there are several a thread, so that all end together.
_MAX_BATCH, _BATCHES_PER_THREAD = 8, 2
_JOIN_S = 30.0
_GO_ON = "the same command goes on from what is done"


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """Spreads work over a Dask cluster, as ``workers.spread`` does over processes."""

    scheduler: str | None = None
    """Address such as ``tcp://10.0.0.1:8786``; None makes a cluster inside this process, without a port."""

    def __post_init__(self) -> None:
        """Refuse to begin without Dask."""
        if importlib.util.find_spec("distributed") is None:
            raise InputError("a cluster needs Dask", remedy="pip install 'yanmo[cluster]'")

    def __call__(
        self,
        work: Work[T, R],
        tasks: Sequence[T],
        *,
        num_workers: int,
        report: Report,
        limit_s: float = LIMIT_S,
    ) -> Iterator[tuple[T, R]]:
        """As ``spread``, but what the work says is heard when it is done.

        Args:
            work: as of ``spread``.
            tasks: as of ``spread``.
            num_workers: where there is no scheduler; at least 1 is taken.
            report: as of ``spread``.
            limit_s: as of ``spread``.

        Raises:
            YanmoError: work failed, or the cluster cannot be reached, is not made for it, or was lost.
        """
        from distributed import CancelledError, KilledWorker, as_completed

        if not tasks:
            return
        with ExitStack() as stack:
            client = self._join(stack, num_workers)
            errand = _Errand(work, limit_s, Path.cwd(), version("yanmo"))
            batches = _batches(tasks, sum(client.nthreads().values()))
            futures = client.map(errand, batches, key="yanmo", pure=False)
            stack.callback(client.cancel, futures)
            try:
                for future in as_completed(futures):
                    yield from _heard(future.result(), report)
            except KilledWorker:
                what = "several workers of the cluster were lost over the same files"
                raise YanmoError(what, remedy=f"they may have run out of memory; {_GO_ON}") from None
            except CancelledError:
                raise YanmoError("the cluster was lost", where=self.scheduler, remedy=_GO_ON) from None

    def _join(self, stack: ExitStack, num_workers: int) -> Client:
        from distributed import Client, LocalCluster

        address: Any = self.scheduler
        if address is None:
            # Threads that wait for the processes of ``spread``: nothing of it listens on a port.
            address = stack.enter_context(
                LocalCluster(
                    n_workers=max(1, num_workers),
                    threads_per_worker=1,
                    processes=False,
                    dashboard_address=None,
                )
            )
        try:
            client = stack.enter_context(Client(address, timeout=_JOIN_S))
            client.wait_for_workers(1, timeout=_JOIN_S)
        except (OSError, ValueError) as error:
            raise YanmoError(f"no cluster answers: {error}", where=self.scheduler) from error
        return client


@dataclass
class _Done(Generic[T, R]):
    """What came of a batch, and what was said."""

    results: list[tuple[T, R]] = field(default_factory=list)
    begun: list[tuple[str, int]] = field(default_factory=list)
    num_bytes: int = 0
    notes: list[str] = field(default_factory=list)

    def begin(self, label: str, num_bytes: int) -> None:
        _end_if_unwanted()
        self.begun.append((label, num_bytes))

    def advance(self, num_bytes: int) -> None:
        _end_if_unwanted()
        self.num_bytes += num_bytes

    def note(self, line: str) -> None:
        self.notes.append(line)


# Without a repr, which Dask would log: work may hold the key of pseudonyms.
@dataclass(frozen=True, repr=False)
class _Errand(Generic[T, R]):
    """A batch of tasks on the machine of a Dask worker."""

    work: Work[T, R]
    limit_s: float
    folder: Path
    version: str

    def __call__(self, tasks: Sequence[T]) -> _Done[T, R]:
        """Do them in a new process.

        Raises:
            YanmoError: work failed, or this machine cannot do it.
        """
        if version("yanmo") != self.version:
            raise YanmoError(f"a worker of the cluster has yanmo {version('yanmo')}, not {self.version}")
        if multiprocessing.current_process().daemon:
            raise YanmoError(
                "the workers of the cluster may start no processes",
                remedy="start them with DASK_DISTRIBUTED__WORKER__DAEMON=False, or with --no-nanny",
            )
        done: _Done[T, R] = _Done()
        work = _Placed(self.work, self.folder)
        done.results += spread(work, tasks, num_workers=1, report=done, limit_s=self.limit_s)
        return done


@dataclass(frozen=True, repr=False)
class _Placed(Generic[T, R]):
    """Work in the folder that the user is in: relative paths lead where they should."""

    work: Work[T, R]
    folder: Path

    def __call__(self, task: T, skipped: dict[str, Reason], report: Report) -> R:
        try:
            os.chdir(self.folder)
        except OSError as error:
            raise YanmoError(
                "a worker of the cluster cannot see this folder",
                where=self.folder,
                remedy="the machines of a cluster must share the sources and the output",
            ) from error
        return self.work(task, skipped, report)


def _batches(tasks: Sequence[T], num_threads: int) -> list[Sequence[T]]:
    size = min(_MAX_BATCH, -(-len(tasks) // (num_threads * _BATCHES_PER_THREAD)))
    return [tasks[start : start + size] for start in range(0, len(tasks), size)]


def _heard(done: _Done[T, R], report: Report) -> list[tuple[T, R]]:
    """The results, after the report was told what the work said."""
    for label, num_bytes in done.begun:
        report.begin(label, num_bytes)
    report.advance(done.num_bytes)
    for line in done.notes:
        report.note(line)
    return done.results


def _end_if_unwanted() -> None:
    """Stop work that nobody waits for any more: another command may begin anew in the same folder."""
    from distributed import Status, get_worker

    worker = get_worker()
    task = worker.state.tasks.get(worker.get_current_task())
    if task is None or task.state != "executing" or worker.status in (Status.closing, Status.closed):
        raise YanmoError("nobody waits for this work")
