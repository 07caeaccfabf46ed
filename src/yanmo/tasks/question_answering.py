"""question-answering: a question whose answer stands in a context, or does not.

SQuAD 1.1 (Rajpurkar et al. 2016, arXiv 1606.05250) and 2.0 (2018, arXiv 1806.03822), whose articles hold
paragraphs with questions, and tables with a row for each question, as the hub keeps them. An answer without
a position is looked for in its context.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import zip_longest
from typing import Any

from yanmo.reporting.axes import Words
from yanmo.tasks.base import Cells, How, Item, Shape, Task
from yanmo.tasks.broken import Flaw, FlawError
from yanmo.tasks.cells import as_text, in_bytes, list_in, mapping_in, places_of, text_in
from yanmo.tasks.columns import Role
from yanmo.tasks.examples import Answer, Origin, QuestionExample

_CONTEXT = Role(
    name="context",
    names=("context passage paragraph document text article content 上下文 段落 原文 文章 材料 正文",),
)
_QUESTION = Role(name="question", names=("question query 问题 問題 提问 问句",))
_ANSWERS = Role(name="answers", names=("answers answer answertext fakeanswers 答案 回答",), is_target=True)
_START = Role(
    name="start", names=("answerstart start startposition startindex 答案位置 起始位置",), optional=True
)
_IMPOSSIBLE = Role(name="impossible", names=("isimpossible impossible noanswer",), optional=True)
_PARAGRAPHS = Role(name="paragraphs", names=("paragraphs",))
_STARTS = ("answer_start", "start", "begin", "answerstart")


def _build_flat(cells: Cells, origin: Origin, how: How) -> Iterable[Item]:
    context, question = text_in(cells, "context", how), text_in(cells, "question", how)
    answers = None
    if how.labelled or cells.get("answers") is not None:
        answers = _answers(context, cells.get("answers"), cells.get("start"), cells.get("impossible"), how)
    return (QuestionExample(context=context, question=question, answers=answers, origin=origin),)


def _build_article(cells: Cells, origin: Origin, how: How) -> Iterator[Item]:
    """The questions of an article, each read for itself."""
    paragraphs = list_in(cells["paragraphs"], "paragraphs")
    if not paragraphs:
        raise FlawError(Flaw.ROW, "no paragraphs", "write some, or leave the article out")
    for number, paragraph in enumerate(paragraphs, 1):
        within = f"paragraph {number}"
        questions = paragraph.get("qas") if isinstance(paragraph, Mapping) else None
        if not isinstance(questions, list) or not questions:
            what = FlawError(Flaw.ROW, 'no questions in "qas"', 'write {"context": ..., "qas": [...]}')
            yield what.at(origin._replace(within=within))
            continue
        for place, entry in enumerate(questions, 1):
            at = origin._replace(within=f"{within} question {place}")
            try:
                yield _article_question(paragraph.get("context"), entry, at, how)
            except FlawError as flaw:
                yield flaw.at(at, str(entry)[:200])


def _article_question(context: Any, entry: Any, origin: Origin, how: How) -> QuestionExample:
    if not isinstance(entry, Mapping):
        raise FlawError(
            Flaw.ROW, f"{repr(entry)[:40]} is no question", 'write {"question": ..., "answers": []}'
        )
    text = as_text(context, "context", how)
    question = as_text(entry.get("question"), "question", how)
    answers = None
    if how.labelled or "answers" in entry:
        answers = _answers(text, entry.get("answers"), None, entry.get("is_impossible"), how)
    return QuestionExample(context=text, question=question, answers=answers, origin=origin)


def _answers(context: str, cell: Any, start: Any, impossible: Any, how: How) -> tuple[Answer, ...]:
    if impossible in (True, 1, "true", "True", "1"):
        return ()
    found = list(_pairs(cell, start))
    if impossible is None and cell is None:
        raise FlawError(
            Flaw.NO_LABEL, "no answers", "write the answers, or an empty list where there is none"
        )
    answers = (_answer(context, text, place, how) for text, place in found)
    return tuple(dict.fromkeys(answers))


def _pairs(cell: Any, start: Any) -> Iterator[tuple[Any, Any]]:
    """Texts of answers and their positions, in each of the ways that files have them."""
    table = mapping_in(cell)
    if table is not None and isinstance(table.get("text"), list):
        nowhere: list[Any] = []
        starts = next((table[name] for name in _STARTS if isinstance(table.get(name), list)), nowhere)
        yield from zip_longest(table["text"], starts)
    elif table is not None:
        yield table.get("text"), _first_start(table)
    elif isinstance(cell, list) or (isinstance(cell, str) and cell.startswith("[")):
        for entry in list_in(cell, "answers"):
            is_object = isinstance(entry, Mapping)
            yield (entry.get("text"), _first_start(entry)) if is_object else (entry, None)
    elif cell is not None and cell != "":
        yield cell, start


def _first_start(entry: Mapping[str, Any]) -> Any:
    return next((entry[name] for name in _STARTS if entry.get(name) is not None), None)


def _answer(context: str, cell: Any, start: Any, how: How) -> Answer:
    text = as_text(cell, "answer", how)
    if isinstance(start, str) and start.strip().isdigit():
        start = int(start)
    if start is None or start == "":
        place = context.find(text)
        if place < 0:
            raise FlawError(Flaw.ANSWER, repr(text[:40]), "write the answer as the context has it")
        return Answer(text, place)
    if not isinstance(start, int) or isinstance(start, bool):
        raise FlawError(Flaw.ANSWER, f"position {start!r}", "write the position as a whole number from 0")
    if start < 0 or context[start : start + len(text)] != text:
        there = context[max(0, start) : max(0, start) + len(text)]
        detail = f"{text[:40]!r} is not at {start}, there is {there[:40]!r}"
        raise FlawError(Flaw.ANSWER, detail, _remedy(context, text, start))
    return Answer(text, start)


def _remedy(context: str, text: str, start: int) -> str:
    places = places_of(context, text)
    if not places:
        return "write the answer as the context has it"
    if start >= 0 and in_bytes(context, start, text):
        return f"positions count bytes here: count characters; it stands at {places}"
    return f"it stands at {places}; without a position it is looked for"


QUESTION_ANSWERING = Task(
    name="question-answering",
    what=Words("a question and its answer in a context", "问题及其在原文中的答案"),
    shapes=(
        Shape(roles=(_PARAGRAPHS,), build=_build_article),
        Shape(roles=(_CONTEXT, _QUESTION, _ANSWERS, _START, _IMPOSSIBLE), build=_build_flat),
    ),
)
