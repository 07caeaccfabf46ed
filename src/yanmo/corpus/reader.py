"""Files and folders to documents.

``READERS`` names the reader of each suffix; everything else is looked into and read as plain text
if it is one (source code, logs, TeX), refused as binary if not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

from yanmo.corpus.document import Document, Note, RefusedError, Rejected, make_document
from yanmo.corpus.encoding import decode, detect
from yanmo.corpus.files import Blob, Meter, SourceFile, find_files, open_file
from yanmo.corpus.markup import declared_charset, html_text, strip_front_matter
from yanmo.corpus.records import read_json, read_jsonl
from yanmo.corpus.tables import read_csv, read_parquet, read_tsv


class Reader(Protocol):
    """Turns one blob into documents; raises ``RefusedError`` for the blob as a whole."""

    def __call__(self, blob: Blob, *, text_column: str | None, note: Note) -> Iterator[Document | Rejected]:
        """Read ``blob``; ``text_column`` is the user's choice, ``note`` takes lines to be said."""


def read_plain(blob: Blob, *, text_column: str | None, note: Note) -> Iterator[Document | Rejected]:
    """Read the whole blob as one text."""
    encoding = detect(blob, note=note)
    text = decode(blob, encoding)
    yield make_document(text, blob.label, encoding.meta(text))


def read_markdown(blob: Blob, *, text_column: str | None, note: Note) -> Iterator[Document | Rejected]:
    """Read the whole blob as one text, without front matter."""
    encoding = detect(blob, note=note)
    text = strip_front_matter(decode(blob, encoding))
    yield make_document(text, blob.label, encoding.meta(text))


def read_html(blob: Blob, *, text_column: str | None, note: Note) -> Iterator[Document | Rejected]:
    """Read the main text of a page; its title goes into the meta."""
    head = next(blob.blocks(), b"")
    encoding = detect(blob, note=note, declared=declared_charset(head))
    text, title = html_text(decode(blob, encoding))
    yield make_document(text, blob.label, encoding.meta(text) | ({"title": title} if title else {}))


READERS: dict[str, Reader] = {
    ".txt": read_plain,
    ".text": read_plain,
    ".md": read_markdown,
    ".markdown": read_markdown,
    ".html": read_html,
    ".htm": read_html,
    ".xhtml": read_html,
    ".csv": read_csv,
    ".tsv": read_tsv,
    ".json": read_json,
    ".jsonl": read_jsonl,
    ".ndjson": read_jsonl,
    ".parquet": read_parquet,
}


def read_documents(
    sources: Path | Sequence[Path],
    *,
    text_column: str | None = None,
    note: Note | None = None,
) -> Iterator[Document | Rejected]:
    """Read files and folders, in a fixed order; texts are decoded but not yet cleaned.

    Args:
        sources: files and folders.
        text_column: column or key of the text in tables and records; guessed where None.
        note: takes each line that the user should know (a guessed column, a repaired file).

    Raises:
        InputError: a source does not exist.
    """
    paths = [sources] if isinstance(sources, Path) else list(sources)
    for file in find_files(paths):
        yield from read_file(file, text_column=text_column, note=note or (lambda line: None))


def read_file(
    file: SourceFile | Rejected, *, text_column: str | None, note: Note, meter: Meter | None = None
) -> Iterator[Document | Rejected]:
    """Read one file that ``find_files`` found; ``meter`` is told the bytes as they are read."""
    if isinstance(file, Rejected):
        yield file
        return
    for blob in open_file(file, meter=meter):
        if isinstance(blob, Rejected):
            yield blob
            continue
        try:
            yield from READERS.get(blob.suffix, read_plain)(blob, text_column=text_column, note=note)
        except RefusedError as refused:
            yield Rejected(source=blob.label, reason=refused.reason, detail=refused.detail)
