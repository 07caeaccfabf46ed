"""Headers, footers, page numbers and page breaks go; what merely repeats, or merely is a number, stays."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from yanmo.corpus.cleaning.cleaner import Cleaner
from yanmo.corpus.cleaning.pages import remove_page_breaks, remove_running_lines
from yanmo.corpus.cleaning.settings import CleaningSettings
from yanmo.corpus.edits import apply_edits

ENGLISH = [
    f"Sentence {word} stands on a page by itself."
    for word in ["one", "two", "three", "four", "five", "six", "seven"]
]
CHINESE = [f"第{word}段话独自站在一页上。" for word in "甲乙丙丁戊己庚"]
HAN = "零一二三四五六七八九十"


def paged(bodies: list[str], top: Callable[[int], str], bottom: Callable[[int], str]) -> str:
    """Pages from 1 on, with a line above and one below each body."""
    return "\f".join(f"{top(n)}\n\n{body}\n\n{bottom(n)}\n" for n, body in enumerate(bodies, 1))


@pytest.mark.parametrize("bodies", [ENGLISH, CHINESE], ids=["en", "zh"])
@pytest.mark.parametrize(
    ("top", "bottom"),
    [
        (lambda n: "Annual Report", lambda n: f"Page {n} of 7"),
        (lambda n: "三国演义", lambda n: f"第 {n} 页 共 7 页"),
        (lambda n: ["A Chapter", "The Book Itself"][n % 2], lambda n: str(n + 40)),
        (lambda n: f"第{HAN[n]}页", lambda n: f"- {n} -"),
        (lambda n: f"{n} / 7", lambda n: ["", "i", "ii", "iii", "iv", "v", "vi", "vii"][n]),
        (lambda n: f"Draft of 3 May 2021    {n}", lambda n: "版本 2.1"),
    ],
)
def test_running_lines_go_and_pages_meet(
    bodies: list[str], top: Callable[[int], str], bottom: Callable[[int], str]
) -> None:
    raw = paged(bodies, top, bottom)
    result = Cleaner(CleaningSettings(flags=False)).clean(raw, paged=True)
    assert result.text == "\n\n".join(bodies)
    assert result.changed == {"headers and footers removed": 14, "page breaks removed": 8}
    assert result.alignment.fits(result.text, raw)


def test_titles_of_chapters_are_found_on_their_own_pages() -> None:
    titles = ["Introduction"] * 3 + ["Results"] * 4
    raw = paged(ENGLISH, lambda n: titles[n - 1], lambda n: "")
    assert [raw[e.start : e.end].strip() for e in remove_running_lines(raw)] == titles


@pytest.mark.parametrize(
    "pages",
    [
        ["12\nrows of a table\n17", "40\nmore rows\n3", "7\nlast rows\n99"],
        ["Anna: 31 points\nx", "Anna: 12 points\ny", "Anna: 95 points\nz"],
        ["int f() {\n}\n", "int g() {\n}\n", "int h() {\n}\n"],
        ["第一回 桃园\n文", "第二回 督邮\n字", "第五回 曹操\n书"],
        ["Once\nonly", "twice\nsaid", "Once\nmore"],
    ],
)
def test_content_at_the_edges_of_pages_stays(pages: list[str]) -> None:
    assert remove_running_lines("\f".join(pages)) == []


@pytest.mark.parametrize(
    ("before", "after", "joined"),
    [
        ("the sentence goes on", "over the page.", "\n"),
        ("句子在这里还没有结", "束，换页之后继续。", "\n"),
        ("A sentence ends.", "Another begins.", "\n\n"),
        ("一句话说完了。", "又说一句。", "\n\n"),
        ("句子在这里还没有结", "　　新的一段", "\n\n"),
        ("and these are", "- an item", "\n\n"),
    ],
)
def test_a_page_break_becomes_what_the_paragraph_asks_for(before: str, after: str, joined: str) -> None:
    raw = f"{before}\n\n\f\n{after}\n"
    assert apply_edits(raw, remove_page_breaks(raw)) == f"{before}{joined}{after}"


def test_pages_that_are_empty_leave_nothing() -> None:
    assert apply_edits("\f\n\f a\f \f\nb\f\n\f", remove_page_breaks("\f\n\f a\f \f\nb\f\n\f")) == " a\nb"
    assert apply_edits(" \f \f", remove_page_breaks(" \f \f")) == ""


@pytest.mark.parametrize("form", ["Page {} of 9", "  - Page {} -", "第 {} 页", "第{}页 共9页"])
def test_page_numbers_that_count_on_go_without_page_ends(form: str) -> None:
    raw = "".join(f"Text {n} 文字。\n{form.format(n)}\n" for n in range(1, 6))
    expected = "".join(f"Text {n} 文字。\n" for n in range(1, 6))
    assert apply_edits(raw, remove_running_lines(raw)) == expected


@pytest.mark.parametrize(
    "text",
    [
        "Page 3\nPage 9\nPage 1\n",
        "see\nPage 1\nand\nPage 2\n",
        "第 1 页开始\n第 2 页是\n第 3 页完\n",
        "1\n2\n3\n4\n",
    ],
)
def test_numbers_that_do_not_count_pages_stay(text: str) -> None:
    assert remove_running_lines(text) == []


def test_many_pages_and_gigantic_lines_take_no_time() -> None:
    raw = "\f".join(["x" * 1_000_000, *(f"Title\n{n}" for n in range(1_000)), " " * 1_000_000])
    assert len(remove_running_lines(raw)) == 2_000
    assert apply_edits(raw, remove_page_breaks(raw)).count("\f") == 0
