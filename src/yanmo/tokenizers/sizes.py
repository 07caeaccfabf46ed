"""How many tokens a vocabulary may and should have."""

from __future__ import annotations

from collections import Counter

from yanmo.errors import InputError
from yanmo.tokenizers.purpose import SPECIALS, Purpose

NUM_BYTES = 256
MAX_VOCAB_SIZE = 2**20

# A character is frequent that is at least one in so many.
_FREQUENT = 20_000


def suggest_vocab_size(
    num_bytes: int, num_frequent_characters: int, purpose: Purpose = Purpose.CAUSAL
) -> int:
    """A vocabulary that the corpus can fill: each token must be seen often enough to be learned.

    A model that writes on does best with few tokens: about 512 for 1 MB of English, 2k for 10 MB, 32k for
    1 GB (the power 0.6 is that of Heaps' law for words). One that understands a text wants its words whole:
    2k for 1 MB, 6k for 10 MB (benchmarks/LOG.md). A place for each frequent multi-byte character comes on
    top, which Chinese needs.

    Args:
        num_bytes: UTF-8 bytes of the training text.
        num_frequent_characters: distinct multi-byte characters that make up at least 1 in 20,000.
        purpose: what the tokenizer is for.

    Returns:
        A multiple of 64, from 320 to 65,536.
    """
    megabytes = max(num_bytes, 1) / 1e6
    words = 512 * megabytes**0.6 if purpose is Purpose.CAUSAL else 2048 * megabytes**0.5
    return min(max(round((words + num_frequent_characters) / 64) * 64, 320), 65_536)


def check_vocab_size(vocab_size: int, purpose: Purpose = Purpose.CAUSAL) -> None:
    """Refuse a vocabulary that cannot be.

    Raises:
        InputError: it has no place for every byte and special token, or is beyond a million.
    """
    smallest = NUM_BYTES + len(SPECIALS[purpose].tokens)
    if not smallest <= vocab_size <= MAX_VOCAB_SIZE:
        raise InputError(
            f"a vocabulary of {vocab_size} is out of range",
            remedy=f"choose {smallest} (every byte and the special tokens) to {MAX_VOCAB_SIZE}",
        )


def settle_vocab_size(characters: Counter[str], vocab_size: int | None, purpose: Purpose) -> int:
    """The size that was asked for, or one that fits the text.

    Args:
        characters: how often each occurs in the training text.
        vocab_size: ids in all, special tokens included; None fits it to the text.
        purpose: decides the special tokens.

    Raises:
        InputError: as ``check_vocab_size``.
    """
    if vocab_size is None:
        total = characters.total()
        frequent = [c for c, n in characters.items() if ord(c) >= 0x80 and n * _FREQUENT >= total]
        num_bytes = sum(len(character.encode()) * count for character, count in characters.items())
        # Sentinels take no places from the text's own tokens.
        more = len(SPECIALS[purpose].tokens) - len(SPECIALS[Purpose.CAUSAL].tokens)
        vocab_size = suggest_vocab_size(num_bytes, len(frequent), purpose) + max(0, more)
    check_vocab_size(vocab_size, purpose)
    return vocab_size
