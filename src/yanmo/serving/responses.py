"""POST /v1/responses: a chat in the words of OpenAI's newer API, without anything that is kept.

Names: platform.openai.com/docs/api-reference/responses. A request becomes that of a chat, and what the chat
says is told in items and named events. No answer is stored: what refers to an earlier one is refused.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal

from fastapi import Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field

from yanmo.serving.answers import Choice, TokenEntry
from yanmo.serving.errand import Service
from yanmo.serving.limits import Limits
from yanmo.serving.schema import ApiRequest, ChatRequest, JsonSchema, Message, ResponseFormat
from yanmo.serving.streaming import answer
from yanmo.serving.tools import CalledFunction, CalledTool, Function, NamedFunction, NamedTool, Tool

_STRICT = ConfigDict(strict=True, extra="ignore", populate_by_name=True)


class InputPart(BaseModel):
    """A part of a message; only text is known here."""

    model_config = _STRICT

    type: Literal["input_text", "output_text", "text"]
    text: str


class InputMessage(BaseModel):
    """A message of the conversation."""

    model_config = _STRICT

    type: Literal["message"] = "message"
    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[InputPart]


class InputCall(BaseModel):
    """A tool that the model called."""

    model_config = _STRICT

    type: Literal["function_call"]
    call_id: str
    name: str
    arguments: str = "{}"


class InputResult(BaseModel):
    """What the tool gave back."""

    model_config = _STRICT

    type: Literal["function_call_output"]
    call_id: str
    output: str


class FunctionTool(Function):
    """One of ``tools``."""

    type: Literal["function"]


class NamedFunctionTool(NamedFunction):
    """The tool in ``tool_choice``."""

    type: Literal["function"]


class TextFormat(BaseModel):
    """``text.format``."""

    model_config = _STRICT

    type: Literal["text", "json_object", "json_schema"]
    name: str = ""
    content: dict[str, Any] | None = Field(None, alias="schema")


class TextSettings(BaseModel):
    """``text``."""

    model_config = _STRICT

    format: TextFormat | None = None


class ResponsesRequest(ApiRequest):
    """Body of POST /v1/responses."""

    input: str | Annotated[list[InputCall | InputResult | InputMessage], Field(min_length=1)]
    instructions: str | None = None
    max_output_tokens: int | None = Field(None, ge=1)
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, ge=0, le=1)
    seed: int | None = Field(None, ge=-(2**63), lt=2**63)
    stream: bool | None = None
    text: TextSettings | None = None
    tools: Annotated[list[FunctionTool], Field(max_length=128)] | None = None
    tool_choice: Literal["none", "auto", "required"] | NamedFunctionTool | None = None

    def check(self, limits: Limits) -> None:
        """As the chat's."""
        self.chat().check(limits)

    def chat(self) -> ChatRequest:
        """The same as a chat."""
        choice: str | NamedTool | None = None
        if isinstance(self.tool_choice, NamedFunctionTool):
            choice = NamedTool(type="function", function=NamedFunction(name=self.tool_choice.name))
        else:
            choice = self.tool_choice
        fields = {
            "messages": list(self._messages()),
            "max_completion_tokens": self.max_output_tokens,
            "response_format": self._format(),
            "tools": [Tool(type="function", function=tool) for tool in self.tools or []] or None,
            "tool_choice": choice,
        }
        same = ("model", "temperature", "top_p", "seed", "stream")
        return ChatRequest.model_validate({**fields, **{name: getattr(self, name) for name in same}})

    def _messages(self) -> Iterator[Message]:
        if self.instructions:
            yield Message(role="system", content=self.instructions)
        if isinstance(self.input, str):
            yield Message(role="user", content=self.input)
            return
        calls: list[CalledTool] = []
        names = {item.call_id: item.name for item in self.input if isinstance(item, InputCall)}
        for item in self.input:
            if isinstance(item, InputCall):
                function = CalledFunction(name=item.name, arguments=item.arguments)
                calls.append(CalledTool(id=item.call_id, function=function))
                continue
            if calls:
                yield Message(role="assistant", tool_calls=calls)
                calls = []
            if isinstance(item, InputResult):
                name = names.get(item.call_id, "")
                yield Message(role="tool", content=item.output, tool_call_id=item.call_id, name=name)
                continue
            parts = item.content
            text = parts if isinstance(parts, str) else "".join(part.text for part in parts)
            yield Message(role=item.role, content=text)
        if calls:
            yield Message(role="assistant", tool_calls=calls)

    def _format(self) -> ResponseFormat | None:
        wanted = self.text.format if self.text else None
        if wanted is None:
            return None
        schema = None
        if wanted.type == "json_schema":
            schema = JsonSchema.model_validate({"name": wanted.name, "schema": wanted.content or {}})
        return ResponseFormat(type=wanted.type, json_schema=schema)


class Items:
    """The answer as items, whole or event by event; a ``Shape``."""

    ends_with_done = False

    def __init__(self, body: ResponsesRequest, *, model: str, num_prompt_tokens: int) -> None:
        """Begin an answer.

        Args:
            body: what was asked.
            model: its name.
            num_prompt_tokens: of the prompt.
        """
        self._body, self._model, self._num_prompt_tokens = body, model, num_prompt_tokens
        self._id, self._message_id = (f"{kind}_{secrets.token_hex(12)}" for kind in ("resp", "msg"))
        self._created = int(time.time())
        self._num_events, self._is_open = 0, False

    def whole(self, choices: Sequence[Choice]) -> dict[str, Any]:
        """The answer to a request that does not stream."""
        (choice,) = choices
        items = [self._message(choice)] if choice.text or not choice.calls else []
        calls = [_call_item(call.id, call.name, call.arguments) for call in choice.calls]
        return self._response(_status(choice), [*items, *calls], choice)

    def opening(self, index: int) -> list[dict[str, Any]]:
        """The events before any text."""
        begun = self._response("in_progress", [], None)
        return [self._event(f"response.{name}", response=begun) for name in ("created", "in_progress")]

    def part(self, choice: Choice, text: str, entries: Sequence[TokenEntry]) -> list[dict[str, Any]]:
        """The events of one step; none where it shows nothing."""
        if not text:
            return []
        return [*self._opened(), self._of_text("output_text.delta", delta=text, logprobs=[])]

    def closing(self, choice: Choice) -> list[dict[str, Any]]:
        """The events that end the answer, with the tools that it calls."""
        events = []
        if self._is_open or not choice.calls:
            events = [
                *self._opened(),
                self._of_text("output_text.done", text=choice.text, logprobs=[]),
                self._of_text("content_part.done", part=_text_part(choice.text)),
                self._event("response.output_item.done", output_index=0, item=self._message(choice)),
            ]
        for index, call in enumerate(choice.calls, start=int(self._is_open)):
            place = {"item_id": call.id, "output_index": index}
            begun = _call_item(call.id, call.name, "") | {"status": "in_progress"}
            done = _call_item(call.id, call.name, call.arguments)
            events += [
                self._event("response.output_item.added", output_index=index, item=begun),
                self._event("response.function_call_arguments.delta", **place, delta=call.arguments),
                self._event("response.function_call_arguments.done", **place, arguments=call.arguments),
                self._event("response.output_item.done", output_index=index, item=done),
            ]
        return [*events, self._event(f"response.{_status(choice)}", response=self.whole([choice]))]

    def counts(self, choices: Sequence[Choice]) -> list[dict[str, Any]]:
        """None: they stand in the last event."""
        return []

    def _opened(self) -> list[dict[str, Any]]:
        """The events that begin the message, if nothing has."""
        if self._is_open:
            return []
        self._is_open = True
        begun = {**_message(self._message_id, "in_progress"), "content": []}
        return [
            self._event("response.output_item.added", output_index=0, item=begun),
            self._of_text("content_part.added", part=_text_part("")),
        ]

    def _of_text(self, name: str, **content: Any) -> dict[str, Any]:
        place = {"item_id": self._message_id, "output_index": 0, "content_index": 0}
        return self._event(f"response.{name}", **place, **content)

    def _event(self, name: str, **content: Any) -> dict[str, Any]:
        self._num_events += 1
        return {"type": name, "sequence_number": self._num_events - 1, **content}

    def _message(self, choice: Choice) -> dict[str, Any]:
        return {**_message(self._message_id, _status(choice)), "content": [_text_part(choice.text)]}

    def _response(
        self, status: str, output: Sequence[dict[str, Any]], choice: Choice | None
    ) -> dict[str, Any]:
        body = self._body
        said = body.model_dump(mode="json", by_alias=True, include={"tools", "tool_choice", "text"})
        num_tokens = 0 if choice is None else choice.num_tokens
        usage = {
            "input_tokens": self._num_prompt_tokens,
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens": num_tokens,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": self._num_prompt_tokens + num_tokens,
        }
        return {
            "id": self._id,
            "object": "response",
            "created_at": self._created,
            "status": status,
            "error": None,
            "incomplete_details": {"reason": "max_output_tokens"} if status == "incomplete" else None,
            "instructions": body.instructions,
            "max_output_tokens": body.max_output_tokens,
            "model": self._model,
            "output": list(output),
            "parallel_tool_calls": True,
            "previous_response_id": None,
            "store": False,
            "temperature": 1.0 if body.temperature is None else body.temperature,
            "text": said["text"] or {"format": {"type": "text"}},
            "tool_choice": said["tool_choice"] or "auto",
            "tools": said["tools"] or [],
            "top_p": 1.0 if body.top_p is None else body.top_p,
            "truncation": "disabled",
            "usage": None if choice is None else usage,
        }


async def respond(request: Request, body: ResponsesRequest, service: Service) -> Response:
    """Do what a request asks.

    Raises:
        ApiError: whatever keeps it from being done, as long as nothing was sent.
    """

    def shape(model: str, num_prompt_tokens: int) -> Items:
        return Items(body, model=model, num_prompt_tokens=num_prompt_tokens)

    return await answer(request, body.chat(), service, shape=shape)


def _status(choice: Choice) -> str:
    return "incomplete" if choice.finish_reason == "length" else "completed"


def _message(item_id: str, status: str) -> dict[str, Any]:
    return {"type": "message", "id": item_id, "status": status, "role": "assistant"}


def _text_part(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _call_item(call_id: str, name: str, arguments: str) -> dict[str, Any]:
    return {
        "type": "function_call",
        "id": call_id,
        "call_id": call_id,
        "name": name,
        "arguments": arguments,
        "status": "completed",
    }
