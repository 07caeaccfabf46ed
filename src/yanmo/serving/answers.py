"""Answers in the shape of the OpenAI API, whole and in chunks.

Completions carry text, chats carry messages (whole) and deltas (chunks); the envelope is the same.
Log-probabilities of completions follow the older lists (``tokens``, ``token_logprobs`` ...), with
``text_offset`` counted from the beginning of the answer; those of chats follow ``content``.
"""

from __future__ import annotations

import codecs
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from yanmo.generation.engine import Piece, TokenLogprob
from yanmo.serving.catalog import TextTokenizer
from yanmo.serving.tools import Call, ToolReader

Kind = Literal["completion", "chat"]
Events = list[dict[str, Any]]

_IMPOSSIBLE = -9999.0  # what the OpenAI API gives for a probability of zero; JSON has no infinity


@dataclass(frozen=True, kw_only=True)
class TokenEntry:
    """A token in words; without a log-probability where nothing stood before it."""

    text: str
    raw: bytes
    offset: int
    logprob: float | None
    top: tuple[tuple[str, bytes, float], ...] = ()


@dataclass(kw_only=True)
class Choice:
    """One answer as it grows."""

    index: int
    tokenizer: TextTokenizer
    text: str = ""
    num_tokens: int = 0
    finish_reason: str | None = None
    entries: list[TokenEntry] = field(default_factory=list)
    reader: ToolReader | None = None
    calls: list[Call] = field(default_factory=list)
    _num_characters: int = 0
    _decoder: codecs.IncrementalDecoder = field(
        default_factory=lambda: codecs.getincrementaldecoder("utf-8")(errors="replace")
    )

    def add(self, piece: Piece) -> tuple[str, list[TokenEntry]]:
        """Take in what one step gave.

        Returns:
            Text that may be shown now, and the step's tokens in words, where they were asked for.
        """
        text = piece.text
        self.num_tokens += len(piece.token_ids)
        self.finish_reason = piece.finish_reason
        if self.reader is not None:
            text = self.reader.push(text)
            if piece.finish_reason is not None:
                rest, self.calls = self.reader.finish()
                text += rest
                if self.calls and piece.finish_reason == "stop":
                    self.finish_reason = "tool_calls"
        self.text += text
        entries = [self._entry(logprob) for logprob in piece.logprobs]
        self.entries += entries
        return text, entries

    def echo(
        self, text: str, token_ids: Sequence[int], logprobs: Sequence[TokenLogprob | None]
    ) -> list[TokenEntry]:
        """Begin with the prompt; returns its tokens in words, where they were asked for."""
        self.text += text
        if logprobs:
            self.entries += [
                self._entry(logprob) if logprob is not None else self._unscored(token_id)
                for token_id, logprob in zip(token_ids, logprobs, strict=True)
            ]
        # The answer's characters are counted anew, whatever the prompt's tokens left unfinished.
        self._decoder.reset()
        self._num_characters = len(text)
        return list(self.entries)

    def _unscored(self, token_id: int) -> TokenEntry:
        raw = self.tokenizer.token_bytes(token_id)
        return TokenEntry(text=self._name(token_id), raw=raw, offset=self._advance(raw), logprob=None)

    def _advance(self, raw: bytes) -> int:
        """Where a token begins; what follows begins after it."""
        offset = self._num_characters
        self._num_characters += len(self._decoder.decode(raw))
        return offset

    def _entry(self, logprob: TokenLogprob) -> TokenEntry:
        raw = self.tokenizer.token_bytes(logprob.token_id)
        offset = self._advance(raw)
        top = [(self._name(token_id), self.tokenizer.token_bytes(token_id), p) for token_id, p in logprob.top]
        return TokenEntry(
            text=self._name(logprob.token_id),
            raw=raw,
            offset=offset,
            logprob=max(logprob.logprob, _IMPOSSIBLE),
            top=tuple((text, token_raw, max(p, _IMPOSSIBLE)) for text, token_raw, p in top),
        )

    def _name(self, token_id: int) -> str:
        raw = self.tokenizer.token_bytes(token_id)
        if not raw:
            return self.tokenizer.decode([token_id], skip_special_tokens=False)
        try:
            return raw.decode()
        except UnicodeDecodeError:
            return "bytes:" + "".join(f"\\x{byte:02x}" for byte in raw)


class Shape(Protocol):
    """How answers are told, whole or event by event."""

    @property
    def ends_with_done(self) -> bool:
        """Whether ``[DONE]`` stands behind the last event."""

    def whole(self, choices: Sequence[Choice]) -> dict[str, Any]:
        """The answer to a request that does not stream."""

    def opening(self, index: int) -> Events:
        """What comes before any text of an answer."""

    def part(self, choice: Choice, text: str, entries: Sequence[TokenEntry]) -> Events:
        """What one step shows."""

    def closing(self, choice: Choice) -> Events:
        """The tools that an answer calls, and why it ended."""

    def counts(self, choices: Sequence[Choice]) -> Events:
        """What comes behind all answers."""


class Envelope:
    """What stands around the choices of one request's answer; a ``Shape``."""

    ends_with_done = True

    def __init__(
        self,
        kind: Kind,
        *,
        model: str,
        logprobs: bool,
        num_prompt_tokens: int,
        include_usage: bool = False,
    ) -> None:
        """Begin an answer.

        Args:
            kind: of the route.
            model: its name.
            logprobs: whether log-probabilities were asked for.
            num_prompt_tokens: of all prompts together.
            include_usage: whether a stream tells the counts.
        """
        self._include_usage = include_usage
        self._kind, self._model, self._logprobs = kind, model, logprobs
        self._num_prompt_tokens = num_prompt_tokens
        self._id = f"{'chatcmpl' if kind == 'chat' else 'cmpl'}-{secrets.token_hex(12)}"
        self._created = int(time.time())

    def whole(self, choices: Sequence[Choice]) -> dict[str, Any]:
        """The answer to a request that does not stream."""
        name = "chat.completion" if self._kind == "chat" else "text_completion"
        return {
            **self._frame(name, [self._whole_choice(choice) for choice in choices]),
            "usage": self._usage(choices),
        }

    def opening(self, index: int) -> Events:
        """The chunk before any text; completions have none."""
        if self._kind == "completion":
            return []
        return [self._chunk(index, {"delta": {"role": "assistant", "content": ""}}, None, None)]

    def part(self, choice: Choice, text: str, entries: Sequence[TokenEntry]) -> Events:
        """The chunk for one step; none where the step shows nothing."""
        if not text and not entries:
            return []
        return [self._chunk(choice.index, self._text(text), entries, None)]

    def closing(self, choice: Choice) -> Events:
        """The chunk with the tools that an answer calls, and that which names the finish reason."""
        chunks = []
        if choice.calls:
            calls = [{"index": place, **call.to_mapping()} for place, call in enumerate(choice.calls)]
            chunks.append(self._chunk(choice.index, {"delta": {"tool_calls": calls}}, None, None))
        text = {"delta": {}} if self._kind == "chat" else self._text("")
        return [*chunks, self._chunk(choice.index, text, None, choice.finish_reason)]

    def counts(self, choices: Sequence[Choice]) -> Events:
        """The chunk of ``include_usage``: counts and no choice."""
        if not self._include_usage:
            return []
        return [{**self._frame(self._chunk_name, []), "usage": self._usage(choices)}]

    @property
    def _chunk_name(self) -> str:
        return "chat.completion.chunk" if self._kind == "chat" else "text_completion"

    def _frame(self, name: str, choices: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            "id": self._id,
            "object": name,
            "created": self._created,
            "model": self._model,
            "system_fingerprint": None,
            "choices": choices,
        }

    def _chunk(
        self,
        index: int,
        content: dict[str, Any],
        entries: Sequence[TokenEntry] | None,
        finish_reason: str | None,
    ) -> dict[str, Any]:
        logprobs = self._scores(entries) if self._logprobs and entries else None
        choice = {"index": index, **content, "logprobs": logprobs, "finish_reason": finish_reason}
        frame = self._frame(self._chunk_name, [choice])
        return {**frame, "usage": None} if self._include_usage else frame

    def _text(self, text: str) -> dict[str, Any]:
        return {"delta": {"content": text}} if self._kind == "chat" else {"text": text}

    def _whole_choice(self, choice: Choice) -> dict[str, Any]:
        if self._kind == "chat":
            message: dict[str, Any] = {"role": "assistant", "content": choice.text, "refusal": None}
            if choice.calls:
                message["content"] = choice.text or None
                message["tool_calls"] = [call.to_mapping() for call in choice.calls]
            content: dict[str, Any] = {"message": message}
        else:
            content = {"text": choice.text}
        logprobs = self._scores(choice.entries) if self._logprobs else None
        return {
            "index": choice.index,
            **content,
            "logprobs": logprobs,
            "finish_reason": choice.finish_reason,
        }

    def _usage(self, choices: Sequence[Choice]) -> dict[str, int]:
        num_tokens = sum(choice.num_tokens for choice in choices)
        return {
            "prompt_tokens": self._num_prompt_tokens,
            "completion_tokens": num_tokens,
            "total_tokens": self._num_prompt_tokens + num_tokens,
        }

    def _scores(self, entries: Sequence[TokenEntry]) -> dict[str, Any]:
        if self._kind == "completion":
            return {
                "tokens": [entry.text for entry in entries],
                "token_logprobs": [entry.logprob for entry in entries],
                "top_logprobs": [
                    None if entry.logprob is None else {text: logprob for text, _, logprob in entry.top}
                    for entry in entries
                ],
                "text_offset": [entry.offset for entry in entries],
            }
        content = [
            {
                **_score(entry.text, entry.raw, entry.logprob),
                "top_logprobs": [_score(*top) for top in entry.top],
            }
            for entry in entries
        ]
        return {"content": content, "refusal": None}


def _score(text: str, raw: bytes, logprob: float | None) -> dict[str, Any]:
    return {"token": text, "logprob": logprob, "bytes": list(raw)}
