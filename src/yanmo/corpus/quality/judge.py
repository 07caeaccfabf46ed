"""The verdict on a text: by rules, by its surprise to a language model, by a classifier of the user's.

A document that is refused is refused with the first rule that it breaks, the value, and the threshold.
Model and classifier come from above as plain functions of a text; of a text over 20,000 characters they
see four windows.

A perplexity filter in the manner of CCNet (Wenzek et al. 2020, arXiv 1911.00359, section 3.4), whose
thresholds are quantiles by language; here in bits per byte, of text that is known to be good, so that they do
not depend on how much of a corpus is bad, and by length: of a short text the mean says less.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from yanmo.corpus.quality.measures import Measures, sample_of
from yanmo.corpus.quality.rules import RULE_SETS, RULES, Rule
from yanmo.errors import InputError

Score = Callable[[str], float]
"""A number for a text."""

SURPRISE_RULE: Final = "surprise"
WORTH_RULE: Final = "worth"
SCORED_CHARS: Final = 20_000
MIN_SCORED_CHARS: Final = 100
"""Shorter texts are not asked for their surprise: chance would decide."""

LENGTHS: Final = (MIN_SCORED_CHARS, 300, 1_000, 3_000, 10_000)
"""Characters from which on texts have a threshold of their own."""

MIN_TEXTS: Final = 20
"""Good texts that are needed for a threshold."""

Limits = Mapping[str, Mapping[int, float]]
"""Bits per byte by language and length; "" stands for all languages that are not named."""

USUAL_WORTH: Final = 0.5
_SCORED_WINDOWS = 4


class Refusal(NamedTuple):
    """Why a text was refused."""

    rule: str
    value: float
    threshold: float

    def __str__(self) -> str:
        """For people: ``gopher.stop_words.en 1, threshold 2``."""
        return f"{self.rule} {self.value:.3g}, threshold {self.threshold:.3g}"


@dataclass(frozen=True, kw_only=True)
class QualitySettings:
    """Which texts are refused for their quality.

    Attributes:
        sets: names of ``RULE_SETS``, asked in this order; empty asks none.
        thresholds: other thresholds, by the name of a rule in the chosen sets; an infinite one
            turns a rule off.
        surprise: good text to make a language model of, or the folder of one that an earlier corpus kept;
            empty asks no model.
        refuse_good: share of good text that may be refused, from 0 to 1; ``calibrate`` finds the thresholds.
        max_surprise: bits per byte that a text may cost the model, by ISO 639-1 code, in place of what is
            found; "" stands for all languages that are not named.
        like: examples of good texts for a classifier, or the folder of one that an earlier corpus kept;
            empty asks none.
        unlike: examples of bad ones.
        min_worth: what the classifier must give a text, from 0 to 1; None is ``USUAL_WORTH``.
    """

    sets: tuple[str, ...] = ("lenient",)
    thresholds: dict[str, float] = field(default_factory=dict)
    surprise: tuple[Path, ...] = ()
    refuse_good: float = 0.01
    max_surprise: dict[str, float] = field(default_factory=dict)
    like: tuple[Path, ...] = ()
    unlike: tuple[Path, ...] = ()
    min_worth: float | None = None

    def __post_init__(self) -> None:
        """Refuse unknown sets and rules, and thresholds that are none."""
        for name in self.sets:
            if name not in RULE_SETS:
                raise InputError(f"unknown set of rules {name!r}", remedy=f"known: {', '.join(RULE_SETS)}")
        names = [rule.name for rule in self.rules]
        for name, threshold in self.thresholds.items():
            if name not in names:
                chosen = f"the chosen sets have: {', '.join(names) or 'no rules'}"
                what = "is not in the chosen sets" if name in RULES else "is unknown"
                raise InputError(f"the rule {name!r} {what}", remedy=chosen)
            if math.isnan(threshold):
                raise InputError(f"the threshold of {name!r} is not a number")
        for name in ("refuse_good", "min_worth"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < 1:
                raise InputError(f"{name} must be at least 0 and less than 1, not {value}")
        if any(not limit > 0 for limit in self.max_surprise.values()):
            raise InputError("max_surprise must be over 0 bits per byte")

    @property
    def rules(self) -> tuple[Rule, ...]:
        """The rules of the chosen sets."""
        return tuple(rule for name in self.sets for rule in RULE_SETS[name])


class Judge:
    """Says of each text whether it is refused, and by what."""

    def __init__(
        self,
        settings: QualitySettings,
        *,
        surprise: Score | None = None,
        limits: Limits | None = None,
        worth: Score | None = None,
    ) -> None:
        """Take the settings.

        Args:
            settings: which rules, and thresholds that were set by hand.
            surprise: bits per byte of a text, by a language model.
            limits: thresholds that were found for it.
            worth: how good a text is, from 0 to 1, by a classifier.

        Raises:
            InputError: the settings ask for a model or a classifier that is not given.
        """
        if settings.max_surprise and surprise is None:
            raise InputError(
                "max_surprise needs a language model", remedy="give one, or leave the setting out"
            )
        if settings.min_worth is not None and worth is None:
            raise InputError("min_worth needs a classifier", remedy="give one, or leave the setting out")
        self._settings, self._surprise, self._limits, self._worth = settings, surprise, limits or {}, worth
        self._rules = [(rule, settings.thresholds.get(rule.name, rule.threshold)) for rule in settings.rules]

    def judge(self, text: str, language: str = "") -> Refusal | None:
        """The first thing that a text is refused for, cheap ones first; None if it is kept.

        Args:
            text: a document's.
            language: its ISO 639-1 code; "" if it is not known.
        """
        measures = Measures(text, language)
        for rule, threshold in self._rules:
            if rule.applies(measures, language) and rule.may_refuse(measures, threshold):
                value = measures[rule.measure]
                if rule.refuses_value(value, threshold):
                    return Refusal(rule.name, value, threshold)
        return self._by_scores(text, language)

    def _by_scores(self, text: str, language: str) -> Refusal | None:
        most = self._most_surprise(language, len(text))
        if self._surprise is not None and most < math.inf:
            value = self._surprise(scored_part(text))
            if not value <= most:
                return Refusal(SURPRISE_RULE, value, most)
        least = USUAL_WORTH if self._settings.min_worth is None else self._settings.min_worth
        if self._worth is not None:
            value = self._worth(scored_part(text))
            if not value >= least:
                return Refusal(WORTH_RULE, value, least)
        return None

    def _most_surprise(self, language: str, num_chars: int) -> float:
        by_hand = self._settings.max_surprise
        if num_chars < MIN_SCORED_CHARS:
            return math.inf
        if language in by_hand or "" in by_hand:
            return by_hand.get(language, by_hand.get("", math.inf))
        limits = self._limits.get(language) or self._limits.get("", {})
        return limits.get(max((length for length in limits if length <= num_chars), default=0), math.inf)


def measure(text: str, language: str = "") -> dict[str, float]:
    """Every measure of a text, by name (``measures.MEASURES``)."""
    return Measures(text, language).all()


def scored_part(text: str) -> str:
    """What a model or classifier is shown of a text."""
    return sample_of(text, SCORED_CHARS, _SCORED_WINDOWS)


def calibrate(values: Mapping[str, Mapping[int, Sequence[float]]], refuse_good: float) -> Limits:
    """Thresholds of the surprise; each needs ``MIN_TEXTS`` texts.

    Args:
        values: surprises at good texts that the model was not made of, by language ("" where it is unknown)
            and length.
        refuse_good: share of them to refuse.

    Raises:
        InputError: there are too few texts for a single one.
    """
    pooled = {
        length: [value for by_length in values.values() for value in by_length.get(length, ())]
        for length in LENGTHS
    }
    limits = {
        language: {
            length: _quantile(found, 1 - refuse_good)
            for length, found in by_length.items()
            if len(found) >= MIN_TEXTS
        }
        for language, by_length in sorted({**values, "": pooled}.items())
    }
    if not limits[""]:
        most = max(map(len, pooled.values()))
        what = f"{most} texts of {MIN_SCORED_CHARS} characters are too few to find a threshold of surprise on"
        raise InputError(what, remedy="give more good text, or the threshold")
    return {language: by_length for language, by_length in limits.items() if by_length}


def _quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of the values does not exceed."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]
