"""The waiting line: order, bounds, cancelling, and the time limit."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator

import pytest

from yanmo.serving.api_errors import ApiError, client_left
from yanmo.serving.limits import Job, Line


class Work:
    """Yields 0, 1, 2 ...; waits for a permit before each number where it has a gate."""

    def __init__(self, count: int, gate: threading.Semaphore | None = None) -> None:
        self.count, self.gate, self.done = count, gate, 0

    def __call__(self, cancelled: Callable[[], bool]) -> Iterator[int]:
        for number in range(self.count):
            while self.gate is not None and not self.gate.acquire(timeout=0.005):
                if cancelled():
                    return
            self.done += 1
            yield number


async def read(job: Job[int]) -> list[int]:
    numbers = []
    while (number := await job.next_event()) is not None:
        numbers.append(number)
    return numbers


def test_jobs_run_one_at_a_time_in_their_order() -> None:
    async def main() -> list[str]:
        line, seen = Line(max_waiting=8), []

        def work(name: str) -> Callable[[Callable[[], bool]], Iterator[int]]:
            def run(_: Callable[[], bool]) -> Iterator[int]:
                for number in range(3):
                    seen.append(f"{name}{number}")
                    yield number

            return run

        jobs = [Job(work(name), max_request_s=5) for name in "abc"]
        for job in jobs:
            line.join(job)
        assert await asyncio.gather(*map(read, jobs)) == [[0, 1, 2]] * 3
        line.close()
        return seen

    assert asyncio.run(main()) == [f"{name}{number}" for name in "abc" for number in range(3)]


def test_a_full_line_refuses_and_a_client_that_left_makes_room() -> None:
    async def main() -> None:
        gate = threading.Semaphore(0)
        line = Line(max_waiting=1)
        running, waiting, late = (Job(Work(1, gate), max_request_s=5) for _ in range(3))
        line.join(running)
        line.join(waiting)
        with pytest.raises(ApiError) as caught:
            line.join(late)
        assert caught.value.status == 429
        assert int(caught.value.headers["Retry-After"]) >= 1
        waiting.fail(client_left())
        line.join(late)
        gate.release(2)
        assert await read(running) == [0]
        assert await read(late) == [0]
        line.close()

    asyncio.run(main())


def test_cancelling_stops_within_one_step() -> None:
    async def main() -> None:
        gate = threading.Semaphore(2)
        line, work = Line(max_waiting=1), Work(1000, gate)
        job = Job(work, max_request_s=5)
        line.join(job)
        assert [await job.next_event(), await job.next_event()] == [0, 1]
        job.cancel()
        gate.release(1000)
        after = Job(Work(1), max_request_s=5)
        line.join(after)
        assert await read(after) == [0]
        assert work.done <= 3
        line.close()

    asyncio.run(main())


def test_the_time_limit_counts_from_the_arrival_and_frees_the_line() -> None:
    async def main() -> None:
        line = Line(max_waiting=1)
        stuck = Job(Work(1, threading.Semaphore(0)), max_request_s=0.1)
        line.join(stuck)
        with pytest.raises(ApiError) as caught:
            await stuck.next_event()
        assert (caught.value.status, caught.value.code) == (504, "request_timeout")
        assert caught.value.headers["x-should-retry"] == "false"
        after = Job(Work(1), max_request_s=5)
        line.join(after)
        assert await read(after) == [0]
        line.close()

    asyncio.run(main())


def test_what_the_work_raises_reaches_the_reader_and_the_line_goes_on() -> None:
    def broken(_: Callable[[], bool]) -> Iterator[int]:
        yield 1
        raise ZeroDivisionError

    async def main() -> None:
        line = Line(max_waiting=1)
        job = Job(broken, max_request_s=5)
        line.join(job)
        assert await job.next_event() == 1
        with pytest.raises(ZeroDivisionError):
            await job.next_event()
        after = Job(Work(1), max_request_s=5)
        line.join(after)
        assert await read(after) == [0]
        line.close()

    asyncio.run(main())


def test_closing_tells_those_who_wait() -> None:
    async def main() -> None:
        line = Line(max_waiting=1)
        jobs = [Job(Work(1, threading.Semaphore(0)), max_request_s=5) for _ in range(2)]
        for job in jobs:
            line.join(job)
        line.close()
        for job in jobs:
            with pytest.raises(ApiError) as caught:
                await read(job)
            assert caught.value.code == "server_stopping"
        with pytest.raises(ApiError) as late:
            line.join(Job(Work(1), max_request_s=5))
        assert late.value.status == 503

    asyncio.run(main())
