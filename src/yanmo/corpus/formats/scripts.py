"""How much a decoded text looks like a language, to tell the older encodings apart.

Each character beyond ASCII has a weight: the commonest of its script most, what no one writes less than
nothing. The mean tells a right decoding from a wrong one, which scatters over the rare characters. How common
an ideogram is, the old standards tell themselves: their first level holds the common ones.
"""

from __future__ import annotations

import re
from functools import lru_cache

CANDIDATES = ("gb18030", "big5hkscs", "cp932", "euc_jp", "cp949", "cp1251", "koi8_r", "cp1252")
"""Tried in this order; of two that look the same the first is taken."""

# Together about half of the characters of a modern text, and common ones of the classical language.
_COMMON_HANZI = frozenset(
    "的一是不了在人有我他这个们中来上大为和国地到以说时要就出会可也你对生能而子那得于着下自之年过发后作里"
    "用道行所然家种事成方多经么去法学如都同现当没动面起看定天分还进好小部其些主样理心她本前开但因只从想实"
    "日军者意无力它与长把机十民第公此已工使情明性知全三又关点正业外将两高间由问很最重并物手应战向头文体政"
    "美相见被利什二等产或新己制身果加西斯月话合回特代内信表化老给世位次度门任常先海通教儿原东声提立及比员"
    "曰何乃故亦夫兮谓令君王臣吾矣哉焉乎请书读写字句石山水第章节"
    "這個們來為國說時會對過發後裡麼經學現當沒動還進樣開從實軍無與長機關點業將兩間問應戰頭體見產話內門"
    "兒東聲員謂請書讀寫節種它著於"
)
_COMMON_KANA = frozenset(
    "あいうえおかきくけこさしすせそたちつてとなにぬねのはひふへほまみむめもやゆよらりるれろわをんがぎぐげござじずぜ"
    "ぞだぢづでどばびぶべぼぱぴぷぺぽっゃゅょアイウエオカキクケコサシスセソタチツテトナニヌネノハヒフヘホマミムメモヤユ"
    "ヨラリルレロワヲンガギグゲゴザジズゼゾダヂヅデドバビブベボパピプペポッャュョァィゥェォー"
)
_COMMON_HANGUL = frozenset(
    "이다의는에을가고를지은도한하기사로서자어리나있시그대인아해들일수정과부전것보제으장공게면만상성여었스주"
    "와관적라았조비방동등선구원신했경안연문유오며개소화세생위중용년치실회국때발체통계물할학우식구말분각결재"
    "내바러트모마음간점요없습니까우려운미드입저진업단반본후였된당같더많야거차교크속불남심난걸건바차거"
)
_JAPANESE_KANJI = frozenset(
    "日本人一年大会国出中上事者生見月分時行間場手気自家来発前力合思言対新度学方地内高目入書話物下子小長"
    "説語文章田東京実現的主理意味何今開後何使私用部動様円"
)
_CYRILLIC = dict(
    zip("оеаинтсрвлкмдпуяыьгзбчйхжшюцщэфё", (1.0,) * 16 + (0.85,) * 9 + (0.6,) * 7, strict=True)
) | dict.fromkeys("іїєґў", 0.5)
_EUROPEAN = frozenset("àáâãäåæçèéêëìíîïñòóôõöøùúûüýßœÀÁÂÄÇÈÉÊËÍÎÑÓÔÖØÚÛÜŒ‘’“”–—…«»°·£€§©¿¡\xa0")
_EAST_ASIAN_PUNCTUATION = frozenset("，。、；：？！“”‘’（）《》「」『』…—～·　〈〉【】〔〕％／．・＂")
_BEYOND_ASCII = re.compile(r"[^\x00-\x7f]")
_MAX_CHARS = 20_000
# Lower-case Cyrillic letters follow upper-case ones at the beginning of words only.
_MIXED_CASE = re.compile(r"[а-яё][А-ЯЁ]")
_MIXED_SCRIPTS = re.compile(r"[a-zA-Z][а-яёА-ЯЁ]|[а-яёА-ЯЁ][a-zA-Z]")
_HIGH_RUN = re.compile(r"[^\x00-\x7f]{4,}")


def likeness(text: str, name: str) -> float:
    """How much a text looks like one: about 1 for a right decoding, below 0 for rubbish.

    Args:
        text: decoded; only its first characters beyond ASCII are looked at.
        name: the encoding it was decoded with.
    """
    chars = _BEYOND_ASCII.findall(text[: 1 << 18])[:_MAX_CHARS]
    if name.startswith("utf-"):
        return _wide_likeness(text[:_MAX_CHARS])
    if not chars:
        return 0.0
    if name == "cp1252":
        return _european(text, chars)
    if name in ("cp1251", "koi8_r"):
        return _cyrillic(text, chars)
    weigh = {"gb18030": _chinese, "big5hkscs": _chinese, "cp949": _korean}.get(name, _japanese)
    standard = {"gb18030": "gb2312", "big5hkscs": "big5"}.get(name, "")
    mean = sum(_weight(weigh, char, standard) for char in chars) / len(chars)
    if weigh is _japanese and len(chars) >= 8:
        # Japanese without any hiragana is not written.
        kana = sum("\u3041" <= char <= "\u3093" for char in chars)
        mean -= 0.0 if kana > 0.1 * len(chars) else 0.4
    return mean


def _weight(weigh: object, char: str, standard: str) -> float:
    if char in _EAST_ASIAN_PUNCTUATION:
        return 0.7
    if "\uff01" <= char <= "\uff5e":
        return 0.4
    return weigh(char, standard)  # type: ignore[operator]


def _chinese(char: str, standard: str) -> float:
    if char in _COMMON_HANZI:
        return 1.4
    if "\u4e00" <= char <= "\u9fff":
        return 0.5 if _is_first_level(char, standard) else -0.6
    return _other(char)


def _japanese(char: str, standard: str) -> float:
    if char in _COMMON_KANA:
        return 1.2
    if char in _JAPANESE_KANJI:
        return 1.0
    if "\u4e00" <= char <= "\u9fff":
        return 0.4 if _is_first_level(char, "euc_jp") else -0.6
    return _other(char)


def _korean(char: str, standard: str) -> float:
    if char in _COMMON_HANGUL:
        return 1.4
    if "\uac00" <= char <= "\ud7a3":
        return 0.4 if _is_first_level(char, "euc_kr") else -0.8
    # Ideograms stand alone among syllables.
    return -0.3 if "\u4e00" <= char <= "\u9fff" else _other(char)


def _other(char: str) -> float:
    if char in _EUROPEAN or "\u2010" <= char <= "\u2027" or "\u2460" <= char <= "\u2473":
        return 0.2
    if "\u3041" <= char <= "\u30fc" or "\uac00" <= char <= "\ud7a3" or "\u0391" <= char <= "\u0451":
        return 0.0
    return -1.0


@lru_cache(maxsize=40_000)
def _is_first_level(char: str, standard: str) -> bool:
    """Whether the standard has the character among its common ones."""
    try:
        lead = char.encode(standard)[0]
    except UnicodeEncodeError:
        return False
    last = {"gb2312": 0xD7, "big5": 0xC6, "euc_jp": 0xCF, "euc_kr": 0xC8}[standard]
    return lead <= last


def _cyrillic(text: str, chars: list[str]) -> float:
    total = 0.0
    for char in chars:
        low = char.lower()
        if low in _CYRILLIC:
            # The two encodings have the cases of each other's letters: a text is mostly in lower case.
            total += _CYRILLIC[low] if char == low else 0.55 * _CYRILLIC[low]
        else:
            total += 0.2 if char in _EUROPEAN or char == "№" else -1.0
    sample = text[: 1 << 16]
    mixed = len(_MIXED_CASE.findall(sample)) + len(_MIXED_SCRIPTS.findall(sample))
    # A text has words: letters follow one another.
    runs = sum(len(run) for run in _HIGH_RUN.findall(sample))
    high = max(1, len(_BEYOND_ASCII.findall(sample)))
    return total / len(chars) - 2.0 * mixed / high - (0.6 if runs < 0.4 * high else 0.0)


def _european(text: str, chars: list[str]) -> float:
    if len(chars) > 0.3 * len(text):
        return -1.0
    good = sum(char in _EUROPEAN for char in chars) / len(chars)
    runs = sum(len(run) for run in _HIGH_RUN.findall(text)) / len(chars)
    return good - 4.0 * (1.0 - good) - runs


def _wide_likeness(text: str) -> float:
    """Of UTF-16 and UTF-32: whether characters are of scripts that people write, with spaces or line ends."""
    if not text:
        return 0.0
    good = sum(char < "\x7f" and (char >= " " or char in "\t\n\r\f") for char in text)
    good += sum(char in _COMMON_HANZI or char in _COMMON_KANA or char in _COMMON_HANGUL for char in text)
    good += sum(
        char in _EAST_ASIAN_PUNCTUATION or char in _EUROPEAN or char.lower() in _CYRILLIC for char in text
    )
    return good / len(text) + (0.25 if good > 0.2 * len(text) else 0.0)
