"""Rows that cannot be learned from: set aside, each with its place, the reason, and what to do about it."""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from yanmo.corpus.document import Rejected
from yanmo.reporting.axes import Words
from yanmo.tasks.examples import Origin

_MOST_CHARS = 200
_MOST_LISTED = 1000


class Flaw(enum.StrEnum):
    """What is wrong with a row or a file; the values are the keys users meet in summaries."""

    UNREADABLE = "cannot be read"
    COLUMNS = "columns not clear"
    LAYOUT = "no layout of this task"
    ROW = "broken row"
    DAMAGED_TEXT = "damaged characters"
    EMPTY_TEXT = "empty text"
    NO_LABEL = "no label"
    LABEL = "not a label"
    NUMBER = "not a number"
    SPAN = "span outside the text"
    SPAN_TEXT = "span is not its text"
    OVERLAP = "overlapping spans"
    TAG = "not a tag"
    TAG_ORDER = "impossible tags"
    UNEVEN = "tokens and tags do not match"
    MARKS = "entities not marked"
    ANSWER = "answer is not in the context"
    MESSAGE = "broken conversation"
    SAME_ANSWERS = "both answers are the same"
    UNEVEN_FILES = "files of unequal length"


WORDS: dict[Flaw, Words] = {
    Flaw.UNREADABLE: Words("cannot be read", "无法读取"),
    Flaw.COLUMNS: Words("columns not clear", "无法确定各列的含义"),
    Flaw.LAYOUT: Words("no layout of this task", "不是该任务的数据格式"),
    Flaw.ROW: Words("broken row", "损坏的行"),
    Flaw.DAMAGED_TEXT: Words("damaged characters", "字符损坏"),
    Flaw.EMPTY_TEXT: Words("empty text", "文本为空"),
    Flaw.NO_LABEL: Words("no label", "没有标签"),
    Flaw.LABEL: Words("not a label", "不是标签"),
    Flaw.NUMBER: Words("not a number", "不是数值"),
    Flaw.SPAN: Words("span outside the text", "片段超出文本"),
    Flaw.SPAN_TEXT: Words("span is not its text", "片段与其文字不符"),
    Flaw.OVERLAP: Words("overlapping spans", "片段重叠"),
    Flaw.TAG: Words("not a tag", "不是标注标签"),
    Flaw.TAG_ORDER: Words("impossible tags", "标注序列不合法"),
    Flaw.UNEVEN: Words("tokens and tags do not match", "词与标注数目不符"),
    Flaw.MARKS: Words("entities not marked", "实体未标出"),
    Flaw.ANSWER: Words("answer is not in the context", "答案不在原文中"),
    Flaw.MESSAGE: Words("broken conversation", "对话不完整"),
    Flaw.SAME_ANSWERS: Words("both answers are the same", "两个回答相同"),
    Flaw.UNEVEN_FILES: Words("files of unequal length", "文件行数不一致"),
}


class FlawError(Exception):
    """Raised while a row is read; it becomes a ``BrokenRow``."""

    def __init__(self, flaw: Flaw, detail: str, remedy: str, *, line: int = 0, within: str = "") -> None:
        """Keep what is known; ``line`` is the line itself, ``within`` the place in the row."""
        super().__init__(f"{flaw}: {detail}")
        self.flaw, self.detail, self.remedy, self.line, self.within = flaw, detail, remedy, line, within

    def at(self, origin: Origin, text: str = "") -> BrokenRow:
        """The row that it was raised for."""
        if self.line:
            origin = origin._replace(line=self.line)
        if self.within:
            origin = origin._replace(within=f"{origin.within} {self.within}".strip())
        detail = self.detail if len(self.detail) <= _MOST_CHARS else f"{self.detail[:_MOST_CHARS]}..."
        return BrokenRow(
            origin=origin,
            flaw=self.flaw,
            detail=detail,
            remedy=self.remedy,
            text=text[:_MOST_CHARS],
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class BrokenRow:
    """A row, or a whole file where ``origin.row`` is 0, that was set aside."""

    origin: Origin
    flaw: Flaw
    detail: str
    remedy: str
    text: str = ""
    """The beginning of it."""

    def __str__(self) -> str:
        """One line: where, what, what to do."""
        what = f"{self.flaw}: {self.detail}" if self.detail else str(self.flaw)
        return f"{self.origin}: {' '.join(what.split())} ({self.remedy})"


@dataclass(kw_only=True)
class Broken:
    """All that was set aside: every row is counted, the first are listed."""

    listed: list[BrokenRow] = field(default_factory=list)
    counts: Counter[tuple[str, Flaw]] = field(default_factory=Counter)
    """By file and flaw."""

    def add(self, row: BrokenRow) -> None:
        """Count a row; a file as a whole is always listed."""
        self.counts[row.origin.file, row.flaw] += 1
        if len(self.listed) < _MOST_LISTED or not row.origin.row:
            self.listed.append(row)

    def __len__(self) -> int:
        """How many rows and files."""
        return self.counts.total()

    def __iter__(self) -> Iterator[BrokenRow]:
        """Those that are listed."""
        return iter(self.listed)


Note = Callable[[str], None]


def refused(rejected: Rejected, origin: Origin) -> BrokenRow:
    """What the readers of files refused."""
    flaw = Flaw.ROW if origin.row else Flaw.UNREADABLE
    detail = f"{rejected.reason}: {rejected.detail}" if rejected.detail else str(rejected.reason)
    remedy = _REMEDIES.get(rejected.reason.name, "mend the file or leave it out")
    return BrokenRow(origin=origin, flaw=flaw, detail=detail, remedy=remedy, text=rejected.text[:_MOST_CHARS])


_REMEDIES = {
    "RAGGED": "give the row as many fields as the header; put quotation marks around text with the separator",
    "BROKEN_JSON": "write one whole JSON object a line",
    "EMPTY": "write rows into it or leave it out",
    "BINARY": "give a table, JSON lines or text",
    "ENCODING": "save the file as UTF-8",
    "NO_TEXT": "write rows below the header",
    "ENCRYPTED": "save it without a password",
    "TOO_LARGE": "shorten the text; a quotation mark may not be closed",
    "NESTED": "unpack the inner archive",
    "UNREADABLE": "check the file and its permissions",
}
