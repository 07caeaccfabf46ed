"""The server under clients that leave, flood, dawdle or send rubbish, and under signals."""

from __future__ import annotations

import http.client
import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from serving_fakes import TEXT, FakeEngine, fake_model, live_server

from yanmo.errors import InputError
from yanmo.models.ngram.model import fit_ngram
from yanmo.serving.app import serve
from yanmo.serving.limits import Limits
from yanmo.tokenizers.bpe import fit_bpe

BODY = {"model": "fake", "prompt": "x", "max_tokens": 500}


def connect(url: str) -> http.client.HTTPConnection:
    return http.client.HTTPConnection(urlsplit(url).netloc, timeout=20)


def post(url: str, **changes: object) -> http.client.HTTPResponse:
    connection = connect(url)
    connection.request("POST", "/v1/completions", json.dumps(BODY | changes))
    return connection.getresponse()


def raw(url: str, data: bytes) -> socket.socket:
    address = urlsplit(url)
    connection = socket.create_connection((address.hostname, address.port), timeout=20)
    connection.sendall(data)
    return connection


def request_bytes(body: bytes, length: int | None = None) -> bytes:
    head = (
        f"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length or len(body)}\r\n\r\n"
    )
    return head.encode() + body


def still_answers(url: str) -> bool:
    answer = post(url)
    return answer.status == 200 and json.loads(answer.read())["choices"][0]["text"] == TEXT


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_leaves_ends_its_generation_within_a_step(stream: bool) -> None:
    engine = FakeEngine(step_s=0.05)
    with live_server(fake_model(engine=engine)) as url:
        connection = raw(url, request_bytes(json.dumps(BODY | {"stream": stream}).encode()))
        assert engine.started.wait(10)
        if stream:
            assert connection.recv(10) == b"HTTP/1.1 2"
        connection.close()
        assert engine.was_cancelled.wait(5)
        assert engine.num_steps < len(TEXT.encode())
        engine.step_s = 0.0
        assert still_answers(url)


def test_a_client_that_leaves_the_line_is_never_served() -> None:
    engine = FakeEngine()
    engine.may_go_on.clear()
    with live_server(fake_model(engine=engine)) as url:
        first: list[int] = []
        asking = threading.Thread(target=lambda: first.append(post(url).status))
        asking.start()
        assert engine.started.wait(10)
        waiting = raw(url, request_bytes(json.dumps(BODY).encode()))
        time.sleep(0.3)
        waiting.close()
        time.sleep(0.3)
        engine.may_go_on.set()
        asking.join(10)
        assert first == [200]
        assert still_answers(url)
        assert len(engine.prompts) == 2


def test_a_flood_is_refused_with_429_and_everyone_in_the_line_is_served() -> None:
    engine = FakeEngine()
    engine.may_go_on.clear()
    statuses: list[int] = []
    with live_server(fake_model(engine=engine), limits=Limits(max_waiting=3)) as url:
        threads = [threading.Thread(target=lambda: statuses.append(post(url).status)) for _ in range(40)]
        for thread in threads:
            thread.start()
        give_up_s = time.monotonic() + 20
        while len(statuses) < 36 and time.monotonic() < give_up_s:
            time.sleep(0.02)
        assert statuses == [429] * 36
        engine.may_go_on.set()
        for thread in threads:
            thread.join(20)
        assert sorted(statuses) == [200] * 4 + [429] * 36
        assert still_answers(url)


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"GET / HTTP/1.1\r\n\r\n",
        b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n",
        b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n",
        request_bytes(b"\x00\xff\xfe"),
        request_bytes(b"[" * 50_000),
    ],
)
def test_rubbish_gets_a_4xx_and_the_server_lives(data: bytes) -> None:
    with live_server(fake_model()) as url:
        connection = raw(url, data)
        assert connection.recv(12).startswith(b"HTTP/1.1 4")
        connection.close()
        assert still_answers(url)


def test_a_body_that_is_never_sent_and_one_without_end() -> None:
    limits = Limits(max_body_s=0.4, max_body_bytes=50_000)
    with live_server(fake_model(), limits=limits) as url:
        slow = raw(url, request_bytes(b'{"model"', length=100))
        assert b" 408 " in slow.recv(100)
        endless = b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
        chunked = raw(url, endless)
        try:
            for _ in range(1000):
                chunked.sendall(b"1000\r\n" + b"x" * 4096 + b"\r\n")
        except OSError:
            pass  # the server has hung up, as it should
        else:
            assert b" 413 " in chunked.recv(100)
        assert still_answers(url)


def test_who_sends_too_much_still_reads_why() -> None:
    with live_server(fake_model(), limits=Limits(max_body_bytes=500_000)) as url:
        for _ in range(5):
            answer = post(url, prompt="x" * 7_000_000)
            assert (answer.status, json.loads(answer.read())["error"]["code"]) == (413, "request_too_large")


def test_a_reader_that_stops_reading_does_not_hold_up_the_next() -> None:
    engine = FakeEngine("墨" * 60_000)
    with live_server(fake_model(engine=engine, max_seq_len=None), limits=Limits(max_new_tokens=10**6)) as url:
        body = json.dumps(BODY | {"stream": True, "max_tokens": 20_000}).encode()
        lazy = raw(url, request_bytes(body))
        assert lazy.recv(10) == b"HTTP/1.1 2"
        answer = post(url, max_tokens=3)
        assert json.loads(answer.read())["choices"][0]["text"] == "墨"
        lazy.close()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real model: a 3-gram of one sentence."""
    folder = tmp_path_factory.mktemp("serve") / "tiny"
    text = "研墨宜缓。Grinding ink is slow. " * 400
    tokenizer = fit_bpe([text], 300)
    ids = tokenizer.encode(text)
    fitted = fit_ngram([ids], order=3, vocab_size=tokenizer.vocab_size, eos_id=tokenizer.eos_id)
    fitted.save(folder, tokenizer=tokenizer)
    return folder


def start(*arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", "from yanmo.cli.main import main; main()", "serve", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.fixture
def served(model: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    process = start(model, "--port", 0, "--json")
    try:
        line = process.stdout.readline()
        assert line, process.stderr.read()
        yield process, json.loads(line)["url"]
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_end_the_server_in_good_order_in_the_middle_of_an_answer(
    served: tuple[subprocess.Popen[str], str], sent: signal.Signals, code: int
) -> None:
    process, url = served
    connection = connect(url)
    body = {"model": "tiny", "prompt": "研墨", "max_tokens": 8192, "n": 16, "stream": True}
    connection.request("POST", "/v1/completions", json.dumps(body))
    answer = connection.getresponse()
    assert answer.status == 200
    assert answer.readline().startswith(b"data: ")
    process.send_signal(sent)
    rest = answer.read().decode()
    assert '"code": "server_stopping"' in rest
    assert "[DONE]" not in rest
    assert process.wait(15) == code
    said = process.stderr.read()
    assert "Traceback" not in said
    assert said.splitlines()[-1] == "yanmo: the server was stopped"


def test_clients_that_hang_up_do_not_end_the_process(served: tuple[subprocess.Popen[str], str]) -> None:
    process, url = served
    body = json.dumps({"model": "tiny", "prompt": "x", "max_tokens": 4000, "stream": True}).encode()
    for _ in range(5):
        connection = raw(url, request_bytes(body))
        connection.recv(10)
        # Reset instead of a polite end: the server's next write fails.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        connection.close()
    connection = connect(url)
    connection.request("GET", "/health")
    assert connection.getresponse().status == 200
    assert process.poll() is None
    # Whether such a write raises SIGPIPE is a matter of luck; that it is ignored is not.
    status = Path(f"/proc/{process.pid}/status")
    if status.is_file():
        ignored = int(re.search(r"^SigIgn:\s*(\w+)$", status.read_text(), re.MULTILINE)[1], 16)
        assert ignored & 1 << (signal.SIGPIPE - 1)


def finish(*arguments: object) -> tuple[int, list[str]]:
    process = start(*arguments)
    try:
        _, said = process.communicate(timeout=60)
    finally:
        process.kill()
    return process.returncode, said.splitlines()


def test_a_port_in_use_is_one_clear_line(model: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, said = finish(model, "--port", port)
    assert code == 2
    assert said == [f"yanmo: port {port} is in use (choose another with --port; 0 takes a free one)"]


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"host": "0.0.0.0"}, "--api-key-file"),
        ({"host": "203.0.113.7", "api_key_file": Path("key")}, "not an address of this machine"),
        ({"host": "no such host", "api_key_file": Path("key")}, "not an address of this machine"),
        ({"port": 70000}, "port 70000 does not exist"),
        ({"port": -1}, "port -1 does not exist"),
        ({"api_key_file": Path("none")}, "no such API key file"),
        ({"port": 0}, "missing: no such folder, and no such model in the cache"),
    ],
)
def test_wrong_use_is_one_clear_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any], word: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("key").write_text("a-long-enough-key")
    with pytest.raises(InputError) as caught:
        serve(["missing"], **settings)
    assert word in str(caught.value)
    assert "\n" not in str(caught.value)
