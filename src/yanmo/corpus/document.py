"""What a corpus is made of: documents, and what was refused with the reason.

A document's id is a hash of its source and its text, so the same input always gives the same ids
and two documents never share one.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from yanmo.artifact import sha256_of_text

MAX_REJECTED_CHARS = 10_000

Note = Callable[[str], None]


class Reason(enum.StrEnum):
    """Why something was refused; the values are the keys users meet in summaries."""

    HIDDEN = "hidden"
    GENERATED = "written by yanmo"
    NOT_A_FILE = "not a regular file"
    LINK_LOOP = "link loop"
    UNREADABLE = "unreadable"
    EMPTY = "empty"
    BINARY = "binary"
    ENCODING = "unknown encoding"
    DAMAGED = "damaged"
    ENCRYPTED = "encrypted"
    BOMB = "decompression bomb"
    CRASHED = "crashed its reader"
    TIMEOUT = "takes too long to read"
    NESTED = "archive inside an archive"
    RAGGED = "ragged row"
    BROKEN_JSON = "broken JSON"
    NO_TEXT = "no text field"
    TEXTLESS = "holds no text"
    TOO_LARGE = "too large"
    TOO_SHORT = "too short"
    LANGUAGE = "another language"
    QUALITY = "poor quality"
    PERSONAL = "personal data"
    CONTAMINATED = "evaluation text"
    DUPLICATE = "duplicate"
    NEAR_DUPLICATE = "near duplicate"
    SAME_MEANING = "same meaning"
    IN_VALID = "in valid split"
    IN_TEST = "in test split"


@dataclass(frozen=True, kw_only=True)
class Document:
    """One text and where it came from."""

    id: str
    text: str
    source: str
    """Path relative to the folder that was read, with the row or member: ``mails/a.csv#row=12``."""
    language: str = ""
    meta: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Rejected:
    """Something that did not become a document; ``text`` is kept up to ``MAX_REJECTED_CHARS``."""

    source: str
    reason: Reason
    text: str = ""
    language: str = ""
    detail: str = ""


def make_document(
    text: str, source: str, meta: Mapping[str, str] | None = None, language: str = ""
) -> Document:
    """A document with the id that belongs to its source and text."""
    return Document(
        id=sha256_of_text(source, text)[:32], text=text, source=source, language=language, meta=meta or {}
    )


class RefusedError(Exception):
    """A whole file or archive member cannot be read; readers turn it into ``Rejected``."""

    def __init__(self, reason: Reason, detail: str = "") -> None:
        """Keep the reason and what else is known."""
        super().__init__(f"{reason}: {detail}")
        self.reason, self.detail = reason, detail
