"""CSV, TSV and Parquet: one document a row.

A row with too many or too few fields is refused alone. A quotation mark that is never closed would
swallow the rows after it: such a row is refused by its first line and reading goes on at the next.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import Any, NamedTuple, TypeVar

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
from yanmo.corpus.fields import SAMPLE_RECORDS, choose_fields, record_meta, record_text
from yanmo.corpus.files import Blob
from yanmo.corpus.header import GUESSED, HeaderSettings, find_header

MAX_TEXT_CHARS = 16 << 20
"""A line, a cell or a record of more than this is refused."""
_MAX_LINES_A_ROW = 100_000
_MAX_SAMPLE_CHARS = 4 << 20
_FETCH_ROWS = 64
# Millions of rows of a letter each, or of the same words, would be as many documents.
_STRETCH_ROWS, _LEAST_CHARS, _MOST_SAME_ROWS = 20_000, 1.5, 100_000
_T = TypeVar("_T")


class _End:
    """What no iterator yields."""


_END = _End()


class Row(NamedTuple):
    """One row or record of a file, or why it was refused, and its place."""

    prefix: str
    """What its number follows: ``mails/a.csv#row=``."""
    number: int
    """From 1, as a person counts it: a header is row 1 of its table."""
    values: dict[str, Any] | Rejected
    line: int = 0
    """The line it begins at, from 1; 0 where the file has no lines."""

    @property
    def source(self) -> str:
        """The place as documents name it."""
        return f"{self.prefix}{self.number}"


def read_csv(blob: Blob, *, text_column: str | None, note: Note) -> Iterator[Document | Rejected]:
    """Read comma-, semicolon-, tab- or bar-separated rows."""
    encoding = detect(blob, note=note)
    yield from documents_of(csv_rows(blob, encoding), blob.label, text_column, note, encoding)


def read_tsv(blob: Blob, *, text_column: str | None, note: Note) -> Iterator[Document | Rejected]:
    """Read tab-separated rows."""
    encoding = detect(blob, note=note)
    yield from documents_of(tsv_rows(blob, encoding), blob.label, text_column, note, encoding)


def read_parquet(blob: Blob, *, text_column: str | None, note: Note) -> Iterator[Document | Rejected]:
    """Read the rows of a Parquet file."""
    yield from documents_of(parquet_rows(blob), blob.label, text_column, note)


def csv_rows(blob: Blob, encoding: Encoding, header: HeaderSettings = GUESSED) -> Iterator[Row]:
    """Comma-, semicolon-, tab- or bar-separated rows."""
    return _separated_rows(blob, ",;\t|", encoding, header)


def tsv_rows(blob: Blob, encoding: Encoding, header: HeaderSettings = GUESSED) -> Iterator[Row]:
    """Tab-separated rows."""
    return _separated_rows(blob, "\t", encoding, header)


def parquet_rows(blob: Blob) -> Iterator[Row]:
    """The rows of a Parquet file."""
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
            yield from number_rows(rows, f"{blob.label}#row=")
        except duckdb.OutOfMemoryException:
            raise RefusedError(Reason.TOO_LARGE, "parquet: a row group of more than 400 MB") from None
        except duckdb.Error as error:
            detail = (str(error).splitlines() or [""])[0].replace(str(path), blob.label)[:200]
            raise RefusedError(Reason.DAMAGED, f"parquet: {detail}") from None


def number_rows(rows: Iterable[tuple[int, dict[str, Any]]], prefix: str) -> Iterator[Row]:
    """Rows of numbered values."""
    return (Row(prefix, number, values) for number, values in rows)


def documents_of(
    rows: Iterator[Row], label: str, text_column: str | None, note: Note, encoding: Encoding = UTF_8
) -> Iterator[Document | Rejected]:
    """The documents of the rows of a file or sheet, which ``label`` names.

    Raises:
        RefusedError: no column holds text.
    """
    first, fields = fields_of(rows, label, text_column, note)
    yield from documents(chain(first, rows), fields, encoding)


def fields_of(
    rows: Iterator[Row], label: str, text_column: str | None, note: Note
) -> tuple[list[Row], tuple[str, ...]]:
    """The first rows, and by them the fields of the text; none where these rows are all refused.

    Raises:
        RefusedError: no column holds text.
    """
    first = sample_of(rows, row_size)
    sample = [row.values for row in first if not isinstance(row.values, Rejected)]
    return first, pick_fields(sample, text_column, label, note) if sample or not first else ()


def documents(
    rows: Iterable[Row], fields: Sequence[str], encoding: Encoding = UTF_8
) -> Iterator[Document | Rejected]:
    """The documents of rows whose text is in ``fields``; no more of them where these are no text."""
    num_chars, num_same = 0, 0
    last: dict[str, Any] = {}
    for number, row in enumerate(rows, 1):
        if isinstance(row.values, Rejected):
            yield row.values
        else:
            num_same, last = num_same + 1 if row.values == last else 0, row.values
            for item in record_document(row.values, fields, row.source, encoding):
                num_chars += len(item.text) if isinstance(item, Document) else 0
                yield item
        if num_same == _MOST_SAME_ROWS:
            detail = f"{_MOST_SAME_ROWS} rows in a row that say the same; the rest is not read"
            yield Rejected(source=row.source, reason=Reason.TEXTLESS, detail=detail)
            return
        if number % _STRETCH_ROWS == 0:
            if num_chars < _LEAST_CHARS * _STRETCH_ROWS:
                detail = f"{_STRETCH_ROWS} rows in a row of hardly a character; the rest is not read"
                yield Rejected(source=row.source, reason=Reason.TEXTLESS, detail=detail)
                return
            num_chars = 0


def row_size(row: Row) -> int:
    """About how many characters a row holds."""
    if isinstance(row.values, Rejected):
        return len(row.values.text)
    return sum(len(v) if isinstance(v, str | bytes | list | dict) else 8 for v in row.values.values())


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


def _separated_rows(blob: Blob, delimiters: str, encoding: Encoding, header: HeaderSettings) -> Iterator[Row]:
    csv.field_size_limit(MAX_TEXT_CHARS)
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
        names, skip = find_header([row for row, _, _ in first], header, where=blob.label)
        if not any(len(row) == len(names) for row, _, _ in first[skip:]):
            raise RefusedError(Reason.NO_TEXT, "no row below the header")
        prefix, line, num_empty = f"{blob.label}#row=", 1 + num_blank, 0
        for number, (row, raw, num_lines) in enumerate(chain(first, rows), 1 + num_blank):
            if number > skip + num_blank and raw.strip():
                if len(row) != len(names):
                    yield Row(prefix, number, _ragged(row, raw, f"{prefix}{number}", len(names)), line)
                else:
                    yield Row(prefix, number, dict(zip(names, row, strict=True)), line)
            num_empty = 0 if raw.strip() else num_empty + 1
            if num_empty > _MAX_LINES_A_ROW:
                raise RefusedError(Reason.TEXTLESS, f"more than {_MAX_LINES_A_ROW} empty lines in a row")
            line += num_lines


def _ragged(row: Sequence[str], raw: str, source: str, width: int) -> Rejected:
    detail = f"{len(row)} fields instead of {width}" if row else "a quotation mark is not closed"
    return Rejected(source=source, reason=Reason.RAGGED, text=raw[:MAX_REJECTED_CHARS], detail=detail)


class _TooManyLinesError(Exception):
    """A quotation mark was opened and nothing closed it."""


class _Rows:
    """Rows with their raw text and number of lines; one that swallowed the lines after it is empty."""

    def __init__(self, lines: Iterator[str], delimiter: str, quoted: bool) -> None:
        self._lines, self._delimiter, self._quoted = lines, delimiter, quoted
        self._taken: list[str] = []
        self._width: int | None = None
        self._reader = self._new_reader()

    def __iter__(self) -> Iterator[tuple[list[str], str, int]]:
        return self

    def __next__(self) -> tuple[list[str], str, int]:
        self._taken.clear()
        try:
            row = next(self._reader)
        except (_TooManyLinesError, csv.Error):
            return self._give_back()
        if self._width is None:
            self._width = len(row)
        elif len(self._taken) > 1 and (len(row) != self._width or self._ends_inside_quotes()):
            return self._give_back()
        return row, "".join(self._taken), len(self._taken)

    def _ends_inside_quotes(self) -> bool:
        return sum(line.count('"') for line in self._taken) % 2 == 1

    def _give_back(self) -> tuple[list[str], str, int]:
        first, *later = self._taken
        self._lines = chain(later, self._lines)
        self._reader = self._new_reader()
        return [], first, 1

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
