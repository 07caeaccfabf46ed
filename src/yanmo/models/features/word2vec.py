"""Word2Vec: a vector a word, learnt from the words around it; a text is the mean of its words' vectors.

Mikolov et al. 2013 (arXiv 1301.3781, sections 3.1 and 3.2; arXiv 1310.4546, section 2.2 for negative
sampling), trained by gensim. Only training needs that package: vectors that were saved are used without.
"""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from yanmo.errors import InputError
from yanmo.models.features.analyser import normalise
from yanmo.models.features.base import FeatureConfig, not_fitted, read_features, save_features

# gensim leaves out what a sentence holds beyond this many words.
_MAX_SENTENCE_WORDS = 10_000


class Predicts(enum.Enum):
    """Which way round."""

    CONTEXT = "skip-gram"
    """The words around from the word."""

    WORD = "cbow"
    """The word from those around it."""


@dataclass(frozen=True, kw_only=True)
class Word2VecConfig(FeatureConfig):
    """How vectors are learnt.

    Attributes:
        dim: numbers a vector.
        predicts: skip-gram or CBOW.
        window: words on each side.
        min_count: rarer words get no vector.
        num_negatives: wrong words that each right one is told from.
        num_epochs: passes over the texts.
        seed: of the first vectors and of what is drawn.
        num_threads: with more than one, no two trainings give the same vectors.
    """

    dim: int = 100
    predicts: Predicts = Predicts.CONTEXT
    window: int = 5
    min_count: int = 5
    num_negatives: int = 5
    num_epochs: int = 5
    seed: int = 0
    num_threads: int = 1

    def __post_init__(self) -> None:
        """Refuse what cannot be trained."""
        for name in ("dim", "window", "min_count", "num_negatives", "num_epochs", "num_threads"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} must be at least 1, not {getattr(self, name)}")


class Word2Vec:
    """Vectors of words, and of texts by their mean."""

    KIND = "word2vec"

    def __init__(self, config: Word2VecConfig | None = None) -> None:
        """Nothing is learnt yet."""
        self.config = config or Word2VecConfig()
        self._keep([], np.zeros((0, self.config.dim), np.float32))

    @property
    def dim(self) -> int:
        """Numbers a vector."""
        return self.config.dim

    def fit(self, texts: Iterable[str]) -> Self:
        """Learn from texts, whose words are held in memory meanwhile (``TextFeatures``)."""
        sentences = list(self._sentences(texts))
        counts = Counter(word for sentence in sentences for word in sentence)
        if not any(count >= self.config.min_count for count in counts.values()):
            raise InputError(
                f"no word occurs {self.config.min_count} times",
                remedy="give more text or a smaller min_count",
            )
        self._keep(*_train(self.config, sentences))
        return self

    def transform(self, texts: Iterable[str]) -> NDArray[np.float32]:
        """Mean vectors of the words that are known (``TextFeatures``)."""
        self._require_fitted()
        rows = [np.zeros((0, self.dim), np.float32)]
        for text in texts:
            places = [self._places[word] for word in self.config.analyser.terms(text) if word in self._places]
            row = self.vectors[places].mean(axis=0) if places else np.zeros(self.dim, np.float32)
            rows.append(row[None])
        return np.concatenate(rows)

    def vector(self, word: str) -> NDArray[np.float32]:
        """The vector of a word, float32 (dim,).

        Raises:
            InputError: the word has none.
        """
        return self.vectors[self._place(word)]

    def most_similar(self, word: str, k: int = 10) -> list[tuple[str, float]]:
        """The ``k`` other words whose vectors point most nearly the same way, with the cosines.

        Raises:
            InputError: the word has no vector.
        """
        place = self._place(word)
        cosines = self._directions @ self._directions[place]
        cosines[place] = -np.inf
        nearest = np.argsort(-cosines, kind="stable")[: max(0, min(k, len(self.terms) - 1))]
        return [(self.terms[i], float(cosines[i])) for i in nearest.tolist()]

    def save(self, folder: Path) -> None:
        """Write a folder (``TextFeatures``)."""
        self._require_fitted()
        numbers = {"vectors": self.vectors}
        save_features(folder, kind=self.KIND, config=self.config, terms=self.terms, numbers=numbers)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read a folder (``TextFeatures``)."""
        stored = read_features(folder, kind=cls.KIND, config_type=Word2VecConfig, numbers={"vectors": 2})
        made = cls(stored.config)
        vectors = stored.numbers["vectors"]
        if vectors.shape[1] != made.dim:
            raise InputError(f"vectors have {vectors.shape[1]} numbers, not {made.dim}", where=folder)
        made._keep(stored.terms, vectors)
        return made

    def _keep(self, terms: list[str], vectors: NDArray[np.float32]) -> None:
        self.terms, self.vectors = terms, vectors
        self._places = {term: place for place, term in enumerate(terms)}
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        self._directions = vectors / np.maximum(lengths, np.finfo(np.float32).tiny)

    def _sentences(self, texts: Iterable[str]) -> Iterable[list[str]]:
        for text in texts:
            words = self.config.analyser.terms(text)
            for start in range(0, len(words), _MAX_SENTENCE_WORDS):
                yield words[start : start + _MAX_SENTENCE_WORDS]

    def _place(self, word: str) -> int:
        self._require_fitted()
        place = self._places.get(normalise(word))
        if place is None:
            raise InputError(f"the word {word!r} has no vector", remedy="it was too rare in the texts")
        return place

    def _require_fitted(self) -> None:
        if not self.terms:
            raise not_fitted()


def _train(config: Word2VecConfig, sentences: list[list[str]]) -> tuple[list[str], NDArray[np.float32]]:
    try:
        from gensim.models import Word2Vec as Trained
    except ImportError:
        raise InputError(
            "training Word2Vec needs the package gensim", remedy="pip install yanmo[classical]"
        ) from None
    trained: Any = Trained(
        sentences,
        vector_size=config.dim,
        sg=int(config.predicts is Predicts.CONTEXT),
        window=config.window,
        min_count=config.min_count,
        negative=config.num_negatives,
        epochs=config.num_epochs,
        seed=config.seed,
        workers=config.num_threads,
    )
    return list(trained.wv.index_to_key), np.asarray(trained.wv.vectors, np.float32)
