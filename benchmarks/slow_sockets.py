"""Sockets that are slow on purpose: heads and bodies a byte a second, and answers that nobody reads."""

from __future__ import annotations

import contextlib
import select
import socket
import time
from dataclasses import dataclass

KINDS = ("slow heads", "slow bodies", "stalled readers")
# Much more than the buffers between two processes hold.
_NUM_UNREAD = 60
_LARGE_FILE = "/static/style.css"
_GONE = select.POLLRDHUP | select.POLLHUP | select.POLLERR


@dataclass(kw_only=True)
class _Slow:
    kind: str
    socket: socket.socket
    opened_s: float
    closed_s: float | None = None


class SlowSockets:
    """A third of them slow in each way."""

    def __init__(self, host: str, port: int, count: int) -> None:
        """Prepare to open ``count``."""
        self._where, self._count = (host, port), count
        self._all: list[_Slow] = []

    def run(self, *, give_up_s: float) -> None:
        """Open all, send their bytes and note when the server closes them, for so long at most."""
        poll = select.poll()
        by_number: dict[int, _Slow] = {}
        for place in range(self._count):
            slow = self._open(KINDS[place % len(KINDS)])
            self._all.append(slow)
            by_number[slow.socket.fileno()] = slow
            poll.register(slow.socket, _GONE)
        start_s = dripped_s = time.monotonic()
        while by_number and time.monotonic() - start_s < give_up_s:
            for number, _ in poll.poll(200):
                slow = by_number.pop(number)
                slow.closed_s = time.monotonic()
                poll.unregister(number)
                slow.socket.close()
            if time.monotonic() - dripped_s >= 1:
                dripped_s = time.monotonic()
                for slow in by_number.values():
                    self._drip(slow)
        for slow in by_number.values():
            slow.socket.close()

    def summary(self) -> dict[str, tuple[int, int, float]]:
        """Of each kind: how many the server closed, of how many, and after how many seconds the last."""
        found = {}
        for kind in KINDS:
            ours = [slow for slow in self._all if slow.kind == kind]
            lived_s = [slow.closed_s - slow.opened_s for slow in ours if slow.closed_s is not None]
            found[kind] = (len(lived_s), len(ours), max(lived_s, default=0.0))
        return found

    def _open(self, kind: str) -> _Slow:
        ours = socket.socket()
        # Small, so that the server soon notices that nobody reads.
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        ours.connect(self._where)
        slow = _Slow(kind=kind, socket=ours, opened_s=time.monotonic())
        ours.setblocking(False)
        if kind == "slow heads":
            self._send(slow, b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")
        elif kind == "slow bodies":
            head = b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            self._send(slow, head + b"Content-Length: 100000\r\n\r\n{")
        else:
            self._send(slow, f"GET {_LARGE_FILE} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode() * _NUM_UNREAD)
        return slow

    def _drip(self, slow: _Slow) -> None:
        if slow.kind != "stalled readers":
            self._send(slow, b" ")

    @staticmethod
    def _send(slow: _Slow, data: bytes) -> None:
        # A server that has closed it already says so by ``poll``.
        with contextlib.suppress(OSError):
            slow.socket.send(data)
