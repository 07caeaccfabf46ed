"""Near copies across splits, against the exact similarity of every pair."""

from __future__ import annotations

import random

import numpy as np
import pytest
from corpus_made import chinese_prose, prose

from yanmo.corpus.duplicates.signature import NearSettings, exact_jaccard, shingle_set
from yanmo.tasks.leaks import digests_of, groups_of_equal, near_pairs


def changed(text: str, draw: random.Random, share: float) -> str:
    """A text with so many of its words, or characters, replaced."""
    parts = text.split(" ") if text.isascii() else list(text)
    for place in draw.sample(range(len(parts)), int(share * len(parts))):
        parts[place] = "otherwise" if text.isascii() else "嗯"
    return (" " if text.isascii() else "").join(parts)


def test_all_near_pairs_are_found_and_no_other() -> None:
    draw = random.Random(5)
    train = [prose(i, 3) if i % 2 else chinese_prose(i, 3) for i in range(150)]
    test = [changed(train[i], draw, (i % 10) / 25) for i in range(0, 150, 2)]
    test += [prose(1000 + i, 3) for i in range(20)]
    settings = NearSettings()
    sets = [[shingle_set(text, settings.shingle) for text in texts] for texts in (train, test)]
    wanted = {}
    for number, own in enumerate(sets[1]):
        scores = [exact_jaccard(own, other) for other in sets[0]]
        if max(scores) >= settings.jaccard:
            wanted[number] = int(np.argmax(scores))
    found = near_pairs(train, test)
    assert {pair.test: pair.train for pair in found} == wanted
    assert 20 < len(wanted) < 75
    assert all(pair.similarity >= settings.similarity - 1e-9 for pair in found)


def test_short_texts_are_never_near() -> None:
    assert near_pairs(["where is Denver ?"], ["where is Denver ?"]) == []


def test_what_all_of_the_test_share_does_not_hide_a_pair() -> None:
    footer = " ".join(f"footer{i}" for i in range(30))
    test = [f"{prose(i, 4)} {footer}" for i in range(60)]
    found = near_pairs([f"{prose(7, 4)} {footer} well"], test)
    assert [(pair.test, pair.train) for pair in found] == [(7, 0)]


def test_nothing_against_nothing() -> None:
    assert near_pairs([], []) == []
    assert near_pairs([prose(1, 4)], []) == []
    assert near_pairs([], [prose(1, 4)]) == []


@pytest.mark.parametrize(
    ("texts", "groups"),
    [
        ([], []),
        (["a"], []),
        (["a", "b", "a", " b\n", "c", "a"], [[0, 2, 5], [1, 3]]),
        (["a"] * 3, [[0, 1, 2]]),
    ],
)
def test_groups_of_equal_texts(texts: list[str], groups: list[list[int]]) -> None:
    found = groups_of_equal(digests_of([(text,) for text in texts]))
    assert sorted(group.tolist() for group in found) == groups


def test_texts_of_a_pair_are_not_joined() -> None:
    found = groups_of_equal(digests_of([("ab", "c"), ("a", "bc"), ("ab ", "c")]))
    assert [group.tolist() for group in found] == [[0, 2]]
