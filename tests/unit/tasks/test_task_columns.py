"""Which column is what: by name in English and Chinese, by content, by the user's word; else a question."""

from __future__ import annotations

from typing import Any

import pytest

from yanmo.tasks.broken import FlawError
from yanmo.tasks.columns import getter, guess_columns, plain_name
from yanmo.tasks.registry import TASKS

WORDS = "quiet heavy narrow bitter golden distant broken gentle sudden patient careful honest early"


def sentence(number: int) -> str:
    words = WORDS.split()
    return " ".join(words[(number * step) % len(words)] for step in (1, 3, 5, 7, 11)) + f" {number}"


def rows(*names: str, count: int = 30, **cells: Any) -> list[dict[str, Any]]:
    """Rows with a text under the first name, a class under the second, and what functions give."""
    text, label = names
    return [
        {text: sentence(i), label: "ab"[i % 2], **{name: make(i) for name, make in cells.items()}}
        for i in range(count)
    ]


def guessed(
    sample: list[dict[str, Any]], task: str = "text-classification", shape: int = 0, **columns: Any
) -> tuple[dict[str, tuple[str, ...]], str]:
    guess = guess_columns(sample, TASKS[task].shapes[shape].roles, columns, labelled=True)
    return dict(guess.columns), guess.why


@pytest.mark.parametrize(
    "names",
    [
        ("text", "label"),
        ("Review", "Sentiment"),
        ("评论内容", "情感标签"),
        ("內容", "標籤"),
        ("review_body", "star_rating"),
        ("sentence", "target"),
        ("Tweet Text", "Class"),
    ],
)
def test_by_name(names: tuple[str, str]) -> None:
    found, why = guessed(rows(*names, id=lambda i: i, date=lambda i: f"2020-01-{i % 28 + 1:02d}"))
    assert found == {"text": (names[0],), "label": (names[1],)}
    assert why == f"text = {names[0]} (by its name), label = {names[1]} (by its name)"


def test_by_content_with_the_reason() -> None:
    sample = rows("aaa", "bbb", number=lambda i: str(i * 7), day=lambda i: f"2020-{i}")
    found, why = guessed(sample)
    assert found == {"text": ("aaa",), "label": ("bbb",)}
    assert "the longest texts, 3" in why
    assert "2 different values in 30 rows" in why


def test_likelier_names_win() -> None:
    found, _ = guessed(rows("text", "label", title=sentence, type=lambda i: i % 3))
    assert found == {"text": ("text",), "label": ("label",)}


def test_a_class_by_number_and_by_name_is_read_by_name() -> None:
    found, _ = guessed(rows("text", "label_name", label=lambda i: i % 2))
    assert found["label"] == ("label_name",)


def test_a_class_and_a_finer_one_are_two_things() -> None:
    with pytest.raises(FlawError, match="label may be label_name or label"):
        guessed(rows("text", "label_name", label=lambda i: i % 4))


def test_a_column_of_one_value_is_not_the_label() -> None:
    found, _ = guessed(rows("text", "class", category=lambda i: "reviews"))
    assert found["label"] == ("class",)


@pytest.mark.parametrize("wanted", ["Stars", "stars", "3"])
def test_the_user_is_believed(wanted: str) -> None:
    found, why = guessed(rows("text", "label", Stars=lambda i: i % 5), label=wanted)
    assert found["label"] == ("Stars",)
    assert "label = Stars (as you said)" in why


def test_several_columns_of_one_role() -> None:
    found, _ = guessed(rows("text", "label", title=sentence), text=("title", "text"))
    assert found["text"] == ("title", "text")
    assert getter(found["text"])({"title": "甲", "text": "乙"}) == ["甲", "乙"]


def test_two_texts_in_order() -> None:
    sample = [{"zz": sentence(i), "aa": sentence(i + 1), "y": i % 2} for i in range(30)]
    found, _ = guessed(sample, "pair-classification")
    assert found == {"first": ("zz",), "second": ("aa",), "label": ("y",)}


def test_texts_in_an_object_of_languages() -> None:
    sample = [{"id": i, "translation": {"de": f"Satz {i}", "en": f"sentence {i}"}} for i in range(9)]
    found, _ = guessed(sample, "translation")
    assert found == {"source": ("translation.de",), "target": ("translation.en",)}
    assert getter(found["target"])(sample[3]) == "sentence 3"


def test_a_target_is_not_needed_to_predict() -> None:
    sample = [{"review": sentence(i)} for i in range(5)]
    roles = TASKS["text-classification"].shapes[0].roles
    assert dict(guess_columns(sample, roles, {}, labelled=False).columns) == {"text": ("review",)}
    with pytest.raises(FlawError, match="no column for label"):
        guess_columns(sample, roles, {}, labelled=True)


def test_names_without_case_and_signs() -> None:
    assert plain_name(" Review_Text-1 ") == plain_name("reviewtext1")
    assert plain_name("评论（原文）") == "评论原文"
