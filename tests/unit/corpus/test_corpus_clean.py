"""Each cleaning step does its one thing, and leaves good text alone."""

from __future__ import annotations

import re
import unicodedata

import pytest
from ftfy.badness import BADNESS_RE

from yanmo.corpus import clean as module
from yanmo.corpus.clean import STEPS, clean


@pytest.mark.parametrize(
    ("raw", "cleaned", "steps"),
    [
        ("a\r\nb\rc\u2028d\x0ce", "a\nb\nc\nd\ne", ["line ends unified"]),
        ("schÃ¶n und groÃŸ\nplain", "schön und groß\nplain", ["mojibake repaired"]),
        ("e\u0301te\u0301", "été", ["composed to NFC"]),
        ("a\0b\x07c\ufeffd\x7fe", "abcde", ["control characters removed"]),
        ("\x1b[31mred\x1b[0m", "red", ["terminal escapes removed"]),
        ("smile \ud83d\ude00", "smile 😀", ["surrogates joined"]),
        ("lone \ud83d end", "lone \ufffd end", ["surrogates joined"]),
        ("tab\tand newline\n", "tab\tand newline\n", []),
    ],
)
def test_steps(raw: str, cleaned: str, steps: list[str]) -> None:
    assert clean(raw) == (cleaned, steps)


@pytest.mark.parametrize(
    "good",
    [
        "“曲高”——和寡！（全角，标点）……ＡＢＣ　空格",
        "“Curly” ‘quotes’ — dash … ﬁne ligature, &amp; entity",
        "naïve café Ångström ½ × ÷ © £5",
        "Привет, мир! Ελληνικά עברית العربية",
        "👩‍👩‍👧 🇩🇪 நன்றி",
        "if x < 3 and y > 2: return '&lt;'",
    ],
)
def test_good_text_is_left_alone(good: str) -> None:
    assert clean(good) == (good, [])


def test_clean_text_is_clean() -> None:
    raw = "x\r\n\0schÃ¶n e\u0301 \ud800 \x1b[1mB\x85"
    once, _ = clean(raw)
    assert clean(once) == (once, [])
    assert unicodedata.is_normalized("NFC", once)
    once.encode("utf-8")


def test_mojibake_deep_in_a_long_line_is_found() -> None:
    text = "plain words “quoted” " * 20_000 + "schÃ¶n" + " more 中文 words" * 20_000
    assert clean(text)[0] == text.replace("schÃ¶n", "schön")


def test_every_character_that_ftfy_suspects_passes_the_prefilter() -> None:
    candidates = {char for char in BADNESS_RE.pattern if not char.isascii()}
    for low, high in re.findall(r"([^\x00-\x7f])-([^\x00-\x7f])", BADNESS_RE.pattern):
        candidates |= {chr(code) for code in range(ord(low), ord(high) + 1)}
    assert len(candidates) > 200
    missed = {char for char in candidates if module._SUSPECT.fullmatch(char) is None}
    assert not missed


def test_step_names_are_distinct() -> None:
    assert len({name for name, _ in STEPS}) == len(STEPS)
