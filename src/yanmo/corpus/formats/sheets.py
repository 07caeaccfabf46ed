"""The rows of spreadsheets as documents, sheet by sheet."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, groupby
from typing import Any

from yanmo.corpus.document import Document, Note, Reason, RefusedError, Rejected
from yanmo.corpus.tables import find_header, row_documents, sample_of

Cells = dict[int, str]


def sheet_documents(
    rows: Iterator[tuple[str, int, Cells]], label: str, text_column: str | None, note: Note
) -> Iterator[Document | Rejected]:
    """The documents of rows: name of the sheet, number of the row, its cells by the number of their column.

    A sheet without text is refused alone.

    Raises:
        RefusedError: there are no rows at all.
    """
    is_empty = True
    for name, group in groupby(rows, key=lambda row: row[0]):
        is_empty = False
        prefix = f"{label}#sheet={name}"
        numbered = ((number, cells) for _, number, cells in group)
        try:
            yield from _documents(numbered, f"{prefix}&row=", text_column, note)
        except RefusedError as refused:
            yield Rejected(source=prefix, reason=refused.reason, detail=refused.detail)
    if is_empty:
        raise RefusedError(Reason.TEXTLESS, "no cells")


def _documents(
    rows: Iterator[tuple[int, Cells]], prefix: str, text_column: str | None, note: Note
) -> Iterator[Document | Rejected]:
    first = sample_of(rows, lambda row: sum(map(len, row[1].values())))
    width = 1 + max(max(cells) for _, cells in first)
    names, skip = find_header([[cells.get(column, "") for column in range(width)] for _, cells in first])
    # A header is narrower than the rows where its last cells are empty.
    names = [name or f"column {column}" for column, name in enumerate(names, 1)]

    def records() -> Iterator[tuple[int, dict[str, Any]]]:
        for number, cells in chain(first[skip:], rows):
            yield number, {names[column]: cell for column, cell in sorted(cells.items()) if column < width}

    yield from row_documents(records(), prefix, text_column, note)
