"""Languages told apart by script and by model, and what is in none."""

from __future__ import annotations

import numpy as np
import pytest

from yanmo.corpus.language.identify import LANGUAGES, identify, identify_all
from yanmo.corpus.language.model import load_language_model
from yanmo.corpus.language.scripts import (
    CODE_MARK,
    DIGIT,
    FIRST_SCRIPT,
    HAN,
    HAN_JAPANESE,
    HAN_SIMPLIFIED,
    HAN_TRADITIONAL,
    KANA,
    OTHER,
    SCRIPTS,
    SPACE,
    WIDE_MARK,
    classes_of,
    codes_of,
)

PARAGRAPHS = {
    "en": "The boats came home late that evening, and the whole village went down to the shore with lamps.",
    "de": "Am nächsten Morgen lag der Schnee so hoch vor der Tür, dass wir nicht mehr hinausgehen konnten.",
    "fr": "Il avait plu toute la nuit, et le jardin sentait la terre mouillée quand il ouvrit les volets.",
    "es": "Mi abuela guardaba las cartas en una caja de madera que nadie más que ella podía abrir.",
    "it": "Quando il treno si fermò nella piccola stazione, due viaggiatori scesero con le loro valigie.",
    "pt": "Não sabíamos ainda que aquela seria a última vez que veríamos a casa onde crescemos todos juntos.",
    "nl": "De kinderen liepen langs het water en gooiden stenen zo ver als ze konden, tot het donker werd.",
    "sv": "När vi äntligen kom fram till stugan var det redan mörkt och ingen hade tänt någon lampa.",
    "pl": "Wczoraj wieczorem spotkaliśmy się przy rzece, żeby porozmawiać o tym, co należy teraz zrobić.",
    "cs": "Každé ráno chodil stejnou cestou do práce a nikdy si nevšiml, že ho někdo pozoruje z okna.",
    "fi": "Talvella järvi jäätyi niin paksusti, että sen yli saattoi kävellä suoraan kauppaan ja takaisin.",
    "hu": "A nagymamám minden vasárnap reggel kenyeret sütött, és az egész utca érezte az illatát.",
    "tr": "Sabahın erken saatlerinde pazara gittik ve akşam yemeği için taze sebzelerle ekmek aldık.",
    "vi": "Buổi sáng hôm ấy trời nhiều sương, và chúng tôi phải đi rất chậm trên con đường ra chợ.",
    "id": "Kami duduk di depan rumah sambil menunggu hujan berhenti supaya bisa pulang bersama-sama.",
    "ru": "Когда мы вышли из дома, на улице уже никого не было, и только в одном окне горел свет.",
    "uk": "Щоранку бабуся виходила на подвір'я, щоб погодувати курей, і завжди наспівувала ту саму пісню.",
    "bg": "Вечерта се върнахме в града и разбрахме, че всички вече са научили за новината от съседите.",
    "el": "Το πρωί η θάλασσα ήταν ήρεμη και τα καΐκια γύριζαν ένα ένα στο λιμάνι.",
    "he": "בבוקר יצאנו מן הבית ולא ידענו מתי נוכל לחזור אליו.",
    "ar": "خرجنا من البيت في الصباح الباكر ولم نكن نعرف متى سنعود إليه مرة أخرى.",
    "fa": "صبح زود از خانه بیرون رفتیم و نمی‌دانستیم که چه زمانی دوباره به آنجا برمی‌گردیم.",
    "hi": "सुबह होते ही हम सब नदी के किनारे गए और वहाँ बैठकर देर तक बातें करते रहे।",
    "bn": "সকালে আমরা নদীর ধারে গিয়েছিলাম এবং অনেকক্ষণ বসে গল্প করেছিলাম।",
    "th": "ตอนเช้าเราเดินไปตลาดเพื่อซื้อผักและปลามาทำอาหารเย็น",
    "ko": "아침 일찍 우리는 강가로 내려가서 배가 돌아오기를 오랫동안 기다렸다.",
    "ja": "朝早く私たちは川辺に下りて、船が帰ってくるのを長い間待っていた。",
    "zh": "清晨我们走到河边，等了很久，船才慢慢地从雾里回来。",
}


@pytest.mark.parametrize("code", PARAGRAPHS)
def test_paragraphs_of_many_languages_are_told(code: str) -> None:
    found = identify(PARAGRAPHS[code])
    assert found.code == code
    assert 0.3 < found.confidence <= 1


def test_together_is_as_one_by_one() -> None:
    texts = [*PARAGRAPHS.values(), "", "12:30", "def f(x): return {x: x + 1}"]
    assert identify_all(texts) == [identify(text) for text in texts]


@pytest.mark.parametrize(
    ("text", "code", "script"),
    [
        ("今天天气很好，我们去公园说话。", "zh", "Hans"),
        ("今天天氣很好，我們去公園說話。", "zh", "Hant"),
        ("天地玄黄", "zh", "Hani"),
        ("佢哋喺香港食咗飯，真係好好味㗎。", "zh", "Hant"),  # Cantonese has no code of its own in ISO 639-1
        ("子曰：學而時習之，不亦說乎？", "zh", "Hant"),
        ("東京都渋谷区駅前の広場", "ja", "Jpan"),
        ("渋谷駅前広場 営業中", "ja", "Jpan"),  # no kana at all, but forms of characters that Japan alone has
        ("コンピュータ", "ja", "Jpan"),
        ("大韓民國은 民主共和國이다", "ko", "Hang"),
        ("안녕하세요", "ko", "Hang"),
        ("这家店叫“鲜の每日”，在我们学校旁边。", "zh", "Hans"),
        ("我们使用 machine learning 和 deep learning 训练模型", "zh", "Hans"),
        ("The Chinese word 你好 means hello, and children learn it first.", "en", "Latn"),
        ("สวัสดี", "th", "Thai"),
    ],
)
def test_scripts_decide(text: str, code: str, script: str) -> None:
    found = identify(text)
    assert (found.code, found.script) == (code, script)


@pytest.mark.parametrize(
    ("text", "code"),
    [("Thanks, see you tomorrow!", "en"), ("Bonjour tout le monde", "fr"), ("Wie geht es dir?", "de")],
)
def test_short_texts_are_told_where_they_say_enough(text: str, code: str) -> None:
    assert identify(text).code == code


@pytest.mark.parametrize(
    "text",
    [
        "",
        " \n\t ",
        "ok",
        "你",
        "12345 678-90, 3.14%",
        "| 17 | 4.5 |\n|---|---|\n| 12 | 9.25 |",
        "for (int i = 0; i < n; i++) { total[i] += weights[i] * x[i]; }",
        "def area(r):\n    return {'r': r, 'a': 3.14 * r ** 2}\n\n_cache = area(r=2)",
        '{"id": 17, "name": "lamp", "tags": ["a", "b"], "price": {"value": 3}}',
        "\U0001f600\U0001f600 !!! ???",
        "\ud800\udfff",
    ],
)
def test_what_is_in_no_language(text: str) -> None:
    assert identify(text).code == ""
    assert identify(text).confidence == 0


def test_romanised_chinese_is_not_taken_for_a_rare_language() -> None:
    assert identify("Wo xihuan chi pingguo, ni ne? Women mingtian qu Beijing wan.").code in {"", "en", "id"}


def test_a_long_text_is_what_most_of_it_is() -> None:
    english, chinese = PARAGRAPHS["en"] + "\n", PARAGRAPHS["zh"] + "\n"
    assert identify(english * 300 + chinese * 30).code == "en"
    assert identify(english * 5 + chinese * 900).code == "zh"


def test_shouting_is_still_a_language() -> None:
    assert identify(PARAGRAPHS["de"].upper()).code == "de"


def test_scores_are_those_of_the_package() -> None:
    """The automaton walked over all bytes at once says what py3langid says byte after byte."""
    langid = pytest.importorskip("py3langid.langid")
    theirs = langid.LanguageIdentifier.from_model_file(langid.MODEL_FILE)
    model = load_language_model()
    texts = [*PARAGRAPHS.values(), "a", "\u00e9", "", "Straße " * 40, "\ud800 lone"]
    ours = model.scores(texts)
    for text, row in zip(texts, ours, strict=True):
        scores: dict[str, float] = {}
        for label, score in theirs.rank(text):
            scores[label] = score / max(1, len(text.encode("utf-8", "surrogatepass"))) ** 0.5
        for code in ("en", "de", "ru", "ja", "sw"):
            mine = max(float(row[column]) for column, label in enumerate(model.labels) if label == code)
            if text and scores[code] > -1e30:
                assert mine == pytest.approx(scores[code], rel=1e-4, abs=1e-4), (text, code)
    np.testing.assert_allclose(model.scores(texts[3:4])[0], ours[3], rtol=1e-5)


def test_every_language_offered_can_be_told() -> None:
    told = set(load_language_model().labels)
    by_script_alone = {"zh", "ja", "dv", "bo"}
    assert not LANGUAGES - told - by_script_alone
    assert {"en", "zh", "de", "fr", "ja", "ko", "ru", "ar"} <= LANGUAGES


@pytest.mark.parametrize(
    ("characters", "kind"),
    [
        (" \t\n\u3000\xa0\u2028", SPACE),
        ("09٣७９", DIGIT),
        ("{};=_\\", CODE_MARK),
        ("，。！？；：（）「」", WIDE_MARK),
        ("的了人山々〇", HAN),
        ("们说这车", HAN_SIMPLIFIED),
        ("們說這車", HAN_TRADITIONAL),
        ("働駅円", HAN_JAPANESE),
        ("あンー", KANA),
        ("aZéßẵＡ", FIRST_SCRIPT + SCRIPTS.index("Latn")),
        ("жЁґ", FIRST_SCRIPT + SCRIPTS.index("Cyrl")),
        ("한ㅋ", FIRST_SCRIPT + SCRIPTS.index("Hang")),
        (".,-—“”…×÷\U000f0000", OTHER),
    ],
)
def test_classes_of_characters(characters: str, kind: int) -> None:
    assert classes_of(codes_of(characters)).tolist() == [kind] * len(characters)
