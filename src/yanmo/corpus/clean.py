"""Text repaired and normalised, step by step, each step counted.

Mojibake is repaired by ftfy (Speer 2019), line by line and only where its own test finds some:
most text has none, and the test costs more than all other steps together. ftfy's tastes (curly
quotes made straight, full-width punctuation made narrow) are left out: they would damage Chinese
and good typography.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator

import ftfy
from ftfy.badness import is_bad

_MAX_PIECE_CHARS = 100_000
# All that ftfy takes for traces of mojibake lies outside ASCII, CJK and Hangul.
_SUSPECT = re.compile("[^\x00-\x7f\u3000-\u9fff\uac00-\ud7af\uff00-\uffef]+")
_CONTEXT_CHARS = 4
_SURROGATES = re.compile("[\ud800-\udfff]")
_ESCAPES = re.compile("\x1b\\[[0-?]*[ -/]*[@-~]|\x1b\\][^\x07\x1b]*(?:\x07|\x1b\\\\)")
_LINE_ENDS = re.compile("\r\n?|[\x0b\x0c\x85\u2028\u2029]")
_CONTROLS = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\u206a-\u206f\ufeff\ufff9-\ufffc\ufffe\uffff]")


def join_surrogates(text: str) -> str:
    """Surrogate pairs (from JSON escapes) become characters, lone ones U+FFFD."""
    if text.isascii() or _SURROGATES.search(text) is None:
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def repair_mojibake(text: str) -> str:
    """Undo decoding with a wrong encoding: ``schÃ¶n`` becomes ``schön``."""
    if text.isascii() or not _may_be_mojibake(text):
        return text
    return "".join(ftfy.fix_encoding(p) if _may_be_mojibake(p) else p for p in _pieces(text))


def remove_terminal_escapes(text: str) -> str:
    """Drop the colour and cursor codes of terminals."""
    return _ESCAPES.sub("", text) if "\x1b" in text else text


def unify_line_ends(text: str) -> str:
    """Every kind of line end, form feeds included, becomes one newline."""
    return _LINE_ENDS.sub("\n", text)


def remove_controls(text: str) -> str:
    """Drop control characters (all but tab and newline), byte order marks and noncharacters."""
    return _CONTROLS.sub("", text)


def compose(text: str) -> str:
    """Unicode normal form C."""
    return text if unicodedata.is_normalized("NFC", text) else unicodedata.normalize("NFC", text)


STEPS: tuple[tuple[str, Callable[[str], str]], ...] = (
    ("surrogates joined", join_surrogates),
    ("mojibake repaired", repair_mojibake),
    ("terminal escapes removed", remove_terminal_escapes),
    ("line ends unified", unify_line_ends),
    ("control characters removed", remove_controls),
    ("composed to NFC", compose),
)


def clean(text: str) -> tuple[str, list[str]]:
    """Take a text through every step.

    Returns:
        The clean text and the names of the steps that changed it.
    """
    changed = []
    for name, step in STEPS:
        after = step(text)
        if after is not text and after != text:
            changed.append(name)
            text = after
    return text, changed


def _may_be_mojibake(text: str) -> bool:
    """Ask ftfy only about the neighbourhood of suspect characters: its test is slow on plain text."""
    spans = (match.span() for match in _SUSPECT.finditer(text))
    places = {text[max(0, start - _CONTEXT_CHARS) : end + _CONTEXT_CHARS] for start, end in spans}
    return any(is_bad(place) for place in places)


def _pieces(text: str) -> Iterator[str]:
    """Lines, and bounded parts of very long ones."""
    for line in re.findall(f"[^\n]{{0,{_MAX_PIECE_CHARS}}}\n?", text):
        if line:
            yield line
