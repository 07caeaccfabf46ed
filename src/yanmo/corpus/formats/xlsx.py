"""Excel workbooks: the rows of every sheet, with the values that were last computed."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator, Mapping

from yanmo.corpus.document import Document, Note, Reason, RefusedError, Rejected
from yanmo.corpus.files import Blob
from yanmo.corpus.formats.packages import Package, Target, attribute, feed_xml, local, open_package
from yanmo.corpus.formats.sheets import Cells, sheet_documents, sheet_rows
from yanmo.corpus.header import GUESSED, HeaderSettings
from yanmo.corpus.tables import Row

_WORKBOOK = "xl/workbook.xml"
# Strings that cells share are held in memory, as the rows refer to them by number.
_MAX_STRINGS, _MAX_STRING_CHARS = 2_000_000, 64 << 20
_LAST_COLUMN = 1 << 14
_REFERENCE = re.compile(r"([A-Z]{1,3})(\d{1,7})")
_DATE_FORMATS = frozenset((*range(14, 23), *range(27, 37), *range(45, 48), *range(50, 59)))
_FORMAT_NOISE = re.compile(r'"[^"]*"|\\.|\[[^\]]*\]')
_EPOCH = datetime.datetime(1899, 12, 30)


def read_xlsx(blob: Blob, *, text_column: str | None, note: Note) -> Iterator[Document | Rejected]:
    """Read the rows of the sheets of an .xlsx file."""
    yield from sheet_documents(xlsx_rows(blob), text_column, note)


def xlsx_rows(blob: Blob, header: HeaderSettings = GUESSED) -> Iterator[Row]:
    """The rows of the sheets of an .xlsx file."""
    with open_package(blob) as package:
        book = _Book()
        package.parse(_WORKBOOK, book)
        strings, styles = _Strings(), _Styles()
        package.parse("xl/sharedStrings.xml", strings)
        package.parse("xl/styles.xml", styles)
        targets = package.relations(_WORKBOOK)
        sheets = [(name, targets[key][1]) for name, key in book.sheets if key in targets]
        if not sheets:
            raise RefusedError(Reason.TEXTLESS, "no sheets")
        rows = (row for name, part in sheets for row in _rows(package, name, part, strings.found, styles))
        yield from sheet_rows(rows, blob.label, header)


def _rows(
    package: Package, name: str, part: str, strings: list[str], styles: _Styles
) -> Iterator[tuple[str, int, Cells]]:
    if part not in package.names:
        return
    target = _Sheet(strings, styles)
    for _ in feed_xml(package.blocks(part), target, part):
        for number, cells in target.rows:
            yield name, number, cells
        target.rows.clear()


class _Book(Target):
    def __init__(self) -> None:
        super().__init__()
        self.sheets: list[tuple[str, str]] = []

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        if local(tag) == "sheet":
            # The number that is called sheetId has no namespace.
            key = next((value for key, value in attributes.items() if key.endswith("}id")), "")
            self.sheets.append((attribute(attributes, "name"), key))


class _Strings(Target):
    """The shared strings, without what tells how they are pronounced."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._parts: list[str] = []
        self._in_text = self._in_reading = False
        self._num_chars = 0

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        name = local(tag)
        if name == "si":
            self._parts = []
        elif name == "rPh":
            self._in_reading = True
        elif name == "t":
            self._in_text = True

    def end(self, tag: str) -> None:
        name = local(tag)
        if name == "t":
            self._in_text = False
        elif name == "rPh":
            self._in_reading = False
        elif name == "si":
            self.found.append("".join(self._parts))
            if len(self.found) > _MAX_STRINGS or self._num_chars > _MAX_STRING_CHARS:
                raise RefusedError(Reason.TOO_LARGE, "more shared strings than can be held")

    def data(self, text: str) -> None:
        if self._in_text and not self._in_reading:
            self._num_chars += len(text)
            self._parts.append(text)


class _Styles(Target):
    """Which styles of cells show a number as a date."""

    def __init__(self) -> None:
        super().__init__()
        self._custom: set[str] = set()
        self._in_cells = False
        self.is_date: list[bool] = []

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        name = local(tag)
        if name == "numFmt":
            code = _FORMAT_NOISE.sub("", attribute(attributes, "formatCode")[:1000]).lower()
            if any(char in code for char in "ymdh") and "general" not in code:
                self._custom.add(attribute(attributes, "numFmtId"))
        elif name == "cellXfs":
            self._in_cells = True
        elif name == "xf" and self._in_cells:
            number = attribute(attributes, "numFmtId")
            known = number.isascii() and number.isdigit() and len(number) < 6
            self.is_date.append(number in self._custom or (known and int(number) in _DATE_FORMATS))

    def end(self, tag: str) -> None:
        if local(tag) == "cellXfs":
            self._in_cells = False


class _Sheet(Target):
    """Rows of one sheet that hold anything."""

    def __init__(self, strings: list[str], styles: _Styles) -> None:
        super().__init__()
        self.rows: list[tuple[int, Cells]] = []
        self._strings, self._styles = strings, styles
        self._number = self._column = 0
        self._row: Cells = {}
        self._kind = self._style = ""
        self._parts: list[str] = []
        self._in_value = self._in_reading = False

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        name = local(tag)
        if name == "c":
            match = _REFERENCE.fullmatch(attributes.get("r", ""))
            self._column = _column(match[1]) if match else self._column + 1
            self._kind, self._style = attributes.get("t", "n"), attributes.get("s", "")
            self._parts = []
        elif name in ("v", "t"):
            self._in_value = True
        elif name == "rPh":
            self._in_reading = True
        elif name == "row":
            number = attributes.get("r", "")
            is_number = number.isascii() and number.isdigit() and len(number) < 9
            self._number = int(number) if is_number else self._number + 1
            self._row, self._column = {}, -1

    def end(self, tag: str) -> None:
        name = local(tag)
        if name in ("v", "t"):
            self._in_value = False
        elif name == "rPh":
            self._in_reading = False
        elif name == "c":
            value = self._value("".join(self._parts))
            if value:
                if self._column >= _LAST_COLUMN:
                    raise RefusedError(Reason.DAMAGED, "a cell beyond the last column of a sheet")
                self._row[self._column] = value
        elif name == "row" and self._row:
            self.rows.append((self._number, self._row))

    def data(self, text: str) -> None:
        if self._in_value and not self._in_reading:
            self._parts.append(text)

    def _value(self, text: str) -> str:
        if self._kind == "s":
            known = text.isascii() and text.isdigit() and len(text) < 9 and int(text) < len(self._strings)
            return self._strings[int(text)] if known else ""
        if self._kind == "n" and self._style.isdigit() and len(self._style) < 7:
            style = int(self._style)
            if style < len(self._styles.is_date) and self._styles.is_date[style]:
                return _date(text)
        return "" if self._kind == "e" else text


def _column(letters: str) -> int:
    number = 0
    for letter in letters:
        number = 26 * number + ord(letter) - 64
    return number - 1


def _date(text: str) -> str:
    """A day counted from the end of 1899, in ISO form; the number itself where it is none."""
    try:
        moment = _EPOCH + datetime.timedelta(days=float(text))
    except (ValueError, OverflowError):
        return text
    moment = (moment + datetime.timedelta(milliseconds=500)).replace(microsecond=0)
    return moment.date().isoformat() if moment.time() == datetime.time() else moment.isoformat(sep=" ")
