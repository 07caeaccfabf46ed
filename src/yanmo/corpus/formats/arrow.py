"""Arrow streams and files, as the Hugging Face ``datasets`` library keeps its rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, BinaryIO

from yanmo.corpus.document import Document, Note, Reason, RefusedError, Rejected
from yanmo.corpus.files import Blob
from yanmo.corpus.tables import Row, documents_of, number_rows

# A file is a stream between this mark and a table of contents.
_FILE_MARK = b"ARROW1\x00\x00"


def read_arrow(blob: Blob, *, text_column: str | None, note: Note) -> Iterator[Document | Rejected]:
    """Read the rows of an Arrow stream or file."""
    yield from documents_of(arrow_rows(blob), blob.label, text_column, note)


def arrow_rows(blob: Blob) -> Iterator[Row]:
    """The rows of an Arrow stream or file."""
    with blob.open() as stream:
        yield from number_rows(_rows(stream, blob), f"{blob.label}#row=")


def _rows(stream: BinaryIO, blob: Blob) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        from nanoarrow.ipc import InputStream
        from nanoarrow.iterator import iter_py
    except ImportError:
        raise RefusedError(Reason.UNREADABLE, "needs nanoarrow: pip install 'yanmo[arrow]'") from None
    reader = _Stream(stream, blob)
    number = 0
    try:
        with InputStream.from_readable(reader) as source:
            for row in iter_py(source):
                number += 1
                yield number, row if isinstance(row, dict) else {"text": row}
    except RefusedError:
        raise
    except (RuntimeError, ValueError, OSError, NotImplementedError, KeyError, OverflowError) as error:
        raise RefusedError(
            Reason.DAMAGED, f"arrow: {str(error).splitlines()[0][:200] if str(error) else ''}"
        ) from None


class _Stream:
    """The bytes of a stream without the mark of a file."""

    def __init__(self, stream: BinaryIO, blob: Blob) -> None:
        self._stream, self._blob = stream, blob
        start = stream.read(len(_FILE_MARK))
        self._start = b"" if start == _FILE_MARK else start

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        if self._start:
            count = min(len(view), len(self._start))
            view[:count], self._start = self._start[:count], self._start[count:]
            return count
        data = self._stream.read(min(len(view), 1 << 20))
        view[: len(data)] = data
        self._blob.spend(len(data))
        return len(data)
