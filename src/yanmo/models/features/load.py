"""From a folder to the features in it, whatever their kind."""

from __future__ import annotations

from pathlib import Path

from yanmo.artifact import read_json
from yanmo.errors import InputError
from yanmo.models.features.base import FEATURES_FILE, TextFeatures
from yanmo.models.features.terms import BagOfWords, TfIdf
from yanmo.models.features.word2vec import Word2Vec

KINDS: dict[str, type[TextFeatures]] = {
    BagOfWords.KIND: BagOfWords,
    TfIdf.KIND: TfIdf,
    Word2Vec.KIND: Word2Vec,
}


def load_features(folder: Path | str) -> TextFeatures:
    """Read a folder written by any ``TextFeatures.save``.

    Raises:
        InputError: a file is missing or damaged, or the kind is not known.
    """
    path = Path(folder) / FEATURES_FILE
    kind = read_json(path).get("kind")
    found = KINDS.get(kind) if isinstance(kind, str) else None
    if found is None:
        raise InputError(f"unknown kind {kind!r}", where=path, remedy=f"known: {', '.join(KINDS)}")
    return found.load(Path(folder))
