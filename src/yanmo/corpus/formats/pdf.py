"""PDF files by PDFium: the text of the pages, with a form feed between them."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import Any

from yanmo.corpus.document import Document, Note, Reason, RefusedError, Rejected
from yanmo.corpus.files import Blob
from yanmo.corpus.formats.sections import in_sections

_META = {"title": "Title", "author": "Author", "date": "CreationDate"}
_DATE = re.compile(r"D:(\d{4})(\d\d)?(\d\d)?")
_MAX_META_CHARS = 500
# A damaged file may claim a thousand million pages.
_MAX_BAD_PAGES = 100
_MAX_PAGE_CHARS = 1 << 22


def read_pdf(blob: Blob, *, text_column: str | None, note: Note) -> Iterator[Document | Rejected]:
    """Read a PDF file as one text; a scanned one, which has only pictures of text, is refused."""
    with blob.on_disk("pages.pdf") as path, contextlib.closing(_open(str(path))) as pdf:
        pages = _Pages(pdf)
        meta = _meta(pdf) | {"pages": str(len(pdf))}
        try:
            yield from in_sections(iter(pages), blob.label, meta)
        except RefusedError as refused:
            if refused.reason is not Reason.TEXTLESS:
                raise
            if pages.num_bad:
                raise RefusedError(Reason.DAMAGED, "no page can be read") from None
            raise RefusedError(Reason.TEXTLESS, "pictures of pages only; it needs OCR") from None
        if pages.num_bad:
            note(f"{blob.label}: {pages.num_bad} pages cannot be read")


def _open(path: str) -> Any:
    import pypdfium2

    try:
        return pypdfium2.PdfDocument(path)
    except pypdfium2.PdfiumError as error:
        if "password" in str(error).lower() or "security" in str(error).lower():
            raise RefusedError(Reason.ENCRYPTED) from None
        raise RefusedError(Reason.DAMAGED, f"pdf: {str(error)[:200]}") from None


class _Pages:
    """The texts of the pages; counts those that cannot be read."""

    def __init__(self, pdf: Any) -> None:
        self._pdf, self.num_bad = pdf, 0

    def __iter__(self) -> Iterator[str]:
        for index in range(len(self._pdf)):
            if index:
                yield "\f"
            text = self._text(index)
            if text is None:
                self.num_bad += 1
                if self.num_bad >= _MAX_BAD_PAGES:
                    return
            elif text:
                yield text

    def _text(self, index: int) -> str | None:
        import pypdfium2

        try:
            with (
                contextlib.closing(self._pdf[index]) as page,
                contextlib.closing(page.get_textpage()) as text_page,
            ):
                count = min(text_page.count_chars(), _MAX_PAGE_CHARS)
                text: str = text_page.get_text_range(0, count) if count > 0 else ""
        except pypdfium2.PdfiumError:
            return None
        # PDFium marks a hyphen at the end of a line, and joins the word.
        text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\f", "\n")
        return text.replace("\ufffe", "-\n").replace("\x02", "-\n")


def _meta(pdf: Any) -> dict[str, str]:
    found = {}
    for name, key in _META.items():
        value = " ".join((pdf.get_metadata_value(key) or "").split())[:_MAX_META_CHARS]
        if name == "date":
            match = _DATE.match(value)
            value = "-".join(part for part in match.groups() if part) if match else ""
        if value:
            found[name] = value
    return found
