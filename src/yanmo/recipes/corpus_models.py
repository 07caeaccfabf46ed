"""What a corpus' steps ask of models, as functions of a text that can be sent to other processes.

Each process opens a model itself, once, when it first needs it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from yanmo.corpus.personal.settings import Found, Kind
from yanmo.corpus.quality.measures import windows_of
from yanmo.models.ngram.characters import CharacterNgram

if TYPE_CHECKING:
    from yanmo.models.entities import EntityFinder
    from yanmo.models.features.quality_classifier import QualityClassifier
    from yanmo.models.sentence import SentenceEncoder

# What a sentence encoder is shown of a long text: its mean stands for the whole.
_WINDOW_CHARS, _WINDOWS = 1000, 4


@dataclass(frozen=True)
class Surprise:
    """Bits per byte of a text to a model of good text."""

    folder: Path

    def __call__(self, text: str) -> float:
        """Of one text."""
        return self._model.bits_per_byte(text)

    def __reduce__(self) -> tuple[type[Surprise], tuple[Path]]:
        """Another process opens the model itself."""
        return type(self), (self.folder,)

    @cached_property
    def _model(self) -> CharacterNgram:
        return CharacterNgram.load(self.folder)[0]


@dataclass(frozen=True)
class Worth:
    """How good a text is to a classifier, from 0 to 1."""

    folder: Path

    def __call__(self, text: str) -> float:
        """Of one text."""
        return self.classifier.score(text)

    def __reduce__(self) -> tuple[type[Worth], tuple[Path]]:
        """Another process opens the classifier itself."""
        return type(self), (self.folder,)

    @cached_property
    def classifier(self) -> QualityClassifier:
        """The classifier."""
        from yanmo.models.features.quality_classifier import QualityClassifier

        return QualityClassifier.load(self.folder)


@dataclass(frozen=True)
class Meaning:
    """Vectors of texts by a sentence encoder; of a long text, the mean over four windows."""

    path: Path

    def __call__(self, texts: list[str]) -> NDArray[np.float32]:
        """A row a text."""
        windows = [windows_of(text, _WINDOW_CHARS * _WINDOWS, _WINDOWS) for text in texts]
        vectors = self._encoder.encode([window for some in windows for window in some])
        vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        starts = np.cumsum([0, *(len(some) for some in windows[:-1])])
        sums: NDArray[np.float32] = np.add.reduceat(vectors, starts, axis=0)
        return sums

    def __reduce__(self) -> tuple[type[Meaning], tuple[Path]]:
        """Another process opens the model itself."""
        return type(self), (self.path,)

    @cached_property
    def _encoder(self) -> SentenceEncoder:
        from yanmo.models.sentence import SentenceEncoder

        return SentenceEncoder.load(self.path)


@dataclass(frozen=True)
class PersonalEntities:
    """Names and addresses in a text by a token-classification model."""

    path: Path
    kinds: tuple[tuple[str, Kind], ...]
    """By label of the model."""
    min_probability: float

    def __call__(self, text: str) -> list[Found]:
        """In order; the same whatever else the machine does, and however many processes there are."""
        kinds = dict(self.kinds)
        with _one_thread():
            return [
                Found(kinds[entity.label], entity.start, entity.end)
                for entity in self._finder.find(text)
                if entity.label in kinds and entity.probability >= self.min_probability
            ]

    def __reduce__(self) -> tuple[type[PersonalEntities], tuple[Any, ...]]:
        """Another process opens the model itself."""
        return type(self), (self.path, self.kinds, self.min_probability)

    @cached_property
    def _finder(self) -> EntityFinder:
        from yanmo.models.entities import EntityFinder

        return EntityFinder.load(self.path)


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Sums in one order: several threads would split them by their number."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
