"""English words and how often they are written, from the dictionary that symspellpy ships.

82,765 words of Google Books n-grams that SCOWL knows too (W. Garbe, SymSpell, MIT licence). It spells as
the British do; American spellings are recognised by the difference.
"""

from __future__ import annotations

import re
from functools import cache, lru_cache
from importlib.resources import as_file, files
from pathlib import Path

_WORDS = re.compile(r"[^\W\d_]+")
_ENDINGS = _WORDS.findall(
    "s es ed d ing er ers ly ness able ism ist like less wise ize izer izers ized izing ization"
)
_BEGINNINGS = _WORDS.findall("un re non pre sub super multi anti inter over under co de dis")
_AMERICAN = dict(
    zip(
        _WORDS.findall("or iz yz ense ter ber og eled eling eler aling aled eo em ed gray skep mold"),
        _WORDS.findall(
            "our is ys ence tre bre ogue elled elling eller alling alled aeo aem aed grey scep mould"
        ),
        strict=True,
    )
)
# What is left of contractions where the apostrophe was split off.
_NEGATED = frozenset(
    _WORDS.findall(
        "didn doesn don isn wasn weren wouldn couldn shouldn hasn haven hadn aren ain mustn needn won"
    )
)
_STOP_WORDS = frozenset(
    _WORDS.findall(
        "the of and to in a is that it for was on with as be at by this are from or had not have but an "
        "which they you"
    )
)
_STOP_WORD_SHARE = 0.15
_MAX_CHARS = 20_000
_MIN_PART_CHARS = 4
_COMMON = 5_000_000


@cache
def english_words() -> dict[str, int]:
    """Each word in lower case with how often it was counted."""
    with as_file(files("symspellpy")) as folder:
        text = (Path(folder) / "frequency_dictionary_en_82_765.txt").read_text("utf-8-sig")
    return {word: int(count) for word, count in (line.split() for line in text.splitlines())}


@lru_cache(maxsize=100_000)
def is_english_word(word: str) -> bool:
    """Whether a word in lower case is in the dictionary, or is plainly made of parts that are."""
    words = english_words()
    if word in words or word in _NEGATED:
        return True
    if any(
        american in word and word.replace(american, british, 1) in words
        for american, british in _AMERICAN.items()
    ):
        return True
    for ending in _ENDINGS:
        stem = word.removesuffix(ending)
        if stem != word and len(stem) > 2 and (stem in words or stem + "e" in words):
            return True
    for beginning in _BEGINNINGS:
        rest = word.removeprefix(beginning)
        if rest != word and len(rest) > 3 and rest in words:
            return True
    cuts = range(_MIN_PART_CHARS, len(word) - _MIN_PART_CHARS + 1)
    return any(min(words.get(word[:i], 0), words.get(word[i:], 0)) > _COMMON for i in cuts)


def is_english(text: str) -> bool:
    """Whether the commonest English words make up as much of a text as they do of English."""
    words = _WORDS.findall(text[:_MAX_CHARS])
    return sum(map(_STOP_WORDS.__contains__, map(str.lower, words))) > _STOP_WORD_SHARE * len(words)
