"""Files and folders to documents.

What a file is, its content decides where it shows it, else the suffix of its name; ``READERS`` names the
reader of each kind. Everything else is read as plain text if it is one (source code, logs, TeX), refused as
binary if not.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from yanmo.corpus.document import Document, Note, Reason, RefusedError, Rejected
from yanmo.corpus.encoding import announce, detect
from yanmo.corpus.files import Blob, Meter, Slice, SourceFile, find_files
from yanmo.corpus.formats.archives import open_file
from yanmo.corpus.formats.arrow import read_arrow
from yanmo.corpus.formats.database import read_sqlite
from yanmo.corpus.formats.docx import read_docx
from yanmo.corpus.formats.epub import read_epub
from yanmo.corpus.formats.kinds import kind_of
from yanmo.corpus.formats.mail import read_eml, read_mbox
from yanmo.corpus.formats.notebook import read_notebook
from yanmo.corpus.formats.opendocument import read_ods, read_opendocument
from yanmo.corpus.formats.pdf import read_pdf
from yanmo.corpus.formats.plain import SECTION_BYTES, read_markdown, read_plain, read_plain_slice
from yanmo.corpus.formats.pptx import read_pptx
from yanmo.corpus.formats.rtf import read_rtf
from yanmo.corpus.formats.web_page import read_html
from yanmo.corpus.formats.xlsx import read_xlsx
from yanmo.corpus.records import read_json, read_jsonl, read_jsonl_slice
from yanmo.corpus.tables import read_csv, read_parquet, read_tsv
from yanmo.errors import YanmoError

SLICE_BYTES = 32 << 20
UNFORESEEN = "unforeseen"
# No room, or too many open files: the next file would fare no better.
_FAULTS_OF_THE_MACHINE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EMFILE, errno.ENFILE)


class Reader(Protocol):
    """Turns one blob into documents; raises ``RefusedError`` for the blob as a whole."""

    def __call__(self, blob: Blob, *, text_column: str | None, note: Note) -> Iterator[Document | Rejected]:
        """Read ``blob``; ``text_column`` is the user's choice, ``note`` takes lines to be said."""


class ReadFile(Protocol):
    """A way to read a file, such as ``read_file``."""

    def __call__(
        self, file: SourceFile | Rejected, *, text_column: str | None, note: Note, meter: Meter
    ) -> Iterator[Document | Rejected]:
        """As ``read_file``."""


def _read_nested(blob: Blob, *, text_column: str | None, note: Note) -> Iterator[Document | Rejected]:
    raise RefusedError(Reason.NESTED)


READERS: dict[str, Reader] = {
    ".txt": read_plain,
    ".text": read_plain,
    ".md": read_markdown,
    ".markdown": read_markdown,
    ".html": read_html,
    ".htm": read_html,
    ".xhtml": read_html,
    ".pdf": read_pdf,
    ".docx": read_docx,
    ".pptx": read_pptx,
    ".xlsx": read_xlsx,
    ".odt": read_opendocument,
    ".odp": read_opendocument,
    ".ods": read_ods,
    ".epub": read_epub,
    ".rtf": read_rtf,
    ".eml": read_eml,
    ".mbox": read_mbox,
    ".csv": read_csv,
    ".tsv": read_tsv,
    ".json": read_json,
    ".jsonl": read_jsonl,
    ".ndjson": read_jsonl,
    ".ipynb": read_notebook,
    ".parquet": read_parquet,
    ".arrow": read_arrow,
    ".sqlite": read_sqlite,
    ".zip": _read_nested,
    ".tar": _read_nested,
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
        yield from read_file(file, text_column=text_column, note=note or _say_nothing)


def read_file(
    file: SourceFile | Rejected, *, text_column: str | None, note: Note, meter: Meter | None = None
) -> Iterator[Document | Rejected]:
    """Read one file that ``find_files`` found, or a slice of one that ``split_large`` made.

    What a reader did not foresee costs the file, or the rest of it, and not the build.

    Args:
        file: the file.
        text_column: as ``read_documents``.
        note: as ``read_documents``.
        meter: told the bytes as they are read.

    Raises:
        YanmoError: the whole build cannot go on.
        OSError: this machine has no room or no open files left.
    """
    if isinstance(file, Rejected):
        yield file
        return
    label = file.label
    try:
        for blob in open_file(file, meter=meter):
            label = blob.source if isinstance(blob, Rejected) else blob.label
            if isinstance(blob, Rejected):
                yield blob
                continue
            try:
                yield from _read_blob(blob, file.slice, text_column, note)
            except YanmoError:
                raise
            except Exception as error:
                yield _unforeseen(blob.label, error)
    except YanmoError:
        raise
    except Exception as error:
        yield _unforeseen(label, error)


def _read_blob(
    blob: Blob, part: Slice | None, text_column: str | None, note: Note
) -> Iterator[Document | Rejected]:
    try:
        kind = kind_of(blob, note=note if part is None or part.begin == 0 else _say_nothing)
        if part is not None:
            yield from _read_slice(blob, part, kind, text_column, note)
        else:
            yield from READERS.get(kind, read_plain)(blob, text_column=text_column, note=note)
    except RefusedError as refused:
        yield Rejected(source=blob.label, reason=refused.reason, detail=refused.detail)


def _unforeseen(label: str, error: Exception) -> Rejected:
    """A file that its reader stumbles over in a way that nobody thought of.

    Raises:
        OSError: it is not the file's fault.
    """
    if isinstance(error, OSError) and error.errno in _FAULTS_OF_THE_MACHINE:
        raise error
    return Rejected(
        source=label, reason=Reason.DAMAGED, detail=f"{UNFORESEEN} {type(error).__name__}: {error}"
    )


def split_large(file: SourceFile, slice_bytes: int = SLICE_BYTES) -> list[SourceFile]:
    """Slices of a large file of lines, for several processes to read; the file itself where it is not cut.

    JSON lines and plain text are cut where they are not compressed and a line feed is one byte. The
    documents of slices are labelled by the bytes they begin at, and are the same for every ``slice_bytes``
    below the size of the file.

    Args:
        file: a whole file; it is read once, to know its encoding.
        slice_bytes: the size of a slice; of plain text rounded up to whole sections.
    """
    if file.num_bytes <= slice_bytes or file.slice is not None:
        return [file]
    try:
        blob = next(open_file(file))
        if isinstance(blob, Rejected) or blob.path is None:
            return [file]
        kind = kind_of(blob, note=_say_nothing)
        if READERS.get(kind, read_plain) is read_plain:
            if file.num_bytes <= 2 * SECTION_BYTES:
                return [file]
            slice_bytes = -(-slice_bytes // SECTION_BYTES) * SECTION_BYTES
        elif READERS[kind] is not read_jsonl:
            return [file]
        encoding = detect(blob, note=_say_nothing)
    except YanmoError:
        raise
    except Exception:
        # Said again, with its reason, when the file is read.
        return [file]
    if not encoding.is_ascii_compatible:
        return [file]
    begins = range(0, file.num_bytes, slice_bytes)
    ends = (min(begin + slice_bytes, file.num_bytes) for begin in begins)
    parts = (Slice(begin=b, end=e, encoding=encoding) for b, e in zip(begins, ends, strict=True))
    return [replace(file, slice=part) for part in parts]


def _read_slice(
    blob: Blob, part: Slice, kind: str, text_column: str | None, note: Note
) -> Iterator[Document | Rejected]:
    said = note if part.begin == 0 else _say_nothing
    announce(part.encoding, blob.label, said)
    if READERS.get(kind, read_plain) is read_jsonl:
        yield from read_jsonl_slice(blob, part, text_column=text_column, note=said)
    else:
        yield from read_plain_slice(blob, part)


def _say_nothing(line: str) -> None:
    """Takes notes that no one asked for."""
