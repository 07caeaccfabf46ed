"""Steps that repair single characters: what encodings, terminals, and operating systems did to a text.

Mojibake is repaired by ftfy (Speer 2019), line by line and only where its own test finds some: most text
has none, and the test costs more than all other steps together. ftfy's tastes (curly quotes made
straight, full-width punctuation made narrow) are left out: they would damage Chinese and good typography.
What ftfy does not know is Chinese in UTF-8 that was read as GBK (锛 and 銆 in place of full-width
punctuation).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from itertools import accumulate, islice

from yanmo.corpus.edits import Edit, edit_between, edit_pieces

_MAX_PIECE_CHARS = 10_000
_CONTEXT_CHARS = 5
_ORDINARY_BYTES = bytes(range(0x20, 0x7F)) + b"\t\n"
_ASCII_TO_SPACE = bytes(0x20 if code < 0x80 else code for code in range(256))
# All that ftfy takes for traces of mojibake lies outside ASCII, CJK and Hangul; and but for a few
# characters, it takes two neighbours to be one, not both of them good typography.
_TYPOGRAPHY = "\xa0·•–—―‘’“”…"
_SUSPECT_CHARS = "\x80-\u2fff\ua000-\uabff\ud7b0-\ufeff\ufff0-\uffff"
_SUSPECT = re.compile(f"(?![{_TYPOGRAPHY}]{{2}})[{_SUSPECT_CHARS}]{{2}}|[\x80-\x9fŒœÂÃ]")
_SURROGATES = re.compile("[\ud800-\udbff][\udc00-\udfff]|[\ud800-\udfff]")
_ESCAPES = re.compile("\x1b\\[[0-?]*[ -/]*[@-~]|\x1b\\][^\x07\x1b]*(?:\x07|\x1b\\\\)")
_LINE_ENDS = "\r\x0b\x0c\x85\u2028\u2029"
_CONTROLS = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\u206a-\u206f\ufeff\ufff9-\ufffc\ufffe\uffff]+")
# Each match starts where nothing before it can be composed with it: at ASCII or at an ideograph.
_COMPOSABLE = re.compile("[\x00-\x7f\u3400-\u9fff]?[^\x00-\x7f\u3400-\u9fff]+")
# The first characters that full-width punctuation and the commonest characters turn into, rare by themselves.
_GBK_MARKS = ("锛", "銆", "鐨", "鈥")
_GBK_RUN = re.compile("[\u2e80-\ufaff\uff00-\uffef]{3,}")


def join_surrogates(text: str) -> list[Edit]:
    """Surrogate pairs (from JSON escapes) become characters, lone ones U+FFFD."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return [Edit(m.start(), m.end(), _joined(m[0])) for m in _SURROGATES.finditer(text)]
    return []


def repair_mojibake(text: str) -> list[Edit]:
    """Undo decoding with a wrong encoding: ``schÃ¶n`` becomes ``schön``, ``浣犲ソ`` becomes ``你好``."""
    if text.isascii():
        return []
    edits: list[Edit] = []
    if _SUSPECT.search(_unusual_runs(text)):
        edits += [edit for start, end in _suspect_lines(text) for edit in _fixed(text[start:end], start)]
    if any(mark in text for mark in _GBK_MARKS):
        runs = [m.span() for m in _GBK_RUN.finditer(text) if any(mark in m[0] for mark in _GBK_MARKS)]
        edits = _disjoint(edits + edit_pieces(text, runs, _read_as_gbk))
    return edits


def remove_terminal_escapes(text: str) -> list[Edit]:
    """Drop the colour and cursor codes of terminals."""
    return [Edit(m.start(), m.end(), "") for m in _ESCAPES.finditer(text)] if "\x1b" in text else []


def unify_line_ends(text: str, *, paged: bool = False) -> list[Edit]:
    """Every kind of line end becomes one newline, form feeds too unless they end pages."""
    ends = _LINE_ENDS.replace("\x0c", "") if paged else _LINE_ENDS
    if not _has_any(text, ends):
        return []
    lines = text.split("\r\n")
    if len(lines) > 1 and not _has_any("".join(lines), ends):
        # As nearly always: one kind alone, whose places need no search.
        places = accumulate((len(line) + 2 for line in lines[:-1]), initial=-2)
        return [Edit(place, place + 1, "") for place in islice(places, 1, None)]
    found = re.finditer(f"\r\n|[{ends}]", text)
    return [Edit(*m.span(), "\n") if len(m[0]) == 1 else Edit(m.start(), m.start() + 1, "") for m in found]


def remove_controls(text: str) -> list[Edit]:
    """Drop control characters (all but tab, newline, form feed), byte order marks and noncharacters."""
    if _CONTROLS.search(_unusual(text)) is None:
        return []
    return [Edit(m.start(), m.end(), "") for m in _CONTROLS.finditer(text)]


def compose(text: str) -> list[Edit]:
    """Unicode normal form C."""
    if unicodedata.is_normalized("NFC", text):
        return []
    spans = (m.span() for m in _COMPOSABLE.finditer(text) if not unicodedata.is_normalized("NFC", m[0]))
    return edit_pieces(text, spans, lambda piece: unicodedata.normalize("NFC", piece))


def _has_any(text: str, characters: str) -> bool:
    return any(char in text for char in characters)


def _unusual(text: str) -> str:
    """All but the ordinary characters of ASCII: quick to make, and short to search in most texts."""
    return (
        text.encode("utf-8", "surrogatepass")
        .translate(None, _ORDINARY_BYTES)
        .decode("utf-8", "surrogatepass")
    )


def _unusual_runs(text: str) -> str:
    """Every different run of characters outside ASCII, once."""
    runs = text.encode("utf-8", "surrogatepass").translate(_ASCII_TO_SPACE).split()
    return b" ".join(sorted(set(runs))).decode("utf-8", "surrogatepass")


def _joined(surrogates: str) -> str:
    return surrogates.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _suspect_lines(text: str) -> Iterator[tuple[int, int]]:
    """Lines, and bounded parts of very long ones, that ftfy has something to say about."""
    from ftfy.badness import is_bad

    judged: dict[str, bool] = {}
    end_of_last = 0
    for match in _SUSPECT.finditer(text):
        if match.start() < end_of_last:
            continue
        # Only the neighbourhood of suspect characters is shown: the test is slow on plain text.
        place = text[max(0, match.start() - _CONTEXT_CHARS) : match.end() + _CONTEXT_CHARS]
        bad = judged.get(place)
        if bad is None:
            bad = judged[place] = is_bad(place)
        if bad:
            start = max(text.rfind("\n", end_of_last, match.start()) + 1, end_of_last)
            start = max(start, match.start() - _MAX_PIECE_CHARS)
            newline = text.find("\n", match.end(), match.end() + _MAX_PIECE_CHARS)
            end_of_last = newline if newline >= 0 else min(len(text), match.end() + _MAX_PIECE_CHARS)
            yield start, end_of_last


def _fixed(line: str, offset: int) -> list[Edit]:
    """What ftfy changes in a line, word by word where it keeps the words apart."""
    from ftfy import fix_encoding

    after = fix_encoding(line)
    if after == line:
        return []
    words, fixed = line.split(" "), after.split(" ")
    if len(words) != len(fixed):
        return edit_between(line, after, offset)
    edits = []
    for word, right in zip(words, fixed, strict=True):
        edits += edit_between(word, right, offset)
        offset += len(word) + 1
    return edits


def _read_as_gbk(run: str) -> str:
    """What the run was before its UTF-8 was read as GBK, if it was; a character cut off becomes U+FFFD."""
    for start in (0, 1):
        try:
            data = run[start:].encode("gbk")
            return run[:start] + data.decode("utf-8")
        except UnicodeDecodeError as error:
            if error.end == len(data) and error.start >= len(data) - 3 and error.start >= 6:
                return run[:start] + data.decode("utf-8", "replace")
        except UnicodeEncodeError:
            continue
    return run


def _disjoint(edits: list[Edit]) -> list[Edit]:
    """In order, without those that overlap an earlier one."""
    kept: list[Edit] = []
    for edit in sorted(edits):
        if not kept or edit.start >= kept[-1].end:
            kept.append(edit)
    return kept
