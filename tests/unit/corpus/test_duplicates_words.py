"""Words of texts: runs of letters and single characters, the same hash wherever they stand."""

from __future__ import annotations

import numpy as np
import pytest

from yanmo.corpus.duplicates.words import SLICE_CHARS, shingles, slices, span_hashes, words_of
from yanmo.corpus.hashes import mix


def pieces(text: str) -> list[str]:
    words = words_of([text])
    return [text[start:end] for start, end in zip(words.starts, words.ends, strict=True)]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Hello, world-wide 3.14!", ["Hello", "world", "wide", "3", "14"]),
        ("研墨三更。写 Python 3 代码", ["研", "墨", "三", "更", "写", "Python", "3", "代", "码"]),
        ("naïve Größe привет", ["naïve", "Größe", "привет"]),
        ("한국어 문장", ["한국어", "문장"]),
        ("ひらカタ漢字", ["ひ", "ら", "カ", "タ", "漢", "字"]),
        ("\U00020000𠀁 \U0010ffff😀", ["\U00020000", "𠀁"]),
        ("\ud800a\udc00", ["a"]),
        ("", []),
        (" \n…——", []),
    ],
)
def test_characters_without_spaces_are_words(text: str, found: list[str]) -> None:
    assert pieces(text) == found


def test_case_width_and_place_do_not_change_a_hash() -> None:
    words = words_of(["Straße ABC 中", "ａｂｃ，中", "x abc"])
    first, second, third = (words.hashes[a:b] for a, b in zip(words.bounds, words.bounds[1:], strict=False))
    assert first[1] == second[0] == third[1]
    assert first[2] == second[1]
    assert len({int(value) for value in words.hashes}) == 4


def test_many_texts_at_once_are_as_each_alone() -> None:
    texts = ["one two", "", "三更灯火 five", "...", "six"]
    together = words_of(texts)
    for number, text in enumerate(texts):
        alone, part = words_of([text]), slice(together.bounds[number], together.bounds[number + 1])
        for name in ("hashes", "starts", "ends", "halves"):
            np.testing.assert_array_equal(getattr(together, name)[part], getattr(alone, name))


def test_a_word_counts_twice_a_character() -> None:
    assert words_of(["ink 墨"]).halves.tolist() == [2, 1]


def test_hashes_are_the_same_on_every_machine() -> None:
    assert [int(value) for value in words_of(["ink 墨"]).hashes] == [
        16097389471324588080,
        17057354250296763093,
    ]
    assert int(mix(np.array([1], np.uint64))[0]) == 0x5692161D100B05E5


def test_shingles_depend_on_order_and_on_nothing_around() -> None:
    one, other = words_of(["a b c d"]).hashes, words_of(["x b c d a c b"]).hashes
    assert shingles(one, 3)[1] == shingles(other, 3)[1]
    assert shingles(one, 2)[1] not in shingles(other[3:], 2)
    assert len(shingles(one, 4)) == 1
    assert len(shingles(one, 5)) == 0


def test_stretches_have_the_hash_of_their_content() -> None:
    values = np.array([5, 6, 7, 5, 6, 8, 5, 6, 7], np.uint64)
    found = span_hashes(values, np.array([0, 3, 6, 0]), np.array([3, 6, 9, 2]))
    assert found[0] == found[2]
    assert len({int(value) for value in found}) == 3


def test_slices_are_the_whole_text() -> None:
    text = "研墨 ink " * SLICE_CHARS
    assert "".join(slices(text)) == text
    assert max(map(len, slices(text))) == SLICE_CHARS
