"""From files to a finished corpus: read and refine in parts, then compare, divide and write.

The first pass reads the files in parts, by as many processes as there are processors, each document by
itself; the second sees all documents at once, in a database on disk. Memory does not grow with the
corpus. What the first pass has done stays in the output folder until the end, so that the same
command goes on where it was stopped. The corpus appears whole or not at all.
"""

from __future__ import annotations

import hashlib
import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from yanmo.artifact import claim, new_folder, partial_work, write_json
from yanmo.config import to_mapping
from yanmo.corpus.aids import Aids, MakeAids, add_files, no_models
from yanmo.corpus.cleaning.cleaner import STEPS, Cleaner
from yanmo.corpus.cleaning.settings import CleaningSettings
from yanmo.corpus.document import Document, Rejected
from yanmo.corpus.files import SourceFile, find_files, fingerprint
from yanmo.corpus.gather import Gathering
from yanmo.corpus.origin import remember_origins
from yanmo.corpus.part import PartWork, make_parts
from yanmo.corpus.reader import read_documents
from yanmo.corpus.refine import BYTES_REPLACED, ITEMS_CUT
from yanmo.corpus.settings import CorpusSettings
from yanmo.corpus.split import Split
from yanmo.corpus.staging import finished_parts, read_tally
from yanmo.corpus.store import SUMMARY_FILE, Corpus, CorpusSummary
from yanmo.corpus.workers import Spread, spread
from yanmo.errors import InputError
from yanmo.machine import usable_cores
from yanmo.reporting.corpus_report import write_corpus_report
from yanmo.reporting.progress import Progress, say

REPORT_FILE = "report.html"
_FORMAT = 3
_MAX_SAID_NOTES, _MAX_KEPT_NOTES = 10, 1000
# Less than this is read sooner by this process than others are started.
_SMALL_BYTES = 4 << 20
_DATABASE_BYTES = 512 << 20
_MODELS = "models"
_USUAL = CorpusSettings()


def build_corpus(
    sources: Path | Sequence[Path],
    out: Path,
    *,
    settings: CorpusSettings = _USUAL,
    make_aids: MakeAids = no_models,
    num_workers: int | None = None,
    engine: Spread = spread,
    force: bool = False,
) -> CorpusSummary:
    """Turn files and folders into a corpus folder; the same call goes on where an earlier one was stopped.

    Args:
        sources: what to read.
        out: the folder to write; made by the same command from the same files, it is left as it is.
        settings: how.
        make_aids: makes the models that settings ask for (``recipes.corpus`` has them).
        num_workers: processes that read, of which the result is independent; None for as many as there are
            processors, 0 for this one.
        engine: what spreads the work; a ``cluster.Cluster`` does it over machines, with the same result.
        force: replace whatever ``out`` is.

    Raises:
        InputError: a source is missing, nothing in it is text, or there is too little to split.
        YanmoError: the disk is full or ``out`` cannot be written.
    """
    files = find_files(_paths(sources), exclude=out)
    details = _details(files, settings)
    if claim(out, kind="corpus", details=details, force=force):
        say(f"{out}: already made from the same files with the same settings; nothing to do")
        return Corpus.open(out).summary
    with partial_work(out, kind="corpus", details=details) as parts:
        aids = add_files(make_aids(settings, parts / _MODELS), settings, out)
        _refine(files, parts, settings, aids, num_workers, engine)
        gathering = Gathering(parts, memory_bytes=_DATABASE_BYTES, threads=usable_cores())
        try:
            how = _decide(gathering, settings, aids)
            with new_folder(out, kind="corpus", details=details) as folder:
                gathering.write(folder)
                summary = _summary(out, gathering, parts, how, settings)
                facts = summary.to_json()
                # Where it lies is no part of what it is: the same files make the same bytes anywhere.
                del facts["path"]
                value = {**facts, "settings": to_mapping(settings), "sources": details["sources"]}
                if details["aids"]:
                    value["aids"] = {"sha256": details["aids"], **aids.facts}
                if (parts / _MODELS).is_dir():
                    shutil.copytree(parts / _MODELS, folder / _MODELS)
                write_corpus_report(value, folder / REPORT_FILE, name=out.resolve().name)
                write_json(folder / SUMMARY_FILE, value)
        finally:
            gathering.close()
    remember_origins(out, _paths(sources))
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
    cleaner = Cleaner(CleaningSettings(flags=False))
    texts, refused = [], Counter[str]()
    for item in read_documents(path, text_column=text_column, note=say):
        text = cleaner.clean(item.text).text if isinstance(item, Document) else ""
        if text.strip():
            texts.append(text)
        elif isinstance(item, Rejected):
            refused[item.reason.value] += 1
    if not texts:
        raise InputError("no text found" + _refusals(refused), where=path)
    if refused:
        say(f"{path}: passed over{_refusals(refused)}")
    return texts


def _details(files: Sequence[SourceFile | Rejected], settings: CorpusSettings) -> dict[str, Any]:
    """What makes a corpus the one that it is."""
    given = {name: fingerprint(find_files(paths)) for name, paths in settings.given().items()}
    return {
        "format": _FORMAT,
        "sources": fingerprint(files),
        "settings": to_mapping(settings),
        "aids": given,
    }


def _refine(
    files: Sequence[SourceFile | Rejected],
    folder: Path,
    settings: CorpusSettings,
    aids: Aids,
    num_workers: int | None,
    engine: Spread,
) -> None:
    """The first pass: every file read, cleaned and kept in ``folder``."""
    parts = make_parts(files)
    total = sum(file.num_bytes for file in files if isinstance(file, SourceFile))
    if num_workers is None:
        num_workers = 0 if total < _SMALL_BYTES else usable_cores()
    done = set(finished_parts(folder))
    if done:
        say(f"{len(done)} of {len(parts)} parts of the files were read before; going on")
    work = PartWork(folder=folder, settings=settings, aids=aids)
    todo = [part for part in parts if part.number not in done]
    with Progress("reading", total=total / 1e6, unit="MB") as progress:
        for _ in engine(work, todo, num_workers=num_workers, report=_Narrator(progress)):
            pass


class _Narrator:
    """What the first pass says, for people."""

    def __init__(self, progress: Progress) -> None:
        self._progress, self._num_notes = progress, 0

    def begin(self, label: str, num_bytes: int) -> None:
        """The bar needs no names."""

    def advance(self, num_bytes: int) -> None:
        self._progress.advance(num_bytes / 1e6)

    def note(self, line: str) -> None:
        self._num_notes += 1
        if self._num_notes <= _MAX_SAID_NOTES:
            say(line)
        elif self._num_notes == _MAX_SAID_NOTES + 1:
            say(f"... and more notes, in {SUMMARY_FILE}")


def _decide(gathering: Gathering, settings: CorpusSettings, aids: Aids) -> str:
    """The second pass: duplicates dropped, splits made; one line that says how."""
    gathering.drop_copies(settings.duplicates, aids.embed)
    if not gathering.num_documents:
        raise InputError(
            "no text found" + _refusals(Counter(gathering.reasons())),
            remedy="name files or folders of text (txt, md, html, csv, json, jsonl, parquet)",
        )
    division = gathering.divide(
        by=settings.split,
        valid_fraction=settings.valid_fraction,
        test_fraction=settings.test_fraction,
        seed=settings.seed,
        weights=settings.weights,
    )
    say(division.how)
    return division.how


def _summary(
    out: Path, gathering: Gathering, parts: Path, how: str, settings: CorpusSettings
) -> CorpusSummary:
    digest = hashlib.sha256()
    splits = {split.value: {"num_documents": 0, "num_bytes": 0} for split in Split}
    num_characters = 0
    for split, id_, num_bytes, num_chars in gathering.written():
        digest.update(f"{split} {id_}\n".encode())
        splits[split]["num_documents"] += 1
        splits[split]["num_bytes"] += num_bytes
        num_characters += num_chars
    tally = read_tally(parts)
    cleaned = tally.of("cleaned")
    return CorpusSummary(
        path=out,
        num_documents=sum(counts["num_documents"] for counts in splits.values()),
        num_bytes=sum(counts["num_bytes"] for counts in splits.values()),
        num_characters=num_characters,
        rejected=gathering.reasons(),
        cleaned={name: cleaned[name] for name in (BYTES_REPLACED, *STEPS, ITEMS_CUT) if cleaned[name]},
        splits=splits,
        split_by=how,
        sha256=digest.hexdigest(),
        notes=tuple(tally.of("notes"))[:_MAX_KEPT_NOTES],
        account=gathering.account(tally, settings),
    )


def _paths(sources: Path | Sequence[Path]) -> list[Path]:
    return [sources] if isinstance(sources, Path) else list(sources)


def _refusals(refused: Counter[str]) -> str:
    counts = ", ".join(f"{count} {reason}" for reason, count in refused.most_common())
    return f" ({counts})" if counts else ""
