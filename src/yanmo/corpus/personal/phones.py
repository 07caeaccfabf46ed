"""Telephone numbers: international with a plus, Chinese, North American, British; others by the words before.

ITU-T E.164 (country codes, 15 digits at most), the numbering plans of China, North America and Britain. These
few rules are in place of a library of every country's plan: they are quick, and what they let pass without a
plus, the words before must name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from yanmo.corpus.personal.context import is_word
from yanmo.corpus.personal.landmarks import Landmarks
from yanmo.corpus.personal.settings import Found, Kind

_SIGNS = " ()\\-/\u00a0\u2002-\u200a\u2010-\u2015\u202f\u2212\u3000（）·"
JOINER = rf"(?:\.|[{_SIGNS}]{{1,3}}+)?+"
"""What may stand between two digits of a number; a dot and a space end a sentence."""

_PLUS = re.compile(rf"\+(?:{JOINER}[0-9]){{7,30}}+")
_DIGITS = re.compile("[0-9]+")
_EXTENSION = re.compile(r",? ?(?:ext\.?|x|转|轉|分机) ?[0-9]{1,5}(?![0-9])")
_EXTENSION_AT_END = re.compile(_EXTENSION.pattern + r"\Z")
_MOBILE = re.compile(r"1(?:3[0-9]|4[0-9]|5[0-35-9]|6[2567]|7[0-8]|8[0-9]|9[0-35-9])[0-9]{8}")
_LANDLINE = re.compile(r"0(?:10|2[0-57-9])[2-8][0-9]{7}|0[3-9][0-9]{2}[2-8][0-9]{6,7}")
_SERVICE = re.compile(r"[48]00[0-9]{7}")
_AMERICAN = re.compile(r"1?[2-9][0-8][0-9][2-9][0-9]{6}")
_BRITISH = re.compile(r"0(?:7[1-9][0-9]{8}|2(?:0[378]|[3489][0-9])[0-9]{7}|1[1-9][0-9]{7,8}|[38][0-9]{8,9})")
_TWO_DIGIT_CODES = frozenset(
    [
        "20",
        "27",
        "30",
        "31",
        "32",
        "33",
        "34",
        "36",
        "39",
        "40",
        "41",
        "43",
        "44",
        "45",
        "46",
        "47",
        "48",
        "49",
        "51",
        "52",
        "53",
        "54",
        "55",
        "56",
        "57",
        "58",
        "60",
        "61",
        "62",
        "63",
        "64",
        "65",
        "66",
        "81",
        "82",
        "84",
        "86",
        "90",
        "91",
        "92",
        "93",
        "94",
        "95",
        "98",
    ]
)
_THREE_DIGIT_BEGINNINGS = frozenset(
    [
        "21",
        "22",
        "23",
        "24",
        "25",
        "26",
        "29",
        "35",
        "37",
        "38",
        "42",
        "50",
        "59",
        "67",
        "68",
        "69",
        "80",
        "85",
        "87",
        "88",
        "96",
        "97",
        "99",
    ]
)
_LONGEST = {
    "7": 11,
    "33": 11,
    "34": 11,
    "39": 13,
    "44": 12,
    "49": 14,
    "61": 11,
    "65": 10,
    "81": 12,
    "82": 12,
} | {
    "90": 12,
    "91": 12,
    "852": 11,
    "853": 11,
    "886": 12,
}
"""Digits with the code, where fewer than the 15 of E.164 are all there are."""

CHINESE_SHAPES = frozenset(
    {
        (11,),
        (3, 4, 4),
        (3, 8),
        (4, 7),
        (4, 8),
        (4, 4, 4),
        (4, 3, 4),
        (3, 3, 4),
        (3, 3, 5),
        (12,),
        (2, 3, 4, 4),
    }
    | {(2, 11), (13,), (4, 3, 4, 4), (4, 11), (3, 7), (10,), (3, 4, 3), (5, 6), (2, 2, 4, 4)}
)
AMERICAN_SHAPES = frozenset({(3, 3, 4), (1, 3, 3, 4)})
BRITISH_SHAPES = frozenset({(5, 6), (5, 3, 3), (3, 4, 4), (4, 3, 4), (11,), (4, 7), (5, 5), (4, 6), (3, 8)})


def country_code(digits: str) -> str:
    """The code that an international number begins with; empty where there is none."""
    if digits[:1] in ("1", "7"):
        return digits[0]
    if digits[:2] in _TWO_DIGIT_CODES:
        return digits[:2]
    return digits[:3] if digits[:2] in _THREE_DIGIT_BEGINNINGS else ""


def is_international(digits: str) -> bool:
    """Whether digits after a plus are a telephone number."""
    code = country_code(digits)
    national = digits[len(code) :]
    if not code or len(national) < 6 or len(digits) > _LONGEST.get(code, 15):
        return False
    if code == "1":
        return _AMERICAN.fullmatch(digits) is not None and len(digits) == 11
    if code == "86":
        return is_chinese(national) or is_chinese("0" + national)
    # Italy's numbers begin with a zero, none with two.
    return len(digits) >= 9 and not national.startswith("00")


def is_chinese(digits: str) -> bool:
    """A mobile or landline number, or a service's, as dialled in China."""
    return any(form.fullmatch(digits) for form in (_MOBILE, _LANDLINE, _SERVICE))


def is_chinese_mobile(digits: str) -> bool:
    """Eleven digits of a mobile telephone."""
    return _MOBILE.fullmatch(digits) is not None


def is_american(digits: str) -> bool:
    """Ten digits of the North American plan, or eleven with its 1."""
    return _AMERICAN.fullmatch(digits) is not None and len(digits) == 10 + (digits[0] == "1")


def is_british(digits: str) -> bool:
    """Ten or eleven digits as dialled in Britain."""
    return _BRITISH.fullmatch(digits) is not None


def phone_by_form(sizes: tuple[int, ...], digits: str, *, named: bool) -> bool:
    """Whether groups of digits without a plus are a telephone number.

    Args:
        sizes: digits in each group.
        digits: all of them.
        named: whether the words before speak of telephones.
    """
    bare = digits
    if sizes in CHINESE_SHAPES:
        if digits.startswith("0086") or (digits.startswith("86") and len(digits) == 13):
            bare = digits.removeprefix("00").removeprefix("86")
        if _MOBILE.fullmatch(bare) or (len(sizes) > 1 and is_chinese(bare)):
            return True
        if _LANDLINE.fullmatch(bare) and (named or bare[1] in "12"):
            return True
        if named and _SERVICE.fullmatch(bare):
            return True
    if sizes in AMERICAN_SHAPES and is_american(digits):
        return True
    if sizes in BRITISH_SHAPES and is_british(digits) and (named or len(sizes) > 1 or digits[1] == "7"):
        return True
    return named and len(sizes) == 1 and is_american(digits)


def find_international(marks: Landmarks) -> Iterator[Found]:
    """Numbers with a plus."""
    text = marks.text
    for match in _PLUS.finditer(text):
        start, end = match.span()
        before = text[start - 1] if start else " "
        if is_word(before) or is_word(text[end : end + 1]):
            continue
        end = _end_of_international(text, start, end)
        if end:
            wrapped = before == "(" and ")" in text[start:end]
            yield Found(Kind.PHONE, start - wrapped, with_extension(text, end))


def _end_of_international(text: str, start: int, end: int) -> int:
    """Where the most groups of digits end that are a number together; 0 where none are."""
    for group in reversed(list(_DIGITS.finditer(text, start, end))):
        # The zero of calls within the country does not count: +49 (0)30.
        digits = "".join(filter(str.isdecimal, text[start : group.end()].replace("(0)", "", 1)))
        if is_international(digits):
            return group.end()
    return 0


def with_extension(text: str, end: int) -> int:
    """Where the number ends when its extension belongs to it."""
    extension = _EXTENSION.match(text, end)
    return extension.end() if extension else end


def without_extension(number: str) -> str:
    """The number that an extension is dialled after."""
    return _EXTENSION_AT_END.sub("", number)
