"""A linear model of the words of texts: TF-IDF, and a weight for each term and class.

Words and pairs of neighbouring words of English, pairs of characters of Chinese, and beside them short runs
of the characters of each (``Analyser.SUBWORDS``), for words that are rare; over classes a linear support
vector machine, with or without the weights of naive Bayes (Wang and Manning 2012, "Baselines and
Bigrams": hard to beat on few rows), over numbers ridge regression. Which of them and how strong is chosen on
held-out thirds of the training rows. Of a pair of texts there are the terms of the first, of the second, and
those that both have.

Shapes: B rows of one text or two, T terms, P parts (1 of a text, 3 of a pair), C classes (1 of a number).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file
from scipy.sparse import csr_matrix, diags_array, hstack
from sklearn.base import BaseEstimator, TransformerMixin

from yanmo import artifact
from yanmo.errors import InputError
from yanmo.models.features.analyser import Analyser
from yanmo.models.features.base import FEATURES_FILE, NUMBERS_FILE, read_numbers
from yanmo.models.features.terms import TfIdf, TfIdfConfig
from yanmo.models.files.foreign_files import DAMAGED

Floats = NDArray[np.float32]
Texts = Sequence[tuple[str, ...]]
Targets = NDArray[np.int64] | NDArray[np.float64]
_KIND = "linear-terms"
_RIDGE, _MACHINE, _BAYES = "ridge regression", "a linear SVM", "NB-SVM"
_STRENGTHS = (0.03, 0.1, 0.3, 1.0)
_MAX_ITERATIONS = 10_000
_TOLERANCE = 0.01
_PARTS = 3
# Of each a TF-IDF of its own, so that both count alike; the names are those of their folders.
_TERMS = {
    "words": TfIdfConfig(analyser=Analyser.BIGRAMS, sublinear=True, max_ngram=2, max_terms=200_000),
    "subwords": TfIdfConfig(analyser=Analyser.SUBWORDS, sublinear=True, max_terms=100_000),
}


@dataclass(frozen=True, kw_only=True, eq=False)
class LinearTerms:
    """The model, trained.

    Attributes:
        name: what it is, for people.
        terms: TF-IDF of words and of subwords.
        weights_TPC: what each says for each class.
        bias_C: what is said without any.
    """

    name: str
    terms: tuple[TfIdf, ...]
    weights_TPC: Floats
    bias_C: Floats

    @classmethod
    def fit(cls, texts: Texts, targets: Targets, *, num_classes: int = 1) -> Self:
        """Learn from rows.

        Args:
            texts: one of each row, or two.
            targets: the number of each row's class, (B,); whether each class holds, (B, C); or numbers with a
                point, (B,).
            num_classes: that there are, whether rows have them or not.

        Raises:
            InputError: the texts hold no terms.
        """
        terms = tuple(TfIdf(config).fit(text for row in texts for text in row) for config in _TERMS.values())
        rows = _features(terms, texts)
        kinds = (_RIDGE,) if _are_numbers(targets) else (_MACHINE, _BAYES)
        ways = itertools.product(kinds, _STRENGTHS)
        kind, strength = max(ways, key=lambda way: _held_out(rows, targets, *way))
        estimator = _estimator(targets, kind, strength).fit(rows, targets)
        weights_CF, bias_C = _planes(estimator, num_classes, rows.shape[1])
        weights_CPT = weights_CF.reshape(num_classes, -1, sum(part.dim for part in terms))
        weights_TPC = np.ascontiguousarray(weights_CPT.transpose(2, 1, 0))
        return cls(name=f"TF-IDF and {kind}", terms=terms, weights_TPC=weights_TPC, bias_C=bias_C)

    def outputs(self, texts: Texts) -> Floats:
        """Distances from the planes between the classes, (B, C): of several classes, above 0 where one holds;
        or the numbers, (B, 1)."""
        return np.asarray(_features(self.terms, texts) @ self._weights_FC + self.bias_C, np.float32)

    @cached_property
    def _weights_FC(self) -> Floats:
        return self.weights_TPC.transpose(1, 0, 2).reshape(-1, len(self.bias_C))

    def save(self, folder: Path) -> None:
        """Write a folder whole.

        Raises:
            YanmoError: the disk is full or the place cannot be written.
        """
        summary = {"kind": _KIND, "name": self.name, "bias": self.bias_C.tolist()}
        with artifact.new_folder(folder, kind="features", details={"kind": _KIND}) as temporary:
            artifact.write_json(temporary / FEATURES_FILE, summary)
            save_file({"weights": self.weights_TPC}, temporary / NUMBERS_FILE)
            for name, part in zip(_TERMS, self.terms, strict=True):
                part.save(temporary / name)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read a folder written by ``save``.

        Raises:
            InputError: a file is missing or damaged.
        """
        summary = artifact.read_json(folder / FEATURES_FILE)
        if summary.get("kind") != _KIND:
            raise InputError(f"holds {summary.get('kind')!r}, not {_KIND!r}", where=folder / FEATURES_FILE)
        terms = tuple(TfIdf.load(folder / name) for name in _TERMS)
        num_terms = sum(part.dim for part in terms)
        weights_TPC = read_numbers(folder / NUMBERS_FILE, num_terms, {"weights": 3})["weights"]
        name, bias = summary.get("name"), _bias(summary)
        if not isinstance(name, str) or weights_TPC.shape[1:] not in ((1, len(bias)), (3, len(bias))):
            raise InputError("has no plane for each class", where=folder / FEATURES_FILE, remedy=DAMAGED)
        return cls(name=name, terms=terms, weights_TPC=weights_TPC, bias_C=np.array(bias, np.float32))


def _bias(summary: Any) -> list[float]:
    found = summary.get("bias")
    fits = isinstance(found, list) and all(type(value) is float for value in found)
    return found if fits else []


def _features(terms: Sequence[TfIdf], texts: Texts) -> csr_matrix:
    """TF-IDF of the texts of each row, beside each other."""
    columns = zip(*texts, strict=True)
    parts = [hstack([part.transform(column) for part in terms], format="csr") for column in columns]
    if len(parts) == 2:
        parts.append(parts[0].multiply(parts[1]).tocsr())
    return hstack(parts, format="csr")


def _are_numbers(targets: Targets) -> bool:
    return targets.dtype.kind == "f"


def _held_out(rows: csr_matrix, targets: Targets, kind: str, strength: float) -> float:
    """Mean score on held-out parts; the least where there are too few rows to hold any out."""
    if rows.shape[0] < 2 * _PARTS:
        return -abs(strength - 1.0)
    place = np.arange(rows.shape[0]) % _PARTS
    scores = []
    for part in range(_PARTS):
        kept, held = np.flatnonzero(place != part), np.flatnonzero(place == part)
        if targets.ndim == 1 and not _are_numbers(targets) and len(set(targets[kept])) < 2:
            return -abs(strength - 1.0)
        model = _estimator(targets, kind, strength).fit(rows[kept], targets[kept])
        scores.append(model.score(rows[held], targets[held]))
    return float(np.mean(scores))


def _estimator(targets: Targets, kind: str, strength: float) -> Any:
    from sklearn.linear_model import Ridge
    from sklearn.multiclass import OneVsRestClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.svm import LinearSVC

    if kind == _RIDGE:
        return Ridge(alpha=1 / strength)
    machine = LinearSVC(C=strength, tol=_TOLERANCE, max_iter=_MAX_ITERATIONS, random_state=0)
    if kind == _BAYES:
        return OneVsRestClassifier(make_pipeline(LogCountRatios(), machine))
    return machine if targets.ndim == 1 else OneVsRestClassifier(machine)


def _planes(estimator: Any, num_classes: int, num_features: int) -> tuple[Floats, Floats]:
    """Weights (C, features) and biases (C,) of a fitted estimator; a class without examples is never said."""
    weights_CF = np.zeros((num_classes, num_features), np.float32)
    bias_C = np.full(num_classes, -np.finfo(np.float32).max, np.float32)
    if not hasattr(estimator, "classes_"):
        weights_CF[0], bias_C[0] = estimator.coef_, estimator.intercept_
        return weights_CF, bias_C
    if hasattr(estimator, "coef_"):
        planes = list(zip(estimator.coef_, estimator.intercept_, strict=True))
    else:
        planes = [_plane(one) for one in estimator.estimators_]
    if len(planes) == 1 and len(estimator.classes_) == 2:
        ((weights, bias),) = planes
        planes = [(-weights / 2, -bias / 2), (weights / 2, bias / 2)]
    for number, (weights, bias) in zip(estimator.classes_, planes, strict=True):
        weights_CF[number], bias_C[number] = weights, bias
    return weights_CF, bias_C


def _plane(one: Any) -> tuple[Any, float]:
    """Of one class against the others; of one that all examples or none have, what is always said."""
    if not hasattr(one, "steps") and not hasattr(one, "coef_"):
        return 0.0, 2.0 * float(np.ravel(one.y_)[0]) - 1.0
    machine, ratios = (one.steps[1][1], one.steps[0][1].weights_) if hasattr(one, "steps") else (one, 1.0)
    return machine.coef_[0] * ratios, float(machine.intercept_[0])


class LogCountRatios(TransformerMixin, BaseEstimator):
    """Each term weighed by how much likelier it is in one of two classes (Wang and Manning, equation 1)."""

    def fit(self, rows: csr_matrix, targets: NDArray[np.int64]) -> LogCountRatios:
        """Count in how many rows of each class a term is, one more than there are."""
        yes, no = (1.0 + (rows[targets == side] > 0).sum(axis=0) for side in (1, 0))
        self.weights_ = np.asarray(np.log((yes / yes.sum()) / (no / no.sum()))).ravel()
        return self

    def transform(self, rows: csr_matrix) -> csr_matrix:
        """Weighed rows."""
        return (rows @ diags_array(self.weights_)).tocsr()
