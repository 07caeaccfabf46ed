"""A classifier that its user teaches which texts are good: TF-IDF and logistic regression.

Two sets of examples, good and bad, are all it needs; in the manner of GPT-3's filter of the web (Brown et
al. 2020, arXiv 2005.14165, appendix A), which was a logistic regression over hashed terms. Here the terms
are kept, so that one can see what speaks for and against a text. What it reaches on examples that it was
not shown is found by cross-validation and kept with it, beside the share of the greater class, which is
what guessing reaches.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold

from yanmo.config import from_mapping, to_mapping
from yanmo.errors import InputError
from yanmo.models.features.analyser import Analyser
from yanmo.models.features.base import FEATURES_FILE, read_features, save_features
from yanmo.models.features.terms import TfIdf, TfIdfConfig
from yanmo.models.files.foreign_files import DAMAGED

KIND: Final = "quality-classifier"
MIN_EXAMPLES: Final = 5
"""Texts of each kind that are needed: as many as there are parts of the cross-validation."""

_EXAMPLE_CHARS = 20_000
_MAX_TERMS = 100_000
_MAX_ITERATIONS = 1_000


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """What the classifier reaches on examples that it was not shown."""

    num_good: int
    num_bad: int
    accuracy: float
    guessing: float
    """Accuracy of always saying the more frequent kind."""


class QualityClassifier:
    """The probability that a text is of the good kind; ``score`` is what ``corpus`` takes as ``worth``."""

    def __init__(
        self, features: TfIdf, coefficients: NDArray[np.float32], intercept: float, held_out: HeldOut
    ) -> None:
        """Of its parts: a coefficient a term."""
        self.features, self.held_out = features, held_out
        self._coefficients, self._intercept = coefficients, intercept

    @classmethod
    def fit(cls, good: Iterable[str], bad: Iterable[str]) -> Self:
        """Learn from examples; of each the first 20,000 characters.

        Chinese is cut into pairs of characters (``Analyser.BIGRAMS``). Both kinds weigh the same.

        Raises:
            InputError: there are fewer than ``MIN_EXAMPLES`` of a kind, or they hold no terms.
        """
        good, bad = [text[:_EXAMPLE_CHARS] for text in good], [text[:_EXAMPLE_CHARS] for text in bad]
        for name, texts in (("good", good), ("bad", bad)):
            if len(texts) < MIN_EXAMPLES:
                what = f"{len(texts)} {name} texts to learn from"
                raise InputError(what, remedy=f"give at least {MIN_EXAMPLES} of each kind")
        texts, labels = [*good, *bad], np.repeat([1, 0], [len(good), len(bad)])
        features = TfIdf(
            TfIdfConfig(analyser=Analyser.BIGRAMS, sublinear=True, min_documents=2, max_terms=_MAX_TERMS)
        ).fit(texts)
        rows = features.transform(texts)
        model = _regression(rows, labels)
        return cls(
            features,
            model.coef_[0].astype(np.float32),
            float(model.intercept_[0]),
            _held_out(rows, labels),
        )

    def score(self, text: str) -> float:
        """The probability that a text is good, from 0 to 1; its first 20,000 characters count."""
        row = self.features.transform([text[:_EXAMPLE_CHARS]])
        logit = float((row @ self._coefficients)[0]) + self._intercept
        return float(1 / (1 + np.exp(-np.clip(logit, -500, 500))))

    def speaking_for(self, count: int) -> list[str]:
        """The terms that speak most for a text, the strongest first; with a negative count, against it."""
        order = np.argsort(-np.sign(count) * self._coefficients, kind="stable")
        return [self.features.terms[place] for place in order[: abs(count)]]

    def save(self, folder: Path) -> None:
        """Write a folder whole, replacing one that is there.

        Raises:
            YanmoError: the disk is full or the place cannot be written.
        """
        numbers = {"idf": self.features.idf, "coefficients": self._coefficients}
        details = {"held_out": to_mapping(self.held_out), "intercept": self._intercept}
        terms, config = self.features.terms, self.features.config
        save_features(folder, kind=KIND, config=config, terms=terms, numbers=numbers, details=details)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read a folder written by ``save``.

        Raises:
            InputError: a file is missing or damaged, or the folder holds something else.
        """
        numbers = {"idf": 1, "coefficients": 1}
        stored = read_features(folder, kind=KIND, config_type=TfIdfConfig, numbers=numbers)
        where = folder / FEATURES_FILE
        held_out = from_mapping(HeldOut, stored.details.get("held_out", {}), where=where)
        intercept = stored.details.get("intercept")
        if not isinstance(intercept, float) or not np.isfinite(intercept):
            raise InputError("has no intercept", where=where, remedy=DAMAGED)
        features = TfIdf.of_terms(stored.terms, stored.numbers["idf"], stored.config)
        return cls(features, stored.numbers["coefficients"], intercept, held_out)


def _regression(rows: csr_matrix, labels: NDArray[np.int64]) -> LogisticRegression:
    # The solver draws nothing at random.
    return LogisticRegression(class_weight="balanced", max_iter=_MAX_ITERATIONS).fit(rows, labels)


def _held_out(rows: csr_matrix, labels: NDArray[np.int64]) -> HeldOut:
    """Five parts, each judged by what the other four taught; the terms are of all of them."""
    right = 0
    for shown, hidden in StratifiedKFold(MIN_EXAMPLES, shuffle=True, random_state=0).split(rows, labels):
        right += int((_regression(rows[shown], labels[shown]).predict(rows[hidden]) == labels[hidden]).sum())
    num_good = int(labels.sum())
    num_bad = len(labels) - num_good
    return HeldOut(
        num_good=num_good,
        num_bad=num_bad,
        accuracy=right / len(labels),
        guessing=max(num_good, num_bad) / len(labels),
    )
