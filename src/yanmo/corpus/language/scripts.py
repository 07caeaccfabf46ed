"""The writing system of each character, by Unicode's blocks (The Unicode Standard, Scripts.txt).

Every character has a class: something between words, a digit, a mark that program code is full of, or a
letter of a script. Ideographs have four: those of everyone, and those that only simplified Chinese,
traditional Chinese or Japanese uses. Which these are is asked of the national character sets: GB 2312
holds the simplified forms, Big5 the traditional ones, JIS X 0208 those of Japan.
"""

from __future__ import annotations

from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

OTHER: Final = 0
SPACE: Final = 1
DIGIT: Final = 2
CODE_MARK: Final = 3
WIDE_MARK: Final = 4
"""Punctuation as wide as an ideograph: a unit of its own in text without spaces."""

HAN: Final = 5
HAN_SIMPLIFIED: Final = 6
HAN_TRADITIONAL: Final = 7
HAN_JAPANESE: Final = 8
KANA: Final = 9
FIRST_SCRIPT: Final = 10
"""From here on one class a script, in the order of ``SCRIPTS``. Letters are all classes from ``HAN`` on."""

# Not those that prose has too: brackets, slashes, asterisks.
_CODE_MARKS = "{}<>=;_#$&|\\+@^~`"
# First and last character of each range, in hexadecimal. Ends of lines and tabs are spaces here.
_SPACES = "9-d 1c-20 85 a0 1680 2000-200a 2028-2029 202f 205f 3000"
_DIGITS = "30-39 660-669 6f0-6f9 966-96f 9e6-9ef e50-e59 ff10-ff19"
_WIDE_MARKS = "3001-3004 3008-3020 3030 303d ff01-ff0f ff1a-ff20 ff3b-ff40 ff5b-ff65"
_HAN = "3005-3007 3021-3029 3105-312f 3400-4dbf 4e00-9fff f900-faff 20000-3ffff"
_KANA = "3041-3096 309d-309f 30a1-30fa 30fc-30ff 31f0-31ff ff66-ff9f"
_BLOCKS: dict[str, str] = {
    "Latn": "41-5a 61-7a aa ba c0-d6 d8-f6 f8-24f 250-2af 1e00-1eff 2c60-2c7f a720-a7ff ff21-ff3a ff41-ff5a",
    "Grek": "370-373 376-37d 37f-3ff 1f00-1fff",
    "Cyrl": "400-52f 1c80-1c8f 2de0-2dff a640-a69f",
    "Armn": "531-58a",
    "Hebr": "591-5f4",
    "Arab": "610-61a 620-65f 66e-6d3 6d5-6ef 6fa-6ff 750-77f 8a0-8ff fb50-fdff fe70-fefc",
    "Thaa": "780-7bf",
    "Deva": "900-963 970-97f a8e0-a8ff",
    "Beng": "980-9e5 9f0-9ff",
    "Guru": "a00-a7f",
    "Gujr": "a80-aff",
    "Orya": "b00-b7f",
    "Taml": "b80-bff",
    "Telu": "c00-c7f",
    "Knda": "c80-cff",
    "Mlym": "d00-d7f",
    "Sinh": "d80-dff",
    "Thai": "e01-e3a e40-e4e",
    "Laoo": "e80-eff",
    "Tibt": "f00-fff",
    "Mymr": "1000-109f a9e0-a9ff aa60-aa7f",
    "Geor": "10a0-10ff 1c90-1cbf 2d00-2d2f",
    "Hang": "1100-11ff 3130-318f a960-a97f ac00-d7ff ffa0-ffdc",
    "Ethi": "1200-139f 2d80-2ddf ab00-ab2f",
    "Khmr": "1780-17ff",
    "Mong": "1800-18af",
}
SCRIPTS: Final = tuple(_BLOCKS)
"""ISO 15924 codes of the scripts with a class each."""

NUM_CLASSES: Final = FIRST_SCRIPT + len(SCRIPTS)
UNSPACED_SCRIPTS: Final = ("Thai", "Laoo", "Tibt", "Mymr", "Khmr")
"""Written without spaces between words, besides ideographs and kana."""

_LAST_CODE = 0x40000


def codes_of(text: str) -> NDArray[np.uint32]:
    """The code point of each character."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)


def classes_of(codes: NDArray[np.uint32]) -> NDArray[np.uint8]:
    """The class of each character."""
    return _class_table()[np.minimum(codes, _LAST_CODE)]


@cache
def _class_table() -> NDArray[np.uint8]:
    table = np.full(_LAST_CODE + 1, OTHER, np.uint8)
    for index, blocks in enumerate(_BLOCKS.values()):
        _mark(table, blocks, FIRST_SCRIPT + index)
    for ranges, kind in (
        (_SPACES, SPACE),
        (_DIGITS, DIGIT),
        (_WIDE_MARKS, WIDE_MARK),
        (_HAN, HAN),
        (_KANA, KANA),
    ):
        _mark(table, ranges, kind)
    table[[ord(mark) for mark in _CODE_MARKS]] = CODE_MARK
    sets = {name: _ideographs(name) for name in ("gb2312", "big5", "shift_jis")}
    for own, others, kind in (
        ("gb2312", ("big5", "shift_jis"), HAN_SIMPLIFIED),
        ("big5", ("gb2312",), HAN_TRADITIONAL),
        ("shift_jis", ("gb2312", "big5"), HAN_JAPANESE),
    ):
        only = sets[own].difference(*(sets[other] for other in others))
        table[sorted(only)] = kind
    return table


def _mark(table: NDArray[np.uint8], ranges: str, kind: int) -> None:
    for one in ranges.split():
        first, _, last = one.partition("-")
        table[int(first, 16) : int(last or first, 16) + 1] = kind


def _ideographs(encoding: str) -> set[int]:
    """The unified ideographs of a national character set of two bytes."""
    first = range(0x81, 0xFD)
    pairs = (bytes((a, b)).decode(encoding, "ignore") for a in first for b in range(0x40, 0xFF))
    return {
        ord(character) for character in pairs if len(character) == 1 and "\u4e00" <= character <= "\u9fff"
    }
