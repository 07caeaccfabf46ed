"""Scores of generated text and of ranked lists, where no reference library says what is right."""

from __future__ import annotations

import random
from functools import cache

import pytest

from yanmo import metrics
from yanmo.errors import InputError
from yanmo.metrics.ngrams import count_matches
from yanmo.metrics.segments import mostly_chinese, split_words
from yanmo.metrics.summaries import longest_common_subsequence


def test_words_and_characters_are_told_apart() -> None:
    assert split_words("我用 iPhone15 看《三体》, don't ask.") == [
        *("我", "用", "iphone15", "看", "三", "体", "don", "t", "ask")
    ]
    assert split_words("カタカナ と 한국어 über_all 𠀀〇") == [
        "カ",
        "タ",
        "カ",
        "ナ",
        "と",
        "한국어",
        "über",
        "all",
        "𠀀",
        "〇",
    ]
    assert split_words("…… — !") == []


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["今天用 iPhone"], False),
        (["今天我们用了 iPhone"], True),
        (["hello 好"], False),
        (["123 !"], False),
        ([], False),
    ],
)
def test_mostly_chinese(texts: list[str], expected: bool) -> None:
    assert mostly_chinese(texts) is expected


def test_a_common_subsequence_is_the_longest() -> None:
    draw = random.Random(0)
    for _ in range(100):
        first, second = ("".join(draw.choices("甲乙丙ab", k=draw.randint(0, 12))) for _ in range(2))

        @cache
        def longest(i: int, j: int, a: str = first, b: str = second) -> int:
            if i == len(a) or j == len(b):
                return 0
            if a[i] == b[j]:
                return 1 + longest(i + 1, j + 1)
            return max(longest(i + 1, j), longest(i, j + 1))

        assert longest_common_subsequence(first, second) == longest(0, 0)


def test_matches_are_clipped_and_stay_in_their_segment() -> None:
    found = count_matches(["aaaab", "b", ""], [["aab", "aaa"], ["bb"], ["ab"]], orders=2)
    assert found.hypothesis.tolist() == [[5, 4], [1, 0], [0, 0]]
    assert found.reference.tolist() == [[3, 2], [3, 2], [2, 1], [2, 1]]
    # aaaab has four a, aab two and aaa three; the second text has one b, its reference two.
    assert found.matched.tolist() == [[3, 2], [3, 2], [1, 0], [0, 0]]
    assert found.matched_best.tolist() == [[4, 3], [1, 0], [0, 0]]


def test_many_segments_are_counted_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [["今天", "天气", "好"] * (1 + index % 3) for index in range(50)]
    others = [[text[1:]] for text in texts]
    whole = count_matches(texts, others, orders=3)
    monkeypatch.setattr("yanmo.metrics.ngrams._CHUNK_SYMBOLS", 30)
    parts = count_matches(texts, others, orders=3)
    assert (whole.matched == parts.matched).all()
    assert (whole.hypothesis == parts.hypothesis).all()
    assert (whole.matched_best == parts.matched_best).all()


def test_the_same_text_is_perfect_and_another_is_nothing() -> None:
    texts = ["今天天气很好", "the cat sat on the mat"]
    assert metrics.bleu(texts, texts, tokenizer="zh")["bleu"] == pytest.approx(100)
    assert metrics.chrf(texts, texts)["chrf"] == pytest.approx(100)
    assert metrics.rouge(texts, texts).values == {"rouge1": 1.0, "rouge2": 1.0, "rougeL": 1.0}
    assert metrics.bleu(texts, texts[::-1])["bleu"] == 0
    assert metrics.rouge(texts, ["", ""])["rougeL"] == 0


def test_an_example_without_a_reference_is_named() -> None:
    for score in (metrics.bleu, metrics.chrf, metrics.rouge):
        with pytest.raises(InputError, match="example 1: an example has no reference"):
            score(["好", []], ["好", "好"])


def test_variety() -> None:
    assert metrics.distinct_n(["我爱你", "我爱他"], 1) == pytest.approx(4 / 6)
    assert metrics.distinct_n(["the cat the cat", "a"], 2) == pytest.approx(2 / 3)
    with pytest.raises(InputError, match="no text has 3 words"):
        metrics.distinct_n(["我爱"], 3)
    with pytest.raises(InputError, match="do not exist"):
        metrics.distinct_n(["我爱"], 0)


def test_a_ranked_list() -> None:
    found = metrics.retrieval([{"文档3"}, ["a", "b"]], [["文档1", "文档3"], ["x", "y"]], cutoffs=[1, 2])
    assert found["mrr"] == pytest.approx((1 / 2 + 0) / 2)
    assert found["map"] == pytest.approx((1 / 2 + 0) / 2)
    assert found["hit@1"] == 0
    assert found["hit@2"] == found["recall@2"] == 0.5


@pytest.mark.parametrize(
    ("relevant", "ranked", "cutoffs", "message"),
    [
        ([{"a"}, set()], [["a"], ["a"]], [1], "query 1: a query has nothing relevant"),
        ([{"a": 0.0}], [["a"]], [1], "query 0: a query has nothing relevant"),
        ([{"a"}], [["a", "a"]], [1], "query 0: a ranked list names an item twice"),
        ([{"a"}], [["a"]], [0], "ranks"),
        ([{"a"}], [["a"]], [], "ranks"),
    ],
)
def test_a_list_that_cannot_be_scored_is_named(
    relevant: list[set[str]], ranked: list[list[str]], cutoffs: list[int], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        metrics.retrieval(relevant, ranked, cutoffs=cutoffs)
