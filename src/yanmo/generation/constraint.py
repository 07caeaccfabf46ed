"""Answers of a given form: JSON after a schema, a regular expression, or a grammar.

At each step only tokens may come whose bytes can be continued to a whole answer of that form, so what ends
by itself always has it. Which tokens these are says llguidance (the extra ``constrained``), an Earley parser
over lexemes given as regular expressions, for any tokenizer whose tokens are known as bytes: half a Chinese
character is followed by its other half.

Shapes: V ids that both the model and the tokenizer have.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from yanmo.errors import InputError
from yanmo.tokenizers.load import Tokenizer

if TYPE_CHECKING:
    from llguidance import LLMatcher, LLTokenizer
    from llguidance._lib import JsonCompileOptions

# One way to lay JSON out: where any number of spaces may stand, a model can go on writing them.
_LAYOUT: JsonCompileOptions = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
_MOST_TEXT = 300
# Longer descriptions take seconds to read, or minutes.
_MOST_DESCRIPTION = 100_000


class FormKind(StrEnum):
    """How a form is described."""

    JSON_SCHEMA = "json-schema"
    REGEX = "regex"
    GRAMMAR = "grammar"


@dataclass(frozen=True, kw_only=True)
class OutputForm:
    """What an answer must look like.

    Attributes:
        kind: how ``text`` describes it.
        text: a JSON schema (``{"type": "object"}`` is any JSON object); a regular expression in Rust's
            syntax, which the whole answer matches; or a context-free grammar, Lark's or llama.cpp's GBNF.
    """

    kind: FormKind
    text: str

    def __post_init__(self) -> None:
        """Refuse a schema that is not JSON, and what is too long.

        Raises:
            InputError: saying what is wrong, with the line and column of a schema.
        """
        if len(self.text) > _MOST_DESCRIPTION:
            raise InputError(
                f"a form described in {len(self.text):,} characters is too long",
                remedy=f"{_MOST_DESCRIPTION:,} are the most",
            )
        if self.kind is FormKind.JSON_SCHEMA:
            try:
                schema = json.loads(self.text)
            except (ValueError, RecursionError) as error:
                raise InputError(f"the schema is not JSON: {error}") from None
            if not isinstance(schema, dict):
                raise InputError("the schema is not a JSON object", remedy='such as {"type": "object"}')


class Constraint:
    """How far one answer has come in its form."""

    def __init__(self, matcher: LLMatcher, vocab_size: int) -> None:
        """Wrap a matcher whose tokenizer has one id more than V, which ends an answer."""
        self._matcher, self._vocab_size = matcher, vocab_size
        self._allowed_W: Tensor | None = None

    @property
    def is_complete(self) -> bool:
        """Whether the answer has the form, and nothing more can come."""
        return self._matcher.is_stopped() and not self._matcher.is_error()

    def may_end(self) -> bool:
        """Whether the answer has the form as it stands."""
        return bool(self._mask()[self._vocab_size])

    def allowed(self) -> Tensor:
        """Which tokens may come next, bool (V,); the tensor is the caller's.

        Raises:
            InputError: no answer can have the form, or it is too complex.
        """
        return self._mask()[: self._vocab_size].clone()

    def push(self, token_id: int) -> None:
        """Take in a token that was allowed."""
        self._matcher.consume_token(token_id)
        self._allowed_W = None
        self._check()

    def copy(self) -> Constraint:
        """The same state, to go on from by itself."""
        return Constraint(self._matcher.deep_copy(), self._vocab_size)

    def _mask(self) -> Tensor:
        if self._allowed_W is None:
            bits = np.frombuffer(self._matcher.compute_bitmask(), dtype=np.uint8)
            self._check()
            allowed = np.unpackbits(bits, bitorder="little")[: self._vocab_size + 1]
            self._allowed_W = torch.from_numpy(allowed.astype(np.bool_))
        return self._allowed_W

    def _check(self) -> None:
        if self._matcher.is_error():
            why = _shortened(self._matcher.get_error())
            raise InputError(f"no answer can have the form that was asked for: {why}")


class Constrainer:
    """Makes constraints for one tokenizer."""

    def __init__(self, tokenizer: Tokenizer, vocab_size: int) -> None:
        """Take in the tokenizer's bytes.

        Args:
            tokenizer: of the model.
            vocab_size: V.

        Raises:
            InputError: llguidance is not installed.
        """
        try:
            from llguidance import LLTokenizer, TokenizerWrapper
        except ImportError:
            raise InputError(
                "answers of a given form need llguidance", remedy="pip install 'yanmo[constrained]'"
            ) from None
        self._vocab_size = vocab_size
        wrapper = TokenizerWrapper(_Vocabulary(tokenizer, vocab_size))
        self._tokenizer: LLTokenizer = LLTokenizer(wrapper, n_vocab=vocab_size + 1, eos_token=vocab_size)

    def start(self, form: OutputForm) -> Constraint:
        """An answer that is still empty.

        Raises:
            InputError: the form is not described as it should be, or more is asked for than there is.
        """
        from llguidance import LLMatcher, grammar_from

        try:
            if form.kind is FormKind.JSON_SCHEMA:
                grammar = LLMatcher.grammar_from_json_schema(form.text, overrides=_LAYOUT)
            else:
                grammar = grammar_from("regex" if form.kind is FormKind.REGEX else "grammar", form.text)
        except ValueError as error:
            raise _unclear(form, str(error)) from None
        matcher = LLMatcher(self._tokenizer, grammar, log_level=0)
        if matcher.is_error():
            raise _unclear(form, matcher.get_error())
        return Constraint(matcher, self._vocab_size)


class _Vocabulary:
    """A tokenizer as llguidance wants it: bytes of each token, and one more that ends an answer."""

    def __init__(self, tokenizer: Tokenizer, vocab_size: int) -> None:
        self._encode = tokenizer.encode
        self.tokens = [tokenizer.token_bytes(token_id) for token_id in range(vocab_size)] + [b""]
        # A token that adds nothing to a text is never part of an answer.
        self.special_token_ids = [token_id for token_id, text in enumerate(self.tokens) if not text]
        self.eos_token_id, self.bos_token_id = vocab_size, None

    def __call__(self, text: str) -> Sequence[int]:
        return self._encode(text)


def _unclear(form: OutputForm, why: str) -> InputError:
    return InputError(f"the {form.kind.value.replace('-', ' ')} cannot be used: {_shortened(why)}")


def _shortened(text: str) -> str:
    # Behind that mark stands the parser's own state.
    line = " ".join(text.partition("<state>")[0].split())
    return line if len(line) <= _MOST_TEXT else line[:_MOST_TEXT] + "..."
