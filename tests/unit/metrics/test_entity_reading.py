"""Entities read from tags, right ones and broken ones."""

from __future__ import annotations

import pytest

from yanmo.errors import InputError
from yanmo.metrics import (
    Entity,
    entity_scores,
    read_entities,
    relation_extraction,
    relation_of,
    relations_by_label,
    tagging,
)
from yanmo.metrics.entities import Scheme


@pytest.mark.parametrize(
    ("tags", "scheme", "lenient", "strict"),
    [
        ("B-PER I-PER O B-地点", "BIO", [("PER", 0, 2), ("地点", 3, 4)], [("PER", 0, 2), ("地点", 3, 4)]),
        ("B-PER B-PER", "BIO", [("PER", 0, 1), ("PER", 1, 2)], [("PER", 0, 1), ("PER", 1, 2)]),
        ("O I-PER I-PER", "BIO", [("PER", 1, 3)], []),
        ("B-PER I-地点", "BIO", [("PER", 0, 1), ("地点", 1, 2)], [("PER", 0, 1)]),
        ("B-人 I-人 E-人 S-人", "BIOES", [("人", 0, 3), ("人", 3, 4)], [("人", 0, 3), ("人", 3, 4)]),
        ("B-人 I-人 O", "BIOES", [("人", 0, 2)], []),
        ("B-人 L-人 U-人", "BIOES", [("人", 0, 2), ("人", 2, 3)], [("人", 0, 2), ("人", 2, 3)]),
        ("I-ORG I-ORG I-PER O I-PER", "IO", [("ORG", 0, 2), ("PER", 2, 3), ("PER", 4, 5)], None),
        ("O O", "BIO", [], []),
        ("", "BIO", [], []),
        ("B I O", "BIO", [("", 0, 2)], [("", 0, 2)]),
        ("B-a-b I-a-b", "BIO", [("a-b", 0, 2)], [("a-b", 0, 2)]),
    ],
)
def test_tags_name_entities(
    tags: str, scheme: Scheme, lenient: list[tuple[str, int, int]], strict: list[tuple[str, int, int]] | None
) -> None:
    assert read_entities(tags.split(), scheme=scheme) == lenient
    assert read_entities(tags.split(), scheme=scheme, strict=True) == (lenient if strict is None else strict)


@pytest.mark.parametrize(
    ("tag", "scheme"), [("E-PER", "BIO"), ("PER", "BIO"), ("B-PER", "IO"), ("", "BIOES"), ("b-人", "BIO")]
)
def test_a_tag_of_another_scheme_is_named(tag: str, scheme: Scheme) -> None:
    with pytest.raises(InputError, match=r"token 1: .+ is no tag"):
        read_entities(["O", tag], scheme=scheme)


def test_type_first_and_last_token_must_be_right() -> None:
    gold = [[Entity("PER", 0, 2), Entity("地点", 4, 5)], [Entity("PER", 0, 1)], []]
    predicted = [[Entity("PER", 0, 2), Entity("PER", 4, 5)], [Entity("PER", 0, 2)], []]
    found = entity_scores(gold, predicted)
    assert (found["precision"], found["recall"]) == (pytest.approx(1 / 3), pytest.approx(1 / 3))
    # Of PER one of two gold and three predicted, of 地点 none of one.
    assert found["f1_macro"] == pytest.approx((2 / 5 + 0) / 2)


def test_triples_are_scored_as_entities_are() -> None:
    gold = [{("发明", "蔡伦", "纸"), ("capital", "Paris", "France")}]
    predicted = [{("发明", "蔡伦", "纸"), ("capital", "France", "Paris")}]
    assert entity_scores(gold, predicted)["f1"] == 0.5


def test_sentences_without_entities_score_nothing() -> None:
    found = entity_scores([[], []], [[], []])
    assert (found["f1"], found["f1_macro"]) == (0.0, 0.0)


def test_tags_of_tokens() -> None:
    found = tagging([["n", "v"], ["代词"]], [["n", "n"], ["代词"]])
    assert found["token_accuracy"] == pytest.approx(2 / 3)
    assert found["sentence_accuracy"] == 0.5
    assert found["f1_macro"] == pytest.approx((2 / 3 + 0 + 1) / 3)
    with pytest.raises(InputError, match="sentence 1: 1 gold tags and 2 predicted"):
        tagging([["n"], ["n"]], [["n"], ["n", "n"]])
    with pytest.raises(InputError, match="no example"):
        tagging([[]], [[]])


CAUSE, EFFECT, MADE = "Cause-Effect(e1,e2)", "Cause-Effect(e2,e1)", "Product-Producer(e2,e1)"


def test_the_official_average_of_relations() -> None:
    """The wrong direction counts against precision and recall, the negative class by mistakes alone."""
    gold = [CAUSE, CAUSE, EFFECT, EFFECT, MADE, MADE, "Other", "Other", "Other"]
    predicted = [CAUSE, EFFECT, EFFECT, "Other", MADE, CAUSE, "Other", MADE, "Other"]
    # Cause-Effect: 2 right of 4 predicted (one reversed, one of MADE) and 4 gold; the other: 1 of 2 and 2.
    found = relation_extraction(gold, predicted)
    assert found["f1_macro"] == pytest.approx((0.5 + 0.5) / 2)
    assert found["precision_micro"] == pytest.approx(3 / 6)
    assert found["recall_micro"] == pytest.approx(3 / 6)
    assert found["accuracy"] == pytest.approx(5 / 9)
    of_labels = relations_by_label(gold, predicted, relations=["Cause-Effect", "Message-Topic"])
    assert of_labels["precision/Cause-Effect"] == pytest.approx(2 / 4)
    assert of_labels["f1/Message-Topic"] == 0.0


def test_relations_in_chinese_and_without_direction() -> None:
    found = relation_extraction(["发明(e1,e2)", "首都", "无"], ["发明(e2,e1)", "首都", "首都"], negative="无")
    assert found["f1_macro"] == pytest.approx((0 + 2 / 3) / 2)
    assert relation_of("发明(e2,e1)") == "发明"
    assert relation_of("Cause-Effect(e1, e2)") == "Cause-Effect"
    assert relation_of("born (in)") == "born (in)"
