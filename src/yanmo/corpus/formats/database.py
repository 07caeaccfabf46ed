"""SQLite databases: the rows of their tables. Nothing that a database could compute is run."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from yanmo.corpus.document import Document, Note, Reason, RefusedError, Rejected
from yanmo.corpus.files import Blob
from yanmo.corpus.header import MAX_COLUMNS
from yanmo.corpus.tables import MAX_TEXT_CHARS, documents_of, number_rows

_MAX_TABLES = 1000
_FETCH_ROWS = 64
# The library says what is wrong in a damaged file's own words, which may not be Unicode.
_DAMAGE = (sqlite3.Error, UnicodeDecodeError)
# A damaged page may lead round in circles; a row takes far less than this.
_MAX_SECONDS_A_ROW = 1.0
_STEPS_BETWEEN_LOOKS = 10_000


def read_sqlite(blob: Blob, *, text_column: str | None, note: Note) -> Iterator[Document | Rejected]:
    """Read the rows of all tables; those without text are refused alone."""
    with blob.on_disk("tables.sqlite") as path, contextlib.closing(_open(path)) as connection:
        try:
            names = _tables(connection)
        except _DAMAGE as error:
            raise RefusedError(Reason.DAMAGED, f"sqlite: {error}") from None
        if not names:
            raise RefusedError(Reason.TEXTLESS, "no tables")
        for name in names:
            prefix = f"{blob.label}#table={name}"
            try:
                rows = number_rows(_rows(connection, name), f"{prefix}&row=")
                yield from documents_of(rows, prefix, text_column, note)
            except RefusedError as refused:
                yield Rejected(source=prefix, reason=refused.reason, detail=refused.detail)
            except _DAMAGE as error:
                yield Rejected(source=prefix, reason=Reason.DAMAGED, detail=f"sqlite: {error}")


def _open(path: Path) -> sqlite3.Connection:
    # Immutable: neither locks nor a journal are looked for, so the folder stays as it is.
    connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro&immutable=1", uri=True)
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 4 * MAX_TEXT_CHARS)
    connection.setlimit(sqlite3.SQLITE_LIMIT_COLUMN, min(MAX_COLUMNS, 2000))
    connection.text_factory = lambda raw: raw.decode("utf-8", "replace")
    return connection


def _tables(connection: sqlite3.Connection) -> list[str]:
    """The names of the tables that hold rows themselves."""
    connection.execute("PRAGMA trusted_schema=OFF")
    connection.execute("PRAGMA cell_size_check=ON")
    found = connection.execute(
        "SELECT name FROM sqlite_schema WHERE type='table' AND name NOT LIKE 'sqlite_%'"
        " AND sql NOT LIKE 'CREATE VIRTUAL%' ORDER BY name LIMIT ?",
        [_MAX_TABLES],
    )
    return [name for (name,) in found if isinstance(name, str)]


def _rows(connection: sqlite3.Connection, table: str) -> Iterator[tuple[int, dict[str, Any]]]:
    deadline_s = time.monotonic() + _MAX_SECONDS_A_ROW
    connection.set_progress_handler(lambda: int(time.monotonic() > deadline_s), _STEPS_BETWEEN_LOOKS)
    quoted = table.replace('"', '""')
    cursor = connection.execute(f'SELECT * FROM "{quoted}"')
    names = [column[0] for column in cursor.description]
    number = 0
    while True:
        deadline_s = time.monotonic() + _MAX_SECONDS_A_ROW
        batch = cursor.fetchmany(_FETCH_ROWS)
        if not batch:
            return
        for row in batch:
            number += 1
            yield number, dict(zip(names, row, strict=True))
