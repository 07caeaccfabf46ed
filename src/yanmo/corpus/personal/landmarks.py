"""One quick look over a text for the places where something personal can begin.

Nearly every kind holds digits, so that a few array operations on the characters' codes say where to look:
clusters of seven digits, long words with digits in them, digits after letters, house numbers. Text that has
none of them costs these and some searches for literals.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from yanmo.corpus.personal.context import narrow

_DIGIT, _UPPER, _LOWER, _JOINER = 1, 2, 4, 8
_MAX_GAP = 4
_MIN_CLUSTER_DIGITS = 7
_MIN_TOKEN_CHARS = 16
_SPACE = 32
_FIRST_CJK, _LAST_CJK = 0x4E00, 0x9FFF
_FIRST_WIDE, _LAST_WIDE = 0xFF01, 0xFF5E
_ANY_DIGIT = re.compile("[0-9]")

Places = npt.NDArray[np.int64]


def _classes() -> npt.NDArray[np.uint8]:
    """The class of each ASCII character, and one more for all others."""
    table = np.zeros(129, np.uint8)
    for first, last, kind in (("0", "9", _DIGIT), ("A", "Z", _UPPER), ("a", "z", _LOWER)):
        table[ord(first) : ord(last) + 1] = kind
    table[[ord(c) for c in "_-./+="]] = _JOINER
    return table


_TABLE = _classes()
_NOWHERE: Places = np.empty(0, np.int64)


@dataclass(frozen=True, kw_only=True)
class Landmarks:
    """A text in usual width and what stands where."""

    text: str
    has_cjk: bool
    codes: npt.NDArray[np.unsignedinteger]
    """The code point of each character."""

    @cached_property
    def has_digits(self) -> bool:
        """Whether there is any: a text without has hardly any landmarks."""
        return _ANY_DIGIT.search(self.text) is not None

    @cached_property
    def digits(self) -> Places:
        """Where digits stand."""
        return np.flatnonzero(self._classes[1:-3] == _DIGIT) if self.has_digits else _NOWHERE

    @cached_property
    def clusters(self) -> list[tuple[int, int]]:
        """Start and end of seven digits or more that stand near each other."""
        if len(self.digits) < _MIN_CLUSTER_DIGITS:
            return []
        first, last = _split(self.digits, _MAX_GAP)
        counts = np.searchsorted(self.digits, last, "right") - np.searchsorted(self.digits, first)
        kept = counts >= _MIN_CLUSTER_DIGITS
        return list(zip(first[kept].tolist(), (last[kept] + 1).tolist(), strict=True))

    @cached_property
    def tokens(self) -> list[tuple[int, int]]:
        """Start and end of long words of letters, digits and ``_-./+=`` with a digit among them."""
        if not self.has_digits:
            return []
        inside = self._classes != 0
        edges = np.flatnonzero(inside[1:] != inside[:-1])
        first, last = edges[::2], edges[1::2]
        kept = last - first >= _MIN_TOKEN_CHARS
        if not kept.any():
            return []
        first, last = first[kept], last[kept]
        kept = np.searchsorted(self.digits, first) < np.searchsorted(self.digits, last)
        return list(zip(first[kept].tolist(), last[kept].tolist(), strict=True))

    @cached_property
    def after_letters(self) -> list[int]:
        """Where runs of digits begin that touch a letter before."""
        if not self.has_digits:
            return []
        starts, _ = self._runs
        return starts[(self._classes[starts] & (_UPPER | _LOWER)) != 0].tolist()

    @cached_property
    def before_names(self) -> list[int]:
        """Where numbers begin that a capital letter or digit follows, as a house's: 12 Elm, 12a Elm."""
        if not self.has_digits:
            return []
        starts, last = self._runs
        one, two, three = (self._classes[last + place] for place in (2, 3, 4))
        spaced = (self._padded[last + 2] == _SPACE) & ((two & (_UPPER | _DIGIT)) != 0)
        lettered = (
            ((one & (_UPPER | _LOWER)) != 0)
            & (self._padded[last + 3] == _SPACE)
            & ((three & (_UPPER | _DIGIT)) != 0)
        )
        return starts[spaced | lettered].tolist()

    @cached_property
    def _runs(self) -> tuple[Places, Places]:
        """First and last place of each run of digits."""
        return _split(self.digits, 1)

    @cached_property
    def _padded(self) -> npt.NDArray[np.unsignedinteger]:
        """The codes, with one free place before and three after."""
        padded = np.zeros(len(self.codes) + 4, self.codes.dtype)
        padded[1:-3] = self.codes
        return padded

    @cached_property
    def _classes(self) -> npt.NDArray[np.uint8]:
        """The class of each character, padded as the codes are."""
        return _TABLE.take(self._padded, mode="clip")


def survey(text: str) -> Landmarks:
    """The landmarks of a text; places are those of the text as it is."""
    if text.isascii():
        codes = np.frombuffer(text.encode("ascii"), np.uint8)
        return Landmarks(text=text, has_cjk=False, codes=codes)
    wide_codes, has_cjk = _codes(text), False
    if wide_codes.max() >= _FIRST_CJK:
        if bool((wide_codes - np.uint32(_FIRST_WIDE) <= _LAST_WIDE - _FIRST_WIDE).any()):
            text = narrow(text)
            wide_codes = _codes(text)
        has_cjk = bool((wide_codes - np.uint32(_FIRST_CJK) <= _LAST_CJK - _FIRST_CJK).any())
    return Landmarks(text=text, has_cjk=has_cjk, codes=wide_codes)


def _codes(text: str) -> npt.NDArray[np.uint32]:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)


def _split(places: Places, gap: int) -> tuple[Places, Places]:
    """First and last of the groups, of at least one place, whose neighbours are at most ``gap`` apart."""
    ends = np.flatnonzero(places[1:] - places[:-1] > gap)
    return places[np.concatenate(([0], ends + 1))], places[np.concatenate((ends, [len(places) - 1]))]
