"""Bytes inside tokens: how a vocabulary writes them, and how they become text one token at a time.

Byte-level vocabularies write each byte as one printable character (Radford et al. 2019, GPT-2), so
that a JSON file can hold tokens that are no valid UTF-8.
"""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from typing import Protocol


def _byte_alphabet() -> dict[int, str]:
    """The printable character that stands for each byte (Radford et al. 2019, GPT-2's encoder)."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    table = {byte: chr(byte) for byte in printable}
    for index, byte in enumerate(byte for byte in range(256) if byte not in table):
        table[byte] = chr(256 + index)
    return table


CHARACTER_OF_BYTE = _byte_alphabet()
_BYTE_OF_CHARACTER = {character: byte for byte, character in CHARACTER_OF_BYTE.items()}


def bytes_to_byte_level(raw: bytes) -> str:
    """How byte-level tokenizers write these bytes in their vocabulary."""
    return "".join(CHARACTER_OF_BYTE[byte] for byte in raw)


def byte_level_to_bytes(token: str) -> bytes:
    """The bytes of a token written in the byte-level alphabet; a token outside it is plain UTF-8."""
    if all(character in _BYTE_OF_CHARACTER for character in token):
        return bytes(_BYTE_OF_CHARACTER[character] for character in token)
    return token.encode()


class StreamDecoder(Protocol):
    """Turns token ids into text as they come, never half a character."""

    def push(self, token_id: int) -> str:
        """The text that this token completes; empty while a character is unfinished."""

    def finish(self) -> str:
        """What is left: U+FFFD for an unfinished character, or nothing."""


class Utf8Stream:
    """Incremental UTF-8 over the bytes of tokens."""

    def __init__(self, bytes_by_id: Sequence[bytes]) -> None:
        """Begin an empty text; ``bytes_by_id`` are the tokens' bytes."""
        self._bytes_by_id = bytes_by_id
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def push(self, token_id: int) -> str:
        """The text that this token completes."""
        return self._decoder.decode(self._bytes_by_id[token_id])

    def finish(self) -> str:
        """What is left, and a fresh start."""
        text = self._decoder.decode(b"", final=True)
        self._decoder.reset()
        return text
