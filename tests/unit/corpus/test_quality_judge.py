"""Which rule refuses which text, and with what."""

from __future__ import annotations

import math
import pickle
import random
from itertools import pairwise

import pytest

from yanmo.config import from_mapping, to_mapping
from yanmo.corpus.quality.judge import Judge, QualitySettings, Refusal, calibrate
from yanmo.corpus.quality.rules import RULE_SETS, RULES
from yanmo.errors import InputError

ENGLISH = (
    "The harbour was empty that morning. A few gulls stood on the wall and looked at the water as if they "
    "had lost something in it. Nobody came to open the shop until nine, and then it was the boy who did it, "
    "with a key that he wore on a string around his neck.\n"
    "He put the baskets out one after the other and swept the step. When the first of the boats came in with "
    "its lamp still burning, he ran to take the rope. There had been no fish to speak of, the men said, but "
    "they laughed, because the wind had turned and tomorrow would be better.\n"
)
CHINESE = (
    "那天早晨，码头上空无一人。几只海鸥站在墙头，望着水面，好像丢了什么东西似的。直到九点才有人来开店，"
    "来的是那个孩子，钥匙用绳子挂在脖子上。\n"
    "他把篮子一个一个摆出来，又扫了台阶。第一条船进港的时候，灯还亮着，他就跑过去接缆绳。大家说没有"
    "打到什么鱼，可是都笑了，因为风向变了，明天会更好。\n"
)
CLASSICAL = (
    "晋太元中，武陵人捕鱼为业。缘溪行，忘路之远近。忽逢桃花林，夹岸数百步，中无杂树，芳草鲜美，落英缤纷，"
    "渔人甚异之。复前行，欲穷其林。林尽水源，便得一山，山有小口，仿佛若有光。便舍船，从口入。初极狭，才通人。"
    "复行数十步，豁然开朗。土地平旷，屋舍俨然，有良田美池桑竹之属。\n"
)
CODE = (
    "import math\n\n\ndef area(radius):\n    '''Of a circle.'''\n    return math.pi * radius ** 2\n\n\n"
    "for number in range(10):\n    print(number, area(number))\n"
)
EVERYTHING = ("lenient", "gopher", "c4", "fineweb")


def judge(text: str, language: str, *sets: str) -> Refusal | None:
    return Judge(QualitySettings(sets=sets)).judge(text, language)


@pytest.mark.parametrize(("text", "language"), [(ENGLISH, "en"), (CHINESE, "zh"), (CLASSICAL, "zh")])
@pytest.mark.parametrize("name", EVERYTHING)
def test_prose_passes_every_set(text: str, language: str, name: str) -> None:
    assert judge(text, language, name) is None


@pytest.mark.parametrize(
    "text",
    [
        ENGLISH,
        CHINESE,
        CODE,
        "ok",
        "好的，明天见！",
        "Rechnung Nr. 4711\nBetrag: 17,50 EUR\nDatum: 3. Mai 2021",
        "| Jahr | Umsatz |\n|---|---|\n| 2019 | 1200 |\n| 2020 | 1350 |",
        "Home\nAbout\nContact\nProducts",
        "白日依山尽\n黄河入海流\n欲穷千里目\n更上一层楼",
        "Row, row, row your boat\nGently down the stream\nRow, row, row your boat\nLife is but a dream",
    ],
)
def test_lenient_keeps_what_people_write(text: str) -> None:
    assert judge(text, "", "lenient") is None


def _noise(kind: str) -> str:
    rng = random.Random(3)
    if kind == "base64":
        alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
        return "\n".join("".join(rng.choices(alphabet, k=76)) for _ in range(20))
    if kind == "hex":
        data = rng.randbytes(640)
        return "\n".join(f"{i:08x}  {data[i : i + 16].hex(' ')}" for i in range(0, 640, 16))
    if kind == "numbers":
        return "\n".join(" ".join(f"{rng.random():.4f}" for _ in range(8)) for _ in range(30))
    if kind == "minified":
        names = ["".join(rng.choices("abcdefgh", k=2)) for _ in range(400)]
        return "".join(f"function {a}({b}){{return {b}.{a}({b}[0])||{{}}}}" for a, b in pairwise(names))
    return {
        "line": "Click here to subscribe to our newsletter\n" * 40,
        "zh line": "版权所有，违者必究。\n" * 40,
        "zh spam": "加微信领红包" * 60,
    }[kind]


@pytest.mark.parametrize(
    ("kind", "rule"),
    [
        ("base64", "lenient.unbroken"),
        ("hex", "lenient.hex"),
        ("numbers", "lenient.letters"),
        ("minified", "lenient.minified"),
        ("line", "lenient.repeated_lines"),
        ("zh line", "lenient.repeated_lines"),
        ("zh spam", "lenient.repeated_ngrams"),
    ],
)
def test_lenient_refuses_what_is_no_text(kind: str, rule: str) -> None:
    refusal = judge(_noise(kind), "", "lenient")
    assert refusal is not None and refusal.rule == rule
    assert RULES[rule].refuses_value(refusal.value, refusal.threshold)


@pytest.mark.parametrize(
    ("text", "language", "name", "rule"),
    [
        ("Too short to say.", "en", "gopher", "gopher.min_length.words"),
        ("太短了，说不清楚。", "zh", "gopher", "gopher.min_length.characters"),
        ("a b c d e f g h i j " * 10, "en", "gopher", "gopher.min_word_length"),
        ("incomprehensibilities counterrevolutionaries " * 30, "en", "gopher", "gopher.max_word_length"),
        ("shoes cheap watch replica discount loans " * 10, "en", "gopher", "gopher.stop_words.en"),
        ("代开发票贷款办证彩票优惠批发刷单兼职网赚" * 6, "zh", "gopher", "gopher.stop_words.zh"),
        (ENGLISH * 3, "en", "gopher", "gopher.repeated_lines.words"),
        (CHINESE * 3, "zh", "gopher", "gopher.repeated_lines.characters"),
        (ENGLISH.replace(" ", " # "), "en", "gopher", "gopher.min_word_length"),
        (CODE + "x = {}\n", "en", "c4", "c4.curly_brackets"),
        ("Lorem ipsum dolor sit amet, consectetur.", "", "c4", "c4.lorem_ipsum"),
        ("One single sentence is all there is here.", "en", "c4", "c4.sentences"),
        ("这里从头到尾只有这么一句话而已。", "zh", "c4", "c4.sentences"),
        ("Home\nAbout us\nContact\nCareers\n", "en", "fineweb", "fineweb.punctuated_lines.words"),
        ("首页\n关于我们\n联系方式\n产品中心\n", "zh", "fineweb", "fineweb.punctuated_lines.characters"),
        ("Yes.\nNo.\nWell, why?\nI see.\n", "en", "fineweb", "fineweb.short_lines"),
        (ENGLISH + ENGLISH.split("\n")[0], "en", "fineweb", "fineweb.repeated_lines_chars"),
    ],
)
def test_published_rules_refuse_by_name(text: str, language: str, name: str, rule: str) -> None:
    refusal = judge(text, language, name)
    assert refusal is not None and refusal.rule == rule
    assert refusal.threshold == RULES[rule].threshold


def test_stop_words_are_asked_of_their_language_alone() -> None:
    text = (
        "Am Morgen war der Hafen leer und nur ein paar Möwen standen auf der Mauer herum. Niemand öffnete "
        "den Laden, bis der Junge mit seinem Schlüssel kam und die Körbe hinausstellte, einen nach dem "
        "anderen, während draußen schon das erste Boot mit brennender Lampe einlief und die Männer lachend "
        "erzählten, dass der Wind gedreht habe und morgen alles besser werde."
    )
    assert judge(text, "de", "gopher") is None
    refusal = judge(text, "en", "gopher")
    assert refusal is not None and refusal.rule == "gopher.stop_words.en"


def test_thresholds_are_overridden_by_name() -> None:
    text = "Too short to say."
    for threshold in (3, -math.inf):
        settings = QualitySettings(sets=("gopher",), thresholds={"gopher.min_length.words": threshold})
        assert Judge(settings).judge(text) is None
    strict = QualitySettings(thresholds={"lenient.letters": 0.99})
    found = Judge(strict).judge(ENGLISH)
    assert found is not None and (found.rule, found.threshold) == ("lenient.letters", 0.99)
    assert str(Refusal("gopher.stop_words.en", 1.0, 2.0)) == "gopher.stop_words.en 1, threshold 2"


def test_no_sets_refuse_nothing() -> None:
    assert judge("", "") is None
    assert judge("\x00" * 100, "") is None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sets": ("best",)}, "unknown set of rules 'best'"),
        ({"thresholds": {"gopher.bullet_lines": 1.0}}, "is not in the chosen sets"),
        ({"thresholds": {"lenient.colour": 1.0}}, "is unknown"),
        ({"thresholds": {"lenient.hex": math.nan}}, "not a number"),
        ({"refuse_good": 1.0}, "refuse_good"),
        ({"min_worth": -0.1}, "min_worth"),
        ({"max_surprise": {"en": 0.0}}, "over 0 bits"),
    ],
)
def test_wrong_settings_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        from_mapping(QualitySettings, settings)


def test_settings_travel() -> None:
    settings = QualitySettings(
        sets=("gopher", "c4"), thresholds={"c4.sentences": 5}, max_surprise={"zh": 3.0}
    )
    assert from_mapping(QualitySettings, to_mapping(settings)) == settings
    assert pickle.loads(pickle.dumps(settings)) == settings


def test_rules_have_names_of_their_own() -> None:
    assert len(RULES) == sum(map(len, RULE_SETS.values()))
    assert all(name.split(".")[0] in RULE_SETS for name in RULES)


def test_surprise_refuses_by_language() -> None:
    settings = QualitySettings(max_surprise={"": 4.0, "zh": 2.0})
    model = Judge(settings, surprise=lambda text: 3.0)
    assert model.judge(ENGLISH, "en") is None
    assert model.judge(CHINESE, "zh") == Refusal("surprise", 3.0, 2.0)
    assert Judge(settings, surprise=lambda text: math.nan).judge(ENGLISH, "en") is not None
    with pytest.raises(InputError, match="needs a language model"):
        Judge(settings)


def test_surprise_sees_windows_of_long_texts() -> None:
    seen: list[int] = []

    def surprise(text: str) -> float:
        seen.append(len(text))
        return 1.0

    Judge(QualitySettings(sets=(), max_surprise={"": 9.0}), surprise=surprise).judge(ENGLISH * 1000)
    assert len(seen) == 1 and 20_000 <= seen[0] <= 20_010


def test_short_texts_are_not_asked_for_their_surprise() -> None:
    model = Judge(QualitySettings(sets=(), max_surprise={"": 2.0}), surprise=lambda text: 3.0)
    assert model.judge(ENGLISH[:99]) is None
    assert model.judge(ENGLISH[:100]) is not None


def test_calibration_finds_the_share_by_language_and_length() -> None:
    numbers = [number + 1.0 for number in range(200)]
    values = {"en": {100: numbers, 300: [number / 2 for number in numbers]}, "zh": {100: [3.0] * 19}}
    found = calibrate(values, 0.1)
    # Nineteen texts are too few for a threshold of their own.
    assert found["en"] == {100: 180.0, 300: 90.0} and set(found) == {"", "en"}
    assert found[""][300] == 90.0 and found[""][100] < 180
    assert calibrate(values, 0)["en"] == {100: 200.0, 300: 100.0}
    with pytest.raises(InputError, match="19 texts of 100 characters are too few"):
        calibrate({"zh": {100: [3.0] * 19}}, 0.1)


def test_limits_are_those_of_the_language_and_the_length() -> None:
    limits = {"": {100: 9.0}, "en": {100: 5.0, 1000: 3.0}}
    judge = Judge(QualitySettings(sets=()), surprise=lambda text: 4.0, limits=limits)
    long = (ENGLISH * 2)[:1000]
    for text, language, limit in ((long, "en", 3.0), (long[:999], "en", None), (long, "fr", None)):
        refusal = judge.judge(text, language)
        assert refusal == (None if limit is None else Refusal("surprise", 4.0, limit))
    by_hand = QualitySettings(sets=(), max_surprise={"fr": 3.5})
    both = Judge(by_hand, surprise=lambda text: 4.0, limits=limits)
    assert both.judge(long, "fr") == Refusal("surprise", 4.0, 3.5) and both.judge(long, "en") is not None
    lenient = Judge(QualitySettings(max_surprise={"": 5.0}), surprise=lambda text: 4.0, limits=limits)
    assert lenient.judge(long, "en") is None


def test_a_classifier_refuses_what_is_worth_too_little() -> None:
    def of_harbours(text: str) -> float:
        return 0.6 if "harbour" in text else 0.4

    usual = Judge(QualitySettings(), worth=of_harbours)
    assert usual.judge(ENGLISH, "en") is None
    assert usual.judge(CHINESE, "zh") == Refusal("worth", 0.4, 0.5)
    assert Judge(QualitySettings(min_worth=0.3), worth=of_harbours).judge(CHINESE, "zh") is None
    assert Judge(QualitySettings(min_worth=0.7), worth=of_harbours).judge(ENGLISH, "en") is not None
    with pytest.raises(InputError, match="needs a classifier"):
        Judge(QualitySettings(min_worth=0.7))
