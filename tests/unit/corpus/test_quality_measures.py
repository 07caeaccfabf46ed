"""Measures of texts whose values one can count by hand."""

from __future__ import annotations

import random

import numpy as np
import pytest

from yanmo.corpus.quality.judge import measure
from yanmo.corpus.quality.measures import MAX_CHARS, MEASURES, Measures, Writing, sample_of
from yanmo.corpus.quality.repetition import combine, later_ones, most_repeated, ngram_shares

ENGLISH = "The old man walked down to the sea, and nobody knew what he was looking for.\n"
CHINESE = "老人慢慢走到海边，谁也不知道他在找什么。\n"


def values(text: str, language: str = "") -> dict[str, float]:
    return measure(text, language)


def test_every_measure_of_nothing_is_a_number() -> None:
    for text in ("", "\n \n", "a", "。", "\ud800"):
        found = values(text)
        assert tuple(found) == MEASURES
        assert all(np.isfinite(value) for value in found.values())


def test_units_are_words_or_characters() -> None:
    english, chinese = values(ENGLISH), values(CHINESE)
    assert english["units"] == 16
    assert english["unit_length"] == pytest.approx(len(ENGLISH.replace(" ", "").strip()) / 16)
    assert chinese["units"] == len(CHINESE.strip())
    assert Measures(ENGLISH).writing is Writing.WORDS
    assert Measures(CHINESE).writing is Writing.CHARACTERS
    assert Measures("朝早く川辺に下りて、船を待った。").writing is Writing.CHARACTERS
    assert Measures("ตอนเช้าเราเดินไปตลาด").writing is Writing.CHARACTERS
    assert Measures("아침 일찍 우리는 강가로 내려갔다.").writing is Writing.WORDS
    # A word in Latin letters among Chinese is one unit.
    assert values("我用 Python 写")["units"] == 4


def test_letters_and_lettered_units() -> None:
    assert values("abc 123 ---")["letters"] == pytest.approx(3 / 9)
    assert values("abc 123 --- d4")["lettered_units"] == pytest.approx(2 / 4)
    # Punctuation is no word that lacks letters.
    assert values("你好，世界。")["lettered_units"] == 1
    assert values("你好，12，世界。")["lettered_units"] == pytest.approx(4 / 5)


def test_symbols_count_by_unit() -> None:
    found = values("wait ... what # is # this … ok")
    assert found["hash_marks"] == pytest.approx(2 / 9)
    assert found["ellipses"] == pytest.approx(2 / 9)
    assert values("他说……好吧")["ellipses"] == pytest.approx(1 / 5)


def test_stop_words_of_two_languages() -> None:
    assert values("The cat sat with the dog", "en")["stop_words"] == 2
    assert values("cheap shoes buy now", "en")["stop_words"] == 0
    assert values("我的书在桌子上", "zh")["stop_words"] == 2
    assert values("學而時習之，不亦說乎", "zh")["stop_words"] == 3
    assert values("代开发票办证贷款", "zh")["stop_words"] == 0
    assert values("The cat sat with the dog", "de")["stop_words"] == 0


def test_lines() -> None:
    text = "- one thing\n* another thing\n\n• 第三\nand so on...\nThis line ends well.\nand this …\n“好。”\n"
    found = values(text)
    assert found["bullet_lines"] == pytest.approx(3 / 7)
    assert found["ellipsis_lines"] == pytest.approx(2 / 7)
    assert found["punctuated_lines"] == pytest.approx(4 / 7)
    assert values("short\n" + "long enough to be a line of some prose\n")["short_lines"] == 0.5
    assert values("太短\n这一行长得足够算作一行正文了吧\n")["short_lines"] == 0.5


def test_repeated_lines_and_paragraphs() -> None:
    found = values("aaaa\nbb\naaaa\n  aaaa  \n\ncc\n\ncc\n")
    assert found["repeated_lines"] == pytest.approx(3 / 6)
    assert found["repeated_lines_chars"] == pytest.approx(10 / 18)
    assert found["repeated_paragraphs"] == pytest.approx(1 / 3)
    assert found["repeated_paragraphs_chars"] == pytest.approx(2 / 18)
    found = values("a b\nab\nb a\n")
    assert found["repeated_lines"] == 0


@pytest.mark.parametrize("factor", [1, 2])
def test_repeated_ngrams_are_those_of_plain_loops(factor: int) -> None:
    rng = random.Random(7)
    for vocabulary in (2, 5, 40, 10_000):
        words = ["w" * rng.randint(1, 5) + str(rng.randrange(vocabulary)) for _ in range(300)]
        words[200:230] = words[20:50]
        numbers = {word: index for index, word in enumerate(dict.fromkeys(words))}
        ours = ngram_shares(
            np.array([numbers[word] for word in words], np.uint64),
            np.array([len(word) for word in words]),
            factor,
        )
        total = sum(map(len, words))
        for n in range(2, 11):
            size = n * factor
            grams = [tuple(words[i : i + size]) for i in range(len(words) - size + 1)]
            if n < 5:
                counts = {gram: grams.count(gram) for gram in grams}
                most = max(counts.values())
                # The first of the most frequent ones may be another: their lengths differ.
                sizes = {sum(map(len, gram)) for gram, count in counts.items() if count == most}
                allowed = {min(1.0, most * chars / total) for chars in sizes} if most > 1 else {0.0}
                assert any(ours[f"top_{n}grams"] == pytest.approx(one) for one in allowed)
            else:
                covered = {i + j for i, gram in enumerate(grams) if gram in grams[:i] for j in range(size)}
                share = sum(len(words[i]) for i in covered) / total
                assert ours[f"repeated_{n}grams"] == pytest.approx(share)


def test_repetition_within_one_line_is_seen() -> None:
    assert values("buy cheap shoes now " * 50)["repeated_10grams"] > 0.9
    assert values("加微信领红包 " * 50)["repeated_10grams"] > 0.9
    assert values(ENGLISH)["repeated_5grams"] == 0


def test_unbroken_and_hex() -> None:
    rng = random.Random(1)
    blob = "".join(rng.choices("ABCDEFGHIJabcdefghij0123456789+/", k=64))
    assert values(f"{blob}\n{blob[::-1]}\n")["unbroken"] == 1
    assert values(ENGLISH + CHINESE * 20)["unbroken"] == 0
    data = rng.randbytes(320)
    rows = [f"{i:08x}  {data[i : i + 16].hex(' ')}  |................|" for i in range(0, 320, 16)]
    assert values("\n".join(rows))["hex"] > 0.6
    packed = [f"{i:08x}: {data[i : i + 16].hex(' ', 2)}  ................" for i in range(0, 320, 16)]
    assert values("\n".join(packed))["hex"] > 0.6
    table = "\n".join(" ".join(str(rng.randrange(10, 100)) for _ in range(8)) for _ in range(40))
    assert values(table)["hex"] == 0
    assert values("dead beef cafe babe face deed added faded")["hex"] == 0


def test_minified_is_close_in_gigantic_lines() -> None:
    row = "veryLongIdentifier(anotherOne) short "
    assert values(row * 40)["minified"] == pytest.approx(30 / 35)
    assert values((row + "\n") * 40)["minified"] == 0
    assert values(ENGLISH.replace("\n", " ") * 40)["minified"] == 0
    assert values(CHINESE.replace("\n", "") * 40)["minified"] == 0
    assert values(row)["minified"] == 0


def test_page_values() -> None:
    text = (
        "This is a sentence that counts. And here is one more!\nNo mark at the end of this line\nToo short.\n"
        "Please read our privacy policy before you go on.\nIt trails off like this, as they do...\n"
    )
    assert values(text)["sentences"] == 2
    chinese = (
        "这是第一句话，说得很清楚。这是第二句！\n没有标点的一行\n太短。\n请先阅读我们的隐私政策再继续。\n"
    )
    assert values(chinese)["sentences"] == 2
    assert values("这里用的是英文句点.后面还有一句话.最后一句!\n")["sentences"] == 3
    assert values("Version 3.14 of the file a.txt is on example.com today.\n")["sentences"] == 1
    assert values("if (x) { y }")["curly_brackets"] == 1
    assert values("Lorem ipsum dolor")["lorem_ipsum"] == 1


def test_hashes_see_order_and_repeats() -> None:
    starts, places = np.array([0, 2]), np.array([0, 1, 0, 1])
    same = combine(np.array([1, 2, 1, 2], np.uint64), places, starts)
    other = combine(np.array([1, 2, 2, 1], np.uint64), places, starts)
    assert same[0] == same[1] and other[0] != other[1]
    assert later_ones(np.array([5, 6, 5, 5], np.uint64)).tolist() == [False, False, True, True]
    # The same on every machine and in every process.
    pinned = combine(np.array([104, 105], np.uint64), np.array([0, 1]), np.array([0]))
    assert int(pinned[0]) == 10377973914577828633


def test_long_texts_are_sampled() -> None:
    text = "".join(f"{number} " for number in range(200_000))
    sample = sample_of(text)
    assert MAX_CHARS <= len(sample) < MAX_CHARS + 100
    assert sample.startswith("0 1 2 ") and sample.endswith("199999 ")
    assert sample_of(text[:MAX_CHARS]) == text[:MAX_CHARS]


def test_units_of_a_sampled_text_are_of_the_whole() -> None:
    assert values("word " * 200_000)["units"] == pytest.approx(200_000, rel=0.001)


def test_a_gigantic_line_is_measured() -> None:
    assert values("a" * 3_000_000)["unbroken"] == 1
    assert values("你" * 3_000_000)["repeated_10grams"] > 0.99


@pytest.mark.parametrize("size", [5, 6, 7, 10, 20])
def test_what_is_known_of_repetition_beforehand_is_a_bound(size: int) -> None:
    draw = np.random.default_rng(size)
    for distinct in (1, 3, 50, 5000):
        hashes = draw.integers(0, distinct, 400).astype(np.uint64)
        lengths = draw.integers(1, 9, 400)
        share = ngram_shares(hashes, lengths, 1 if size <= 10 else 2)[f"repeated_{min(size, 10)}grams"]
        assert share <= most_repeated(hashes, lengths, size) <= 1
    assert most_repeated(np.arange(400, dtype=np.uint64), np.ones(400, np.int64), size) == 0


@pytest.mark.parametrize("text", [ENGLISH, CHINESE, ENGLISH + CHINESE, "no no yes no " * 40, "ab " * 2000])
def test_a_bound_is_no_less_than_the_measure(text: str) -> None:
    measures = Measures(text)
    for name in MEASURES:
        assert measures[name] <= measures.most(name)
