"""Entities in texts: whole words, marks of beginning and end, windows that lose nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from entities_made import make_marker
from sentence_made import make_encoder

from yanmo.errors import InputError
from yanmo.models.entities import EntityFinder, labels_of


@pytest.fixture(scope="module")
def finder(tmp_path_factory: pytest.TempPathFactory) -> EntityFinder:
    return EntityFinder.load(make_marker(tmp_path_factory.mktemp("marker") / "model"))


def found(finder: EntityFinder, text: str) -> list[tuple[str, str]]:
    return [(entity.label, text[entity.start : entity.end]) for entity in finder.find(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Alice Smith met Bob.", [("PER", "Alice Smith"), ("PER", "Bob")]),
        ("Alice Bob Smith", [("PER", "Alice"), ("PER", "Bob Smith")]),
        ("the boat", []),
        ("", []),
        (" \n ", []),
        ("Anderson met the boat", [("PER", "Anderson")]),
        ("Smith at Elm Street.", [("PER", "Smith"), ("ADDRESS", "Elm Street")]),
        ("王明见了李华。", [("PER", "王明"), ("PER", "李华")]),
        ("在长安街，王明", [("ADDRESS", "长安街"), ("PER", "王明")]),
        ("Alice\nSmith", [("PER", "Alice"), ("PER", "Smith")]),
        ("\ud800 Alice 😀 Bob \udc00", [("PER", "Alice"), ("PER", "Bob")]),
    ],
)
def test_entities_are_whole_words_of_one_label(
    finder: EntityFinder, text: str, expected: list[tuple[str, str]]
) -> None:
    assert found(finder, text) == expected


@pytest.mark.parametrize("sentence", ["Alice Smith met Bob at the river. ", "王明在长安街见了李华。"])
def test_long_texts_lose_nothing_at_the_borders_of_windows(finder: EntityFinder, sentence: str) -> None:
    once = found(finder, sentence)
    assert len(once) >= 2
    assert found(finder, sentence * 100) == once * 100
    # Without an end of a sentence, or a space, words are still found: the model takes 40 tokens at once.
    assert len(found(finder, "the boat " * 200 + "Alice Smith " + "the boat " * 200)) == 1
    assert found(finder, "船" * 3000 + "王明" + "船" * 3000) == [("PER", "王明")]


def test_every_word_has_a_label(finder: EntityFinder) -> None:
    tagged = [
        ("Alice", "B-PER"),
        ("Anderson", "B-PER"),
        ("met", "O"),
        ("the", "O"),
        ("boat", "O"),
        (".", "O"),
    ]
    assert finder.tag("Alice Anderson met\n the boat.") == tagged
    assert finder.tag("") == []


def test_probabilities_are_means_over_words(finder: EntityFinder) -> None:
    (entity,) = finder.find("Alice Smith")
    assert 0.9 < entity.probability <= 1


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (("O", "S-PER", "E-PER", "B-X", "I-X"), [("PER", "Alice"), ("PER", "Smith"), ("X", "Elm Street")]),
        (("O", "U_PER", "L_PER", "B_X", "L_X"), [("PER", "Alice"), ("PER", "Smith"), ("X", "Elm Street")]),
        (("O", "PER", "PER", "X", "X"), [("PER", "Alice Smith"), ("X", "Elm Street")]),
    ],
)
def test_other_marks_are_read(
    tmp_path: Path, labels: tuple[str, ...], expected: list[tuple[str, str]]
) -> None:
    folder = make_marker(tmp_path / "model", labels=labels)
    assert found(EntityFinder.load(folder), "Alice Smith met Elm Street") == expected
    assert labels_of(folder) == ("PER", "X")


def test_other_models_are_refused(tmp_path: Path) -> None:
    encoder = make_encoder(tmp_path / "encoder")
    for load in (labels_of, EntityFinder.load):
        with pytest.raises(InputError, match=r"does not classify tokens|no token_classification"):
            load(encoder)
        with pytest.raises(InputError, match="no such model"):
            load(tmp_path / "nothing")
