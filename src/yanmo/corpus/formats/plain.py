"""Plain text, source code and Markdown; long ones in sections, and slices of large files.

Sections begin at the first line that begins at or after a multiple of ``SECTION_BYTES``. So a slice that
begins at such a multiple holds whole sections, and the slices of a file together give what the file gives.
A line without end is cut where it reaches twice that size.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from itertools import chain, islice
from typing import BinaryIO

from yanmo.corpus.document import Document, Note, Rejected, make_document
from yanmo.corpus.encoding import detect
from yanmo.corpus.files import BLOCK_BYTES, Blob, Encoding, Slice
from yanmo.corpus.markup import strip_front_matter

SECTION_BYTES = 8 << 20


def read_plain(blob: Blob, *, text_column: str | None, note: Note) -> Iterator[Document | Rejected]:
    """Read the whole blob as one text, or as sections where it is over twice ``SECTION_BYTES``."""
    encoding = detect(blob, note=note)
    with blob.open() as stream:
        sections = (text for _, text in cut(stream, encoding))
        yield from _documents(sections, blob.label, encoding)


def read_markdown(blob: Blob, *, text_column: str | None, note: Note) -> Iterator[Document | Rejected]:
    """Read the blob as ``read_plain`` does, without front matter."""
    encoding = detect(blob, note=note)
    with blob.open() as stream:
        sections = (text for _, text in cut(stream, encoding))
        first = strip_front_matter(next(sections))
        yield from _documents(chain([first], sections), blob.label, encoding)


def read_plain_slice(blob: Blob, part: Slice) -> Iterator[Document]:
    """The sections of a slice that begins at a multiple of ``SECTION_BYTES``, labelled by their bytes."""
    with blob.open() as stream:
        for begin, text in cut(stream, part.encoding, begin=part.begin, end=part.end):
            yield make_document(text, f"{blob.label}#byte={begin}", part.encoding.meta(text))


def cut(
    stream: BinaryIO, encoding: Encoding, *, begin: int = 0, end: int | None = None
) -> Iterator[tuple[int, str]]:
    """The sections of a text, each with the byte that it begins at.

    Args:
        stream: at its beginning; it must be able to seek where ``begin`` is not 0.
        encoding: of the text.
        begin: sections from the first line that begins here or later.
        end: sections up to the first line that begins here or later.
    """
    # The codec that takes a mark away would give one to every line feed.
    name = "utf-8" if encoding.name == "utf-8-sig" else encoding.name
    newline = "\n".encode(name)
    place = first_line_start(stream, begin)
    data, in_line = bytearray(), False
    while end is None or place < end or in_line:
        target = 0 if in_line else (place // SECTION_BYTES + 1) * SECTION_BYTES - place
        length, whole = _fill(stream, data, max(0, target - len(newline)), newline)
        if not data:
            return
        decoder = codecs.getincrementaldecoder(name)(encoding.errors)
        text = decoder.decode(bytes(data[:length]), whole)
        if not whole:
            length -= len(decoder.getstate()[0])
        del data[:length]
        yield place, text.removeprefix("\ufeff") if place == 0 else text
        place, in_line = place + length, not whole


def first_line_start(stream: BinaryIO, begin: int) -> int:
    """Bring the stream to the first line that begins at ``begin`` or later, and tell where that is."""
    if begin == 0:
        return 0
    place = stream.seek(begin - 1)
    while line := stream.readline(BLOCK_BYTES):
        place += len(line)
        if line.endswith(b"\n"):
            break
    return place


def _fill(stream: BinaryIO, data: bytearray, at_least: int, newline: bytes) -> tuple[int, bool]:
    """Read until there is a line end at ``at_least`` or later.

    Returns:
        The length of the section, and whether it ends with a line or the text.
    """
    searched = at_least
    while True:
        found = data.find(newline, searched)
        while found >= 0 and found % len(newline):
            found = data.find(newline, found + 1)
        if 0 <= found < 2 * SECTION_BYTES:
            return found + len(newline), True
        if len(data) >= 2 * SECTION_BYTES:
            return 2 * SECTION_BYTES, False
        searched = max(at_least, len(data) - len(data) % len(newline))
        block = stream.read(BLOCK_BYTES)
        if not block:
            return len(data), True
        data += block


def _documents(sections: Iterator[str], label: str, encoding: Encoding) -> Iterator[Document]:
    first = list(islice(sections, 3))
    if len(first) < 3:
        text = "".join(first)
        yield make_document(text, label, encoding.meta(text))
        return
    for number, text in enumerate(chain(first, sections), 1):
        yield make_document(text, f"{label}#section={number}", encoding.meta(text))
