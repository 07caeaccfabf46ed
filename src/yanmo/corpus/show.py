"""A document of a finished corpus before and after: as its reader gives it now, and as it stands.

What stands is found by its id in the Parquet files, without opening the rest; what stood before is read again
from the source, and the stored alignment says what became of what. A document that was refused has no
alignment: cleaning is a pure function, so it is cleaned again.

What was masked is masked in the text before, too: what the corpus' own settings find in the cleaned text,
carried back to the source, and every change that cleaning does not explain.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import duckdb

from yanmo.artifact import read_json
from yanmo.config import from_mapping
from yanmo.corpus.cleaning.cleaner import Cleaned, Cleaner
from yanmo.corpus.document import MAX_REJECTED_CHARS, Document, make_document
from yanmo.corpus.edits import Alignment, Edit, apply_edits
from yanmo.corpus.gather import read_alignment, read_document
from yanmo.corpus.origin import find_file, known_origins, label_of, read_again
from yanmo.corpus.personal.find import find
from yanmo.corpus.personal.settings import Action
from yanmo.corpus.settings import CorpusSettings
from yanmo.corpus.shards import ALIGNMENTS_FILE, REJECTED_FILE
from yanmo.corpus.split import Split
from yanmo.corpus.store import SUMMARY_FILE, plain_path
from yanmo.errors import InputError

_MOST_NAMED = 5
_ID = re.compile(r"[0-9a-f]{1,32}")
_MASKED = "[MASKED]"


@dataclass(frozen=True, kw_only=True)
class Change:
    """``before``, in ``source[source_start:source_end]``, became ``after``, which is ``text[start:end]``."""

    start: int
    end: int
    source_start: int
    source_end: int
    before: str
    after: str


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A document with its past."""

    id: str
    split: str
    """Empty where it was refused."""
    source: str
    language: str
    meta: Mapping[str, str]
    text: str
    """As it stands; of what was refused the beginning."""
    reason: str = ""
    """Why it was refused."""
    detail: str = ""
    file: Path | None = None
    """Where it was read."""
    before: str | None = None
    """What its reader gives now; of a piece, that piece alone."""
    changes: Sequence[Change] | None = None
    """From ``before`` to ``text``, in order; None where they do not belong together."""
    steps: Mapping[str, int] = field(default_factory=dict)
    """Steps of cleaning with the number of their edits."""
    note: str = ""
    """What is to be said of the text before: why it is not there, or differs."""


class Segment(NamedTuple):
    """A stretch of a document: the same before and after (``=``), gone (``-``), or come (``+``)."""

    sign: str
    text: str


class _Hidden(NamedTuple):
    """``source[start:end]`` is shown as ``mask``."""

    start: int
    end: int
    mask: str


def show_document(corpus: Path, id_: str, *, sources: Sequence[Path] = (), unmasked: bool = False) -> Shown:
    """Find a document in a corpus folder and read it again from its source.

    Args:
        corpus: the folder; it is not checked against its checksums.
        id_: the id, an unambiguous beginning of it, or the source of the document.
        sources: what the corpus was made of, in that order, where it has moved since.
        unmasked: show what was masked.

    Raises:
        InputError: it is no corpus, or there is no such document, or there are several.
    """
    if not (corpus / SUMMARY_FILE).is_file():
        raise InputError("is not a corpus", where=corpus, remedy="make one with yanmo corpus")
    made = read_json(corpus / SUMMARY_FILE)
    settings = from_mapping(CorpusSettings, made.get("settings", {}), where=corpus / SUMMARY_FILE)
    with plain_path(corpus) as folder, duckdb.connect(":memory:") as connection:
        files = [str(path) for split in Split for path in sorted(folder.glob(f"{split}-*.parquet"))]
        refused = str(folder / REJECTED_FILE)
        name, found = _locate(connection, [*files, refused], id_, corpus)
        is_refused = name == refused
        document, reason = _read(connection, name, found, is_refused=is_refused)
        alignment = None if is_refused else _alignment(connection, folder, document)
    like = document.meta.get("like")
    shown = Shown(
        id=document.id,
        split="" if is_refused else Path(name).name.split("-")[0],
        source=document.source,
        language=document.language,
        text=document.text,
        meta={key: value for key, value in document.meta.items() if key not in ("detail", "like")},
        reason=reason,
        detail=document.meta.get("detail", "") if like is None else f"like {like}",
    )
    return _with_past(shown, alignment, settings, [*sources] or known_origins(corpus), unmasked=unmasked)


def segments(shown: Shown) -> Iterator[Segment]:
    """The document as one row of what stayed, went and came; only where its changes are known."""
    place = 0
    for change in shown.changes or ():
        for sign, text in (
            ("=", shown.text[place : change.start]),
            ("-", change.before),
            ("+", change.after),
        ):
            if text:
                yield Segment(sign, text)
        place = change.end
    if place < len(shown.text):
        yield Segment("=", shown.text[place:])


def _locate(
    connection: duckdb.DuckDBPyConnection, files: Sequence[str], wanted: str, corpus: Path
) -> tuple[str, str]:
    """The file and the id of the one document that is meant."""
    conditions = [("source = ?", [wanted])]
    if _ID.fullmatch(wanted):
        # A range is compared with the statistics of the files; no id goes on with a g.
        conditions.insert(0, ("id >= ? AND id < ?", [wanted, f"{wanted}g"]))
    for condition, values in conditions:
        rows = connection.execute(
            "SELECT DISTINCT filename, id, source"
            " FROM read_parquet(?, filename = true, union_by_name = true)"
            f" WHERE {condition} ORDER BY id, filename LIMIT {_MOST_NAMED + 1}",
            [list(files), *values],
        ).fetchall()
        exact = [row for row in rows if row[1] == wanted]
        if len(exact or rows) == 1:
            name, id_, _ = (exact or rows)[0]
            return name, id_
        if rows:
            named = ", ".join(f"{id_} ({source})" for _, id_, source in rows[:_MOST_NAMED])
            more = " and others" if len(rows) > _MOST_NAMED else ""
            raise InputError(f"{wanted!r} may be {named}{more}", where=corpus, remedy="give more of the id")
    raise InputError(
        f"no document {wanted!r}", where=corpus, remedy="give an id, or a source, of its Parquet files"
    )


def _read(
    connection: duckdb.DuckDBPyConnection, file: str, id_: str, *, is_refused: bool
) -> tuple[Document, str]:
    reason = "reason" if is_refused else "''"
    row = connection.execute(
        f"SELECT id, text, source, language, meta, {reason} FROM read_parquet(?) WHERE id = ? LIMIT 1",
        [file, id_],
    ).fetchone()
    assert row is not None
    return read_document(row), row[5]


def _alignment(connection: duckdb.DuckDBPyConnection, folder: Path, document: Document) -> Alignment:
    """As it is stored; a copy has that of its original, which is known by what ids are made of."""
    original = make_document(document.text, document.source).id
    row = connection.execute(
        "SELECT stretches FROM read_parquet(?) WHERE id = ? LIMIT 1",
        [str(folder / ALIGNMENTS_FILE), original],
    ).fetchone()
    return Alignment() if row is None else read_alignment(row[0])


def _with_past(
    shown: Shown,
    alignment: Alignment | None,
    settings: CorpusSettings,
    sources: Sequence[Path],
    *,
    unmasked: bool,
) -> Shown:
    """The document with what its source tells of it now."""
    if shown.reason and not shown.text:
        return replace(shown, note="nothing of it was read")
    if not sources:
        note = "where its source lies is not known: name what the corpus was made of with --source"
        return replace(shown, note=note)
    label = label_of(shown.source)
    file = find_file(label, sources)
    if file is None:
        return replace(shown, note=f"its source is no longer in {', '.join(map(str, sources))}")
    shown = replace(shown, file=file.path)
    raw = read_again(label, shown.meta, file, text_column=settings.text_column)
    if raw is None:
        return replace(shown, note="its source has changed: this document is no longer in it")
    cleaned = Cleaned(text=raw.text)
    if isinstance(raw, Document):
        cleaned = Cleaner(settings.cleaning).clean(raw.text, language=raw.language, paged="\f" in raw.text)
    masks, text, source = _masks(cleaned, settings), shown.text, raw.text
    if alignment is None:
        text, alignment, source = _refused_again(cleaned, masks, source)
    begin, end = _extent(shown, alignment, len(source))
    if text != shown.text or not alignment.fits(text, source[:end]):
        note = "its source has changed since, or is read in another way now"
        if shown.reason and settings.personal.needs_key:
            note += "; or pseudonyms stand in it, which are not made again"
        if settings.personal.entities is not None and not unmasked:
            return replace(shown, note=f"{note}; what the model would mask in it is not known")
        hidden = [] if unmasked else _found(cleaned, masks)
        return replace(shown, before=_masked(raw.text, 0, len(raw.text), hidden), note=note)
    hidden = [] if unmasked else _hidden(text, alignment, cleaned, masks)
    return replace(
        shown,
        steps=cleaned.changed,
        before=_masked(source, begin, end, hidden),
        changes=_changes(text, source, alignment, begin, hidden),
    )


def _refused_again(cleaned: Cleaned, masks: Sequence[Edit], source: str) -> tuple[str, Alignment, str]:
    """What was refused, its alignment, and what of the source it came from: as much as was kept of it."""
    text, alignment = apply_edits(cleaned.text, masks), cleaned.alignment.then(masks)
    if len(text) <= MAX_REJECTED_CHARS:
        return text, alignment, source
    alignment = alignment.cut(0, MAX_REJECTED_CHARS)
    text = text[:MAX_REJECTED_CHARS]
    return text, alignment, source[: alignment.source_span(0, len(text))[1]]


def _masks(cleaned: Cleaned, settings: CorpusSettings) -> list[Edit]:
    """Masks over what is found in the cleaned text, and is not to be kept."""
    personal = settings.personal
    return [
        Edit(start, end, personal.mask_for(kind))
        for kind, start, end in find(cleaned.text, personal)
        if personal.action_for(kind) is not Action.KEEP
    ]


def _found(cleaned: Cleaned, masks: Sequence[Edit]) -> list[_Hidden]:
    """Where in the source stands what is masked in the cleaned text."""
    return [_Hidden(*cleaned.alignment.source_span(start, end), mask) for start, end, mask in masks]


def _hidden(text: str, alignment: Alignment, cleaned: Cleaned, masks: Sequence[Edit]) -> list[_Hidden]:
    """What of the source is not to be seen, in order and apart."""
    spans = _found(cleaned, masks)
    explained = {
        (stretch.source_start, stretch.source_end, cleaned.text[stretch.start : stretch.end])
        for stretch in cleaned.alignment.stretches
    }
    for stretch in alignment.stretches:
        after = text[stretch.start : stretch.end]
        if after and (stretch.source_start, stretch.source_end, after) not in explained:
            spans.append(_Hidden(stretch.source_start, stretch.source_end, _MASKED))
    apart: list[_Hidden] = []
    for span in sorted(spans):
        if apart and span.start < apart[-1].end:
            known = [mask for mask in (apart[-1].mask, span.mask) if mask != _MASKED]
            mask = " ".join(dict.fromkeys(known)) or _MASKED
            apart[-1] = _Hidden(apart[-1].start, max(apart[-1].end, span.end), mask)
        elif span.start < span.end:
            apart.append(span)
    return apart


def _extent(document: Shown, alignment: Alignment, num_chars: int) -> tuple[int, int]:
    """What of the source the document came from: all of it, but where it is a piece."""
    if label_of(document.source) == document.source:
        return 0, num_chars
    first = alignment.stretches[0] if alignment.stretches else None
    # What belongs to earlier pieces stands at the beginning as if it had been taken out.
    begin = first.source_end if first is not None and first.start == 0 else 0
    return begin, min(num_chars, alignment.source_span(0, len(document.text))[1])


def _changes(
    text: str, source: str, alignment: Alignment, begin: int, hidden: Sequence[_Hidden]
) -> list[Change]:
    return [
        Change(
            start=stretch.start,
            end=stretch.end,
            source_start=stretch.source_start,
            source_end=stretch.source_end,
            before=_masked(source, max(begin, stretch.source_start), stretch.source_end, hidden),
            after=text[stretch.start : stretch.end],
        )
        for stretch in alignment.stretches
    ]


def _masked(source: str, start: int, end: int, hidden: Sequence[_Hidden]) -> str:
    """``source[start:end]`` with masks."""
    parts, place = [], start
    for span in hidden:
        if span.end > start and span.start < end:
            parts += [source[place : max(place, span.start)], span.mask]
            place = max(place, span.end)
    return "".join([*parts, source[place:end]])
