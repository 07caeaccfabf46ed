"""pair-classification: two texts, and whether they match, what follows, or how alike they are."""

from __future__ import annotations

from collections.abc import Iterable

from yanmo.reporting.axes import Words
from yanmo.tasks.base import Cells, How, Item, Shape, Task
from yanmo.tasks.cells import text_in
from yanmo.tasks.classification import label_in, study_labels
from yanmo.tasks.columns import Holds, Role
from yanmo.tasks.examples import Origin, PairExample

FIRST = Role(
    name="first",
    names=(
        "sentence1 text1 question1 premise query anchor sent1 s1 texta sentencea query1 first"
        " 句子1 文本1 问题1 前提 句子一 文本一 问句1 句1",
        "question text sentence a 问题 文本 句子 问句",
    ),
    holds=Holds.TEXT,
)
SECOND = Role(
    name="second",
    names=(
        "sentence2 text2 question2 hypothesis textpair sent2 s2 textb sentenceb query2 second"
        " 句子2 文本2 问题2 假设 句子二 文本二 问句2 句2",
        "answer passage document candidate response reply title b 答案 回答 候选 标题",
    ),
    holds=Holds.TEXT,
)
LABEL = Role(
    name="label",
    names=(
        "label labels score similarity similarityscore relatednessscore goldlabel ismatch isduplicate match"
        " gold entailment judgment 标签 分数 得分 相似度 是否匹配 是否相似 标注 类别 關係 关系",
        "class category target y relation rating 评分",
    ),
    holds=Holds.LABEL,
    is_target=True,
)


def _build(cells: Cells, origin: Origin, how: How) -> Iterable[Item]:
    first, second = text_in(cells, "first", how), text_in(cells, "second", how)
    return (PairExample(first=first, second=second, label=label_in(cells, how), origin=origin),)


PAIR_CLASSIFICATION = Task(
    name="pair-classification",
    what=Words("two texts and their relation or score", "两个文本及其关系或分数"),
    shapes=(Shape(roles=(FIRST, SECOND, LABEL), build=_build, study=study_labels),),
)
