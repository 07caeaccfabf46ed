"""The rules by the set they belong to: which measure, for which texts, and the threshold.

``gopher``: Rae et al. 2021 (arXiv 2112.11446), appendix A.1.1, quality and repetition.
``c4``: Raffel et al. 2020 (JMLR 21, arXiv 1910.10683), section 2.2. C4 removes lines and judges what is
left of a page; here nothing is removed, and the sentences of the lines that would be left are counted.
Its list of bad words is left out.
``fineweb``: Penedo et al. 2024 (arXiv 2406.17557), section 3.6: the three rules that FineWeb adds. All of
its rules are ``("gopher", "c4", "fineweb")``.
``lenient``: ours, for files that their owner chose: only what is plainly no text is refused.

For text in characters, not words (Chinese above all), thresholds of shares and repetitions are those that
FineWeb2 found for Chinese (Penedo et al. 2025, arXiv 2506.20920), an n-gram of words being one of twice
as many characters; where it has none, lengths are Gopher's, C4's or FineWeb's at 1.7 characters a word. A
value that equals its threshold is kept.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final

from yanmo.corpus.quality.measures import Measures, Writing
from yanmo.corpus.quality.repetition import REPEATED_NGRAMS, TOP_NGRAMS


class Refuses(enum.StrEnum):
    """On which side of its threshold a value is refused."""

    BELOW = "below"
    ABOVE = "above"


@dataclass(frozen=True, kw_only=True)
class Rule:
    """What must hold of a measure."""

    name: str
    measure: str
    refuses: Refuses
    threshold: float
    writing: Writing | None = None
    """For texts in these units; None is all."""

    language: str = ""
    """For texts in this language, ISO 639-1; "" is all."""

    def applies(self, measures: Measures, language: str) -> bool:
        """Whether a text of these measures and this language is one that the rule is for."""
        right = self.writing is None or self.writing is measures.writing
        return right and self.language in ("", language)

    def may_refuse(self, measures: Measures, threshold: float) -> bool:
        """Whether the measure must be taken: a bound of it may say enough."""
        return self.refuses is Refuses.BELOW or measures.most(self.measure) > threshold

    def refuses_value(self, value: float, threshold: float) -> bool:
        """Whether a value is on the wrong side."""
        return value < threshold if self.refuses is Refuses.BELOW else value > threshold


def _rule(
    name: str, measure: str, least_or_most: str, threshold: float, scope: Writing | str | None = None
) -> Rule:
    writing = scope if isinstance(scope, Writing) else None
    language = "" if scope is None or writing else str(scope)
    side = Refuses.BELOW if least_or_most == "least" else Refuses.ABOVE
    return Rule(
        name=name, measure=measure, refuses=side, threshold=threshold, writing=writing, language=language
    )


def _both(name: str, measure: str, side: str, words: float, characters: float) -> tuple[Rule, Rule]:
    """A rule for words, and its counterpart for characters."""
    return (
        _rule(f"{name}.words", measure, side, words, Writing.WORDS),
        _rule(f"{name}.characters", measure, side, characters, Writing.CHARACTERS),
    )


_LENIENT = (
    _rule("lenient.letters", "letters", "least", 0.2),
    _rule("lenient.unbroken", "unbroken", "most", 0.5),
    _rule("lenient.hex", "hex", "most", 0.4),
    _rule("lenient.minified", "minified", "most", 0.4),
    _rule("lenient.repeated_lines", "repeated_lines_chars", "most", 0.8),
    _rule("lenient.repeated_ngrams", "repeated_10grams", "most", 0.85),
)
# By n, from 2 to 10: Gopher's for words, FineWeb2's for Chinese.
_TOP: Final = {2: (0.20, 0.256), 3: (0.18, 0.201), 4: (0.16, 0.171)}
_REPEATED: Final = {
    5: (0.15, 0.198),
    6: (0.14, 0.182),
    7: (0.13, 0.167),
    8: (0.12, 0.154),
    9: (0.11, 0.14),
    10: (0.10, 0.127),
}
_GOPHER = (
    *_both("gopher.min_length", "units", "least", 50, 85),
    *_both("gopher.max_length", "units", "most", 100_000, 170_000),
    _rule("gopher.min_word_length", "unit_length", "least", 3, Writing.WORDS),
    _rule("gopher.max_word_length", "unit_length", "most", 10, Writing.WORDS),
    *_both("gopher.hash_marks", "hash_marks", "most", 0.1, 0.06),
    *_both("gopher.ellipses", "ellipses", "most", 0.1, 0.06),
    _rule("gopher.bullet_lines", "bullet_lines", "most", 0.9),
    _rule("gopher.ellipsis_lines", "ellipsis_lines", "most", 0.3),
    *_both("gopher.lettered_words", "lettered_units", "least", 0.8, 0.735),
    _rule("gopher.stop_words.en", "stop_words", "least", 2, "en"),
    _rule("gopher.stop_words.zh", "stop_words", "least", 2, "zh"),
    *_both("gopher.repeated_lines", "repeated_lines", "most", 0.3, 0.287),
    _rule("gopher.repeated_lines_chars", "repeated_lines_chars", "most", 0.2),
    _rule("gopher.repeated_paragraphs", "repeated_paragraphs", "most", 0.3),
    _rule("gopher.repeated_paragraphs_chars", "repeated_paragraphs_chars", "most", 0.2),
    *(rule for n in TOP_NGRAMS for rule in _both(f"gopher.top_{n}grams", f"top_{n}grams", "most", *_TOP[n])),
    *(
        rule
        for n in REPEATED_NGRAMS
        for rule in _both(f"gopher.repeated_{n}grams", f"repeated_{n}grams", "most", *_REPEATED[n])
    ),
)
_C4 = (
    _rule("c4.curly_brackets", "curly_brackets", "most", 0),
    _rule("c4.lorem_ipsum", "lorem_ipsum", "most", 0),
    _rule("c4.sentences", "sentences", "least", 3),
)
_FINEWEB = (
    *_both("fineweb.punctuated_lines", "punctuated_lines", "least", 0.12, 0.106),
    _rule("fineweb.short_lines", "short_lines", "most", 0.67),
    _rule("fineweb.repeated_lines_chars", "repeated_lines_chars", "most", 0.1),
)
RULE_SETS: Final = {"lenient": _LENIENT, "gopher": _GOPHER, "c4": _C4, "fineweb": _FINEWEB}
"""The rules of each set, in the order that they are asked."""

RULES: Final = {rule.name: rule for rules in RULE_SETS.values() for rule in rules}
"""Each rule by its name."""
