"""The second pass: what must see all documents at once, in a database on disk.

Duplicates across everything, then the split of each document and its copies (``places``), then the files
(``shards``). Texts stay in the files of the first pass and are read again where they are needed.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb

from yanmo.artifact import disk_error
from yanmo.corpus.account import account
from yanmo.corpus.document import Document, Reason, make_document
from yanmo.corpus.duplicates.clusters import together
from yanmo.corpus.duplicates.embedding import Embed, EmbeddingSettings, find_same_meaning
from yanmo.corpus.duplicates.exact import RepeatSettings, drop_lines, mark_repeated
from yanmo.corpus.duplicates.near import find_near
from yanmo.corpus.edits import Alignment, Edit, apply_edits
from yanmo.corpus.places import StagedPool, cut, names_that_hold_out, place, weigh
from yanmo.corpus.settings import CorpusSettings, DuplicateSettings
from yanmo.corpus.shards import write_alignments, write_refused, write_shards
from yanmo.corpus.split import FEW_DOCUMENTS, Division, Split, SplitBy, divide
from yanmo.corpus.staging import COLUMNS, fetch_one, insert, storage_error
from yanmo.corpus.tally import Tally
from yanmo.reporting.progress import say

_FETCH_ROWS, _TEXTS_AT_ONCE = 10_000, 1000
# A copy that a name holds out is kept before one to train on, a test's before one that validates.
_STRICTNESS = "CASE named WHEN 'test' THEN 2 WHEN 'valid' THEN 1 ELSE 0 END"
_COLUMNS = "id, text, source, language, meta"


class Gathering:
    """All documents of the first pass, and what is decided about them."""

    def __init__(self, parts: Path, *, memory_bytes: int, threads: int) -> None:
        """Read everything but the texts.

        Args:
            parts: folder of the first pass.
            memory_bytes: that the database may use; what is more lies on disk.
            threads: that it may use.

        Raises:
            YanmoError: the disk is full.
        """
        self._parts, self._path = parts, parts / "gathering.duckdb"
        self._remove()
        config: dict[str, str | bool | int | float | list[str]] = {
            "threads": threads,
            "memory_limit": f"{memory_bytes // 2**20}MiB",
            "temp_directory": str(parts / "spill"),
            "preserve_insertion_order": True,
        }
        with self._storage():
            self.connection = duckdb.connect(str(self._path), config=config)
            for name in ("documents", "refused"):
                files = sorted(parts.glob(f"{name}-*.parquet"))
                self.connection.execute(_view(name, files))
            self.connection.execute(
                "CREATE TABLE facts AS SELECT seq, id, source, language, named, num_bytes, num_chars, digest,"
                " seq AS cluster FROM documents ORDER BY seq"
            )
            self.connection.execute(
                "CREATE TABLE dropped (seq BIGINT, reason VARCHAR, kept BIGINT, similarity DOUBLE)"
            )
            self.connection.execute(
                "CREATE TABLE shortened (seq BIGINT, id VARCHAR, text VARCHAR, stretches BIGINT[])"
            )
            self.connection.execute(
                "CREATE VIEW texts AS SELECT documents.seq, coalesce(shortened.id, documents.id) AS id,"
                " coalesce(shortened.text, documents.text) AS text, source, language, meta,"
                " coalesce(shortened.stretches, documents.stretches) AS stretches"
                " FROM documents LEFT JOIN shortened USING (seq)"
            )
            self.connection.execute(
                "CREATE TABLE pieces (seq BIGINT, piece INTEGER, split VARCHAR, num_bytes BIGINT,"
                " num_chars BIGINT, id VARCHAR, text VARCHAR, source VARCHAR, language VARCHAR, meta VARCHAR,"
                " stretches BIGINT[])"
            )

    @property
    def num_documents(self) -> int:
        """How many have not been dropped."""
        (count,) = fetch_one(self.connection, "SELECT count(*) FROM facts")
        return int(count)

    def close(self) -> None:
        """Close and remove the database."""
        with contextlib.suppress(duckdb.Error):
            self.connection.close()
        self._remove()

    def drop_copies(self, settings: DuplicateSettings, embed: Embed | None = None) -> None:
        """Drop what is said again: equal documents, near ones, those of one meaning, and paragraphs."""
        self.drop_equal()
        self.drop_near(settings)
        if embed is not None:
            self.drop_same_meaning(embed, settings)
        if settings.passages:
            self.take_out_repeats(settings.repeats)

    def drop_equal(self) -> None:
        """Keep one of the documents with equal texts: the strictest, else the first."""
        order = f"{_STRICTNESS} DESC, seq"
        with self._storage():
            self.connection.execute(
                "INSERT INTO dropped"
                f" SELECT seq, {_reason('named', 'kept_named', Reason.DUPLICATE)}, kept, NULL FROM ("
                f" SELECT seq, named, first(seq) OVER same AS kept, first(named) OVER same AS kept_named"
                f" FROM facts WINDOW same AS (PARTITION BY digest ORDER BY {order}))"
                " WHERE seq != kept ORDER BY seq"
            )
            self._forget_dropped()

    def drop_near(self, settings: DuplicateSettings) -> None:
        """Drop near duplicates; of what is less near, but near, let all share a split."""
        signing = settings.signing()
        if signing is None:
            return
        with self._storage():
            self.connection.execute(
                f"CREATE OR REPLACE VIEW signatures AS SELECT facts.seq, signature, {_STRICTNESS} AS"
                " strictness FROM facts JOIN (SELECT seq, signature FROM documents) USING (seq)"
            )
            find_near(self.connection, self._texts, settings=signing, scratch=self._parts)
            if settings.near:
                self._drop_like("near", Reason.NEAR_DUPLICATE, settings.near)
            if settings.together:
                self.connection.execute(
                    "UPDATE facts SET cluster = near.cluster FROM near WHERE facts.seq = near.seq"
                )

    def drop_same_meaning(self, embed: Embed, settings: DuplicateSettings) -> None:
        """Drop documents that mean the same as another; let those that are near share a split."""
        with self._storage():
            self.connection.execute(
                f"CREATE OR REPLACE VIEW candidates AS SELECT seq, {_STRICTNESS} AS strictness FROM facts"
            )
            find_same_meaning(
                self.connection,
                embed,
                self._texts,
                scratch=self._parts,
                settings=EmbeddingSettings(cosine=settings.cosine),
                documents="candidates",
                out="meaning",
            )
            if settings.together:
                pairs = self.connection.execute(
                    "SELECT one.cluster, other.cluster FROM meaning JOIN facts one ON one.seq = meaning.seq"
                    " JOIN facts other ON other.seq = meaning.cluster WHERE one.cluster != other.cluster"
                ).fetchall()
                self._join_clusters(together(pairs))
            self._drop_like("meaning", Reason.SAME_MEANING, settings.cosine)

    def _drop_like(self, table: str, reason: Reason, least: float) -> None:
        """Drop what another document stands for in a table of ``write_clusters``."""
        self.connection.execute(
            f"INSERT INTO dropped SELECT found.seq, {_reason('one.named', 'other.named', reason)},"
            f" representative, similarity FROM {table} found JOIN facts one ON one.seq = found.seq"
            " JOIN facts other ON other.seq = found.representative"
            " WHERE found.seq != representative AND similarity >= ? ORDER BY found.seq",
            [least],
        )
        self._forget_dropped()

    def _join_clusters(self, moved: Mapping[int, int]) -> None:
        self.connection.execute("CREATE OR REPLACE TEMPORARY TABLE moved (cluster BIGINT, lowest BIGINT)")
        insert(self.connection, "moved", list(moved.items()))
        self.connection.execute(
            "UPDATE facts SET cluster = lowest FROM moved WHERE facts.cluster = moved.cluster"
        )

    def take_out_repeats(self, settings: RepeatSettings) -> int:
        """Take the paragraphs that stand in many documents out of all but the first.

        Returns:
            How many different paragraphs there are.
        """
        with self._storage():
            self.connection.execute(
                "CREATE OR REPLACE VIEW lines AS SELECT seq, unnest(lines) AS digest, strictness"
                f" FROM documents JOIN (SELECT seq, {_STRICTNESS} AS strictness FROM facts) USING (seq)"
            )
            num_repeated = mark_repeated(self.connection, settings=settings)
            rows = self.connection.cursor().execute(
                "SELECT seq, list(digest) FROM repeated GROUP BY seq ORDER BY seq"
            )
            while batch := rows.fetchmany(_TEXTS_AT_ONCE):
                doomed = dict(batch)
                shortened = [
                    _shortened(seq, document, alignment, drop_lines(document.text, doomed[seq], settings))
                    for seq, document, alignment in self.documents(doomed)
                ]
                insert(self.connection, "shortened", shortened)
            self.connection.execute(
                "UPDATE facts SET id = shortened.id, num_bytes = strlen(text), num_chars = length(text)"
                " FROM shortened WHERE facts.seq = shortened.seq"
            )
            self.connection.execute(
                f"INSERT INTO dropped SELECT seq, '{Reason.DUPLICATE}', seq, NULL FROM shortened"
                " WHERE trim(text, ' ' || chr(9) || chr(10)) = '' ORDER BY seq"
            )
            self._forget_dropped()
        return num_repeated

    def divide(
        self,
        *,
        by: SplitBy,
        valid_fraction: float,
        test_fraction: float,
        seed: int,
        weights: Mapping[str, float],
    ) -> Division:
        """Give every document its split; long ones are cut into pieces.

        Raises:
            InputError: there is too little text.
        """
        with self._storage():
            self._part_few_groups()
            named, takes_names = names_that_hold_out(self.connection, by)
            pool = StagedPool(self.connection, takes_names)
            division = divide(
                pool, named, by=by, valid_fraction=valid_fraction, test_fraction=test_fraction, seed=seed
            )
            for seq, document, alignment in self.documents(division.cut):
                cut(self.connection, seq, document, alignment, division.cut[seq])
            place(self.connection, division)
            if weights:
                weigh(self.connection, weights, seed)
        return division

    def _part_few_groups(self) -> None:
        """Give up keeping like documents together where hardly anything else is there to hold out."""
        num_groups, num_documents = fetch_one(
            self.connection, "SELECT count(DISTINCT cluster), count(*) FROM facts"
        )
        if num_groups < FEW_DOCUMENTS <= num_documents:
            say(f"the {num_documents:,} documents are so alike that splits may hold near duplicates")
            self.connection.execute("UPDATE facts SET cluster = seq")

    def documents(self, seqs: Collection[int]) -> Iterator[tuple[int, Document, Alignment]]:
        """Some documents as they stand now, with their alignments, in order."""
        cursor = self.connection.cursor().execute(
            f"SELECT {_COLUMNS}, stretches, seq FROM texts"
            " WHERE seq IN (SELECT unnest(?::BIGINT[])) ORDER BY seq",
            [list(seqs)],
        )
        while row := cursor.fetchone():
            yield row[6], read_document(row), read_alignment(row[5])

    def _texts(self, seqs: Sequence[int]) -> Iterator[tuple[int, str]]:
        cursor = self.connection.cursor().execute(
            "SELECT seq, text FROM documents WHERE seq IN (SELECT unnest(?::BIGINT[]))",
            [[int(seq) for seq in seqs]],
        )
        while row := cursor.fetchone():
            yield row[0], row[1]

    def write(self, folder: Path) -> None:
        """Write the shards of all splits, the refusals, and the alignments."""
        with self._storage():
            write_shards(self.connection, folder)
            write_refused(self.connection, folder)
            write_alignments(self.connection, folder)

    def written(self) -> Iterator[tuple[str, str, int, int]]:
        """Split, id, bytes and characters of every document that is written, in order."""
        cursor = self.connection.cursor().execute(
            "SELECT split, id, num_bytes, num_chars FROM places ORDER BY seq, piece, copy"
        )
        while rows := cursor.fetchmany(_FETCH_ROWS):
            yield from rows

    def reasons(self) -> Mapping[str, int]:
        """How many documents were refused by reason, in both passes."""
        return dict(
            self.connection.execute(
                "SELECT reason, count(*) FROM (SELECT reason FROM refused"
                " UNION ALL SELECT reason FROM dropped) GROUP BY reason ORDER BY reason"
            ).fetchall()
        )

    def account(self, tally: Tally, settings: CorpusSettings, *, written: str = "places") -> dict[str, Any]:
        """What the corpus is; arguments as of ``account.account``."""
        with self._storage():
            return account(self.connection, tally, settings, written=written)

    def _forget_dropped(self) -> None:
        self.connection.execute("DELETE FROM facts WHERE seq IN (SELECT seq FROM dropped)")

    def _remove(self) -> None:
        for leftover in self._parts.glob(f"{self._path.name}*"):
            leftover.unlink()

    @contextlib.contextmanager
    def _storage(self) -> Iterator[None]:
        try:
            yield
        except duckdb.Error as error:
            raise storage_error(error, self._parts) from error
        except OSError as error:
            raise disk_error(error, self._parts) from error


def read_document(row: tuple[Any, ...]) -> Document:
    """A document from its five columns."""
    id_, text, source, language, meta = row[:5]
    return Document(id=id_, text=text, source=source, language=language, meta=json.loads(meta))


def read_alignment(stretches: list[int]) -> Alignment:
    """An alignment from its numbers, four a stretch."""
    return Alignment.from_json(stretches[place : place + 4] for place in range(0, len(stretches), 4))


def _shortened(
    seq: int, document: Document, alignment: Alignment, edits: list[Edit]
) -> tuple[int, str, str, list[int]]:
    """The row of a document that lost some paragraphs."""
    text = apply_edits(document.text, edits)
    shorter = make_document(text, document.source, document.meta, document.language)
    return seq, shorter.id, text, [n for stretch in alignment.then(edits).to_json() for n in stretch]


def _view(name: str, files: list[Path]) -> str:
    """The rows of all files of a kind, or none with the right columns."""
    if not files:
        return f"CREATE TABLE {name} ({COLUMNS[name]})"
    listed = ", ".join("'" + str(path).replace("'", "''") + "'" for path in files)
    return f"CREATE VIEW {name} AS SELECT * FROM read_parquet([{listed}])"


def _reason(dropped: str, kept: str, otherwise: Reason) -> str:
    """SQL for why a document goes: its double is held out, or it is merely a double."""
    cases = " ".join(
        f"WHEN {kept} = '{split}' AND {dropped} IS DISTINCT FROM '{split}' THEN '{reason}'"
        for split, reason in ((Split.TEST, Reason.IN_TEST), (Split.VALID, Reason.IN_VALID))
    )
    return f"CASE {cases} ELSE '{otherwise}' END"
