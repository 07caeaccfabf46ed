"""Where words begin: by letters and digits where a language has spaces, by a dictionary in Chinese.

A word is a run of letters, digits and underscores with the marks that combine with them; runs of Chinese
characters are cut by ``rjieba`` (Viterbi over a prefix dictionary, an HMM for words it lacks), as whole
words are masked in Chinese (Cui et al. 2019, arXiv 1906.08101, section 2.1). Languages that write neither
spaces nor Chinese characters, such as Thai or Japanese kana, are not cut.
"""

from __future__ import annotations

import unicodedata
from functools import cache

import numpy as np
from numpy.typing import NDArray

from yanmo.tokenizers.segmenter import chinese_words

_NUM_CODES = 0x110000
# Beyond these planes are Chinese characters, private ones, and marks that choose a variant.
_LAST_LETTER = 0x1FFFF
_OTHER, _LETTER, _CHINESE = 0, 1, 2
_CHINESE_RANGES = (
    (0x3005, 0x3007),
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF),
    (0x20000, 0x3FFFF),
)
_VARIANTS = (0xE0100, 0xE01EF)


def token_word_starts(text: str, starts_N: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which tokens of a text begin a word, or stand outside of words.

    Args:
        text: the text.
        starts_N: the character that each token begins with. Tokens that share it (the bytes of a rare
            character) belong together.

    Returns:
        One entry a token. No word begins in the middle of a token; a token that reaches from one word into
        another ties the two together.

    Raises:
        InputError: the text holds Chinese and the segmenter is not installed.
    """
    if not text:
        return np.ones(len(starts_N), np.bool_)
    begins_N = ~continues(text)[np.minimum(starts_N, len(text) - 1)]
    begins_N[1:] &= starts_N[1:] > starts_N[:-1]
    return begins_N


def continues(text: str) -> NDArray[np.bool_]:
    """Which characters continue the word of the character before them.

    Raises:
        InputError: the text holds Chinese and the segmenter is not installed.
    """
    kinds = _kinds()[np.frombuffer(text.encode("utf-32-le"), np.uint32)]
    inside = np.zeros(len(text), np.bool_)
    inside[1:] = (kinds[1:] != _OTHER) & (kinds[1:] == kinds[:-1])
    edges = np.flatnonzero(np.diff(np.concatenate(([False], kinds == _CHINESE, [False])).astype(np.int8)))
    for start, end in edges.reshape(-1, 2).tolist():
        if end - start > 1:
            lengths = [len(word) for word in chinese_words(text[start:end])]
            inside[start + np.cumsum(lengths[:-1], dtype=np.int64)] = False
    return inside


def chinese_characters(text: str) -> NDArray[np.bool_]:
    """Which characters are Chinese."""
    return _kinds()[np.frombuffer(text.encode("utf-32-le"), np.uint32)] == _CHINESE


def word_characters(text: str) -> NDArray[np.bool_]:
    """Which characters stand in a word."""
    return _kinds()[np.frombuffer(text.encode("utf-32-le"), np.uint32)] != _OTHER


@cache
def _kinds() -> NDArray[np.uint8]:
    kinds = np.zeros(_NUM_CODES, np.uint8)
    for code in range(_LAST_LETTER + 1):
        character = chr(code)
        if character.isalnum() or character == "_" or unicodedata.category(character)[0] == "M":
            kinds[code] = _LETTER
    kinds[slice(*_VARIANTS)] = _LETTER
    for first, last in _CHINESE_RANGES:
        kinds[first : last + 1] = _CHINESE
    return kinds
