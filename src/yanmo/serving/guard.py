"""Who may ask: API key, Host and Origin checks, security headers, and the access log.

A server on the loopback address can still be reached by any web page that the user opens: through a
name that resolves to 127.0.0.1 (DNS rebinding), or by a plain cross-site POST. Hence the Host of a
loopback server must be a loopback name, and a POST that carries an Origin must come from this very
server. There is no CORS: no other page may read an answer.

The log holds method, path, status and seconds, never a header or a key, and a body only where that is wanted
(``log_asked``).
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from yanmo.errors import InputError
from yanmo.reporting.progress import say
from yanmo.serving import api_errors
from yanmo.serving.api_errors import ApiError

SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
# Request, status (0 where the client left before there was one), seconds.
OnAnswer = Callable[[Scope, int, float], None]
_OPEN_PATHS = frozenset({"/", "/health", "/favicon.ico"})
_OPEN_FOLDER = "/static/"


@dataclass(frozen=True, kw_only=True)
class Access:
    """Where the server listens and what it asks of those who come.

    Attributes:
        host: address or name that it listens on.
        api_key: needed for all but the page's own files and /health, or None.
    """

    host: str = "127.0.0.1"
    api_key: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        """Refuse to listen to other machines without a key.

        Raises:
            InputError: the host is not a loopback address and there is no key.
        """
        if self.api_key is None and not is_loopback(self.host):
            raise InputError(
                f"--host {self.host} lets other machines in, which needs an API key",
                remedy="give --api-key-file FILE, or leave --host out",
            )


def is_loopback(host: str) -> bool:
    """Whether a host name or address (without port) can only mean this machine."""
    name = host.strip("[]").rstrip(".").lower()
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def read_api_key(path: Path) -> str:
    """The key in a file: its one line, without the line break.

    Raises:
        InputError: the file cannot be read, is empty, or holds more than one word.
    """
    try:
        key = path.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        raise InputError("no such API key file", where=path) from None
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not text"
        raise InputError(f"cannot read the API key: {reason}", where=path) from None
    if len(key) < 8 or not key.isascii() or not key.isprintable() or " " in key:
        raise InputError(
            "is not an API key", where=path, remedy="write one line of at least 8 letters, digits or signs"
        )
    if path.stat().st_mode & 0o077:
        say(f"yanmo: {path}: other users of this machine can read the API key (chmod 600 {path})")
    return key


class Guard:
    """ASGI middleware in front of every route."""

    def __init__(self, app: ASGIApp, *, access: Access, on_answer: OnAnswer | None = None) -> None:
        """Wrap an application.

        Args:
            app: what is guarded.
            access: whom to let in.
            on_answer: told of every answer.
        """
        self._app, self._on_answer = app, on_answer
        self._check_host = is_loopback(access.host)
        # Equal lengths whatever is sent, so that the comparison takes the same time.
        self._key_digest = None if access.api_key is None else _digest(access.api_key.encode())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check a request, pass it on, and see that every answer is whole and carries the headers."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started_s, status = time.monotonic(), 0

        async def send_guarded(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers[name] = value
            await send(message)

        refusal = self._refusal(scope)
        try:
            if refusal is not None:
                await refusal.response()(scope, receive, send_guarded)
            else:
                await self._app(scope, receive, send_guarded)
        except Exception as error:
            say(api_errors.report(error))
            if status == 0:
                await api_errors.failed().response()(scope, receive, send_guarded)
        finally:
            seconds = time.monotonic() - started_s
            _log(scope, status, seconds)
            if self._on_answer is not None:
                self._on_answer(scope, status, seconds)

    def _refusal(self, scope: Scope) -> ApiError | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if self._check_host and not is_loopback(_without_port(host)):
            return api_errors.forbidden(
                "This server answers only to names of this machine, such as localhost.", "host_not_allowed"
            )
        origin = headers.get("origin")
        if scope["method"] not in ("GET", "HEAD") and origin is not None and not _same_place(origin, host):
            return api_errors.forbidden("Requests from other web pages are not taken.", "origin_not_allowed")
        path = scope["path"]
        if self._key_digest is None or path in _OPEN_PATHS or path.startswith(_OPEN_FOLDER):
            return None
        scheme, _, key = headers.get("authorization", "").partition(" ")
        given = _digest(key.strip().encode("latin-1", "replace"))
        if not hmac.compare_digest(given, self._key_digest) or scheme.lower() != "bearer":
            return api_errors.wrong_key()
        return None


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host.partition("]")[0]
    return host.partition(":")[0]


def _same_place(origin: str, host: str) -> bool:
    # Scheme aside: behind a proxy that ends TLS the page is https and this server is not.
    try:
        return host != "" and urlsplit(origin).netloc.lower() == host.lower()
    except ValueError:
        return False


def log_asked(path: str, body: Mapping[str, Any]) -> None:
    """One line with what is asked, of which nothing can steer a terminal; only where that is wanted."""
    told = json.dumps(body, ensure_ascii=False)
    shown = "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in told)
    say(f"{time.strftime('%H:%M:%S')} asked {path} {shown}")


def _log(scope: Scope, status: int, seconds: float) -> None:
    """One line for what cost something or went wrong; the page's own reading is quiet."""
    if scope["method"] == "POST" or status >= 400:
        path = scope.get("raw_path", b"").decode("ascii", "replace")[:200]
        say(f"{time.strftime('%H:%M:%S')} {scope['method']} {path} {status or 'left'} {seconds:.2f}s")
