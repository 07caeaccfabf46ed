"""Error answers in the shape of the OpenAI API, which existing clients turn into their own exceptions.

Body: ``{"error": {"message", "type", "param", "code"}}``
(platform.openai.com/docs/guides/error-codes). FastAPI's own 422 never leaves this server.
"""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from typing import Any

from fastapi.responses import JSONResponse

from yanmo.config import format_size

_MAX_CHARACTERS = 500


class ApiError(Exception):
    """A request that is answered with an error object."""

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        kind: str = "invalid_request_error",
        param: str | None = None,
        code: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        """Keep the parts of the answer.

        Args:
            message: for people: what is wrong and what to do.
            status: of HTTP.
            kind: the ``type`` of the error object.
            param: the request field at fault.
            code: for programs, such as ``model_not_found``.
            headers: added to the answer.
        """
        # What was asked is often repeated in it, and may be megabytes.
        message = message if len(message) <= _MAX_CHARACTERS else message[:_MAX_CHARACTERS] + "…"
        super().__init__(message)
        self.message, self.status, self.kind = message, status, kind
        self.param, self.code, self.headers = param, code, headers or {}

    def body(self) -> dict[str, Any]:
        """The error object."""
        return {"error": {"message": self.message, "type": self.kind, "param": self.param, "code": self.code}}

    def response(self) -> JSONResponse:
        """The HTTP answer."""
        return JSONResponse(self.body(), status_code=self.status, headers=self.headers)


def model_not_found(name: str) -> ApiError:
    """404: no model of that name is served."""
    message = f"The model '{name}' does not exist or is not served here. GET /v1/models lists those that are."
    return ApiError(message, status=404, param="model", code="model_not_found")


def wrong_route(name: str, route: str, routes: Sequence[str]) -> ApiError:
    """400: the model answers other questions."""
    answers = ", ".join(f"/v1/{each}" for each in routes) or "none"
    message = f"The model '{name}' does not answer /v1/{route}. It answers: {answers}."
    return ApiError(message, param="model", code="model_not_supported")


def model_too_large(name: str, num_bytes: int, budget_bytes: int) -> ApiError:
    """503: the model alone passes the server's budget of memory; asking again does not help."""
    message = (
        f"The model '{name}' needs {format_size(num_bytes)} of memory; "
        f"this server has {format_size(budget_bytes)} for its models."
    )
    headers = {"x-should-retry": "false"}
    return ApiError(message, status=503, kind="server_error", code="model_too_large", headers=headers)


def model_not_loaded(name: str) -> ApiError:
    """503: the model's folder is damaged or gone, or its memory could not be had."""
    message = f"The model '{name}' cannot be loaded. The server's log says why."
    headers = {"x-should-retry": "false"}
    return ApiError(message, status=503, kind="server_error", code="model_not_loaded", headers=headers)


def models_in_use() -> ApiError:
    """503: every model in memory is answering somebody, and another does not fit beside them."""
    message = "The memory for models is in use. Try again in a moment."
    headers = {"Retry-After": "2"}
    return ApiError(message, status=503, kind="server_error", code="models_in_use", headers=headers)


def wrong_key() -> ApiError:
    """401: no key or the wrong key."""
    return ApiError(
        "Incorrect or missing API key. Send it as 'Authorization: Bearer KEY'.",
        status=401,
        code="invalid_api_key",
        headers={"WWW-Authenticate": "Bearer"},
    )


def forbidden(message: str, code: str) -> ApiError:
    """403: the request comes from a place that may not ask."""
    return ApiError(message, status=403, code=code)


def body_too_large(max_bytes: int) -> ApiError:
    """413: the body passes the limit; what is left of it is not read."""
    message = f"The request body is larger than the {max_bytes:,} bytes that this server takes."
    return ApiError(message, status=413, code="request_too_large", headers={"Connection": "close"})


def context_exceeded(num_tokens: int, max_seq_len: int, *, param: str) -> ApiError:
    """400: the prompt does not fit the context."""
    noun = "messages" if param == "messages" else "prompt"
    message = (
        f"This model's maximum context length is {max_seq_len} tokens. However, your {noun} resulted in "
        f"{num_tokens} tokens. Please reduce the length of the {noun}."
    )
    return ApiError(message, param=param, code="context_length_exceeded")


def line_full(retry_after_s: int) -> ApiError:
    """429: one generation runs and as many wait as may."""
    return ApiError(
        f"The server is busy and its waiting line is full. Try again in {retry_after_s} s.",
        status=429,
        kind="rate_limit_error",
        code="rate_limit_exceeded",
        headers={"Retry-After": str(retry_after_s)},
    )


def out_of_time(limit_s: float) -> ApiError:
    """504: the time limit of one request has passed; repeating it would only cost as much again."""
    return ApiError(
        f"The answer took longer than the {limit_s:g} s that one request may take. Ask for fewer tokens.",
        status=504,
        kind="server_error",
        code="request_timeout",
        headers={"x-should-retry": "false"},
    )


def stopping() -> ApiError:
    """503: the server is being stopped."""
    return ApiError("The server is stopping.", status=503, kind="server_error", code="server_stopping")


def failed() -> ApiError:
    """500: our own bug; the details are in the server's log, not in the answer."""
    message = "The server had an error while processing your request. Its log says more."
    return ApiError(message, status=500, kind="server_error", code="internal_error")


def client_left() -> ApiError:
    """The client closed the connection; nobody reads this (499, as nginx logs it)."""
    return ApiError("The client closed the connection.", status=499, kind="server_error", code="client_left")


def report(error: BaseException) -> str:
    """A bug for the server's log: where it happened and its kind.

    The message is left out, for it may hold a part of somebody's text.
    """
    frames = "".join(traceback.format_tb(error.__traceback__))
    return f"yanmo: error while serving\n{frames}{type(error).__qualname__}"
