"""translation and summarization: a text, and the text that it becomes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from yanmo.reporting.axes import Words
from yanmo.tasks.base import Cells, How, Item, Shape, Task
from yanmo.tasks.broken import Flaw, FlawError
from yanmo.tasks.cells import as_text, list_in, text_in
from yanmo.tasks.columns import Holds, Role
from yanmo.tasks.examples import Origin, Seq2SeqExample


def _roles(source: Sequence[str], target: Sequence[str]) -> tuple[Role, Role]:
    return (
        Role(name="source", names=tuple(source), holds=Holds.TEXT),
        Role(name="target", names=tuple(target), holds=Holds.TEXT, is_target=True),
    )


_TRANSLATION = _roles(
    ("source src sourcetext original input wrong incorrect 原文 源文 源 输入", "text sentence 文本 句子"),
    (
        "target tgt targettext translation translated output corrected correct"
        " 译文 目标 翻译 输出 改正 目标文本",
        "reference 参考译文",
    ),
)
_SUMMARY = _roles(
    (
        "document article source text abstract dialogue content body 文章 正文 原文 文本 内容 文档",
        "input question prompt 输入",
    ),
    (
        "summary summaries highlights target targets tldr 摘要 总结 概要",
        "title headline output 标题 輸出 输出",
    ),
)


def _build(cells: Cells, origin: Origin, how: How) -> Iterable[Item]:
    source = text_in(cells, "source", how)
    cell = cells.get("target")
    targets = None
    if how.labelled or cell not in (None, "", []):
        targets = tuple(as_text(part, "target", how) for part in _several(cell))
        if not targets:
            raise FlawError(Flaw.EMPTY_TEXT, "no target", "write the text that it becomes")
    return (Seq2SeqExample(source=source, targets=targets, origin=origin),)


def _several(cell: Any) -> list[Any]:
    """The references in a cell: several where it is a list."""
    return list_in(cell, "target") if isinstance(cell, list | tuple) else [cell]


TRANSLATION = Task(
    name="translation",
    what=Words("a text and its translation or correction", "原文及其译文或改正"),
    shapes=(Shape(roles=_TRANSLATION, build=_build),),
    reads_parallel_files=True,
)
SUMMARIZATION = Task(
    name="summarization",
    what=Words("a text and its summary or title", "原文及其摘要或标题"),
    shapes=(Shape(roles=_SUMMARY, build=_build),),
)
