"""Steps for texts that were laid out on pages: what repeats at their edges goes, and the breaks between them.

Form feeds mark where pages end. A line at a page's top or bottom is a running line if lines equal to it,
up to their numbers, stand at the same edge of neighbouring pages: titles of a chapter repeat on its own
pages alone, and alternate between left and right ones. Where nothing but a number is repeated it must
also count the pages.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

from yanmo.corpus.cleaning.wraps import flows_on
from yanmo.corpus.edits import Edit

_EDGE_LINES = 4
_MAX_LINE_CHARS = 200
_NEIGHBOURS = 4
_MIN_REPEATS = 3
# A closing brace or an "end" at the bottom of pages of code is no running title.
_MIN_LETTERS = 4
_LETTERS = re.compile(r"[^\W\d_]")
_IDEOGRAPHS = re.compile("[\u3400-\u9fff]{2}")
_ROMAN = {"i": 1, "v": 5, "x": 10, "l": 50, "c": 100}
_NUMBER = re.compile(
    r"\d+|(?<![^\W\d])[ivxlc]{1,7}(?![^\W\d])|(?<=第)[〇零一二三四五六七八九十百]+(?=[页頁])"
)
_PAGE_WORDS = re.compile(
    r"[-–—~·.\[(|\s]*(?:(?:page|p\.|pg\.|seite|página|стр\.)\s*0(?:\s*(?:of|/|von|de|из)\s*0)?"
    r"|0\s*(?:of|/)\s*0|第\s*0\s*[页頁](?:\s*[,，/|]?\s*[共总總]\s*0\s*[页頁])?|0\s*[页頁]"
    r"|共\s*0\s*[页頁]\s*第\s*0\s*[页頁]"
    r"|[-–—~·\[(|]\s*0)[-–—~·.\])|\s]*",
    re.IGNORECASE,
)
# Page numbers that stand in a text whose page breaks are lost; only what says by itself that it is one.
_LOOSE = re.compile(
    r"\n[ \t]*(?:[-–—][ ]?)?(?:(?:Page|PAGE|page)[ ](\d{1,5})(?:[ ](?:of|/)[ ]\d{1,5})?"
    r"|第[ ]?(\d{1,5})[ ]?[页頁](?:[ ]?[,，/]?[ ]?[共总總][ ]?\d{1,5}[ ]?[页頁])?)"
    r"(?:[ ]?[-–—])?[ \t]*(?=\n|\Z)"
)


class _Edge(NamedTuple):
    """A line near the top or the bottom of a page."""

    page: int
    start: int
    end: int
    key: str
    """The line with 0 for each number."""
    numbers: tuple[int, ...]


def remove_running_lines(text: str) -> list[Edit]:
    """Drop the headers, footers and page numbers of a text with form feeds at its page ends."""
    if "\f" not in text:
        return _loose_page_numbers(text)
    doomed: set[tuple[int, int]] = set()
    for pages in zip(*_edges(text), strict=True):
        running = _running([line for page in pages for line in page])
        for page in pages:
            for line in page:
                if line not in running:
                    break
                doomed.add((line.start, line.end))
    return [Edit(start, end, "") for start, end in sorted(doomed)]


def remove_page_breaks(text: str) -> list[Edit]:
    """A form feed becomes a line end where the paragraph goes on over it, else a blank line.

    Blank lines before the first page and after the last go too.
    """
    if "\f" not in text:
        return []
    spans, place = [], 0
    for page in text.split("\f"):
        body = page.strip()
        if body:
            start = page.index(body[0])
            start = page.rfind("\n", 0, start) + 1
            spans.append((place + start, place + len(page.rstrip())))
        place += len(page) + 1
    if not spans:
        return [Edit(0, len(text), "")]
    edits = [Edit(0, spans[0][0], "")] if spans[0][0] else []
    for (first, end), (start, last) in pairwise(spans):
        before = text[max(text.rfind("\n", first, end) + 1, end - _MAX_LINE_CHARS) : end]
        newline = text.find("\n", start, last)
        after = text[start : min(newline if newline >= 0 else last, start + _MAX_LINE_CHARS)]
        edits.append(Edit(end, start, "\n" if flows_on(before, after) else "\n\n"))
    if spans[-1][1] < len(text):
        edits.append(Edit(spans[-1][1], len(text), ""))
    return edits


def _edges(text: str) -> Iterator[tuple[list[_Edge], list[_Edge]]]:
    """The lines at the top and, from below, at the bottom of each page."""
    place = 0
    for number, page in enumerate(text.split("\f")):
        lines = page.split("\n")
        top = list(_edge(lines, place, number, from_below=False))
        bottom = list(_edge(lines, place + len(page), number, from_below=True))
        yield top, bottom
        place += len(page) + 1


def _edge(lines: list[str], place: int, page: int, *, from_below: bool) -> Iterator[_Edge]:
    found = 0
    for index in range(len(lines)):
        line = lines[-1 - index if from_below else index]
        # With the line end after it; the last line of a page has none.
        ending = int(index > 0 if from_below else index < len(lines) - 1)
        start = place - len(line) - ending if from_below else place
        end = start + len(line) + ending
        place = start if from_below else end
        if not line or line.isspace():
            continue
        found += 1
        if found > _EDGE_LINES or len(line) > _MAX_LINE_CHARS:
            return
        numbers = tuple(map(_value, _NUMBER.findall(line)))
        yield _Edge(page, start, end, " ".join(_NUMBER.sub("0", line).split()), numbers)


def _running(lines: list[_Edge]) -> set[_Edge]:
    """Which of the lines at one edge repeat from page to page."""
    by_key: dict[str, list[_Edge]] = defaultdict(list)
    for line in lines:
        by_key[line.key].append(line)
    running: set[_Edge] = set()
    for key, same in by_key.items():
        if len({line.page for line in same}) < 2:
            continue
        names_page = _PAGE_WORDS.fullmatch(key) is not None
        says_something = len(_LETTERS.findall(key)) >= _MIN_LETTERS or _IDEOGRAPHS.search(key) is not None
        for index, line in enumerate(same):
            near = [other for other in same[max(0, index - 8) : index + 9] if _are_near(line, other)]
            counting = sum(_counts_on(line, other) for other in near)
            # Rows of one pattern whose numbers go their own way are content.
            repeats = len({o.page for o in near if o.numbers == line.numbers or _counts_on(line, o)})
            if counting >= 2 or (names_page and counting) or (says_something and repeats >= _MIN_REPEATS - 1):
                running.add(line)
    return running


def _are_near(line: _Edge, other: _Edge) -> bool:
    return 0 < abs(line.page - other.page) <= _NEIGHBOURS


def _counts_on(line: _Edge, other: _Edge) -> bool:
    """Whether some number grew by as much as the pages did."""
    pages = other.page - line.page
    return any(theirs - own == pages for own, theirs in zip(line.numbers, other.numbers, strict=False))


def _value(number: str) -> int:
    """Of digits, of a small Roman or Chinese numeral; 0 of what only looks like one."""
    if number.isdecimal():
        return int(number[:9])
    if number[0] in _ROMAN:
        values = [_ROMAN[letter] for letter in number]
        return sum(-a if a < b else a for a, b in pairwise([*values, 0]))
    total = digit = 0
    for char in number:
        if char in "十百":
            total += (digit or 1) * (10 if char == "十" else 100)
            digit = 0
        else:
            digit = "〇零一二三四五六七八九".index(char)
            digit -= digit > 0
    return total + max(digit, 0)


def _loose_page_numbers(text: str) -> list[Edit]:
    """Lines such as ``Page 3 of 20`` that count on at least thrice in a text without page ends."""
    # The text is moved by one: the line after a match begins where the match ends.
    found = [((m.start(), min(m.end(), len(text))), int(m[1] or m[2])) for m in _LOOSE.finditer("\n" + text)]
    runs: list[list[tuple[tuple[int, int], int]]] = []
    for item in found:
        if runs and item[1] == runs[-1][-1][1] + 1:
            runs[-1].append(item)
        else:
            runs.append([item])
    return [Edit(start, end, "") for run in runs if len(run) >= _MIN_REPEATS for (start, end), _ in run]
