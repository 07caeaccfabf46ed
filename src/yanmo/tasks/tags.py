"""Schemes of tags, and from each of them to BIO.

IOB1 (Ramshaw and Marcus 1995, cmp-lg/9505040) begins an entity with I, and with B only where it follows
another of its kind; BIO (IOB2) always with B; BIOES, also as BMES and BILOU, marks last and single tokens
too; IO has only I.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable, Sequence
from itertools import pairwise

from yanmo.tasks.broken import Flaw, FlawError


class TagScheme(enum.StrEnum):
    """How tags are written."""

    BIO = "bio"
    IOB1 = "iob1"
    IO = "io"
    BIOES = "bioes"
    PLAIN = "plain"
    """Each tag for itself, as of parts of speech."""


OUTSIDE = "O"
_TAG = re.compile(r"([BIESMLUW])[-_](\S.*)")
# BMES and BILOU are BIOES under other letters.
_SAME = {"M": "I", "L": "E", "U": "S", "W": "S"}
_LETTERS = {
    TagScheme.BIO: "BI",
    TagScheme.IOB1: "BI",
    TagScheme.IO: "I",
    TagScheme.BIOES: "BIES",
}
_BARE = frozenset("BIO")
_UNNAMED = "entity"
_MOSTLY = 0.5


class TagFlawError(FlawError):
    """A tag that is wrong; ``token`` is its index in the sentence."""

    def __init__(self, flaw: Flaw, token: int, detail: str, remedy: str) -> None:
        """As ``FlawError``."""
        super().__init__(flaw, f"token {token + 1}: {detail}", remedy)
        self.token = token


def guess_scheme(sentences: Iterable[Sequence[str]]) -> TagScheme:
    """The scheme of a file by its sentences' tags.

    Of a file with errors it is the one in which fewer sentences are wrong.
    """
    known = [tags for tags in sentences if tags]
    num_tags = num_known = starts_b = starts_i = needless_b = 0
    letters: set[str] = set()
    bare: set[str] = set()
    for tags in known:
        parts = [_split(tag) for tag in tags]
        num_tags += len(tags)
        num_known += sum(tag == OUTSIDE or letter != "" for tag, (letter, _) in zip(tags, parts, strict=True))
        letters.update(letter for letter, _ in parts)
        bare.update(tags)
        for (before, kind_before), (letter, kind) in pairwise([("", ""), *parts]):
            follows = before != "" and kind_before == kind
            starts_b += letter == "B"
            needless_b += letter == "B" and not follows
            starts_i += letter == "I" and not follows
    if bare and bare <= _BARE and OUTSIDE in bare and len(bare) > 1:
        return TagScheme.BIO
    if not letters - {""} or num_known < _MOSTLY * num_tags:
        return TagScheme.PLAIN
    if letters & {"E", "S"} and _num_wrong(known, TagScheme.BIOES) <= _num_wrong(known, TagScheme.BIO):
        return TagScheme.BIOES
    if "B" not in letters:
        return TagScheme.IO
    return TagScheme.IOB1 if starts_i > needless_b else TagScheme.BIO


def to_bio(tags: Sequence[str], scheme: TagScheme) -> tuple[str, ...]:
    """The same entities in BIO.

    Args:
        tags: of one sentence.
        scheme: that they are written in.

    Raises:
        TagFlawError: one is not of the scheme, or cannot follow the one before it.
    """
    if scheme is TagScheme.PLAIN:
        return tuple(tags)
    written: list[str] = []
    last, kind_last = "", ""
    for token, tag in enumerate(tags):
        letter, kind = _named(tag, token, scheme)
        follows = last != "" and kind_last == kind and last not in "ES"
        if scheme is TagScheme.BIOES:
            _check_order(token, last, kind_last, letter, kind)
        elif scheme is TagScheme.BIO and letter == "I" and not follows:
            after = f"after {last}-{kind_last}" if last else "where no entity has begun"
            raise TagFlawError(
                Flaw.TAG_ORDER,
                token,
                f"{tag} stands {after}",
                f"begin it with B-{kind}; if the file is IOB1: --tags iob1",
            )
        if not letter:
            written.append(OUTSIDE)
        else:
            is_first = letter in "BS" or not follows
            written.append(f"{'B' if is_first else 'I'}-{kind}")
        last, kind_last = letter, kind
    if scheme is TagScheme.BIOES:
        _check_order(len(tags) - 1, last, kind_last, "", "")
    return tuple(written)


def spans_of(tags: Sequence[str]) -> list[tuple[int, int, str]]:
    """First token, token after the last, and kind of each entity in BIO tags."""
    spans: list[tuple[int, int, str]] = []
    start, kind = -1, ""
    for index, tag in enumerate([*tags, OUTSIDE]):
        if start >= 0 and not tag.startswith("I-"):
            spans.append((start, index, kind))
            start = -1
        if tag.startswith("B-"):
            start, kind = index, tag[2:]
    return spans


def _num_wrong(sentences: Sequence[Sequence[str]], scheme: TagScheme) -> int:
    """How many sentences a scheme does not allow."""
    count = 0
    for tags in sentences:
        try:
            to_bio(tags, scheme)
        except TagFlawError:
            count += 1
    return count


def looks_like_tag(text: str) -> bool:
    """Whether a cell is O or has the prefix of a scheme."""
    return text == OUTSIDE or _split(text)[0] != ""


def _named(tag: str, token: int, scheme: TagScheme) -> tuple[str, str]:
    if tag == OUTSIDE:
        return "", ""
    letter, kind = (tag, _UNNAMED) if tag in _BARE else _split(tag)
    if letter and letter in _LETTERS[scheme]:
        return letter, kind
    known = ", ".join(f"{letter}-X" for letter in _LETTERS[scheme])
    raise TagFlawError(
        Flaw.TAG,
        token,
        f"{tag[:40]!r} is none of O, {known}",
        "write a tag; is a column shifted in this row?",
    )


def _split(tag: str) -> tuple[str, str]:
    match = _TAG.fullmatch(tag)
    return (_SAME.get(match[1], match[1]), match[2]) if match else ("", "")


def _check_order(token: int, last: str, kind_last: str, letter: str, kind: str) -> None:
    """That in BIOES the tag may stand after the last one; ``letter`` is empty for O and for the end."""
    is_open = last in ("B", "I")
    goes_on = letter in ("I", "E")
    if is_open and (not goes_on or kind != kind_last):
        raise TagFlawError(
            Flaw.TAG_ORDER,
            token,
            f"{last}-{kind_last} is not ended",
            f"end it with E-{kind_last}, or write S-{kind_last} for one token",
        )
    if goes_on and not is_open:
        raise TagFlawError(
            Flaw.TAG_ORDER,
            token,
            f"{letter}-{kind} stands where no entity has begun",
            f"begin it with B-{kind}, or write S-{kind} for one token",
        )
