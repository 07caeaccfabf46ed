"""Duplicates in meaning: every pair of vectors compared, the outcome in the form of near duplicates."""

from __future__ import annotations

import duckdb
import numpy as np
import numpy.typing as npt
import pytest

import yanmo.corpus.duplicates.embedding as module
from yanmo.corpus.duplicates.embedding import EmbeddingSettings, find_same_meaning
from yanmo.errors import InputError

VECTORS = {
    "the cat sleeps": (1.0, 0.0, 0.0),
    "猫在睡觉": (8.0, 0.8, 0.0),
    "a cat is asleep": (0.9, 0.2, 0.0),
    "stocks fell": (0.0, 1.0, 0.0),
    "股市下跌": (0.0, 2.0, 0.1),
    "": (0.0, 0.0, 0.0),
    "\n": (0.0, 0.0, 0.0),
}


def embed(texts: list[str]) -> npt.NDArray[np.floating]:
    return np.array([VECTORS[text] for text in texts], np.float64)


def database(strictness: dict[str, int] | None = None) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    connection.execute("CREATE TABLE documents (seq BIGINT, text VARCHAR, strictness INTEGER)")
    rows = [(seq, text, (strictness or {}).get(text, 0)) for seq, text in enumerate(VECTORS)]
    connection.executemany("INSERT INTO documents VALUES (?, ?, ?)", rows)
    return connection


@pytest.mark.parametrize("batch", [1, 2, 64])
def test_texts_of_the_same_meaning_are_found_in_two_languages(batch: int) -> None:
    connection = database()
    settings = EmbeddingSettings(cosine=0.95, batch=batch)
    assert find_same_meaning(connection, embed, settings=settings) == 3
    rows = connection.execute(
        "SELECT seq, cluster, representative, round(similarity, 4) FROM near ORDER BY seq"
    )
    assert rows.fetchall() == [
        (0, 0, 0, 1.0),
        (1, 0, 0, 0.995),
        (2, 0, 0, 0.9762),
        (3, 3, 3, 1.0),
        (4, 3, 3, 0.9988),
    ]


def test_blocks_do_not_change_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    connection = database()
    find_same_meaning(connection, embed)
    whole = connection.execute("SELECT * FROM near").fetchall()
    monkeypatch.setattr(module, "_BLOCK", 2)
    find_same_meaning(connection, embed)
    assert connection.execute("SELECT * FROM near").fetchall() == whole


def test_the_strict_copy_is_kept() -> None:
    connection = database({"股市下跌": 2})
    find_same_meaning(connection, embed)
    assert connection.execute("SELECT representative FROM near WHERE seq = 3").fetchone() == (4,)


@pytest.mark.parametrize("wrong", [np.zeros(7), np.zeros((3, 2)), np.full((7, 2), np.nan), np.zeros((7, 0))])
def test_an_embedder_that_gives_no_rows_is_refused(wrong: npt.NDArray[np.float64]) -> None:
    with pytest.raises(InputError, match="one row of finite numbers"):
        find_same_meaning(database(), lambda _: wrong)


def test_no_documents_are_no_duplicates() -> None:
    connection = database()
    connection.execute("DELETE FROM documents")
    assert find_same_meaning(connection, embed) == 0


@pytest.mark.parametrize("wrong", [{"cosine": 0.0}, {"cosine": 1.5}, {"batch": 0}])
def test_senseless_settings_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(InputError):
        EmbeddingSettings(**wrong)
