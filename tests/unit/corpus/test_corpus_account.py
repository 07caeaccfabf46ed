"""The account of a corpus: counted once, the same for everybody, and without what was masked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import duckdb
import pytest
from corpus_planted import FOOTER, NUM_CHINESE, NUM_MAILS, NUM_NEAR, NUM_ROWS, NUM_SAME, SECRETS, plant

from yanmo.corpus import account as account_module
from yanmo.corpus.account import account, one_line
from yanmo.corpus.build import build_corpus
from yanmo.corpus.settings import CorpusSettings, DuplicateSettings
from yanmo.corpus.split import SplitBy
from yanmo.corpus.staging import COLUMNS
from yanmo.corpus.store import Corpus, CorpusSummary
from yanmo.corpus.tally import Tally


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> CorpusSummary:
    folder = tmp_path_factory.mktemp("account")
    settings = CorpusSettings(split=SplitBy.DOCUMENTS)
    return build_corpus(plant(folder / "in"), folder / "corpus", settings=settings, num_workers=0)


def by(rows: list[dict[str, Any]], key: str) -> dict[Any, dict[str, Any]]:
    assert len({row[key] for row in rows}) == len(rows)
    return {row[key]: row for row in rows}


def test_languages_sources_and_kinds_each_add_up_to_the_whole(made: CorpusSummary) -> None:
    for key in ("languages", "sources", "kinds"):
        rows = made.account[key]
        assert sum(row["num_documents"] for row in rows) == made.num_documents, key
        assert sum(row["num_bytes"] for row in rows) == made.num_bytes, key
        assert sum(row["num_refused"] for row in rows) == sum(made.rejected.values()), key
        assert [row["num_bytes"] for row in rows] == sorted((row["num_bytes"] for row in rows), reverse=True)
    languages, sources, kinds = (by(made.account[key], "name") for key in ("languages", "sources", "kinds"))
    assert languages["zh"]["num_documents"] == sources["中文"]["num_documents"] == NUM_CHINESE
    assert set(sources) == {"mails", "中文", "notes", "logs"}
    assert sources["notes"]["num_refused"] == NUM_NEAR - 1 + NUM_SAME - 1
    assert (kinds["csv"]["num_documents"], kinds["jsonl"]["num_documents"]) == (NUM_ROWS, NUM_ROWS)
    assert kinds["bin"]["num_refused"] == 1


def test_refusals_have_examples_by_reason_and_rule(made: CorpusSummary) -> None:
    refused = made.account["refused"]
    assert {row["reason"]: row["num_items"] for row in refused} == made.rejected
    rows = by(refused, "reason")
    assert rows["poor quality"]["rule"].startswith("lenient.")
    assert rows["poor quality"]["examples"][0]["detail"].startswith(rows["poor quality"]["rule"] + " ")
    near = rows["near duplicate"]["examples"]
    assert [example["source"] for example in near] == [f"notes/near{n}.txt" for n in (1, 2, 3)]
    assert {example["detail"] for example in near} == {"like notes/near0.txt"}
    assert rows["ragged row"]["examples"][0]["text"] == "1,2,3,write to [EMAIL]"
    assert all(len(example["text"]) <= 201 for row in refused for example in row["examples"])
    assert all(len(example["id"]) == 32 for row in refused for example in row["examples"])


def test_what_is_personal_is_counted_and_shown_nowhere(made: CorpusSummary) -> None:
    found = by(made.account["personal"], "kind")
    assert found["email"] == {"kind": "email", "num_found": NUM_MAILS + 1, "action": "mask"}
    assert found["phone"]["num_found"] == NUM_MAILS
    rows = duckdb.execute(f"SELECT text FROM '{made.path}/rejected.parquet'").fetchall()
    refused = "\n".join(text for (text,) in rows)
    assert "write to [EMAIL]" in refused
    for secret in SECRETS:
        for name in ("corpus.json", "report.html"):
            assert secret not in (made.path / name).read_text(encoding="utf-8"), (secret, name)
        assert secret not in refused


def test_lengths_are_of_all_that_was_read_and_of_what_is_kept(made: CorpusSummary) -> None:
    rows = made.account["lengths"]
    assert sum(row["num_kept"] for row in rows) == made.num_documents
    without_text = made.rejected["binary"]
    read = made.num_documents + sum(made.rejected.values()) - without_text
    assert sum(row["num_read"] for row in rows) == read
    texts = [text for split in made.splits for text in Corpus.open(made.path).texts(split)]
    for row in rows:
        low = row["min_chars"]
        assert row["num_kept"] == sum(low <= len(text) < 2 * low for text in texts)
    # Refused documents count with their whole length.
    assert by(rows, "min_chars")[4096]["num_read"] == 1


def test_repeated_paragraphs_copies_and_clusters_are_named(made: CorpusSummary) -> None:
    passages = made.account["passages"]
    assert passages["num_passages"] == 2
    assert passages["num_taken_out"] == NUM_MAILS - 3 + NUM_CHINESE - 3
    assert [one["num_documents"] for one in passages["most"]] == [NUM_MAILS, NUM_CHINESE]
    assert passages["most"][0]["text"] == one_line(FOOTER, 120)
    (copy,) = made.account["copies"]
    assert (copy["source"], copy["num_copies"]) == ("notes/same0.txt", NUM_SAME - 1)
    clusters = made.account["clusters"]
    assert (clusters["num_clusters"], clusters["num_documents"]) == (1, NUM_NEAR)
    (cluster,) = clusters["largest"]
    assert (cluster["num_documents"], cluster["num_dropped"], cluster["num_files"]) == (5, 4, 5)
    assert 0.9 < cluster["similarity"][0] < cluster["similarity"][1] <= 1
    assert cluster["members"][0]["source"] == "notes/near0.txt"


def test_the_account_is_kept_and_an_older_corpus_opens_without(made: CorpusSummary, tmp_path: Path) -> None:
    assert Corpus.open(made.path).summary.account == made.account
    file = tmp_path / "corpus.json"
    value = json.loads((made.path / "corpus.json").read_text(encoding="utf-8"))
    del value["account"]
    file.write_text(json.dumps(value))
    (tmp_path / "yanmo.json").write_text('{"kind": "corpus", "details": {}, "files": {}}')
    assert Corpus.open(tmp_path).summary.account == {}


def staged(rows: list[tuple[str, str]]) -> duckdb.DuckDBPyConnection:
    """A database as the second pass leaves it, of documents with these sources and languages."""
    connection = duckdb.connect(":memory:")
    for name in ("documents", "refused"):
        connection.execute(f"CREATE TABLE {name} ({COLUMNS[name]})")
    connection.execute(
        "CREATE TABLE facts (seq BIGINT, source VARCHAR, language VARCHAR,"
        " num_bytes BIGINT, num_chars BIGINT)"
    )
    connection.execute("CREATE TABLE dropped (seq BIGINT, reason VARCHAR, kept BIGINT)")
    connection.executemany(
        "INSERT INTO facts VALUES (?, ?, ?, ?, 10)",
        [(seq, source, language, 10 + seq) for seq, (source, language) in enumerate(rows)],
    )
    return connection


def test_what_is_not_named_is_summed_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(account_module, "MAX_NAMES", 2)
    connection = staged([(f"{name}/x.txt.gz", "") for name in "abcde"] + [("f.tar.gz/y/z#row=1/2", "de")])
    settings = CorpusSettings(duplicates=DuplicateSettings(near=0, together=0, passages=False))
    found = account(connection, Tally(), settings, written="facts")
    assert [row["name"] for row in found["sources"]] == ["f.tar.gz", "e", None]
    assert found["sources"][-1] == {
        "name": None,
        "num_names": 4,
        "num_documents": 4,
        "num_bytes": 10 + 11 + 12 + 13,
        "num_refused": 0,
    }
    assert [(row["name"], row["num_documents"]) for row in found["kinds"]] == [("txt", 5), ("", 1)]
    assert found["passages"] is None
    assert found["clusters"] is None


def test_a_line_is_cut_with_a_sign() -> None:
    assert one_line("a\n\n b", 3) == "a b"
    assert one_line("a b c d", 3) == "a b…"
    assert one_line("字" * 300) == "字" * 200 + "…"
    assert one_line(" " * 500 + "x", 3) == "…"
