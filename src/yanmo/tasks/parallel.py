"""Files whose lines belong together: ``train.de`` and ``train.en``."""

from __future__ import annotations

import io
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import PurePosixPath

from yanmo.corpus.document import Rejected
from yanmo.corpus.encoding import detect
from yanmo.corpus.files import Blob, Encoding, SourceFile
from yanmo.corpus.formats.archives import open_file
from yanmo.corpus.tables import bounded_lines
from yanmo.tasks.base import How, Item, ReadSettings
from yanmo.tasks.broken import Flaw, FlawError, Note, refused
from yanmo.tasks.cells import as_text
from yanmo.tasks.examples import Origin, Seq2SeqExample

_COMPRESSED = (".gz", ".bz2", ".xz", ".zst")
# A code of a language, or what people write for one side: train.de, train.de.txt, train.src.
_SIDE = re.compile(
    r"(?<=[._-])(src|tgt|source|target|[a-z]{2,3}(?:[_-](?:[A-Z]{2}|Han[st]|hans|hant))?)(?=\.|$)"
)
_SUFFIXES = "txt csv tsv json xml zip tar htm md rst log bin dat"
_NO_SIDE = frozenset(_SUFFIXES.split())
_SIDES = {"src": 0, "source": 0, "tgt": 1, "target": 1}


@dataclass(frozen=True, kw_only=True)
class Parallel:
    """Files that differ by the side that their names tell."""

    files: dict[str, SourceFile]

    @property
    def label(self) -> str:
        """For messages."""
        return " + ".join(file.label for file in self.files.values())


def find_parallel(files: Sequence[SourceFile]) -> list[Parallel]:
    """Groups of files that have the same name up to a language, in the order of the files."""
    groups: dict[str, dict[str, SourceFile]] = defaultdict(dict)
    for file in files:
        path = PurePosixPath(file.label)
        while path.suffix in _COMPRESSED:
            path = path.with_suffix("")
        sides = [match for match in _SIDE.finditer(path.name) if match[1] not in _NO_SIDE]
        if sides:
            side = sides[-1]
            key = f"{path.parent}/{path.name[: side.start()]}*{path.name[side.end() :]}"
            groups[key][side[1]] = file
    return [Parallel(files=group) for group in groups.values() if len(group) > 1]


def read_parallel(group: Parallel, settings: ReadSettings, *, in_order: bool, note: Note) -> Iterator[Item]:
    """The pairs of lines of a group.

    Args:
        group: two or more files.
        settings: ``columns`` may say which side is source and which is target.
        in_order: whether the user named two files one after the other.
        note: takes a line on what was chosen.
    """
    try:
        source, target = _sides(group, settings, in_order)
        note(f"{source.label}: source; {target.label}: target")
        yield from _pairs(source, target, settings, note)
    except FlawError as flaw:
        yield flaw.at(Origin(group.label))


def _sides(group: Parallel, settings: ReadSettings, in_order: bool) -> tuple[SourceFile, SourceFile]:
    names = list(group.files)
    wanted = settings.columns
    for role in ("source", "target"):
        if role in wanted and wanted[role] not in names:
            raise FlawError(Flaw.COLUMNS, f"no file for {wanted[role]!r}", f"there are: {', '.join(names)}")
    if "source" in wanted and "target" in wanted:
        return group.files[str(wanted["source"])], group.files[str(wanted["target"])]
    if set(names) <= _SIDES.keys():
        first, second = sorted(names, key=lambda name: _SIDES[name])
        return group.files[first], group.files[second]
    if in_order and len(names) == 2:
        return group.files[names[0]], group.files[names[1]]
    raise FlawError(
        Flaw.COLUMNS,
        f"any of {', '.join(names)} may be the source",
        f"say which: --columns source={names[0]},target={names[1]}",
    )


def _pairs(source: SourceFile, target: SourceFile, settings: ReadSettings, note: Note) -> Iterator[Item]:
    blobs: list[Blob] = []
    for file in (source, target):
        blob = next(open_file(file))
        if isinstance(blob, Rejected):
            yield refused(blob, Origin(file.label))
            return
        blobs.append(blob)
    encodings = [detect(blob, note=note) for blob in blobs]
    counts = [_num_lines(blob, encoding) for blob, encoding in zip(blobs, encodings, strict=True)]
    if counts[0] != counts[1]:
        raise FlawError(
            Flaw.UNEVEN_FILES,
            f"{counts[0]} lines and {counts[1]} lines",
            "line n of one must be line n of the other: find the line that is missing",
        )
    hows = [How(settings=settings, is_repaired=encoding.num_bad > 0) for encoding in encodings]
    for number, (first, second) in enumerate(
        zip_longest(_lines(blobs[0], encodings[0]), _lines(blobs[1], encodings[1])), 1
    ):
        if not (first.strip() or second.strip()):
            continue
        origin = Origin(source.label, number, number)
        try:
            texts = as_text(first, "source", hows[0]), (as_text(second, "target", hows[1]),)
            yield Seq2SeqExample(source=texts[0], targets=texts[1], origin=origin)
        except FlawError as flaw:
            yield flaw.at(origin, first + second)


def _lines(blob: Blob, encoding: Encoding) -> Iterator[str]:
    with blob.open() as stream:
        text = io.TextIOWrapper(stream, encoding=encoding.name, errors=encoding.errors, newline="\n")
        for line in bounded_lines(text):
            yield line.removeprefix("\ufeff").rstrip("\r\n")


def _num_lines(blob: Blob, encoding: Encoding) -> int:
    return sum(1 for _ in _lines(blob, encoding))
