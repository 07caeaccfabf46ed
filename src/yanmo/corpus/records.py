"""JSON and JSON Lines: one document a record; a broken line is refused alone."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping
from itertools import chain, islice
from typing import Any

from yanmo.corpus.document import MAX_REJECTED_CHARS, Document, Note, Reason, RefusedError, Rejected
from yanmo.corpus.encoding import Encoding, decode, detect
from yanmo.corpus.fields import SAMPLE_RECORDS, field_text
from yanmo.corpus.files import Blob
from yanmo.corpus.tables import pick_fields, record_document

_Numbered = tuple[int, dict[str, Any] | Rejected]


def read_jsonl(blob: Blob, *, text_column: str | None, note: Note) -> Iterator[Document | Rejected]:
    """Read one JSON value a line."""
    encoding = detect(blob, note=note)
    with blob.open() as stream:
        lines = io.TextIOWrapper(stream, encoding=encoding.name, errors=encoding.errors, newline="\n")
        records = _parse_lines(lines, blob.label)
        yield from _documents(records, blob.label, "line", text_column, note, encoding)


def read_json(blob: Blob, *, text_column: str | None, note: Note) -> Iterator[Document | Rejected]:
    """Read a list of objects or strings, one object, or an object that holds a list of objects."""
    encoding = detect(blob, note=note)
    text = decode(blob, encoding).strip()
    first_line = text.partition("\n")[0]
    if first_line != text and _is_json(first_line) and not _is_json(text):
        records, unit = _parse_lines(io.StringIO(text), blob.label), "line"
    else:
        records, unit = _parse_whole(text, blob.label), "item"
    yield from _documents(records, blob.label, unit, text_column, note, encoding)


def _documents(
    records: Iterator[_Numbered],
    label: str,
    unit: str,
    text_column: str | None,
    note: Note,
    encoding: Encoding,
) -> Iterator[Document | Rejected]:
    first = list(islice(records, SAMPLE_RECORDS))
    sample = [record for _, record in first if not isinstance(record, Rejected)]
    fields = pick_fields(sample, text_column, label, note) if sample else ()
    for number, record in chain(first, records):
        if isinstance(record, Rejected):
            yield record
        else:
            yield from record_document(record, fields, f"{label}#{unit}={number}", encoding)


def _parse_lines(lines: Iterator[str], label: str) -> Iterator[_Numbered]:
    for number, line in enumerate(lines, 1):
        if not line.strip("\ufeff \t\r\n"):
            continue
        try:
            yield number, _record(json.loads(line.removeprefix("\ufeff")))
        except (ValueError, RecursionError) as error:
            yield number, _broken(f"{label}#line={number}", line, error)


def _parse_whole(text: str, label: str) -> Iterator[_Numbered]:
    """The items of one JSON value; those before the place where it breaks are kept."""
    if not text.startswith("["):
        try:
            value = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise RefusedError(Reason.BROKEN_JSON, str(error)) from None
        yield from enumerate((_record(item) for item in _items(value)), 1)
        return
    decoder, position, number = json.JSONDecoder(), _skip(text, 1), 1
    while text[position : position + 1] != "]":
        try:
            value, end = decoder.raw_decode(text, position)
            position = _skip(text, end)
            if text[position : position + 1] not in (",", "]"):
                raise json.JSONDecodeError("Expecting ',' or ']'", text, position)
        except (ValueError, RecursionError) as error:
            yield number, _broken(f"{label}#item={number}", text[position:], error)
            return
        yield number, _record(value)
        number += 1
        if text[position] == ",":
            position = _skip(text, position + 1)


def _items(value: Any) -> list[Any]:
    """The records of an object: a list of objects inside it, unless it has a text of its own."""
    if isinstance(value, Mapping) and field_text(value) is None:
        lists = [item for item in value.values() if isinstance(item, list) and item]
        records = [item for item in lists if all(isinstance(entry, Mapping) for entry in item)]
        if records:
            return max(records, key=len)
    return [value]


def _record(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {"text": value}


def _broken(source: str, text: str, error: Exception) -> Rejected:
    return Rejected(
        source=source, reason=Reason.BROKEN_JSON, text=text[:MAX_REJECTED_CHARS], detail=str(error)[:200]
    )


def _skip(text: str, position: int) -> int:
    while text[position : position + 1] in (" ", "\t", "\n", "\r"):
        position += 1
    return position


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True
