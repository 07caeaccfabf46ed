"""What stands before an answer: a prompt that is continued, or a source text that is answered.

A model with an encoder reads the whole source first, with the special tokens that its tokenizer puts
around it; its answer then begins after tokens of its own (Vaswani et al. 2017, arXiv 1706.03762, figure 1).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch

from yanmo.errors import InputError
from yanmo.models.base import LanguageModel, Session
from yanmo.models.transformer import Transformer
from yanmo.tokenizers.load import Tokenizer


@dataclass(frozen=True, kw_only=True)
class Opening:
    """Where an answer begins.

    Attributes:
        prompt_ids: what the model is given, counted as the prompt.
        first_ids: tokens that the session takes in before the first one is drawn.
        start: begins a session of so many rows; it knows the source, where there is one.
    """

    prompt_ids: list[int]
    first_ids: list[int]
    start: Callable[[int], Session]


class Prompter(Protocol):
    """From what a caller gives to where an answer begins."""

    def encode(self, text: str) -> list[int]:
        """Token ids of a text, with all that the model wants around it."""

    def open(self, prompt_ids: Sequence[int]) -> Opening:
        """Where the answer to token ids begins.

        Raises:
            InputError: they are too many, or one of them is unknown.
        """


class Continued:
    """A prompt that the model continues."""

    def __init__(self, model: LanguageModel, tokenizer: Tokenizer) -> None:
        """Pair a model with its tokenizer."""
        self._model, self._tokenizer = model, tokenizer

    def encode(self, text: str) -> list[int]:
        """Token ids of a text; of an empty one what begins a document."""
        return self._begun(self._tokenizer.encode(text))

    def open(self, prompt_ids: Sequence[int]) -> Opening:
        """Where the answer begins; arguments and errors as ``Prompter``."""
        ids = self._begun(prompt_ids)
        _check(ids, self._model, self._tokenizer)
        return Opening(prompt_ids=ids, first_ids=ids, start=self._model.start)

    def _begun(self, ids: Sequence[int]) -> list[int]:
        bos_id = self._tokenizer.bos_id
        if bos_id is not None and list(ids[:1]) != [bos_id]:
            return [bos_id, *ids]
        # Training puts the end-of-text token between documents, so a document begins after one.
        return list(ids) or [self._tokenizer.eos_id]


class Answered:
    """A source text that an encoder-decoder answers."""

    def __init__(self, model: Transformer, tokenizer: Tokenizer, first_ids: Sequence[int]) -> None:
        """``first_ids``: what each answer begins after."""
        self._model, self._tokenizer, self._first_ids = model, tokenizer, list(first_ids)

    def encode(self, text: str) -> list[int]:
        """Token ids of a text with the special tokens around it."""
        return self._tokenizer.encode_with_specials(text).ids

    def open(self, prompt_ids: Sequence[int]) -> Opening:
        """Where the answer begins; arguments and errors as ``Prompter``."""
        ids = list(prompt_ids)
        if not ids:
            raise InputError("the source text is empty", remedy="give a text to answer")
        _check(ids, self._model, self._tokenizer)

        def start(num_rows: int) -> Session:
            memory = self._model.encode(torch.tensor([ids]))
            if num_rows > 1:
                memory = memory.select(torch.zeros(num_rows, dtype=torch.int64))
            return self._model.start(num_rows, memory=memory)

        return Opening(prompt_ids=ids, first_ids=self._first_ids, start=start)


def _check(ids: Sequence[int], model: LanguageModel, tokenizer: Tokenizer) -> None:
    vocab_size = min(tokenizer.vocab_size, model.vocab_size)
    unknown = [token_id for token_id in ids if not 0 <= token_id < vocab_size]
    if unknown:
        raise InputError(f"the prompt holds token {unknown[0]}", remedy=f"ids end at {vocab_size - 1}")
    limit = model.max_seq_len
    if limit is not None and len(ids) > limit:
        raise InputError(
            f"the prompt has {len(ids)} tokens, the model's context holds {limit}",
            remedy="shorten the prompt",
        )
