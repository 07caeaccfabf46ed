"""text-classification: a text, and its class, classes or number."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from yanmo.corpus.files import Blob, Encoding
from yanmo.corpus.tables import bounded_lines
from yanmo.reporting.axes import Words
from yanmo.tasks.base import Cells, How, Item, Layout, ReadSettings, Shape, Task
from yanmo.tasks.broken import Flaw, FlawError, Note
from yanmo.tasks.cells import as_text, text_in
from yanmo.tasks.columns import Holds, Role, plain_name
from yanmo.tasks.examples import ClassificationExample, Label, Origin
from yanmo.tasks.labels import LabelKind, guess_kind, read_indicators, read_label, separator_of

TEXT = Role(
    name="text",
    names=(
        "text sentence content review comment document body utterance query question message tweet post"
        " 文本 内容 句子 评论 正文 文章 评价 留言 问题 微博 內容 評論 句 原文",
        "article passage clause abstract description feedback answer input 段落 摘要 描述 反馈 条款",
        "title headline subject name 标题 標題 题目 主题",
    ),
    holds=Holds.TEXT,
)
LABEL = Role(
    name="label",
    names=(
        "label labels class category categories sentiment labelname labeltext"
        " classname categoryname 标签 類別 类别 分类 情感 标注 標籤 类 标签名称",
        "relation target y gold topic intent emotion polarity"
        " stars rating star score tag tags 意图 主题 情绪 极性 星级 评分 分数 得分 类型",
        "type kind genre area 领域 种类",
    ),
    holds=Holds.LABEL,
    is_target=True,
)
_FASTTEXT = "__label__"


def label_in(cells: Cells, how: How) -> Label | None:
    """The label of a row; None where none is there and none is needed.

    Raises:
        FlawError: there is none, or it is none.
    """
    columns = how.columns.get("label", ())
    cell = cells.get("label")
    if len(columns) > 1:
        return read_indicators(cell or (), columns)
    if not how.labelled and (cell is None or cell == ""):
        return None
    return read_label(cell, how.kind, how.classes.get("label", ()), how.separator)


def study_labels(sample: Sequence[Cells], how: How) -> How:
    """What the labels of a file are, by its first rows."""
    columns = how.columns.get("label", ())
    if len(columns) != 1:
        return how
    cells = [row.get("label") for row in sample]
    kind = how.settings.label_kind or guess_kind(cells, plain_name(columns[0]))
    return replace(how, kind=kind, separator=separator_of(cells) if kind is LabelKind.SEVERAL else "")


def _build(cells: Cells, origin: Origin, how: How) -> Iterable[Item]:
    text = text_in(cells, "text", how)
    return (ClassificationExample(text=text, label=label_in(cells, how), origin=origin),)


def _fits_fasttext(lines: Sequence[str]) -> bool:
    filled = [line for line in lines if line.strip()]
    return sum(line.startswith(_FASTTEXT) for line in filled) > 0.5 * len(filled)


def _read_fasttext(blob: Blob, encoding: Encoding, settings: ReadSettings, note: Note) -> Iterator[Item]:
    note(f"{blob.label}: labels = what begins with {_FASTTEXT}, text = the rest of the line")
    how = How(settings=settings, is_repaired=encoding.num_bad > 0)
    with blob.open() as stream:
        lines = bounded_lines(io.TextIOWrapper(stream, encoding=encoding.name, errors=encoding.errors))
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            origin = Origin(blob.label, number, number)
            try:
                yield _fasttext_example(line, origin, how)
            except FlawError as flaw:
                yield flaw.at(origin, line)


def _fasttext_example(line: str, origin: Origin, how: How) -> ClassificationExample:
    words = line.removeprefix("\ufeff").split(" ")
    num_labels = next((i for i, word in enumerate(words) if not word.startswith(_FASTTEXT)), len(words))
    labels = tuple(word.strip().removeprefix(_FASTTEXT) for word in words[:num_labels])
    if not any(labels) and how.labelled:
        raise FlawError(Flaw.NO_LABEL, f"{line[:30]!r}", f"begin the line with {_FASTTEXT} and the class")
    text = as_text(" ".join(words[num_labels:]).strip(), "text", how)
    label: Label | None = (labels[0] if len(labels) == 1 else labels) if labels else None
    return ClassificationExample(text=text, label=label, origin=origin)


TEXT_CLASSIFICATION = Task(
    name="text-classification",
    what=Words("a text and its class, several classes, or a number", "文本及其类别、多个类别或数值"),
    shapes=(Shape(roles=(TEXT, LABEL), build=_build, study=study_labels),),
    layouts=(Layout(what="fastText lines", fits=_fits_fasttext, read=_read_fasttext),),
    reads_class_folders=True,
)
