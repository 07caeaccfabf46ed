"""Noise raises the share that it should raise, good text of either language hardly any; spelling is
corrected where it is plain.
"""

from __future__ import annotations

import random

import pytest

from yanmo.corpus.cleaning.cleaner import Cleaner
from yanmo.corpus.cleaning.noise import measure_noise
from yanmo.corpus.cleaning.settings import CleaningSettings
from yanmo.corpus.cleaning.spelling import correct_spelling, correct_word
from yanmo.corpus.cleaning.words import is_english, is_english_word
from yanmo.corpus.edits import apply_edits

ENGLISH = (
    "The keeper of the lighthouse had written in his book every evening for thirty years, and in all "
    "of that time he "
    "had not once complained about the weather. When the last ship of the season was gone he closed "
    "the heavy door, "
    "climbed the narrow stairs, and looked at the water, which was grey and quiet and had nothing "
    "more to tell him. "
)
CHINESE = (
    "灯塔的看守人三十年来每天晚上都在本子上写字，在这么长的时间里"
    "他从来没有抱怨过天气。最后一条船离开以后，"
    "他关上沉重的门，走上狭窄的楼梯，看着灰色而安静的海水，它再也没有什么要告诉他的了。"
)


def test_good_text_has_hardly_any_noise() -> None:
    assert measure_noise(ENGLISH * 3) == {"broken words": 0.0, "unknown words": 0.0}
    shares = measure_noise(CHINESE * 3)
    assert shares == {"rare characters": 0.0, "spaced characters": 0.0, "replaced characters": 0.0}


@pytest.mark.parametrize(
    ("text", "share", "least"),
    [
        (ENGLISH.replace("o", "0").replace("l", "1"), "broken words", 0.2),
        (ENGLISH.replace("a", "а"), "broken words", 0.3),
        (ENGLISH.replace("rn", "m").replace("h", "li").replace("e", "c"), "unknown words", 0.4),
        (ENGLISH.replace("ht", "h t").replace("ea", "e a ").replace("or", "o r "), "unknown words", 0.08),
        (CHINESE.encode().decode("gbk", "replace"), "rare characters", 0.5),
        (" ".join(CHINESE), "spaced characters", 0.5),
        (CHINESE.replace("，", "\ufffd\ufffd"), "replaced characters", 0.05),
    ],
)
def test_noise_is_seen(text: str, share: str, least: float) -> None:
    assert measure_noise(text * 2, language="en" if share == "unknown words" else "")[share] >= least


@pytest.mark.parametrize(
    "text",
    [
        "The iPhone 12 Pro has a 6.1-inch OLED display, costs $999, and its A14 chip is a 64-bit "
        "ARMv8 one of 2020. " * 3,
        "See https://example.org/a1b2c3?x=y, mail x1@example.org, and open C:\\dir\\f0o.txt or "
        "/usr/lib/x86_64 for that. " * 3,
        "def f(x1, y2): return self.a0 + other.b1[key_3] if isinstance(x1, Int32) else max(x1, y2) * "
        "0x1F and not None " * 3,
        "H2O, CO2 and the 3rd, 21st of the U.S.A., e.g. J. R. Smith and the O'Neill-MacDonald's of "
        "McAllister, don't they " * 3,
    ],
)
def test_words_with_digits_are_no_noise_by_themselves(text: str) -> None:
    assert measure_noise(text)["broken words"] <= 0.04


def test_other_languages_have_no_unknown_words() -> None:
    german = (
        "Der Wärter des Turmes hatte jeden Abend in sein Buch geschrieben und sich nie über das "
        "Wetter beklagt. " * 4
    )
    assert measure_noise(german) == {"broken words": 0.0, "replaced characters": 0.0}
    assert measure_noise(ENGLISH, language="de").keys() == {"broken words"}
    assert not is_english(german) and is_english(ENGLISH)


def test_long_texts_are_sampled_all_over() -> None:
    noisy = ENGLISH.replace("e", "3")
    share = measure_noise(noisy * 600)["broken words"]
    assert share > 0.1
    assert measure_noise(ENGLISH * 300 + noisy * 300)["broken words"] == pytest.approx(share / 2, abs=0.05)
    assert measure_noise("x" * 5_000_000) == {}
    assert measure_noise("") == {} == measure_noise(" \n ")


@pytest.mark.parametrize(
    "word", ["lighthouse", "colour", "color", "neighbors", "analyzed", "tokenizers", "rewritten", "doesn"]
)
def test_words_are_words(word: str) -> None:
    assert is_english_word(word)


@pytest.mark.parametrize(
    ("word", "right"),
    [
        ("recieve", "receive"),
        ("goverment", "government"),
        ("Beleive", "Believe"),
        ("definately", "definitely"),
        ("checksms", "checksums"),
        ("seperate", "separate"),
        ("lighthouse", ""),
        ("zorblax", ""),
        ("gata", ""),
    ],
)
def test_a_word_is_corrected_where_it_is_plain(word: str, right: str) -> None:
    assert correct_word(word) == right


def test_spelling_in_a_text() -> None:
    raw = (
        "Beleive it or not, the goverment of that town is in the hands of Mr Recieve, who lives in "
        "seperate houses and "
        "has the address recieve@example.org, a file /tmp/recieve.txt, a variable recieve_all, and a "
        "(seperate) garden. "
        "He calls his boat Adress. The zorblax is a plant, the zorblaxes grow, and the accomodation "
        "is “adequate”."
    )
    expected = (
        raw.replace("Beleive", "Believe")
        .replace("goverment", "government")
        .replace("in seperate", "in separate")
    )
    expected = expected.replace("(seperate)", "(separate)").replace("accomodation", "accommodation")
    assert apply_edits(raw, correct_spelling(raw)) == expected
    result = Cleaner(CleaningSettings(spelling="correct")).clean(raw)
    assert (result.text, result.changed) == (expected, {"spelling corrected": 5})
    assert Cleaner(CleaningSettings(spelling="correct")).clean(expected).changed == {}


def test_a_word_that_a_text_uses_again_and_again_is_a_term() -> None:
    assert correct_spelling("The goverment of the town is in the house. " + "It is a goverment. " * 3) == []


def test_no_other_language_is_corrected() -> None:
    assert correct_spelling("Das goverment ist ein Wort, und seperate auch, in einem deutschen Satz.") == []
    assert correct_spelling("这个 goverment 是错的，可是中文不改。") == []
    assert correct_spelling("the goverment of the people and of the town", language="zh") == []


def test_clean_text_is_not_damaged() -> None:
    rng = random.Random(0)
    sentences = ENGLISH.split(". ")
    assert correct_spelling(". ".join(rng.choices(sentences, k=200))) == []
