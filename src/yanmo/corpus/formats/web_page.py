"""Web pages: the main text; the title goes into the meta."""

from __future__ import annotations

from collections.abc import Iterator

from yanmo.corpus.document import Document, Note, Rejected
from yanmo.corpus.encoding import decode, detect
from yanmo.corpus.files import Blob
from yanmo.corpus.formats.sections import in_sections
from yanmo.corpus.markup import MAX_PAGE_BYTES, declared_charset, html_text


def read_html(blob: Blob, *, text_column: str | None, note: Note) -> Iterator[Document | Rejected]:
    """Read the main text of a page."""
    encoding = detect(blob, note=note, declared=declared_charset(blob.head()))
    text, meta = html_text(decode(blob, encoding, max_bytes=MAX_PAGE_BYTES))
    yield from in_sections([text], blob.label, encoding.meta(text) | meta)
