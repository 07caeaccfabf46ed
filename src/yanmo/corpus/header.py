"""Whether the first row of a table names its columns, or is a row like the others."""

from __future__ import annotations

import re
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from yanmo.corpus.document import Note, Reason, RefusedError
from yanmo.corpus.fields import TEXT_NAMES

MAX_COLUMNS = 4096
_OTHER_NAMES = "id label title name url date author source category target src tgt en zh 标签 标题 类别"
_HEADER_NAMES = frozenset([*TEXT_NAMES, *_OTHER_NAMES.split()])
_NAME = re.compile(r"[^\W\d][\w .()/-]{0,39}")
_CJK = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]")
# Fewer rows do not show what the rows of a table are like.
_ENOUGH_ROWS = 10
_MOSTLY, _MUCH_LONGER, _TEXT_CHARS = 0.9, 3, 20
_FEW_VALUES = 20


def _silent(_: str) -> None:
    pass


@dataclass(frozen=True, kw_only=True)
class HeaderSettings:
    """What is said of the first rows of tables.

    Attributes:
        given: whether they name the columns; guessed where None.
        note: takes a line for each table whose first row might be either.
    """

    given: bool | None = None
    note: Note = _silent


GUESSED = HeaderSettings()


def find_header(
    rows: Sequence[Sequence[str]], settings: HeaderSettings = GUESSED, *, where: str = ""
) -> tuple[list[str], int]:
    """Names of the columns, and how many rows the header takes (0 or 1).

    A row with a usual name, such as ``text`` or ``标签``, is a header; one that holds no names, or says what
    a row below says too, is none. What could be names stands apart from the rows below where these
    are numbers, a few values again and again, texts, or written otherwise; where it does not, it is a row.

    Args:
        rows: the first of a table.
        settings: what is not to be guessed.
        where: name of the table, for the note.

    Raises:
        RefusedError: there are more columns than a table has.
    """
    if not rows:
        return [], 0
    if len(rows[0]) > MAX_COLUMNS:
        raise RefusedError(Reason.TOO_LARGE, f"more than {MAX_COLUMNS} columns")
    first = [cell.strip() for cell in rows[0]]
    numbered = [f"column {index}" for index in range(1, len(first) + 1)]
    usual = any(cell.lower() in _HEADER_NAMES for cell in first)
    if settings.given or (settings.given is None and usual):
        named = [cell or number for cell, number in zip(first, numbered, strict=True)]
        repeated_names = [named[:index].count(cell) for index, cell in enumerate(named)]
        return [f"{cell} {n + 1}" if n else cell for cell, n in zip(named, repeated_names, strict=True)], 1
    plausible = all(_NAME.fullmatch(cell) for cell in first)
    below = [row for row in rows[1:] if len(row) == len(first)]
    repeated = any(cell == row[index].strip() for index, cell in enumerate(first) for row in below)
    if settings.given is not None or not (
        len(first) > 1 and plausible and len(set(first)) == len(first) and below and not repeated
    ):
        return numbered, 0
    shown = ", ".join(first[:4])
    if len(below) < _ENOUGH_ROWS or any(map(_stands_apart, first, zip(*below, strict=True))):
        settings.note(f"{where}: the first row names the columns: {shown} (--no-header if it is a row)")
        return first, 1
    settings.note(f"{where}: the first row, {shown}, is like the others: a row (--header if it has names)")
    return numbered, 0


def _stands_apart(name: str, column: Sequence[str]) -> bool:
    """Whether a word is unlike the cells below it."""
    cells = [cell.strip() for cell in column if cell.strip()]
    if not cells:
        return False
    if len(set(cells)) <= min(_FEW_VALUES, len(cells) / 2):
        return True
    if statistics.median(map(len, cells)) > max(_TEXT_CHARS, _MUCH_LONGER * len(name)):
        return True
    for is_so in (_is_number, _has_space, _has_cjk):
        if not is_so(name) and sum(map(is_so, cells)) >= _MOSTLY * len(cells):
            return True
    return False


def _is_number(cell: str) -> bool:
    return not any(map(str.isalpha, cell)) and any(map(str.isdigit, cell))


def _has_space(cell: str) -> bool:
    return " " in cell


def _has_cjk(cell: str) -> bool:
    return bool(_CJK.search(cell))
