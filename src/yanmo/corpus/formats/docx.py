"""Word documents: paragraphs, tables with tabs between their cells, then the notes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from yanmo.corpus.document import Document, Note, Rejected
from yanmo.corpus.files import Blob
from yanmo.corpus.formats.packages import Package, Target, attribute, local, open_package
from yanmo.corpus.formats.sections import in_sections

_NOTES = ("word/footnotes.xml", "word/endnotes.xml")
# A second version of the same content for older programs; text that was moved away; hidden instructions.
_SKIPPED = frozenset(("Fallback", "moveFrom", "del"))


def read_docx(blob: Blob, *, text_column: str | None, note: Note) -> Iterator[Document | Rejected]:
    """Read a .docx file as one text."""
    with open_package(blob) as package:
        yield from in_sections(_pieces(package), blob.label, package.core_meta())


def _pieces(package: Package) -> Iterator[str]:
    yield from package.pieces("word/document.xml", _Body())
    for name in _NOTES:
        if name in package.names:
            yield from package.pieces(name, _Body())


class _Body(Target):
    def __init__(self) -> None:
        super().__init__()
        self._skipped = self._cells = 0
        self._in_text = False

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        name = local(tag)
        if name in _SKIPPED:
            self._skipped += 1
        elif self._skipped:
            return
        elif name == "t":
            self._in_text = True
        elif name == "tab" and not attributes:
            # With attributes it is a stop of the ruler.
            self.out.append("\t")
        elif name in ("br", "cr"):
            self.out.append("\f" if attribute(attributes, "type") == "page" else "\n")
        elif name == "noBreakHyphen":
            self.out.append("-")
        elif name == "tr":
            self._cells += 1

    def end(self, tag: str) -> None:
        name = local(tag)
        if name in _SKIPPED:
            self._skipped -= 1
        elif self._skipped:
            return
        elif name == "t":
            self._in_text = False
        elif name == "p":
            # Inside a table a paragraph is a part of a cell.
            self.out.append(" " if self._cells else "\n")
        elif name == "tc":
            self.out.append("\t")
        elif name == "tr":
            self._cells -= 1
            self.out.append("\n")
        elif name == "tbl":
            self.out.append("\n")

    def data(self, text: str) -> None:
        if self._in_text and not self._skipped:
            self.out.append(text)
