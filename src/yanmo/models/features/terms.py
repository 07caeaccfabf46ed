"""Bag of words and TF-IDF: a column a term, by scikit-learn's vectorisers over our terms.

TF-IDF: Salton and Buckley 1988, "Term-Weighting Approaches in Automatic Text Retrieval"; here with the
smoothed log((1 + n) / (1 + df)) + 1 and rows of length 1, as scikit-learn does.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer

from yanmo.errors import InputError
from yanmo.models.features.base import FeatureConfig, not_fitted, read_features, save_features
from yanmo.models.features.stop_words import STOP_WORDS


@dataclass(frozen=True, kw_only=True)
class TermConfig(FeatureConfig):
    """Which terms get a column.

    Attributes:
        max_ngram: also runs of neighbouring terms, up to this many.
        min_documents: texts that a term must be in.
        max_terms: only the most frequent; None is all.
        drop_stop_words: leave out function words of English and Chinese (``stop_words``).
    """

    max_ngram: int = 1
    min_documents: int = 1
    max_terms: int | None = None
    drop_stop_words: bool = False

    def words(self, text: str) -> list[str]:
        """The words of a text, in order; without stop words where these are dropped."""
        words = self.analyser.terms(text)
        return [word for word in words if word not in STOP_WORDS] if self.drop_stop_words else words

    def __post_init__(self) -> None:
        """Refuse what leaves no terms."""
        for name in ("max_ngram", "min_documents", "max_terms"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InputError(f"{name} must be at least 1, not {value}")


@dataclass(frozen=True, kw_only=True)
class TfIdfConfig(TermConfig):
    """As ``TermConfig``; with ``sublinear``, 1 + log(count) stands for the count."""

    sublinear: bool = False


class _TermFeatures:
    """What both have in common: the terms, and one of scikit-learn's vectorisers."""

    def __init__(self, vectoriser: CountVectorizer) -> None:
        self.terms: list[str] = []
        self._vectoriser = vectoriser

    @property
    def dim(self) -> int:
        """Number of terms."""
        return len(self.terms)

    def fit(self, texts: Iterable[str]) -> Self:
        """Collect the terms of texts (``TextFeatures``)."""
        try:
            # A vocabulary from a folder would be kept.
            self._vectoriser.set_params(vocabulary=None).fit(texts)
        except InputError:
            raise
        except ValueError as error:
            raise InputError(f"no terms were found: {error}", remedy="give more text") from None
        self.terms = self._vectoriser.get_feature_names_out().tolist()
        return self

    def transform(self, texts: Iterable[str]) -> csr_matrix:
        """A CSR matrix with a column a term (``TextFeatures``)."""
        self._require_fitted()
        return self._vectoriser.transform(texts)

    def _require_fitted(self) -> None:
        if not self.terms:
            raise not_fitted()

    def _take(self, terms: list[str]) -> None:
        self.terms = terms
        self._vectoriser.set_params(vocabulary=terms)


class BagOfWords(_TermFeatures):
    """How often each term occurs in a text."""

    KIND = "bag-of-words"

    def __init__(self, config: TermConfig | None = None) -> None:
        """Nothing is learnt yet."""
        self.config = config or TermConfig()
        super().__init__(CountVectorizer(**_options(self.config)))

    def save(self, folder: Path) -> None:
        """Write a folder (``TextFeatures``)."""
        self._require_fitted()
        save_features(folder, kind=self.KIND, config=self.config, terms=self.terms, numbers={})

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read a folder (``TextFeatures``)."""
        stored = read_features(folder, kind=cls.KIND, config_type=TermConfig, numbers={})
        return cls.of_terms(stored.terms, stored.config)

    @classmethod
    def of_terms(cls, terms: list[str], config: TermConfig) -> Self:
        """With terms that were chosen elsewhere."""
        made = cls(config)
        made._take(terms)
        return made


class TfIdf(_TermFeatures):
    """Counts weighted by how few texts have the term, rows of length 1."""

    KIND = "tf-idf"

    def __init__(self, config: TfIdfConfig | None = None) -> None:
        """Nothing is learnt yet."""
        self.config = config or TfIdfConfig()
        super().__init__(TfidfVectorizer(sublinear_tf=self.config.sublinear, **_options(self.config)))

    def save(self, folder: Path) -> None:
        """Write a folder (``TextFeatures``)."""
        self._require_fitted()
        numbers = {"idf": self.idf}
        save_features(folder, kind=self.KIND, config=self.config, terms=self.terms, numbers=numbers)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read a folder (``TextFeatures``)."""
        stored = read_features(folder, kind=cls.KIND, config_type=TfIdfConfig, numbers={"idf": 1})
        return cls.of_terms(stored.terms, stored.numbers["idf"], stored.config)

    @property
    def idf(self) -> NDArray[np.float32]:
        """The weight of each term."""
        return self._vectoriser.idf_.astype(np.float32)

    @classmethod
    def of_terms(cls, terms: list[str], idf: NDArray[np.float32], config: TfIdfConfig) -> Self:
        """With terms, and a weight for each, that were found elsewhere."""
        made = cls(config)
        made._take(terms)
        made._vectoriser.idf_ = idf
        return made


def _options(config: TermConfig) -> dict[str, object]:
    return {
        "tokenizer": config.words,
        "token_pattern": None,
        # The analyser does that.
        "lowercase": False,
        "ngram_range": (1, config.max_ngram),
        "min_df": config.min_documents,
        "max_features": config.max_terms,
        "dtype": np.float32,
    }
