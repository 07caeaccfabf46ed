"""Files and folders of questions: any table or JSON that the corpus' readers read, in any of ``FORMATS``.

The format is known by the fields of a file's first row. A row that is no question is set aside with the
reason, a file of another kind is refused in one line that says what was found and what was expected.
"""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, zip_longest
from pathlib import Path, PurePosixPath
from typing import Any

from yanmo.corpus.document import Reason, RefusedError, Rejected
from yanmo.corpus.encoding import detect
from yanmo.corpus.files import Blob, Encoding, SourceFile, find_files
from yanmo.corpus.formats.archives import open_file
from yanmo.corpus.formats.kinds import kind_of
from yanmo.corpus.records import json_rows, jsonl_rows
from yanmo.corpus.tables import Row, bounded_lines, csv_rows, parquet_rows, tsv_rows
from yanmo.errors import InputError
from yanmo.evaluation.suites.formats import FORMATS, Format
from yanmo.evaluation.suites.items import FlawedItemError, Item
from yanmo.reporting.progress import say

_SHOWN_FIELDS = 12
_SPLIT = re.compile(r"(?<![a-z])(train|dev|valid|validation|val|test|tests)(?![a-z])")
_SILENT = (Reason.HIDDEN, Reason.TEXTLESS, Reason.EMPTY)
_NOT_ROWS = (".lst", ".md", ".pdf", ".png", ".html", ".yaml", ".yml")


@dataclass(frozen=True, kw_only=True)
class Questions:
    """The questions of some files.

    Attributes:
        items: in the order of the files.
        format: a key of ``FORMATS``.
        set_aside: how many rows and files were left out, by reason.
        first_flaw: the first of them, in a line; empty where there was none.
    """

    items: tuple[Item, ...]
    format: str
    set_aside: dict[str, int] = field(default_factory=dict)
    first_flaw: str = ""


def read_questions(source: Path, formats: Sequence[str] = tuple(FORMATS)) -> Questions:
    """Read all questions of a file, an archive or a folder.

    Args:
        source: where they are.
        formats: keys of ``FORMATS`` that are expected.

    Raises:
        InputError: there is no such file, it is of another format, or no row of it is a question.
    """
    reader = _Reader(source, formats)
    items = tuple(reader.items())
    if reader.format is None:
        raise reader.refusal("has no rows with questions" if not reader.first_flaw else reader.first_flaw)
    if not items:
        raise InputError(
            f"no row is a question: {reader.first_flaw}",
            where=source,
            remedy=f"it was read as {FORMATS[reader.format].what}",
        )
    set_aside = dict(reader.set_aside.most_common())
    return Questions(items=items, format=reader.format, set_aside=set_aside, first_flaw=reader.first_flaw)


class _Reader:
    """Reads the questions below one source."""

    def __init__(self, source: Path, formats: Sequence[str]) -> None:
        self._source, self._formats = source, formats
        self.format: str | None = None
        self.set_aside: Counter[str] = Counter()
        self.first_flaw = ""

    def items(self) -> Iterator[Item]:
        files = [file for file in find_files([self._source]) if not self._passed_over(file)]
        self._require_one_split([file.label for file in files if isinstance(file, SourceFile)])
        for file in files:
            for blob in open_file(file) if isinstance(file, SourceFile) else (file,):
                if isinstance(blob, Rejected):
                    self._refused(blob)
                    continue
                assert isinstance(file, SourceFile)
                try:
                    yield from self._blob(blob, file)
                except RefusedError as refused:
                    self._flaw(f"{blob.label}: {refused}", str(refused.reason))

    def _passed_over(self, file: SourceFile | Rejected) -> bool:
        """What stands beside the questions in a folder: answers in a file of their own, descriptions."""
        if isinstance(file, Rejected) or not self._source.is_dir():
            return False
        path = PurePosixPath(file.label.lower())
        return path.suffix in _NOT_ROWS or path.name in ("readme", "license")

    def _require_one_split(self, labels: Sequence[str]) -> None:
        splits = {
            word: None for label in labels for word in _SPLIT.findall(label.lower()) if self._source.is_dir()
        }
        if len(splits) > 1:
            raise InputError(
                f"holds several splits: {', '.join(splits)}",
                where=self._source,
                remedy="give the file or folder of one; --train takes another for examples",
            )

    def refusal(self, what: str) -> InputError:
        expected = "; or ".join(
            f"{FORMATS[name].what} ({', '.join(FORMATS[name].fields)})" for name in self._formats
        )
        return InputError(what, where=self._source, remedy=f"expected {expected}".replace("|", " or "))

    def _refused(self, rejected: Rejected) -> None:
        if rejected.reason not in _SILENT:
            detail = f" {rejected.detail}" if rejected.detail else ""
            self._flaw(f"{rejected.source}: {rejected.reason}{detail}", str(rejected.reason))

    def _flaw(self, line: str, reason: str) -> None:
        self.set_aside[reason] += 1
        self.first_flaw = self.first_flaw or " ".join(line.split())

    def _blob(self, blob: Blob, file: SourceFile) -> Iterator[Item]:
        rows = _rows(blob)
        # Broken lines may stand before the first that shows what the file is.
        head: list[Row] = []
        for row in rows:
            head.append(row)
            if isinstance(row.values, dict):
                break
        if head and isinstance(head[-1].values, dict):
            name = self._format_of(set(map(str, head[-1].values)), blob.label)
            if name is None:
                return
            self.format = name
        for row, label in _with_labels(chain(head, rows), _labels_beside(file, self._formats)):
            item = self._item(row, label, blob.label)
            if item is not None:
                yield item

    def _format_of(self, names: set[str], label: str) -> str | None:
        """The format of a file; None for one of another kind among others in a folder."""
        fitting = [name for name, form in FORMATS.items() if form.fits(names)]
        for name in fitting:
            if name in self._formats and self.format in (None, name):
                return name
        shown = ", ".join(sorted(names)[:_SHOWN_FIELDS])
        which = f", which is {FORMATS[fitting[0]].what}" if fitting else ""
        if not self._source.is_dir():
            raise self.refusal(f"has {shown}{which}")
        self._flaw(f"{label}: has {shown}{which}", "of another format")
        return None

    def _item(self, row: Row, label: str | None, name: str) -> Item | None:
        # Lines as a person counts them, where the file has lines.
        place = f"{name} line {row.line}" if row.line else f"{name} row {row.number}"
        if isinstance(row.values, Rejected):
            self._flaw(f"{place}: {row.values.reason}", str(row.values.reason))
            return None
        values: dict[str, Any] = row.values if label is None else {**row.values, "label": label}
        assert self.format is not None, "a row with fields has shown the format"
        form: Format = FORMATS[self.format]
        try:
            if not form.fits(set(map(str, values))):
                raise FlawedItemError(f"not the fields {', '.join(form.fields)}")
            return _checked(replace(form.read(values, name), place=place))
        except FlawedItemError as flaw:
            self._flaw(f"{place}: {flaw}", str(flaw).partition(":")[0])
            return None


def _checked(item: Item) -> Item:
    """As it is, if it can be written."""
    try:
        "".join((item.question, *item.choices)).encode("utf-8")
    except UnicodeEncodeError:
        raise FlawedItemError("not valid Unicode") from None
    return item


_ROWS: dict[str, Callable[[Blob, Encoding], Iterator[Row]]] = {
    ".csv": csv_rows,
    ".tsv": tsv_rows,
    ".json": json_rows,
    ".jsonl": jsonl_rows,
    ".ndjson": jsonl_rows,
}


def _rows(blob: Blob) -> Iterator[Row]:
    kind = kind_of(blob, note=say)
    if kind == ".parquet":
        yield from parquet_rows(blob)
        return
    encoding = detect(blob, note=say)
    read = _ROWS.get(kind)
    if read is None:
        with blob.open() as stream:
            text = io.TextIOWrapper(stream, encoding=encoding.name, errors=encoding.errors)
            head = next(bounded_lines(text), "").lstrip("\ufeff ")
        read = jsonl_rows if head.startswith("{") else _plain_lines
    yield from read(blob, encoding)


def _plain_lines(blob: Blob, encoding: Encoding) -> Iterator[Row]:
    """A passage a line."""
    with blob.open() as stream:
        text = io.TextIOWrapper(stream, encoding=encoding.name, errors=encoding.errors)
        for number, line in enumerate(bounded_lines(text), 1):
            if line.strip():
                yield Row(f"{blob.label}#line=", number, {"text": line.strip("\ufeff\r\n")}, number)


def _labels_beside(file: SourceFile, formats: Sequence[str]) -> list[str] | None:
    """The answers in a file of their own: ``valid-labels.lst`` for ``valid.jsonl``."""
    stem = file.path.name.partition(".")[0]
    for ending in {FORMATS[name].beside for name in formats} - {""}:
        path = file.path.with_name(stem + ending)
        if path.is_file():
            return path.read_text(encoding="utf-8", errors="replace").split()
    return None


def _with_labels(rows: Iterator[Row], labels: list[str] | None) -> Iterator[tuple[Row, str | None]]:
    if labels is None:
        yield from ((row, None) for row in rows)
        return
    for row, label in zip_longest(rows, labels):
        if row is None or label is None:
            place = "the file" if row is None else f"{row.prefix.partition('#')[0]}"
            raise InputError(
                f"{len(labels)} answers in the file beside it, not one a row",
                where=place,
                remedy="give both as they were published",
            )
        yield row, label
