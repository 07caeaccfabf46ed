"""The prompts of a request as token ids, and how far each may be continued."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass

from yanmo.errors import InputError
from yanmo.serving import api_errors
from yanmo.serving.api_errors import ApiError
from yanmo.serving.catalog import Card, OpenModel, TextEngine
from yanmo.serving.limits import Limits
from yanmo.serving.schema import ChatRequest, CompletionRequest, GenerationRequest

_DEFAULT_COMPLETION_TOKENS = 16  # of the OpenAI API


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """One prompt.

    Attributes:
        ids: what the model is given.
        num_lead: tokens at its beginning that the asker did not write.
        text: as it was given, where it was a text and is whole.
    """

    ids: tuple[int, ...]
    num_lead: int = 0
    text: str | None = None


@dataclass(frozen=True, kw_only=True)
class Prompts:
    """A request's prompts, and how many tokens each answer may have."""

    each: tuple[Prompt, ...]
    max_tokens: int

    @property
    def num_tokens(self) -> int:
        """Of all prompts together."""
        return sum(len(prompt.ids) for prompt in self.each)


def prepare(body: GenerationRequest, card: Card, opened: OpenModel, limits: Limits) -> Prompts:
    """Encode the prompts and settle the number of new tokens.

    Raises:
        ApiError: 400, a prompt is too long, cannot be encoded, or names a token that there is not.
    """
    vocab_size = opened.tokenizer.vocab_size
    for token in (*body.bias(), *(body.stop_token_ids or ())):
        if not 0 <= token < vocab_size:
            raise _no_such_token(
                token, vocab_size, param="logit_bias" if body.logit_bias else "stop_token_ids"
            )
    if isinstance(body, ChatRequest):
        max_tokens = body.max_new_tokens or limits.max_new_tokens
        tools = [tool.plain() for tool in body.callable_tools] or None
        if tools and card.tools is None:
            raise ApiError(
                "This model's chat template has no tools.", param="tools", code="unsupported_parameter"
            )
        try:
            messages = [message.plain() for message in body.messages]
            ids = opened.tokenizer.encode_chat(messages, tools=tools)
        except (InputError, ValueError) as error:
            raise ApiError(str(error), param="messages", code="invalid_value") from None
        _check_length(len(ids), card, param="messages")
        return Prompts(each=(Prompt(ids=tuple(ids)),), max_tokens=max_tokens)
    assert isinstance(body, CompletionRequest)
    assert opened.engine is not None
    asked = body.max_new_tokens
    max_tokens = _DEFAULT_COMPLETION_TOKENS if asked is None else asked
    prompts = [_encode(prompt, opened.engine, vocab_size) for prompt in body.prompts]
    if body.truncate_prompt_tokens is not None:
        keep = _num_kept(body.truncate_prompt_tokens, card.max_seq_len, max_tokens)
        prompts = [_end_of(prompt, keep) for prompt in prompts]
    _check_length(max(len(prompt.ids) for prompt in prompts), card, param="prompt")
    return Prompts(each=tuple(prompts), max_tokens=max_tokens)


def _encode(prompt: str | Sequence[int], engine: TextEngine, vocab_size: int) -> Prompt:
    if isinstance(prompt, str):
        ids, bare = engine.encode(prompt), engine.encode("")
        # What begins a document stands before a text too, or is all there is of an empty one.
        num_lead = len(bare) if ids[: len(bare)] == bare else 0
        return Prompt(ids=tuple(ids), num_lead=num_lead, text=prompt)
    wrong = next((token for token in prompt if not 0 <= token < vocab_size), None)
    if wrong is not None:
        raise _no_such_token(wrong, vocab_size, param="prompt")
    if prompt:
        return Prompt(ids=tuple(prompt))
    # An empty prompt begins a document; counted here as the token that the engine puts there.
    begun = tuple(engine.encode(""))
    return Prompt(ids=begun, num_lead=len(begun))


def _end_of(prompt: Prompt, keep: int) -> Prompt:
    return prompt if len(prompt.ids) <= keep else Prompt(ids=prompt.ids[-keep:])


def _num_kept(asked: int, max_seq_len: int | None, max_tokens: int) -> int:
    """Tokens to keep of a prompt: those asked for, or (-1) what leaves room to answer, half at least."""
    if asked >= 0:
        return max(asked, 1)
    if max_seq_len is None:
        return sys.maxsize
    return max(max_seq_len - max_tokens + 1, (max_seq_len + 1) // 2)


def _check_length(num_tokens: int, card: Card, *, param: str) -> None:
    if card.max_seq_len is not None and num_tokens > card.max_seq_len:
        raise api_errors.context_exceeded(num_tokens, card.max_seq_len, param=param)


def _no_such_token(token: int, vocab_size: int, *, param: str) -> ApiError:
    message = f"Invalid '{param}': there is no token {token}; ids end at {vocab_size - 1}."
    return ApiError(message, param=param, code="invalid_value")
