"""Steps for hard-wrapped texts: hyphens that only break words, lines that only fill a width, soft hyphens.

Nothing is touched unless the whole text is plainly broken at a width (``layout``), and then only where a
line ends because of it; headings, items, rows, verses and code keep their lines.

A hyphen at a line's end belongs to the word (well-known) or to the break (recog-nition). How the document
writes the word elsewhere decides, then an English dictionary, and last the rule that breaks outnumber
compounds. A hyphen of the second kind is first made a soft one, which is what it is; joining the lines
drops it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from yanmo.corpus.cleaning.layout import (
    UNSPACED,
    Margin,
    find_margin,
    goes_on,
    indent,
    is_structure,
    reach,
)
from yanmo.corpus.cleaning.words import english_words
from yanmo.corpus.edits import Edit

_LAST_PART = re.compile(r"[^\W\d_]+(?=[-\u2010]\Z)")
_FIRST_PART = re.compile(r"[^\W\d_]+")
_WORD = re.compile(r"[^\W\d_]+(?:[-\u2010][^\W\d_]+)*")
_MAX_PART_CHARS = 40
_SOFT_HYPHENS = re.compile("\u00ad+(?:\n[^\\S\n]*(?=[^\\W\\d_]))?")
_UNSPACED = re.compile(f"[{UNSPACED}]")
_UNSPACED_MARKS = "，。、；：？！）》」』】”’…"
_DASHES = "-\u2010–—/"
_FENCE = re.compile("\\s*(?:```|~~~)")


def mend_hyphenation(text: str, *, paged: bool = False) -> list[Edit]:
    """Hyphens that are there only because a line ended become soft hyphens."""
    if "-\n" not in text and "\u2010\n" not in text:
        return []
    margin = find_margin(text, paged=paged)
    if margin is None:
        return []
    edits, known = [], None
    for start, end in _breaks(text, margin):
        last = _LAST_PART.search(text, max(0, start - _MAX_PART_CHARS), start)
        first = _FIRST_PART.match(text, end, end + _MAX_PART_CHARS)
        if last is None or first is None:
            continue
        if known is None:
            known = Counter(word.lower() for word in _WORD.findall(text))
        if first[0][0].islower() and _is_broken(last[0].lower(), first[0].lower(), known):
            edits.append(Edit(start - 1, start, "\u00ad"))
    return edits


def join_lines(text: str, *, paged: bool = False) -> list[Edit]:
    """Line ends that are there only because a width was full become spaces, or nothing where none stand."""
    margin = find_margin(text, paged=paged)
    return [_join(text, start, end) for start, end in _breaks(text, margin)] if margin else []


def remove_soft_hyphens(text: str) -> list[Edit]:
    """Soft hyphens are invisible within a line, and break a word at its end."""
    if "\u00ad" not in text:
        return []
    return [Edit(m.start(), m.end(), "") for m in _SOFT_HYPHENS.finditer(text)]


def flows_on(before: str, after: str) -> bool:
    """Whether a paragraph that ends a page with one line goes on with the other."""
    return (
        goes_on(before, after)
        and not is_structure(before)
        and not is_structure(after)
        and indent(after) <= indent(before)
    )


def _breaks(text: str, margin: Margin) -> Iterator[tuple[int, int]]:
    """Start and end of the white space at each line end that the margin made."""
    place, fenced = 0, False
    before: str | None = None
    for line in text.split("\n"):
        if _FENCE.match(line):
            fenced, plain = not fenced, False
        else:
            plain = not fenced and bool(line) and not line.isspace() and not is_structure(line)
        if plain and before is not None and _is_filled(before, line, margin):
            yield place - 1 - (len(before) - len(before.rstrip())), place + len(line) - len(line.lstrip())
        place += len(line) + 1
        before = line if plain else None


def _is_filled(line: str, following: str, margin: Margin) -> bool:
    if indent(following) > indent(line) + 1 or not margin.fills(line, following):
        return False
    # Roughly filled lines prove less: the sentence must go on too, or the line be nearly full.
    return not margin.slack or goes_on(line, following) or reach(line, following)[1] >= margin.width


def _join(text: str, start: int, end: int) -> Edit:
    last, first = text[start - 1], text[end]
    if last == "\u00ad":
        return Edit(start - 1, end, "")
    dashed = last in _DASHES and not text[start - 2 : start - 1].isspace()
    unspaced = (_UNSPACED.match(last) is not None) + (_UNSPACED.match(first) is not None)
    # Beside a letter of another script no space is written, beside its punctuation one is.
    bare = unspaced == 2 or (
        unspaced == 1 and (last.isalnum() or last in _UNSPACED_MARKS) and first.isalnum()
    )
    return Edit(start, end, "" if dashed or bare else " ")


def _is_broken(last: str, first: str, known: Counter[str]) -> bool:
    """Whether the hyphen between the two is only that of a line end."""
    joined, compound = last + first, f"{last}-{first}"
    if known[joined] or known[compound]:
        return known[joined] >= known[compound]
    words = english_words()
    if joined in words:
        return True
    return not (last in words and first in words)
