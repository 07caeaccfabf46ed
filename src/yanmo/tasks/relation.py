"""relation-extraction: a text with two entities marked in it, and their relation.

Marks are those of SemEval-2010 task 8 (Hendrickx et al. 2010), ``<e1>`` and ``<e2>``; its own files hold a
numbered, quoted sentence, the relation below, a comment, a blank line. Where entities are columns, they are
a text that the sentence holds once, or an object with ``name`` and ``pos`` (OpenNRE, FewRel).
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from yanmo.corpus.files import Blob, Encoding
from yanmo.corpus.tables import bounded_lines
from yanmo.errors import InputError
from yanmo.reporting.axes import Words
from yanmo.tasks.base import Cells, How, Item, Layout, ReadSettings, Shape, Task
from yanmo.tasks.broken import Flaw, FlawError, Note
from yanmo.tasks.cells import as_text, find_once, mapping_in, span_in, text_in
from yanmo.tasks.columns import Holds, Role
from yanmo.tasks.examples import Origin, RelationExample, Span
from yanmo.tasks.labels import LabelKind, read_label

_MARK = re.compile(r"<(/?)[eE]([12])>|\[(/?)E([12])\]")
_SENTENCE = re.compile(r'(\d+)\s+"?(.*?)"?\s*')
_MARKS_REMEDY = "mark one as <e1>...</e1> and one as <e2>...</e2>"
_TEXT = Role(name="text", names=("text sentence content sents 文本 句子 内容 原文",), holds=Holds.TEXT)
_RELATION = Role(
    name="relation",
    names=("relation relationtype rel predicate label 关系 標籤 标签 谓词 关系类型", "class category y 类别"),
    holds=Holds.LABEL,
    is_target=True,
)
_HEAD = Role(name="head", names=("head h subject e1 entity1 subj 头实体 主体 实体1 主语",))
_TAIL = Role(name="tail", names=("tail t object e2 entity2 obj 尾实体 客体 实体2 宾语",))


def _build_marked(cells: Cells, origin: Origin, how: How) -> Iterable[Item]:
    return (_marked_example(text_in(cells, "text", how), cells.get("relation"), origin, how),)


def _build_columns(cells: Cells, origin: Origin, how: How) -> Iterable[Item]:
    text = text_in(cells, "text", how)
    head, tail = (_entity(text, cells.get(role), role, how) for role in ("head", "tail"))
    return (_example(text, head, tail, cells.get("relation"), origin, how),)


def _marked_example(marked: str, relation: Any, origin: Origin, how: How) -> RelationExample:
    text, spans = _unmark(marked)
    return _example(text, spans["1"], spans["2"], relation, origin, how)


def marked_example(marked: str, origin: Origin) -> RelationExample:
    """A text with marks as an example without a relation.

    Raises:
        InputError: not exactly one ``<e1>`` and one ``<e2>`` are there, or they lie in each other.
    """
    try:
        text, spans = _unmark(marked)
        _refuse_overlap(spans["1"], spans["2"])
    except FlawError as flaw:
        raise InputError(flaw.detail, where=str(origin), remedy=flaw.remedy) from None
    return RelationExample(text=text, head=spans["1"], tail=spans["2"], relation=None, origin=origin)


def _refuse_overlap(head: Span, tail: Span) -> None:
    if head.start < tail.end and tail.start < head.end:
        raise FlawError(Flaw.OVERLAP, "the two entities lie in each other", "mark two different places")


def _example(text: str, head: Span, tail: Span, relation: Any, origin: Origin, how: How) -> RelationExample:
    _refuse_overlap(head, tail)
    known = None
    if how.labelled or relation not in (None, ""):
        known = str(read_label(relation, LabelKind.ONE, how.classes.get("relation", ())))
    return RelationExample(text=text, head=head, tail=tail, relation=known, origin=origin)


def _unmark(marked: str) -> tuple[str, dict[str, Span]]:
    """The text without its marks, and what was between them."""
    parts: list[str] = []
    starts: dict[str, int] = {}
    spans: dict[str, Span] = {}
    place = length = 0
    for mark in _MARK.finditer(marked):
        parts.append(marked[place : mark.start()])
        length += len(parts[-1])
        place = mark.end()
        is_end, number = bool(mark[1] or mark[3]), mark[2] or mark[4]
        if is_end and (number not in starts or number in spans):
            raise FlawError(Flaw.MARKS, f"</e{number}> ends nothing", _MARKS_REMEDY)
        if not is_end and number in starts:
            raise FlawError(Flaw.MARKS, f"<e{number}> stands twice", _MARKS_REMEDY)
        if is_end:
            spans[number] = Span(starts[number], length)
        else:
            starts[number] = length
    for number in "12":
        if number not in spans:
            what = f"<e{number}> is not ended" if number in starts else f"no <e{number}>"
            raise FlawError(Flaw.MARKS, what, _MARKS_REMEDY)
        if spans[number].start == spans[number].end:
            raise FlawError(Flaw.MARKS, f"nothing between <e{number}> and </e{number}>", _MARKS_REMEDY)
    return "".join([*parts, marked[place:]]), spans


def _entity(text: str, cell: Any, what: str, how: How) -> Span:
    entity = mapping_in(cell)
    if entity is None:
        return Span(*find_once(text, as_text(cell, what, how), what))
    name = entity.get("name", entity.get("text"))
    place = entity.get("pos", [entity.get("start"), entity.get("end")])
    if isinstance(place, list) and len(place) == 2 and place[0] is not None:
        return span_in(text, place[0], place[1], "", name)[0]
    return Span(*find_once(text, as_text(name, what, how), what))


def _fits_semeval(lines: Sequence[str]) -> bool:
    filled = [line for line in lines if line.strip()][:2]
    # In a table every line is marked.
    return bool(filled) and bool(_MARK.search(filled[0])) and not any(map(_MARK.search, filled[1:]))


def _read_semeval(blob: Blob, encoding: Encoding, settings: ReadSettings, note: Note) -> Iterator[Item]:
    note(f"{blob.label}: SemEval-2010 task 8: text = numbered lines, relation = the lines below them")
    how = How(settings=settings, is_repaired=encoding.num_bad > 0)
    with blob.open() as stream:
        lines = bounded_lines(io.TextIOWrapper(stream, encoding=encoding.name, errors=encoding.errors))
        for number, (line, block) in enumerate(_blocks(lines), 1):
            origin = Origin(blob.label, number, line)
            try:
                yield _block_example(block, origin, how)
            except FlawError as flaw:
                yield flaw.at(origin, " ".join(block))


def _blocks(lines: Iterable[str]) -> Iterator[tuple[int, list[str]]]:
    """Number of the first line, and the lines, of what stands between blank lines."""
    block: list[str] = []
    for number, line in enumerate([*lines, ""], 1):
        if line.strip():
            block.append(line.removeprefix("\ufeff").strip())
        elif block:
            yield number - len(block), block
            block = []


def _block_example(block: Sequence[str], origin: Origin, how: How) -> RelationExample:
    match = _SENTENCE.fullmatch(block[0])
    if match is None:
        raise FlawError(
            Flaw.ROW, f"not a numbered sentence: {block[0][:40]!r}", 'write: 1<TAB>"The <e1>...</e1> ..."'
        )
    below = [line for line in block[1:] if not line.startswith("Comment:")]
    if len(below) > 1:
        raise FlawError(
            Flaw.ROW, f"{len(below)} lines below the sentence", "write one relation, then a blank line"
        )
    return _marked_example(as_text(match[2], "text", how), below[0] if below else None, origin, how)


RELATION_EXTRACTION = Task(
    name="relation-extraction",
    what=Words("a text with two marked entities and their relation", "标出两个实体的文本及实体间关系"),
    shapes=(
        Shape(roles=(_TEXT, _HEAD, _TAIL, _RELATION), build=_build_columns),
        Shape(roles=(_TEXT, _RELATION), build=_build_marked),
    ),
    layouts=(Layout(what="SemEval-2010 task 8", fits=_fits_semeval, read=_read_semeval),),
)
