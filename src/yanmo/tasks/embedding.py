"""sentence-similarity: texts that belong together, with a score, or with one that does not belong."""

from __future__ import annotations

from collections.abc import Iterable

from yanmo.reporting.axes import Words
from yanmo.tasks.base import Cells, How, Item, Shape, Task
from yanmo.tasks.broken import Flaw, FlawError
from yanmo.tasks.cells import text_in
from yanmo.tasks.columns import Holds, Role
from yanmo.tasks.examples import Origin, SimilarityExample
from yanmo.tasks.labels import read_number
from yanmo.tasks.pair import FIRST, SECOND

_ANCHOR = Role(name="first", names=("anchor query question premise sentence 查询 问题 锚",), holds=Holds.TEXT)
_POSITIVE = Role(
    name="second",
    names=("positive pos positivepassage entailment answer relevant 正例 相关 答案",),
    holds=Holds.TEXT,
)
_NEGATIVE = Role(
    name="negative",
    names=("negative neg negativepassage contradiction hardnegative irrelevant 负例 不相关",),
    holds=Holds.TEXT,
)
_SCORE = Role(
    name="score",
    names=("score similarity similarityscore relatednessscore 分数 得分 相似度", "label 标签 rating 评分"),
    optional=True,
    is_target=True,
)


def _build_pair(cells: Cells, origin: Origin, how: How) -> Iterable[Item]:
    first, second = text_in(cells, "first", how), text_in(cells, "second", how)
    score = None
    if "score" in cells and (how.labelled or cells["score"] not in (None, "")):
        score = read_number(cells["score"])
    return (SimilarityExample(first=first, second=second, score=score, origin=origin),)


def _build_triple(cells: Cells, origin: Origin, how: How) -> Iterable[Item]:
    first, second = text_in(cells, "first", how), text_in(cells, "second", how)
    negative = text_in(cells, "negative", how)
    if negative == second:
        raise FlawError(Flaw.SAME_ANSWERS, "what belongs and what does not are the same", "leave the row out")
    return (SimilarityExample(first=first, second=second, negative=negative, origin=origin),)


SENTENCE_SIMILARITY = Task(
    name="sentence-similarity",
    what=Words("texts that belong together, or a score of how alike they are", "相关的文本，或其相似度分数"),
    shapes=(
        Shape(roles=(_ANCHOR, _POSITIVE, _NEGATIVE), build=_build_triple),
        Shape(roles=(FIRST, SECOND, _SCORE), build=_build_pair),
        Shape(roles=(_ANCHOR, _POSITIVE, _SCORE), build=_build_pair),
    ),
)
