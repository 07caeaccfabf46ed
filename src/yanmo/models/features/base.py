"""What every extractor of features offers, and the folder that each is kept in.

A folder holds features.json (the kind, the settings, the segmenter's version), terms.json (the terms in
the order of their columns or rows) and, where there are numbers, features.safetensors. Nothing is pickled.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, Self, TypeVar

import numpy as np
import safetensors
import safetensors.numpy
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from yanmo import artifact
from yanmo.config import from_mapping, to_mapping
from yanmo.errors import InputError
from yanmo.models.features.analyser import Analyser
from yanmo.models.files.foreign_files import DAMAGED
from yanmo.reporting.progress import say_once

FEATURES_FILE = "features.json"
TERMS_FILE = "terms.json"
NUMBERS_FILE = "features.safetensors"


@dataclass(frozen=True, kw_only=True)
class FeatureConfig:
    """Settings of every kind."""

    analyser: Analyser = Analyser.JIEBA


Config = TypeVar("Config", bound=FeatureConfig)


class TextFeatures(Protocol):
    """From texts to rows of numbers."""

    @property
    def dim(self) -> int:
        """Numbers a text."""

    def fit(self, texts: Iterable[str]) -> Self:
        """Learn from texts, read once.

        Raises:
            InputError: they hold no terms, or a package is missing.
        """

    def transform(self, texts: Iterable[str]) -> csr_matrix | NDArray[np.float32]:
        """Features of texts: float32 of shape (num_texts, dim); rows of zeros where nothing is known.

        Raises:
            InputError: nothing was learnt yet.
        """

    def save(self, folder: Path) -> None:
        """Write a folder whole, replacing one that is there.

        Raises:
            InputError: nothing was learnt yet. YanmoError: the disk is full or the place cannot be written.
        """

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read a folder written by ``save``.

        Raises:
            InputError: a file is missing or damaged, or the folder holds another kind.
        """


@dataclass(frozen=True, kw_only=True)
class StoredFeatures(Generic[Config]):
    """What a folder holds."""

    config: Config
    terms: list[str]
    numbers: Mapping[str, NDArray[np.float32]]
    details: Mapping[str, Any]
    """What else there is to know, in plain values."""


def save_features(
    folder: Path,
    *,
    kind: str,
    config: FeatureConfig,
    terms: Sequence[str],
    numbers: Mapping[str, NDArray[np.float32]],
    details: Mapping[str, Any] | None = None,
) -> None:
    """Write a folder whole.

    Raises:
        YanmoError: the disk is full or the place cannot be written.
    """
    version = config.analyser.version()
    summary = {"kind": kind, "analyser_version": version, "config": to_mapping(config)}
    summary |= {"details": dict(details)} if details else {}
    with artifact.new_folder(folder, kind="features", details={"kind": kind}) as temporary:
        artifact.write_json(temporary / FEATURES_FILE, summary)
        artifact.write_json(temporary / TERMS_FILE, {"terms": list(terms)})
        if numbers:
            arrays = {name: np.ascontiguousarray(array) for name, array in numbers.items()}
            safetensors.numpy.save_file(arrays, temporary / NUMBERS_FILE)


def read_features(
    folder: Path, *, kind: str, config_type: type[Config], numbers: Mapping[str, int]
) -> StoredFeatures[Config]:
    """Read a folder; says so where another version of the segmenter made it than is installed.

    Args:
        folder: where it is.
        kind: what it must hold.
        config_type: dataclass of the settings.
        numbers: arrays that must be there, with how many dimensions each has; the first of these is as
            long as there are terms.

    Raises:
        InputError: a file is missing or damaged, or the folder holds another kind.
    """
    path = folder / FEATURES_FILE
    summary = artifact.read_json(path)
    if summary.get("kind") != kind:
        raise InputError(f"holds {summary.get('kind')!r}, not {kind!r}", where=path)
    config = from_mapping(config_type, summary.get("config", {}), where=path)
    made, here = summary.get("analyser_version"), config.analyser.version()
    if made != here:
        say_once(
            f"{folder}: made with {made or 'no segmenter'}, here is {here or 'none'}: Chinese may differ"
        )
    return StoredFeatures(
        config=config,
        terms=(terms := _read_terms(folder / TERMS_FILE)),
        numbers=read_numbers(folder / NUMBERS_FILE, len(terms), numbers) if numbers else {},
        details=details if isinstance(details := summary.get("details"), dict) else {},
    )


def not_fitted() -> InputError:
    """Nothing was learnt yet."""
    return InputError("the features were not fitted to texts yet", remedy="call fit, or load a folder")


def _read_terms(path: Path) -> list[str]:
    terms = artifact.read_json(path).get("terms")
    if not isinstance(terms, list) or not all(isinstance(term, str) for term in terms):
        raise InputError("does not list terms", where=path, remedy=DAMAGED)
    if not terms or len(set(terms)) != len(terms):
        raise InputError("lists a term twice, or none", where=path, remedy=DAMAGED)
    return terms


def read_numbers(
    path: Path, num_terms: int, expected: Mapping[str, int]
) -> Mapping[str, NDArray[np.float32]]:
    """Arrays of a file, by name.

    Args:
        path: a safetensors file.
        num_terms: the length of each.
        expected: those that must be there, with how many dimensions each has.

    Raises:
        InputError: the file or one of them is missing, damaged, or of another shape.
    """
    try:
        numbers = safetensors.numpy.load_file(path)
    except (OSError, safetensors.SafetensorError) as error:
        raise InputError(f"cannot be read: {error}", where=path, remedy=DAMAGED) from None
    for name, num_dimensions in expected.items():
        array = numbers.get(name, np.zeros(0))
        if array.dtype != np.float32 or array.ndim != num_dimensions or len(array) != num_terms:
            raise InputError(f"has no {name} for {num_terms} terms", where=path, remedy=DAMAGED)
        if not np.isfinite(array).all():
            raise InputError(f"has no finite {name}", where=path, remedy=DAMAGED)
    return numbers
