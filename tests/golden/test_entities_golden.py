"""Our entities against those of transformers' pipeline, where a word is what its first token is too."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from entities_made import make_marker

from yanmo.models.entities import EntityFinder

_TEXT = "Alice Bob Anderson Smith Jones met the boat in at her river went Elm Street ."
_ENGLISH = _TEXT.split()
_CHINESE = list("王李明华在见了船长安街。，")


@pytest.mark.parametrize(("words", "space"), [(_ENGLISH, " "), (_CHINESE, "")])
def test_entities_are_those_of_transformers(tmp_path: Path, words: list[str], space: str) -> None:
    transformers = pytest.importorskip("transformers")
    folder = make_marker(tmp_path / "model")
    theirs = transformers.pipeline(
        "token-classification", model=str(folder), device="cpu", aggregation_strategy="first"
    )
    ours = EntityFinder.load(folder)
    draw = random.Random(0)
    for _ in range(20):
        text = space.join(draw.choices(words, k=draw.randrange(1, 25)))
        expected = [(found["entity_group"], found["start"], found["end"]) for found in theirs(text)]
        assert [tuple(found[:3]) for found in ours.find(text)] == expected
