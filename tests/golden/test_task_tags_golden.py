"""Entities of tags in every scheme against seqeval."""

from __future__ import annotations

import random

import pytest
from seqeval.metrics.sequence_labeling import get_entities
from seqeval.scheme import BILOU, IOB1, IOB2, IOBES, Entities

from yanmo.tasks.tags import TagScheme, guess_scheme, spans_of, to_bio

KINDS = ("PER", "LOC", "组织")


def entities(draw: random.Random) -> list[tuple[int, int, str]]:
    """Entities in a sentence, some of them side by side."""
    found, place = [], 0
    while place < 20:
        length = draw.randrange(1, 4)
        if draw.random() < 0.5:
            found.append((place, place + length, draw.choice(KINDS)))
        place += length
    return found


def written(spans: list[tuple[int, int, str]], scheme: TagScheme, letters: str = "BIES") -> list[str]:
    """Tags of spans in a scheme; ``letters`` are those of BIOES."""
    tags = ["O"] * 24
    begin, inside, end, single = letters
    for start, stop, kind in spans:
        for place in range(start, stop):
            follows = start > 0 and tags[start - 1].endswith(f"-{kind}")
            letter = "I" if place > start or (scheme is TagScheme.IOB1 and not follows) else "B"
            if scheme is TagScheme.BIOES:
                last = place == stop - 1
                letter = (single if last else begin) if place == start else (end if last else inside)
            tags[place] = f"{letter}-{kind}"
    return tags


@pytest.mark.parametrize(
    ("scheme", "letters", "reference"),
    [
        (TagScheme.BIO, "BIES", IOB2),
        (TagScheme.IOB1, "BIES", IOB1),
        (TagScheme.BIOES, "BIES", IOBES),
        (TagScheme.BIOES, "BILU", BILOU),
    ],
    ids=["bio", "iob1", "bioes", "bilou"],
)
def test_entities(scheme: TagScheme, letters: str, reference: type) -> None:
    draw = random.Random(7)
    sentences = [written(entities(draw), scheme, letters) for _ in range(200)]
    assert guess_scheme(sentences) is scheme
    wanted = Entities(sentences, reference).entities
    for tags, found in zip(sentences, wanted, strict=True):
        bio = to_bio(tags, scheme)
        assert spans_of(bio) == [(entity.start, entity.end, entity.tag) for entity in found]
        assert [(kind, start, end + 1) for kind, start, end in get_entities(list(bio))] == [
            (kind, start, end) for start, end, kind in spans_of(bio)
        ]
