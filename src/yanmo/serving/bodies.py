"""Reading the body of a request, kept no further than the limits."""

from __future__ import annotations

import asyncio
import contextlib

from fastapi import Request
from starlette.requests import ClientDisconnect

from yanmo.serving import api_errors
from yanmo.serving.api_errors import ApiError
from yanmo.serving.limits import Limits

# How far a body that is too large is read after all, so that its sender sees the answer.
_DISCARD_FACTOR = 16
_DISCARD_S = 2.0


async def read_body(request: Request, limits: Limits) -> bytes:
    """The body.

    Raises:
        ApiError: 413 too large, 408 too slow, or the client left.
    """
    body = bytearray()
    try:
        async with asyncio.timeout(limits.max_body_s):
            async for block in request.stream():
                body += block
                if len(body) > limits.max_body_bytes:
                    break
    except TimeoutError:
        raise ApiError(
            f"The request body took longer than {limits.max_body_s:g} s.",
            status=408,
            code="body_too_slow",
            headers={"Connection": "close"},
        ) from None
    except ClientDisconnect:
        raise api_errors.client_left() from None
    if len(body) > limits.max_body_bytes:
        await _discard_rest(request, _DISCARD_FACTOR * limits.max_body_bytes)
        raise api_errors.body_too_large(limits.max_body_bytes)
    return bytes(body)


async def _discard_rest(request: Request, most_bytes: int) -> None:
    """Read on for a moment: a connection closed over unread bytes is reset, and takes the answer with it."""
    num_bytes = 0
    with contextlib.suppress(TimeoutError, ClientDisconnect):
        async with asyncio.timeout(_DISCARD_S):
            more = True
            while more and num_bytes < most_bytes:
                message = await request.receive()
                more = message.get("more_body", False)
                num_bytes += len(message.get("body", b""))
