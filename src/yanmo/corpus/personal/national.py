"""National numbers with a checksum, beside China's and the United States' own.

Where the form alone says little, a number counts only after words that name it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from yanmo.corpus.personal.checks import is_date, is_luhn
from yanmo.corpus.personal.context import is_word, since_mask, words_before
from yanmo.corpus.personal.landmarks import Landmarks
from yanmo.corpus.personal.settings import Found, Kind

_VERHOEFF_TURN = (1, 5, 7, 6, 2, 8, 3, 0, 9, 4)
_CODICE_ODD_VALUES = (1, 0, 5, 7, 9, 13, 15, 17, 19, 21)
_CODICE_ODD = dict(
    zip(
        "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ",
        (*_CODICE_ODD_VALUES, *_CODICE_ODD_VALUES, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23),
        strict=True,
    )
)
_TAIWAN_REGIONS = "ABCDEFGHJKLMNPQRSTUVXYWZIO"


def _weighted(digits: str, weights: tuple[int, ...]) -> int:
    return sum(weight * int(digit) for weight, digit in zip(weights, digits, strict=False))


def is_verhoeff(digits: str) -> bool:
    """Verhoeff 1969: the dihedral group of ten elements (Aadhaar)."""
    check = 0
    for place, digit in enumerate(reversed(digits)):
        turned = int(digit)
        for _ in range(place % 8):
            turned = _VERHOEFF_TURN[turned]
        check = _dihedral(check, turned)
    return check == 0


def _dihedral(a: int, b: int) -> int:
    if a < 5:
        return (a + b) % 5 if b < 5 else (a + b - 5) % 5 + 5
    return (a - 5 - b) % 5 + 5 if b < 5 else (a - b) % 5


def is_aadhaar(digits: str) -> bool:
    """India."""
    return digits[0] in "23456789" and is_verhoeff(digits)


def is_cpf(digits: str) -> bool:
    """Brazil."""
    for size in (9, 10):
        rest = sum((size + 1 - i) * int(digits[i]) for i in range(size)) * 10 % 11 % 10
        if rest != int(digits[size]):
            return False
    return len(set(digits)) > 1


def is_nir(digits: str) -> bool:
    """France: sex, year, month, department, commune, order and 97 minus the rest."""
    month = int(digits[3:5])
    return digits[0] in "12" and 1 <= month <= 42 and 97 - int(digits[:13]) % 97 == int(digits[13:])


def is_korean(digits: str) -> bool:
    """Korea: date of birth, sex and century, order, check digit."""
    century = {"9": 1800, "0": 1800, "1": 1900, "2": 1900, "5": 1900, "6": 1900}.get(digits[6], 2000)
    if not is_date(century + int(digits[:2]), digits[2:4], digits[4:6]):
        return False
    return (11 - _weighted(digits[:12], (2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5)) % 11) % 10 == int(digits[12])


def is_pesel(digits: str) -> bool:
    """Poland."""
    month = int(digits[2:4]) % 20
    right = 1 <= month <= 12 and 1 <= int(digits[4:6]) <= 31
    return right and _weighted(digits, (1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1)) % 10 == 0


def is_nhs(digits: str) -> bool:
    """Britain's health service."""
    return -_weighted(digits[:9], (10, 9, 8, 7, 6, 5, 4, 3, 2)) % 11 == int(digits[9])


def is_german_tax(digits: str) -> bool:
    """Germany: ISO/IEC 7064 MOD 11,10."""
    product = 10
    for digit in digits[:10]:
        total = (int(digit) + product) % 10 or 10
        product = total * 2 % 11
    return digits[0] != "0" and (11 - product) % 10 == int(digits[10])


def is_japanese(digits: str) -> bool:
    """Japan's My Number."""
    rest = _weighted(digits[:11], (6, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2)) % 11
    return (0 if rest <= 1 else 11 - rest) == int(digits[11])


def is_spanish(value: str) -> bool:
    """Spain: DNI and NIE."""
    digits = value[:-1].replace("X", "0", 1).replace("Y", "1", 1).replace("Z", "2", 1)
    return "TRWAGMYFPDXBNJZSQVHLCKE"[int(digits) % 23] == value[-1]


def is_hong_kong(value: str) -> bool:
    """Hong Kong: one or two letters, six digits, check character."""
    padded = value.rjust(9)
    places = [36 if c == " " else int(c, 36) for c in padded[:8]]
    rest = -sum(weight * place for weight, place in zip(range(9, 1, -1), places, strict=True)) % 11
    return "0123456789A"[rest] == padded[8]


def is_taiwanese(value: str) -> bool:
    """Taiwan: a region's letter and nine digits."""
    region = _TAIWAN_REGIONS.index(value[0]) + 10
    total = region // 10 + region % 10 * 9 + _weighted(value[1:], (8, 7, 6, 5, 4, 3, 2, 1, 1))
    return value[1] in "1289" and total % 10 == 0


def is_codice_fiscale(value: str) -> bool:
    """Italy."""
    total = sum(_CODICE_ODD[c] for c in value[0:15:2])
    total += sum(int(c) if c.isdigit() else ord(c) - ord("A") for c in value[1:15:2])
    return chr(ord("A") + total % 26) == value[15]


SHAPES: dict[tuple[int, ...], Callable[[str], bool]] = {
    (3, 3, 3, 2): is_cpf,
    (6, 7): is_korean,
    (1, 2, 2, 2, 3, 3, 2): is_nir,
}
"""Groups of digits that are written so only in these numbers."""

_IDENTITY = re.compile(
    r"\bid\b|identity|身分|身份|证号|證號|证件|hkid|\bdni\b|\bnie\b|\bnif\b|taiwan|hong kong"
)
_FORMS: tuple[tuple[re.Pattern[str], Callable[[str], bool], bool], ...] = (
    (re.compile(r"[A-Z]{6}[0-9]{2}[A-EHLMPRST][0-9]{2}[A-Z][0-9]{3}[A-Z]"), is_codice_fiscale, True),
    (re.compile(r"[A-Z]{1,2}[0-9]{6}\([0-9A]\)"), is_hong_kong, True),
    (re.compile(r"[A-Z]{1,2}[0-9]{6}[0-9A]"), is_hong_kong, False),
    (re.compile(r"[A-Z][1289][0-9]{8}"), is_taiwanese, False),
    (re.compile(r"[XYZ]-?[0-9]{7}-?[A-HJ-NP-TV-Z]"), is_spanish, False),
)
"""Numbers with letters in them: form, check, and whether the form alone is enough."""


def find_lettered(marks: Landmarks) -> Iterator[Found]:
    """National numbers that begin with letters."""
    text = marks.text
    for place in marks.after_letters:
        start = place - 1
        while start > place - 6 and text[start - 1 : start].isascii() and text[start - 1 : start].isupper():
            start -= 1
        if is_word(text[start - 1 : start]):
            continue
        for form, check, is_distinct in _FORMS:
            match = form.match(text, start)
            if match is None or is_word(text[match.end() : match.end() + 1]):
                continue
            value = re.sub("[^0-9A-Z]", "", match[0])
            if check(value) and (is_distinct or _IDENTITY.search(since_mask(words_before(text, start)))):
                yield Found(Kind.NATIONAL_ID, *match.span())
                break


BY_WORD: tuple[tuple[re.Pattern[str], int, Callable[[str], bool]], ...] = (
    (re.compile(r"aadhaar|uidai|आधार"), 12, is_aadhaar),
    (re.compile(r"\bcpf\b"), 11, is_cpf),
    (re.compile(r"pesel"), 11, is_pesel),
    (re.compile(r"\bnhs\b"), 10, is_nhs),
    (re.compile(r"steuer|\bidnr\b|\btin\b"), 11, is_german_tax),
    (re.compile(r"my number|マイナンバー|個人番号"), 12, is_japanese),
    (re.compile(r"\bsin\b|social insurance"), 9, is_luhn),
    (re.compile(r"\bnir\b|s[ée]curit[ée] sociale|\binsee\b"), 15, is_nir),
    (re.compile(r"resident registration|주민등록"), 13, is_korean),
)
"""Numbers that only the words before them tell from others: words, digits, check."""
