"""Requests whose answers share a model's steps: from a request to the batch, and back to its reader.

Two threads: one prepares requests in the order they came (loads the model, encodes the prompt, reads the form
of the answer), the other computes, a step of all answers at a time.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from yanmo.generation.batching import Batch, Request
from yanmo.generation.engine import Engine, Piece
from yanmo.generation.sampling import SamplingParams
from yanmo.reporting.progress import say
from yanmo.serving import api_errors
from yanmo.serving.catalog import OpenModel
from yanmo.serving.limits import Reply, Turns


@dataclass(frozen=True, kw_only=True)
class Order:
    """What a request wants.

    Attributes:
        engine: of the model.
        prompts: token ids of each prompt.
        params: how each is continued.
        num_samples: answers to each; those of prompt number p are p * num_samples and on.
        first_events: what its reader gets before the first piece, which comes as (number, piece).
        release: called when nothing of it is left.
    """

    engine: Engine
    prompts: Sequence[Sequence[int]]
    params: SamplingParams
    num_samples: int
    first_events: Sequence[Any]
    release: Callable[[], None]


@dataclass(eq=False, kw_only=True)
class _Errand:
    """A request that has joined."""

    reply: Reply[Any]
    prepare: Callable[[], Order]
    order: Order | None = None
    num_left: int = 0
    has_begun: bool = False
    began_s: float = 0.0


class Batches:
    """The batch with its threads, which start with the first request."""

    def __init__(self, batch: Batch, *, max_waiting: int, turns: Turns) -> None:
        """Take a batch over.

        Args:
            batch: nobody else steps it.
            max_waiting: requests that may wait behind those that run.
            turns: who computes besides.
        """
        self.batch = batch
        self._most = batch.limits.most_answers + max_waiting
        self._turns = turns
        self._changed = threading.Condition()
        self._joined: list[_Errand] = []
        self._unprepared: deque[_Errand] = deque()
        self._threads: list[threading.Thread] = []
        self._closed = False
        self._answer_s = 1.0

    @property
    def num_waiting(self) -> int:
        """Requests that have not begun."""
        return sum(not errand.has_begun for errand in self._joined)

    def join(self, reply: Reply[Any], prepare: Callable[[], Order]) -> None:
        """Take a request in.

        Args:
            reply: of its reader.
            prepare: makes the order, in another thread; what it raises goes to the reader.

        Raises:
            ApiError: too many wait (429), or the server stops (503).
        """
        with self._changed:
            if self._closed:
                raise api_errors.stopping()
            ahead = sum(not errand.reply.cancelled for errand in self._joined)
            if ahead >= self._most:
                waiting = ahead - self.batch.limits.most_answers + 1
                seconds = self._answer_s * waiting / self.batch.limits.most_answers
                raise api_errors.line_full(max(1, round(seconds)))
            errand = _Errand(reply=reply, prepare=prepare)
            self._joined.append(errand)
            self._unprepared.append(errand)
            if not self._threads:
                for name, run in (("yanmo-preparing", self._prepare_each), ("yanmo-batch", self._compute)):
                    self._threads.append(threading.Thread(target=run, name=name, daemon=True))
                    self._threads[-1].start()
            self._changed.notify_all()

    def forget_model(self, opened: OpenModel) -> None:
        """Let go of what is kept of a model that leaves the memory."""
        if opened.shared is None:
            return
        self.batch.forget(opened.shared)
        with self._changed:
            self._changed.notify_all()

    def close(self) -> None:
        """Refuse new requests and end those that are there; their readers are told."""
        with self._changed:
            self._closed = True
            for errand in self._joined:
                errand.reply.fail(api_errors.stopping())
            self._changed.notify_all()

    def wait(self, seconds: float) -> None:
        """After ``close``: until the threads have ended, which they must before the process does."""
        for thread in self._threads:
            thread.join(seconds)

    def _prepare_each(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._unprepared or self._closed)
                if self._closed:
                    return
                errand = self._unprepared.popleft()
            self._prepare(errand)

    def _prepare(self, errand: _Errand) -> None:
        try:
            if errand.reply.cancelled:
                self._end(errand)
                return
            errand.order = order = errand.prepare()
        except Exception as error:
            errand.reply.fail(error)
            self._end(errand)
            return
        errand.num_left = len(order.prompts) * order.num_samples
        for place, prompt_ids in enumerate(order.prompts):
            try:
                self.batch.add(self._request(errand, order, prompt_ids, place * order.num_samples))
            except Exception as error:
                errand.reply.fail(error)
                self._leave(errand, (len(order.prompts) - place) * order.num_samples)
                return
            with self._changed:
                self._changed.notify_all()

    def _request(
        self, errand: _Errand, order: Order, prompt_ids: Sequence[int], first_number: int
    ) -> Request:
        reply = errand.reply

        def take(index: int, piece: Piece) -> None:
            reply.put((first_number + index, piece))
            if piece.finish_reason is not None:
                self._leave(errand, 1)

        def fail(error: Exception) -> None:
            reply.fail(error)
            self._leave(errand, 1)

        return Request(
            engine=order.engine,
            prompt_ids=prompt_ids,
            params=order.params,
            num_samples=order.num_samples,
            on_piece=take,
            on_error=fail,
            on_admitted=partial(self._begin, errand, order),
            cancelled=lambda: reply.cancelled,
        )

    def _begin(self, errand: _Errand, order: Order) -> None:
        if not errand.has_begun:
            errand.has_begun, errand.began_s = True, time.monotonic()
            errand.reply.begin()
            for event in order.first_events:
                errand.reply.put(event)

    def _leave(self, errand: _Errand, num_answers: int) -> None:
        """So many answers of a request have ended, in whatever way."""
        with self._changed:
            errand.num_left -= num_answers
            is_over = errand.num_left == 0
        if is_over:
            # Before its reader is told, who may ask for another model that wants the room.
            self._end(errand)
            errand.reply.finish()

    def _end(self, errand: _Errand) -> None:
        with self._changed:
            if errand in self._joined:
                self._joined.remove(errand)
            if errand.has_begun:
                self._answer_s += 0.3 * (time.monotonic() - errand.began_s - self._answer_s)
            self._changed.notify_all()
        if errand.order is not None:
            # Not while this is locked: the catalog tells of models that leave while it is.
            errand.order.release()

    def _compute(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self.batch.has_work or self._closed)
                if self._closed:
                    return
            try:
                with self._turns:
                    self.batch.step()
            except Exception as error:
                say(api_errors.report(error))
                self.batch.clear(api_errors.failed())
