"""What a corpus is, in numbers and examples: what it holds, what was refused, what stood in it twice.

Counted by SQL in the database of the second pass, before that goes; examples are the first of their kind. So
memory stays what it is, and the account is the same whoever read the files. Every text shown has been
masked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import duckdb

from yanmo.corpus.document import Reason
from yanmo.corpus.duplicates.exact import RepeatSettings, line_digests
from yanmo.corpus.personal.settings import Kind, PersonalSettings
from yanmo.corpus.settings import CorpusSettings
from yanmo.corpus.staging import fetch_one
from yanmo.corpus.tally import Tally

MAX_NAMES, MAX_EXAMPLES, EXAMPLE_CHARS = 30, 3, 200
_MAX_PASSAGES, _PASSAGE_CHARS = 20, 120
_MAX_CLUSTERS = 10
_FETCH_ROWS = 10_000

_PATH = "split_part(source, '#', 1)"
_NAMES = {
    "languages": "language",
    "sources": f"split_part({_PATH}, '/', 1)",
    # Of the file, or the member of an archive, below what compresses it.
    "kinds": (
        f"regexp_extract(regexp_replace(lower({_PATH}), '\\.(gz|bz2|xz|zst)$', ''),"
        " '[^/]\\.([a-z0-9_]{1,10})$', 1)"
    ),
}


def account(
    connection: duckdb.DuckDBPyConnection, tally: Tally, settings: CorpusSettings, *, written: str = "places"
) -> dict[str, Any]:
    """Count what the second pass knows.

    Args:
        connection: its database, when all is decided.
        tally: what the first pass counted.
        settings: of the corpus.
        written: the table of what is written: ``places``, or ``facts`` where nothing was divided.

    Returns:
        Plain values:
        - ``languages``, ``sources`` (first folders or files) and ``kinds`` (suffixes): rows of ``name``,
          ``num_documents``, ``num_bytes`` and ``num_refused``, the largest first; what the last row, whose
          name is None, sums up are ``num_names`` further ones.
        - ``refused``: rows of ``reason``, ``rule`` (empty but for quality), ``num_items`` and ``examples``.
        - ``personal``: rows of ``kind``, ``num_found`` and ``action``.
        - ``lengths``: rows of ``min_chars`` (a power of two, up to the next), ``num_read`` and ``num_kept``,
          in documents before any is cut or repeated.
        - ``passages``: how many different ones were too frequent, how often one was taken out, the most
          frequent.
        - ``copies``: documents that many others are equal to.
        - ``clusters``: of near duplicates, the largest with two of their members.
    """
    duplicates = settings.duplicates
    return {
        **{key: _ranking(connection, name, written) for key, name in _NAMES.items()},
        "refused": _refused(connection),
        "personal": _personal(tally.of("personal"), settings.personal),
        "lengths": _lengths(connection),
        "passages": _passages(connection, duplicates.repeats) if duplicates.passages else None,
        "copies": _copies(connection),
        "clusters": _clusters(connection, duplicates.near) if duplicates.signing() else None,
    }


def one_line(text: str, limit: int = EXAMPLE_CHARS) -> str:
    """The beginning of a text without its line breaks."""
    line = " ".join(text[: 2 * limit].split())
    return line if len(line) <= limit and len(text) <= 2 * limit else f"{line[:limit].rstrip()}…"


def _ranking(connection: duckdb.DuckDBPyConnection, name: str, written: str) -> list[dict[str, Any]]:
    cursor = connection.cursor().execute(
        f"SELECT {name} AS name, sum(kept)::BIGINT AS documents, sum(num_bytes)::BIGINT AS bytes,"
        " count(*) - documents AS refused FROM ("
        f" SELECT source, language, num_bytes, 1 AS kept FROM (SELECT seq, num_bytes FROM {written})"
        " JOIN (SELECT seq, source, language FROM facts) USING (seq)"
        " UNION ALL SELECT source, language, 0, 0 FROM refused"
        " UNION ALL SELECT source, language, 0, 0 FROM documents SEMI JOIN dropped USING (seq))"
        " GROUP BY name ORDER BY bytes DESC, refused DESC, name"
    )
    keys = ("name", "num_documents", "num_bytes", "num_refused")
    named = [dict(zip(keys, row, strict=True)) for row in cursor.fetchmany(MAX_NAMES)]
    others: dict[str, Any] = {"name": None, "num_names": 0, **dict.fromkeys(keys[1:], 0)}
    while rows := cursor.fetchmany(_FETCH_ROWS):
        others["num_names"] += len(rows)
        for row in rows:
            for key, value in zip(keys[1:], row[1:], strict=True):
                others[key] += value
    return [*named, others] if others["num_names"] else named


def _refused(connection: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
    detail = "coalesce(json_extract_string(meta, '$.detail'), '')"
    groups = connection.execute(
        f"SELECT reason, rule, count(*) AS items, min(seq, {MAX_EXAMPLES}) FROM (SELECT seq, reason,"
        f" CASE reason WHEN '{Reason.QUALITY}' THEN split_part({detail}, ' ', 1) ELSE '' END AS rule"
        " FROM refused UNION ALL SELECT seq, reason, '' FROM dropped)"
        " GROUP BY reason, rule ORDER BY items DESC, reason, rule"
    ).fetchall()
    columns = f"id, source, detail, substr(text, 1, {2 * EXAMPLE_CHARS + 1})"
    found = connection.execute(
        f"SELECT seq, {columns} FROM (SELECT seq, id, source, {detail} AS detail, text FROM refused"
        " UNION ALL SELECT documents.seq, documents.id, documents.source, 'like ' || twin.source, text"
        " FROM documents JOIN dropped USING (seq) JOIN (SELECT seq, source FROM documents) twin"
        f" ON twin.seq = kept) WHERE {_is_one_of([seq for *_, seqs in groups for seq in seqs])}"
    ).fetchall()
    examples = {
        seq: {"id": id_, "source": source, "detail": told, "text": one_line(text)}
        for seq, id_, source, told, text in found
    }
    return [
        {"reason": reason, "rule": rule, "num_items": count, "examples": [examples[seq] for seq in seqs]}
        for reason, rule, count, seqs in groups
    ]


def _personal(found: Mapping[str, int], settings: PersonalSettings) -> list[dict[str, Any]]:
    ordered = sorted(found.items(), key=lambda item: (-item[1], item[0]))
    return [
        {"kind": kind, "num_found": count, "action": settings.action_for(Kind(kind)).value}
        for kind, count in ordered
    ]


def _lengths(connection: duckdb.DuckDBPyConnection) -> list[dict[str, int]]:
    rows = connection.execute(
        "SELECT floor(log2(num_chars))::INTEGER AS power, sum(read)::BIGINT, sum(kept)::BIGINT FROM ("
        " SELECT num_chars, 1 AS read, 0 AS kept FROM documents"
        " UNION ALL SELECT num_chars, 1, 0 FROM refused UNION ALL SELECT num_chars, 0, 1 FROM facts)"
        " WHERE num_chars > 0 GROUP BY power ORDER BY power"
    ).fetchall()
    return [{"min_chars": 1 << power, "num_read": read, "num_kept": kept} for power, read, kept in rows]


def _passages(connection: duckdb.DuckDBPyConnection, settings: RepeatSettings) -> dict[str, Any]:
    different, taken_out = fetch_one(connection, "SELECT count(DISTINCT digest), count(*) FROM repeated")
    rows = connection.execute(
        "SELECT digest, count(*) AS lost, min(seq) AS first FROM repeated GROUP BY digest"
        f" ORDER BY lost DESC, first, digest LIMIT {_MAX_PASSAGES}"
    ).fetchall()
    most = []
    for digest, lost, first in rows:
        (whole,) = fetch_one(connection, f"SELECT text FROM documents WHERE seq = {first}")
        found = line_digests(whole, settings)
        place = found.digests.tolist().index(digest)
        text = whole[int(found.starts[place]) : int(found.ends[place])]
        # Those that lost it, and those that keep it.
        number = lost + settings.most_documents
        most.append({"text": one_line(text, _PASSAGE_CHARS), "num_documents": number})
    return {"num_passages": different, "num_taken_out": taken_out, "most": most}


def _copies(connection: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
    rows = connection.execute(
        "SELECT kept, count(*) AS copies FROM dropped WHERE seq != kept AND reason = ? GROUP BY kept"
        f" ORDER BY copies DESC, kept LIMIT {_MAX_CLUSTERS}",
        [Reason.DUPLICATE.value],
    ).fetchall()
    members = _members(connection, [kept for kept, _ in rows])
    return [{**members[kept], "num_copies": copies} for kept, copies in rows]


def _clusters(connection: duckdb.DuckDBPyConnection, dropped_from: float) -> dict[str, Any]:
    clusters, documents = fetch_one(connection, "SELECT count(DISTINCT cluster), count(*) FROM near")
    rows = connection.execute(
        "SELECT cluster, count(*) AS documents,"
        " count(*) FILTER (seq != representative AND ? > 0 AND similarity >= ?),"
        " min(similarity) FILTER (seq != representative), max(similarity) FILTER (seq != representative)"
        f" FROM near GROUP BY cluster ORDER BY documents DESC, cluster LIMIT {_MAX_CLUSTERS}",
        [dropped_from, dropped_from],
    ).fetchall()
    largest = []
    for cluster, count, dropped, *similarities in rows:
        # The one that is kept first, and the one least like what is kept for it.
        pair = connection.execute(
            "(SELECT seq FROM near WHERE seq = $1) UNION ALL (SELECT seq FROM near WHERE cluster = $1"
            " AND seq != $1 ORDER BY seq = representative, similarity, seq LIMIT 1)",
            [cluster],
        ).fetchall()
        members = _members(connection, [seq for (seq,) in pair])
        (files,) = fetch_one(
            connection,
            f"SELECT count(DISTINCT {_PATH}) FROM documents SEMI JOIN"
            f" (SELECT seq FROM near WHERE cluster = {cluster}) USING (seq)",
        )
        entry = {
            "num_documents": count,
            "num_dropped": dropped,
            "num_files": files,
            "similarity": [round(value, 3) for value in similarities if value is not None],
            "members": [members[seq] for (seq,) in pair],
        }
        largest.append(entry)
    return {"num_clusters": clusters, "num_documents": documents, "largest": largest}


def _members(connection: duckdb.DuckDBPyConnection, seqs: Sequence[int]) -> dict[int, dict[str, Any]]:
    rows = connection.execute(
        f"SELECT seq, id, source, substr(text, 1, {2 * EXAMPLE_CHARS + 1}) FROM documents"
        f" WHERE {_is_one_of(seqs)}"
    ).fetchall()
    return {seq: {"id": id_, "source": source, "text": one_line(text)} for seq, id_, source, text in rows}


def _is_one_of(seqs: Sequence[int]) -> str:
    """SQL that is compared with the statistics of the files, so that few of their texts are read."""
    return f"seq IN ({', '.join(map(str, seqs))})" if seqs else "false"
