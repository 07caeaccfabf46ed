"""A conversation as token ids, with what the model is to say in it marked exactly.

Answers are found in what the chat template writes by two characters around each that occur nowhere else; they
are taken out again, and what is left must be what the template writes without them. An answer ends with the
special token behind it, which is learned too; where the template has none, the last answer ends with the end
of the text. Prompt and answer are encoded apart, as they are when the model answers. A model without a
template gets the conversation as plain text (``generation.conversation``).

Shapes: N tokens.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from yanmo.errors import InputError
from yanmo.generation.conversation import plain_pieces, plain_prompt
from yanmo.tasks.examples import Message
from yanmo.tokenizers.load import Tokenizer

# Characters around answers come from here: a private-use plane, not that of the templates' stand-ins.
_FIRST_MARK = 0x100000


class Part(NamedTuple):
    """A stretch of a conversation: one special token, or text; and whether the model is to say it."""

    text: str
    is_special: bool
    is_learned: bool


@dataclass(frozen=True, kw_only=True)
class Script:
    """Token ids of a conversation.

    Attributes:
        ids: of all tokens, (N,).
        learned: whether the model is to say each, (N,) bool; never the first.
        num_dropped: oldest messages that were left out, for length.
        num_cut: tokens of answers that were left out, for length.
    """

    ids: NDArray[np.int64]
    learned: NDArray[np.bool_]
    num_dropped: int = 0
    num_cut: int = 0


class Scribe:
    """Writes conversations as one decoder reads them."""

    def __init__(self, tokenizer: Tokenizer, *, uses_template: bool) -> None:
        """``uses_template``: the tokenizer's, else plain text."""
        self._tokenizer, self._uses_template = tokenizer, uses_template

    def write(self, messages: Sequence[Message], *, max_tokens: int) -> Script:
        """A conversation with answers.

        What is too long loses its oldest turns, then the beginning of its last prompt, then the end of the
        answer, which is counted.

        Raises:
            InputError: it holds no answer, or the template refuses it or rewrites its answers.
        """
        if not any(message.role == "assistant" for message in messages):
            raise InputError("the conversation has no answer to learn from")
        kept = list(messages)
        script = self._encode(kept)
        while len(script.ids) > max_tokens and (start := _second_turn(kept)):
            instructions = [message for message in kept[:start] if message.role == "system"]
            kept = instructions + kept[start:]
            script = self._encode(kept)
        return _cut(script, max_tokens, num_dropped=len(messages) - len(kept))

    def prompt(self, messages: Sequence[Message], *, max_tokens: int) -> list[int]:
        """A conversation up to where the model answers; what is too long loses its beginning, as ``write``.

        Raises:
            InputError: the template refuses it.
        """
        kept = list(messages)
        ids = self._prompt_ids(kept)
        while len(ids) > max_tokens and (start := _second_turn(kept)):
            kept = [message for message in kept[:start] if message.role == "system"] + kept[start:]
            ids = self._prompt_ids(kept)
        return ids[:1] + ids[len(ids) - max_tokens + 1 :] if len(ids) > max_tokens else ids

    def text(self, text: str) -> NDArray[np.int64]:
        """A whole text to be continued: what begins a document, the text, and its end."""
        tokenizer = self._tokenizer
        first = tokenizer.eos_id if tokenizer.bos_id is None else tokenizer.bos_id
        return np.array([first, *tokenizer.encode(text), tokenizer.eos_id], np.int64)

    def _prompt_ids(self, messages: Sequence[Message]) -> list[int]:
        said = _plain(messages)
        if self._uses_template:
            return self._begun(self._tokenizer.encode_chat(said))
        return self._begun(self._tokenizer.encode(plain_prompt(said)))

    def _begun(self, ids: list[int]) -> list[int]:
        bos_id = self._tokenizer.bos_id
        return ids if bos_id is None or ids[:1] == [bos_id] else [bos_id, *ids]

    def _encode(self, messages: Sequence[Message]) -> Script:
        said = _plain(messages)
        parts = self._by_template(said) if self._uses_template else self._by_names(said)
        ids: list[int] = []
        learned: list[bool] = []
        for part in _joined(parts):
            special_ids = self._tokenizer.special_ids
            own = [special_ids[part.text]] if part.is_special else self._tokenizer.encode(part.text)
            ids += own
            learned += [part.is_learned] * len(own)
        whole = self._begun(ids)
        marks = np.array([False] * (len(whole) - len(ids)) + learned, np.bool_)
        marks[:1] = False
        return Script(ids=np.array(whole, np.int64), learned=marks)

    def _by_names(self, said: Sequence[Mapping[str, str]]) -> Iterator[Part]:
        pieces = plain_pieces(said)
        for text, is_answer in pieces:
            yield Part(text, is_special=False, is_learned=is_answer)
        if pieces[-1][1]:
            yield self._end()

    def _end(self) -> Part:
        end_id = self._tokenizer.eos_id
        named = next(text for text, token_id in self._tokenizer.special_ids.items() if token_id == end_id)
        return Part(named, is_special=True, is_learned=True)

    def _by_template(self, said: Sequence[Mapping[str, str]]) -> Iterator[Part]:
        used = {character for message in said for character in message["content"]}
        begin, end = (chr(code) for code in _unused(used, 2))
        marked = [
            {**message, "content": begin + message["content"] + end} if _is_answer(message) else message
            for message in said
        ]
        pieces = self._tokenizer.chat_pieces(marked, add_generation_prompt=False)
        written = "".join(piece.text for piece in pieces).replace(begin, "").replace(end, "")
        if written != self._tokenizer.render_chat(said, add_generation_prompt=False):
            raise InputError(
                "the chat template rewrites answers, so that they cannot be told from the rest",
                remedy="give a template that writes each message as it is",
            )
        texts = [
            (text, piece.is_special)
            for piece in pieces
            for text in ([piece.text] if piece.is_special else re.split(f"([{begin}{end}])", piece.text))
            if text
        ]
        yield from self._marked(texts, begin, end)

    def _marked(self, texts: Sequence[tuple[str, bool]], begin: str, end: str) -> Iterator[Part]:
        """The parts of a rendered conversation without the marks."""
        inside = closing = is_open = False
        for place, (text, is_special) in enumerate(texts):
            if text in (begin, end):
                inside, closing, is_open = text == begin, text == end, True
                continue
            # Between an answer and what ends it may be space.
            is_gap = text.isspace() and all(ends for _, ends in texts[place + 1 : place + 2])
            closing = closing and (is_special or is_gap)
            yield Part(text, is_special=is_special, is_learned=inside or closing)
            if closing and is_special:
                closing = is_open = False
        if is_open:
            yield self._end()


def _plain(messages: Sequence[Message]) -> list[dict[str, str]]:
    """As templates take them; space around an answer is not learned."""
    return [
        {
            "role": message.role,
            "content": message.content.strip() if message.role == "assistant" else message.content,
        }
        for message in messages
    ]


def _is_answer(message: Mapping[str, str]) -> bool:
    return message["role"] == "assistant"


def _unused(used: set[str], count: int) -> list[int]:
    found: list[int] = []
    code = _FIRST_MARK
    while len(found) < count:
        if chr(code) not in used:
            found.append(code)
        code += 1
    return found


def _joined(parts: Iterator[Part]) -> Iterator[Part]:
    """Neighbouring texts of one kind as one: they are encoded together."""
    held: Part | None = None
    for part in parts:
        if held is not None and part._replace(text="") == held._replace(text="") and not part.is_special:
            held = held._replace(text=held.text + part.text)
            continue
        if held is not None:
            yield held
        held = part
    if held is not None:
        yield held


def _second_turn(messages: Sequence[Message]) -> int | None:
    """Where the second turn of the user begins, if there is one with an answer behind it."""
    starts = [place for place, message in enumerate(messages) if message.role == "user"]
    return starts[1] if len(starts) > 1 else None


def _cut(script: Script, max_tokens: int, *, num_dropped: int) -> Script:
    """At most so many tokens, of the prompt's beginning first; the very first token stays."""
    ids, learned = script.ids, script.learned
    over = len(ids) - max_tokens
    if over > 0:
        first = int(learned.argmax())
        taken = max(0, min(over, first - 1))
        ids, learned = np.delete(ids, slice(1, 1 + taken)), np.delete(learned, slice(1, 1 + taken))
    num_cut = int(learned[max_tokens:].sum())
    return Script(
        ids=ids[:max_tokens], learned=learned[:max_tokens], num_dropped=num_dropped, num_cut=num_cut
    )
