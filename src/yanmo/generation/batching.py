"""Continuous batching: answers of many requests share the model's steps, and join and leave between them.

Iterations as in Orca (Yu et al. 2022, OSDI, section 4.1), chunks of prompts as in Sarathi (Agrawal et al.
2023, arXiv 2308.16369, section 4) but behind the decoding instead of beside it: a step feeds one token of
every answer that goes on to its model, and then a bounded number of tokens of prompts that are being taken
in. Whoever came first is admitted first, when there is a place and memory for its prompt. Where the memory
for keys and values runs out, the answer that came last gives its own back and takes them in again later;
the first always goes on.

Everything but ``add`` and ``cancelled`` belongs to the one thread that calls ``step``.
Shapes: B answers, V vocabulary.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from yanmo.config import format_size
from yanmo.errors import InputError
from yanmo.generation.answer import Answer, Piece
from yanmo.generation.engine import Engine
from yanmo.generation.kv_memory import LEAST_SHARED, Holding, KeyValueMemory, num_common
from yanmo.generation.run import never
from yanmo.generation.sampling import SamplingParams
from yanmo.models.rows import TransformerRows, why_alone
from yanmo.models.transformer import Transformer


@dataclass(frozen=True, kw_only=True)
class Request:
    """A prompt to continue.

    Attributes:
        engine: of the model; of one of which ``why_not`` says nothing.
        prompt_ids: as ``Engine.stream``.
        params: how to continue.
        on_piece: told the number of an answer with a piece of it; the last piece has a ``finish_reason``.
        on_error: told once for each answer that cannot go on.
        on_admitted: told when its prompt is about to be taken in.
        num_samples: answers, with the seeds of ``Engine.generate_samples``.
        cancelled: asked before each step.
    """

    engine: Engine
    prompt_ids: Sequence[int]
    params: SamplingParams
    on_piece: Callable[[int, Piece], None]
    on_error: Callable[[Exception], None]
    on_admitted: Callable[[], None] = lambda: None
    num_samples: int = 1
    cancelled: Callable[[], bool] = never


@dataclass(frozen=True, kw_only=True)
class BatchLimits:
    """What a batch may take.

    Attributes:
        most_answers: that go on together.
        chunk_tokens: of prompts, taken in between two steps of others.
        idle_chunk_tokens: where there are no others.
        headroom_tokens: room of an answer at first; who is admitted leaves as much to each other one.
        kept_share: of the memory, for texts that have ended and may be the beginning of the next.
    """

    most_answers: int = 16
    chunk_tokens: int = 64
    idle_chunk_tokens: int = 512
    headroom_tokens: int = 64
    kept_share: float = 0.25


@dataclass(eq=False, kw_only=True)
class _Stream:
    """One answer with its place in the order of arrival."""

    number: int
    request: Request
    answer: Answer
    first_ids: list[int]
    most_tokens: int
    rows: TransformerRows
    holding: Holding | None = None
    is_hit: bool = False

    @property
    def ids(self) -> list[int]:
        """Prompt and answer so far."""
        return self.first_ids + self.answer.token_ids


class _Piece(NamedTuple):
    """The next tokens of a prompt."""

    stream: _Stream
    holding: Holding
    ids: list[int]


@dataclass(kw_only=True)
class Counts:
    """What a batch has done since it began."""

    prefix_hits: int = 0
    prefix_tokens: int = 0
    prompt_tokens: int = 0
    steps: int = 0
    given_back: int = 0


def why_not(engine: Engine) -> str | None:
    """Why an engine's answers cannot share steps with others; None where they can."""
    if not isinstance(engine.model, Transformer):
        return "its state is not kept token by token"
    if engine.speculation is not None:
        return "a draft proposes its tokens"
    return why_alone(engine.model.config)


class Batch:
    """Answers of any number of models that go on together."""

    def __init__(self, *, memory_bytes: int, limits: BatchLimits | None = None) -> None:
        """An empty batch.

        Args:
            memory_bytes: for all keys and values, those that are kept for later prompts included.
            limits: what it may take; None for the defaults.
        """
        self.limits = limits or BatchLimits()
        self.memory = KeyValueMemory(memory_bytes, kept_share=self.limits.kept_share)
        self.counts = Counts()
        self._numbers = itertools.count()
        self._arrived: deque[_Stream | Callable[[], None]] = deque()
        self._waiting: deque[_Stream] = deque()
        self._filling: list[_Stream] = []
        self._going: list[_Stream] = []
        self._is_oldest_next = True

    @property
    def num_waiting(self) -> int:
        """Answers that have no place yet."""
        return len(self._waiting) + len(self._arrived)

    @property
    def num_running(self) -> int:
        """Answers that have one."""
        return len(self._filling) + len(self._going)

    @property
    def has_work(self) -> bool:
        """Whether ``step`` would do anything."""
        return bool(self._arrived or self._waiting or self._filling or self._going)

    def most_tokens(self, engine: Engine) -> int:
        """Tokens of prompt and answer together for which there could ever be memory."""
        return (self.memory.budget_bytes - _score_bytes(engine)) // engine.rows.start().bytes_for(1)

    def add(self, request: Request) -> None:
        """Take a request in; may be called from one other thread than ``step``.

        Raises:
            InputError: as ``Engine.stream``, or its keys and values could never fit.
        """
        engine, params = request.engine, request.params
        opening = engine.prompter.open(request.prompt_ids)
        limit = engine.model.max_seq_len
        assert limit is not None, "a Transformer's context has an end"
        # The last token that is drawn is not taken in.
        wanted = limit if params.max_tokens is None else len(opening.first_ids) + params.max_tokens - 1
        most = min(wanted, limit)
        need = engine.rows.start().bytes_for(most) + _score_bytes(engine)
        if need > self.memory.budget_bytes:
            raise InputError(
                f"keys and values of {most} tokens need {format_size(need)}, there are "
                f"{format_size(self.memory.budget_bytes)} for them",
                remedy="ask for fewer tokens, or give more memory",
            )
        constraint = engine.constraint(params.form)
        for index in range(request.num_samples):
            answer = engine.answer(
                params,
                first_ids=opening.first_ids,
                index=index,
                constraint=None if constraint is None else constraint.copy(),
            )
            self._arrived.append(
                _Stream(
                    number=next(self._numbers),
                    request=request,
                    answer=answer,
                    first_ids=opening.first_ids,
                    most_tokens=most,
                    rows=engine.rows,
                )
            )

    def forget(self, engine: Engine) -> None:
        """Let go of what is kept of a model that leaves the memory; may be called from any thread."""
        self._arrived.append(partial(self.memory.forget, engine.rows))

    def clear(self, error: Exception) -> None:
        """End all answers with an error."""
        for stream in (*self._going, *self._filling, *self._waiting):
            self._fail(stream, error)

    def step(self) -> None:
        """One token of each answer that goes on, then a chunk of the prompts that are taken in."""
        while self._arrived:
            arrived = self._arrived.popleft()
            if isinstance(arrived, _Stream):
                self._waiting.append(arrived)
            else:
                arrived()
        self._drop_cancelled()
        self._admit()
        for rows in list(dict.fromkeys(stream.rows for stream in self._going)):
            self._decode(rows)
        self._fill()

    def _drop_cancelled(self) -> None:
        for stream in (*self._going, *self._filling, *self._waiting):
            if stream.request.cancelled():
                self._give(stream, stream.answer.cancel())

    def _admit(self) -> None:
        """Give places to those who wait, in their order, as far as there are places and memory."""
        while self._waiting and self.num_running < self.limits.most_answers:
            stream = self._waiting[0]
            ids = stream.ids
            room = min(stream.most_tokens, len(ids) + self.limits.headroom_tokens)
            running = (*self._going, *self._filling)
            spare_bytes = sum(one.rows.start().bytes_for(self.limits.headroom_tokens) for one in running)
            holding = self.memory.begin(stream.rows, ids, room, spare_bytes=spare_bytes)
            if holding is None:
                assert running, "it would fit alone, or would not have been taken in"
                return
            self._waiting.popleft()
            stream.holding = holding
            self._filling.append(stream)
            if not stream.answer.token_ids:
                stream.request.on_admitted()
            self._count_hit(stream, holding.cache.num_tokens)

    def _decode(self, rows: TransformerRows) -> None:
        """One token of each answer of a model."""
        for stream in sorted(self._going_of(rows), key=_number):
            if stream.holding is not None:
                self._make_room(stream, stream.holding)
        streams = self._going_of(rows)
        token_ids = [stream.answer.token_ids[-1] for stream in streams]
        holdings = [stream.holding for stream in streams if stream.holding is not None]
        if not streams:
            return
        try:
            scores_BV = rows.step([holding.cache for holding in holdings], token_ids)
        except Exception as error:
            for stream in streams:
                self._fail(stream, error)
            return
        self.counts.steps += 1
        for holding, token_id in zip(holdings, token_ids, strict=True):
            holding.ids.append(token_id)
        for place, stream in enumerate(streams):
            self._draw(stream, scores_BV[place : place + 1])

    def _make_room(self, stream: _Stream, holding: Holding) -> None:
        """Room for one more token; where there is none, those that came last give theirs back."""
        while not self.memory.grow(holding, holding.cache.num_tokens + 1, stream.most_tokens):
            last = max(self._going + self._filling, key=_number)
            self._take_out(last)
            self._waiting.appendleft(last)
            self.counts.given_back += 1
            if last is stream:
                return

    def _fill(self) -> None:
        left = self.limits.chunk_tokens if self._going else self.limits.idle_chunk_tokens
        while left > 0 and self._filling:
            pieces = self._pieces(left)
            if pieces:
                left -= self._take_in(pieces)

    def _pieces(self, most: int) -> list[_Piece]:
        """Of prompts of one model, what is read together; what needs no reading goes on at once.

        By turns comes first who came first, and who has least left: neither waits for long.
        """
        self._is_oldest_next = not self._is_oldest_next
        pieces: list[_Piece] = []
        for stream in sorted(self._filling, key=_num_left if self._is_oldest_next else _number):
            holding = stream.holding
            assert holding is not None
            if pieces and (stream.rows is not pieces[0].stream.rows or _is_shared(holding, pieces)):
                # It will copy what the others are about to read.
                continue
            self._count_hit(stream, self.memory.share(holding))
            num_held = holding.cache.num_tokens
            if num_held == len(holding.ids):
                assert holding.end_scores is not None
                self._begin(stream, holding.end_scores)
            elif most > 0:
                pieces.append(_Piece(stream, holding, holding.ids[num_held : num_held + most]))
                most -= len(pieces[-1].ids)
        return pieces

    def _take_in(self, pieces: Sequence[_Piece]) -> int:
        """Read pieces of prompts, and draw the first token behind each end; tokens read."""
        try:
            scores_BV = pieces[0].stream.rows.take_in(
                [piece.holding.cache for piece in pieces], [piece.ids for piece in pieces]
            )
        except Exception as error:
            for piece in pieces:
                self._fail(piece.stream, error)
            return 0
        for place, (stream, holding, _) in enumerate(pieces):
            if holding.cache.num_tokens == len(holding.ids):
                # A copy: the others' scores are not kept with it.
                end_scores = scores_BV[place : place + 1].clone()
                self.memory.remember(holding, end_scores)
                self._begin(stream, end_scores)
        num_tokens = sum(len(piece.ids) for piece in pieces)
        self.counts.prompt_tokens += num_tokens
        return num_tokens

    def _begin(self, stream: _Stream, end_scores: Tensor) -> None:
        self._filling.remove(stream)
        self._going.append(stream)
        self._draw(stream, end_scores)

    def _draw(self, stream: _Stream, scores_1V: Tensor) -> None:
        assert stream.holding is not None
        engine = stream.request.engine
        is_last = stream.holding.cache.num_tokens == engine.model.max_seq_len
        try:
            with torch.inference_mode():
                piece = stream.answer.step(scores_1V[:, : engine.vocab_size], is_last=is_last)
        except Exception as error:
            self._fail(stream, error)
            return
        self._give(stream, piece)

    def _give(self, stream: _Stream, piece: Piece) -> None:
        if piece.finish_reason is not None:
            self._take_out(stream)
        stream.request.on_piece(stream.answer.index, piece)

    def _fail(self, stream: _Stream, error: Exception) -> None:
        self._take_out(stream)
        stream.request.on_error(error)

    def _take_out(self, stream: _Stream) -> None:
        """Take a stream from its place; what it holds is kept for others."""
        for place in (self._going, self._filling, self._waiting):
            if stream in place:
                place.remove(stream)
        if stream.holding is not None:
            self.memory.end(stream.holding)
            stream.holding = None

    def _going_of(self, rows: TransformerRows) -> list[_Stream]:
        return [stream for stream in self._going if stream.rows is rows]

    def _count_hit(self, stream: _Stream, num_tokens: int) -> None:
        if num_tokens:
            self.counts.prefix_hits += not stream.is_hit
            self.counts.prefix_tokens += num_tokens
            stream.is_hit = True


def _number(stream: _Stream) -> int:
    return stream.number


def _num_left(stream: _Stream) -> tuple[int, int]:
    assert stream.holding is not None
    return len(stream.holding.ids) - stream.holding.cache.num_tokens, stream.number


def _is_shared(holding: Holding, pieces: Sequence[_Piece]) -> bool:
    """Whether pieces about to be read are of texts that begin as this one does."""
    held = holding.cache.num_tokens + LEAST_SHARED
    return any(num_common(holding.ids, piece.holding.ids) >= held for piece in pieces)


def _score_bytes(engine: Engine) -> int:
    """The scores behind a prompt, which are kept with it."""
    return engine.model.vocab_size * torch.float32.itemsize
