"""The rows of spreadsheets, sheet by sheet: each sheet is a table of its own."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, groupby

from yanmo.corpus.document import Document, Note, Reason, RefusedError, Rejected
from yanmo.corpus.header import GUESSED, HeaderSettings, find_header
from yanmo.corpus.tables import Row, documents_of, sample_of

Cells = dict[int, str]
_ROW = "&row="


def sheet_documents(
    rows: Iterator[Row], text_column: str | None, note: Note
) -> Iterator[Document | Rejected]:
    """The documents of the rows of a workbook; a sheet without text is refused alone.

    Raises:
        RefusedError: there are no rows at all.
    """
    is_empty = True
    for prefix, group in groupby(rows, key=lambda row: row.prefix):
        is_empty = False
        sheet = prefix.removesuffix(_ROW)
        try:
            yield from documents_of(group, sheet, text_column, note)
        except RefusedError as refused:
            yield Rejected(source=sheet, reason=refused.reason, detail=refused.detail)
    if is_empty:
        raise RefusedError(Reason.TEXTLESS, "no cells")


def sheet_rows(
    rows: Iterator[tuple[str, int, Cells]], label: str, header: HeaderSettings = GUESSED
) -> Iterator[Row]:
    """Rows by the name of their sheet, their number, and their cells by the number of the column.

    A sheet that is no table is refused alone, as its row 0.
    """
    for name, group in groupby(rows, key=lambda row: row[0]):
        prefix = f"{label}#sheet={name}{_ROW}"
        try:
            yield from _sheet_rows(((number, cells) for _, number, cells in group), prefix, header)
        except RefusedError as refused:
            sheet = prefix.removesuffix(_ROW)
            yield Row(prefix, 0, Rejected(source=sheet, reason=refused.reason, detail=refused.detail))


def _sheet_rows(rows: Iterator[tuple[int, Cells]], prefix: str, header: HeaderSettings) -> Iterator[Row]:
    first = sample_of(rows, lambda row: sum(map(len, row[1].values())))
    width = 1 + max(max(cells) for _, cells in first)
    table = [[cells.get(column, "") for column in range(width)] for _, cells in first]
    names, skip = find_header(table, header, where=prefix.removesuffix(_ROW))
    if len(first) == skip:
        raise RefusedError(Reason.NO_TEXT, "no row below the header")
    # A header is narrower than the rows where its last cells are empty.
    names = [name or f"column {column}" for column, name in enumerate(names, 1)]
    for number, cells in chain(first[skip:], rows):
        yield Row(prefix, number, {names[c]: cell for c, cell in sorted(cells.items()) if c < width})
