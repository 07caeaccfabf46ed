"""A conversation with a model: its history, the prompt made of it, and what to forget first.

A model trained on conversations gets its chat template. A model that was only pretrained has never
seen that, so it gets the conversation as plain text to continue, with a name before each turn.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Generator, Iterator, Mapping, Sequence

from yanmo.generation.engine import Engine, Piece, SamplingParams

# Names before the turns in plain text: the user's and the model's, by the language of the conversation.
_NAMES_EN = ("User: ", "Assistant:")
_NAMES_ZH = ("用户：", "助手：")


def plain_pieces(messages: Sequence[Mapping[str, str]]) -> list[tuple[str, bool]]:
    """A conversation as plain text, in pieces, each with whether it is an answer of the model's."""
    (user, assistant), pieces, before = _names(messages), list[tuple[str, bool]](), ""
    for message in messages:
        role, content = message["role"], message["content"]
        if role == "assistant":
            space = " " if assistant == _NAMES_EN[1] else ""
            pieces += [(before + assistant, False), (space + content, True)]
        else:
            pieces.append((before + (user if role == "user" else "") + content, False))
        before = "\n"
    return pieces


def plain_prompt(messages: Sequence[Mapping[str, str]]) -> str:
    """A conversation as plain text, up to where the model answers."""
    said = [text for text, _ in plain_pieces(messages)]
    return "".join(said) + ("\n" if said else "") + _names(messages)[1]


def _names(messages: Sequence[Mapping[str, str]]) -> tuple[str, str]:
    """By the language of the first turn."""
    first = next((message["content"] for message in messages if message["role"] != "system"), "")
    is_chinese = any("\u4e00" <= character <= "\u9fff" for character in first)
    return _NAMES_ZH if is_chinese else _NAMES_EN


class Conversation:
    """Messages so far and the answers to come."""

    def __init__(self, engine: Engine, params: SamplingParams, *, system: str = "") -> None:
        """Begin a conversation.

        Args:
            engine: continues the prompts.
            params: how each answer is drawn; a set seed is used for the first answer, the next numbers
                for those after it.
            system: instruction that stands before everything and is never forgotten.
        """
        self._engine, self._params, self._system = engine, params, system
        self._turns: list[dict[str, str]] = []
        self._num_answers = 0
        self.num_forgotten = 0

    @property
    def uses_template(self) -> bool:
        """Whether the model was trained on conversations."""
        return self._engine.tokenizer.chat_tuned and self._engine.tokenizer.chat_template is not None

    @property
    def messages(self) -> list[dict[str, str]]:
        """The conversation that the next answer will see."""
        begin = [{"role": "system", "content": self._system}] if self._system else []
        return begin + [dict(turn) for turn in self._turns]

    def reset(self) -> None:
        """Forget everything but the system's instruction."""
        self._turns, self.num_forgotten = [], 0

    def ask(self, text: str) -> Generator[Piece]:
        """Answer a message, as a stream; what was given out joins the history, even if cut short.

        When the context has too little room for an answer, the oldest turns are forgotten
        (``num_forgotten`` counts them).

        Raises:
            InputError: the message alone is longer than the context; it is not kept.
        """
        self._turns.append({"role": "user", "content": text})
        answer = ""
        try:
            for piece in self._stream():
                # Plain text leaves a space between a name and what is said.
                if not answer and not self.uses_template:
                    piece = dataclasses.replace(piece, text=piece.text.lstrip())
                answer += piece.text
                yield piece
        finally:
            if answer:
                self._turns.append({"role": "assistant", "content": answer})
            else:
                self._turns.pop()

    def _stream(self) -> Iterator[Piece]:
        prompt_ids, params = self._prompt_ids(), self._params
        limit = self._engine.model.max_seq_len
        if limit is not None:
            room = min(params.max_tokens or limit, limit // 4)
            while len(prompt_ids) + room > limit and len(self._turns) > 1:
                num_oldest = 2 if self._turns[1]["role"] == "assistant" else 1
                del self._turns[:num_oldest]
                self.num_forgotten += num_oldest
                prompt_ids = self._prompt_ids()
        seed = None if params.seed is None else params.seed + self._num_answers
        stop = params.stop if self.uses_template else (*params.stop, *self._plain_stops())
        self._num_answers += 1
        return self._engine.stream(prompt_ids, dataclasses.replace(params, seed=seed, stop=stop))

    def _prompt_ids(self) -> list[int]:
        tokenizer = self._engine.tokenizer
        if self.uses_template:
            return tokenizer.encode_chat(self.messages)
        return self._engine.encode(plain_prompt(self.messages))

    def _plain_stops(self) -> tuple[str, ...]:
        return tuple("\n" + name.rstrip() for names in (_NAMES_EN, _NAMES_ZH) for name in names)
