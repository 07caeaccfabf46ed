"""Tokens to text: the exact bytes of one token, and a stream that equals decoding all of them at once.

A tokenizer.json describes decoding as steps, each of which maps the list of all tokens to another list.
Here each step takes one token at a time and holds back only what later tokens could still change:

- ByteLevel (Radford et al. 2019): bytes until they are a character;
- ByteFallback (Kudo and Richardson 2018, arXiv 1808.06226, byte_fallback): a run of byte tokens until it
  ends, because one wrong byte turns the whole run into U+FFFD, a sign a byte;
- BPEDecoder: one token, because the last one is written without a space after it;
- the rest (Metaspace, WordPiece, Replace, Strip, Fuse): nothing.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

from yanmo.errors import InputError
from yanmo.tokenizers.byte_level import StreamDecoder, Utf8Stream, byte_level_to_bytes

_BYTE_TOKEN = re.compile(r"<0x([0-9A-Fa-f]{2})>")

# What tokenizers in the manner of BERT and transformers' own clean-up take back, in this order.
_WORDPIECE_CLEANUP = (
    (" .", "."),
    (" ?", "?"),
    (" !", "!"),
    (" ,", ","),
    (" ' ", "'"),
    (" n't", "n't"),
    (" 'm", "'m"),
    (" do not", " don't"),
    (" 's", "'s"),
    (" 've", "'ve"),
    (" 're", "'re"),
)
_CLEANUP = tuple(rule for rule in _WORDPIECE_CLEANUP if rule[0] != " do not")


def clean_up(text: str) -> str:
    """Take back the spaces before punctuation and English contractions, as transformers' decode does."""
    return _replace_all(text, _CLEANUP)


class Decoder:
    """What a tokenizer's decoder does with one token and with many."""

    def __init__(self, steps: Sequence[Mapping[str, Any]], *, cleans_up: bool = False) -> None:
        """Read a decoder's steps.

        Args:
            steps: the decoder of a tokenizer.json, Sequences taken apart; none where it has no decoder.
            cleans_up: apply ``clean_up`` to the text.
        """
        self._steps = steps
        self._cleans_up = cleans_up

    def token_bytes(self, token: str) -> bytes:
        """Bytes that a token adds to a text that has begun."""
        if not self._steps:
            return f" {token}".encode()
        for step in self._steps:
            if step["type"] == "ByteLevel":
                return byte_level_to_bytes(token)
            if step["type"] == "ByteFallback" and (found := _BYTE_TOKEN.fullmatch(token)):
                return bytes.fromhex(found[1])
            if step["type"] == "Fuse":
                break  # what follows is about the ends of the text
            if (inner := _map_of(step)) is not None:
                token = inner(token)
        return token.encode()

    def stream(self, tokens: Sequence[str | None], bytes_by_id: Sequence[bytes]) -> StreamDecoder:
        """A decoder for ids that come one at a time.

        Args:
            tokens: the token of each id; None for one that gives no text.
            bytes_by_id: ``token_bytes`` of each.

        Raises:
            InputError: a step cannot be taken token by token.
        """
        if [step["type"] for step in self._steps] == ["ByteLevel"] and not self._cleans_up:
            return Utf8Stream(bytes_by_id)
        stages, is_fused = [], False
        for step in self._steps or ({"type": "Join"},):
            stages.append(_stage(step, is_fused=is_fused))
            is_fused = is_fused or step["type"] in ("Fuse", "ByteLevel")
        if self._cleans_up:
            stages.extend(_Replace(old, new) for old, new in _CLEANUP)
        return StagedStream(tokens, stages)


class Stage(Protocol):
    """One step of decoding, token by token."""

    def push(self, token: str) -> Iterable[str]:
        """What may leave the step now that this token has come."""

    def finish(self) -> Iterable[str]:
        """What is left, and a fresh start."""


class StagedStream:
    """Tokens through the stages of a decoder, one id at a time."""

    def __init__(self, tokens: Sequence[str | None], stages: Sequence[Stage]) -> None:
        """Begin an empty text; ``tokens`` holds the token of each id, or None where it gives no text."""
        self._tokens, self._stages = tokens, stages

    def push(self, token_id: int) -> str:
        """The text that this token completes."""
        token = self._tokens[token_id] if token_id < len(self._tokens) else None
        if token is None:
            return ""
        parts: list[str] = [token]
        for stage in self._stages:
            parts = [out for part in parts for out in stage.push(part)]
        return "".join(parts)

    def finish(self) -> str:
        """What is left, and a fresh start."""
        parts: list[str] = []
        for stage in self._stages:
            parts = [out for part in parts for out in stage.push(part)]
            parts.extend(stage.finish())
        return "".join(parts)


def _stage(step: Mapping[str, Any], *, is_fused: bool) -> Stage:
    """The stage of a step; ``is_fused`` where what comes is parts of one text, not tokens."""
    kind = step["type"]
    if is_fused:
        if kind == "Strip" and not step["stop"]:
            return _StripStart(step["content"], step["start"])
        if kind == "Replace" and step["pattern"].get("String"):
            return _Replace(step["pattern"]["String"], step["content"])
        if kind == "Fuse":
            return _Each(lambda token: token)
    elif kind == "ByteLevel":
        return _Utf8()
    elif kind == "ByteFallback":
        return _ByteRuns()
    elif kind == "BPEDecoder":
        return _Suffix(step["suffix"])
    elif kind == "Fuse":
        return _Each(lambda token: token)
    elif (inner := _map_of(step)) is not None:
        return _Each(inner, first=_map_of(step, is_first=True))
    remedy = "decode the whole text instead"
    raise InputError(f"text of the decoder {kind!r} cannot be shown token by token", remedy=remedy)


def _map_of(step: Mapping[str, Any], *, is_first: bool = False) -> Callable[[str], str] | None:
    """What a step does with a token by itself, or None where it needs the others."""
    match step:
        case {"type": "Metaspace", "replacement": mark, "prepend_scheme": scheme}:
            space = "" if is_first and scheme != "never" else " "
            return lambda token: token.replace(mark, space)
        case {"type": "WordPiece", "prefix": prefix, "cleanup": cleanup}:
            rules = _WORDPIECE_CLEANUP if cleanup else ()
            return lambda token: _replace_all(_word_piece(token, prefix, is_first), rules)
        case {"type": "Replace", "pattern": {"String": old}, "content": new} if old:
            return lambda token: token.replace(old, new)
        case {"type": "Strip", "content": mark, "start": start, "stop": stop}:
            return lambda token: _strip(token, mark, start, stop)
        case {"type": "BPEDecoder", "suffix": suffix}:
            return lambda token: token.replace(suffix, " ")
        case {"type": "Join"}:
            return lambda token: token if is_first else " " + token
    return None


def _word_piece(token: str, prefix: str, is_first: bool) -> str:
    if is_first:
        return token
    return token.replace(prefix, "", 1) if token.startswith(prefix) else " " + token


def _strip(token: str, mark: str, start: int, stop: int) -> str:
    for _ in range(start):
        token = token.removeprefix(mark)
    for _ in range(stop):
        token = token.removesuffix(mark)
    return token


def _replace_all(text: str, rules: Iterable[tuple[str, str]]) -> str:
    for old, new in rules:
        text = text.replace(old, new)
    return text


class _Each:
    """Each token by itself; the first one perhaps in another way."""

    def __init__(self, inner: Callable[[str], str], *, first: Callable[[str], str] | None = None) -> None:
        self._inner, self._first = inner, first or inner
        self._next = self._first

    def push(self, token: str) -> Iterable[str]:
        current, self._next = self._next, self._inner
        return (current(token),)

    def finish(self) -> Iterable[str]:
        self._next = self._first
        return ()


class _Utf8:
    """Bytes of tokens to characters."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def push(self, token: str) -> Iterable[str]:
        return (self._decoder.decode(byte_level_to_bytes(token)),)

    def finish(self) -> Iterable[str]:
        text = self._decoder.decode(b"", final=True)
        self._decoder.reset()
        return (text,)


class _ByteRuns:
    """Runs of byte tokens, each decoded as one."""

    def __init__(self) -> None:
        self._run = bytearray()

    def push(self, token: str) -> Iterable[str]:
        found = _BYTE_TOKEN.fullmatch(token)
        if found is None:
            return (*self.finish(), token)
        self._run += bytes.fromhex(found[1])
        return ()

    def finish(self) -> Iterable[str]:
        if not self._run:
            return ()
        run, self._run = self._run, bytearray()
        try:
            return (run.decode(),)
        except UnicodeDecodeError:
            return ("\ufffd" * len(run),)


class _Suffix:
    """Words that end in a mark, which becomes a space, save at the end of the text."""

    def __init__(self, suffix: str) -> None:
        self._suffix = suffix
        self._held: str | None = None

    def push(self, token: str) -> Iterable[str]:
        held, self._held = self._held, token
        return () if held is None else (held.replace(self._suffix, " "),)

    def finish(self) -> Iterable[str]:
        held, self._held = self._held, None
        return () if held is None else (held.replace(self._suffix, ""),)


class _StripStart:
    """Up to ``count`` marks off the start of the text."""

    def __init__(self, mark: str, count: int) -> None:
        self._mark, self._count = mark, count
        self._left = count

    def push(self, token: str) -> Iterable[str]:
        while self._left and token:
            if token[0] != self._mark:
                self._left = 0
                break
            token, self._left = token[1:], self._left - 1
        return (token,)

    def finish(self) -> Iterable[str]:
        self._left = self._count
        return ()


class _Replace:
    """One string by another throughout the text; the beginning of one is held until it is whole or not."""

    def __init__(self, old: str, new: str) -> None:
        self._old, self._new = old, new
        self._held = ""

    def push(self, token: str) -> Iterable[str]:
        *done, rest = (self._held + token).split(self._old)
        length = min(len(rest), len(self._old) - 1)
        while length and not self._old.startswith(rest[len(rest) - length :]):
            length -= 1
        end = len(rest) - length
        self._held = rest[end:]
        return (self._new.join([*done, rest[:end]]),)

    def finish(self) -> Iterable[str]:
        held, self._held = self._held, ""
        return (held,)
