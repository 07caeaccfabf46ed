"""What a corpus would be, seen on a sample: both passes over a few files, in a folder that goes again."""

from __future__ import annotations

import secrets
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from yanmo.corpus.aids import Aids, MakeAids, add_files, no_models
from yanmo.corpus.document import Document, Note, Reason, Rejected
from yanmo.corpus.draw import Drawn, draw
from yanmo.corpus.files import Meter, SourceFile, find_files
from yanmo.corpus.gather import Gathering
from yanmo.corpus.part import Part, PartWork
from yanmo.corpus.personal.settings import PersonalSettings
from yanmo.corpus.reader import read_file
from yanmo.corpus.settings import CorpusSettings
from yanmo.corpus.staging import finished_parts, read_tally
from yanmo.corpus.workers import Report, spread
from yanmo.machine import usable_cores
from yanmo.reporting.progress import Progress

SAMPLE_BYTES, LIMIT_S = 16 << 20, 10.0
_NUM_PARTS = 16
# Less than this is read sooner by this process than others are started.
_SMALL_BYTES = 4 << 20
_DATABASE_BYTES = 256 << 20
_MAX_NOTES = 10
_USUAL = CorpusSettings()


def sample_corpus(
    sources: Sequence[Path],
    *,
    out: Path,
    settings: CorpusSettings = _USUAL,
    make_aids: MakeAids = no_models,
    num_workers: int | None = None,
    num_bytes: int = SAMPLE_BYTES,
    limit_s: float = LIMIT_S,
) -> dict[str, Any] | None:
    """Make a corpus of an even sample of the files, and tell what became of it; nothing is kept.

    Documents are not divided, nor repeated for their weights. Copies of what was not drawn are not seen.

    Args:
        sources: what would be read.
        out: the folder that would be written, which is not read.
        settings: as of ``build.build_corpus``.
        make_aids: as of ``build.build_corpus``.
        num_workers: as of ``build.build_corpus``.
        num_bytes: about how much to draw.
        limit_s: seconds after which no more is read; whether it is reached depends on the machine.

    Returns:
        Plain values: ``num_files``, ``num_bytes_on_disk`` and ``is_whole`` of what was read;
        ``num_documents`` and ``num_bytes`` of what would be kept; ``rejected``, ``cleaned``, ``account`` and
        ``notes`` as in ``corpus.json``; ``num_workers`` and ``bytes_per_s`` of the first pass; and
        ``estimated``: ``num_documents``, ``num_bytes`` and ``time_s`` of the whole. None where there is no
        file.

    Raises:
        InputError: a source or a model is missing.
        YanmoError: the disk is full.
    """
    files = [file for file in find_files(sources, exclude=out) if isinstance(file, SourceFile)]
    if not files:
        return None
    with tempfile.TemporaryDirectory(prefix="yanmo-") as name:
        scratch = Path(name)
        (parts := scratch / "parts").mkdir()
        (excerpts := scratch / "excerpts").mkdir()
        aids = _aids(settings, make_aids, scratch)
        groups = _grouped(draw(files, excerpts, num_bytes=num_bytes))
        if num_workers is None:
            num_workers = 0 if sum(map(_size, groups.values())) < _SMALL_BYTES else usable_cores()
        pace = _Pace(limit_s, num_warm=max(1, num_workers))
        covered = _read(groups, PartWork(folder=parts, settings=settings, aids=aids), pace, num_workers)
        num_files = len({drawn.file.label for number in covered for drawn in groups[number]})
        begun_s = time.monotonic()
        result = _compared(parts, settings, aids)
        compare_s = time.monotonic() - begun_s
    total, read = sum(file.num_bytes for file in files), sum(covered.values())
    times = total / max(1, read)
    return {
        "num_files": num_files,
        "num_bytes_on_disk": read,
        "is_whole": len(covered) == len(groups) and total <= num_bytes,
        **result,
        "num_workers": num_workers,
        "bytes_per_s": round(pace.bytes_per_s),
        "estimated": {
            "num_documents": round(result["num_documents"] * times),
            "num_bytes": round(result["num_bytes"] * times),
            "time_s": round(pace.time_for(total) + compare_s * times, 1),
        },
    }


def _aids(settings: CorpusSettings, make_aids: MakeAids, scratch: Path) -> Aids:
    """As for a corpus, but that pseudonyms are made with a key that nobody has."""
    nameless = replace(settings, personal=PersonalSettings())
    aids = add_files(make_aids(settings, scratch / "models"), nameless, scratch / "corpus")
    return replace(aids, key=secrets.token_bytes(32))


def _grouped(windows: Sequence[Sequence[Drawn]]) -> dict[int, list[Drawn]]:
    """Parts by number, in which documents keep their order; the first ones are spread over everything."""
    bits = _NUM_PARTS.bit_length() - 1
    order = [int(f"{number:0{bits}b}"[::-1], 2) for number in range(_NUM_PARTS)]
    size = len(windows) // _NUM_PARTS
    groups = {
        number: [drawn for window in windows[number * size : (number + 1) * size] for drawn in window]
        for number in order
    }
    return {number: group for number, group in groups.items() if group}


def _size(group: Sequence[Drawn]) -> int:
    return sum(drawn.num_bytes for drawn in group)


def _read(
    groups: Mapping[int, Sequence[Drawn]], work: PartWork, pace: _Pace, num_workers: int
) -> dict[int, int]:
    """The first pass over the sample, as far as there is time.

    Returns:
        Parts that were read, with the bytes on disk that they stand for.
    """
    parts = [
        Part(number=number, files=tuple(drawn.file for drawn in group)) for number, group in groups.items()
    ]
    drawn = {one.file.path: one for group in groups.values() for one in group}
    covered: dict[int, int] = {}
    with Progress("sampling", total=sum(map(_size, groups.values())) / 1e6, unit="MB") as progress:
        results = spread(_SampleWork(work, drawn), parts, num_workers=num_workers, report=pace)
        try:
            for part, num_bytes in results:
                covered[part.number] = num_bytes
                pace.finish(num_bytes)
                progress.advance(num_bytes / 1e6)
        except _TimeIsUpError:
            pass
    for number in groups.keys() - set(finished_parts(work.folder)):
        for leftover in work.folder.glob(f"*-{number:05d}-*"):
            leftover.unlink()
    return covered


def _compared(parts: Path, settings: CorpusSettings, aids: Aids) -> dict[str, Any]:
    """The second pass over the sample, but for the splits."""
    gathering = Gathering(parts, memory_bytes=_DATABASE_BYTES, threads=usable_cores())
    try:
        gathering.drop_copies(settings.duplicates, aids.embed)
        tally = read_tally(parts)
        account = gathering.account(tally, settings, written="facts")
        return {
            "num_documents": gathering.num_documents,
            "num_bytes": sum(row["num_bytes"] for row in account["languages"]),
            "rejected": dict(gathering.reasons()),
            "cleaned": dict(sorted(tally.of("cleaned").items())),
            "account": account,
            "notes": list(tally.of("notes"))[:_MAX_NOTES],
        }
    finally:
        gathering.close()


class _TimeIsUpError(Exception):
    """Enough was read."""


@dataclass
class _Pace:
    """Hears how the first pass goes, measures it, and ends it in time.

    The first results come late, as each process first loads its tables; speed is measured behind them.
    """

    limit_s: float
    num_warm: int
    """Results before all processes are warm."""
    begun_s: float | None = None
    done: list[tuple[float, int]] = field(default_factory=list)
    """When each result came, seconds after the first file was begun, with its bytes."""

    def begin(self, label: str, num_bytes: int) -> None:
        """A file begins; the time that processes take to start does not count."""
        if self.begun_s is None:
            self.begun_s = time.monotonic()
        self._look()

    def advance(self, num_bytes: int) -> None:
        """Bytes were read."""
        self._look()

    def note(self, line: str) -> None:
        """Notes are kept with the result."""

    def finish(self, num_bytes: int) -> None:
        """A part is done."""
        self.done.append((self._elapsed_s, num_bytes))

    @property
    def bytes_per_s(self) -> float:
        """Of all processes together; 0 where nothing was read."""
        if not self.done:
            return 0.0
        warm_s = self._warm_s
        late = [num_bytes for _, num_bytes in self.done[self.num_warm :]]
        if not late:
            return sum(num_bytes for _, num_bytes in self.done) / max(self.done[-1][0], 1e-6)
        return sum(late) / max(self.done[-1][0] - warm_s, 1e-6)

    def time_for(self, num_bytes: int) -> float:
        """Seconds that so many bytes would take, from the first file on; 0 where nothing was read."""
        if not self.done:
            return 0.0
        warm_bytes = sum(own for _, own in self.done[: self.num_warm])
        return self._warm_s + max(0, num_bytes - warm_bytes) / max(self.bytes_per_s, 1e-6)

    @property
    def _warm_s(self) -> float:
        return self.done[min(self.num_warm, len(self.done)) - 1][0]

    @property
    def _elapsed_s(self) -> float:
        return 0.0 if self.begun_s is None else time.monotonic() - self.begun_s

    def _look(self) -> None:
        if len(self.done) > self.num_warm and self._elapsed_s > self.limit_s:
            raise _TimeIsUpError


@dataclass(frozen=True)
class _SampleWork:
    """What a process does with a part of the sample."""

    work: PartWork
    drawn: Mapping[Path, Drawn]

    def __call__(self, part: Part, skipped: dict[str, Reason], report: Report) -> int:
        """Do it; the bytes on disk that it stands for."""
        reading = _Reading(self.drawn)
        replace(self.work, read=reading)(part, skipped, report)
        return sum(reading.covered)


@dataclass
class _Reading:
    """Reads files of a sample as ``read_file`` does, but for where they were cut."""

    drawn: Mapping[Path, Drawn]
    covered: list[int] = field(default_factory=list)

    def __call__(
        self, file: SourceFile | Rejected, *, text_column: str | None, note: Note, meter: Meter
    ) -> Iterator[Document | Rejected]:
        assert isinstance(file, SourceFile)
        own, read, last = self.drawn[file.path], 0, None

        def count(num_bytes: int) -> None:
            nonlocal read
            read += num_bytes
            meter(num_bytes)

        for item in read_file(file, text_column=text_column, note=note, meter=count):
            if last is not None:
                yield last
            last = item
            if own.is_archive and read > own.num_bytes:
                self.covered.append(min(read, file.num_bytes))
                break
        else:
            self.covered.append(file.num_bytes if own.is_archive else own.num_bytes)
        # What looks broken at a cut is not.
        if last is not None and not (own.is_cut and isinstance(last, Rejected)):
            yield last
