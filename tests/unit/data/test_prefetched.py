"""Threads that prepare batches give what no threads give, and are gone when they should be."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import numpy as np
import pytest

from yanmo.data.loader import Loader, Prefetched

PARTS = [range(2), range(2, 4), range(4, 5)]


class Slow:
    """Rows that name themselves, prepared in an uneven time; remembers what was asked for."""

    batch_size = 5

    def __init__(self, prepare: Callable[[int, range], None] = lambda step, rows: None) -> None:
        self._prepare = prepare
        self.asked: list[tuple[int, range]] = []

    def rows(self, step: int, rows: range) -> tuple[int, range]:
        self.asked.append((step, rows))
        self._prepare(step, rows)
        return step, rows

    def epochs(self, step: int) -> float:
        return 0.0


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("batches")]


@pytest.mark.parametrize("num_workers", [0, 1, 2])
def test_order_and_content_do_not_depend_on_the_threads(num_workers: int) -> None:
    rng = np.random.default_rng(0)
    pauses = rng.uniform(0, 0.003, 1000).tolist()
    batches = Slow(lambda step, rows: time.sleep(pauses.pop()))
    prefetched = Prefetched(batches, num_workers=num_workers)
    given = [batch for step in range(20) for batch in prefetched.each(step, PARTS)]
    assert given == [(step, rows) for step in range(20) for rows in PARTS]
    # Nothing is prepared twice, and what is ahead is bounded.
    assert len(batches.asked) == len(set(batches.asked)) <= 60 + 4
    prefetched.close()
    assert threads() == []


@pytest.mark.parametrize("num_workers", [1, 2])
def test_tokens_are_the_same_over_the_ends_of_epochs(num_workers: int) -> None:
    tokens = np.random.default_rng(0).integers(0, 500, 400).astype(np.uint16)
    loader = Loader(tokens, batch_size=5, seq_len=16, seed=3)
    prefetched = Prefetched(loader, num_workers=num_workers)
    fresh = Loader(tokens, batch_size=5, seq_len=16, seed=3)
    for step in range(60):
        for rows, batch in zip(PARTS, prefetched.each(step, PARTS), strict=True):
            assert batch.inputs_BT.tolist() == fresh.rows(step, rows).inputs_BT.tolist()
    prefetched.close()


def test_other_parts_and_a_leap_are_followed() -> None:
    prefetched = Prefetched(Slow(), num_workers=2)
    assert list(prefetched.each(0, PARTS))
    halves = [range(1), range(1, 2)]
    assert list(prefetched.each(1, halves)) == [(1, rows) for rows in halves]
    assert list(prefetched.each(7, PARTS)) == [(7, rows) for rows in PARTS]
    prefetched.close()


@pytest.mark.parametrize("num_workers", [0, 1, 2])
def test_an_error_comes_when_it_is_its_turn(num_workers: int) -> None:
    def fail(step: int, rows: range) -> None:
        if (step, rows.start) == (1, 2):
            raise ValueError("a torn page")

    prefetched = Prefetched(Slow(fail), num_workers=num_workers)
    assert len(list(prefetched.each(0, PARTS))) == 3
    coming = prefetched.each(1, PARTS)
    assert next(coming) == (1, PARTS[0])
    with pytest.raises(ValueError, match="a torn page"):
        next(coming)
    prefetched.close()
    assert threads() == []


def test_the_next_batch_is_prepared_while_the_present_one_is_used() -> None:
    prepared = threading.Event()

    def prepare(step: int, rows: range) -> None:
        if (step, rows) == (1, PARTS[0]):
            prepared.set()

    prefetched = Prefetched(Slow(prepare), num_workers=1)
    coming = prefetched.each(0, PARTS)
    for _ in PARTS:
        next(coming)
    assert prepared.wait(5)
    prefetched.close()
