"""How much of a text is noise: shares that tell a scan read badly, a wrong decoding, a text that is no
language.

Nothing is changed and nothing refused here. The shares are estimates from windows spread over the text.

* ``unknown words``: of the English words in lower case, those that no dictionary explains. Only of
  English texts.
* ``broken words``: of the words with Latin, Greek or Cyrillic letters, those that optical character
  recognition makes and people do not: digits within letters (rec0gnition, c1ean), capitals within small
  letters where no name is made so (thE), letters of two scripts, single letters that are no word, symbols
  within (tlie^y, w|th).
* ``rare characters``: of the ideographs, those that are neither of the 3,755 common ones of GB 2312 nor
  of the 5,401 of Big5. Wrong decodings and bad scans of Chinese show here; so does classical Chinese,
  mildly.
* ``spaced characters``: of the ideographs, those with a space on both sides.
* ``replaced characters``: of all characters, U+FFFD and private ones: what could not be decoded.

Impossible bigrams of Chinese are a language model's business (the perplexity filter of ``corpus.quality``).
"""

from __future__ import annotations

import re
from collections import Counter
from functools import cache, lru_cache

from yanmo.corpus.cleaning.words import is_english, is_english_word

_WINDOWS, _WINDOW_CHARS = 4, 800
_MIN_COUNT = 20
_MAX_WORD_CHARS = 40
_EAST_ASIAN = re.compile("[\u2e80-\ua4cf\uac00-\ud7a3\uf900-\uffef]+")
_LETTER = re.compile("[A-Za-z\u00c0-\u024f\u0370-\u052f]")
_LATIN = re.compile("[A-Za-z\u00c0-\u024f]")
_GREEK_OR_CYRILLIC = re.compile("[\u0370-\u03ff\u0400-\u052f]")
_TRIM = "\"'“”‘’«»()[]{}<>.,;:!?…—–-*_/\\"
# No word of prose: addresses, names in code, numbers with units, ordinals, model names, formulas.
_NO_WORD = re.compile(
    r".*[@/\\_=#&%$€£+~].*|.*\w[.:]\w.*|(?![01][a-z]{3})\d.*|[A-Z][A-Za-z]{0,3}-?\d+[A-Za-z]?|[a-z]{1,3}\d+"
    r"|[A-Z0-9-]+|.*[\u2070-\u209f²³¹].*"
)
_BROKEN = re.compile(
    r"(?=.*[a-z])[01|]?[A-Za-z]+(?:[0135|]{1,2}[A-Za-z]+)+|[01|][a-z]{3,}|[a-z]+[A-Z][a-z]?"
    r"|.*[a-z][\^|~!¦§¬°•■□»«<>{}]+[a-z].*"
)
# Words of one small letter in European languages, and what is left of contractions.
_SINGLE = frozenset("aioueyàéêôóòèáístmdvwсвкоиуяажюєії")
_IDEOGRAPH = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f]")
_SPACED = re.compile("(?<=[\u4e00-\u9fff][ \u3000])[\u4e00-\u9fff](?=[ \u3000][\u4e00-\u9fff])")
_LOST = re.compile("[\ufffd\ue000-\uf8ff]")


def measure_noise(text: str, *, language: str = "") -> dict[str, float]:
    """The shares that can be told of this text, each from 0 to 1.

    Args:
        text: as it is after cleaning.
        language: as far as it is known; where it is empty, English is recognised by its commonest words.
    """
    sample = _sample(text)
    if not sample or sample.isspace():
        return {}
    shares = {}
    if not sample.isascii():
        shares = _ideographs(sample)
        shares["replaced characters"] = len(_LOST.findall(sample)) / len(sample)
        sample = _EAST_ASIAN.sub(" ", sample)
    tokens = Counter([token.strip(_TRIM) for token in sample.split()])
    words = {
        word: count
        for word, count in tokens.items()
        if len(word) <= _MAX_WORD_CHARS and ((word.isalpha() and word.isascii()) or _LETTER.search(word))
    }
    total = sum(words.values())
    if total >= _MIN_COUNT:
        shares["broken words"] = sum(count for word, count in words.items() if _is_broken(word)) / total
        if language == "en" or (not language and is_english(sample)):
            lower = {word: count for word, count in words.items() if _is_lower(word)}
            unknown = sum(count for word, count in lower.items() if not is_english_word(word))
            shares["unknown words"] = unknown / max(1, sum(lower.values()))
    return shares


def _sample(text: str) -> str:
    """Windows from all over a long text, cut at white space where there is some."""
    if len(text) <= _WINDOWS * _WINDOW_CHARS:
        return text
    step = len(text) // _WINDOWS
    windows = [text[start : start + _WINDOW_CHARS] for start in range(0, step * _WINDOWS, step)]
    return "\n".join(
        window[window.find(" ", 0, 40) + 1 : max(0, window.rfind(" ", -40)) or None] for window in windows
    )


def _ideographs(sample: str) -> dict[str, float]:
    ideographs = _IDEOGRAPH.findall(sample)
    if len(ideographs) < _MIN_COUNT:
        return {}
    common = _common_ideographs()
    rare = sum(count for char, count in Counter(ideographs).items() if char not in common)
    return {
        "rare characters": rare / len(ideographs),
        "spaced characters": len(_SPACED.findall(sample)) / len(ideographs),
    }


@cache
def _common_ideographs() -> frozenset[str]:
    """The first level of the two national standards, as Python's codecs have them."""
    gb = (bytes((high, low)) for high in range(0xB0, 0xD8) for low in range(0xA1, 0xFF))
    lows = [*range(0x40, 0x7F), *range(0xA1, 0xFF)]
    big5 = (bytes((high, low)) for high in range(0xA4, 0xC7) for low in lows)
    text = "".join(code.decode("gb2312", "ignore") for code in gb) + "".join(
        code.decode("big5", "ignore") for code in big5
    )
    return frozenset(_IDEOGRAPH.findall(text))


def _is_lower(word: str) -> bool:
    return len(word) > 2 and word.isascii() and word.isalpha() and word.islower()


@lru_cache(maxsize=1 << 16)
def _is_broken(word: str) -> bool:
    if len(word) == 1:
        return word.islower() and word not in _SINGLE
    if word.isalpha() and word.isascii() and (word.islower() or word.istitle() or word.isupper()):
        return False
    if _LATIN.search(word) and _GREEK_OR_CYRILLIC.search(word):
        return True
    return _NO_WORD.fullmatch(word) is None and _BROKEN.fullmatch(word) is not None
