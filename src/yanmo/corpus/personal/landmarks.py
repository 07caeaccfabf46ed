"""One quick look over a text for the places where something personal can begin.

Nearly every kind holds digits, so that a few array operations on the characters' codes say where to look:
clusters of seven digits, long words with digits in them, digits after letters, house numbers. Text that has
none of them costs these and some searches for literals.
"""

from __future__ import annotations

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

Places = npt.NDArray[np.int64]


def _classes() -> npt.NDArray[np.uint8]:
    """The class of each ASCII character, and one more for all others."""
    table = np.zeros(129, np.uint8)
    for first, last, kind in (("0", "9", _DIGIT), ("A", "Z", _UPPER), ("a", "z", _LOWER)):
        table[ord(first) : ord(last) + 1] = kind
    table[[ord(c) for c in "_-./+="]] = _JOINER
    return table


_TABLE = _classes()


@dataclass(frozen=True, kw_only=True)
class Landmarks:
    """A text in usual width and what stands where."""

    text: str
    has_cjk: bool
    classes: npt.NDArray[np.uint8]
    """The class of each character, with one free place before and three after."""
    digits: Places
    """Where digits stand."""

    @cached_property
    def runs(self) -> Places:
        """First and last place of each run of digits: two rows."""
        return _split(self.digits, 1)

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
        inside = self.classes[1:-3] != 0
        edges = np.flatnonzero(np.diff(inside, prepend=False, append=False))
        first, last = edges[::2], edges[1::2]
        kept = last - first >= _MIN_TOKEN_CHARS
        first, last = first[kept], last[kept]
        kept = np.searchsorted(self.digits, first) < np.searchsorted(self.digits, last)
        return list(zip(first[kept].tolist(), last[kept].tolist(), strict=True))

    @cached_property
    def after_letters(self) -> list[int]:
        """Where runs of digits begin that touch a letter before."""
        starts = self.runs[0]
        return starts[(self.classes[starts] & (_UPPER | _LOWER)) != 0].tolist()

    @cached_property
    def before_names(self) -> list[int]:
        """Where numbers begin that a capital letter or digit follows, as a house's: 12 Elm, 12a Elm."""
        starts, last = self.runs
        one, two, three = (self.classes[last + place] for place in (2, 3, 4))
        spaced = self.spaces[last + 2] & ((two & (_UPPER | _DIGIT)) != 0)
        lettered = (
            ((one & (_UPPER | _LOWER)) != 0) & self.spaces[last + 3] & ((three & (_UPPER | _DIGIT)) != 0)
        )
        return starts[spaced | lettered].tolist()

    spaces: npt.NDArray[np.bool_]
    """Whether a space stands there, shifted as ``classes``."""


def survey(text: str) -> Landmarks:
    """The landmarks of a text; places are those of the text as it is."""
    if text.isascii():
        codes: npt.NDArray[np.unsignedinteger] = np.frombuffer(text.encode("ascii"), np.uint8)
        classes, has_cjk = _TABLE[codes], False
    else:
        codes = _codes(text)
        if bool((codes - np.uint32(_FIRST_WIDE) <= _LAST_WIDE - _FIRST_WIDE).any()):
            text = narrow(text)
            codes = _codes(text)
        classes = _TABLE[np.minimum(codes, 128)]
        has_cjk = bool((codes - np.uint32(_FIRST_CJK) <= _LAST_CJK - _FIRST_CJK).any())
    return Landmarks(
        text=text,
        has_cjk=has_cjk,
        classes=np.pad(classes, (1, 3)),
        digits=np.flatnonzero(classes == _DIGIT),
        spaces=np.pad(codes == _SPACE, (1, 3)),
    )


def _codes(text: str) -> npt.NDArray[np.uint32]:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)


def _split(places: Places, gap: int) -> Places:
    """First and last of the groups whose neighbours are at most ``gap`` apart: two rows."""
    if not len(places):
        return np.empty((2, 0), np.int64)
    ends = np.flatnonzero(np.diff(places) > gap)
    return np.stack((places[np.append(0, ends + 1)], places[np.append(ends, len(places) - 1)]))
