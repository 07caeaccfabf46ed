"""Numbers in groups of digits: identity numbers, cards, telephones, accounts, passports.

One pass finds every cluster of at least seven digits with their separators; plain text has few. What a
cluster is told by is the sizes of its groups (a table), then by checksums and ranges, and where those say
little by the words before it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from yanmo.corpus.personal import national, phones
from yanmo.corpus.personal.checks import has_issuer, is_card, is_credit_code, is_resident_id, is_ssn
from yanmo.corpus.personal.context import (
    is_word,
    since_mask,
    speaks_of_orders,
    speaks_of_phones,
    stands_alone,
    words_before,
)
from yanmo.corpus.personal.landmarks import Landmarks
from yanmo.corpus.personal.settings import Found, Kind

_CLUSTER = re.compile(rf"[0-9](?:{phones.JOINER}[0-9]){{6,199}}+")
_GROUP = re.compile("[0-9]+")
_SPACED = re.compile(r"[\s\u00a0]")

_CARD_SHAPES = frozenset(
    {(size,) for size in range(13, 20)}
    | {
        (4, 4, 4, 4),
        (4, 4, 4, 4, 1),
        (4, 4, 4, 4, 2),
        (4, 4, 4, 4, 3),
        (4, 6, 5),
        (4, 6, 4),
        (6, 10),
        (6, 13),
    }
)
_ID_SHAPES = frozenset({(18,), (17,), (15,), (6, 8, 4), (6, 8, 3), (6, 4, 4, 4), (6, 4, 4, 3)})
_SSN_SHAPE = (3, 2, 4)
_SHAPES: frozenset[tuple[int, ...]] = frozenset(
    {*_CARD_SHAPES, *_ID_SHAPES, _SSN_SHAPE, *national.SHAPES}
    | phones.CHINESE_SHAPES
    | phones.AMERICAN_SHAPES
    | phones.BRITISH_SHAPES
)
_BEGINNINGS = frozenset(shape[:size] for shape in _SHAPES for size in range(1, len(shape) + 1))
_DATE_SHAPES = frozenset({(4, 2, 2), (4, 1, 2), (4, 2, 1), (2, 2, 4), (1, 2, 4), (2, 1, 4), (4, 2, 2, 2)})

_ID_WORDS = re.compile(r"身份证|身分证|证件|公民|identity|\bid (?:card|no|number)|resident")
_SSN_WORDS = re.compile(r"\bssn\b|social security|社会安全号|社安号")
_PASSPORT_WORDS = re.compile(r"passport|护照|護照|通行证|通行證")
_ACCOUNT_WORDS = re.compile(
    r"account|acct|a/c\b|账号|帐号|账户|帐户|帳號|帳戶|卡号|卡號|银行卡|对公|routing|开户"
)
_PASSPORT = re.compile(r"[A-Z]{0,2}[0-9]{7,9}(?![A-Za-z0-9])")
_CREDIT_CODE = re.compile(r"[0-9A-Za-z]{18}(?![0-9A-Za-z])")
_ACCOUNT_DIGITS, _PHONE_DIGITS = range(8, 22), range(7, 16)
RESERVED = "000"
"""Accounts and passports that begin so are pseudonyms."""


class _Groups(NamedTuple):
    """Neighbouring groups of a cluster, of a shape that is known."""

    start: int
    end: int
    sizes: tuple[int, ...]
    digits: str
    is_crowded: bool
    """Further groups follow or go before in the same manner, so that the shape may be chance."""


def find_numbers(marks: Landmarks) -> Iterator[Found]:
    """Every kind of number that is told by its digits, their groups, and the words before."""
    text = marks.text
    clusters = (c.span() for a, b in marks.clusters for c in _CLUSTER.finditer(text, a, b))
    for start, end in clusters:
        spans = [group.span() for group in _GROUP.finditer(text, start, end)]
        named = False
        for groups in _known_shapes(text, spans):
            found = _judge(text, groups)
            if found is not None:
                named = named or groups.start == start
                yield found
        yield from _credit_codes(text, spans)
        if not named:
            yield from _named_by_words(text, spans)


def _known_shapes(text: str, spans: list[tuple[int, int]]) -> Iterator[_Groups]:
    for first in range(len(spans)):
        sizes: tuple[int, ...] = ()
        for last in range(first, len(spans)):
            sizes += (spans[last][1] - spans[last][0],)
            if sizes not in _BEGINNINGS:
                break
            if sizes in _SHAPES:
                groups = _groups(text, spans, first, last, sizes)
                if groups is not None:
                    yield groups


def _groups(
    text: str, spans: list[tuple[int, int]], first: int, last: int, sizes: tuple[int, ...]
) -> _Groups | None:
    """The groups from first to last; none where they are glued to a further one."""
    start, end = spans[first][0], spans[last][1]
    inner = text[spans[first][1] : spans[first + 1][0]] if last > first else ""
    outer = []
    if first:
        outer.append(text[spans[first - 1][1] : start])
    if last + 1 < len(spans):
        outer.append(text[end : spans[last + 1][0]])
    lone = last == first and sizes[0] >= 10
    for joiner in outer:
        if _SPACED.search(joiner) is None and not (joiner == "/" and (lone or inner not in ("/", ""))):
            return None
    if not _is_balanced(text, start, end):
        return None
    digits = "".join(text[a:b] for a, b in spans[first : last + 1])
    return _Groups(start, end, sizes, digits, bool(inner) and inner in outer)


def _is_balanced(text: str, start: int, end: int) -> bool:
    """Whether each bracket has its other, the first perhaps just before: (021) 6888."""
    written = text[start:end].replace("（", "(").replace("）", ")")
    opened = text[start - 1 : start] in ("(", "（") and ")" in written
    return written.count("(") + opened == written.count(")")


def _judge(text: str, groups: _Groups) -> Found | None:
    start, end, sizes, digits, is_crowded = groups
    if sizes in _ID_SHAPES:
        found = _resident_id(text, groups)
        if found is not None:
            return found
    if not stands_alone(text, start, end):
        return None
    if sizes in national.SHAPES and national.SHAPES[sizes](digits):
        return Found(Kind.NATIONAL_ID, start, end)
    if sizes == (18,) and is_credit_code(digits):
        return Found(Kind.CREDIT_CODE, start, end)
    before = words_before(text, start)
    if speaks_of_orders(before):
        return None
    if sizes in _CARD_SHAPES and is_card(digits):
        return Found(Kind.CARD, start, end)
    if sizes == _SSN_SHAPE and is_ssn(digits) and not is_crowded:
        return Found(Kind.SSN, start, end)
    if _is_national(since_mask(before), digits):
        return Found(Kind.NATIONAL_ID, start, end)
    if not is_crowded and phones.phone_by_form(sizes, digits, named=speaks_of_phones(before[-24:])):
        return _phone(text, start, end)
    return None


def _resident_id(text: str, groups: _Groups) -> Found | None:
    start, end, sizes, digits, _ = groups
    if sum(sizes) == 17 and text[end : end + 1] in ("X", "x"):
        digits, end = digits + "X", end + 1
    if not is_resident_id(digits) or is_word(text[start - 1 : start]) or is_word(text[end : end + 1]):
        return None
    if len(digits) == 15 and _ID_WORDS.search(since_mask(words_before(text, start))) is None:
        return None
    return Found(Kind.RESIDENT_ID, start, end)


def _phone(text: str, start: int, end: int) -> Found:
    opened = text[start - 1 : start] in ("(", "（") and re.search("[)）]", text[start:end]) is not None
    return Found(Kind.PHONE, start - opened, phones.with_extension(text, end))


def _credit_codes(text: str, spans: list[tuple[int, int]]) -> Iterator[Found]:
    """Codes with letters: eight digits, or a letter and seven, then ten of both."""
    for start, end in spans:
        if 7 <= end - start < 18:
            begin = start - is_word(text[start - 1 : start])
            if is_word(text[begin - 1 : begin]) or begin < 0:
                continue
            match = _CREDIT_CODE.match(text, begin)
            if match is not None and is_credit_code(match[0].upper()):
                yield Found(Kind.CREDIT_CODE, begin, match.end())


def _named_by_words(text: str, spans: list[tuple[int, int]]) -> Iterator[Found]:
    """The number that the words before a cluster announce."""
    start = spans[0][0]
    if text[start - 1 : start] == "+":
        return
    before = since_mask(words_before(text, start))
    if _PASSPORT_WORDS.search(before):
        letters = len(before) - len(before.rstrip("abcdefghijklmnopqrstuvwxyz"))
        match = _PASSPORT.match(text, start - letters) if letters <= 2 else None
        if match is not None and not text.startswith(RESERVED, start):
            yield Found(Kind.PASSPORT, *match.span())
            return
    count = _one_number(text, spans)
    if not count or not stands_alone(text, start, spans[count - 1][1]):
        return
    end, sizes = spans[count - 1][1], tuple(b - a for a, b in spans[:count])
    digits = "".join(text[a:b] for a, b in spans[:count])
    kind = _kind_by_words(before, sizes, digits)
    if kind is Kind.PHONE:
        yield _phone(text, start, end)
    elif kind is not None:
        yield Found(kind, start, end)


def _one_number(text: str, spans: list[tuple[int, int]]) -> int:
    """How many groups are one number: those with the same joiner after the first."""
    count, size, usual = 0, 0, ""
    for place, (start, end) in enumerate(spans):
        size += end - start
        joiner = text[spans[place - 1][1] : start].strip("()（） ") if place else ""
        if size > _ACCOUNT_DIGITS[-1] or (place > 1 and joiner != usual):
            break
        count, usual = place + 1, joiner
    return count


def _is_national(before: str, digits: str) -> bool:
    return any(
        len(digits) == size and words.search(before) and check(digits)
        for words, size, check in national.BY_WORD
    )


def _kind_by_words(before: str, sizes: tuple[int, ...], digits: str) -> Kind | None:
    if len(digits) == 9 and _SSN_WORDS.search(before) and is_ssn(digits):
        return Kind.SSN
    if _is_national(before, digits):
        return Kind.NATIONAL_ID
    if (
        sizes in _DATE_SHAPES
        or (sizes == (4, 4) and {digits[:2], digits[4:6]} <= {"18", "19", "20"})
        or digits.startswith(RESERVED)
    ):
        return None
    if len(digits) in _PHONE_DIGITS and len(sizes) <= 5 and speaks_of_phones(before[-16:]):
        return Kind.PHONE
    if len(digits) in _ACCOUNT_DIGITS and _ACCOUNT_WORDS.search(before[-24:]):
        # What has the form of a card is a card by its checksum or nothing.
        return None if len(digits) > 14 and has_issuer(digits) else Kind.BANK_ACCOUNT
    return None
