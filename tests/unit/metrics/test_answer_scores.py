"""Exact match and F1 of answers, counted by hand as SQuAD and CMRC do."""

from __future__ import annotations

import math

import pytest

from yanmo import metrics
from yanmo.errors import InputError
from yanmo.metrics.answers import Counted, longest_common_run


@pytest.mark.parametrize(
    ("gold", "predicted", "exact", "f1"),
    [
        (["Denver Broncos"], "The Denver Broncos!", 1.0, 1.0),
        (["Denver Broncos", "Broncos"], "Broncos", 1.0, 1.0),
        # {levi's→levis, stadium} and {stadium, in, santa, clara}: one shared, 2·1/(2+4).
        (["Levi's Stadium"], "stadium in Santa Clara", 0.0, 1 / 3),
        # A word shared twice counts twice: {new, york, new, york} and {new, york}: 2·2/(4+2).
        (["New York, New York"], "New York", 0.0, 2 / 3),
        (["Santa Clara", "in Santa Clara, California"], "Clara California", 0.0, 2 * 2 / 6),
        (["the"], "a", 1.0, 1.0),
        (["1,000"], "1000", 1.0, 1.0),
        (["gold"], "", 0.0, 0.0),
        ([], "", 1.0, 1.0),
        ([""], "", 1.0, 1.0),
        (["Paris", "the"], "", 0.0, 0.0),
        ([], "anything", 0.0, 0.0),
        (["ü.A."], "ÜA", 1.0, 1.0),
    ],
)
def test_answers_by_words(gold: list[str], predicted: str, exact: float, f1: float) -> None:
    assert metrics.answer_values([gold], [predicted])[0].tolist() == pytest.approx([exact, f1])


@pytest.mark.parametrize(
    ("gold", "predicted", "exact", "f1"),
    [
        (["1963年"], "1963年", 1.0, 1.0),
        (["《战国无双》"], "战国无双", 1.0, 1.0),
        # The longest run is 光荣 (2) of 光荣和ω-force → 光 荣 和 ωforce (4) and 光荣 (2).
        (["光荣和ω-force"], "光荣", 0.0, 2 * 2 / (4 + 2)),
        # 北京大学 and 北方大学: the run is 大学, though three characters are shared.
        (["北京大学"], "北方大学", 0.0, 2 * 2 / 8),
        (["3月5日", "1999年3月5日"], "1999年3月5日。", 1.0, 1.0),
        # A Latin word or a number is one piece: 用 iphone 14 and 用 iphone 15 share 用 iphone.
        (["用 iPhone 14"], "用iphone 15", 0.0, 2 * 2 / 6),
        (["上海"], "北京", 0.0, 0.0),
        (["上海"], "", 0.0, 0.0),
        ([], "", 1.0, 1.0),
        ([], "上海", 0.0, 0.0),
        (["3.5%"], "3.5", 0.0, 2 * 1 / 3),
    ],
)
def test_answers_by_characters(gold: list[str], predicted: str, exact: float, f1: float) -> None:
    found = metrics.answer_values([gold], [predicted], counted="characters")
    assert found[0].tolist() == pytest.approx([exact, f1])


@pytest.mark.parametrize(
    ("counted", "answers"),
    [("words", ("Paris", "in Paris", "Rome")), ("characters", ("巴黎", "在巴黎", "罗马"))],
)
def test_questions_without_an_answer_are_told_apart(counted: Counted, answers: tuple[str, str, str]) -> None:
    right, longer, wrong = answers
    gold = [[right], [right], [right], [], []]
    found = metrics.answer_scores(gold, [right, longer, "", "", wrong], counted=counted)
    assert found["exact_match"] == pytest.approx(2 / 5)
    assert found["exact_match_answered"] == pytest.approx(1 / 3)
    assert found["f1_answered"] == pytest.approx((1 + {"words": 2 / 3, "characters": 0.8}[counted]) / 3)
    assert found["no_answer_accuracy"] == pytest.approx(1 / 2)
    assert metrics.answer_scores([[right]], [right], counted=counted).names == ("exact_match", "f1")


def test_the_threshold_of_no_answer() -> None:
    # Answering the three least doubtful earns 1 + 0.5 + 0.8, and silence on the last two earns 2.
    found = metrics.best_no_answer_threshold(
        [0.1, 0.2, 0.3, 0.8, 0.9], [1.0, 0.5, 0.8, 0.0, 0.0], [True, True, True, False, False]
    )
    assert found.threshold == 0.3
    assert found.value == pytest.approx(4.3 / 5)


def test_the_threshold_cannot_part_equal_scores() -> None:
    found = metrics.best_no_answer_threshold([0.5, 0.5], [1.0, 0.0], [True, False])
    assert found.value == 0.5
    assert found.threshold < 0.5


def test_silence_may_be_best() -> None:
    found = metrics.best_no_answer_threshold([1.0, 2.0], [0.0, 0.0], [False, False])
    assert found.value == 1.0
    assert found.threshold < 1.0
    assert math.isfinite(found.threshold)
    with pytest.raises(InputError, match="question 1"):
        metrics.best_no_answer_threshold([1.0, math.nan], [0.0, 0.0], [False, False])


def test_the_longest_common_run_is_unbroken() -> None:
    assert longest_common_run("abcdef", "xbcdyef") == 3
    assert longest_common_run("abc", "") == 0
    assert longest_common_run("abab", "babab") == 4
