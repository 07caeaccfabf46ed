"""Lines broken at a width are joined, hyphens of the break mended; lines that mean something stay lines."""

from __future__ import annotations

import textwrap

import pytest

from yanmo.corpus.cleaning.cleaner import Cleaner
from yanmo.corpus.cleaning.layout import find_margin
from yanmo.corpus.cleaning.settings import CleaningSettings
from yanmo.corpus.cleaning.wraps import join_lines, mend_hyphenation
from yanmo.corpus.edits import apply_edits

CLEANER = Cleaner(CleaningSettings(flags=False))
ENGLISH = [
    "The museum keeps a long row of glass cases in which the instruments of the old observatory lie, "
    "each with a "
    "label that a careful hand wrote more than a century ago, when the building was new and the sky "
    "above it dark.",
    "Visitors walk past them on their way to the garden, and only now and then does somebody stop, "
    "read one of the "
    "labels, and wonder how so small a thing of brass and glass could have measured the distance of "
    "a star from us. "
    "The keeper, who has answered that question more often than he can count, is always glad to hear "
    "it once more.",
    "He opens the case, takes the instrument out, and shows how it was held against the light of a "
    "winter night.",
]
CHINESE = [
    "博物馆里有一长排玻璃柜，里面放着旧天文台的各种仪器，每一件旁边都有一张标签，"
    "那是一百多年以前一位细心的人写下的，当时这座建筑还很新，它上面的天空也还很暗。",
    "参观的人走过这些柜子到花园里去，偶尔才有人停下来读一读标签，"
    "并且想知道这样小小的黄铜和玻璃怎么能量出一颗恒星离我们有多远。"
    "看守的人回答这个问题的次数已经数不清了，可是他总是很高兴再听人问一遍。",
    "他打开柜子，取出那件仪器，演示当年的人在冬天的夜里怎样把它举向星光，怎样读出上面的刻度。",
]


def fill_chinese(text: str, width: int) -> str:
    """Lines of a width in characters, none of which begins with a mark or within a Latin word."""
    lines, start = [], 0
    while start < len(text):
        end = min(len(text), start + width)
        while end < len(text) and (text[end] in "，。、" or text[end - 1 : end + 1].isascii()):
            end -= 1
        lines.append(text[start:end])
        start = end
    return "\n".join(lines)


@pytest.mark.parametrize("width", [50, 65, 72, 80])
def test_english_paragraphs_are_joined(width: int) -> None:
    raw = "\n\n".join(textwrap.fill(p, width) for p in ENGLISH)
    result = CLEANER.clean(raw)
    assert result.text == "\n\n".join(ENGLISH)
    assert result.alignment.fits(result.text, raw)


@pytest.mark.parametrize("width", [22, 30, 38])
@pytest.mark.parametrize("indent", ["", "　　"])
def test_chinese_paragraphs_are_joined_without_a_space(width: int, indent: str) -> None:
    paragraphs = [indent + p for p in CHINESE]
    between = "\n" if indent else "\n\n"
    raw = between.join(fill_chinese(p, width) for p in paragraphs)
    result = CLEANER.clean(raw)
    assert result.text == between.join(paragraphs)
    assert set(result.changed) == {"lines joined"}


def test_a_first_line_that_is_indented_begins_a_paragraph() -> None:
    raw = "\n".join(textwrap.fill(p, 64, initial_indent="   ") for p in ENGLISH)
    assert CLEANER.clean(raw).text == "\n".join("   " + p for p in ENGLISH)


def test_latin_words_in_chinese_are_joined_as_they_are_written() -> None:
    paragraphs = [p.replace("仪器", "Python代码").replace("标签", "label") for p in CHINESE]
    raw = "\n\n".join(fill_chinese(p, 30) for p in paragraphs)
    assert CLEANER.clean(raw).text == "\n\n".join(paragraphs)


POEM = """\
Two gulls went up above the harbour wall,
and turned, and hung there in the evening wind,
as if the town beneath them, roofs and all,
were but a thought that somebody had pinned

to the grey paper of the autumn sea.
I watched them from the window of the mill
until the light was gone, and you, and we
were left to listen to the water, still
"""
REGULATED = "\n".join(
    ["空山新雨后天气晚来秋，明月松间照清泉石上流。", "竹喧归浣女莲动下渔舟，随意春芳歇王孙自可留。"] * 6
)
CODE = '''\
def area(width, height):
    """The area of a rectangle, in square units."""
    if width < 0 or height < 0:
        raise ValueError("sides are not negative")
    return width * height


def volume(width, height, depth):
    return area(width, height) * depth
'''
LIST = """\
Things that must be done before the guests arrive this evening:

- buy bread, cheese and a bottle of the wine that they liked
- ask the neighbours for two more chairs and a bigger table
- sweep the stairs and put the bicycles down into the cellar
- look whether there is oil in the lamp that stands outside
1. light the fire when the first of them come up the street
2. put the soup on when the last of them has come and is in
"""
TABLE = """\
name of the place        height   rain   days of snow a year
first of all hills         1201    883                    41
second hill of them         998    802                    37
the third one of all        954    790                    35
a fourth that is low        612    655                    12
"""
CSV = "\n".join(f"{n},measured value {n * 7919 % 1000},of the series,some more words {n}" for n in range(40))
TITLES = "\n".join("论古代天文仪器的制作与使用方法研究" + "及其历史意义" * (n % 3) for n in range(30))
SENTENCES = "\n".join(f"Sentence number {n} stands on a line by itself and ends there." for n in range(30))
MARKDOWN = """\
# A heading that is followed by a list and by some code

* first item of a list, long enough to be filled to the end
  and continued on a line that is indented under the first
* second item

| a column of a table | another column of this table here |
|---------------------|-----------------------------------|
| a cell of the table | another cell of the table in here |

```
some code that stands in a fence and has lines of a width
some code that stands in a fence and has lines of a width
```
"""


@pytest.mark.parametrize(
    "text",
    [POEM, REGULATED, CODE, LIST, TABLE, CSV, TITLES, SENTENCES, MARKDOWN],
    ids=["poem", "regulated", "code", "list", "table", "csv", "titles", "sentences", "markdown"],
)
@pytest.mark.parametrize("paged", [False, True])
def test_lines_that_mean_something_stay(text: str, paged: bool) -> None:
    assert CLEANER.clean(text, paged=paged).text == text


@pytest.mark.parametrize("text", [POEM, CODE, LIST, TABLE, MARKDOWN])
def test_they_stay_within_a_text_that_is_broken_at_a_width(text: str) -> None:
    prose = "\n\n".join(textwrap.fill(p, 72) for p in ENGLISH)
    result = CLEANER.clean(f"{prose}\n\n{text}\n{prose}")
    joined = "\n\n".join(ENGLISH)
    assert result.text == f"{joined}\n\n{text}\n{joined}"


def test_pages_of_uneven_lines_are_joined_only_as_pages() -> None:
    widths = [58, 63, 60, 66, 61, 57, 64, 62, 59, 65]
    lines: list[str] = []
    for paragraph in ENGLISH:
        words = paragraph.split()
        while words:
            line = words.pop(0)
            while words and len(line) + 1 + len(words[0]) <= widths[len(lines) % len(widths)]:
                line += " " + words.pop(0)
            lines.append(line)
        lines.append("")
    raw = "\n".join(lines).rstrip()
    assert CLEANER.clean(raw, paged=True).text == "\n\n".join(ENGLISH)


@pytest.mark.parametrize(
    ("broken", "elsewhere", "whole"),
    [
        ("recog-|nition", "", "recognition"),
        ("well-|known", "", "well-known"),
        ("zorb-|lax", "", "zorblax"),
        ("zorb-|lax", "a zorb-lax is", "zorb-lax"),
        ("well-|known", "the wellknown and the wellknown", "wellknown"),
        ("fool-|proof", "a fool-proof and", "fool-proof"),
    ],
)
def test_a_hyphen_at_a_line_end_is_judged_by_the_text_then_by_the_dictionary(
    broken: str, elsewhere: str, whole: str
) -> None:
    lines = textwrap.fill(ENGLISH[0], 72).split("\n")
    head, tail = broken.split("|")
    filler = "x" * (72 - len(head) - 4)
    raw = "\n".join(
        [*lines, f"yes {filler[:-1]} {head}"[-72:], f"{tail} and {elsewhere} it goes on in small letters", ""]
    )
    raw = f"{raw}\n{textwrap.fill(ENGLISH[1], 72)}\n"
    assert f" {whole} and" in CLEANER.clean(raw).text


def test_hyphens_in_a_text_that_is_not_broken_at_a_width_stay() -> None:
    assert mend_hyphenation("a list of pre-\nand suffixes\nrecog-\nnition\n") == []


def test_an_unbroken_text_has_no_margin_and_a_long_one_is_only_sampled() -> None:
    assert find_margin("\n\n".join(ENGLISH), paged=False) is None
    assert find_margin("\n".join(["word " * 30_000] * 20), paged=True) is None
    wrapped = "\n\n".join(textwrap.fill(p, 72) for p in ENGLISH * 200)
    margin = find_margin(wrapped, paged=False)
    assert margin is not None and 66 <= margin.width <= 76
    assert apply_edits(wrapped, join_lines(wrapped)) == "\n\n".join(ENGLISH * 200)
