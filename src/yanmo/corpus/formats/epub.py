"""Books: the chapters of an EPUB in reading order."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping

from yanmo.corpus.document import Document, Note, Reason, RefusedError, Rejected
from yanmo.corpus.files import Blob
from yanmo.corpus.formats.packages import Package, Target, attribute, local, open_package, resolve
from yanmo.corpus.formats.sections import in_sections
from yanmo.corpus.markup import MAX_PAGE_BYTES, declared_charset, html_text

_CONTAINER = "META-INF/container.xml"
_ENCRYPTION = "META-INF/encryption.xml"


def read_epub(blob: Blob, *, text_column: str | None, note: Note) -> Iterator[Document | Rejected]:
    """Read a book as one text."""
    with open_package(blob) as package:
        container = _Attributes("rootfile", "full-path")
        package.parse(_CONTAINER, container)
        if not container.found:
            raise RefusedError(Reason.DAMAGED, "names no content")
        book = _Book()
        package.parse(container.found[0], book)
        folder = posixpath.dirname(container.found[0])
        chapters = [resolve(folder, book.items[key]) for key in book.spine if key in book.items]
        encrypted = _Attributes("CipherReference", "URI")
        package.parse(_ENCRYPTION, encrypted)
        if {resolve("", uri) for uri in encrypted.found} & set(chapters):
            raise RefusedError(Reason.ENCRYPTED, "protected against copying")
        pieces = _chapters(package, chapters, blob.label, note)
        yield from in_sections(pieces, blob.label, package.dublin_core(container.found[0]))


def _chapters(package: Package, chapters: list[str], label: str, note: Note) -> Iterator[str]:
    for name in dict.fromkeys(chapters):
        if name not in package.names:
            note(f"{label}: lacks {name}")
            continue
        raw = package.read(name, MAX_PAGE_BYTES)
        try:
            page = raw.decode(declared_charset(raw) or "utf-8", "replace")
        except LookupError:
            page = raw.decode("utf-8", "replace")
        text, _ = html_text(page, main_only=False)
        if text:
            yield text + "\n\n"


class _Attributes(Target):
    def __init__(self, tag: str, name: str) -> None:
        super().__init__()
        self._tag, self._name = tag, name
        self.found: list[str] = []

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        if local(tag) == self._tag:
            self.found.append(attribute(attributes, self._name))


class _Book(Target):
    def __init__(self) -> None:
        super().__init__()
        self.items: dict[str, str] = {}
        self.spine: list[str] = []

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        name = local(tag)
        if name == "item":
            self.items[attributes.get("id", "")] = attributes.get("href", "")
        elif name == "itemref" and attributes.get("linear") != "no":
            self.spine.append(attributes.get("idref", ""))
