"""Keys and tokens by the forms of those who issue them, private keys, and what is assigned to a name.

Issued keys are long words with digits, which the survey of a text has found already; words for a secret are
literals that ``str.find`` looks for. Text without either costs next to nothing.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator

from yanmo.corpus.personal.landmarks import Landmarks
from yanmo.corpus.personal.network import is_placeholder
from yanmo.corpus.personal.settings import Found, Kind

_MAX_PEM_CHARS = 20_000
_MIN_ENTROPY_BITS = 3.0
_MIN_TOKEN_CHARS = 16

_ISSUED = re.compile(
    "(?<![A-Za-z0-9_])(?:"
    + "|".join(
        (
            "(?:AKIA|ASIA)[A-Z0-9]{16}",
            "LTAI[A-Za-z0-9]{12,30}+",
            "AKID[A-Za-z0-9]{13,40}+",
            "gh[opsur]_[A-Za-z0-9]{30,255}+",
            "github_pat_[A-Za-z0-9_]{22,255}+",
            "glpat-[A-Za-z0-9_-]{20,64}+",
            "xox[abeoprs]-[A-Za-z0-9-]{10,250}+",
            "hooks[.]slack[.]com/services/[A-Za-z0-9_/]{20,100}+",
            "[prs]k_(?:live|test)_[A-Za-z0-9]{16,128}+",
            "AIza[0-9A-Za-z_-]{35}",
            "ya29[.][0-9A-Za-z_-]{20,500}+",
            "sk-(?:[a-z0-9]{2,10}-){0,2}+[A-Za-z0-9_-]{20,200}+",
            "hf_[A-Za-z0-9]{30,64}+",
            "npm_[A-Za-z0-9]{36}",
            "pypi-[A-Za-z0-9_-]{50,300}+",
            "SG[.][A-Za-z0-9_-]{20,24}[.][A-Za-z0-9_-]{39,50}",
            "eyJ[A-Za-z0-9_-]{8,4000}+[.]eyJ[A-Za-z0-9_-]{8,8000}+(?:[.][A-Za-z0-9_-]{0,2000}+)?",
        )
    )
    + ")"
)
_BEARER = re.compile(r"[Bb]earer ([A-Za-z0-9._~+/-]{20,4000}+=?=?)")

_PASSWORD_STARTS = ("assw", "ASSW", "pwd", "PWD", "asscode", "assphrase")
_TOKEN_STARTS = ("ecret", "ECRET", "oken", "OKEN", "redential", "key", "Key", "KEY")
_KEYS = frozenset({"key", "Key", "KEY"})
_BEFORE_KEY = re.compile(r"(?:api|access|private|secret|auth|app|master|encryption)[ _-]?\Z", re.IGNORECASE)
_CHINESE_PASSWORD_STARTS = ("密码", "口令", "密碼")
_CHINESE_TOKEN_STARTS = ("密钥", "秘钥", "令牌", "密鑰")
_SIGN = r"""["'”’]?[ \t]{0,8}+(?:(?:=>|:=|[:=：＝]|是|为|為|is(?=[ \t]))[ \t]{0,8}+)+["'“‘「]?"""
_PASSWORD_VALUE = re.compile(rf"[A-Za-z0-9_]{{0,12}}+{_SIGN}([!#-&*+./0-9:=?@A-Z\\^_`a-z|~-]{{4,128}}+)")
_TOKEN_VALUE = re.compile(rf"""[A-Za-z0-9_]{{0,16}}+{_SIGN}([A-Za-z0-9_+/=.~-]{{{_MIN_TOKEN_CHARS},512}}+)""")


def find_issued_keys(marks: Landmarks) -> Iterator[Found]:
    """Tokens that tell by their beginning who issued them, bearer tokens, and private keys."""
    text = marks.text
    for start, end in marks.tokens:
        for match in _ISSUED.finditer(text, start, end):
            if any(c.isdigit() for c in match[0]):
                yield Found(Kind.API_KEY, *match.span())
    if "earer " in text:
        for match in _BEARER.finditer(text):
            if _is_random(match[1]):
                yield Found(Kind.API_KEY, *match.span(1))
    yield from _private_keys(text)


def _private_keys(text: str) -> Iterator[Found]:
    place = text.find("-----BEGIN ")
    while place >= 0:
        head_end = text.find("-----", place + 11, place + 80)
        next_place = place + 11
        if head_end > 0 and "PRIVATE KEY" in text[place:head_end]:
            end = text.find("-----END ", head_end, place + _MAX_PEM_CHARS)
            if end > 0:
                tail = text.find("-----", end + 9, end + 80)
                next_place = tail + 5 if tail > 0 else end
            else:
                body = re.compile(r"[A-Za-z0-9+/=\s\\]{0,16000}+").match(text, head_end + 5)
                next_place = body.end() if body else head_end
            yield Found(Kind.PRIVATE_KEY, place, next_place)
        place = text.find("-----BEGIN ", next_place)


def find_assigned(marks: Landmarks) -> Iterator[Found]:
    """Values after a word for a secret and a sign of assignment: ``password = ...``, ``密码：...``."""
    text = marks.text
    if not marks.has_digits:
        return
    for words, chinese, form, kind in (
        (_PASSWORD_STARTS, _CHINESE_PASSWORD_STARTS, _PASSWORD_VALUE, Kind.PASSWORD),
        (_TOKEN_STARTS, _CHINESE_TOKEN_STARTS, _TOKEN_VALUE, Kind.API_KEY),
    ):
        for word in (*words, *chinese) if marks.has_cjk else words:
            place = text.find(word)
            while place >= 0:
                end = place + len(word)
                match = form.match(text, end)
                if (
                    match is not None
                    and _is_secret(kind, match, text)
                    and (word not in _KEYS or _BEFORE_KEY.search(text[max(0, place - 12) : place]))
                ):
                    value = match[1].rstrip(".")
                    yield Found(kind, match.start(1), match.start(1) + len(value))
                place = text.find(word, end)


def _is_secret(kind: Kind, match: re.Match[str], text: str) -> bool:
    value = match[1].rstrip(".")
    if is_placeholder(value):
        return False
    if kind is Kind.API_KEY:
        return _is_random(value)
    if not any(c.isdigit() for c in value) or not value.isascii():
        return False
    # A number after a longer name is a setting (password_timeout = 3600), a call or an attribute is code.
    if value.isdecimal():
        return "_" not in text[match.start() : match.start(1)]
    after = text[match.end() : match.end() + 1]
    return (
        after not in ("(", "[")
        and len(value) >= 5
        and not re.fullmatch(r"[A-Za-z_]+[0-9]?(?:\.[A-Za-z_]+[0-9]?)+", value)
    )


def _is_random(value: str) -> bool:
    """Whether letters and digits are mixed as chance would: Shannon's entropy of the characters."""
    if (
        not (any(c.isdigit() for c in value) and any(c.isalpha() for c in value))
        or len(value) < _MIN_TOKEN_CHARS
    ):
        return False
    counts = Counter(value)
    bits = -sum(n / len(value) * math.log2(n / len(value)) for n in counts.values())
    return bits >= _MIN_ENTROPY_BITS
