"""From a checked request to its answer: prompts to token ids, one job in the line, events to JSON.

The work runs in the line's thread; here, in the event loop, its pieces are gathered or sent on as
server-sent events. A client that leaves cancels its job, which ends within one step.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

from yanmo.errors import InputError
from yanmo.generation.engine import Piece
from yanmo.reporting.progress import say
from yanmo.serving import api_errors
from yanmo.serving.answers import Choice, Envelope
from yanmo.serving.api_errors import ApiError
from yanmo.serving.catalog import ServedModel
from yanmo.serving.limits import Cancelled, Job, Limits, Line
from yanmo.serving.schema import ChatRequest, CompletionRequest, GenerationRequest

_DEFAULT_COMPLETION_TOKENS = 16  # of the OpenAI API

Step = tuple[int, Piece]


@dataclass(frozen=True, kw_only=True)
class Prompts:
    """Token ids of a request's prompts, and how far each may be continued."""

    ids: tuple[tuple[int, ...], ...]
    max_tokens: int


def prepare(body: GenerationRequest, model: ServedModel, limits: Limits) -> Prompts:
    """Encode the prompts and settle the number of new tokens.

    Raises:
        ApiError: 400, a prompt is too long, cannot be encoded, or too many tokens are asked for.
    """
    if (body.max_new_tokens or 0) > limits.max_new_tokens:
        raise ApiError(
            f"max_tokens is too large: {body.max_new_tokens}. "
            f"This server gives at most {limits.max_new_tokens} tokens an answer.",
            param="max_tokens",
            code="integer_above_max_value",
        )
    if isinstance(body, ChatRequest):
        max_tokens = body.max_new_tokens or limits.max_new_tokens
        try:
            prompts = [model.tokenizer.encode_chat([message.plain() for message in body.messages])]
        except InputError as error:
            raise ApiError(str(error), param="messages", code="invalid_value") from None
        _check_lengths(prompts, model, param="messages")
    else:
        assert isinstance(body, CompletionRequest)
        max_tokens = body.max_new_tokens or _DEFAULT_COMPLETION_TOKENS
        prompts = [_encode(prompt, model) for prompt in body.prompts]
        if body.truncate_prompt_tokens is not None:
            keep = _num_kept(body.truncate_prompt_tokens, model.max_seq_len, max_tokens)
            prompts = [prompt[max(0, len(prompt) - keep) :] for prompt in prompts]
        _check_lengths(prompts, model, param="prompt")
    return Prompts(ids=tuple(tuple(prompt) for prompt in prompts), max_tokens=max_tokens)


async def answer(
    request: Request, body: GenerationRequest, model: ServedModel, line: Line, limits: Limits
) -> Response:
    """Do what a request asks.

    Raises:
        ApiError: whatever keeps it from being done, as long as nothing was sent.
    """
    prompts = await asyncio.to_thread(prepare, body, model, limits)
    job: Job[Step] = Job(_Work(body, model, prompts), max_request_s=limits.max_request_s)
    line.join(job)
    envelope = Envelope(
        "chat" if isinstance(body, ChatRequest) else "completion",
        model=model.name,
        logprobs=body.num_logprobs is not None,
        num_prompt_tokens=sum(len(prompt) for prompt in prompts.ids),
    )
    choices = [
        Choice(index=index, tokenizer=model.tokenizer) for index in range(len(prompts.ids) * body.num_answers)
    ]
    watcher = asyncio.create_task(_cancel_when_client_leaves(request, job))
    try:
        # Nothing is sent before the first step, so that what goes wrong until then has its own status.
        first = await _next_step(job)
        if body.stream:
            events = _events(job, watcher, first, envelope, choices, include_usage=body.include_usage)
            return StreamingResponse(
                events,
                media_type="text/event-stream",
                headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
            )
        step = first
        while step is not None:
            choices[step[0]].add(step[1])
            step = await _next_step(job)
    except BaseException:
        _end(job, watcher)
        raise
    _end(job, watcher)
    return JSONResponse(envelope.whole(choices), headers={"Cache-Control": "no-store"})


async def _events(
    job: Job[Step],
    watcher: asyncio.Task[None],
    step: Step | None,
    envelope: Envelope,
    choices: Sequence[Choice],
    *,
    include_usage: bool,
) -> AsyncIterator[str]:
    """The answer as server-sent events; an error ends them with an event of its own."""
    last_index = -1
    try:
        while step is not None:
            index, piece = step
            choice = choices[index]
            if index != last_index:
                last_index = index
                yield _event(envelope.opening(index), include_usage)
            yield _event(envelope.part(choice, piece.text, choice.add(piece)), include_usage)
            if choice.finish_reason is not None:
                yield _event(envelope.closing(choice), include_usage)
            step = await _next_step(job)
        if include_usage:
            yield _event(envelope.counts(choices), include_usage=False)
        yield "data: [DONE]\n\n"
    except ApiError as error:
        yield _event(error.body(), include_usage=False)
    finally:
        _end(job, watcher)


def _event(content: dict[str, Any] | None, include_usage: bool) -> str:
    if content is None:
        return ""
    if include_usage:
        content["usage"] = None
    return f"data: {json.dumps(content, ensure_ascii=False, allow_nan=False)}\n\n"


async def _next_step(job: Job[Step]) -> Step | None:
    try:
        return await job.next_event()
    except (ApiError, asyncio.CancelledError):
        raise
    except InputError as error:
        raise ApiError(str(error)) from None
    except Exception as error:
        say(api_errors.report(error))
        raise api_errors.failed() from None


def _end(job: Job[Step], watcher: asyncio.Task[None]) -> None:
    job.cancel()
    watcher.cancel()


async def _cancel_when_client_leaves(request: Request, job: Job[Step]) -> None:
    with contextlib.suppress(asyncio.CancelledError):
        while (await request.receive())["type"] != "http.disconnect":
            pass
        job.fail(api_errors.client_left())


class _Work:
    """Continues each prompt as often as asked; runs in the line's thread."""

    def __init__(self, body: GenerationRequest, model: ServedModel, prompts: Prompts) -> None:
        self._body, self._model, self._prompts = body, model, prompts
        self._seed = body.first_seed()

    def __call__(self, cancelled: Cancelled) -> Iterator[Step]:
        index = 0
        for prompt in self._prompts.ids:
            for number in range(self._body.num_answers):
                params = self._body.sampling(
                    max_tokens=self._prompts.max_tokens, answer=number, seed=self._seed
                )
                for piece in self._model.engine.stream(prompt, params, cancelled=cancelled):
                    yield index, piece
                index += 1


def _encode(prompt: str | list[int], model: ServedModel) -> list[int]:
    if isinstance(prompt, str):
        return model.engine.encode(prompt)
    wrong = next((token for token in prompt if not 0 <= token < model.tokenizer.vocab_size), None)
    if wrong is not None:
        message = f"Invalid 'prompt': there is no token {wrong}; ids end at {model.tokenizer.vocab_size - 1}."
        raise ApiError(message, param="prompt", code="invalid_value")
    # An empty prompt begins a document; counted here as the token that the engine puts there.
    return prompt or model.engine.encode("")


def _num_kept(asked: int, max_seq_len: int | None, max_tokens: int) -> int:
    """Tokens to keep of a prompt: those asked for, or (-1) what leaves room to answer, half at least."""
    if asked >= 0:
        return max(asked, 1)
    if max_seq_len is None:
        return sys.maxsize
    return max(max_seq_len - max_tokens + 1, (max_seq_len + 1) // 2)


def _check_lengths(prompts: Sequence[Sequence[int]], model: ServedModel, *, param: str) -> None:
    longest = max(len(prompt) for prompt in prompts)
    if model.max_seq_len is not None and longest > model.max_seq_len:
        raise api_errors.context_exceeded(longest, model.max_seq_len, param=param)
