"""The parts of a text that measures are taken of: units, and runs of them such as lines, as arrays."""

from __future__ import annotations

from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from yanmo.corpus.hashes import Hashes
from yanmo.corpus.language import scripts
from yanmo.corpus.language.scripts import FIRST_SCRIPT, HAN, SCRIPTS, SPACE, UNSPACED_SCRIPTS, WIDE_MARK
from yanmo.corpus.quality.repetition import combine

_HEX_LENGTHS = (2, 4, 8, 16)


class Units:
    """The units of a text, one after the other."""

    def __init__(self, codes: NDArray[np.uint32], classes: NDArray[np.uint8]) -> None:
        """Find them.

        Args:
            codes: code points.
            classes: the class of each, as ``scripts`` has it.
        """
        seen = classes != SPACE
        alone = UNSPACED[classes]
        breaks = np.ones(len(codes), bool)
        breaks[1:] = alone[1:] | alone[:-1] | ~seen[:-1]
        self.start = np.flatnonzero(seen & breaks)
        """Where each begins."""
        owner = np.cumsum(seen & breaks)[seen] - 1
        where = np.flatnonzero(seen)
        number = len(self.start)
        self.length: NDArray[np.int64] = np.bincount(owner, minlength=number)
        """Visible characters of each."""
        self.letters: NDArray[np.int64] = np.bincount(
            owner, weights=classes[where] >= HAN, minlength=number
        ).astype(np.int64)
        """Letters of each."""
        self.visible = len(where)
        self._first = np.cumsum(self.length) - self.length
        self._codes, self._owner = codes[where], owner

    @cached_property
    def hashes(self) -> Hashes:
        """Of each unit's characters."""
        places = np.arange(self.visible) - self._first[self._owner]
        return combine(self._codes.astype(np.uint64), places, self._first)

    @cached_property
    def is_hex(self) -> NDArray[np.bool_]:
        """Which may be part of a hex dump: 2, 4, 8 or 16 hexadecimal digits, three such in a row or more."""
        digits = np.add.reduceat(self._hex_digits, self._first) if len(self.start) else self.length
        last = self._codes[self._first + self.length - 1] if len(self.start) else self._codes
        # An address ends with a colon.
        digits = digits + (last == ord(":"))
        found = (digits == self.length) & np.isin(self.length - (last == ord(":")), _HEX_LENGTHS)
        padded = np.concatenate(([False, False], found, [False, False]))
        n = len(found)
        before2, before, after, after2 = padded[:n], padded[1 : n + 1], padded[3 : n + 3], padded[4 : n + 4]
        return found & ((before2 & before) | (before & after) | (after & after2))

    @cached_property
    def _hex_digits(self) -> NDArray[np.int64]:
        table = np.zeros(128, np.int64)
        table[points_of("0123456789abcdefABCDEF")] = 1
        return np.where(self._codes < 128, table[np.minimum(self._codes, 127)], 0)


class Runs:
    """Neighbouring parts with one number, such as the units of a line."""

    def __init__(self, number: NDArray[np.int64], length: NDArray[np.int64], hashes: Hashes) -> None:
        """Find them; the arguments are of each part."""
        new = np.ones(len(number), bool)
        new[1:] = number[1:] != number[:-1]
        self.first = np.flatnonzero(new)
        """The part that each begins with."""
        self.number = number[self.first]
        owner = np.cumsum(new) - 1
        self.length: NDArray[np.int64] = np.bincount(owner, weights=length, minlength=len(self.first)).astype(
            np.int64
        )
        self.hashes = combine(hashes, np.arange(len(number)) - self.first[owner], self.first)

    def last(self, num_parts: int) -> NDArray[np.int64]:
        """The part that each ends with."""
        return np.append(self.first[1:], num_parts)[: len(self.first)] - 1


def points_of(characters: str) -> NDArray[np.uint32]:
    """Their code points."""
    return np.array([ord(character) for character in characters], np.uint32)


def _unspaced_table() -> NDArray[np.bool_]:
    table = np.zeros(scripts.NUM_CLASSES, bool)
    table[WIDE_MARK:FIRST_SCRIPT] = True
    table[[FIRST_SCRIPT + SCRIPTS.index(script) for script in UNSPACED_SCRIPTS]] = True
    return table


UNSPACED: Final = _unspaced_table()
"""Which classes of characters are units of one character."""
