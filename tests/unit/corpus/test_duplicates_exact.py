"""Exact copies: digests that white space does not change, and passages that stand in too many documents."""

from __future__ import annotations

import duckdb
import pytest

from yanmo.corpus.duplicates.exact import (
    Passage,
    RepeatSettings,
    document_digest,
    drop_lines,
    line_digests,
    mark_repeated,
)
from yanmo.corpus.edits import apply_edits
from yanmo.errors import InputError

LINES = RepeatSettings(passage=Passage.LINE, min_chars=5, most_documents=2)


@pytest.mark.parametrize(
    ("text", "same"), [(" a  b\n\n", "a\tb"), ("研墨\u3000 三更", "研墨 三更\n"), ("\ud800", "\ud800 ")]
)
def test_white_space_does_not_change_a_document(text: str, same: str) -> None:
    assert document_digest(text) == document_digest(same)
    assert len(document_digest(text)) == 16


@pytest.mark.parametrize(("text", "other"), [("a b", "ab"), ("研墨。", "研墨"), ("Ink", "ink"), ("", "x")])
def test_all_else_does(text: str, other: str) -> None:
    assert document_digest(text) != document_digest(other)


def test_lines_long_enough_have_digests_and_places() -> None:
    text = "a line of text\nno\n   \n  a  line of text \r\n版权所有 翻印必究"
    lines = line_digests(text, LINES)
    assert [text[a:b] for a, b in zip(lines.starts, lines.ends, strict=True)] == [
        "a line of text\n",
        "  a  line of text \r\n",
        "版权所有 翻印必究",
    ]
    assert lines.digests[0] == lines.digests[1] != lines.digests[2]


def test_paragraphs_end_at_blank_lines() -> None:
    text = "one\ntwo\n \t\n\nthree four\n"
    settings = RepeatSettings(passage=Passage.PARAGRAPH, min_chars=7)
    lines = line_digests(text, settings)
    pieces = [text[a:b] for a, b in zip(lines.starts, lines.ends, strict=True)]
    assert pieces == ["one\ntwo\n \t\n\n", "three four\n"]


def test_only_the_named_lines_are_dropped() -> None:
    text = "页眉：某某公司\n研墨三更，灯下写字。\n页眉：某某公司\nThe end of it"
    lines = line_digests(text, LINES)
    edits = drop_lines(text, {int(lines.digests[0])}, LINES)
    assert apply_edits(text, edits) == "研墨三更，灯下写字。\nThe end of it"
    assert drop_lines(text, set(), LINES) == drop_lines(text, {1, 2}, LINES) == []


def test_the_first_few_documents_keep_a_passage_and_the_strict_ones_come_first() -> None:
    connection = duckdb.connect()
    connection.execute("CREATE TABLE lines (seq BIGINT, digest UBIGINT, strictness INTEGER)")
    often, rare = 2**64 - 1, 7
    rows = [(seq, often, 2 if seq == 9 else 0) for seq in (4, 1, 1, 9, 6)] + [
        (1, rare, 0),
        (1, rare, 0),
        (4, rare, 0),
    ]
    connection.executemany("INSERT INTO lines VALUES (?, ?, ?)", rows)
    assert mark_repeated(connection, settings=LINES) == 1
    # 9 is of the test split, then 1 is the first: twice in one document counts once.
    assert connection.execute("SELECT seq, digest FROM repeated").fetchall() == [(4, often), (6, often)]


def test_nothing_repeated_is_an_empty_table() -> None:
    connection = duckdb.connect()
    connection.execute("CREATE TABLE lines (seq BIGINT, digest UBIGINT, strictness INTEGER)")
    assert mark_repeated(connection) == 0
    assert connection.execute("SELECT * FROM repeated").fetchall() == []


def test_senseless_settings_are_refused() -> None:
    with pytest.raises(InputError, match="1 or more"):
        RepeatSettings(min_chars=0)
