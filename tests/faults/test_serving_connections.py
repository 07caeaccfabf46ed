"""Connections that dawdle: every one is closed on time, and who comes after them is served."""

from __future__ import annotations

import contextlib
import json
import socket
import time
import urllib.request
from urllib.parse import urlsplit

from serving_fakes import FakeEngine, fake_model, live_server

from yanmo.serving.limits import Limits

HEAD = b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\n"
GET = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"


def connect(url: str, *, receive_bytes: int | None = None) -> socket.socket:
    address = urlsplit(url)
    connection = socket.socket()
    if receive_bytes is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    connection.settimeout(20)
    connection.connect((address.hostname, address.port))
    return connection


def seconds_until_closed(connection: socket.socket) -> float:
    started_s = time.monotonic()
    with contextlib.suppress(ConnectionError):
        while connection.recv(65536):
            pass
    return time.monotonic() - started_s


def read_answer(connection: socket.socket) -> bytes:
    answer = b""
    while not answer.endswith(b'{"status":"ok"}'):
        block = connection.recv(65536)
        assert block, answer
        answer += block
    return answer


def is_healthy(url: str) -> bool:
    with urllib.request.urlopen(f"{url}/health", timeout=20) as answer:
        return answer.status == 200


def test_heads_that_never_end_and_connections_that_say_nothing() -> None:
    with live_server(fake_model(), limits=Limits(max_head_s=0.6)) as url:
        silent, slow = connect(url), connect(url)
        slow.sendall(HEAD + b"X-Slow: ")
        started_s = time.monotonic()
        with contextlib.suppress(OSError):
            for _ in range(4):
                time.sleep(0.1)
                slow.sendall(b"a")
        assert is_healthy(url)
        assert seconds_until_closed(slow) < 5
        assert seconds_until_closed(silent) < 5
        assert time.monotonic() - started_s > 0.5


def test_a_second_request_on_a_connection_has_its_deadline_too() -> None:
    with live_server(fake_model(), limits=Limits(max_head_s=0.6)) as url:
        kept = connect(url)
        for _ in range(3):
            kept.sendall(GET)
            assert read_answer(kept).startswith(b"HTTP/1.1 200")
            time.sleep(0.3)
        kept.sendall(GET[:20])
        assert seconds_until_closed(kept) < 5


def test_a_long_answer_outlives_the_deadline_of_its_head() -> None:
    engine = FakeEngine("x" * 12, step_s=0.1)
    with live_server(fake_model(engine=engine), limits=Limits(max_head_s=0.4)) as url:
        body = json.dumps({"model": "fake", "prompt": "a", "max_tokens": 12}).encode()
        asked = connect(url)
        asked.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        assert asked.recv(65536).startswith(b"HTTP/1.1 200")


def test_a_reader_that_takes_nothing_is_closed() -> None:
    limits = Limits(max_stall_s=0.5, max_head_s=30)
    with live_server(fake_model(max_seq_len=None), limits=limits) as url:
        # More than the system's own buffers take over.
        prompt = "x" * 3_000_000
        body = json.dumps({"model": "fake", "prompt": prompt, "echo": True, "n": 8, "max_tokens": 0}).encode()
        lazy = connect(url, receive_bytes=4096)
        lazy.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        assert lazy.recv(10) == b"HTTP/1.1 2"
        time.sleep(1.5)
        num_bytes = 0
        with contextlib.suppress(ConnectionError):
            while block := lazy.recv(2**20):
                num_bytes += len(block)
        assert num_bytes < 8 * len(prompt)
        assert is_healthy(url)


def test_the_oldest_that_say_nothing_make_room() -> None:
    with live_server(fake_model(), limits=Limits(max_connections=20)) as url:
        crowd = [connect(url) for _ in range(60)]
        started_s = time.monotonic()
        assert is_healthy(url)
        assert time.monotonic() - started_s < 5
        # Long before their deadline; the latest may stay.
        assert seconds_until_closed(crowd[0]) < 5
        crowd[-1].sendall(GET)
        assert read_answer(crowd[-1]).startswith(b"HTTP/1.1 200")
        for connection in crowd:
            connection.close()
