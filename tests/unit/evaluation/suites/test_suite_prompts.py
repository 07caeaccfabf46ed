"""Questions are put as published, in their own language, and never are their own examples."""

from __future__ import annotations

import pytest

from yanmo.errors import InputError
from yanmo.evaluation.suites.items import Item
from yanmo.evaluation.suites.prompts import ASKED, CONTINUED, EXAM, LAST_WORD, SENTENCES, prompts_of
from yanmo.evaluation.suites.subjects import SUBJECTS


def made(number: int, group: str = "", question: str = "") -> Item:
    return Item(
        question=question or f"question {number}",
        choices=(f"right {number}", f"wrong {number}"),
        answer=0,
        group=group,
        place=f"line {number}",
    )


@pytest.mark.parametrize(
    ("style", "chinese", "solved"),
    [
        (ASKED, False, "Question: why?\nAnswer: yes"),
        (ASKED, True, "问题：why?\n答案：yes"),
        (CONTINUED, False, "why? yes"),
        (CONTINUED, True, "why?yes"),
        (LAST_WORD, False, "why?yes"),
        (
            EXAM,
            True,
            "以下是中国关于法学考试的单项选择题，请选出其中的正确答案。\n\nwhy?\nA. no\nB. yes\n答案：B",
        ),
    ],
)
def test_wording(style: object, chinese: bool, solved: str) -> None:
    item = Item(question="why?", choices=("no", "yes"), answer=1, group="law")
    (prompt,) = prompts_of([item], style, chinese=chinese).prompts
    assert prompt.solved == solved


def test_every_subject_of_c_eval_has_a_chinese_name() -> None:
    assert len(SUBJECTS) == len(set(SUBJECTS.values())) == 52


def test_an_unknown_subject_is_named_nothing() -> None:
    item = Item(question="why?", choices=("no", "yes"), answer=1, group="astrology")
    (prompt,) = prompts_of([item], EXAM, chinese=True).prompts
    assert prompt.context.startswith("以下是中国考试的单项选择题")


def test_examples_stand_before_the_question_and_are_never_the_question() -> None:
    items = [made(number) for number in range(6)]
    found = prompts_of(items, ASKED, chinese=False, num_examples=3, seed=1)
    for item, prompt in zip(items, found.prompts, strict=True):
        *examples, asked = prompt.context.split("\n\n")
        assert asked == f"Question: {item.question}\nAnswer:" and len(examples) == 3
        assert all(item.question not in example and " right " in example for example in examples)
    again = prompts_of(items, ASKED, chinese=False, num_examples=3, seed=1)
    other = prompts_of(items, ASKED, chinese=False, num_examples=3, seed=2)
    assert found == again and found.prompts != other.prompts
    assert set(dict(found.examples)) <= {item.place for item in items}


def test_examples_of_a_pool_are_the_same_for_all_and_of_the_same_subject() -> None:
    items = [made(0, "law"), made(1, "logic"), made(2, "law"), made(3, "physician")]
    pool = [made(10 + number, ("law", "logic")[number % 2]) for number in range(8)]
    prompts = prompts_of(items, EXAM, chinese=True, num_examples=2, pool=pool).prompts
    before = [prompt.context.split("\n\n")[1:-1] for prompt in prompts]
    assert before[0] == before[2] and all(len(examples) == 2 for examples in before)
    numbers = [int(line.split()[1]) for line in "\n".join(before[0]).splitlines() if line[:2] == "qu"]
    assert all(number % 2 == 0 for number in numbers)


def test_what_cannot_be_drawn_is_refused() -> None:
    items = [made(number) for number in range(3)]
    with pytest.raises(InputError, match="there are 3 questions to draw examples from, not 4"):
        prompts_of(items, ASKED, chinese=False, num_examples=3)
    assert prompts_of(items[:1], ASKED, chinese=False, num_examples=2, pool=items[1:]).examples
    with pytest.raises(InputError, match="without examples"):
        prompts_of(items, SENTENCES, chinese=False, num_examples=1)
    with pytest.raises(InputError, match="cannot be -1"):
        prompts_of(items, ASKED, chinese=False, num_examples=-1)
