"""Simplified to traditional Chinese and back, by the phrases of OpenCC (C. Kuang, BYVoid/OpenCC, Apache
licence).

Many simplified characters stand for several traditional ones and OpenCC chooses by phrase; a text that is
traditional already must not go through the choice again (里長 would become 裏長). Lines are therefore
converted only if they hold a character that the script asked for does not have: one that OpenCC changes,
and that the national standard of that script (Big5, GB 2312) lacks.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Literal

import numpy as np

from yanmo.corpus.edits import Edit, edit_between
from yanmo.errors import InputError

if TYPE_CHECKING:
    from opencc import OpenCC

Script = Literal["keep", "simplified", "traditional", "taiwan", "hong-kong"]

_CONVERSIONS = {"simplified": "t2s", "traditional": "s2t", "taiwan": "s2twp", "hong-kong": "s2hk"}
_IDEOGRAPHS = [
    *range(0x3400, 0x4DC0),
    *range(0x4E00, 0xA000),
    *range(0xF900, 0xFB00),
    *range(0x20000, 0x2A6E0),
]
_CLAUSE = re.compile("[^，。！？；：、,.!?;:\\s]+")


def convert(text: str, script: Script) -> list[Edit]:
    """Every line that is not in the script becomes so.

    Raises:
        InputError: if OpenCC is not installed.
    """
    if script == "keep" or text.isascii():
        return []
    converter, foreign = _converter(script)
    spans, done = [], 0
    for match in foreign.finditer(text):
        if match.start() < done:
            continue
        start = text.rfind("\n", done, match.start()) + 1 or done
        newline = text.find("\n", match.end())
        done = newline if newline >= 0 else len(text)
        spans.append((start, done))
    if not spans:
        return []
    before = [text[start:end] for start, end in spans]
    # All at once: a call for each line costs more than the conversion.
    after = converter.convert("\n".join(before)).split("\n")
    edits: list[Edit] = []
    for (start, _), line, changed in zip(spans, before, after, strict=True):
        edits += _changes(line, changed, start)
    return edits


def _changes(before: str, after: str, offset: int) -> list[Edit]:
    """The edits from a line to its conversion: runs of characters, or clauses where its length changes."""
    if len(before) == len(after):
        codes, changed = (
            np.frombuffer(t.encode("utf-32-le", "surrogatepass"), np.int32) for t in (before, after)
        )
        steps = np.diff((codes != changed).astype(np.int8), prepend=0, append=0)
        runs = zip(np.flatnonzero(steps > 0).tolist(), np.flatnonzero(steps < 0).tolist(), strict=True)
        return [Edit(offset + start, offset + end, after[start:end]) for start, end in runs]
    clauses = list(_CLAUSE.finditer(before))
    changed_clauses = _CLAUSE.findall(after)
    # No phrase reaches over punctuation, so that clauses stay as many as they are.
    if len(clauses) != len(changed_clauses):
        return edit_between(before, after, offset)
    pairs = zip(clauses, changed_clauses, strict=True)
    return [edit for match, clause in pairs for edit in _changed_clause(match, clause, offset)]


def _changed_clause(match: re.Match[str], clause: str, offset: int) -> list[Edit]:
    if len(match[0]) == len(clause):
        return _changes(match[0], clause, offset + match.start())
    return edit_between(match[0], clause, offset + match.start())


@cache
def _converter(script: Script) -> tuple[OpenCC, re.Pattern[str]]:
    """The converter, and the characters that show that a line is in the other script."""
    try:
        from opencc import OpenCC
    except ImportError:
        raise InputError(
            "conversion between Chinese scripts needs OpenCC", remedy="pip install yanmo[chinese]"
        ) from None
    converter = OpenCC(_CONVERSIONS[script])
    standard = "gb2312" if script == "simplified" else "big5"
    characters = [chr(code) for code in _IDEOGRAPHS]
    # One to a line: each by itself, without the phrases that neighbours would make.
    converted = converter.convert("\n".join(characters)).split("\n")
    foreign = [
        a for a, b in zip(characters, converted, strict=True) if a != b and not a.encode(standard, "ignore")
    ]
    return converter, re.compile(f"[{''.join(foreign)}]")
