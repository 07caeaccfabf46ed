"""Evaluation items inside texts: verbatim, with small edits, in English and in Chinese; and no others."""

from __future__ import annotations

import random

import numpy as np
import pytest

from yanmo.corpus.duplicates.contamination import Contamination, ContaminationSettings, Span, cut_edits
from yanmo.corpus.edits import apply_edits
from yanmo.errors import InputError

CAPITAL = "What is the capital of France?"
HAUPTSTADT = "法国的首都是哪一座城市？"
DUCKS = (
    "Janet's ducks lay 16 eggs per day. She eats three for breakfast every morning and bakes muffins "
    "for her friends every day with four. How much does she make every day?"
)
FOUNDING = "开国大典于一九四九年十月一日在北京天安门广场举行，三十万军民参加了典礼。"
ITEMS = (CAPITAL, HAUPTSTADT, "yes", DUCKS, FOUNDING, "你好吗")
INDEX = Contamination(ITEMS)
BEFORE, AFTER = "Some words that stand before it; ", " 后面还有一些别的字。"


def found(text: str) -> list[tuple[int, str]]:
    return [(span.item, text[span.start : span.end]) for span in INDEX.find(text)]


@pytest.mark.parametrize("number", [0, 1, 3, 4])
def test_an_item_is_found_where_it_stands(number: int) -> None:
    text = BEFORE + ITEMS[number] + AFTER
    assert found(text) == [(number, ITEMS[number].rstrip("？?。."))]
    assert INDEX.find(text)[0].share == 1


@pytest.mark.parametrize(
    ("text", "number", "passage"),
    [
        (
            "he asked WHAT is the main capital, of ｆｒａｎｃｅ",
            0,
            "WHAT is the main capital, of ｆｒａｎｃｅ",
        ),
        ("What is the captial of France", 0, "What is the captial of France"),
        ("so what was the capital of France then", 0, "what was the capital of France"),
        ("What is the beautiful capital of France", 0, "What is the beautiful capital of France"),
        ("What is the capital of Spain?", 0, "What is the capital of"),
        ("问：法国的首都是 哪一个城市，答：巴黎", 1, "法国的首都是 哪一个城市"),
        ("法国首都是哪一座城市", 1, "法国首都是哪一座城市"),
        (DUCKS.replace("three", "four").replace("friends", "frends").replace(".", ";"), 3, None),
        (FOUNDING.replace("三十万", "三十多万").replace("北京", ""), 4, None),
    ],
)
def test_an_item_with_small_edits_is_found(text: str, number: int, passage: str | None) -> None:
    whole = text.rstrip("？?。.;")
    assert found(text) == [(number, whole if passage is None else passage)]
    assert 0.8 <= INDEX.find(text)[0].share < 1


@pytest.mark.parametrize(
    "text",
    [
        "The capital of Spain is what everybody knows; France is another country.",
        "What is the meaning of it?",
        "法国的菜很好吃，首都在哪里我不知道。",
        "yes, 你好吗",
        "France of capital the is what",
        "",
        "。。。",
    ],
)
def test_nothing_is_found_where_nothing_is(text: str) -> None:
    assert found(text) == []


def test_items_too_short_to_mean_anything_are_named() -> None:
    assert INDEX.ignored == (2, 5)
    assert Contamination(ITEMS, ContaminationSettings(min_words=1)).ignored == ()
    assert Contamination(["yes"], ContaminationSettings(min_words=1)).find("Oh yes.") == [Span(3, 6, 0, 1.0)]


def test_a_passage_of_a_long_item_is_found() -> None:
    part = "She eats three for breakfast every morning and bakes muffins for her friends"
    assert found(f"Look: {part}! And so on.") == [(3, part)]
    assert found(f"Look: {part[:-20]}! And so on.") == []
    assert INDEX.find(part)[0].share == pytest.approx(13 / 32)
    without = Contamination(ITEMS, ContaminationSettings(passage_words=0))
    assert without.find(part) == []


@pytest.mark.parametrize("chinese", [False, True])
@pytest.mark.parametrize("length", [8, 14, 30, 90, 700])
def test_every_item_with_as_many_edits_as_allowed_is_found(chinese: bool, length: int) -> None:
    rng = random.Random(length)
    words = [chr(0x4E00 + i) if chinese else f"w{i}" for i in range(3000)]
    space = "" if chinese else " "
    for _ in range(20):
        item = rng.choices(words, k=length)
        changed = list(item)
        for place in rng.sample(range(length), int(0.1 * length + 0.2) or 1):
            kind = rng.randrange(3)
            changed[place] = (["龘" if chinese else "x"], [], [changed[place], "龘" if chinese else "x"])[
                kind
            ]
        flat = [unit for some in changed for unit in ([some] if isinstance(some, str) else some)]
        text = space.join([*rng.choices(words, k=50), *flat, *rng.choices(words, k=50)])
        spans = Contamination([space.join(item)]).find(text)
        assert spans
        assert sum(span.end - span.start for span in spans) > 0.7 * len(space.join(flat))


def test_an_item_that_is_there_several_times_is_found_each_time() -> None:
    text = f"{CAPITAL} {BEFORE} {CAPITAL}"
    assert [span.start for span in INDEX.find(text)] == [0, text.rindex("What")]


def test_an_item_anywhere_in_a_large_text_is_found() -> None:
    filler = "one word after another, 一个字接着一个字。"
    for count in (6_550, 9_000, 13_000):
        text = filler * count + CAPITAL + filler
        assert [(s.start, s.end) for s in INDEX.find(text)] == [
            (len(filler) * count, len(filler) * count + 29)
        ]


def test_a_phrase_that_many_items_have_does_not_hide_them() -> None:
    subjects = [f"subject{i} topic{i}" for i in range(300)]
    items = [f"Which of the following statements is true about {subject}" for subject in subjects]
    index = Contamination(items)
    assert {span.item for span in index.find(f"Well, {items[77]}?")} >= {77}
    assert index.find("Which of the following is not what I said, and which is? True or not?") == []


def test_items_that_are_all_alike_are_found_all() -> None:
    index = Contamination([CAPITAL] * 40)
    assert [span.item for span in index.find(BEFORE + CAPITAL)] == list(range(40))


def test_cutting_takes_out_what_overlaps_once() -> None:
    text = "0123456789"
    spans = [Span(6, 8, 2, 1.0), Span(1, 4, 0, 0.9), Span(3, 5, 1, 1.0)]
    assert apply_edits(text, cut_edits(spans)) == "05" + "89"
    assert cut_edits([]) == []


def test_repeated_beginnings_of_an_item_do_not_take_forever() -> None:
    text = "法国的首都" * 20_000 + HAUPTSTADT
    assert [span.item for span in INDEX.find(text)] == [1]


def test_without_items_nothing_is_found() -> None:
    assert Contamination([]).find(CAPITAL) == []
    assert Contamination(["yes", ""]).ignored == (0, 1)


@pytest.mark.parametrize("wrong", [{"share": 0.5}, {"share": 1.2}, {"min_words": 0}, {"passage_words": 3}])
def test_senseless_settings_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(InputError):
        ContaminationSettings(**wrong)


def test_the_distance_is_that_of_the_textbook() -> None:
    from yanmo.corpus.duplicates.contamination import _align

    rng = np.random.default_rng(1)
    for _ in range(60):
        item, window = (rng.integers(0, 4, size).astype(np.uint64) for size in rng.integers(1, 12, 2))
        rows = [[0] * (len(window) + 1)]
        for i, unit in enumerate(item, 1):
            row = [i]
            for j, other in enumerate(window, 1):
                row.append(min(rows[-1][j] + 1, row[-1] + 1, rows[-1][j - 1] + int(unit != other)))
            rows.append(row)
        cost, start, end = _align(item, window)
        assert cost == min(rows[-1])
        assert _align(item, window[start:end])[0] == cost
