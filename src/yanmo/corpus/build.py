"""From files to a finished corpus: read, clean, drop duplicates, divide, write.

Two passes over the documents: the first stages them and keeps only id, size and digest of each in
memory, the second writes them into their splits. The folder appears whole or not at all.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from yanmo.artifact import claim, new_folder, write_json
from yanmo.config import to_mapping
from yanmo.corpus.clean import STEPS, clean
from yanmo.corpus.dedup import SeenTexts
from yanmo.corpus.document import Document, Reason, Rejected, make_document
from yanmo.corpus.encoding import REPAIRED
from yanmo.corpus.files import SourceFile, find_files, fingerprint
from yanmo.corpus.reader import read_documents, read_file
from yanmo.corpus.split import Division, Entry, Split, SplitBy, cut_text, divide, named_split
from yanmo.corpus.store import SUMMARY_FILE, Corpus, CorpusSummary, Staging
from yanmo.errors import InputError
from yanmo.reporting.html import write_corpus_report
from yanmo.reporting.progress import Progress, say

REPORT_FILE = "report.html"
_FORMAT = 1
_MAX_SAID_NOTES, _MAX_KEPT_NOTES = 10, 1000
_BYTES_REPLACED = REPAIRED.strip(", ")
_STRICTNESS = {None: 0, Split.TRAIN: 0, Split.VALID: 1, Split.TEST: 2}


@dataclass(frozen=True, kw_only=True)
class CorpusSettings:
    """How a corpus is made."""

    valid_fraction: float = 0.02
    test_fraction: float = 0.03
    min_chars: int = 1
    """Shorter documents are refused."""
    text_column: str | None = None
    """Column or key of the text in tables and records; guessed where None."""
    split: SplitBy = SplitBy.AUTO
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse values that make no corpus."""
        if not 0 < self.valid_fraction < 1 or not 0 <= self.test_fraction < 1:
            raise InputError("valid_fraction must be between 0 and 1, test_fraction 0 or more")
        if self.valid_fraction + self.test_fraction > 0.5:
            raise InputError("valid_fraction and test_fraction leave less than half to train on")
        if self.min_chars < 1:
            raise InputError("min_chars must be 1 or more")


def build_corpus(
    sources: Path | Sequence[Path],
    out: Path,
    *,
    settings: CorpusSettings = CorpusSettings(),
    force: bool = False,
) -> CorpusSummary:
    """Turn files and folders into a corpus folder.

    Args:
        sources: what to read.
        out: the folder to write; made by the same command from the same files, it is left as it is.
        settings: how.
        force: replace whatever ``out`` is.

    Raises:
        InputError: a source is missing, nothing in it is text, or there is too little to split.
        YanmoError: the disk is full or ``out`` cannot be written.
    """
    files = find_files(_paths(sources), exclude=out)
    details = {"format": _FORMAT, "sources": fingerprint(files), "settings": to_mapping(settings)}
    if claim(out, kind="corpus", details=details, force=force):
        say(f"{out}: already made from the same files with the same settings; nothing to do")
        return Corpus.open(out).summary
    with new_folder(out, kind="corpus", details=details) as folder, Staging(folder) as staging:
        builder = _Builder(staging, settings)
        builder.ingest(files)
        summary = builder.finish(out)
        value = {**summary.to_json(), "settings": to_mapping(settings), "sources": details["sources"]}
        del value["path"]
        write_json(folder / SUMMARY_FILE, value)
        write_corpus_report(summary.to_json(), folder / REPORT_FILE, name=out.resolve().name)
    return summary


def survey(sources: Path | Sequence[Path], *, out: Path | None = None) -> dict[str, Any]:
    """What ``build_corpus`` would read, without reading it: counts by suffix.

    Raises:
        InputError: a source does not exist.
    """
    files = find_files(_paths(sources), exclude=out)
    regular = [file for file in files if isinstance(file, SourceFile)]
    suffixes = Counter("".join(Path(file.label).suffixes[-2:]).lower() or "(none)" for file in regular)
    return {
        "num_files": len(regular),
        "num_bytes_on_disk": sum(file.num_bytes for file in regular),
        "suffixes": dict(suffixes.most_common()),
        "passed_over": dict(Counter(file.reason.value for file in files if isinstance(file, Rejected))),
    }


def read_texts(path: Path, split: str = "test", *, text_column: str | None = None) -> list[str]:
    """Texts to evaluate on: a split of a corpus folder, or the cleaned documents of any file or folder.

    Raises:
        InputError: nothing is there, or nothing in it is text.
    """
    if (path / SUMMARY_FILE).is_file():
        texts = list(Corpus.open(path).texts(split))
        if not texts:
            raise InputError(f"the corpus has no {split} split", where=path)
        return texts
    texts, refused = [], Counter[str]()
    for item in read_documents(path, text_column=text_column, note=say):
        text = clean(item.text)[0] if isinstance(item, Document) else ""
        if text.strip():
            texts.append(text)
        elif isinstance(item, Rejected):
            refused[item.reason.value] += 1
    if not texts:
        raise InputError("no text found" + _refusals(refused), where=path)
    if refused:
        say(f"{path}: passed over{_refusals(refused)}")
    return texts


class _Builder:
    """The state of one build."""

    def __init__(self, staging: Staging, settings: CorpusSettings) -> None:
        self._staging, self._settings = staging, settings
        self._entries: list[Entry] = []
        self._seen = SeenTexts()
        self._dropped: dict[int, Reason] = {}
        self._rejected, self._cleaned = Counter[str](), Counter[str]()
        self._notes: list[str] = []

    def ingest(self, files: Sequence[SourceFile | Rejected]) -> None:
        """Read, clean and stage every document."""
        total = sum(file.num_bytes for file in files if isinstance(file, SourceFile))
        with Progress("reading", total=2 * total / 1e6, unit="MB") as progress:
            for file in files:
                meter = _Meter(progress)
                for item in read_file(
                    file, text_column=self._settings.text_column, note=self._note, meter=meter
                ):
                    if isinstance(item, Rejected):
                        self._reject(item)
                    else:
                        self._take(item)
        if len(self._notes) > _MAX_SAID_NOTES:
            say(f"... and {len(self._notes) - _MAX_SAID_NOTES} more notes, in {SUMMARY_FILE}")

    def finish(self, out: Path) -> CorpusSummary:
        """Divide what was staged, write it, and sum it up."""
        kept = [index for index in range(len(self._entries)) if index not in self._dropped]
        if not kept:
            raise InputError(
                "no text found" + _refusals(self._rejected),
                remedy="name files or folders of text (txt, md, html, csv, json, jsonl, parquet)",
            )
        settings = self._settings
        division = divide(
            [self._entries[index] for index in kept],
            by=settings.split,
            valid_fraction=settings.valid_fraction,
            test_fraction=settings.test_fraction,
            seed=settings.seed,
        )
        say(division.how)
        for reason in (Reason.IN_VALID, Reason.IN_TEST):
            self._staging.reject_staged([i for i, r in self._dropped.items() if r is reason], reason)
        self._rejected.update(reason.value for reason in self._dropped.values())
        places = sorted(self._places(kept, division))
        self._staging.write((seq, split, self._entries[seq].num_bytes) for seq, split in places)
        return self._summary(out, places, division.how)

    def _take(self, raw: Document) -> None:
        text, changed = clean(raw.text)
        num_chars = len(text.strip())
        if num_chars < self._settings.min_chars:
            reason = Reason.TOO_SHORT if num_chars else Reason.EMPTY
            self._reject(Rejected(source=raw.source, reason=reason, text=text, language=raw.language))
            return
        named, index = named_split(raw.source), len(self._entries)
        earlier = self._seen.add(text, index)
        if earlier is not None:
            if _STRICTNESS[named] <= _STRICTNESS[self._entries[earlier].named]:
                reason = self._why_twice(named, self._entries[earlier].named)
                self._reject(Rejected(source=raw.source, reason=reason, text=text, language=raw.language))
                return
            self._dropped[earlier] = self._why_twice(self._entries[earlier].named, named)
            self._seen.replace(text, index)
        self._cleaned.update(changed)
        if raw.meta.get("encoding", "").endswith(REPAIRED):
            self._cleaned[_BYTES_REPLACED] += 1
        self._stage(raw if text == raw.text else _with_text(raw, text, raw.source), named)

    def _stage(self, document: Document, named: Split | None) -> int:
        num_bytes = len(document.text.encode())
        self._staging.add(len(self._entries), document)
        self._entries.append(
            Entry(id=document.id, num_bytes=num_bytes, num_chars=len(document.text), named=named)
        )
        return len(self._entries) - 1

    def _why_twice(self, dropped: Split | None, kept: Split | None) -> Reason:
        if _STRICTNESS[dropped] == _STRICTNESS[kept]:
            return Reason.DUPLICATE
        return Reason.IN_TEST if kept is Split.TEST else Reason.IN_VALID

    def _places(self, kept: Sequence[int], division: Division) -> Iterator[tuple[int, Split]]:
        for position, split in division.whole.items():
            yield kept[position], split
        for position, shares in division.cut.items():
            document = self._staging.read(kept[position])
            pieces = cut_text(document.text, *shares)
            for number, (split, piece) in enumerate(pieces, 1):
                part = _with_text(document, piece, f"{document.source}#part={number}")
                meta = {**part.meta, "part": f"{number} of {len(pieces)}"}
                yield self._stage(replace(part, meta=meta), split), split

    def _summary(self, out: Path, places: Sequence[tuple[int, Split]], how: str) -> CorpusSummary:
        digest = hashlib.sha256()
        splits = {split.value: {"num_documents": 0, "num_bytes": 0} for split in Split}
        for seq, split in places:
            digest.update(f"{split.value} {self._entries[seq].id}\n".encode())
            splits[split.value]["num_documents"] += 1
            splits[split.value]["num_bytes"] += self._entries[seq].num_bytes
        return CorpusSummary(
            path=out,
            num_documents=len(places),
            num_bytes=sum(counts["num_bytes"] for counts in splits.values()),
            num_characters=sum(self._entries[seq].num_chars for seq, _ in places),
            rejected=dict(sorted(self._rejected.items())),
            cleaned={name: self._cleaned[name] for name in (_BYTES_REPLACED, *(name for name, _ in STEPS))},
            splits=splits,
            split_by=how,
            sha256=digest.hexdigest(),
            notes=tuple(self._notes[:_MAX_KEPT_NOTES]),
        )

    def _reject(self, rejected: Rejected) -> None:
        self._rejected[rejected.reason.value] += 1
        self._staging.reject(rejected)

    def _note(self, line: str) -> None:
        self._notes.append(line)
        if len(self._notes) <= _MAX_SAID_NOTES:
            say(line)


class _Meter:
    """Megabytes read from disk, told to the progress bar."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def __call__(self, num_bytes: int) -> None:
        self._progress.advance(num_bytes / 1e6)


def _with_text(document: Document, text: str, source: str) -> Document:
    return make_document(text, source, document.meta, document.language)


def _paths(sources: Path | Sequence[Path]) -> list[Path]:
    return [sources] if isinstance(sources, Path) else list(sources)


def _refusals(refused: Counter[str]) -> str:
    counts = ", ".join(f"{count} {reason}" for reason, count in refused.most_common())
    return f" ({counts})" if counts else ""
