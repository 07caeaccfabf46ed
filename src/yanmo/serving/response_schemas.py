"""What the routes answer with, as schemas of the OpenAPI document. Streams carry one JSON object an event."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Schema = dict[str, Any]


def _object(**properties: Schema) -> Schema:
    return {"type": "object", "required": list(properties), "properties": properties}


def _list(item: Schema) -> Schema:
    return {"type": "array", "items": item}


_TEXT: Schema = {"type": "string"}
_COUNT: Schema = {"type": "integer", "minimum": 0}
_OR_NOTHING: Schema = {"type": ["object", "null"]}
_REASON: Schema = {"enum": ["stop", "length", "tool_calls", "cancelled", None]}
_USAGE = _object(prompt_tokens=_COUNT, completion_tokens=_COUNT, total_tokens=_COUNT)
_READ = _object(prompt_tokens=_COUNT, total_tokens=_COUNT)


def _generated(name: str, **content: Schema) -> Schema:
    choice = _object(index=_COUNT, **content, logprobs=_OR_NOTHING, finish_reason=_REASON)
    return _object(
        id=_TEXT, object={"const": name}, created=_COUNT, model=_TEXT, choices=_list(choice), usage=_USAGE
    )


def _chunk(name: str, **content: Schema) -> Schema:
    whole = _generated(name, **content)
    properties = whole["properties"] | {"usage": {"anyOf": [_USAGE, {"type": "null"}]}}
    return {
        **whole,
        "properties": properties,
        "required": [each for each in whole["required"] if each != "usage"],
    }


def _rows(name: Schema, usage: Schema, **content: Schema) -> Schema:
    row = _object(object=name, index=_COUNT, **content)
    return _object(object={"const": "list"}, data=_list(row), model=_TEXT, usage=usage)


_TOOL_CALL = _object(id=_TEXT, type={"const": "function"}, function=_object(name=_TEXT, arguments=_TEXT))
_MESSAGE = _object(role={"const": "assistant"}, content={"type": ["string", "null"]})
_MESSAGE["properties"]["tool_calls"] = _list(_TOOL_CALL)
_DELTA: Schema = {
    "type": "object",
    "properties": {
        "role": {"const": "assistant"},
        "content": _TEXT,
        "tool_calls": _list({"type": "object"}),
    },
}
_MODEL = _object(id=_TEXT, object={"const": "model"})
_VECTOR: Schema = {"anyOf": [_list({"type": "number"}), {"type": "string", "contentEncoding": "base64"}]}
_TASK_ROWS = _rows(_TEXT, _USAGE)

_RESPONSE = _object(
    id=_TEXT,
    object={"const": "response"},
    created_at=_COUNT,
    model=_TEXT,
    status={"enum": ["completed", "incomplete"]},
    output=_list(_object(type={"enum": ["message", "function_call"]}, id=_TEXT)),
    usage=_object(input_tokens=_COUNT, output_tokens=_COUNT, total_tokens=_COUNT),
)

WHOLE: Mapping[str, Schema] = {
    "/v1/completions": _generated("text_completion", text=_TEXT),
    "/v1/chat/completions": _generated("chat.completion", message=_MESSAGE),
    "/v1/responses": _RESPONSE,
    "/v1/embeddings": _rows({"const": "embedding"}, _READ, embedding=_VECTOR),
    "/v1/similarity": _rows({"const": "similarity"}, _READ, score={"type": "number"}),
    "/v1/models": _object(object={"const": "list"}, data=_list(_MODEL)),
    "/v1/models/{name}": _MODEL,
    "/health": _object(status={"const": "ok"}),
    "/api/load": _object(
        running=_COUNT, waiting=_COUNT, max_waiting=_COUNT, memory={"type": "object"}, models=_list(_TEXT)
    ),
    "/api/runs": _object(object={"const": "list"}, data=_list({"type": "object"})),
    "/api/runs/{name}/metrics": {"type": "object"},
    "/api/comparison": {"type": "object"},
    "/openapi.json": _object(openapi=_TEXT, info={"type": "object"}, paths={"type": "object"}),
}
CHUNKS: Mapping[str, Schema] = {
    "/v1/completions": _chunk("text_completion", text=_TEXT),
    "/v1/chat/completions": _chunk("chat.completion.chunk", delta=_DELTA),
    "/v1/responses": _object(type=_TEXT, sequence_number=_COUNT),
}
_STREAM = (
    "With `stream`: one `data:` line an event, each a JSON object; an error is an event with `error`; "
    "the last is `data: [DONE]`, but of /v1/responses `response.completed` or `response.incomplete`. "
    "An event is as `x-event` says."
)


def content_of(path: str) -> Schema:
    """The content of a route's 200 answer, by media type.

    Args:
        path: of the route, as the document names it.
    """
    if path == "/metrics":
        return {"text/plain": {"schema": _TEXT}}
    content: Schema = {"application/json": {"schema": WHOLE.get(path, _TASK_ROWS)}}
    if path in CHUNKS:
        # OpenAPI 3.1 has no words for the events of a stream; hence ``x-event``.
        stream = {"type": "string", "description": _STREAM, "x-event": CHUNKS[path]}
        content["text/event-stream"] = {"schema": stream}
    return content
