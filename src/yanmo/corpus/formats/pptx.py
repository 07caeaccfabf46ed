"""Presentations: the text of each slide and its speaker's notes, with a form feed between slides."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from yanmo.corpus.document import Document, Note, Rejected
from yanmo.corpus.files import Blob
from yanmo.corpus.formats.packages import Package, Target, attribute, local, open_package
from yanmo.corpus.formats.sections import in_sections

_SLIDE = re.compile(r"ppt/slides/slide(\d{1,6})\.xml")
# Fields hold the slide's number and the date.
_SKIPPED = frozenset(("Fallback", "fld"))


def read_pptx(blob: Blob, *, text_column: str | None, note: Note) -> Iterator[Document | Rejected]:
    """Read a .pptx file as one text."""
    with open_package(blob) as package:
        slides = _slides(package)
        meta = package.core_meta() | {"slides": str(len(slides))}
        yield from in_sections(_pieces(package, slides), blob.label, meta)


def _slides(package: Package) -> list[str]:
    """The slides' parts in the order they are shown."""
    shown = _Order()
    package.parse("ppt/presentation.xml", shown)
    targets = package.relations("ppt/presentation.xml")
    named = [targets[key][1] for key in shown.ids if key in targets]
    known = [name for name in dict.fromkeys(named) if name in package.names]
    if known:
        return known
    numbered = {int(match[1]): name for name in package.names if (match := _SLIDE.fullmatch(name))}
    return [numbered[number] for number in sorted(numbered)]


def _pieces(package: Package, slides: list[str]) -> Iterator[str]:
    for number, name in enumerate(slides):
        if number:
            yield "\f"
        yield from package.pieces(name, _Slide())
        for kind, target in package.relations(name).values():
            if kind == "notesSlide" and target in package.names:
                yield "\n"
                yield from package.pieces(target, _Slide())


class _Order(Target):
    def __init__(self) -> None:
        super().__init__()
        self.ids: list[str] = []

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        if local(tag) == "sldId":
            # The element's own number is called id as well, without a namespace.
            self.ids += [value for key, value in attributes.items() if key.endswith("}id")]


class _Slide(Target):
    def __init__(self) -> None:
        super().__init__()
        self._skipped = 0
        self._in_text = self._in_cell = self._begun = False

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        name = local(tag)
        if name in _SKIPPED:
            self._skipped += 1
        elif name == "t":
            self._in_text = True
        elif name == "tc":
            self._in_cell = True
        elif name == "br" and attribute(attributes, "type") == "":
            self.out.append("\n")

    def end(self, tag: str) -> None:
        name = local(tag)
        if name in _SKIPPED:
            self._skipped -= 1
        elif name == "t":
            self._in_text = False
        elif name == "tc":
            self._in_cell = False
            self.out.append("\t")
        elif name == "tr" or (name == "p" and self._begun):
            self.out.append(" " if self._in_cell else "\n")
            self._begun = False

    def data(self, text: str) -> None:
        if self._in_text and not self._skipped:
            self._begun = True
            self.out.append(text)
