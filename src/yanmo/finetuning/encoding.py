"""Texts to token ids as a model takes them: one text, or two that are told apart, with special tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from yanmo.finetuning.batches import Encoded
from yanmo.models.transformer import Transformer
from yanmo.tokenizers.encoding import Encoding, enclose_windows
from yanmo.tokenizers.load import Tokenizer

_USUAL_MAX_SEQ_LEN = 512
# Of a text in several windows, what neighbours share.
_OVERLAP_SHARE = 0.25
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class InputEncoder:
    """Turns texts into what a model is given.

    Attributes:
        tokenizer: of the model.
        max_seq_len: longest result in tokens.
        num_types: token types that the model knows; 0 or 1 where it tells none apart.
    """

    tokenizer: Tokenizer
    max_seq_len: int
    num_types: int

    @classmethod
    def of(cls, model: Transformer, tokenizer: Tokenizer, max_seq_len: int | None = None) -> InputEncoder:
        """For a model, with its own longest text where none is given."""
        longest = max_seq_len or tokenizer.max_seq_len or _USUAL_MAX_SEQ_LEN
        return cls(
            tokenizer=tokenizer,
            max_seq_len=min(longest, model.max_seq_len),
            num_types=model.config.last_stack.input.num_token_types,
        )

    def encode(self, inputs: Sequence[tuple[str, ...]]) -> list[Encoding]:
        """Texts, or pairs of texts, all of one kind; what is too long is cut, of a pair the longer first.

        Raises:
            InputError: a text is not valid Unicode.
        """
        firsts, seconds = _columns(inputs)
        return self.tokenizer.encode_batch_with_specials(firsts, seconds, max_seq_len=self.max_seq_len)

    def encode_windows(self, inputs: Sequence[tuple[str, ...]]) -> list[list[Encoding]]:
        """As ``encode``, with what is too long in several windows, of a pair the second text.

        Raises:
            InputError: a text is not valid Unicode.
        """
        firsts, seconds = _columns(inputs)
        return enclose_windows(
            self.tokenizer.framer,
            self.tokenizer.encoder,
            firsts,
            seconds,
            max_seq_len=self.max_seq_len,
            overlap=int(self.max_seq_len * _OVERLAP_SHARE),
        )

    def piece(
        self,
        encoding: Encoding,
        target: T,
        *,
        example: int,
        is_pair: bool,
        places: NDArray[np.int64] | None = None,
    ) -> Encoded[T]:
        """An encoding as the batches want it."""
        return Encoded(
            ids=np.array(encoding.ids, np.int64),
            types=np.array(encoding.type_ids, np.int64) if is_pair and self.num_types > 1 else None,
            target=target,
            example=example,
            places=places,
        )


def _columns(inputs: Sequence[tuple[str, ...]]) -> tuple[list[str], list[str] | None]:
    firsts = [texts[0] for texts in inputs]
    return firsts, [texts[1] for texts in inputs] if inputs and len(inputs[0]) > 1 else None


def whole_pieces(
    inputs: Sequence[tuple[str, ...]], targets: Sequence[Any] | None, encoder: InputEncoder
) -> list[Encoded[Any]]:
    """One piece for each example; targets are None where nothing is to be learned.

    Raises:
        InputError: a text is not valid Unicode.
    """
    is_pair = bool(inputs) and len(inputs[0]) > 1
    return [
        encoder.piece(encoding, None if targets is None else targets[row], example=row, is_pair=is_pair)
        for row, encoding in enumerate(encoder.encode(inputs))
    ]
