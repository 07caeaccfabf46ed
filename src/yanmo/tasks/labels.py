"""Cells to labels: one class, several classes, or a number."""

from __future__ import annotations

import enum
import math
import re
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from yanmo.tasks.broken import Flaw, FlawError
from yanmo.tasks.examples import Label

MAX_LABEL_CHARS = 200
_SEPARATORS = "|;；、"
_OFTEN_ENOUGH = 0.8
_MIN_NUMBERS = 10
_YES = frozenset(("1", "1.0", "true", "yes", "y", "是", "x"))
_NO = frozenset(("0", "0.0", "false", "no", "n", "否", "", "none", "null", "nan"))
_SCORE_NAMES = "score similarity similarityscore relatedness rating value 分数 得分 评分 相似度"
_SCORES = frozenset(_SCORE_NAMES.split())


class LabelKind(enum.StrEnum):
    """What the label of an example is."""

    ONE = "one"
    SEVERAL = "several"
    NUMBER = "number"


def guess_kind(cells: Sequence[Any], column: str) -> LabelKind:
    """What the labels of a file are, by the first of them and the name of their column.

    Lists, and texts with ``|`` or ``;`` between parts that stand in other rows too, are several classes.
    Numbers with fractions are numbers; whole ones are classes.
    """
    filled = [cell for cell in cells if cell is not None and cell != ""]
    if sum(isinstance(cell, list | tuple) for cell in filled) > 0.5 * len(filled):
        return LabelKind.SEVERAL
    numbers = [number for cell in filled if (number := _number(cell)) is not None]
    if filled and len(numbers) >= 0.9 * len(filled):
        has_fractions = any(number != int(number) for number in numbers)
        enough = len(set(numbers)) >= _MIN_NUMBERS or column in _SCORES
        return LabelKind.NUMBER if has_fractions and enough else LabelKind.ONE
    return LabelKind.SEVERAL if separator_of(filled) else LabelKind.ONE


def separator_of(cells: Sequence[Any]) -> str:
    """What stands between several classes in one cell; empty where each cell is one class."""
    texts = [cell for cell in cells if isinstance(cell, str)]
    for separator in _SEPARATORS:
        joined = [text for text in texts if separator in text]
        if not joined:
            continue
        counts = Counter(part.strip() for text in texts for part in text.split(separator))
        parts = [part.strip() for text in joined for part in text.split(separator)]
        if sum(counts[part] > 1 for part in parts) >= _OFTEN_ENOUGH * len(parts):
            return separator
    return ""


def read_label(cell: Any, kind: LabelKind, names: Sequence[str] = (), separator: str = "") -> Label:
    """The label in a cell.

    Args:
        cell: as the file has it.
        kind: what labels are in this file.
        names: of the classes, where cells are their numbers from 0.
        separator: between classes in one cell.

    Raises:
        FlawError: there is none, or it is none.
    """
    if kind is LabelKind.NUMBER:
        return read_number(cell)
    if kind is LabelKind.SEVERAL:
        parts = cell if isinstance(cell, list | tuple) else _split(cell, separator)
        classes = (_class(part, names) for part in parts if part is not None and part != "")
        return tuple(dict.fromkeys(classes))
    return _class(cell, names)


def read_indicators(cells: Sequence[Any], columns: Sequence[str]) -> tuple[str, ...]:
    """The classes of a row that has a column of yes and no for each class.

    Raises:
        FlawError: a cell says neither.
    """
    found = []
    for cell, column in zip(cells, columns, strict=True):
        said = "" if cell is None else str(cell).strip().casefold()
        if said in _YES:
            found.append(column)
        elif said not in _NO:
            raise FlawError(
                Flaw.LABEL,
                f"column {column} says {str(cell)[:40]!r}",
                "write 1 where the class holds, else 0",
            )
    return tuple(found)


def _class(cell: Any, names: Sequence[str]) -> str:
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        raise _missing()
    if isinstance(cell, bool):
        return str(cell).lower()
    if isinstance(cell, float) and cell.is_integer():
        cell = int(cell)
    if names and isinstance(cell, int):
        if not 0 <= cell < len(names):
            raise FlawError(Flaw.LABEL, f"class {cell} of {len(names)}", "number the classes from 0")
        return names[cell]
    if isinstance(cell, Mapping | list | tuple):
        raise FlawError(Flaw.LABEL, f"a {type(cell).__name__} instead of a class", "write one class")
    text = cell.strip() if isinstance(cell, str) else str(cell)
    if not text:
        raise _missing()
    if len(text) > MAX_LABEL_CHARS or "\n" in text:
        raise FlawError(
            Flaw.LABEL,
            f"{len(text)} characters: {text[:30]!r}",
            "a class is a short name: is this the column of the texts, or is a quotation mark not closed?",
        )
    # A few classes stand in a million rows.
    return sys.intern(text)


def _missing() -> FlawError:
    return FlawError(Flaw.NO_LABEL, "", "write the label, or leave the row out")


def _split(cell: Any, separator: str) -> list[str]:
    if cell is None:
        raise _missing()
    parts = re.split(re.escape(separator), str(cell)) if separator else [str(cell)]
    return [part.strip() for part in parts]


def read_number(cell: Any) -> float:
    """The number in a cell.

    Raises:
        FlawError: there is none, or it is not finite.
    """
    if cell is None or (isinstance(cell, str) and not cell.strip()):
        raise _missing()
    number = _number(cell)
    if number is None:
        raise FlawError(Flaw.NUMBER, repr(cell)[:60], "write a number such as 3.5")
    return number


def _number(cell: Any) -> float | None:
    if isinstance(cell, bool) or not isinstance(cell, int | float | str):
        return None
    try:
        number = float(cell)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None
