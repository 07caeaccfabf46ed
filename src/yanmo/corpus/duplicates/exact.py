"""Exact copies of documents, and passages that stand in too many of them.

A document is known by a digest that white space does not change. A passage (a paragraph, or a line) that
stands in more than a few documents is boilerplate: a footer, a disclaimer, a quoted mail. Its first few
documents keep it and the others lose it, as edits (Wenzek et al. 2020, arXiv 1911.00359, section 3.1, drop
every repeated paragraph; Lee et al. 2022, arXiv 2107.06499, every repeated stretch of 50 tokens but one).

By default these are paragraphs of 200 characters or more in more than three documents: nobody writes so long
a passage twice, and three copies are no harm. Lines are not looked at: short ones ("Yes.", "}") are repeated
for good reason, and without them a text breaks.
"""

from __future__ import annotations

import enum
import hashlib
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

import duckdb
import numpy as np
import numpy.typing as npt

from yanmo.corpus.edits import Edit
from yanmo.errors import InputError


class Passage(enum.StrEnum):
    """What is compared."""

    PARAGRAPH = "paragraph"
    LINE = "line"


# One line break ends a line; blank lines end a paragraph.
_BORDERS = {Passage.LINE: re.compile(r"\n"), Passage.PARAGRAPH: re.compile(r"\n(?:[ \t\r\f\v]*\n)+")}


@dataclass(frozen=True, kw_only=True)
class RepeatSettings:
    """Which passages are boilerplate."""

    passage: Passage = Passage.PARAGRAPH
    min_chars: int = 200
    """Shorter passages may be repeated; for lines 30 is a good value."""
    most_documents: int = 3
    """So many documents keep a passage; the others lose it."""

    def __post_init__(self) -> None:
        """Refuse values that mean nothing."""
        if self.min_chars < 1 or self.most_documents < 1:
            raise InputError("min_chars and most_documents must be 1 or more")


@dataclass(frozen=True, kw_only=True)
class Lines:
    """The passages of a text that are long enough to be compared.

    Attributes:
        digests: 64 bits of each.
        starts, ends: where it is, with the border that follows it.
    """

    digests: npt.NDArray[np.uint64]
    starts: npt.NDArray[np.int64]
    ends: npt.NDArray[np.int64]


def document_digest(text: str) -> bytes:
    """16 bytes that two texts share only if they are the same up to white space."""
    return _digest(text, 16)


def line_digests(text: str, settings: RepeatSettings = RepeatSettings()) -> Lines:
    """The passages of a text with their digests, in order."""
    found = [
        (int.from_bytes(_digest(text[start:end], 8), "little"), start, end)
        for start, end in _passages(text, settings.passage)
        if end - start >= settings.min_chars and len(text[start:end].strip()) >= settings.min_chars
    ]
    digests, starts, ends = zip(*found, strict=True) if found else ((), (), ())
    return Lines(
        digests=np.array(digests, np.uint64), starts=np.array(starts, np.int64), ends=np.array(ends, np.int64)
    )


def drop_lines(text: str, doomed: Collection[int], settings: RepeatSettings = RepeatSettings()) -> list[Edit]:
    """The edits that take the passages with these digests out of a text."""
    if not doomed:
        return []
    lines = line_digests(text, settings)
    wanted = np.isin(lines.digests, np.fromiter(doomed, np.uint64, len(doomed)))
    spans = zip(lines.starts[wanted].tolist(), lines.ends[wanted].tolist(), strict=True)
    return [Edit(start, end, "") for start, end in spans]


def mark_repeated(
    connection: duckdb.DuckDBPyConnection,
    *,
    settings: RepeatSettings = RepeatSettings(),
    lines: str = "lines",
    out: str = "repeated",
) -> int:
    """Write which documents lose which passages.

    Args:
        connection: the database.
        settings: those of ``line_digests``.
        lines: table or view of ``seq`` BIGINT, ``digest`` UBIGINT and ``strictness`` INTEGER: of the
            documents with a passage the strictest keep it, of these those with the lowest ``seq``.
        out: the table to write, replaced where it exists: ``seq``, ``digest``.

    Returns:
        How many different passages are repeated too often.
    """
    connection.execute(
        f"""
        CREATE OR REPLACE TABLE {out} AS
        WITH often AS (
            SELECT digest FROM {lines} GROUP BY digest HAVING count(DISTINCT seq) > {settings.most_documents}
        ), places AS (
            SELECT seq, digest, row_number() OVER (
                PARTITION BY digest ORDER BY max(strictness) DESC, seq
            ) AS place
            FROM {lines} SEMI JOIN often USING (digest) GROUP BY seq, digest
        )
        SELECT seq, digest FROM places WHERE place > {settings.most_documents} ORDER BY seq, digest
        """
    )
    found = connection.execute(f"SELECT count(DISTINCT digest) FROM {out}").fetchone()
    return int(found[0]) if found else 0


def _digest(text: str, num_bytes: int) -> bytes:
    plain = " ".join(text.split()).encode("utf-8", "surrogatepass")
    return hashlib.blake2b(plain, digest_size=num_bytes).digest()


def _passages(text: str, passage: Passage) -> Iterator[tuple[int, int]]:
    start = 0
    for border in _BORDERS[passage].finditer(text):
        yield start, border.end()
        start = border.end()
    if start < len(text):
        yield start, len(text)
