"""What texts are compared by: words, and single characters of scripts written without spaces.

Letters and digits in a row are a word; a character of Chinese, Japanese kana, Thai, Lao, Khmer, Burmese or
Tibetan is a word by itself; all else only separates. So one rule serves English, Chinese and texts of both.
Case and width do not count (``Ａ`` is ``a``). A word is known by its hash: a polynomial of its code points
modulo 2^64 (Karp and Rabin 1987), mixed. Everything is done by whole arrays, over many texts at once.
"""

from __future__ import annotations

import functools
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from yanmo.corpus.hashes import Hashes, mix

Places = npt.NDArray[np.int64]
_Codes = npt.NDArray[np.uint32]

SLICE_CHARS = 1 << 16
"""A long text is read in slices of this many characters, so that memory is constant."""

_SEPARATOR, _WORD, _ALONE = 0, 1, 2
# Planes 0 to 3 hold every letter of Unicode; what is above is the last entry of a table, a separator.
_NUM_CODES = 0x32401
_NO_SPACES = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x0F00, 0x0FFF),  # Tibetan
    (0x1000, 0x109F),  # Burmese
    (0x1780, 0x17FF),  # Khmer
    (0x3005, 0x3007),
    (0x3040, 0x30FF),  # kana
    (0x31F0, 0x31FF),
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF),
    (0x20000, 0x323AF),
)
_BASE = 0x9E3779B97F4A7C15
_MASK = (1 << 64) - 1


@dataclass(frozen=True, kw_only=True)
class Words:
    """The words of one or more texts, in order.

    Attributes:
        hashes: one a word.
        starts, ends: where each is, in characters from the beginning of its text.
        halves: what each counts, in halves: 2 for a word, 1 for a character that stands alone.
        bounds: the words of text ``i`` are ``bounds[i]`` to ``bounds[i + 1]``.
    """

    hashes: Hashes
    starts: Places
    ends: Places
    halves: npt.NDArray[np.uint8]
    bounds: Places

    def __len__(self) -> int:
        """How many there are."""
        return len(self.hashes)


def words_of(texts: Sequence[str]) -> Words:
    """The words of texts, in about 60 bytes of memory a character: long texts are better read in slices."""
    folded, classes = _tables()
    # The space between two texts keeps their words apart.
    codes = np.frombuffer(" ".join(texts).encode("utf-32-le", "surrogatepass"), "<u4")
    kinds = classes.take(codes, mode="clip")
    words, alone = kinds == _WORD, kinds == _ALONE
    begins, stops = words.copy(), words.copy()
    begins[1:] &= ~words[:-1]
    stops[:-1] &= ~words[1:]
    starts = np.flatnonzero(begins | alone)
    ends = np.flatnonzero(stops | alone) + 1
    lengths = np.fromiter(map(len, texts), np.int64, len(texts))
    firsts = np.concatenate([[0], np.cumsum(lengths + 1)])
    bounds = np.searchsorted(starts, firsts)
    shift = np.repeat(firsts[:-1], np.diff(bounds))
    return Words(
        hashes=span_hashes(folded.take(codes, mode="clip"), starts, ends),
        starts=starts - shift,
        ends=ends - shift,
        halves=np.where(alone[starts], 1, 2).astype(np.uint8),
        bounds=bounds,
    )


def slices(text: str) -> Iterator[str]:
    """A text in pieces of at most ``SLICE_CHARS`` characters.

    A word at a border is cut in two; a comparison of long texts does not notice.
    """
    for start in range(0, len(text), SLICE_CHARS):
        yield text[start : start + SLICE_CHARS]


def shingles(hashes: Hashes, size: int) -> Hashes:
    """The hash of each ``size`` words in a row: ``len(hashes) - size + 1`` of them, none of fewer words."""
    count = len(hashes) - size + 1
    if count <= 0:
        return np.empty(0, np.uint64)
    joined = hashes[:count].copy()
    for offset in range(1, size):
        joined *= np.uint64(_BASE)
        joined += hashes[offset : offset + count]
    return mix(joined)


def span_hashes(values: _Codes | Hashes, starts: Places, ends: Places) -> Hashes:
    """The hash of each ``values[start:end]``: equal stretches have equal ones, wherever they are."""
    powers, inverses = _powers(1 << max(16, (len(values) - 1).bit_length()))
    sums = np.zeros(len(values) + 1, np.uint64)
    np.cumsum(values * powers[: len(values)], out=sums[1:])
    return mix((sums[ends] - sums[starts]) * inverses[starts])


@functools.lru_cache(maxsize=2)
def _powers(count: int) -> tuple[Hashes, Hashes]:
    """The powers of the base and of its inverse, which exists because it is odd."""
    tables = []
    for base in (_BASE, pow(_BASE, -1, 1 << 64)):
        steps = np.full(count, base, np.uint64)
        steps[0] = 1
        tables.append(np.cumprod(steps))
    return tables[0], tables[1]


@functools.cache
def _tables() -> tuple[_Codes, npt.NDArray[np.uint8]]:
    """For each code point its folded form, and whether it is of a word, alone or a separator."""
    folded, classes = np.arange(_NUM_CODES, dtype=np.uint32), np.zeros(_NUM_CODES, np.uint8)
    for code in range(_NUM_CODES):
        character = chr(code)
        plain = unicodedata.normalize("NFKC", character).casefold()
        if len(plain) == 1:
            folded[code] = ord(plain)
        if unicodedata.category(plain[:1] or " ")[0] in "LNM":
            classes[code] = _WORD
    for first, last in _NO_SPACES:
        stretch = classes[first : last + 1]
        stretch[stretch == _WORD] = _ALONE
    classes[-1] = _SEPARATOR
    return folded, classes
