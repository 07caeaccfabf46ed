"""The first pass: the files in parts, each read and refined by one process and kept as it is done."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from yanmo.corpus.aids import Aids
from yanmo.corpus.document import Document, Reason, Rejected
from yanmo.corpus.duplicates.signature import Signer
from yanmo.corpus.files import SourceFile
from yanmo.corpus.reader import ReadFile, read_file, split_large
from yanmo.corpus.refine import Counts, Refiner
from yanmo.corpus.settings import CorpusSettings
from yanmo.corpus.staging import CHUNK_CHARS, PartWriter, Refined
from yanmo.corpus.workers import Report

PART_BYTES = 8 << 20
_SLOW_CHUNK_CHARS = 1 << 17
_ENDLESS_BYTES = 1 << 60


@dataclass(frozen=True, kw_only=True)
class Part:
    """Neighbouring files that one process reads."""

    number: int
    files: tuple[SourceFile | Rejected, ...]


def make_parts(files: Sequence[SourceFile | Rejected]) -> list[Part]:
    """Files in parts of about ``PART_BYTES``; a larger file, or slice of one, is a part of its own."""
    parts: list[list[SourceFile | Rejected]] = []
    num_bytes = 0
    for file in _sliced(files):
        own = file.num_bytes if isinstance(file, SourceFile) else 0
        if not parts or num_bytes + own > PART_BYTES:
            parts.append([])
            num_bytes = 0
        parts[-1].append(file)
        num_bytes += own
    return [Part(number=number, files=tuple(own)) for number, own in enumerate(parts)]


def _sliced(files: Sequence[SourceFile | Rejected]) -> Iterator[SourceFile | Rejected]:
    """The files, large ones in slices, so that all processors can read one."""
    for file in files:
        if isinstance(file, SourceFile):
            yield from split_large(file)
        else:
            yield file


@dataclass(frozen=True, kw_only=True)
class PartWork:
    """What a process does with a part; nothing where an earlier one has finished it."""

    folder: Path
    settings: CorpusSettings
    aids: Aids
    read: ReadFile = read_file

    def __call__(self, part: Part, skipped: dict[str, Reason], report: Report) -> None:
        """Read the part's files, refine their documents, write its chunks.

        Args:
            part: the files.
            skipped: labels of files that ended a process before, with the reason.
            report: hears of files, bytes and notes.

        Raises:
            YanmoError: the disk is full.
        """
        notes: list[str] = []
        signing = self.settings.duplicates.signing()
        sign = None if signing is None else Signer(signing).sign_all
        # What takes long is kept more often.
        chunk_chars = _SLOW_CHUNK_CHARS if self.aids.are_slow else CHUNK_CHARS
        with PartWriter(folder=self.folder, part=part.number, sign=sign, chunk_chars=chunk_chars) as writer:
            if writer.is_done:
                return
            refiner = Refiner(self.settings, self.aids)
            left = writer.num_done
            for item in self._items(part, skipped, report, notes.append):
                if left:
                    left -= 1
                    notes.clear()
                    continue
                outcome, counts = refiner.refuse(item) if isinstance(item, Rejected) else refiner.refine(item)
                _put(writer, outcome, _with_notes(counts, notes))
            writer.tally.add(_with_notes({}, notes))
            writer.finish()

    def _items(
        self, part: Part, skipped: dict[str, Reason], report: Report, note: Callable[[str], None]
    ) -> Iterator[Document | Rejected]:
        def say(line: str) -> None:
            note(line)
            report.note(line)

        for file in part.files:
            if isinstance(file, Rejected):
                yield file
                continue
            if file.label in skipped:
                yield Rejected(source=file.label, reason=skipped[file.label])
                continue
            report.begin(file.label, file.num_bytes)
            told = _Told(file, report.advance)
            items = self.read(file, text_column=self.settings.text_column, note=say, meter=told)
            yield from self._untimed(items, file, report) if self.aids.are_slow else items
            told.finish()

    @staticmethod
    def _untimed(
        items: Iterator[Document | Rejected], file: SourceFile, report: Report
    ) -> Iterator[Document | Rejected]:
        """The items of a file, whose time does not count what is done with them."""
        for item in items:
            report.begin(file.label, _ENDLESS_BYTES)
            yield item
            report.begin(file.label, file.num_bytes)


class _Told:
    """Tells of a file's bytes as they are read, each once: to find out what a file is, it is read too."""

    def __init__(self, file: SourceFile, tell: Callable[[int], None]) -> None:
        part = file.slice
        self._left = file.num_bytes if part is None else part.end - part.begin
        self._tell = tell

    def __call__(self, num_bytes: int) -> None:
        num_bytes = min(num_bytes, self._left)
        self._left -= num_bytes
        self._tell(num_bytes)

    def finish(self) -> None:
        """Count what was not needed."""
        self(self._left)


def _put(writer: PartWriter, outcome: Refined | Rejected, counts: Counts) -> None:
    if isinstance(outcome, Rejected):
        writer.refuse(outcome, counts)
    else:
        writer.add(outcome, counts)


def _with_notes(counts: Counts, notes: list[str]) -> Counts:
    """The counts with the notes, which are counted too so that they outlive the process."""
    if notes:
        counts = {**counts, "notes": dict.fromkeys(notes, 1)}
        notes.clear()
    return counts
