"""Edits and alignments: whatever steps change, each place of the result is known in the source."""

from __future__ import annotations

import random

import pytest

from yanmo.corpus.edits import Alignment, Edit, apply_edits, edit_between, edit_pieces


def test_edits_are_applied_in_order() -> None:
    assert apply_edits("研墨 and ink", [Edit(0, 0, "> "), Edit(2, 6, ""), Edit(6, 7, "-")]) == "> 研墨-ink"


def test_overlapping_edits_are_our_own_bug() -> None:
    with pytest.raises(AssertionError, match="edit of 1 to 3 after one that ends at 2"):
        apply_edits("abcd", [Edit(0, 2, ""), Edit(1, 3, "")])


@pytest.mark.parametrize(
    ("before", "after", "edit"),
    [
        ("same", "same", []),
        ("a  b", "a b", [Edit(2, 3, "")]),
        ("aaa", "aa", [Edit(2, 3, "")]),
        ("", "x", [Edit(0, 0, "x")]),
        ("ｆｕｌｌ width", "full width", [Edit(0, 4, "full")]),
    ],
)
def test_an_edit_is_as_short_as_can_be(before: str, after: str, edit: list[Edit]) -> None:
    assert edit_between(before, after) == edit


def test_pieces_are_changed_where_they_stand() -> None:
    edits = edit_pieces("ab\ncd\nef\n", [(0, 3), (3, 6), (6, 9)], lambda line: line.replace("d", "DD"))
    assert edits == [Edit(4, 5, "DD")]


def test_a_place_in_the_result_is_found_in_the_source() -> None:
    source = "Call 555-0199 or  write."
    edits = [Edit(5, 13, "[PHONE]"), Edit(16, 17, "")]
    alignment = Alignment().then(edits)
    text = apply_edits(source, edits)
    start = text.index("[PHONE]")
    assert source[slice(*alignment.source_span(start, start + 7))] == "555-0199"
    assert source[slice(*alignment.source_span(start + 2, start + 4))] == "555-0199"
    assert source[slice(*alignment.source_span(text.index("write"), len(text)))] == "write."
    assert alignment.source_span(0, 4) == (0, 4)


@pytest.mark.parametrize("seed", range(60))
def test_any_number_of_steps_keeps_what_was_not_touched(seed: int) -> None:
    draw = random.Random(seed)
    source = "".join(draw.choice("ab 研墨\n") for _ in range(draw.randrange(0, 60)))
    text, alignment = source, Alignment()
    for _ in range(draw.randrange(1, 5)):
        places = sorted(draw.randrange(len(text) + 1) for _ in range(2 * draw.randrange(0, 5)))
        edits = [
            Edit(start, end, "".join(draw.choice("XY") for _ in range(draw.randrange(3))))
            for start, end in zip(places[::2], places[1::2], strict=True)
        ]
        alignment, text = alignment.then(edits), apply_edits(text, edits)
        assert alignment.fits(text, source)
        assert Alignment.from_json(alignment.to_json()) == alignment
    for place, character in enumerate(text):
        start, end = alignment.source_span(place, place + 1)
        assert 0 <= start <= end <= len(source)
        if character not in "XY":
            assert character in source[start:end]


def test_a_wrong_alignment_does_not_fit() -> None:
    alignment = Alignment().then([Edit(1, 2, "")])
    assert alignment.fits("ac", "abc")
    assert not alignment.fits("ab", "abc")
