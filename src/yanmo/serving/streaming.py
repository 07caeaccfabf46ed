"""From a checked request to its answer: work in another thread, its events to JSON or server-sent events.

Answers of a model that can share steps go to the batch, others to the line; here, in the event loop, their
pieces are gathered or sent on. A client that leaves cancels its work, which ends within one step.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any

from fastapi import Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

from yanmo.generation.engine import Piece, TokenLogprob
from yanmo.generation.sampling import SamplingParams
from yanmo.serving.answers import Choice, Envelope, Events, Shape
from yanmo.serving.api_errors import ApiError
from yanmo.serving.batches import Order
from yanmo.serving.catalog import Card, OpenModel, TextTokenizer
from yanmo.serving.errand import Errand, Service, bring
from yanmo.serving.limits import Cancelled, Reply
from yanmo.serving.metrics import Meter
from yanmo.serving.prompts import Prompt, Prompts, prepare
from yanmo.serving.schema import ChatRequest, CompletionRequest, GenerationRequest
from yanmo.serving.tools import ToolReader, call_form


@dataclass(frozen=True, kw_only=True)
class Begun:
    """The first event: what the model was given."""

    prompts: Prompts
    tokenizer: TextTokenizer


@dataclass(frozen=True, kw_only=True)
class Echoed:
    """A prompt to repeat before its answer, with its log-probabilities where they were asked for."""

    text: str
    token_ids: tuple[int, ...]
    logprobs: tuple[TokenLogprob | None, ...]


Step = tuple[int, Piece | Echoed]


async def answer(
    request: Request,
    body: GenerationRequest,
    service: Service,
    *,
    shape: Callable[[str, int], Shape] | None = None,
) -> Response:
    """Do what a request asks.

    Args:
        request: whose client waits.
        body: of the request.
        service: that answers.
        shape: from a model's name and a prompt's tokens to how answers are told; None for the body's own way.

    Raises:
        ApiError: whatever keeps it from being done, as long as nothing was sent.
    """
    is_chat = isinstance(body, ChatRequest)
    card = service.catalog.find(body.model)
    card.require("chat/completions" if is_chat else "completions")
    meter = service.metrics.meter(card.name)
    await bring(request, service, card.name)
    errand = _errand(request, body, service, card)
    try:
        begun = await errand.next()
        assert isinstance(begun, Begun)
        service.metrics.read(card.name, begun.prompts.num_tokens)
        told = (shape or _usual_shape(body))(card.name, begun.prompts.num_tokens)
        answers = _Answers(body, begun, meter, told)
        # Nothing is sent before the first step, so that what goes wrong until then has its own status.
        step = await _next_step(errand)
        if body.stream:
            return StreamingResponse(
                answers.events(errand, step),
                media_type="text/event-stream",
                headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
            )
        while step is not None:
            answers.take(step)
            step = await _next_step(errand)
    except BaseException:
        errand.end()
        raise
    errand.end()
    return JSONResponse(answers.whole(), headers={"Cache-Control": "no-store"})


def _errand(request: Request, body: GenerationRequest, service: Service, card: Card) -> Errand[Begun | Step]:
    is_scored = isinstance(body, CompletionRequest) and body.echo and body.logprobs is not None
    work = _Work(body, service)
    if card.alone or is_scored or body.max_new_tokens == 0:
        return Errand.in_line(request, service, work)
    reply: Reply[Begun | Step] = Reply(max_request_s=service.limits.max_request_s)
    service.batches.join(reply, work.order)
    return Errand(request, service, reply)


async def _next_step(errand: Errand[Begun | Step]) -> Step | None:
    event = await errand.next()
    assert not isinstance(event, Begun)
    return event


class _Answers:
    """The answers of one request as they grow."""

    def __init__(self, body: GenerationRequest, begun: Begun, meter: Meter, shape: Shape) -> None:
        self._meter, self._shape = meter, shape
        count = len(begun.prompts.each) * body.num_answers
        self._choices = [Choice(index=index, tokenizer=begun.tokenizer) for index in range(count)]
        tools = body.callable_tools if isinstance(body, ChatRequest) else []
        if tools:
            for choice in self._choices:
                choice.reader = ToolReader([tool.function.name for tool in tools])
        self._opened: set[int] = set()

    def take(self, step: Step) -> Events:
        """Take in one step; the events that show it."""
        index, piece = step
        choice = self._choices[index]
        events: Events = []
        if index not in self._opened:
            self._opened.add(index)
            events += self._shape.opening(index)
        if isinstance(piece, Echoed):
            entries = choice.echo(piece.text, piece.token_ids, piece.logprobs)
            return [*events, *self._shape.part(choice, piece.text, entries)]
        self._meter.step(len(piece.token_ids))
        events += self._shape.part(choice, *choice.add(piece))
        return events if choice.finish_reason is None else [*events, *self._shape.closing(choice)]

    def whole(self) -> dict[str, Any]:
        """All of it, for a request that does not stream."""
        return self._shape.whole(self._choices)

    async def events(self, errand: Errand[Begun | Step], step: Step | None) -> AsyncIterator[str]:
        """The answer as server-sent events; an error ends them with an event of its own."""
        try:
            while step is not None:
                for event in self.take(step):
                    yield _event(event)
                step = await _next_step(errand)
            for event in self._shape.counts(self._choices):
                yield _event(event)
            if self._shape.ends_with_done:
                yield "data: [DONE]\n\n"
        except ApiError as error:
            yield _event(error.body())
        finally:
            errand.end()


def _event(content: dict[str, Any]) -> str:
    name = f"event: {content['type']}\n" if "type" in content else ""
    return f"{name}data: {json.dumps(content, ensure_ascii=False, allow_nan=False)}\n\n"


def _usual_shape(body: GenerationRequest) -> Callable[[str, int], Shape]:
    def shape(model: str, num_prompt_tokens: int) -> Shape:
        return Envelope(
            "chat" if isinstance(body, ChatRequest) else "completion",
            model=model,
            logprobs=body.num_logprobs is not None,
            num_prompt_tokens=num_prompt_tokens,
            include_usage=body.include_usage,
        )

    return shape


class _Work:
    """Continues each prompt as often as asked: in the line's thread, or as an order to the batch."""

    def __init__(self, body: GenerationRequest, service: Service) -> None:
        self._body, self._service = body, service
        self._seed = body.first_seed()

    def __call__(self, cancelled: Cancelled) -> Iterator[Begun | Step]:
        catalog, body = self._service.catalog, self._body
        with catalog.opened(body.model) as opened:
            prompts = prepare(body, catalog.find(body.model), opened, self._service.limits)
            yield Begun(prompts=prompts, tokenizer=opened.tokenizer)
            for place, prompt in enumerate(prompts.each):
                first = place * body.num_answers
                echoed = self._echoed(prompt, opened, cancelled)
                if echoed is not None:
                    yield from ((first + number, echoed) for number in range(body.num_answers))
                for number, piece in self._pieces(prompt, prompts.max_tokens, opened, cancelled):
                    yield first + number, piece

    def order(self) -> Order:
        """What the batch is to do; the model stays in memory until it is released."""
        body, batch = self._body, self._service.batches.batch
        with contextlib.ExitStack() as held:
            opened = held.enter_context(self._service.catalog.opened(body.model))
            engine = opened.shared
            assert engine is not None, "the card promises it"
            card = self._service.catalog.find(body.model)
            prompts = prepare(body, card, opened, self._service.limits)
            max_tokens = prompts.max_tokens
            if body.max_new_tokens is None:
                longest = max(len(prompt.ids) for prompt in prompts.each)
                max_tokens = max(1, min(max_tokens, batch.most_tokens(engine) - longest))
            events: list[Begun | Step] = [Begun(prompts=prompts, tokenizer=opened.tokenizer)]
            for place, prompt in enumerate(prompts.each):
                echoed = self._echoed(prompt, opened, lambda: False)
                if echoed is not None:
                    first = place * body.num_answers
                    events += [(first + number, echoed) for number in range(body.num_answers)]
            return Order(
                engine=engine,
                prompts=[prompt.ids for prompt in prompts.each],
                params=self._params(max_tokens),
                num_samples=body.num_answers,
                first_events=events,
                release=held.pop_all().close,
            )

    def _pieces(
        self, prompt: Prompt, max_tokens: int, opened: OpenModel, cancelled: Cancelled
    ) -> Iterator[tuple[int, Piece]]:
        """What each of the answers to a prompt says, all at once."""
        assert opened.engine is not None
        body = self._body
        if max_tokens == 0:
            return ((number, Piece(text="", finish_reason="length")) for number in range(body.num_answers))
        return opened.engine.stream_samples(
            prompt.ids, self._params(max_tokens), num_samples=body.num_answers, cancelled=cancelled
        )

    def _params(self, max_tokens: int) -> SamplingParams:
        body, form = self._body, None
        if isinstance(body, ChatRequest) and body.demanded_tools:
            is_tagged = self._service.catalog.find(body.model).tools == "tagged"
            form = call_form(body.demanded_tools, is_tagged=is_tagged)
        return body.sampling(max_tokens=max_tokens, seed=self._seed, form=form)

    def _echoed(self, prompt: Prompt, opened: OpenModel, cancelled: Cancelled) -> Echoed | None:
        body = self._body
        if not isinstance(body, CompletionRequest) or not body.echo:
            return None
        shown = prompt.ids[prompt.num_lead :]
        text = prompt.text
        if text is None:
            text = opened.tokenizer.decode(shown, skip_special_tokens=False)
        if body.logprobs is None:
            return Echoed(text=text, token_ids=shown, logprobs=())
        if opened.prompt_logprobs is None:
            raise ApiError("This model does not say how likely a prompt is.", param="echo")
        found = opened.prompt_logprobs(prompt.ids, body.logprobs, cancelled)
        return Echoed(text=text, token_ids=shown, logprobs=tuple(found[prompt.num_lead :]))
