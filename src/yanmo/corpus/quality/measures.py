"""What the rules look at: shares, lengths and repetitions of a text, a few passes over arrays each.

A text is cut into units: words between white, and in scripts without spaces (Chinese, Japanese, Thai ...)
single characters. Everything after that is done on units, lines (runs of units) and paragraphs (runs of
lines), which are known by 64-bit hashes that are the same on every machine. All lengths are of visible
characters: white counts nowhere.

A text of over 200,000 characters is measured on eight windows of 25,000, evenly spread, the first at its
beginning and the last at its end: the published thresholds are for pages, and what repeats grows with the
length. Only the number of units is of the whole text, as many times more as it is longer.
"""

from __future__ import annotations

import enum
import math
import re
from collections.abc import Callable
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from yanmo.corpus.language import scripts
from yanmo.corpus.language.scripts import DIGIT, HAN, SPACE, WIDE_MARK
from yanmo.corpus.quality.repetition import (
    NGRAM_SHARES,
    REPEATED_NGRAMS,
    later_ones,
    most_repeated,
    ngram_shares,
)
from yanmo.corpus.quality.units import UNSPACED, Runs, Units, points_of

MAX_CHARS: Final = 200_000
_WINDOWS = 8

BULLETS = "-*•‣⁃●○■□◆◇▪▫►▶·–—"
TERMINAL = ".!?\"'。！？…”’」』．；"
_ELLIPSES = ("...", "…")
_NEWLINE = 10
_UNBROKEN_CHARS, _CLOSE_CHARS, _GIGANTIC_LINE = 60, 15, 500
# Where no such run is, no unit is so long (what ends a unit is left out of it). Of long texts arrays tell it
# sooner.
_FEW_CHARS = 2_000
_LONG_UNIT = re.compile(
    "[^\\s\u3001-\u3029\u3041-\u3096\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
    f"\uff01-\uff0f\uff1a-\uff20]{{{_CLOSE_CHARS}}}"
)
# All that can be a unit of one character, and more.
_MAY_STAND_ALONE = re.compile("[\u0e00-\u1fff\u2e80-\U0010ffff]")
# A dump of text has few letters among its digits, a table of numbers none.
_MIN_HEX_LETTERS, _MIN_DIGITS = 0.02, 0.1
_SHORT_LINE: Final = {"words": 30, "characters": 10}
_SENTENCE_UNITS: Final = {"words": 5, "characters": 8}
# A full stop of ASCII ends a sentence before white, and after an ideograph anywhere.
_SENTENCE_END = re.compile(r"(?<=[\u3040-\u9fff])[.!?]+|[.!?]+(?=[\"'”’)\]]*(?:\s|$))|[。！？…．]+")
_POLICIES = (
    "terms of use",
    "privacy policy",
    "cookie policy",
    "uses cookies",
    "use of cookies",
    "use cookies",
    "javascript",
    "隐私政策",
    "隱私政策",
    "使用条款",
    "使用條款",
    "用户协议",
)
STOP_WORDS: Final = {
    "en": frozenset(["the", "be", "to", "of", "and", "that", "have", "with"]),
    "zh": frozenset("的了是在不和有这這之而者也以其于於为為"),
}
"""English: Gopher's. Chinese: the most frequent function words, modern and classical, in both scripts."""


_REPEATED_SHARES: Final = {f"repeated_{n}grams": n for n in REPEATED_NGRAMS}
_REPEATED_PARTS: Final = (
    "repeated_lines",
    "repeated_lines_chars",
    "repeated_paragraphs",
    "repeated_paragraphs_chars",
)


class Writing(enum.StrEnum):
    """What the units of a text are."""

    WORDS = "words"
    CHARACTERS = "characters"


def sample_of(text: str, most_chars: int = MAX_CHARS, windows: int = _WINDOWS) -> str:
    """The text, or windows of it, evenly spread, of so many characters together."""
    return "\n".join(windows_of(text, most_chars, windows))


def windows_of(text: str, most_chars: int, windows: int) -> list[str]:
    """The whole text, or windows of it, evenly spread, of so many characters together."""
    if len(text) <= most_chars:
        return [text]
    width = most_chars // windows
    starts = [(len(text) - width) * index // (windows - 1) for index in range(windows)]
    return [text[start : start + width] for start in starts]


class Measures:
    """The measures of a text by name, each group of them computed when one is asked for."""

    def __init__(self, text: str, language: str = "") -> None:
        """Prepare the text.

        Args:
            text: as long as it may be; see the module for what is looked at.
            language: ISO 639-1, for its stop-words.
        """
        self._text, self._language = sample_of(text), language
        self._times_longer = len(text) / max(1, len(self._text))
        self._found: dict[str, float] = {}

    def __getitem__(self, name: str) -> float:
        """The value of one of ``MEASURES``."""
        if name not in self._found:
            self._found.update(_GROUP_OF[name](self))
        return self._found[name]

    def most(self, name: str) -> float:
        """What a measure cannot exceed, known sooner than the measure; infinity where that is not known."""
        if name not in _REPEATED_SHARES:
            return math.inf
        if len(self._text) <= _FEW_CHARS:
            return self._most_repeated
        size = _REPEATED_SHARES[name] * self._units_in_one
        return most_repeated(self._units.hashes, self._units.length, size)

    def all(self) -> dict[str, float]:
        """Every measure."""
        return {name: self[name] for name in MEASURES}

    @cached_property
    def writing(self) -> Writing:
        """Characters where most units are of a script without spaces."""
        units = self._units
        unspaced = int(UNSPACED[self._classes[units.start]].sum())
        return Writing.CHARACTERS if unspaced > len(units.start) / 2 else Writing.WORDS

    @cached_property
    def _codes(self) -> NDArray[np.uint32]:
        return scripts.codes_of(self._text)

    @cached_property
    def _classes(self) -> NDArray[np.uint8]:
        return scripts.classes_of(self._codes)

    @cached_property
    def _units(self) -> Units:
        return Units(self._codes, self._classes)

    @cached_property
    def _lines(self) -> Runs:
        units = self._units
        line = np.cumsum(self._codes == _NEWLINE)[units.start]
        return Runs(line, units.length, units.hashes)

    @cached_property
    def _visible(self) -> int:
        """Visible characters."""
        return int(np.count_nonzero(self._classes != SPACE))

    @cached_property
    def _most_repeated(self) -> float:
        """The share of what is not there for the first time: no repeated n-gram holds anything else."""
        text = self._text
        if _MAY_STAND_ALONE.search(text) is None:
            first = sum(map(len, set(text.split())))
        else:
            first = sum("\u4e00" <= character <= "\u9fff" for character in set(text))
        return 1 - first / max(1, self._visible)

    def _characters(self) -> dict[str, float]:
        visible = max(1, self._visible)
        unbroken = minified = 0
        if len(self._text) > _FEW_CHARS or _LONG_UNIT.search(self._text):
            lengths = self._units.length
            unbroken, minified = int(lengths[lengths >= _UNBROKEN_CHARS].sum()), self._minified_chars()
        return {
            "letters": int(np.count_nonzero(self._classes >= HAN)) / visible,
            "unbroken": unbroken / visible,
            "hex": self._hex_chars() / visible,
            "minified": minified / visible,
        }

    def _minified_chars(self) -> int:
        """Characters of what stands close together in gigantic lines."""
        units = self._units
        close = np.flatnonzero(units.length >= _CLOSE_CHARS)
        if units.visible < _GIGANTIC_LINE or not len(close):
            return 0
        line = np.cumsum(self._codes == _NEWLINE)[units.start]
        sizes = np.bincount(line, weights=units.length)
        return int(units.length[close][sizes[line[close]] >= _GIGANTIC_LINE].sum())

    def _hex_chars(self) -> int:
        if np.count_nonzero(self._classes == DIGIT) < _MIN_DIGITS * self._visible:
            return 0
        units = self._units
        found = int(units.length[units.is_hex].sum())
        return found if units.letters[units.is_hex].sum() >= max(1, _MIN_HEX_LETTERS * found) else 0

    def _unit_values(self) -> dict[str, float]:
        units, text = self._units, self._text
        number = len(units.start)
        worded = units.letters > 0
        if self.writing is Writing.CHARACTERS:
            # A mark of punctuation is a unit here, which it is not where words have spaces.
            worded = worded[self._classes[units.start] != WIDE_MARK]
        return {
            "units": float(round(number * self._times_longer)),
            "unit_length": units.visible / max(1, number),
            "hash_marks": text.count("#") / max(1, number),
            "ellipses": (text.count("...") + _count_runs(text, "…")) / max(1, number),
            "lettered_units": float(worded.mean()) if len(worded) else 0.0,
            "stop_words": float(self._stop_words()),
        }

    def _stop_words(self) -> int:
        """How many different ones there are."""
        stops = STOP_WORDS.get(self._language, frozenset())
        if self._language == "zh":
            return sum(stop in self._text for stop in stops)
        return len(stops.intersection(self._text.lower().split())) if stops else 0

    def _line_values(self) -> dict[str, float]:
        lines, units, codes = self._lines, self._units, self._codes
        number = max(1, len(lines.first))
        first, last = units.start[lines.first], lines.last(len(units.start))
        end = units.start[last] + units.length[last] - 1
        dots = (
            (codes[end] == 46) & (codes[np.maximum(end - 1, 0)] == 46) & (codes[np.maximum(end - 2, 0)] == 46)
        )
        short = lines.length < _SHORT_LINE[self.writing]
        return {
            "bullet_lines": float(np.isin(codes[first], points_of(BULLETS)).sum()) / number,
            "ellipsis_lines": float((dots | (codes[end] == ord("…"))).sum()) / number,
            "punctuated_lines": float(np.isin(codes[end], points_of(TERMINAL)).sum()) / number,
            "short_lines": float(short.sum()) / number,
        }

    def _repeated_parts(self) -> dict[str, float]:
        texts = [line for line in map(_without_white, self._text.split("\n")) if line]
        if len(set(texts)) == len(texts):
            return dict.fromkeys(_REPEATED_PARTS, 0.0)
        lines = self._lines
        paragraphs = Runs(
            np.cumsum(np.diff(lines.number, prepend=lines.number[:1]) > 1), lines.length, lines.hashes
        )
        values = {}
        for name, runs in (("lines", lines), ("paragraphs", paragraphs)):
            later = later_ones(runs.hashes)
            values[f"repeated_{name}"] = float(later.sum()) / max(1, len(later))
            values[f"repeated_{name}_chars"] = float(runs.length[later].sum()) / max(1, self._units.visible)
        return values

    def _repeated_ngrams(self) -> dict[str, float]:
        return ngram_shares(self._units.hashes, self._units.length, self._units_in_one)

    @property
    def _units_in_one(self) -> int:
        """Units for one of an n-gram: a Chinese word has a little under two characters."""
        return 2 if self.writing is Writing.CHARACTERS else 1

    def _page_values(self) -> dict[str, float]:
        text, lower = self._text, self._text.lower()
        clean = not any(phrase in lower for phrase in _POLICIES)
        least, characters = _SENTENCE_UNITS[self.writing], self.writing is Writing.CHARACTERS
        sentences = 0
        for line in text.split("\n"):
            line = line.strip()
            if not line or line[-1] not in TERMINAL or line.endswith(_ELLIPSES):
                continue
            if (len(line) if characters else len(line.split(None, least))) < least:
                continue
            if clean or not any(phrase in line.lower() for phrase in _POLICIES):
                sentences += len(_SENTENCE_END.findall(line))
        return {
            "sentences": float(sentences),
            "curly_brackets": float(text.count("{")),
            "lorem_ipsum": float(lower.count("lorem ipsum")),
        }


def _without_white(line: str) -> str:
    return "".join(line.split())


def _count_runs(text: str, character: str) -> int:
    """How often a character stands after another one: a run of them counts once."""
    return text.count(character) - text.count(character * 2) if character in text else 0


_GROUPS: Final[tuple[tuple[Callable[[Measures], dict[str, float]], str], ...]] = (
    (Measures._characters, "letters unbroken hex minified"),
    (Measures._unit_values, "units unit_length hash_marks ellipses lettered_units stop_words"),
    (Measures._line_values, "bullet_lines ellipsis_lines punctuated_lines short_lines"),
    (Measures._repeated_parts, " ".join(_REPEATED_PARTS)),
    (Measures._repeated_ngrams, " ".join(NGRAM_SHARES)),
    (Measures._page_values, "sentences curly_brackets lorem_ipsum"),
)
_GROUP_OF: Final = {name: group for group, names in _GROUPS for name in names.split()}
MEASURES: Final = tuple(_GROUP_OF)
"""The names of all measures."""
