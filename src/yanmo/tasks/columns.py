"""Which column of a table is what: by its name, else by what its cells hold, and why, in one line.

A task knows a table in one or more shapes, each a few roles ("text", "label"). The first shape whose roles
all find a column by name is taken; where none does, the columns of texts and classes are looked for by
content (length, number of different values). What could be two things is not decided here: the user is
asked.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from yanmo.tasks.broken import Flaw, FlawError

Columns = Mapping[str, str | Sequence[str]]
"""From roles to names of columns (or their numbers, from 1); several columns of one role are joined."""
Values = Mapping[str, Any]

MAX_NAMES_SHOWN = 20
_TEXT_CHARS = 12
_CLEARLY_LONGER = 2.0
_MOST_CLASSES, _LABEL_CHARS, _FEW_ROWS = 200, 60, 10
_CJK = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]")


class Holds(enum.Enum):
    """What the cells of a role look like; by it a column is found where no name helps."""

    TEXT = "text"
    LABEL = "label"
    OTHER = "other"


@dataclass(frozen=True, kw_only=True)
class Role:
    """What a column can be."""

    name: str
    names: tuple[str, ...]
    """Names that such columns have, likelier ones first; names in one string are equally likely."""
    holds: Holds = Holds.OTHER
    optional: bool = False
    is_target: bool = False
    """What is to be predicted, and missing where it is not known yet."""


@dataclass(frozen=True, kw_only=True)
class Guess:
    """The columns of a file."""

    columns: Mapping[str, tuple[str, ...]]
    """From roles to names of columns."""
    why: str
    """One line: ``text = review (by its name), label = stars (5 different values)``."""


def guess_columns(
    sample: Sequence[Values], roles: Sequence[Role], wanted: Columns, *, labelled: bool
) -> Guess:
    """Find the columns of one shape.

    Args:
        sample: the first rows.
        roles: those of the shape.
        wanted: the user's choice, which is not questioned.
        labelled: whether roles that are to be predicted must have a column.

    Raises:
        FlawError: a column is missing, or there are several that it could be.
    """
    table = _Table(sample)
    found = {role.name: table.chosen(wanted[role.name]) for role in roles if role.name in wanted}
    why = dict.fromkeys(found, "as you said")
    missing: list[Role] = []
    for role in roles:
        if role.name in found:
            continue
        names = table.by_name(role, _used(found))
        if len(names) > 1:
            names = table.fewer(names, role)
        if len(names) > 1:
            raise table.unclear(role, names, "by their names")
        if names:
            found[role.name], why[role.name] = (names[0],), "by its name"
        elif not role.optional and (labelled or not role.is_target):
            missing.append(role)
    for role in sorted(missing, key=lambda role: role.holds is Holds.LABEL):
        same = [other for other in missing if other.holds is role.holds]
        name, reason = table.by_content(role, same, _used(found))
        found[role.name], why[role.name] = (name,), reason
    order = [role.name for role in roles if role.name in found]
    line = ", ".join(f"{name} = {' + '.join(found[name])} ({why[name]})" for name in order)
    return Guess(columns={name: found[name] for name in order}, why=line)


def is_complete_by_name(
    sample: Sequence[Values], roles: Sequence[Role], wanted: Columns, *, labelled: bool
) -> bool:
    """Whether every role that a shape needs has a column by its name or the user's choice."""
    table = _Table(sample)
    return all(
        role.name in wanted or table.by_name(role, frozenset())
        for role in roles
        if not role.optional and (labelled or not role.is_target)
    )


def num_by_name(sample: Sequence[Values], roles: Sequence[Role]) -> int:
    """How many roles of a shape have a column by its name."""
    table = _Table(sample)
    return sum(bool(table.by_name(role, frozenset())) for role in roles)


def getter(names: tuple[str, ...]) -> Any:
    """A function from a row to the cell of a role: the list of cells where it has several columns."""
    if len(names) > 1:
        each = [getter((name,)) for name in names]
        return lambda values: [get(values) for get in each]
    (name,) = names
    outer, _, inner = name.partition(".")

    def nested(values: Values) -> Any:
        if name in values or not inner:
            return values.get(name)
        cell = values.get(outer)
        return cell.get(inner) if isinstance(cell, Mapping) else None

    return nested


def plain_name(name: str) -> str:
    """A column's name without case, spaces and signs."""
    return re.sub(r"[\W_]+", "", name.casefold())


def _used(found: Mapping[str, tuple[str, ...]]) -> frozenset[str]:
    return frozenset(name for names in found.values() for name in names)


class _Table:
    """The first rows of a table, looked at column by column."""

    def __init__(self, sample: Sequence[Values]) -> None:
        self._sample = sample
        self.names = list(dict.fromkeys(_all_names(sample)))
        self._cells: dict[str, list[Any]] = {}

    def chosen(self, wanted: str | Sequence[str]) -> tuple[str, ...]:
        """The names of the columns that the user means: a name, a name up to case, or a number from 1."""
        return tuple(self._one(name) for name in ([wanted] if isinstance(wanted, str) else wanted))

    def _one(self, wanted: str) -> str:
        if wanted in self.names:
            return wanted
        alike = [name for name in self.names if plain_name(name) == plain_name(wanted) != ""]
        if len(alike) == 1:
            return alike[0]
        if wanted.isascii() and wanted.isdigit() and 1 <= int(wanted) <= len(self.names):
            return self.names[int(wanted) - 1]
        raise FlawError(Flaw.COLUMNS, f"there is no column {wanted!r}", f"columns: {self._shown()}")

    def by_name(self, role: Role, used: frozenset[str]) -> list[str]:
        """The columns that have the likeliest of the role's names; else those whose name holds one."""
        free = [name for name in self.names if name not in used]
        if role.holds is Holds.TEXT:
            free = [name for name in free if not self._holds_objects(name)]
        tiers = [frozenset(tier.split()) for tier in role.names]
        for known in tiers:
            if same := [name for name in free if plain_name(name) in known]:
                return same
        for words in tiers[:2]:
            if same := [name for name in free if _holds_word(name, words)]:
                return same
        return []

    def fewer(self, names: list[str], role: Role) -> list[str]:
        """Without columns that are empty or say one thing in all rows, or the same by a number."""
        telling = [name for name in names if self._num_different(name) > 1] or names
        if role.holds is not Holds.LABEL or len(telling) != 2:
            return telling
        first, second = (list(map(_key, self.cells(name))) for name in telling)
        if len(set(zip(first, second, strict=True))) == len(set(first)) == len(set(second)):
            # A class by its number and by its name: the name says more.
            return [max(telling, key=lambda name: sum(map(_is_worded, self.cells(name))))]
        return telling

    def by_content(self, role: Role, same: Sequence[Role], used: frozenset[str]) -> tuple[str, str]:
        """The column whose cells look like the role's, and why."""
        free = [name for name in self.names if name not in used]
        if role.holds is Holds.TEXT:
            return self._text(role, [other.name for other in same], free)
        if role.holds is Holds.LABEL:
            return self._label(role, free)
        raise FlawError(
            Flaw.COLUMNS, f"no column for {role.name} among: {self._shown()}", self._advice(role, "NAME")
        )

    def _text(self, role: Role, together: list[str], free: Sequence[str]) -> tuple[str, str]:
        lengths = {name: self._mean_chars(name) for name in free if self._is_text(name)}
        longest = sorted(lengths, key=lambda name: -lengths[name])
        # Of roles that hold texts alike those before this one have their columns already.
        num_needed = len(together) - together.index(role.name)
        if len(together) > 1 and len(free) == num_needed:
            # Nothing is to be chosen: pairs of words are texts as well.
            return free[0], "the columns in order"
        if len(longest) < num_needed:
            raise FlawError(
                Flaw.COLUMNS,
                f"no column for {role.name} holds text among: {self._shown()}",
                self._advice(role, "NAME"),
            )
        if len(together) > 1:
            if len(longest) > num_needed:
                raise self.unclear(role, longest, "all hold texts")
            return min(longest, key=self.names.index), "the columns of text in order"
        if len(longest) > 1 and lengths[longest[0]] < _CLEARLY_LONGER * lengths[longest[1]]:
            raise self.unclear(role, longest[:4], "about as long")
        return longest[0], f"the longest texts, {lengths[longest[0]]:.0f} characters on average"

    def _label(self, role: Role, free: Sequence[str]) -> tuple[str, str]:
        fitting = [name for name in free if self._is_label(name)]
        if not fitting:
            raise FlawError(
                Flaw.COLUMNS,
                f"no column for {role.name} has a few repeated values among: {self._shown()}"
                if free
                else f"no column for {role.name}: there is only {self._shown()}",
                self._advice(role, "NAME"),
            )
        if len(fitting) > 1:
            counts = ", ".join(f"{name} has {self._num_different(name)} values" for name in fitting[:4])
            raise self.unclear(role, fitting, counts)
        return fitting[0], f"{self._num_different(fitting[0])} different values in {len(self._sample)} rows"

    def unclear(self, role: Role, names: Sequence[str], why: str) -> FlawError:
        """That the user has to say which column it is."""
        shown = " or ".join(names[:4])
        return FlawError(Flaw.COLUMNS, f"{role.name} may be {shown}, {why}", self._advice(role, names[0]))

    def cells(self, name: str) -> list[Any]:
        """The cells of a column."""
        if name not in self._cells:
            get = getter((name,))
            self._cells[name] = [get(values) for values in self._sample]
        return self._cells[name]

    def _holds_objects(self, name: str) -> bool:
        cells = self._filled(name)
        return sum(isinstance(cell, Mapping) for cell in cells) > 0.5 * len(cells)

    def _filled(self, name: str) -> list[Any]:
        return [cell for cell in self.cells(name) if cell is not None and cell != ""]

    def _num_different(self, name: str) -> int:
        return len(set(map(_key, self._filled(name))))

    def _is_text(self, name: str) -> bool:
        filled = self._filled(name)
        texts = [cell for cell in filled if isinstance(cell, str) and not _is_number(cell)]
        if not filled or len(texts) < 0.9 * len(filled):
            return False
        has_words = sum(" " in text.strip() or bool(_CJK.search(text)) for text in texts) > 0.5 * len(texts)
        varied = self._num_different(name) > 0.5 * len(filled) or self._mean_chars(name) > _LABEL_CHARS
        return varied and (has_words or self._mean_chars(name) >= _TEXT_CHARS or len(self.names) <= 2)

    def _is_label(self, name: str) -> bool:
        filled = self._filled(name)
        num_different = self._num_different(name)
        if not filled or self._mean_chars(name) > _LABEL_CHARS:
            return False
        if len(filled) < _FEW_ROWS:
            return len(self.names) <= 2 or 1 < num_different < len(filled)
        return 1 < num_different <= min(_MOST_CLASSES, len(filled) // 3)

    def _mean_chars(self, name: str) -> float:
        filled = self._filled(name)
        return sum(len(cell if isinstance(cell, str) else str(cell)) for cell in filled) / max(1, len(filled))

    def _shown(self) -> str:
        more = ", ..." if len(self.names) > MAX_NAMES_SHOWN else ""
        return ", ".join(self.names[:MAX_NAMES_SHOWN]) + more

    @staticmethod
    def _advice(role: Role, name: str) -> str:
        return f"say which: --columns {role.name}={name}"


def _all_names(sample: Sequence[Values]) -> Iterator[str]:
    """Names of columns, and of what lies in a column of small objects: ``translation.de``."""
    for values in sample:
        for name, cell in values.items():
            if isinstance(cell, Mapping) and cell and all(isinstance(inner, str) for inner in cell.values()):
                yield from (f"{name}.{inner}" for inner in list(cell)[:MAX_NAMES_SHOWN])
            yield str(name)


def _holds_word(name: str, words: frozenset[str]) -> bool:
    # Of a column of objects only the inner name tells.
    name = name.partition(".")[2] or name
    parts = re.findall(r"[A-Z]?[a-z]+|[A-Z]+|\d+|[\u3400-\u9fff]+", name)
    if any(part.casefold() in words for part in parts):
        return True
    # Chinese writes no spaces: 情感标签 holds 标签.
    return any(word in name for word in words if not word.isascii())


def _key(cell: Any) -> Any:
    return cell if isinstance(cell, str | int | float | None) else repr(cell)


def _is_worded(cell: Any) -> bool:
    return isinstance(cell, str) and not _is_number(cell)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
