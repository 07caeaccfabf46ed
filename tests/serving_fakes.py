"""A model that always says the same, byte by byte, and a live server for it."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from yanmo.errors import InputError
from yanmo.generation.engine import Piece, TokenLogprob
from yanmo.generation.sampling import SamplingParams
from yanmo.serving import server
from yanmo.serving.app import create_app
from yanmo.serving.catalog import Card, Catalog, OpenModel, ServedModel
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
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        add_generation_prompt: bool = True,
        tools: Sequence[Mapping[str, Any]] | None = None,
    ) -> list[int]:
        ids: list[int] = self.encode(str(tools)) if tools else []
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

    def stream_samples(
        self,
        prompt_ids: Sequence[int],
        params: SamplingParams,
        *,
        num_samples: int,
        cancelled: Callable[[], bool],
    ) -> Iterator[tuple[int, Piece]]:
        each = [dataclasses.replace(params, seed=(params.seed or 0) + i) for i in range(num_samples)]
        going = {i: self.stream(prompt_ids, each[i], cancelled=cancelled) for i in range(num_samples)}
        while going:
            for i, pieces in list(going.items()):
                piece = next(pieces, None)
                if piece is None:
                    del going[i]
                else:
                    yield i, piece

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


class FakeVectors:
    """Three numbers a text: its characters, its bytes, and one."""

    dim, max_seq_len = 3, 20

    def num_tokens(self, texts: Sequence[str], *, prompt: str | None = None) -> list[int]:
        return [len(text.encode()) for text in texts]

    def encode(
        self,
        texts: Sequence[str],
        *,
        prompt: str | None = None,
        on_progress: Callable[[int], None] | None = None,
    ) -> np.ndarray:
        if prompt is not None:
            raise InputError(f"the model has no prompt {prompt!r}")
        return np.array([[len(text), len(text.encode()), 1] for text in texts], dtype=np.float32)

    def similarity(self, a_BE: np.ndarray, b_BE: np.ndarray) -> np.ndarray:
        return a_BE @ b_BE.T


class FakeTask:
    """Says how long texts are."""

    def predict(
        self, texts: Sequence[tuple[str, ...]], *, on_progress: Callable[[int], None] | None = None
    ) -> list[dict[str, Any]]:
        found = []
        for text in texts:
            label = "long" if len(text[-1]) > 4 else "short"
            found.append({"label": label, "probabilities": {label: 1.0}, "text": text[0][::-1]})
            if on_progress is not None:
                on_progress(1)
        return found


def fake_prompt_logprobs(
    prompt_ids: Sequence[int], num_top: int, cancelled: Callable[[], bool]
) -> list[TokenLogprob | None]:
    """Each token half as likely as certain; the first unknown."""
    scored = [
        TokenLogprob(token_id=i, logprob=math.log(0.5), top=((i, math.log(0.5)),)[:num_top])
        for i in prompt_ids[1:]
    ]
    return [None, *scored]


_GENERATION_ROUTES = ("completions", "chat/completions", "responses")


def fake_model(
    name: str = "fake",
    *,
    engine: FakeEngine | None = None,
    tokenizer: FakeTokenizer | None = None,
    routes: tuple[str, ...] = _GENERATION_ROUTES,
    error: InputError | None = None,
    **changes: Any,
) -> ServedModel:
    """A model around fakes, of which the card shows what ``routes`` say."""
    fields = {"chat": True, "max_seq_len": 512, "architecture": "Fake", "num_parameters": 1_234_567} | changes
    opened = OpenModel(
        tokenizer=tokenizer or FakeTokenizer(),
        engine=engine or FakeEngine(),
        prompt_logprobs=fake_prompt_logprobs,
        vectors=FakeVectors,
        task=FakeTask(),
    )

    def open_it() -> OpenModel:
        if error is not None:
            raise error
        return opened

    return ServedModel(card=Card(name=name, routes=routes, **fields), open=open_it)


@contextlib.contextmanager
def live_server(
    *models: ServedModel,
    access: Access | None = None,
    limits: Limits | None = None,
    runs_dir: Path = Path("no-such-folder"),
    memory_bytes: int | None = None,
) -> Iterator[str]:
    """Serve models on a free port of this machine; yields the URL without a slash at its end."""
    app = create_app(
        Catalog(models, memory_bytes=memory_bytes), access=access, limits=limits, runs_dir=runs_dir
    )
    with contextlib.closing(server.listen("127.0.0.1", 0)) as listener:
        url = server.url("127.0.0.1", listener).rstrip("/")
        with server.in_background(app, listener, limits=limits):
            yield url
