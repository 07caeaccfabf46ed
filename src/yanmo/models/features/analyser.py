"""From a text to its terms: words where a language has spaces, and for Chinese one of two named ways.

Text is brought to Unicode NFKC and lower case. A word is a run of letters, digits and underscores with
the marks that combine with them; a run of Chinese characters within it is cut apart. Either the
dictionary segmenter ``rjieba`` does that (Viterbi over a prefix dictionary, an HMM for words it lacks),
or every two neighbouring characters are a term, which needs no dictionary and is hard to beat for
classification and retrieval (Nie, Gao, Zhang and Zhou 2000, "On the Use of Words and N-grams for Chinese
Information Retrieval"). Languages that write neither spaces nor Chinese characters, such as Thai or
Japanese kana, are not cut.
"""

from __future__ import annotations

import enum
import re
import unicodedata
from collections.abc import Callable, Iterator
from functools import cache

from yanmo.tokenizers.segmenter import chinese_words, segmenter_version

_LAST_MARK = 0x1FFFF
# The unified ideographs and their extensions, compatibility forms, and the marks that repeat one.
_CHINESE = re.compile("[\u3005-\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]+")


class Analyser(enum.Enum):
    """How texts become terms; its value stands in the files of whatever was made with it."""

    JIEBA = "jieba"
    """Chinese by the segmenter."""

    BIGRAMS = "bigrams"
    """Chinese by pairs of neighbouring characters."""

    def terms(self, text: str) -> list[str]:
        """Terms in the order of the text, with repetitions.

        Raises:
            InputError: the text holds Chinese and the segmenter is not installed.
        """
        cut = _CUTS[self]
        found: list[str] = []
        for word in _word_pattern().findall(normalise(text)):
            found.extend(_word_terms(word, cut))
        return found

    def version(self) -> str | None:
        """What else decides the terms: the segmenter with its version; None without one."""
        return segmenter_version() if self is Analyser.JIEBA else None


def normalise(text: str) -> str:
    """A text as its terms are written: Unicode NFKC, lower case."""
    return unicodedata.normalize("NFKC", text).lower()


def _word_terms(word: str, cut: Callable[[str], list[str]]) -> Iterator[str]:
    """The parts of a word between Chinese characters as they are, runs of these as ``cut`` cuts them."""
    start = 0
    for run in _CHINESE.finditer(word):
        if run.start() > start:
            yield word[start : run.start()]
        yield from cut(run[0])
        start = run.end()
    if start < len(word):
        yield word[start:]


def _bigrams(run: str) -> list[str]:
    return [run[i : i + 2] for i in range(len(run) - 1)] or [run]


_CUTS: dict[Analyser, Callable[[str], list[str]]] = {
    Analyser.JIEBA: chinese_words,
    Analyser.BIGRAMS: _bigrams,
}


@cache
def _word_pattern() -> re.Pattern[str]:
    """Letters, digits, underscores, and combining marks, which ``\\w`` leaves out (Arabic, Hindi)."""
    marks = (chr(code) for code in range(_LAST_MARK) if unicodedata.category(chr(code)).startswith("M"))
    return re.compile(rf"\w[\w{''.join(marks)}]*")
