"""OpenDocument: texts, presentations (a form feed between slides) and spreadsheets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from yanmo.corpus.document import Document, Note, Reason, RefusedError, Rejected
from yanmo.corpus.files import Blob
from yanmo.corpus.formats.packages import Package, Target, attribute, feed_xml, local, open_package
from yanmo.corpus.formats.sections import in_sections
from yanmo.corpus.formats.sheets import Cells, sheet_documents, sheet_rows
from yanmo.corpus.header import GUESSED, MAX_COLUMNS, HeaderSettings
from yanmo.corpus.tables import Row

_CONTENT = "content.xml"
_MAX_SPACES = 1000
# Deleted text, comments, and what programs made of the document's own parts.
_SKIPPED = frozenset(("tracked-changes", "annotation", "ruby-text", "sequence-decls"))
_LINES = frozenset(("p", "h"))


def read_opendocument(blob: Blob, *, text_column: str | None, note: Note) -> Iterator[Document | Rejected]:
    """Read an .odt or .odp file as one text."""
    with open_package(blob) as package:
        _refuse_encrypted(package)
        meta = package.dublin_core("meta.xml")
        yield from in_sections(package.pieces(_CONTENT, _Text()), blob.label, meta)


def read_ods(blob: Blob, *, text_column: str | None, note: Note) -> Iterator[Document | Rejected]:
    """Read the rows of the sheets of an .ods file."""
    yield from sheet_documents(ods_rows(blob), text_column, note)


def ods_rows(blob: Blob, header: HeaderSettings = GUESSED) -> Iterator[Row]:
    """The rows of the sheets of an .ods file."""
    with open_package(blob) as package:
        _refuse_encrypted(package)
        yield from sheet_rows(_rows(package), blob.label, header)


def _refuse_encrypted(package: Package) -> None:
    name = "META-INF/manifest.xml"
    if name in package.names and b"encryption-data" in package.read(name, 1 << 22):
        raise RefusedError(Reason.ENCRYPTED)


class _Text(Target):
    def __init__(self) -> None:
        super().__init__()
        self._skipped = self._lines = self._cells = self._pages = 0

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        name = local(tag)
        if name in _SKIPPED:
            self._skipped += 1
        elif self._skipped:
            return
        elif name in _LINES:
            self._lines += 1
        elif name == "page" and "drawing" in tag:
            self.out.append("\f" if self._pages else "")
            self._pages += 1
        elif name in ("tab", "line-break"):
            self.out.append("\t" if name == "tab" else "\n")
        elif name == "s":
            self.out.append(" " * _count(attribute(attributes, "c"), _MAX_SPACES))
        elif name == "table-cell":
            self._cells += 1

    def end(self, tag: str) -> None:
        name = local(tag)
        if name in _SKIPPED:
            self._skipped -= 1
        elif self._skipped:
            return
        elif name in _LINES:
            self._lines -= 1
            self.out.append(" " if self._cells else "\n")
        elif name == "table-cell":
            self._cells -= 1
            self.out.append("\t")
        elif name in ("table-row", "table"):
            self.out.append("\n")

    def data(self, text: str) -> None:
        if self._lines and not self._skipped:
            self.out.append(text)


def _rows(package: Package) -> Iterator[tuple[str, int, Cells]]:
    target = _Sheets()
    for _ in feed_xml(package.blocks(_CONTENT), target, _CONTENT):
        yield from target.rows
        target.rows.clear()


class _Sheets(_Text):
    """Rows with the sheet they are in; empty ones are counted and left out."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[tuple[str, int, Cells]] = []
        self._sheet, self._number, self._column, self._repeated = "", 0, 0, 1
        self._row: Cells = {}
        self._parts: list[str] = []

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        super().start(tag, attributes)
        name = local(tag)
        if name == "table":
            self._sheet, self._number = attribute(attributes, "name"), 0
        elif name == "table-row":
            self._row, self._column = {}, 0
            self._number += _count(attribute(attributes, "number-rows-repeated"), 1 << 20)
        elif name in ("table-cell", "covered-table-cell"):
            self._repeated = _count(attribute(attributes, "number-columns-repeated"), MAX_COLUMNS)
            self.out.clear()

    def end(self, tag: str) -> None:
        name = local(tag)
        if name in ("table-cell", "covered-table-cell"):
            text = "".join(self.out).strip()
            if text and self._column >= MAX_COLUMNS:
                raise RefusedError(Reason.TOO_LARGE, f"more than {MAX_COLUMNS} columns")
            if text:
                for column in range(self._column, min(self._column + self._repeated, MAX_COLUMNS)):
                    self._row[column] = text
            self._column = min(self._column + self._repeated, MAX_COLUMNS)
        elif name == "table-row" and self._row:
            self.rows.append((self._sheet, self._number, self._row))
        super().end(tag)
        if name == "table-row":
            self.out.clear()


def _count(value: str, most: int) -> int:
    """A count that an attribute gives: 1 where it gives none."""
    return min(int(value), most) if value.isascii() and value.isdigit() and len(value) < 10 else 1
