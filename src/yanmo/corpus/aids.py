"""What some steps need beside the settings: evaluation items, models, a key.

Corpora know no models. Whoever builds one hands in a function that makes them (``MakeAids``), and gets them
back as plain functions of a text that can be sent to other processes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from yanmo.corpus.duplicates.contamination import Contamination
from yanmo.corpus.duplicates.embedding import Embed
from yanmo.corpus.personal.find import Entities
from yanmo.corpus.personal.mask import read_key, usual_key_file
from yanmo.corpus.quality.judge import Limits, Score
from yanmo.corpus.settings import CorpusSettings
from yanmo.corpus.texts import read_texts
from yanmo.errors import InputError
from yanmo.reporting.progress import say


@dataclass(frozen=True, kw_only=True)
class Aids:
    """What some steps need; picklable."""

    evaluation: Contamination | None = None
    item_names: tuple[str, ...] = ()
    """Of the evaluation items, in their order."""
    surprise: Score | None = None
    """Bits per byte of a text, by a language model."""
    limits: Limits = field(default_factory=dict)
    """Thresholds that were found for it."""
    worth: Score | None = None
    """How good a text is, from 0 to 1, by a classifier."""
    entities: Entities | None = None
    """A model that finds names and addresses."""
    embed: Embed | None = None
    """A model that makes vectors of texts."""
    key: bytes = b""
    """Of pseudonyms."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What there is to tell of the models, for ``corpus.json``."""

    @property
    def are_slow(self) -> bool:
        """Whether a document takes longer than reading it does."""
        return self.entities is not None


MakeAids = Callable[[CorpusSettings, Path], Aids]
"""Makes the models that settings ask for; keeps those that it trains in a folder, and takes them from there
if they are in it already."""


def no_models(settings: CorpusSettings, folder: Path) -> Aids:
    """What makes aids where there are no models.

    Raises:
        InputError: the settings ask for one.
    """
    asked = [name for name in settings.given() if name != "decontaminate"]
    if asked:
        what = f"{', '.join(asked)} need models"
        raise InputError(what, remedy="build the corpus by yanmo.build_corpus")
    return Aids()


def add_files(aids: Aids, settings: CorpusSettings, out: Path) -> Aids:
    """The aids with the evaluation items and the key of pseudonyms, which lie in files.

    Raises:
        InputError: a file is missing or damaged.
    """
    if settings.personal.needs_key:
        key_file = settings.personal.key_file or usual_key_file(out.resolve())
        aids = replace(aids, key=read_key(key_file, out))
        say(f"pseudonyms are made with the key in {key_file}; who has it and the corpus can tell who is who")
    names: list[str] = []
    items: list[str] = []
    for path in settings.decontaminate:
        own = read_texts(path, note=say)
        names += [f"{path.name}, item {number}" for number in range(1, len(own) + 1)]
        items += own
    if items:
        evaluation = Contamination(items, settings.contamination)
        if evaluation.ignored:
            say(f"{len(evaluation.ignored)} of {len(items)} evaluation items are too short to be looked for")
        aids = replace(aids, evaluation=evaluation, item_names=tuple(names))
    return aids
