"""A model that always says the same, byte by byte, and a live server for it."""

from __future__ import annotations

import contextlib
import math
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import uvicorn

from yanmo.generation.engine import Piece, TokenLogprob
from yanmo.generation.sampling import SamplingParams
from yanmo.serving.app import create_app
from yanmo.serving.catalog import Catalog, ServedModel
from yanmo.serving.guard import Access
from yanmo.serving.limits import Limits

TEXT = "Ink and paper. 墨分五色🎨,纸寿千年。<b>not bold</b>"
EOS = 256


class FakeTokenizer:
    """One token a byte; 256 ends a document, 257 begins a chat message."""

    vocab_size = 258
    eos_id = EOS

    def encode(self, text: str) -> list[int]:
        return list(text.encode())

    def encode_chat(
        self, messages: Sequence[Mapping[str, Any]], *, add_generation_prompt: bool = True
    ) -> list[int]:
        ids: list[int] = []
        for message in messages:
            ids += [257, *self.encode(f"{message['role']}: {message['content']}")]
        return [*ids, 257] if add_generation_prompt else ids

    def decode(self, token_ids: Iterable[int], *, skip_special_tokens: bool = True) -> str:
        names = {} if skip_special_tokens else {256: "<|endoftext|>", 257: "<|im_start|>"}
        return "".join(
            names.get(i, "") if i > 255 else bytes([i]).decode(errors="replace") for i in token_ids
        )

    def token_bytes(self, token_id: int) -> bytes:
        return bytes([token_id]) if token_id < 256 else b""


class FakeEngine:
    """Answers every prompt with one text and keeps what it was asked."""

    def __init__(self, text: str = TEXT, *, step_s: float = 0.0, error: Exception | None = None) -> None:
        self.text, self.step_s, self.error = text, step_s, error
        self.prompts: list[list[int]] = []
        self.params: list[SamplingParams] = []
        self.num_steps = 0
        self.was_cancelled = threading.Event()
        self.started = threading.Event()
        # Cleared by a test that wants an answer to hang in the middle.
        self.may_go_on = threading.Event()
        self.may_go_on.set()

    def encode(self, text: str) -> list[int]:
        return list(text.encode()) or [EOS]

    def stream(
        self, prompt_ids: Sequence[int], params: SamplingParams, *, cancelled: Callable[[], bool]
    ) -> Iterator[Piece]:
        self.prompts.append(list(prompt_ids))
        self.params.append(params)
        if self.error is not None:
            raise self.error
        return self._pieces(params, cancelled)

    def _pieces(self, params: SamplingParams, cancelled: Callable[[], bool]) -> Iterator[Piece]:
        raw = self.text.encode()
        shown = ""
        for index, byte in enumerate(raw):
            self.started.set()
            while not self.may_go_on.wait(0.01):
                if cancelled():
                    break
            time.sleep(self.step_s)
            if cancelled():
                self.was_cancelled.set()
                yield Piece(text="", finish_reason="cancelled")
                return
            self.num_steps += 1
            so_far = raw[: index + 1].decode(errors="ignore")
            text, shown = so_far[len(shown) :], so_far
            stops = any(stop in so_far for stop in params.stop)
            reason = "stop" if stops else "length" if index + 1 == params.max_tokens else None
            yield Piece(
                text=text, token_ids=(byte,), logprobs=self._logprobs(byte, params), finish_reason=reason
            )
            if reason is not None:
                return
        yield Piece(text="", finish_reason="stop")

    def _logprobs(self, byte: int, params: SamplingParams) -> tuple[TokenLogprob, ...]:
        if params.num_logprobs is None:
            return ()
        others = [(byte, math.log(0.5)), (EOS, math.log(0.25)), (ord("x"), -math.inf)]
        return (TokenLogprob(token_id=byte, logprob=math.log(0.5), top=tuple(others[: params.num_logprobs])),)


def fake_model(name: str = "fake", *, engine: FakeEngine | None = None, **changes: Any) -> ServedModel:
    """A served model around a fake engine."""
    fields = {"chat": True, "max_seq_len": 512, "architecture": "Fake", "num_parameters": 1_234_567} | changes
    return ServedModel(name=name, engine=engine or FakeEngine(), tokenizer=FakeTokenizer(), **fields)


@contextlib.contextmanager
def live_server(
    *models: ServedModel,
    access: Access | None = None,
    limits: Limits | None = None,
    runs_dir: Path = Path("no-such-folder"),
) -> Iterator[str]:
    """Serve models on a free port of this machine; yields the URL without a slash at its end."""
    app = create_app(Catalog(models), access=access, limits=limits, runs_dir=runs_dir)
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, http="h11", ws="none", log_level="error", access_log=False))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        app.state.line.close()
        server.should_exit = True
        thread.join(10)
        listener.close()
