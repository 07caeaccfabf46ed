"""JSON and JSON Lines: one document a record; a broken line is refused alone.

Neither is held whole: of a list the items are read one after another, of an object that holds a list of
records as well. Only a record must fit into memory, and is held to a size.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

from yanmo.corpus.document import MAX_REJECTED_CHARS, Document, Note, Reason, RefusedError, Rejected
from yanmo.corpus.encoding import detect
from yanmo.corpus.fields import field_text
from yanmo.corpus.files import Blob, Encoding, Slice
from yanmo.corpus.formats.json_stream import JsonStream, parse
from yanmo.corpus.formats.plain import first_line_start
from yanmo.corpus.tables import MAX_TEXT_CHARS, Row, documents, documents_of, fields_of

_MAX_LINE_BYTES = 4 * MAX_TEXT_CHARS


def read_jsonl(blob: Blob, *, text_column: str | None, note: Note) -> Iterator[Document | Rejected]:
    """Read one JSON value a line."""
    encoding = detect(blob, note=note)
    yield from documents_of(jsonl_rows(blob, encoding), blob.label, text_column, note, encoding)


def read_jsonl_slice(
    blob: Blob, part: Slice, *, text_column: str | None, note: Note
) -> Iterator[Document | Rejected]:
    """The lines of a slice, labelled by the bytes they begin at; the fields are those of the whole file."""
    encoding = part.encoding
    with blob.open() as stream:
        rows = _placed_lines(stream, encoding, blob.label, 0, None)
        fields = fields_of(rows, blob.label, text_column, note)[1]
    with blob.open() as stream:
        rows = _placed_lines(stream, encoding, blob.label, part.begin, part.end)
        yield from documents(rows, fields, encoding)


def read_json(blob: Blob, *, text_column: str | None, note: Note) -> Iterator[Document | Rejected]:
    """Read a list of objects or strings, one object, or an object that holds a list of objects."""
    encoding = detect(blob, note=note)
    yield from documents_of(json_rows(blob, encoding), blob.label, text_column, note, encoding)


def jsonl_rows(blob: Blob, encoding: Encoding) -> Iterator[Row]:
    """One JSON value a line; what is no object is the ``text`` of one."""
    with blob.open() as stream:
        yield from _numbered_lines(_text(stream, encoding, newline="\n"), blob.label)


def json_rows(blob: Blob, encoding: Encoding) -> Iterator[Row]:
    """The items of a list, one object, the longest list of objects in one, or JSON lines."""
    with blob.open() as stream:
        head = _text(stream, encoding).read(MAX_TEXT_CHARS + 1).removeprefix("\ufeff")
    is_whole = len(head) <= MAX_TEXT_CHARS
    first_line, _, rest = head.lstrip().partition("\n")
    with blob.open() as stream:
        text = _text(stream, encoding)
        if rest.strip() and _is_json(first_line):
            yield from _numbered_lines(text, blob.label)
        elif head.lstrip().startswith("["):
            yield from _numbered(JsonStream(text.read).items(), blob.label)
        elif is_whole:
            yield from _numbered(iter(_items(_whole(head))), blob.label)
        else:
            name = _records_name(blob, encoding)
            yield from _numbered(JsonStream(text.read).items_of(name), blob.label)


def _text(stream: BinaryIO, encoding: Encoding, newline: str | None = None) -> io.TextIOWrapper:
    return io.TextIOWrapper(stream, encoding=encoding.name, errors=encoding.errors, newline=newline)


def _numbered_lines(lines: io.TextIOWrapper, label: str) -> Iterator[Row]:
    prefix, number = f"{label}#line=", 0
    while line := lines.readline(MAX_TEXT_CHARS):
        number += 1
        rest = line
        while len(rest) == MAX_TEXT_CHARS and not rest.endswith("\n"):
            rest = lines.readline(MAX_TEXT_CHARS)
        if rest is not line:
            yield Row(prefix, number, _too_long(f"{prefix}{number}", line), number)
        else:
            yield from _line_record(line, prefix, number, number)


def _placed_lines(
    stream: BinaryIO, encoding: Encoding, label: str, begin: int, end: int | None
) -> Iterator[Row]:
    prefix = f"{label}#byte="
    place = first_line_start(stream, begin)
    while end is None or place < end:
        raw = stream.readline(_MAX_LINE_BYTES)
        if not raw:
            return
        length, rest = len(raw), raw
        while len(rest) == _MAX_LINE_BYTES and not rest.endswith(b"\n"):
            rest = stream.readline(_MAX_LINE_BYTES)
            length += len(rest)
        line = raw[:_MAX_LINE_BYTES].decode(encoding.name, encoding.errors if rest is raw else "replace")
        if rest is not raw or len(line) > MAX_TEXT_CHARS:
            yield Row(prefix, place, _too_long(f"{prefix}{place}", line))
        else:
            yield from _line_record(line, prefix, place)
        place += length


def _line_record(text: str, prefix: str, number: int, line: int = 0) -> Iterator[Row]:
    text = text.strip("\ufeff \t\r\n")
    if text:
        try:
            yield Row(prefix, number, _record(parse(text)), line)
        except RefusedError as refused:
            yield Row(prefix, number, _broken(f"{prefix}{number}", text, refused), line)


def _numbered(values: Iterator[Any], label: str) -> Iterator[Row]:
    """The records of values one after another; those before the place where they break are kept."""
    prefix, number = f"{label}#item=", 0
    while True:
        number += 1
        try:
            value = next(values, _number_end)
        except RefusedError as refused:
            yield Row(prefix, number, _broken(f"{prefix}{number}", "", refused))
            return
        if value is _number_end:
            return
        yield Row(prefix, number, _record(value))


def _number_end() -> None:
    """Stands for the end of values, none of which is a function."""


def _whole(text: str) -> Any:
    return parse(text.strip())


def _items(value: Any) -> list[Any]:
    """The records of an object: a list of objects inside it, unless it has a text of its own."""
    if isinstance(value, Mapping) and field_text(value) is None:
        lists = [item for item in value.values() if isinstance(item, list) and item]
        records = [item for item in lists if all(isinstance(entry, Mapping) for entry in item)]
        if records:
            return max(records, key=len)
    return [value]


def _records_name(blob: Blob, encoding: Encoding) -> str:
    """The key of the longest list of objects in an object that is too large to be held."""
    with blob.open() as stream:
        sizes = JsonStream(_text(stream, encoding).read).list_sizes()
    if not sizes:
        raise RefusedError(Reason.TOO_LARGE, f"a record of more than {MAX_TEXT_CHARS} characters")
    return max(sizes, key=lambda name: sizes[name])


def _record(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {"text": value}


def _too_long(source: str, line: str) -> Rejected:
    detail = f"a line of more than {MAX_TEXT_CHARS} characters"
    return Rejected(source=source, reason=Reason.TOO_LARGE, text=line[:MAX_REJECTED_CHARS], detail=detail)


def _broken(source: str, text: str, refused: RefusedError) -> Rejected:
    return Rejected(
        source=source, reason=refused.reason, text=text[:MAX_REJECTED_CHARS], detail=refused.detail[:200]
    )


def _is_json(text: str) -> bool:
    try:
        parse(text.strip())
    except RefusedError:
        return False
    return True
