"""What a connection may cost: deadlines for its head and its reader, and how many there may be.

Uvicorn bounds neither how long a request's head may take nor how long an answer may lie unread; a thousand
clients that send a byte a minute would hold a thousand connections for ever.
"""

from __future__ import annotations

import asyncio
import contextlib
import resource
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

from yanmo.serving.limits import Limits

# Files and pipes that the process has open beside its connections.
_OTHER_FILES = 256


def protocol_with(limits: Limits) -> type[H11Protocol]:
    """Uvicorn's protocol with deadlines; all connections of one server share the class."""
    # In the order in which they came: those whose head has not arrived.
    headless: dict[H11Protocol, None] = {}

    class Connection(H11Protocol):
        """One connection."""

        def __init__(self, *arguments: Any, **settings: Any) -> None:
            super().__init__(*arguments, **settings)
            self._head_timer: asyncio.TimerHandle | None = None
            self._stall_timer: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            assert isinstance(transport, asyncio.Transport)
            super().connection_made(transport)
            if len(self.connections) > limits.max_connections:
                oldest = next(iter(headless), self)
                oldest.transport.abort()
                headless.pop(oldest, None)
                if oldest is self:
                    return
            self._await_head()

        def connection_lost(self, error: Exception | None) -> None:
            self._head_is_here()
            self._cancel_stall()
            super().connection_lost(error)

        def data_received(self, data: bytes) -> None:
            before = self.cycle
            super().data_received(data)
            if self.cycle is not before:
                self._head_is_here()
            elif before is not None and before.response_complete and self._head_timer is None:
                # The next request on this connection has begun: its head has a deadline too.
                self._await_head()

        def pause_writing(self) -> None:
            super().pause_writing()
            self._cancel_stall()
            self._stall_timer = self.loop.call_later(limits.max_stall_s, self.transport.abort)

        def resume_writing(self) -> None:
            super().resume_writing()
            self._cancel_stall()

        def timeout_keep_alive_handler(self) -> None:
            if self.transport.get_write_buffer_size():
                # Its reader has not taken the last answer yet; a polite end would wait for that.
                self.transport.abort()
            super().timeout_keep_alive_handler()

        def _await_head(self) -> None:
            headless[self] = None
            self._head_timer = self.loop.call_later(limits.max_head_s, self.transport.abort)

        def _head_is_here(self) -> None:
            headless.pop(self, None)
            if self._head_timer is not None:
                self._head_timer.cancel()
                self._head_timer = None

        def _cancel_stall(self) -> None:
            if self._stall_timer is not None:
                self._stall_timer.cancel()
                self._stall_timer = None

    return Connection


def allow_connections(limits: Limits) -> None:
    """Ask the system for as many open files as the connections need."""
    needed = limits.max_connections + _OTHER_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < needed:
        most = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
