"""CSV, TSV and Parquet: one document a row.

A row with too many or too few fields is refused alone. A quotation mark that is never closed would
swallow the rows after it: such a row is refused by its first line and reading goes on at the next.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, islice
from typing import Any, TypeVar

import duckdb

from yanmo.corpus.document import (
    MAX_REJECTED_CHARS,
    Document,
    Note,
    Reason,
    RefusedError,
    Rejected,
    make_document,
)
from yanmo.corpus.encoding import UTF_8, Encoding, detect
from yanmo.corpus.fields import SAMPLE_RECORDS, TEXT_NAMES, choose_fields, record_meta, record_text
from yanmo.corpus.files import Blob

MAX_TEXT_CHARS = 16 << 20
"""A line, a cell or a record of more than this is refused."""
MAX_COLUMNS = 4096
_MAX_LINES_A_ROW = 100_000
_MAX_SAMPLE_CHARS = 4 << 20
_FETCH_ROWS = 64
_T = TypeVar("_T")
_OTHER_NAMES = "id label title name url date author source category target src tgt en zh 标签 标题 类别"
_HEADER_NAMES = frozenset([*TEXT_NAMES, *_OTHER_NAMES.split()])


class _End:
    """What no iterator yields."""


_END = _End()


def read_csv(blob: Blob, *, text_column: str | None, note: Note) -> Iterator[Document | Rejected]:
    """Read comma-, semicolon-, tab- or bar-separated rows."""
    yield from _read_separated(blob, ",;\t|", text_column, note)


def read_tsv(blob: Blob, *, text_column: str | None, note: Note) -> Iterator[Document | Rejected]:
    """Read tab-separated rows."""
    yield from _read_separated(blob, "\t", text_column, note)


def read_parquet(blob: Blob, *, text_column: str | None, note: Note) -> Iterator[Document | Rejected]:
    """Read the rows of a Parquet file."""
    limits: dict[str, str | bool | int | float | list[str]] = {
        "threads": 1,
        "memory_limit": "400MB",
        "max_temp_directory_size": "0KB",
    }
    with blob.on_disk("rows.parquet") as path, duckdb.connect(":memory:", config=limits) as connection:
        try:
            cursor = connection.execute("SELECT * FROM read_parquet(?)", [str(path)])
            names = [column[0] for column in cursor.description or []]
            batches = iter(lambda: cursor.fetchmany(_FETCH_ROWS), [])
            rows = enumerate((dict(zip(names, row, strict=True)) for batch in batches for row in batch), 1)
            yield from row_documents(rows, f"{blob.label}#row=", text_column, note)
        except duckdb.OutOfMemoryException:
            raise RefusedError(Reason.TOO_LARGE, "parquet: a row group of more than 400 MB") from None
        except duckdb.Error as error:
            detail = (str(error).splitlines() or [""])[0][:200]
            raise RefusedError(Reason.DAMAGED, f"parquet: {detail}") from None


def row_documents(
    rows: Iterator[tuple[int, dict[str, Any]]], prefix: str, text_column: str | None, note: Note
) -> Iterator[Document | Rejected]:
    """The documents of numbered rows; their sources are ``prefix`` with the number.

    Raises:
        RefusedError: no column holds text.
    """
    first = sample_of(rows, lambda row: sum(len(v) for v in row[1].values() if isinstance(v, str | bytes)))
    fields = pick_fields(
        [row for _, row in first], text_column, prefix.removesuffix("row=").rstrip("#&"), note
    )
    for number, row in chain(first, rows):
        yield from record_document(row, fields, f"{prefix}{number}")


def sample_of(items: Iterator[_T], size: Callable[[_T], int], most: int = SAMPLE_RECORDS) -> list[_T]:
    """The first items: at most so many, and few where they are large.

    Args:
        items: taken from.
        size: of an item, in characters.
        most: how many.
    """
    taken: list[_T] = []
    num_chars = 0
    while len(taken) < most and num_chars < _MAX_SAMPLE_CHARS:
        item = next(items, _END)
        if isinstance(item, _End):
            break
        taken.append(item)
        num_chars += size(item)
    return taken


def bounded_lines(stream: io.TextIOBase) -> Iterator[str]:
    """The lines of a stream.

    Raises:
        RefusedError: one is too long to be held.
    """
    while line := stream.readline(MAX_TEXT_CHARS):
        if len(line) == MAX_TEXT_CHARS:
            raise RefusedError(Reason.TOO_LARGE, f"a line of more than {MAX_TEXT_CHARS} characters")
        yield line


def pick_fields(
    sample: Sequence[dict[str, Any]], text_column: str | None, label: str, note: Note
) -> tuple[str, ...]:
    """Choose the text fields of a file and say which; refuse a file that has none."""
    fields = choose_fields(sample, text_column)
    names = list(dict.fromkeys(str(name) for record in sample for name in record))
    if not fields:
        what = f"no field {text_column!r}" if text_column else "no field holds text"
        raise RefusedError(Reason.NO_TEXT, f"{what} (fields: {', '.join(names[:20])})")
    if len(names) > 1:
        note(f"{label}: text is the field {' + '.join(fields)} of {', '.join(names[:20])}")
    return fields


def record_document(
    record: dict[str, Any], fields: Sequence[str], source: str, encoding: Encoding = UTF_8
) -> Iterator[Document | Rejected]:
    """The document of one record, or its refusal."""
    text = record_text(record, fields)
    if text is not None and len(text) > MAX_TEXT_CHARS:
        yield Rejected(
            source=source,
            reason=Reason.TOO_LARGE,
            text=text[:MAX_REJECTED_CHARS],
            detail=f"a text of {len(text)} characters",
        )
    elif text is None:
        yield Rejected(source=source, reason=Reason.NO_TEXT, text=_shown(record))
    else:
        language = record.get("language")
        meta = record_meta(record, fields) | encoding.meta(text)
        yield make_document(text, source, meta, language if isinstance(language, str) else "")


def _shown(record: dict[str, Any]) -> str:
    """The beginning of a record; a large value is not written out to be cut."""
    cells = (
        f"{name}: {value if isinstance(value, str) else repr(value)}"[:1000] for name, value in record.items()
    )
    return ", ".join(islice(cells, 20))[:MAX_REJECTED_CHARS]


def _read_separated(
    blob: Blob, delimiters: str, text_column: str | None, note: Note
) -> Iterator[Document | Rejected]:
    csv.field_size_limit(MAX_TEXT_CHARS)
    encoding = detect(blob, note=note)
    with blob.open() as stream:
        wrapper = io.TextIOWrapper(stream, encoding=encoding.name, errors=encoding.errors, newline="")
        lines = bounded_lines(wrapper)
        head = sample_of(lines, len)
        if head:
            head[0] = head[0].removeprefix("\ufeff")
        num_blank = next((index for index, line in enumerate(head) if line.strip()), len(head))
        head = head[num_blank:]
        delimiter = _delimiter(head, delimiters)
        rows = _Rows(chain(head, lines), delimiter, _is_quoted(head, delimiter))
        first = sample_of(rows, lambda row: len(row[1]))
        names, skip = find_header([row for row, _ in first])
        good = [dict(zip(names, row, strict=True)) for row, _ in first[skip:] if len(row) == len(names)]
        if not good:
            raise RefusedError(Reason.NO_TEXT, "no row below the header")
        fields = pick_fields(good, text_column, blob.label, note)
        for number, (row, raw) in enumerate(chain(first, rows), 1 + num_blank):
            source = f"{blob.label}#row={number}"
            if number <= skip + num_blank or not raw.strip():
                continue
            if len(row) != len(names):
                yield _ragged(row, raw, source, len(names))
            else:
                yield from record_document(dict(zip(names, row, strict=True)), fields, source, encoding)


def _ragged(row: Sequence[str], raw: str, source: str, width: int) -> Rejected:
    detail = f"{len(row)} fields instead of {width}" if row else "a quotation mark is not closed"
    return Rejected(source=source, reason=Reason.RAGGED, text=raw[:MAX_REJECTED_CHARS], detail=detail)


class _TooManyLinesError(Exception):
    """A quotation mark was opened and nothing closed it."""


class _Rows:
    """Rows with their raw text; a row that swallowed the lines after it comes out empty."""

    def __init__(self, lines: Iterator[str], delimiter: str, quoted: bool) -> None:
        self._lines, self._delimiter, self._quoted = lines, delimiter, quoted
        self._taken: list[str] = []
        self._width: int | None = None
        self._reader = self._new_reader()

    def __iter__(self) -> Iterator[tuple[list[str], str]]:
        return self

    def __next__(self) -> tuple[list[str], str]:
        self._taken.clear()
        try:
            row = next(self._reader)
        except (_TooManyLinesError, csv.Error):
            return self._give_back()
        if self._width is None:
            self._width = len(row)
        elif len(self._taken) > 1 and (len(row) != self._width or self._ends_inside_quotes()):
            return self._give_back()
        return row, "".join(self._taken)

    def _ends_inside_quotes(self) -> bool:
        return sum(line.count('"') for line in self._taken) % 2 == 1

    def _give_back(self) -> tuple[list[str], str]:
        first, *later = self._taken
        self._lines = chain(later, self._lines)
        self._reader = self._new_reader()
        return [], first

    def _new_reader(self) -> Iterator[list[str]]:
        if self._quoted:
            return csv.reader(self._feed(), delimiter=self._delimiter)
        return csv.reader(self._feed(), delimiter=self._delimiter, quoting=csv.QUOTE_NONE)

    def _feed(self) -> Iterator[str]:
        lines, taken, num_chars = self._lines, self._taken, 0
        for line in lines:
            if not taken:
                num_chars = 0
            taken.append(line)
            num_chars += len(line)
            if len(taken) > _MAX_LINES_A_ROW or (len(taken) > 1 and num_chars > MAX_TEXT_CHARS):
                raise _TooManyLinesError
            yield line


def _delimiter(head: Sequence[str], candidates: str) -> str:
    """The candidate that splits the first lines most often, and most evenly."""
    bare = [re.sub(r'"[^"]*"', "", line) for line in head[:20]]
    first = Counter(bare[0]) if bare else Counter()
    present = [char for char in candidates if first[char]]

    def evenness(char: str) -> int:
        return sum(line.count(char) == first[char] for line in bare)

    return max(present, key=evenness, default=candidates[0])


def _is_quoted(head: Sequence[str], delimiter: str) -> bool:
    """Whether quotation marks enclose fields; in many TSV files they are only characters."""
    if delimiter != "\t":
        return True
    cells = [cell for line in head for cell in line.rstrip("\r\n").split(delimiter)]
    opened = [cell for cell in cells if cell.startswith('"')]
    return bool(opened) and all(len(cell) > 1 and cell.endswith('"') for cell in opened)


def find_header(rows: Sequence[Sequence[str]]) -> tuple[list[str], int]:
    """Names of the columns, and how many rows the header takes (0 or 1).

    Raises:
        RefusedError: there are more columns than a table has.
    """
    if not rows:
        return [], 0
    if len(rows[0]) > MAX_COLUMNS:
        raise RefusedError(Reason.TOO_LARGE, f"more than {MAX_COLUMNS} columns")
    first = [cell.strip() for cell in rows[0]]
    numbered = [f"column {index}" for index in range(1, len(first) + 1)]
    if any(cell.lower() in _HEADER_NAMES for cell in first):
        repeated_names = [first[:index].count(cell) for index, cell in enumerate(first)]
        return [f"{cell} {n + 1}" if n else cell for cell, n in zip(first, repeated_names, strict=True)], 1
    plausible = all(re.fullmatch(r"[^\W\d][\w .()/-]{0,39}", cell) for cell in first)
    below = [row for row in rows[1:] if len(row) == len(first)]
    repeated = any(cell == row[index].strip() for index, cell in enumerate(first) for row in below)
    if len(first) > 1 and plausible and len(set(first)) == len(first) and below and not repeated:
        return first, 1
    return numbered, 0
