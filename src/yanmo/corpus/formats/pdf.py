"""PDF files by PDFium: the text of the pages, with a form feed between them."""

from __future__ import annotations

import contextlib
import mmap
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
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
_STREAM = re.compile(rb"(?<!end)stream\r?\n")
_HEAD_BYTES, _PROBE_BYTES, _MAX_PROBE_RATIO = 400, 2048, 100
_MAX_SUSPECT_BYTES = 64 << 20


def read_pdf(blob: Blob, *, text_column: str | None, note: Note) -> Iterator[Document | Rejected]:
    """Read a PDF file as one text; a scanned one, which has only pictures of text, is refused."""
    with blob.on_disk("pages.pdf") as path:
        _refuse_bombs(path)
        yield from _documents(path, blob.label, note)


def _documents(path: Path, label: str, note: Note) -> Iterator[Document]:
    with contextlib.closing(_open(str(path))) as pdf:
        pages = _Pages(pdf)
        meta = _meta(pdf) | {"pages": str(len(pdf))}
        try:
            yield from in_sections(iter(pages), label, meta)
        except RefusedError as refused:
            if refused.reason is not Reason.TEXTLESS:
                raise
            if pages.num_bad:
                raise RefusedError(Reason.DAMAGED, "no page can be read") from None
            raise RefusedError(Reason.TEXTLESS, "pictures of pages only; it needs OCR") from None
        if pages.num_bad:
            note(f"{label}: {pages.num_bad} pages cannot be read")


def _refuse_bombs(path: Path) -> None:
    """Refuse a file whose compressed streams give out of proportion: PDFium would hold them whole.

    Pictures are passed over, as PDFium passes over them.
    """
    left = _MAX_SUSPECT_BYTES
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        for match in _STREAM.finditer(data):
            begin = match.end()
            head = data[max(0, match.start() - _HEAD_BYTES) : match.start()]
            head = head[head.rfind(b" obj") + 1 :]
            if b"/Fl" not in head or b"/Image" in head:
                continue
            left -= _inflated_bytes(data, begin, left)
            if left < 0:
                raise RefusedError(Reason.BOMB, f"streams give more than {_MAX_SUSPECT_BYTES >> 20} MB")


def _inflated_bytes(data: mmap.mmap, begin: int, most: int) -> int:
    """How much a compressed stream gives, counted to just over ``most``; 0 where that is in proportion."""
    inflate, size, taken = zlib.decompressobj(), 0, 0
    with contextlib.suppress(zlib.error):
        while size <= most and not inflate.eof:
            rest = inflate.unconsumed_tail
            if not rest:
                rest = data[begin + taken : begin + taken + _PROBE_BYTES]
                taken += len(rest)
            if not rest:
                break
            size += len(inflate.decompress(rest, 1 << 20))
            if size < _MAX_PROBE_RATIO * (taken - len(inflate.unconsumed_tail)):
                return 0
    return size


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
