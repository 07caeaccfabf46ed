"""From a text to its terms: words where a language has spaces, and for Chinese one of two named ways.

Text is brought to Unicode NFKC and lower case. A word is a run of letters, digits and underscores with
the marks that combine with them; a run of Chinese characters within it is cut apart. Either the
dictionary segmenter ``rjieba`` does that (Viterbi over a prefix dictionary, an HMM for words it lacks),
or every two neighbouring characters are a term, which needs no dictionary and is hard to beat for
classification and retrieval (Nie, Gao, Zhang and Zhou 2000, "On the Use of Words and N-grams for Chinese
Information Retrieval"). Languages that write neither spaces nor Chinese characters, such as Thai or
Japanese kana, are not cut.

Or terms are smaller than words: runs of a few characters of each, which an ending or a misspelling leaves
mostly alone (Bojanowski, Grave, Joulin and Mikolov 2017, "Enriching Word Vectors with Subword Information",
section 3.2).
"""

from __future__ import annotations

import enum
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache, lru_cache, partial

from yanmo.tokenizers.segmenter import chinese_words, segmenter_version

Cut = Callable[[str], Sequence[str]]
_LAST_MARK = 0x1FFFF
# Words whose subwords are remembered.
_KEPT_WORDS = 50_000
# The unified ideographs and their extensions, compatibility forms, and the marks that repeat one.
_CHINESE = re.compile("[\u3005-\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]+")


class Analyser(enum.Enum):
    """How texts become terms; its value stands in the files of whatever was made with it."""

    JIEBA = "jieba"
    """Chinese by the segmenter."""

    BIGRAMS = "bigrams"
    """Chinese by pairs of neighbouring characters."""

    SUBWORDS = "subwords"
    """Runs of three to five characters of each word between its borders, of Chinese one to three."""

    def terms(self, text: str) -> list[str]:
        """Terms in the order of the text, with repetitions.

        Raises:
            InputError: the text holds Chinese and the segmenter is not installed.
        """
        found: list[str] = []
        for word in _word_pattern().findall(normalise(text)):
            found.extend(_TERMS[self](word))
        return found

    def version(self) -> str | None:
        """What else decides the terms: the segmenter with its version; None without one."""
        return segmenter_version() if self is Analyser.JIEBA else None


def normalise(text: str) -> str:
    """A text as its terms are written: Unicode NFKC, lower case."""
    return unicodedata.normalize("NFKC", text).lower()


def _word_terms(word: str, cut: Cut, part: Cut) -> Iterator[str]:
    """The terms of a word: ``cut`` gives those of runs of Chinese characters, ``part`` those of the rest."""
    start = 0
    for run in _CHINESE.finditer(word):
        if run.start() > start:
            yield from part(word[start : run.start()])
        yield from cut(run[0])
        start = run.end()
    if start < len(word):
        yield from part(word[start:])


def _bigrams(run: str) -> Sequence[str]:
    return [run[i : i + 2] for i in range(len(run) - 1)] or [run]


def _whole(part: str) -> Sequence[str]:
    return (part,)


def _runs(text: str, sizes: Iterable[int]) -> list[str]:
    return [text[i : i + size] for size in sizes for i in range(len(text) - size + 1)]


@lru_cache(_KEPT_WORDS)
def _subwords(word: str) -> tuple[str, ...]:
    return tuple(_word_terms(word, _short_runs, _bordered_runs))


def _short_runs(run: str) -> Sequence[str]:
    return _runs(run, (1, 2, 3))


def _bordered_runs(part: str) -> Sequence[str]:
    return _runs(f"<{part}>", (3, 4, 5))


_TERMS: dict[Analyser, Callable[[str], Iterable[str]]] = {
    Analyser.JIEBA: partial(_word_terms, cut=chinese_words, part=_whole),
    Analyser.BIGRAMS: partial(_word_terms, cut=_bigrams, part=_whole),
    Analyser.SUBWORDS: _subwords,
}


@cache
def _word_pattern() -> re.Pattern[str]:
    """Letters, digits, underscores, and combining marks, which ``\\w`` leaves out (Arabic, Hindi)."""
    marks = (chr(code) for code in range(_LAST_MARK) if unicodedata.category(chr(code)).startswith("M"))
    return re.compile(rf"\w[\w{''.join(marks)}]*")
