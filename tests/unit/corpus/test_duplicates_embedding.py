"""Duplicates in meaning: every pair of vectors compared, the outcome in the form of near duplicates."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import duckdb
import numpy as np
import numpy.typing as npt
import pytest

import yanmo.corpus.duplicates.embedding as module
from yanmo.corpus.duplicates.clusters import together
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


def read(seqs: Sequence[int]) -> Iterable[tuple[int, str]]:
    texts = list(VECTORS)
    return [(seq, texts[seq]) for seq in reversed(seqs)]


def database(strictness: dict[str, int] | None = None) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    connection.execute("CREATE TABLE documents (seq BIGINT, strictness INTEGER)")
    rows = [(seq, (strictness or {}).get(text, 0)) for seq, text in enumerate(VECTORS)]
    connection.executemany("INSERT INTO documents VALUES (?, ?)", rows)
    return connection


@pytest.mark.parametrize("batch", [1, 2, 64])
def test_texts_of_the_same_meaning_are_found_in_two_languages(tmp_path: Path, batch: int) -> None:
    connection = database()
    settings = EmbeddingSettings(cosine=0.95, batch=batch)
    assert find_same_meaning(connection, embed, read, scratch=tmp_path, settings=settings) == 3
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


def test_the_work_is_announced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    find_same_meaning(database(), embed, read, scratch=tmp_path)
    assert "comparing the meaning of 7 documents: 21 pairs" in capsys.readouterr().err


def test_blocks_do_not_change_the_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    connection = database()
    find_same_meaning(connection, embed, read, scratch=tmp_path)
    whole = connection.execute("SELECT * FROM near").fetchall()
    monkeypatch.setattr(module, "_BLOCK", 2)
    find_same_meaning(connection, embed, read, scratch=tmp_path)
    assert connection.execute("SELECT * FROM near").fetchall() == whole


def test_vectors_that_are_there_are_not_made_again(tmp_path: Path) -> None:
    asked: list[str] = []

    def stopped_after_four(texts: list[str]) -> npt.NDArray[np.floating]:
        if len(asked) == 4:
            raise KeyboardInterrupt
        asked.extend(texts)
        return embed(texts)

    settings = EmbeddingSettings(batch=2)
    with pytest.raises(KeyboardInterrupt):
        find_same_meaning(database(), stopped_after_four, read, scratch=tmp_path, settings=settings)

    def going_on(texts: list[str]) -> npt.NDArray[np.floating]:
        assert not set(texts) & set(asked)
        return embed(texts)

    stopped, whole = database(), database()
    find_same_meaning(stopped, going_on, read, scratch=tmp_path, settings=settings)
    (tmp_path / "new").mkdir()
    find_same_meaning(whole, embed, read, scratch=tmp_path / "new", settings=settings)
    results = [found.execute("SELECT * FROM near").fetchall() for found in (stopped, whole)]
    assert results[0] == results[1] != []


def test_the_strict_copy_is_kept(tmp_path: Path) -> None:
    connection = database({"股市下跌": 2})
    find_same_meaning(connection, embed, read, scratch=tmp_path)
    assert connection.execute("SELECT representative FROM near WHERE seq = 3").fetchone() == (4,)


@pytest.mark.parametrize("wrong", [np.zeros(7), np.zeros((3, 2)), np.full((7, 2), np.nan), np.zeros((7, 0))])
def test_an_embedder_that_gives_no_rows_is_refused(tmp_path: Path, wrong: npt.NDArray[np.float64]) -> None:
    with pytest.raises(InputError, match="one row of finite numbers"):
        find_same_meaning(database(), lambda _: wrong, read, scratch=tmp_path)


def test_rows_of_another_length_are_refused(tmp_path: Path) -> None:
    lengths = iter(range(2, 9))
    with pytest.raises(InputError, match="one row of finite numbers"):
        find_same_meaning(
            database(),
            lambda texts: np.ones((len(texts), next(lengths))),
            read,
            scratch=tmp_path,
            settings=EmbeddingSettings(batch=3),
        )


def test_no_documents_are_no_duplicates(tmp_path: Path) -> None:
    connection = database()
    connection.execute("DELETE FROM documents")
    assert find_same_meaning(connection, embed, read, scratch=tmp_path) == 0


@pytest.mark.parametrize("wrong", [{"cosine": 0.0}, {"cosine": 1.5}, {"batch": 0}])
def test_senseless_settings_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(InputError):
        EmbeddingSettings(**wrong)


def test_groups_of_pairs_have_their_lowest() -> None:
    assert together([]) == {}
    assert together([(9, 4), (4, 7), (20, 30)]) == {9: 4, 7: 4, 30: 20}
