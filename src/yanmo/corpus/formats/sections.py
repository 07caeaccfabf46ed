"""Texts of any length as documents: one, or several sections where it is too long for one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, islice

from yanmo.corpus.document import Document, Reason, RefusedError, make_document

SECTION_CHARS = 8 << 20
"""Where a text of more than twice this is cut."""


def in_sections(
    pieces: Iterable[str], label: str, meta: Mapping[str, str] | None = None
) -> Iterator[Document]:
    """The documents of a text that comes in pieces, such as its paragraphs with their line ends.

    Args:
        pieces: the text.
        label: the source; sections beyond the first two are told apart as ``#section=1`` ...
        meta: of every document; read when the first pieces were.

    Raises:
        RefusedError: there is nothing but space in it.
    """
    sections = _gather(pieces)
    first = list(islice(sections, 3))
    if not any(text.strip() for text in first):
        raise RefusedError(Reason.TEXTLESS)
    if len(first) < 3:
        yield make_document("".join(first), label, dict(meta or {}))
        return
    for number, text in enumerate(chain(first, sections), 1):
        yield make_document(text, f"{label}#section={number}", dict(meta or {}))


def _gather(pieces: Iterable[str]) -> Iterator[str]:
    kept: list[str] = []
    size = 0
    for piece in pieces:
        for begin in range(0, len(piece), SECTION_CHARS):
            part = piece[begin : begin + SECTION_CHARS]
            kept.append(part)
            size += len(part)
            if size >= SECTION_CHARS:
                yield "".join(kept)
                kept, size = [], 0
    if kept:
        yield "".join(kept)
