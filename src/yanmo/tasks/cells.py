"""Cells to texts, lists and positions."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping
from typing import Any

from yanmo.corpus.fields import field_text
from yanmo.tasks.base import Cells, How
from yanmo.tasks.broken import Flaw, FlawError
from yanmo.tasks.examples import Span

_MAX_LITERAL_CHARS = 1 << 20


def text_in(cells: Cells, role: str, how: How) -> str:
    """The text of a role.

    Raises:
        FlawError: it is missing, empty, or not a text.
    """
    return as_text(cells.get(role), role, how)


def as_text(cell: Any, what: str, how: How) -> str:
    """The text in a cell; what lies in several columns or a list stands line by line.

    Raises:
        FlawError: there is none, or bytes of it were damaged.
    """
    if isinstance(cell, str):
        text: str | None = cell
    elif isinstance(cell, int | float) and not isinstance(cell, bool):
        text = str(cell)
    else:
        text = field_text([part for part in cell if part]) if isinstance(cell, list) else field_text(cell)
    if text is None or not text.strip():
        raise FlawError(Flaw.EMPTY_TEXT, what, "write the text, or leave the row out")
    if how.is_repaired and "\ufffd" in text:
        raise FlawError(
            Flaw.DAMAGED_TEXT,
            f"{what} holds bytes of another encoding: {around(text, text.index(chr(0xFFFD)))}",
            "save the whole file as UTF-8",
        )
    if not text.isascii() and not _is_unicode(text):
        raise FlawError(Flaw.DAMAGED_TEXT, f"{what} holds half of a character", "write it as UTF-8")
    return text


def list_in(cell: Any, what: str) -> list[Any]:
    """A list, or what a CSV file made of one: JSON or Python's way to write it.

    Raises:
        FlawError: it is none.
    """
    if isinstance(cell, list | tuple):
        return list(cell)
    if isinstance(cell, str) and cell.lstrip().startswith(("[", "{")) and len(cell) <= _MAX_LITERAL_CHARS:
        for read in (json.loads, ast.literal_eval):
            try:
                value = read(cell)
            except (ValueError, SyntaxError, RecursionError, MemoryError):
                continue
            return value if isinstance(value, list) else [value]
    shown = repr(cell)[:60]
    raise FlawError(Flaw.ROW, f"{what} is {shown}", f"write {what} as a JSON list")


def mapping_in(cell: Any) -> Mapping[str, Any] | None:
    """An object, or what a CSV file made of one; None where it is none."""
    if isinstance(cell, Mapping):
        return cell
    if isinstance(cell, str) and cell.lstrip().startswith("{"):
        found = list_in(cell, "object")[0]
        return found if isinstance(found, Mapping) else None
    return None


def span_in(text: str, start: Any, end: Any, label: str, surface: Any = None) -> tuple[Span, bool]:
    """A span, checked; and whether its end was written as its last character.

    Args:
        text: that it is a part of.
        start, end: as the file has them.
        label: what it is.
        surface: the text that the file says it has, or None.

    Raises:
        FlawError: it is outside the text, empty, or not the text it should be.
    """
    if not _is_position(start) or not _is_position(end):
        raise FlawError(
            Flaw.SPAN, f"{label or 'span'} from {start!r} to {end!r}", "write positions as whole numbers"
        )
    inclusive = False
    if isinstance(surface, str) and surface and text[start:end] != surface:
        inclusive = text[start : end + 1] == surface
        if not inclusive:
            raise FlawError(Flaw.SPAN_TEXT, *_moved(text, start, end, surface))
        end += 1
    if not 0 <= start < end <= len(text):
        what = f"{label or 'span'} from {start} to {end} in a text of {len(text)} characters"
        raise FlawError(
            Flaw.SPAN, what, "count characters from 0, the end excluded, in the text as it stands"
        )
    return Span(start, end, label), inclusive


def find_once(text: str, surface: str, what: str) -> tuple[int, int]:
    """Where a passage stands that the text holds once.

    Raises:
        FlawError: it holds none, or several.
    """
    start = text.find(surface)
    if start < 0:
        raise FlawError(
            Flaw.MARKS, f"{what} {surface[:40]!r} is not in the text", "write it as the text has it"
        )
    if text.find(surface, start + 1) >= 0:
        raise FlawError(
            Flaw.MARKS, f"{what} {surface[:40]!r} is in the text more than once", "give its position too"
        )
    return start, start + len(surface)


def places_of(text: str, passage: str) -> str:
    """Where a passage stands, for messages."""
    found: list[int] = []
    start = text.find(passage)
    while start >= 0 and len(found) < 4:
        found.append(start)
        start = text.find(passage, start + 1)
    return ", ".join(map(str, found[:3])) + (", ..." if len(found) > 3 else "")


def around(text: str, place: int, width: int = 12) -> str:
    """The text at a place, for messages."""
    return repr(text[max(0, place - width) : place + width])


def in_bytes(text: str, start: int, passage: str) -> bool:
    """Whether a position counts bytes of UTF-8 and not characters."""
    raw = passage.encode("utf-8", "replace")
    return text.encode("utf-8", "replace")[start : start + len(raw)] == raw


def _moved(text: str, start: int, end: int, surface: str) -> tuple[str, str]:
    """What a wrong position holds, and where the right ones are."""
    detail = f"{start} to {end} is {text[start:end][:30]!r} and not {surface[:30]!r}"
    places = places_of(text, surface)
    if start >= 0 and in_bytes(text, start, surface):
        return detail, f"positions count bytes here: count characters; it stands at {places}"
    return detail, f"it stands at {places}" if places else "write the text as it stands in the row"


def _is_position(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_unicode(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
