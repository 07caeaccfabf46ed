"""CoNLL files: a token a line, its tag in one of the columns, a blank line after each sentence.

Which column is the token and which the tag is guessed over the first sentences: the tag is the last column
with tags of a scheme (2003, 2012, WNUT), the fourth of ten where the first counts (CoNLL-U, universal parts
of speech), else the last. ``-DOCSTART-`` begins a document. Lines that begin with ``# `` and have not the
number of columns are comments.
"""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice

from yanmo.corpus.files import Blob, Encoding
from yanmo.corpus.tables import bounded_lines
from yanmo.tasks.base import Item, Layout, ReadSettings
from yanmo.tasks.broken import Flaw, FlawError, Note
from yanmo.tasks.examples import Origin, TokenExample
from yanmo.tasks.tags import TagFlawError, TagScheme, guess_scheme, looks_like_tag, to_bio

_SAMPLE_SENTENCES = 1000
_DOCUMENT = "-DOCSTART-"
_SUFFIXES = ".conll .conllu .bio .iob .iob2 .bioes .bmes .ner"
_COUNT = re.compile(r"\d+(?:[-.]\d+)?")
_HEADER_NAMES = "tag tags label labels ner ner_tag ner_tags pos pos_tag entity bio 标签 标注"
_HEADERS = frozenset(_HEADER_NAMES.split())
_MOSTLY = 0.9
_MOST_PLAIN_TAGS, _MOST_PLAIN_SHARE = 100, 0.2


@dataclass(kw_only=True)
class _Sentence:
    number: int
    document: int
    lines: list[int] = field(default_factory=list)
    raw: list[str] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class _Columns:
    """How the lines of a file are cut, and what the columns are; indices from 0, -1 for no tags."""

    separator: str | None
    width: int
    token: int
    tag: int

    def fields(self, line: str) -> list[str]:
        """The columns of a line."""
        return line.split("\t") if self.separator else line.split()


def fits(lines: Sequence[str]) -> bool:
    """Whether a file begins like CoNLL: the same columns in most lines, the last of them tags of a scheme."""
    rows = [line for line in lines if line.strip() and not line.startswith(("# ", _DOCUMENT))]
    if not rows:
        return False
    has_tabs = sum("\t" in row for row in rows) >= 0.5 * len(rows)
    fields = [row.rstrip("\r\n").split("\t") if has_tabs else row.split() for row in rows]
    width, num_even = Counter(map(len, fields)).most_common(1)[0]
    has_blank = any(not line.strip() for line in lines[:-1])
    tagged = sum(looks_like_tag(row[-1]) for row in fields)
    if width < 2 or num_even < 0.7 * len(rows):
        return False
    # Words with parts of speech have no such tags, but sentences.
    return tagged >= 0.7 * len(rows) or (has_blank and max(map(len, map(str.strip, rows))) < 200)


def read_conll(blob: Blob, encoding: Encoding, settings: ReadSettings, note: Note) -> Iterator[Item]:
    """Read the sentences of a file.

    Raises:
        FlawError: no columns can be found in it.
    """
    with blob.open() as stream:
        text = io.TextIOWrapper(stream, encoding=encoding.name, errors=encoding.errors)
        sentences = _sentences(bounded_lines(text))
        first = list(islice(sentences, _SAMPLE_SENTENCES))
        if not first:
            raise FlawError(Flaw.LAYOUT, "no tokens", "write a token and its tag a line")
        columns = _guess_columns(first, settings, blob.label, note)
        _drop_header(first[0], columns)
        even = [_even(sentence, columns) for sentence in first]
        scheme = settings.tag_scheme or guess_scheme(tags for _, tags in even if tags)
        _refuse_words(even, scheme, columns)
        for sentence in chain(first, sentences):
            if not sentence.raw:
                continue
            origin = Origin(blob.label, sentence.number, sentence.lines[0])
            try:
                yield _example(sentence, columns, scheme, origin, encoding)
            except FlawError as flaw:
                yield flaw.at(origin, " ".join(sentence.raw))


LAYOUT = Layout(what="CoNLL", fits=fits, suffixes=tuple(_SUFFIXES.split()), read=read_conll)


def _sentences(lines: Iterator[str]) -> Iterator[_Sentence]:
    number = document = 0
    now: _Sentence | None = None
    for place, line in enumerate(lines, 1):
        row = (line.removeprefix("\ufeff") if place == 1 else line).rstrip("\r\n")
        is_start = row.startswith(_DOCUMENT)
        document += is_start
        if not row.strip() or is_start:
            if now is not None:
                yield now
            now = None
            continue
        if now is None:
            number += 1
            now = _Sentence(number=number, document=document)
        now.lines.append(place)
        now.raw.append(row)
    if now is not None:
        yield now


def _guess_columns(first: Sequence[_Sentence], settings: ReadSettings, label: str, note: Note) -> _Columns:
    rows = [row for sentence in first for row in sentence.raw]
    separator = "\t" if sum("\t" in row for row in rows) >= 0.5 * len(rows) else None
    fields = [row.split(separator) if separator else row.split() for row in rows]
    width = Counter(len(row) for row in fields if not row[0].startswith("#") or len(row) > 1).most_common(1)
    num_columns = width[0][0] if width else 1
    even = [row for row in fields if len(row) == num_columns]
    counts_tokens = num_columns > 2 and _share(even, 0, _COUNT.fullmatch) > _MOSTLY
    token = _wanted(settings, "tokens", num_columns, 1 if counts_tokens else 0)
    tagged = [
        column
        for column in range(num_columns)
        if column != token and _share(even, column, looks_like_tag) > _MOSTLY
    ]
    if tagged:
        guess, why = tagged[-1], "the last one with tags of entities"
    elif counts_tokens and num_columns == 10:
        guess, why = 3, "universal parts of speech"
    else:
        guess, why = num_columns - 1, "the last one"
    if num_columns == 1:
        if settings.labelled:
            raise FlawError(Flaw.LAYOUT, "one column", "write a token and its tag a line, a tab between them")
        guess, why = -1, "none"
    tag = _wanted(settings, "tags", num_columns, guess)
    why = "as you said" if "tags" in settings.columns else why
    note(f"{label}: tokens = column {token + 1}, tags = column {tag + 1} of {num_columns} ({why})")
    return _Columns(separator=separator, width=num_columns, token=token, tag=tag)


def _wanted(settings: ReadSettings, role: str, width: int, guess: int) -> int:
    if role not in settings.columns:
        return guess
    name = str(settings.columns[role])
    number = name.removeprefix("column").strip()
    if number.isascii() and number.isdigit() and 1 <= int(number) <= width:
        return int(number) - 1
    raise FlawError(Flaw.COLUMNS, f"there is no column {name!r}", f"columns have numbers here: 1 to {width}")


def _share(rows: Sequence[Sequence[str]], column: int, fits: Callable[[str], object]) -> float:
    return sum(bool(fits(row[column])) for row in rows) / max(1, len(rows))


def _drop_header(first: _Sentence, columns: _Columns) -> None:
    cells = columns.fields(first.raw[0])
    if len(cells) == columns.width and columns.tag >= 0 and cells[columns.tag].strip().casefold() in _HEADERS:
        del first.raw[0], first.lines[0]


def _even(sentence: _Sentence, columns: _Columns) -> tuple[list[str], list[str]]:
    """Tokens and tags of the lines that have all columns."""
    rows = [row for row in map(columns.fields, sentence.raw) if len(row) == columns.width]
    return [row[columns.token] for row in rows], [row[columns.tag] for row in rows if columns.tag >= 0]


def _refuse_words(even: Sequence[tuple[list[str], list[str]]], scheme: TagScheme, columns: _Columns) -> None:
    """Refuse a file whose tags are as many as its words."""
    tags = [tag for _, tags in even for tag in tags]
    num_different = len(set(tags))
    if scheme is TagScheme.PLAIN and num_different > max(_MOST_PLAIN_TAGS, _MOST_PLAIN_SHARE * len(tags)):
        raise FlawError(
            Flaw.COLUMNS,
            f"column {columns.tag + 1} holds {num_different} different tags in {len(tags)} lines",
            "say which column holds the tags: --columns tags=NUMBER",
        )


def _example(
    sentence: _Sentence, columns: _Columns, scheme: TagScheme, origin: Origin, encoding: Encoding
) -> TokenExample:
    tokens: list[str] = []
    tags: list[str] = []
    lines: list[int] = []
    for line, row in zip(sentence.lines, sentence.raw, strict=True):
        cells = columns.fields(row)
        if len(cells) != columns.width:
            if row.startswith("# "):
                continue
            raise _uneven(cells, columns, line)
        # Of CoNLL-U: "3-4" is written as one word, "3.1" is not written at all.
        if columns.width == 10 and columns.token == 1 and not cells[0].isdigit():
            continue
        _check_cells(cells, columns, line, encoding)
        tokens.append(cells[columns.token])
        lines.append(line)
        if columns.tag >= 0:
            tags.append(cells[columns.tag].strip())
    if not tokens:
        raise FlawError(Flaw.EMPTY_TEXT, "no tokens", "write a token and its tag a line")
    try:
        bio = to_bio(tags, scheme) if columns.tag >= 0 else None
    except TagFlawError as flaw:
        flaw.line = lines[flaw.token]
        raise
    return TokenExample(tokens=tuple(tokens), tags=bio, document=sentence.document, origin=origin)


def _uneven(cells: Sequence[str], columns: _Columns, line: int) -> FlawError:
    between = "tabs" if columns.separator else "spaces"
    return FlawError(
        Flaw.UNEVEN,
        f"{len(cells)} columns instead of {columns.width}: {' | '.join(cells)[:60]}",
        f"write {columns.width} columns with {between} between them",
        line=line,
    )


def _check_cells(cells: Sequence[str], columns: _Columns, line: int, encoding: Encoding) -> None:
    token = cells[columns.token]
    if not token or token.isspace():
        # A blank is a token of its own in files of single characters.
        if not token:
            raise FlawError(Flaw.EMPTY_TEXT, "no token", "write the token before its tag", line=line)
    elif encoding.num_bad and "\ufffd" in token:
        raise FlawError(
            Flaw.DAMAGED_TEXT,
            f"token {token!r} holds bytes of another encoding",
            "save the whole file as UTF-8",
            line=line,
        )
    if columns.tag >= 0 and not cells[columns.tag].strip():
        raise FlawError(Flaw.TAG, f"no tag for {token!r}", "write its tag, or O", line=line)
