"""Schemes of tags: known by a file's sentences, brought to BIO, wrong ones told by their token."""

from __future__ import annotations

import pytest

from yanmo.tasks.tags import TagFlawError, TagScheme, guess_scheme, spans_of, to_bio

# One sentence of two entities of a kind side by side, one of a single token, in each scheme.
SAME = {
    TagScheme.BIO: "B-PER I-PER B-PER O B-LOC",
    TagScheme.IOB1: "I-PER I-PER B-PER O I-LOC",
    TagScheme.BIOES: "B-PER E-PER S-PER O S-LOC",
}


@pytest.mark.parametrize("scheme", list(SAME))
def test_all_schemes_say_the_same(scheme: TagScheme) -> None:
    tags = SAME[scheme].split()
    assert guess_scheme([tags]) is scheme
    assert " ".join(to_bio(tags, scheme)) == SAME[TagScheme.BIO]
    assert spans_of(to_bio(tags, scheme)) == [(0, 2, "PER"), (2, 3, "PER"), (4, 5, "LOC")]


@pytest.mark.parametrize("written", ["B-X M-X E-X O S-Y", "B-X I-X L-X O U-Y", "B_X I_X E_X O S_Y"])
def test_other_letters(written: str) -> None:
    tags = written.split()
    assert guess_scheme([tags]) is TagScheme.BIOES
    assert to_bio(tags, TagScheme.BIOES) == ("B-X", "I-X", "I-X", "O", "B-Y")


def test_inside_alone() -> None:
    tags = ["I-PER", "I-PER", "O", "I-LOC", "I-PER"]
    assert guess_scheme([tags]) is TagScheme.IO
    assert to_bio(tags, TagScheme.IO) == ("B-PER", "I-PER", "O", "B-LOC", "B-PER")


def test_tags_without_a_kind() -> None:
    assert guess_scheme([["B", "I", "O"]]) is TagScheme.BIO
    assert to_bio(["B", "I", "O"], TagScheme.BIO) == ("B-entity", "I-entity", "O")


def test_parts_of_speech_stay_as_they_are() -> None:
    tags = ["PRON", "VERB", "SCONJ"]
    assert guess_scheme([tags]) is TagScheme.PLAIN
    assert to_bio(tags, TagScheme.PLAIN) == tuple(tags)


def test_one_error_does_not_change_the_scheme() -> None:
    good = ["B-PER", "I-PER", "O"]
    assert guess_scheme([good] * 5 + [["O", "I-PER"]]) is TagScheme.BIO
    assert guess_scheme([good] * 5 + [["S-PER", "O"]]) is TagScheme.BIO
    assert guess_scheme([["I-PER", "B-PER"]] * 5 + [["B-PER", "O"]]) is TagScheme.IOB1


@pytest.mark.parametrize(
    ("scheme", "written", "token"),
    [
        (TagScheme.BIO, "O I-X", 1),
        (TagScheme.BIO, "B-X I-Y", 1),
        (TagScheme.BIO, "B-X O Rome", 2),
        (TagScheme.BIO, "S-X", 0),
        (TagScheme.BIOES, "B-X O", 1),
        (TagScheme.BIOES, "S-X B-X", 1),
        (TagScheme.BIOES, "B-X E-Y", 1),
        (TagScheme.BIOES, "O I-X E-X", 1),
        (TagScheme.BIOES, "S-X E-X", 1),
        (TagScheme.IO, "I-X B-X", 1),
    ],
)
def test_the_token_that_is_wrong(scheme: TagScheme, written: str, token: int) -> None:
    with pytest.raises(TagFlawError) as raised:
        to_bio(written.split(), scheme)
    assert raised.value.token == token
    assert raised.value.remedy
