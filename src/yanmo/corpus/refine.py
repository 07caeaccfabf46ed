"""One document on its way into the corpus: cleaned, judged, fingerprinted; a pure function of it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from yanmo.corpus.clean import clean
from yanmo.corpus.document import Document, Reason, Rejected, make_document
from yanmo.corpus.encoding import REPAIRED
from yanmo.corpus.split import named_split
from yanmo.corpus.staging import Refined

BYTES_REPLACED = REPAIRED.strip(", ")
Counts = dict[str, dict[str, int]]


@dataclass(frozen=True, kw_only=True)
class RefineSettings:
    """What a document goes through."""

    min_chars: int = 1


class Refiner:
    """Takes documents through every step."""

    def __init__(self, settings: RefineSettings) -> None:
        """Make ready what the steps need."""
        self._settings = settings

    def refine(self, raw: Document) -> tuple[Refined | Rejected, Counts]:
        """The document as it stays, or why it goes, and what was counted."""
        text, changed = clean(raw.text)
        num_chars = len(text.strip())
        if num_chars < self._settings.min_chars:
            reason = Reason.TOO_SHORT if num_chars else Reason.EMPTY
            return Rejected(source=raw.source, reason=reason, text=text, language=raw.language), {}
        cleaned = dict.fromkeys(changed, 1)
        if raw.meta.get("encoding", "").endswith(REPAIRED):
            cleaned[BYTES_REPLACED] = 1
        document = raw if text == raw.text else make_document(text, raw.source, raw.meta, raw.language)
        refined = Refined(document=document, named=named_split(raw.source), digest=text_digest(text))
        return refined, {"cleaned": cleaned} if cleaned else {}


def text_digest(text: str) -> bytes:
    """16 bytes that equal texts share, white space around them aside."""
    return hashlib.sha256(text.strip().encode("utf-8", "surrogatepass")).digest()[:16]
