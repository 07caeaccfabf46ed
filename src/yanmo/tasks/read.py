"""Files to labelled examples, as people have them.

Tables (CSV, TSV, JSON, JSON lines, Parquet, Arrow, Excel, OpenDocument; compressed or in an archive too)
are read row by row by the corpus' readers; their columns are guessed from the first rows, shown, and can be
said. CoNLL, fastText and SemEval files are known by how they begin; folders stand for classes; files that
differ by a language belong together. A row that is broken is given as a ``BrokenRow`` in its place, a file
that is broken as one for the file.
"""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, groupby, islice
from pathlib import Path, PurePosixPath
from typing import Any

from yanmo.corpus.document import Document, Reason, RefusedError, Rejected
from yanmo.corpus.encoding import detect
from yanmo.corpus.files import Blob, Encoding, SourceFile, find_files
from yanmo.corpus.formats.archives import open_file
from yanmo.corpus.formats.arrow import arrow_rows
from yanmo.corpus.formats.kinds import kind_of
from yanmo.corpus.formats.opendocument import ods_rows
from yanmo.corpus.formats.xlsx import xlsx_rows
from yanmo.corpus.header import HeaderSettings
from yanmo.corpus.reader import READERS, read_file
from yanmo.corpus.records import json_rows, jsonl_rows
from yanmo.corpus.split import named_split
from yanmo.corpus.tables import Row, bounded_lines, csv_rows, parquet_rows, row_size, sample_of, tsv_rows
from yanmo.errors import InputError
from yanmo.tasks.base import Cells, How, Item, ReadSettings, Shape, Task
from yanmo.tasks.broken import Broken, BrokenRow, Flaw, FlawError, Note, refused
from yanmo.tasks.columns import Guess, getter, guess_columns, is_complete_by_name, num_by_name
from yanmo.tasks.examples import (
    ClassificationExample,
    Example,
    Label,
    Origin,
    PairExample,
    TextExample,
)
from yanmo.tasks.features import class_names, class_names_in_parquet
from yanmo.tasks.labels import read_number
from yanmo.tasks.parallel import find_parallel, read_parallel
from yanmo.tasks.registry import find_task

_SEPARATED_ROWS: dict[str, Callable[[Blob, Encoding, HeaderSettings], Iterator[Row]]] = {
    ".csv": csv_rows,
    ".tsv": tsv_rows,
}
_JSON_ROWS: dict[str, Callable[[Blob, Encoding], Iterator[Row]]] = {
    ".json": json_rows,
    ".jsonl": jsonl_rows,
    ".ndjson": jsonl_rows,
}
_SHEET_ROWS: dict[str, Callable[[Blob, HeaderSettings], Iterator[Row]]] = {
    ".xlsx": xlsx_rows,
    ".ods": ods_rows,
}
_NAMED_ROWS: dict[str, Callable[[Blob], Iterator[Row]]] = {".parquet": parquet_rows, ".arrow": arrow_rows}
_TEXT_KINDS = (*_SEPARATED_ROWS, *_JSON_ROWS)
_TABLE_KINDS = (*_TEXT_KINDS, *_SHEET_ROWS, *_NAMED_ROWS)
_SAMPLE_ROWS, _HEAD_LINES = 1000, 200
_MOSTLY = 0.9
_ARCHIVE = re.compile(r"\.(zip|tar|tgz|gz|bz2|xz|zst|tbz2?|txz|tzst)\Z")
_PLACE = re.compile(r"#(?:(.*)&)?(row|line|item|section|byte)=(\d+)\Z")
_GUESS = ReadSettings()
_SILENT = (Reason.HIDDEN, Reason.TEXTLESS)


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """The examples of some files, and what was set aside."""

    examples: list[Example]
    broken: Broken
    notes: tuple[str, ...]
    """What was guessed, a line each."""


def load_examples(sources: Path | Sequence[Path], task: str, settings: ReadSettings = _GUESS) -> Loaded:
    """Read all examples of files and folders into memory.

    Args:
        sources: files and folders.
        task: the name of one of ``TASKS``.
        settings: what is not to be guessed.

    Raises:
        InputError: a source does not exist, or nothing in them can be learned from.
    """
    notes: dict[str, None] = {}
    examples: list[Example] = []
    broken = Broken()
    for item in read_examples(sources, task, settings, note=lambda line: notes.update({line: None})):
        if isinstance(item, BrokenRow):
            broken.add(item)
        else:
            examples.append(item)
    if not examples:
        raise _all_broken(broken, [sources] if isinstance(sources, Path) else sources)
    return Loaded(examples=_alike(examples), broken=broken, notes=tuple(notes))


def read_examples(
    sources: Path | Sequence[Path], task: str, settings: ReadSettings = _GUESS, *, note: Note
) -> Iterator[Item]:
    """Read files and folders one row after another, in a fixed order.

    Args:
        sources: files and folders.
        task: the name of one of ``TASKS``.
        settings: what is not to be guessed.
        note: takes what was guessed, a line each.

    Raises:
        InputError: a source does not exist, or ``settings`` names a column that the task does not have.
    """
    reader = _Reader(find_task(task), settings, note)
    yield from reader.read([sources] if isinstance(sources, Path) else list(sources))


def _alike(examples: list[Example]) -> list[Example]:
    """Examples whose labels are of one kind, where a file alone did not show which.

    Whole numbers beside numbers with fractions are numbers, single classes beside several are several.
    """
    labelled = (ClassificationExample, PairExample)
    kinds = {type(e.label) for e in examples if isinstance(e, labelled) and e.label is not None}
    made: Callable[[str], Label] | None = None
    if kinds == {str, tuple}:
        made = _one_of_several
    elif kinds == {str, float}:
        made = read_number
    if made is None:
        return examples
    try:
        return [
            replace(e, label=made(e.label)) if isinstance(e, labelled) and isinstance(e.label, str) else e
            for e in examples
        ]
    except FlawError:
        # Checks tell that kinds are mixed, and where.
        return examples


def _one_of_several(label: str) -> Label:
    return (label,)


def _all_broken(broken: Broken, sources: Sequence[Path]) -> InputError:
    listed = sorted(broken, key=lambda row: row.origin.row != 0)
    if not listed:
        return InputError(
            "there are no rows", where=", ".join(map(str, sources)), remedy="name files with rows"
        )
    # A file that was passed over for being no table says less than a row.
    first = next((row for row in listed if row.flaw is not Flaw.LAYOUT), listed[0])
    what = f"{first.flaw}: {first.detail}" if first.detail else str(first.flaw)
    num_broken = sum(count for (_, flaw), count in broken.counts.items() if flaw is not Flaw.LAYOUT)
    if num_broken > 1:
        what = f"{what}; all of the {num_broken} rows and files are broken"
    return InputError(" ".join(what.split()), where=first.origin, remedy=first.remedy)


class _Reader:
    """Reads the files of one task."""

    def __init__(self, task: Task, settings: ReadSettings, note: Note) -> None:
        roles = ["text"] if task.reads_documents else list(task.roles())
        for role in settings.columns:
            if role not in roles:
                raise InputError(f"{task.name} has no column {role!r}", remedy=f"it has: {', '.join(roles)}")
        self._task, self._settings, self._note = task, settings, note
        self._takes_folders = False

    def read(self, sources: Sequence[Path]) -> Iterator[Item]:
        """Read all files below the sources."""
        found = find_files(sources)
        files = [file for file in found if isinstance(file, SourceFile)]
        self._takes_folders = self._task.reads_class_folders and not any(map(_is_table, files))
        done: set[str] = set()
        for rejected in found:
            if isinstance(rejected, Rejected) and rejected.reason not in _SILENT:
                yield refused(rejected, Origin(rejected.source))
        for group in find_parallel(files) if self._task.reads_parallel_files else ():
            done.update(file.label for file in group.files.values())
            in_order = len(sources) == 2 and not any(source.is_dir() for source in sources)
            yield from read_parallel(group, self._settings, in_order=in_order, note=self._note)
        for file in files:
            if file.label in done:
                continue
            if self._task.reads_documents:
                yield from self._documents(file)
                continue
            for blob in open_file(file):
                if isinstance(blob, Rejected):
                    if blob.reason not in _SILENT:
                        yield refused(blob, Origin(blob.source))
                else:
                    yield from self._blob(blob)

    def _blob(self, blob: Blob) -> Iterator[Item]:
        try:
            yield from self._opened(blob, kind_of(blob, note=self._note))
        except RefusedError as error:
            rejected = Rejected(source=blob.label, reason=error.reason, detail=error.detail)
            yield refused(rejected, Origin(blob.label))
        except FlawError as flaw:
            yield flaw.at(Origin(blob.label))

    def _opened(self, blob: Blob, kind: str) -> Iterator[Item]:
        how = How(settings=self._settings)
        header = HeaderSettings(given=self._settings.header, note=self._note)
        if kind in _SHEET_ROWS or kind in _NAMED_ROWS:
            rows = _SHEET_ROWS[kind](blob, header) if kind in _SHEET_ROWS else _NAMED_ROWS[kind](blob)
            yield from self._tables(rows, how, blob)
            return
        if kind in READERS and kind not in _TEXT_KINDS and kind not in (".txt", ".text"):
            yield from self._class_folder(blob, kind)
            return
        encoding = detect(blob, note=self._note)
        head = _head(blob, encoding) if kind not in _JSON_ROWS else []
        layouts = [
            layout for layout in self._task.layouts if head and (kind in layout.suffixes or layout.fits(head))
        ]
        if kind not in _TEXT_KINDS and (not self._takes_folders or _class_of(blob.label) is None):
            kind = _shown_kind(head) or kind
        if layouts:
            yield from layouts[0].read(blob, encoding, self._settings, self._note)
        elif kind in _TEXT_KINDS:
            how = replace(how, is_repaired=encoding.num_bad > 0)
            is_json = kind in _JSON_ROWS
            rows = (
                _JSON_ROWS[kind](blob, encoding) if is_json else _SEPARATED_ROWS[kind](blob, encoding, header)
            )
            yield from self._tables(rows, how, blob)
        else:
            yield from self._class_folder(blob, kind)

    def _tables(self, rows: Iterator[Row], how: How, blob: Blob) -> Iterator[Item]:
        names = _class_names(blob)
        is_empty = True
        for prefix, group in groupby(rows, key=lambda row: row.prefix):
            is_empty = False
            place = _PLACE.search(f"{prefix}0")
            origin = Origin(blob.label, within=(place[1] or "") if place else "")
            yield from self._table(group, how, origin, names)
        if is_empty:
            raise FlawError(Flaw.UNREADABLE, "no rows", "write rows into it or leave it out")

    def _table(
        self, rows: Iterator[Row], how: How, origin: Origin, names: Mapping[str, tuple[str, ...]]
    ) -> Iterator[Item]:
        first = sample_of(rows, row_size, _SAMPLE_ROWS)
        sample = [row.values for row in first if not isinstance(row.values, Rejected)]
        getters: dict[str, Callable[[Mapping[str, Any]], Any]] = {}
        build: Callable[[Cells, Origin, How], Any] | None = None
        if sample:
            try:
                shape, guess = self._choose(sample)
            except FlawError as flaw:
                yield flaw.at(origin)
                return
            self._note(f"{origin}: {guess.why}")
            build = shape.build
            getters = {role: getter(columns) for role, columns in guess.columns.items()}
            classes = {
                role: names[columns[0]] for role, columns in guess.columns.items() if columns[0] in names
            }
            how = replace(how, columns=guess.columns, classes=classes)
            how = shape.study(
                [{role: get(values) for role, get in getters.items()} for values in sample], how
            )
        split_column = self._settings.split_column
        for row in chain(first, rows):
            place = Origin(origin.file, row.number, row.line, origin.within)
            if isinstance(row.values, Rejected):
                yield refused(row.values, place)
                continue
            assert build is not None
            values = row.values
            try:
                if split_column is not None:
                    place = place._replace(split=_split_in(values, split_column))
                yield from build({role: get(values) for role, get in getters.items()}, place, how)
            except FlawError as flaw:
                yield flaw.at(place, ", ".join(str(cell)[:100] for cell in list(values.values())[:8]))

    def _choose(self, sample: Sequence[Mapping[str, Any]]) -> tuple[Shape, Guess]:
        """The shape of a table and its columns."""
        wanted, labelled = self._settings.columns, self._settings.labelled
        fitting = [
            shape for shape in self._task.shapes if wanted.keys() <= {role.name for role in shape.roles}
        ]
        if not fitting:
            groups = "; or ".join(", ".join(role.name for role in shape.roles) for shape in self._task.shapes)
            raise FlawError(Flaw.COLUMNS, f"{', '.join(wanted)} do not go together", f"say {groups}")
        named = [
            shape for shape in fitting if is_complete_by_name(sample, shape.roles, wanted, labelled=labelled)
        ]
        flaws: list[tuple[int, FlawError]] = []
        for shape in named or fitting:
            try:
                return shape, guess_columns(sample, shape.roles, wanted, labelled=labelled)
            except FlawError as flaw:
                flaws.append((num_by_name(sample, shape.roles), flaw))
        # Of shapes that fit as well the last asks for least.
        raise max(reversed(flaws), key=lambda pair: pair[0])[1]

    def _class_folder(self, blob: Blob, kind: str) -> Iterator[Item]:
        """The text of a file in a folder that stands for its class."""
        folder = _class_of(blob.label) if self._takes_folders else None
        if folder is None:
            known = ", ".join([*(layout.what for layout in self._task.layouts), "a table", "JSON lines"])
            raise FlawError(Flaw.LAYOUT, f"a {kind or 'plain'} file", f"for {self._task.name} give {known}")
        reader = READERS.get(kind, READERS[".txt"])
        for item in reader(blob, text_column=None, note=self._note):
            if isinstance(item, Rejected):
                yield refused(item, Origin(blob.label))
            elif not item.text.strip():
                yield FlawError(Flaw.EMPTY_TEXT, "no text", "write the text, or leave the file out").at(
                    Origin(blob.label)
                )
            else:
                yield ClassificationExample(text=item.text, label=folder, origin=_origin_of(item))

    def _documents(self, file: SourceFile) -> Iterator[Item]:
        column = self._settings.columns.get("text")
        for item in read_file(file, text_column=str(column) if column else None, note=self._note):
            if isinstance(item, Rejected):
                if item.reason not in _SILENT:
                    yield refused(item, _place_of(item.source))
            elif item.text.strip():
                yield TextExample(text=item.text, origin=_origin_of(item))
            else:
                flaw = FlawError(Flaw.EMPTY_TEXT, "no text", "write the text, or leave the row out")
                yield flaw.at(_origin_of(item))


def _class_names(blob: Blob) -> Mapping[str, tuple[str, ...]]:
    """What the folder of a file, or the file itself, says of the classes that its columns number."""
    if blob.path is None:
        return {}
    own = class_names_in_parquet(blob.path) if blob.suffix == ".parquet" else {}
    return {**class_names(blob.path.parent), **own}


def _shown_kind(head: Sequence[str]) -> str | None:
    """The kind of table that a file's first lines show under any name: JSON lines, or tabs in all lines."""
    filled = [line for line in head if line.strip()]
    if filled and all(line.lstrip().startswith("{") and line.rstrip().endswith("}") for line in filled):
        return ".jsonl"
    counts = Counter(line.count("\t") for line in filled)
    num_tabs, num_lines = counts.most_common(1)[0] if counts else (0, 0)
    return ".tsv" if num_tabs and num_lines >= _MOSTLY * len(filled) else None


def _is_table(file: SourceFile) -> bool:
    suffixes = PurePosixPath(file.label).suffixes
    return any(suffix.lower() in _TABLE_KINDS for suffix in suffixes[-2:])


def _head(blob: Blob, encoding: Encoding) -> list[str]:
    with blob.open() as stream:
        text = io.TextIOWrapper(stream, encoding=encoding.name, errors=encoding.errors)
        lines = [line.removeprefix("\ufeff") for line in islice(bounded_lines(text), _HEAD_LINES)]
    return lines if any(line.strip() for line in lines) else []


def _class_of(label: str) -> str | None:
    """The innermost folder that names neither a split nor an archive."""
    for part in reversed(PurePosixPath(label).parts[:-1]):
        if named_split(f"{part}/x") is None and not _ARCHIVE.search(part.lower()):
            return part
    return None


def _split_in(values: Mapping[str, Any], column: str) -> str:
    said = values.get(column)
    split = named_split(str(said)) if said is not None else None
    if split is None:
        raise FlawError(Flaw.LABEL, f"column {column} says {said!r}", "say train, valid or test")
    return str(split)


def _origin_of(document: Document) -> Origin:
    return _place_of(document.source)


def _place_of(source: str) -> Origin:
    place = _PLACE.search(source)
    if place is None:
        return Origin(source)
    number = int(place[3])
    return Origin(source[: place.start()], number, number if place[2] == "line" else 0, within=place[1] or "")
