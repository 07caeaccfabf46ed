"""Tables whose first row may be a row like the others."""

from __future__ import annotations

from pathlib import Path

import pytest

from yanmo.tasks.base import ReadSettings
from yanmo.tasks.examples import Seq2SeqExample
from yanmo.tasks.read import Loaded, load_examples

WORDS = [
    *[
        ("Ab", "Albert"),
        ("Ameraca", "America"),
        ("Amercia", "Armenia"),
        ("Artic", "Arctic"),
        ("Calander", "Date"),
    ],
    *[("Definately", "Surely"), ("Enviroment", "Nature"), ("Febuary", "Winter"), ("Goverment", "State")],
    *[("Harrass", "Bother"), ("Independant", "Free"), ("Knowlege", "Wit")],
]


def load(tmp_path: Path, rows: list[tuple[str, str]], header: bool | None = None) -> Loaded:
    path = tmp_path / "pairs.tsv"
    path.write_text("".join(f"{a}\t{b}\n" for a, b in rows), encoding="utf-8")
    return load_examples(path, "translation", ReadSettings(header=header))


def sources(loaded: Loaded) -> list[str]:
    return [example.source for example in loaded.examples if isinstance(example, Seq2SeqExample)]


def test_a_first_row_like_the_others_is_kept_and_said(tmp_path: Path) -> None:
    loaded = load(tmp_path, WORDS)
    assert sources(loaded) == [first for first, _ in WORDS]
    assert any(
        "the first row, Ab, Albert, is like the others: a row (--header" in note for note in loaded.notes
    )


@pytest.mark.parametrize("header", [True, False])
def test_what_is_said_wins(tmp_path: Path, header: bool) -> None:
    loaded = load(tmp_path, WORDS, header)
    assert len(loaded.examples) == len(WORDS) - header
    assert not any("--header" in note or "--no-header" in note for note in loaded.notes)
    named = load(tmp_path, [("source", "target"), *WORDS], header)
    assert len(named.examples) == len(WORDS) + (not header)


@pytest.mark.parametrize(
    "rows",
    [
        [("wrong", f"a whole sentence about word {number}") for number in range(12)],
        [(f"{number}", f"word{chr(97 + number)}") for number in range(12)],
        [(f"词{number}", f"word{chr(97 + number)}") for number in range(12)],
        [(f"two words{number}", f"word{chr(97 + number)}") for number in range(12)],
    ],
    ids=["longer", "numbers", "chinese", "spaced"],
)
def test_a_first_row_unlike_the_others_names_the_columns(tmp_path: Path, rows: list[tuple[str, str]]) -> None:
    loaded = load(tmp_path, [("mistake", "remedy"), *rows])
    assert "mistake" not in sources(loaded)
    assert any(
        "names the columns: mistake, remedy (--no-header if it is a row)" in note for note in loaded.notes
    )
