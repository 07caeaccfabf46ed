"""An even sample of files: windows at equal distances over all their bytes, always the same ones.

A file that begins in a window is taken whole. Of a large one that can be cut, what lies in the windows is
copied into a file of its own: stretches of lines where any line can be read alone, otherwise the beginning;
of an archive, the members are read up to so many bytes. So each byte has the same chance.
"""

from __future__ import annotations

import enum
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate
from pathlib import Path, PurePosixPath

import duckdb

from yanmo.corpus.document import RefusedError, Rejected
from yanmo.corpus.files import BLOCK_BYTES, SourceFile
from yanmo.corpus.formats.archives import open_file
from yanmo.corpus.formats.compression import DECOMPRESSORS
from yanmo.corpus.formats.kinds import kind_of
from yanmo.corpus.reader import READERS

NUM_WINDOWS = 64
_BLOCK_BYTES = 1 << 16
_MOST_RATIO = 64
_LINES = {".txt", ".text", ".md", ".markdown", ".jsonl", ".ndjson"}
_BEGINNINGS = {".csv", ".tsv", ".json", ".mbox"}


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """A file of the sample, or what was cut out of one, under the label of the whole."""

    file: SourceFile
    num_bytes: int
    """Bytes on disk that it stands for."""
    is_cut: bool = False
    """Whether it ends where it was cut."""
    is_archive: bool = False
    """Whether to read no more than ``num_bytes`` of it."""


class _Way(enum.Enum):
    """How a large file is cut."""

    LINES = enum.auto()
    BEGINNING = enum.auto()
    ROWS = enum.auto()
    MEMBERS = enum.auto()


class _UncutError(Exception):
    """A file can only be taken whole."""


def draw(files: Sequence[SourceFile], scratch: Path, *, num_bytes: int) -> list[list[Drawn]]:
    """Draw files, or parts of them.

    Args:
        files: all of them, in order.
        scratch: a folder for what is cut out.
        num_bytes: about how much to draw; everything where there is no more.

    Returns:
        What was drawn by window; some windows may be empty.
    """
    drawing = _Drawing(files, scratch, num_bytes)
    for number, file in enumerate(files):
        drawing.take(number, file)
    return drawing.windows


@dataclass
class _Drawing:
    files: Sequence[SourceFile]
    scratch: Path
    num_bytes: int
    windows: list[list[Drawn]] = field(init=False)

    def __post_init__(self) -> None:
        self.windows = [[] for _ in range(NUM_WINDOWS)]
        self._starts = [0, *accumulate(file.num_bytes for file in self.files)]
        total = self._starts[-1]
        self._begins = [number * total // NUM_WINDOWS for number in range(NUM_WINDOWS)]
        self._length = total if total <= self.num_bytes else self.num_bytes // NUM_WINDOWS
        self._num_excerpts = 0

    def take(self, number: int, file: SourceFile) -> None:
        """Put into the windows what of a file lies in them."""
        start = self._starts[number]
        window = bisect_right(self._begins, start) - 1
        begins_here = start < self._begins[window] + self._length
        if file.num_bytes <= self._length:
            if begins_here:
                self.windows[window].append(Drawn(file=file, num_bytes=file.num_bytes))
            return
        spans = list(self._spans(start, file.num_bytes))
        try:
            for own, drawn in self._cut(file, spans) if spans else ():
                self.windows[own].append(drawn)
        except (_UncutError, RefusedError, duckdb.Error, OSError):
            # What is wrong with it, if anything, is said where it is read.
            if begins_here:
                self.windows[window].append(Drawn(file=file, num_bytes=file.num_bytes))

    def _cut(self, file: SourceFile, spans: Sequence[tuple[int, int, int]]) -> list[tuple[int, Drawn]]:
        """What is drawn of a large file, with its windows."""
        way, first = _way(file), spans[0][0]
        in_all = sum(end - begin for _, begin, end in spans)
        if way is _Way.LINES:
            return [(own, self._stretch(file, begin, end - begin)) for own, begin, end in spans]
        if way is _Way.MEMBERS:
            return [(first, Drawn(file=file, num_bytes=in_all, is_archive=True))]
        return [(first, self._rows(file, in_all) if way is _Way.ROWS else self._beginning(file, in_all))]

    def _spans(self, start: int, num_bytes: int) -> Iterator[tuple[int, int, int]]:
        """Windows, with what of a file lies in them."""
        for window, begin in enumerate(self._begins):
            low, high = max(begin, start), min(begin + self._length, start + num_bytes)
            if low < high:
                yield window, low - start, high - start

    def _stretch(self, file: SourceFile, begin: int, num_bytes: int) -> Drawn:
        """Whole lines."""
        with file.path.open("rb") as stream:
            if begin:
                stream.seek(begin - 1)
                stream.readline(BLOCK_BYTES)
            data = stream.read(num_bytes) + stream.readline(BLOCK_BYTES)
        return self._written(file, file.label, data, num_bytes)

    def _beginning(self, file: SourceFile, num_bytes: int) -> Drawn:
        """The first bytes of a text, of what is compressed those that the first bytes on disk give."""
        read = 0

        def count(number: int) -> None:
            nonlocal read
            read += number

        blob = next(open_file(file, meter=count))
        if isinstance(blob, Rejected):
            raise _UncutError
        # Its kind was found by reading, too.
        read, covered = 0, 0
        data, block_bytes = bytearray(), min(_BLOCK_BYTES, 1 + num_bytes // 8)
        with blob.open() as stream:
            while covered < num_bytes and len(data) < _MOST_RATIO * num_bytes:
                before = read
                block = stream.read(block_bytes)
                if not block:
                    break
                data += block
                # More is taken in than is asked for: what was taken in before is used up when more is.
                covered = before if read > before else covered
            data += stream.readline(BLOCK_BYTES)
        label = PurePosixPath(file.label)
        while label.suffix.lower() in DECOMPRESSORS:
            label = label.with_suffix("")
        return self._written(file, str(label), bytes(data), min(covered or read, file.num_bytes))

    def _rows(self, file: SourceFile, num_bytes: int) -> Drawn:
        """The first rows of a Parquet file."""
        path = self._new_path(".parquet")
        with duckdb.connect(":memory:") as connection:
            query = "SELECT num_rows FROM parquet_file_metadata(?)"
            ((num_rows,),) = connection.execute(query, [str(file.path)]).fetchall()
            source = str(file.path).replace("'", "''")
            wanted = max(1, num_rows * num_bytes // file.num_bytes)
            connection.execute(
                f"COPY (SELECT * FROM read_parquet('{source}') LIMIT {wanted}) TO '{path}' (FORMAT parquet)"
            )
        return Drawn(
            file=replace(file, path=path, num_bytes=path.stat().st_size), num_bytes=num_bytes, is_cut=True
        )

    def _written(self, file: SourceFile, label: str, data: bytes, covered: int) -> Drawn:
        path = self._new_path(PurePosixPath(label).suffix)
        path.write_bytes(data)
        cut = replace(file, path=path, label=label, num_bytes=len(data))
        return Drawn(file=cut, num_bytes=covered, is_cut=True)

    def _new_path(self, suffix: str) -> Path:
        self._num_excerpts += 1
        return self.scratch / f"{self._num_excerpts:05d}{suffix}"


def _way(file: SourceFile) -> _Way:
    """How to cut a file.

    Raises:
        _UncutError: it cannot be.
        RefusedError: it cannot even be opened.
    """
    blob = next(open_file(file), None)
    if blob is None or isinstance(blob, Rejected):
        raise _UncutError
    if blob.label != file.label:
        return _Way.MEMBERS
    kind, head = kind_of(blob, note=lambda line: None), blob.head()
    if kind == ".parquet" and blob.path is not None and not any(char in str(file.path) for char in "*?["):
        return _Way.ROWS
    is_text = kind not in READERS or kind in _LINES or kind in _BEGINNINGS
    if not is_text or b"\0" in head or head.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise _UncutError
    return _Way.LINES if blob.path is not None and kind not in _BEGINNINGS else _Way.BEGINNING
