"""The cheap model that stands beside every score of a task: TF-IDF with a linear model, and mere guessing.

Words and pairs of neighbouring words of English, pairs of characters of Chinese; logistic regression over
classes, ridge regression over numbers, the strength of either chosen on held-out thirds of the training rows
(Wang and Manning 2012, "Baselines and Bigrams": hard to beat on few rows). Of a pair of texts there are the
terms of the first, of the second, and those that both have.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from scipy.sparse import csr_matrix, hstack

from yanmo.finetuning.text_labels import Labelled, Number, OneClass, SeveralClasses, TextSkill, label_of
from yanmo.models.features.analyser import Analyser
from yanmo.models.features.terms import TfIdf, TfIdfConfig

_STRENGTHS = (0.3, 1.0, 3.0, 10.0, 30.0)
_PARTS = 3
_MAX_TERMS = 200_000


class TaskBaseline(Protocol):
    """A cheap model of a task, trained."""

    @property
    def name(self) -> str:
        """What it is, for people."""

    def predict(self, examples: Sequence[Labelled]) -> list[Any]:
        """Predictions, as the skill scores them."""


class Guess:
    """Always the most frequent class; always the mean."""

    def __init__(self, skill: TextSkill, train: Sequence[Labelled]) -> None:
        """Count."""
        self._answer: Any
        if isinstance(skill, Number):
            self.name = "always the mean"
            self._answer = float(np.mean([float(str(label_of(example))) for example in train]))
            return
        counts = Counter(name for example in train for name in example.labels())
        (most, count), *_ = counts.most_common(1)
        if isinstance(skill, OneClass):
            self.name, self._answer = f"always {most}", most
        else:
            self._answer = (most,) if count > len(train) / 2 else ()
            self.name = f"always {most}" if self._answer else "never any"

    def predict(self, examples: Sequence[Labelled]) -> list[Any]:
        """The same for all."""
        return [self._answer] * len(examples)


class LinearTerms:
    """TF-IDF and a linear model."""

    def __init__(self, skill: TextSkill, train: Sequence[Labelled]) -> None:
        """Learn from the training rows.

        Raises:
            InputError: they hold no terms.
        """
        self.name = f"TF-IDF and {'ridge' if isinstance(skill, Number) else 'logistic'} regression"
        self._skill = skill
        config = TfIdfConfig(analyser=Analyser.BIGRAMS, sublinear=True, max_ngram=2, max_terms=_MAX_TERMS)
        self._terms = TfIdf(config).fit(text for example in train for text in example.inputs())
        rows, targets = self._rows(train), _targets(skill, train)
        self.strength = max(_STRENGTHS, key=lambda strength: self._held_out(rows, targets, strength))
        self._model = self._estimator(self.strength).fit(rows, targets)

    def predict(self, examples: Sequence[Labelled]) -> list[Any]:
        """Classes, sets of classes, or numbers."""
        found = self._model.predict(self._rows(examples))
        if isinstance(self._skill, Number):
            return [float(value) for value in found]
        labels = self._skill.labels
        if isinstance(self._skill, OneClass):
            return [labels[index] for index in found]
        return [tuple(labels[index] for index in np.flatnonzero(row)) for row in found]

    def _rows(self, examples: Sequence[Labelled]) -> csr_matrix:
        columns = list(zip(*(example.inputs() for example in examples), strict=True))
        parts = [self._terms.transform(texts) for texts in columns]
        if len(parts) == 2:
            parts.append(parts[0].multiply(parts[1]).tocsr())
        return hstack(parts, format="csr")

    def _held_out(self, rows: csr_matrix, targets: Any, strength: float) -> float:
        """Mean score on held-out parts; the least where there are too few rows to hold any out."""
        if rows.shape[0] < 2 * _PARTS:
            return -abs(strength - 1.0)
        place = np.arange(rows.shape[0]) % _PARTS
        scores = []
        for part in range(_PARTS):
            kept, held = np.flatnonzero(place != part), np.flatnonzero(place == part)
            if targets.ndim == 1 and not isinstance(self._skill, Number) and len(set(targets[kept])) < 2:
                return -abs(strength - 1.0)
            model = self._estimator(strength).fit(rows[kept], targets[kept])
            scores.append(model.score(rows[held], targets[held]))
        return float(np.mean(scores))

    def _estimator(self, strength: float) -> Any:
        from sklearn.linear_model import LogisticRegression, Ridge
        from sklearn.multiclass import OneVsRestClassifier

        if isinstance(self._skill, Number):
            return Ridge(alpha=1 / strength)
        one = LogisticRegression(C=strength, max_iter=1000)
        return one if isinstance(self._skill, OneClass) else OneVsRestClassifier(one)


def _targets(skill: TextSkill, examples: Sequence[Labelled]) -> Any:
    if isinstance(skill, Number):
        return np.array([float(str(label_of(example))) for example in examples])
    if isinstance(skill, SeveralClasses):
        return np.array([skill.target(example) for example in examples], np.int64)
    return np.array([skill.target(example) for example in examples])
