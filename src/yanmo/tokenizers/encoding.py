"""Texts to ids, and the special tokens around them: one text or a pair, cut to a length that keeps them.

What a text holds never becomes a special token by itself, whatever its characters are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import tokenizers
from numpy.typing import NDArray
from tokenizers import models, processors

from yanmo.errors import InputError
from yanmo.tokenizers.backend import (
    flat,
    hide_tokens,
    library_errors,
    part_of,
    reachable_specials,
    share_model,
)
from yanmo.tokenizers.pieces import cut_pattern, pieces

# Long texts are encoded in pieces of this many characters or more, where that changes nothing.
_PIECE_CHARS = 500_000
_CANNOT_ENCODE = "the tokenizer cannot encode this text"

Side = Literal["left", "right"]


def side_of(settings: Mapping[str, Any] | None) -> Side:
    """The side that the library's settings of padding or truncation name; right where there are none."""
    return "left" if settings is not None and settings["direction"] == "left" else "right"


@dataclass(frozen=True, kw_only=True)
class Encoding:
    """A text, or a pair of texts, with the special tokens that its model wants. One entry a token each.

    Attributes:
        ids: token ids.
        type_ids: 0 or 1, the segments that BERT's models tell apart.
        special_mask: 1 for a token that the template put there, 0 for one of a text.
        offsets: first character and the one behind the last, in the text that the token is of; (0, 0) for
            a special token.
        text_ids: 0 for a token of the first text, 1 for one of the second, None for a special token.
    """

    ids: list[int]
    type_ids: list[int]
    special_mask: list[int]
    offsets: list[tuple[int, int]]
    text_ids: list[int | None]


class TextEncoder:
    """Texts to ids, without special tokens."""

    def __init__(self, backend: tokenizers.Tokenizer) -> None:
        """Take a backend without post-processor, truncation and padding."""
        backend.encode_special_tokens = True
        self._backend = backend
        self._reachable = reachable_specials(backend)
        self._cut = cut_pattern(backend)

    def ids(self, text: str) -> list[int]:
        """Token ids of a text."""
        _require_unicode(text)
        ids: list[int] = []
        for piece in pieces(text, self._cut, _PIECE_CHARS):
            with library_errors(_CANNOT_ENCODE):
                ids.extend(self._guarded(self._backend.encode(piece), piece).ids)
        return ids

    def ids_of_many(self, texts: Sequence[str]) -> list[NDArray[np.int64]]:
        """Token ids of many texts, on all cores."""
        for text in texts:
            _require_unicode(text)
        parted = [list(pieces(text, self._cut, _PIECE_CHARS)) for text in texts]
        flat_pieces = [piece for pieces_of_text in parted for piece in pieces_of_text]
        with library_errors(_CANNOT_ENCODE):
            encodings = map(self._guarded, self._backend.encode_batch_fast(flat_pieces), flat_pieces)
            ids = iter([np.array(encoding.ids, dtype=np.int64) for encoding in encodings])
        return [
            next(ids) if len(pieces_of_text) == 1 else np.concatenate([next(ids) for _ in pieces_of_text])
            for pieces_of_text in parted
        ]

    def ids_and_starts_of_many(
        self, texts: Sequence[str]
    ) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """Token ids of many texts, and the character of the text that each token begins with."""
        results = []
        for text in texts:
            parts = list(pieces(text, self._cut, _PIECE_CHARS))
            ids: list[int] = []
            starts: list[int] = []
            begin = 0
            for part, encoding in zip(parts, self.encodings(parts), strict=True):
                ids.extend(encoding.ids)
                starts.extend(begin + start for start, _ in encoding.offsets)
                begin += len(part)
            results.append((np.array(ids, np.int64), np.array(starts, np.int64)))
        return results

    def encodings(self, texts: Sequence[str]) -> list[tokenizers.Encoding]:
        """The library's encodings of many texts, whole, with their offsets."""
        for text in texts:
            _require_unicode(text)
        with library_errors(_CANNOT_ENCODE):
            return list(map(self._guarded, self._backend.encode_batch(list(texts)), texts))

    def ids_finding_specials(self, text: str) -> list[int]:
        """Token ids of a text in which the string of a special token is that token."""
        _require_unicode(text)
        with library_errors(_CANNOT_ENCODE):
            return self._finding_specials.encode(text).ids

    def _guarded(self, encoding: tokenizers.Encoding, text: str) -> tokenizers.Encoding:
        """The encoding, made again where a text's own characters came out as a special token."""
        if not self._reachable or self._reachable.isdisjoint(encoding.ids):
            return encoding
        return self._blind.encode(text)

    @cached_property
    def _blind(self) -> tokenizers.Tokenizer:
        return hide_tokens(self._backend, self._reachable)

    @cached_property
    def _finding_specials(self) -> tokenizers.Tokenizer:
        return share_model(self._backend)


class Framer:
    """Puts a template's special tokens around encoded texts."""

    def __init__(self, post_processor: Any) -> None:
        """Take the post-processor of a tokenizer.json, or None where it has none."""
        steps = {step["type"] for step in flat(part_of(post_processor))}
        if not steps & {"TemplateProcessing", "BertProcessing", "RobertaProcessing"}:
            # What makes no special tokens numbers no texts either; transformers writes 0 and 1.
            plain = processors.TemplateProcessing(single="$A:0", pair="$A:0 $B:1", special_tokens=[])
            post_processor = processors.Sequence([post_processor, plain]) if steps else plain
        self._post_processor = post_processor

    def begin(self, *, is_pair: bool, max_seq_len: int | None, side: Side) -> tokenizers.Tokenizer:
        """What frames texts of one kind: a tokenizer without a vocabulary, made in microseconds.

        It belongs to one call, so that a length set for one caller never reaches another.

        Args:
            is_pair: whether pairs will be framed.
            max_seq_len: longest result in tokens; of a pair the longer text is cut first. None for no limit.
            side: where texts are cut.

        Raises:
            InputError: there would be no room for the texts.
        """
        frame = tokenizers.Tokenizer(models.WordLevel({"?": 0}, unk_token="?"))
        frame.post_processor = self._post_processor
        if max_seq_len is not None:
            num_special = frame.num_special_tokens_to_add(is_pair)
            if max_seq_len <= num_special:
                what = f"a text cannot be cut to {max_seq_len} tokens: {num_special} of them are special"
                raise InputError(what, remedy=f"allow at least {num_special + 1}")
            frame.enable_truncation(max_seq_len, direction=side)
        return frame

    def begins_with(self, token_id: int) -> bool:
        """Whether a text is given this special token in front."""
        frame = self.begin(is_pair=False, max_seq_len=None, side="right")
        return enclose(frame, frame.encode(""), None).ids[:1] == [token_id]


def enclose(
    frame: tokenizers.Tokenizer, first: tokenizers.Encoding, second: tokenizers.Encoding | None
) -> Encoding:
    """One text or a pair in a frame of ``Framer.begin``."""
    with library_errors("the tokenizer cannot put its special tokens around a text"):
        framed = frame.post_process(first, second)
    return Encoding(
        ids=framed.ids,
        type_ids=framed.type_ids,
        special_mask=framed.special_tokens_mask,
        offsets=framed.offsets,
        text_ids=framed.sequence_ids,
    )


def enclose_windows(
    framer: Framer,
    encoder: TextEncoder,
    texts: Sequence[str],
    pairs: Sequence[str] | None,
    *,
    max_seq_len: int,
    overlap: int,
) -> list[list[Encoding]]:
    """Texts or pairs with their special tokens; what is too long in several windows that overlap.

    Args:
        framer: of the tokenizer.
        encoder: of the tokenizer.
        texts: the (first) texts; windows are of these, or of ``pairs`` where there are any.
        pairs: a second text for each; the first then stands in each window, cut to half of it.
        max_seq_len: longest window in tokens.
        overlap: tokens that neighbouring windows share.

    Raises:
        InputError: a text is not valid Unicode, or there is no room beside the special tokens.
    """
    is_pair = pairs is not None
    framer.begin(is_pair=is_pair, max_seq_len=max_seq_len, side="right")
    frame = framer.begin(is_pair=is_pair, max_seq_len=None, side="right")
    room = max_seq_len - frame.num_special_tokens_to_add(is_pair)
    firsts = encoder.encodings(texts)
    if pairs is None:
        return [[enclose(frame, part, None) for part in _windows(text, room, overlap)] for text in firsts]
    found = []
    for first, second in zip(firsts, encoder.encodings(pairs), strict=True):
        head = _windows(first, max(1, room // 2), 0)[0]
        parts = _windows(second, max(1, room - len(head)), overlap)
        found.append([enclose(frame, head, part) for part in parts])
    return found


def _windows(encoding: tokenizers.Encoding, size: int, overlap: int) -> list[tokenizers.Encoding]:
    """An encoded text in windows of at most ``size`` tokens, of which neighbours share ``overlap``."""
    if len(encoding) <= size:
        return [encoding]
    encoding.truncate(size, stride=min(overlap, size - 1))
    return [encoding, *encoding.overflowing]


def _require_unicode(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InputError(
            f"not valid Unicode: lone surrogate at character {error.start}", remedy="remove or replace it"
        ) from None
