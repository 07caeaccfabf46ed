"""Width, script, and white space: what is asked for becomes so, and nothing else."""

from __future__ import annotations

import random
import sys

import pytest

from yanmo.corpus.cleaning.cleaner import Cleaner
from yanmo.corpus.cleaning.script import Script, convert
from yanmo.corpus.cleaning.settings import CleaningSettings
from yanmo.corpus.cleaning.spaces import normalise_spaces
from yanmo.corpus.cleaning.width import Width, unify_width
from yanmo.corpus.edits import Edit, apply_edits
from yanmo.errors import InputError


@pytest.mark.parametrize(
    ("width", "expected"),
    [
        ("keep", "ＡＢＣ１２３，中文！（ｘ）ｶﾞｷﾞ"),
        ("letters", "ABC123，中文！（x）ガギ"),
        ("all", "ABC123,中文!(x)ガギ"),
    ],
)
def test_width(width: Width, expected: str) -> None:
    text = "ＡＢＣ１２３，中文！（ｘ）ｶﾞｷﾞ"
    assert apply_edits(text, unify_width(text, width)) == expected


def test_width_is_edited_run_by_run() -> None:
    assert unify_width("中ＡＢ文１", "letters") == [Edit(1, 3, "AB"), Edit(4, 5, "1")]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("two  spaces \t and\ttabs ", "two spaces and tabs"),
        ("no\xa0break\u2003em\u200bzero", "no break emzero"),
        ("a\n\n\n\nb\n  indented\n", "a\n\nb\n  indented\n"),
        ("　　中文　缩进　　\n", "　　中文　缩进\n"),
        ("क्‍ष and 👩‍👧 keep joiners", "क्‍ष and 👩‍👧 keep joiners"),
        ("a \n \n \n \nb", "a\n\nb"),
        ("\t\tx  =  1  \n", "\t\tx = 1\n"),
        (" " * 100_000, ""),
    ],
)
def test_white_space(text: str, expected: str) -> None:
    result = Cleaner(CleaningSettings(spaces=True)).clean(text)
    assert result.text == expected
    assert result.alignment.fits(expected, text)


def test_long_runs_of_spaces_take_no_time() -> None:
    text = ("word" + " " * 300_000) * 3
    assert apply_edits(text, normalise_spaces(text)) == "word word word"


opencc = pytest.importorskip("opencc")

PAIRS = [
    ("皇后在里面梳头发，头发干燥。", "皇后在裏面梳頭髮，頭髮乾燥。"),
    ("理发店后面有一面旗，写着发财。", "理髮店後面有一面旗，寫着發財。"),
    ("台风过后，他在书柜里找到了几本关于历史的书。", "颱風過後，他在書櫃裏找到了幾本關於歷史的書。"),
]


@pytest.mark.parametrize(("simplified", "traditional"), PAIRS)
def test_scripts_are_converted_by_phrase(simplified: str, traditional: str) -> None:
    assert apply_edits(simplified, convert(simplified, "traditional")) == traditional
    assert apply_edits(traditional, convert(traditional, "simplified")) == simplified


def test_words_of_taiwan_change_lengths_and_keep_their_places() -> None:
    text = "打印机和软件，以及鼠标。\nNothing here.\n用U盘存文件。"
    edits = convert(text, "taiwan")
    assert apply_edits(text, edits) == "印表機和軟體，以及滑鼠。\nNothing here.\n用隨身碟存檔案。"
    assert all(0 < edit.end - edit.start <= 7 for edit in edits)


@pytest.mark.parametrize("script", ["simplified", "traditional", "taiwan", "hong-kong"])
def test_what_is_in_the_script_already_stays(script: Script) -> None:
    rng = random.Random(3)
    cleaner = Cleaner(CleaningSettings(script=script, flags=False))
    phrases = [
        *"后发干台云面里長髮說说丑斗谷余征，。\n",
        "里长",
        "头发",
        "皇后",
        "乾隆",
        "乾坤",
        "著作",
        "软件",
        "軟體",
    ]
    for _ in range(150):
        text = "".join(rng.choices(phrases, k=12))
        once = cleaner.clean(text)
        assert cleaner.clean(once.text).changed == {}, text
        assert once.alignment.fits(once.text, text)


def test_a_traditional_line_is_not_converted_again() -> None:
    assert convert("里長在皇后面前。", "traditional") == []
    mixed = "里長在皇后面前。\n里长在皇后面前。"
    assert apply_edits(mixed, convert(mixed, "traditional")) == "里長在皇后面前。\n里長在皇后面前。"


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from yanmo.corpus.cleaning import script

    script._converter.cache_clear()
    monkeypatch.setitem(sys.modules, "opencc", None)
    with pytest.raises(InputError, match=r"pip install yanmo\[chinese\]"):
        convert("汉字", "traditional")
    script._converter.cache_clear()
