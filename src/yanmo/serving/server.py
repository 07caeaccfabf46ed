"""The HTTP server around an application: where it listens, when it is ready, and how it stops."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import math
import socket
import threading
from collections.abc import Callable, Iterator
from types import FrameType

import uvicorn
from fastapi import FastAPI

from yanmo.errors import InputError, Interrupted, YanmoError
from yanmo.serving.connections import allow_connections, protocol_with
from yanmo.serving.limits import Limits


def run(
    app: FastAPI,
    listener: socket.socket,
    where: str,
    *,
    on_ready: Callable[[str], None],
    limits: Limits | None = None,
) -> None:
    """Serve until SIGINT or SIGTERM.

    Args:
        app: as ``site.create_site`` made it.
        listener: from ``listen``.
        where: its URL.
        on_ready: told the URL when requests are taken.
        limits: what one connection may cost; None for the defaults.

    Raises:
        Interrupted: always at the end: the signal that stopped the server.
    """
    limits = limits or Limits()
    allow_connections(limits)
    server = _Server(app, on_started=lambda: on_ready(where), limits=limits)
    asyncio.run(server.serve(sockets=[listener]))
    if server.signal is None:
        raise YanmoError("the server stopped by itself")
    raise Interrupted("the server was stopped", exit_code=128 + server.signal)


@contextlib.contextmanager
def in_background(app: FastAPI, listener: socket.socket, *, limits: Limits | None = None) -> Iterator[None]:
    """Serve from a thread of its own inside the block, which begins when requests are taken.

    Arguments as ``run``.

    Raises:
        YanmoError: the server did not start.
    """
    ready = threading.Event()
    server = _Server(app, on_started=ready.set, limits=limits or Limits())
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="server", daemon=True)
    thread.start()
    try:
        if not ready.wait(30):
            raise YanmoError("the server did not start")
        yield
    finally:
        server.should_exit = True
        thread.join(10)


class _Server(uvicorn.Server):
    """Uvicorn that says when it is ready, and stops at once but in good order."""

    def __init__(self, app: FastAPI, *, on_started: Callable[[], None], limits: Limits) -> None:
        # h11 rather than httptools: pure Python, strict about what a request is.
        super().__init__(
            uvicorn.Config(
                app,
                http=protocol_with(limits),
                ws="none",
                loop="asyncio",
                access_log=False,
                log_level="warning",
                server_header=False,
                proxy_headers=False,
                timeout_keep_alive=math.ceil(limits.max_head_s),
                timeout_graceful_shutdown=5,
            )
        )
        self._app = app
        self._on_started = on_started
        self.signal: int | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self._on_started()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        # Uvicorn would raise the signal again when it is done; ours becomes the exit code instead.
        self.signal = self.signal or sig
        self.force_exit = self.should_exit
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # First of all: uvicorn waits for answers that are being written.
        self._app.state.on_stop()
        await super().shutdown(sockets=sockets)


def listen(host: str, port: int) -> socket.socket:
    """A listening socket, made before the models are loaded so that a taken port is told at once.

    Args:
        host: address or name of this machine.
        port: 0 takes a free one.

    Raises:
        InputError: the port is taken or does not exist, or the host is not this machine's.
    """
    if not 0 <= port <= 65535:
        # The system would take it modulo 65536.
        raise InputError(
            f"port {port} does not exist", remedy="choose 1 to 65535 with --port; 0 takes a free one"
        )
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, UnicodeError):
        raise _no_such_host(host) from None
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise _listen_error(error, host, port) from None
    return listener


def _listen_error(error: OSError, host: str, port: int) -> InputError:
    if error.errno == errno.EADDRINUSE:
        return InputError(f"port {port} is in use", remedy="choose another with --port; 0 takes a free one")
    if error.errno == errno.EACCES:
        return InputError(f"port {port} may not be used by you", remedy="choose --port 1024 or above")
    if error.errno == errno.EADDRNOTAVAIL:
        return _no_such_host(host)
    return InputError(f"cannot listen on {host} port {port}: {error}", remedy="choose another --port")


def _no_such_host(host: str) -> InputError:
    return InputError(f"{host} is not an address of this machine", remedy="choose another --host")


def url(host: str, listener: socket.socket) -> str:
    """Where the server is, as one would open it on this machine."""
    port = listener.getsockname()[1]
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"
