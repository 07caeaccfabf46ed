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
import safetensors
import safetensors.numpy
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold

from yanmo import artifact
from yanmo.config import from_mapping, to_mapping
from yanmo.errors import InputError
from yanmo.models.features.analyser import Analyser
from yanmo.models.features.terms import TfIdf, TfIdfConfig
from yanmo.models.files.foreign_files import DAMAGED

KIND: Final = "quality-classifier"
MIN_EXAMPLES: Final = 5
"""Texts of each kind that are needed: as many as there are parts of the cross-validation."""

_SUMMARY_FILE = "classifier.json"
_NUMBERS_FILE = "classifier.safetensors"
_FEATURES = "features"
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
        numbers = {"coefficients": self._coefficients, "intercept": np.array([self._intercept], np.float32)}
        with artifact.new_folder(folder, kind=KIND, details=to_mapping(self.held_out)) as temporary:
            self.features.save(temporary / _FEATURES)
            safetensors.numpy.save_file(numbers, temporary / _NUMBERS_FILE)
            artifact.write_json(
                temporary / _SUMMARY_FILE, {"kind": KIND, "held_out": to_mapping(self.held_out)}
            )

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read a folder written by ``save``.

        Raises:
            InputError: a file is missing or damaged, or the folder holds something else.
        """
        path = folder / _SUMMARY_FILE
        summary = artifact.read_json(path)
        if summary.get("kind") != KIND:
            raise InputError(f"holds {summary.get('kind')!r}, not {KIND!r}", where=path)
        held_out = from_mapping(HeldOut, summary.get("held_out", {}), where=path)
        features = TfIdf.load(folder / _FEATURES)
        path = folder / _NUMBERS_FILE
        try:
            numbers = safetensors.numpy.load_file(path)
        except (OSError, safetensors.SafetensorError) as error:
            raise InputError(f"cannot be read: {error}", where=path, remedy=DAMAGED) from None
        for name, length in (("coefficients", features.dim), ("intercept", 1)):
            array = numbers.get(name, np.zeros(0))
            if array.dtype != np.float32 or array.shape != (length,) or not np.isfinite(array).all():
                raise InputError(f"has no {name} for {length} terms", where=path, remedy=DAMAGED)
        return cls(features, numbers["coefficients"], float(numbers["intercept"][0]), held_out)


def read_examples(source: Path) -> list[str]:
    """The examples in a text file, one a line, or in a folder, one a file (in the order of their names).

    Raises:
        InputError: there is no such file or folder, or a file is not UTF-8.
    """
    if source.is_dir():
        texts = [_read(path) for path in sorted(source.rglob("*")) if path.is_file()]
    else:
        texts = _read(source).split("\n")
    return [text for text in texts if text.strip()]


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise InputError("no such file", where=path) from None
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror or error}", where=path) from None
    except UnicodeDecodeError as error:
        raise InputError(f"is not UTF-8: {error.reason}", where=path) from None


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
