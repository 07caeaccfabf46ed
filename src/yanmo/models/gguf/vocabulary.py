"""A vocabulary as GGUF keeps it: tokens in the order of their ids, and what each of them is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gguf.constants import TokenType

from yanmo.errors import InputError
from yanmo.models.files.foreign_files import DAMAGED, shorten
from yanmo.models.gguf.metadata import Metadata

_KINDS = {int(kind): kind for kind in TokenType}
_ADDED = (TokenType.CONTROL, TokenType.UNKNOWN, TokenType.USER_DEFINED)
_SPECIAL = (TokenType.CONTROL, TokenType.UNKNOWN)


@dataclass(frozen=True, kw_only=True)
class Vocabulary:
    """Tokens and their kinds, by id; ``UNUSED`` are places that no text and no tokenizer.json fills."""

    tokens: Sequence[str]
    kinds: Sequence[TokenType]

    @classmethod
    def read(cls, metadata: Metadata, vocab_size: int) -> Vocabulary:
        """The vocabulary of a file.

        Args:
            metadata: of the file.
            vocab_size: rows of the token embedding.

        Raises:
            InputError: there is none, or it is damaged.
        """
        tokens = metadata.texts("tokenizer.ggml.tokens")
        if len(tokens) != vocab_size:
            what = f"the tokenizer has {len(tokens)} tokens and the model {vocab_size}"
            raise InputError(what, where=metadata.where, remedy=DAMAGED)
        numbers = metadata.integers("tokenizer.ggml.token_type") or [int(TokenType.NORMAL)] * len(tokens)
        if len(numbers) != len(tokens):
            raise InputError("the kinds of tokens are not as many as the tokens", where=metadata.where)
        kinds = [_KINDS.get(number, TokenType.NORMAL) for number in numbers]
        kinds = [kind if token else TokenType.UNUSED for token, kind in zip(tokens, kinds, strict=True)]
        used = [token for token, kind in zip(tokens, kinds, strict=True) if kind is not TokenType.UNUSED]
        if len(set(used)) != len(used):
            raise InputError("a token is there twice", where=metadata.where, remedy=DAMAGED)
        return cls(tokens=tokens, kinds=kinds)

    @classmethod
    def from_tokenizer_json(cls, tokenizer: Mapping[str, Any], vocab_size: int) -> Vocabulary:
        """The vocabulary of a tokenizer.json, filled up to the rows of the token embedding.

        Added tokens beyond the rows, which no text can reach in the model, are left out.

        Raises:
            InputError: an ordinary token has no row.
        """
        by_id: dict[int, tuple[str, TokenType]] = {
            token_id: (token, TokenType.NORMAL) for token, token_id in tokenizer["model"]["vocab"].items()
        }
        if max(by_id, default=-1) >= vocab_size:
            what = f"the tokenizer has {max(by_id) + 1} tokens and the model {vocab_size} rows for them"
            raise InputError(what, where="tokenizer.json", remedy="they do not belong together")
        for added in tokenizer.get("added_tokens") or []:
            if added["id"] < vocab_size:
                kind = TokenType.CONTROL if added["special"] else TokenType.USER_DEFINED
                by_id[added["id"]] = (added["content"], kind)
        taken = {token for token, _ in by_id.values()}
        for token_id in range(vocab_size):
            if token_id not in by_id:
                by_id[token_id] = (_unused_name(token_id, taken), TokenType.UNUSED)
        ordered = [by_id[token_id] for token_id in range(vocab_size)]
        return cls(tokens=[token for token, _ in ordered], kinds=[kind for _, kind in ordered])

    def id_of(self, token: object) -> int | None:
        """The id of a token, or None; the value in a config may be a table with the token inside."""
        if isinstance(token, Mapping):
            token = token.get("content")
        return self.tokens.index(token) if isinstance(token, str) and token in self.tokens else None

    def token_of(self, token_id: int | None) -> str | None:
        """The token of an id, or None where there is none such."""
        if token_id is None or self.kinds[token_id] is TokenType.UNUSED:
            return None
        return self.tokens[token_id]

    def used(self) -> dict[str, int]:
        """All tokens that are in use, with their ids."""
        return {
            token: token_id
            for token_id, (token, kind) in enumerate(zip(self.tokens, self.kinds, strict=True))
            if kind is not TokenType.UNUSED
        }

    def added_tokens(self) -> list[dict[str, Any]]:
        """The ``added_tokens`` of a tokenizer.json."""
        return [
            {
                "id": token_id,
                "content": token,
                "single_word": False,
                "lstrip": False,
                "rstrip": False,
                "normalized": False,
                "special": kind in _SPECIAL,
            }
            for token_id, (token, kind) in enumerate(zip(self.tokens, self.kinds, strict=True))
            if kind in _ADDED
        ]


def _unused_name(token_id: int, taken: set[str]) -> str:
    """llama.cpp's name for a row without a token; no name may be there twice."""
    name = f"[PAD{token_id}]"
    while name in taken:
        name = f"[{name}]"
    return name


def require_id(metadata: Metadata, key: str, vocab_size: int, default: int | None = None) -> int | None:
    """The id of a special token, or ``default`` where the file names none.

    Raises:
        InputError: it is no id.
    """
    if not metadata.has(key):
        return default if default is None or default < vocab_size else None
    token_id = metadata.integer(key, low=-1, high=2**32)
    # Some files write "none" as -1, or as the largest number.
    if token_id in (-1, 2**32 - 1):
        return None
    if token_id >= vocab_size:
        raise metadata.wrong(key, f"no token: there are {vocab_size}, not {shorten(token_id)}")
    return token_id
