"""Each step for single characters does its one thing, and leaves good text alone."""

from __future__ import annotations

import re

import pytest
from ftfy.badness import BADNESS_RE

from yanmo.corpus.cleaning import characters
from yanmo.corpus.cleaning.cleaner import Cleaner
from yanmo.corpus.cleaning.settings import CleaningSettings
from yanmo.corpus.edits import Edit, apply_edits

CLEANER = Cleaner(CleaningSettings(flags=False))


@pytest.mark.parametrize(
    ("raw", "cleaned", "changed"),
    [
        ("a\r\nb\rc\u2028d\x0ce", "a\nb\nc\nd\ne", {"line ends unified": 4}),
        ("一\r\n二\r\n三", "一\n二\n三", {"line ends unified": 2}),
        ("schÃ¶n und groÃŸ\nplain", "schön und groß\nplain", {"mojibake repaired": 2}),
        ("浣犲ソ锛屼笘鐣岋紒 and more", "你好，世界！ and more", {"mojibake repaired": 1}),
        ("e\u0301te\u0301", "été", {"composed to NFC": 2}),
        ("か\u3099 不 a\u2000b", "が 不 a\u2002b", {"composed to NFC": 2}),
        ("a\0b\x07c\ufeffd\x7fe", "abcde", {"control characters removed": 4}),
        ("中\0文\x01\x02字", "中文字", {"control characters removed": 2}),
        ("\x1b[31mred\x1b[0m 红", "red 红", {"terminal escapes removed": 2}),
        ("smile \ud83d\ude00", "smile 😀", {"surrogates joined": 1}),
        ("lone \ud83d end", "lone \ufffd end", {"surrogates joined": 1}),
        ("two \ud83d\ud83d\ude00", "two \ufffd😀", {"surrogates joined": 2}),
        ("co\u00adoperate", "cooperate", {"soft hyphens removed": 1}),
        ("recog\u00ad\nnition", "recognition", {"soft hyphens removed": 1}),
        ("tab\tand newline\n", "tab\tand newline\n", {}),
    ],
)
def test_steps(raw: str, cleaned: str, changed: dict[str, int]) -> None:
    result = CLEANER.clean(raw)
    assert (result.text, result.changed) == (cleaned, changed)
    assert result.alignment.fits(cleaned, raw)


@pytest.mark.parametrize(
    "good",
    [
        "“曲高”——和寡！（全角，标点）……ＡＢＣ　空格",
        "“Curly” ‘quotes’ — dash … ﬁne ligature, &amp; entity",
        "naïve café Ångström ½ × ÷ © £5 ±3°C",
        "Привет, мир! Ελληνικά עברית العربية",
        "👩‍👩‍👧 🇩🇪 நன்றி",
        "if x < 3 and y > 2: return '&lt;'",
        "锛 is a rare character, 銆 and 鐨 are others",
        "床前明月光，\n疑是地上霜。\n举头望明月，\n低头思故乡。",
    ],
)
def test_good_text_is_left_alone(good: str) -> None:
    result = CLEANER.clean(good)
    assert (result.text, result.changed, result.alignment.stretches) == (good, {}, ())


def test_mojibake_deep_in_a_long_line_is_found() -> None:
    text = "plain words “quoted” " * 20_000 + "schÃ¶n" + " more 中文 words" * 20_000
    place = text.index("Ã")
    assert characters.repair_mojibake(text) == [Edit(place, place + 2, "ö")]


def test_mojibake_is_repaired_word_by_word() -> None:
    text = "Der FluÃŸ ist schön breit, sagte er, und tief grÃ¼n."
    edits = characters.repair_mojibake(text)
    assert [(text[e.start : e.end], e.replacement) for e in edits] == [("ÃŸ", "ß"), ("Ã¼", "ü")]


def test_a_cut_end_does_not_keep_chinese_from_being_read_again() -> None:
    broken = "你好，世界！".encode()[:-2].decode("gbk", "ignore")
    assert "锛" in broken and "你" not in broken
    assert apply_edits(broken, characters.repair_mojibake(broken)) == "你好，世界\ufffd"


def test_chinese_that_merely_has_the_marks_is_left_alone() -> None:
    for text in ("锛的符号是鐨", "他写了一个銆字，又写了锛字和鐨字", "鈥铁锛锅"):
        assert characters.repair_mojibake(text) == []


def test_every_trace_of_mojibake_that_ftfy_knows_passes_the_quick_look() -> None:
    candidates = {char for char in BADNESS_RE.pattern if not char.isascii()}
    for low, high in re.findall(r"([^\x00-\x7f])-([^\x00-\x7f])", BADNESS_RE.pattern):
        candidates |= {chr(code) for code in range(ord(low), ord(high) + 1)}
    assert len(candidates) > 200
    typography = set(characters._TYPOGRAPHY)
    assert {char for char in candidates - typography if characters._SUSPECT.search(char * 2) is None} == set()
    framed = (f"{left}{char}{right}" for char in sorted(candidates) for left in "a .ZÂ" for right in "a .Z")
    assert [t for t in framed if BADNESS_RE.search(t) and characters._SUSPECT.search(t) is None] == []
    for left in sorted(typography):
        for right in sorted(typography):
            framed = (f"{a}{left}{right}{b}" for a in "aZ 1.中" for b in "aZ 1.中")
            assert not any(BADNESS_RE.search(text) for text in framed), f"{left}{right} is mojibake to ftfy"


def test_composition_never_reaches_over_the_places_where_text_is_cut() -> None:
    text = "e\u0301中\u0301文 \u1100\u1161\u11a8 a\u0323\u0302b \u2000\u0301 가\u11a8"
    assert apply_edits(text, characters.compose(text)) == "é中\u0301文 각 ậb \u2002\u0301 각"


def test_form_feeds_stay_where_they_end_pages() -> None:
    assert characters.unify_line_ends("a\r\n\fb\x0b", paged=True) == [Edit(1, 2, ""), Edit(5, 6, "\n")]
    assert characters.unify_line_ends("a\r\n\fb", paged=False) == [Edit(1, 2, ""), Edit(3, 4, "\n")]
