from __future__ import annotations

from collections import Counter

import pytest

from yanmo.errors import InputError
from yanmo.tasks.examples import ClassificationExample, Origin
from yanmo.tasks.split import fold_examples


def example(text: str, label: str) -> ClassificationExample:
    return ClassificationExample(text=text, label=label, origin=Origin("rows.csv"))


def test_folds_hold_each_row_once_and_each_class_in_its_share() -> None:
    examples = [example(f"text {number}", "rare" if number % 5 == 0 else "usual") for number in range(100)]
    folds = fold_examples(examples, 5)
    assert sorted(index for fold in folds for index in fold) == list(range(100))
    assert [len(fold) for fold in folds] == [20] * 5
    assert all(Counter(examples[index].label for index in fold) == {"rare": 4, "usual": 16} for fold in folds)
    assert fold_examples(examples, 5) == folds and fold_examples(examples, 5, seed=1) != folds
    # The order of the rows does not matter.
    turned = [{examples[index].text for index in fold} for fold in folds]
    assert [
        {examples[::-1][index].text for index in fold} for fold in fold_examples(examples[::-1], 5)
    ] == turned


def test_equal_and_near_texts_are_in_one_fold() -> None:
    words = (
        "the quick brown fox jumps over a lazy dog and runs far away from here into deep dark green woods at"
    )
    near = [example(f"{words} {end}", "a") for end in ("night", "noon", "dawn")]
    chinese = [
        example("今天天气很好我们一起去公园散步看花然后回家吃饭休息睡觉" + end, "b") for end in ("吧", "了")
    ]
    twice = [example("again  and again", "b"), example("again and again", "a")]
    others = [example(f"row {number} of many", "ab"[number % 2]) for number in range(20)]
    examples = [*near, *chinese, *twice, *others]
    where = {index: number for number, fold in enumerate(fold_examples(examples, 4)) for index in fold}
    assert len({where[0], where[1], where[2]}) == len({where[3], where[4]}) == len({where[5], where[6]}) == 1


def test_too_few_texts_are_refused() -> None:
    examples = [example("same", "a"), example("same", "b"), example("other", "a")]
    assert sorted(map(len, fold_examples(examples, 2))) == [1, 2]
    with pytest.raises(InputError, match="2 texts that differ make no 3 folds"):
        fold_examples(examples, 3)
    with pytest.raises(InputError, match="make no 1 folds"):
        fold_examples(examples, 1)
