"""A corpus with the models that its settings ask for.

The steps of a corpus know no models (``corpus.aids``): here they are made or found. A language model of good
text and a classifier of the user's examples are trained before the first document is read and kept in the
corpus, under ``models/``; another corpus can be built with them as they are. Each process that reads opens
a model once, when it first needs it.

Held-out text for the threshold of the surprise is every tenth text, or of few long ones the last tenth.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from yanmo.artifact import read_json
from yanmo.config import format_size, to_mapping
from yanmo.corpus import build
from yanmo.corpus.aids import Aids
from yanmo.corpus.cleaning.cleaner import Cleaner
from yanmo.corpus.cleaning.settings import CleaningSettings
from yanmo.corpus.document import Document, Rejected
from yanmo.corpus.language.passages import main_language, shares
from yanmo.corpus.personal.entities import kinds_of
from yanmo.corpus.personal.settings import Found, Kind, PersonalSettings
from yanmo.corpus.quality.judge import QualitySettings, calibrate, scored_part
from yanmo.corpus.quality.measures import windows_of
from yanmo.corpus.reader import read_documents
from yanmo.corpus.settings import CorpusSettings
from yanmo.corpus.store import SUMMARY_FILE, Corpus, CorpusSummary
from yanmo.corpus.texts import read_texts
from yanmo.errors import InputError
from yanmo.models.files.hf_folder import find_model
from yanmo.models.ngram.characters import CHARACTERS_FILE, CharacterNgram, fit_character_ngram, sample_texts
from yanmo.reporting.progress import say

if TYPE_CHECKING:
    from yanmo.models.entities import EntityFinder
    from yanmo.models.features.quality_classifier import QualityClassifier
    from yanmo.models.sentence import SentenceEncoder

# Texts one a line; what lies in other kinds of files is read as documents.
_LINES = ("", ".txt", ".text")
_ORDER, _GOOD_BYTES = 6, 5 << 20
_FEW_TEXTS, _HELD_OUT_EVERY = 20, 10
_PIECE_CHARS = 200
# What a sentence encoder is shown of a long text: its mean stands for the whole.
_WINDOW_CHARS, _WINDOWS = 1000, 4
_SPEAKING = 5
_USUAL = CorpusSettings()


def build_corpus(
    sources: Path | Sequence[Path],
    out: Path,
    *,
    settings: CorpusSettings = _USUAL,
    num_workers: int | None = None,
    force: bool = False,
) -> CorpusSummary:
    """Turn files and folders into a corpus folder; the same call goes on where an earlier one was stopped.

    Args:
        sources: what to read.
        out: the folder to write; made by the same command from the same files, it is left as it is.
        settings: how.
        num_workers: processes that read, of which the result is independent; None for as many as there are
            processors, 0 for this one.
        force: replace whatever ``out`` is.

    Raises:
        InputError: a source or a model is missing, nothing is text, or there is too little to split.
        YanmoError: the disk is full or ``out`` cannot be written.
    """
    return build.build_corpus(
        sources,
        out,
        settings=with_models_found(settings),
        make_aids=make_aids,
        num_workers=num_workers,
        force=force,
    )


def with_models_found(settings: CorpusSettings) -> CorpusSettings:
    """The settings with the folders of the models that they name.

    Raises:
        InputError: there is no such model, or a setting needs one that is not named.
    """
    quality, duplicates, personal = settings.quality, settings.duplicates, settings.personal
    if quality.max_surprise and not quality.surprise:
        raise InputError("max_surprise needs good text", remedy="give some with --surprise")
    if (quality.unlike or quality.min_worth is not None) and not quality.like:
        raise InputError("a classifier needs good examples", remedy="give some with --like")
    if quality.like and not quality.unlike and _kept(quality.like, "features.json") is None:
        raise InputError("a classifier needs bad examples", remedy="give some with --unlike")
    if duplicates.same_meaning is not None:
        duplicates = replace(duplicates, same_meaning=find_model(duplicates.same_meaning))
    if personal.entities is not None:
        personal = replace(personal, entities=find_model(personal.entities))
    return replace(settings, duplicates=duplicates, personal=personal)


def make_aids(settings: CorpusSettings, folder: Path) -> Aids:
    """The models that settings ask for (``corpus.aids.MakeAids``).

    Raises:
        InputError: there are too few examples, or a model is damaged or of another kind.
        YanmoError: the disk is full.
    """
    aids, facts = Aids(), dict[str, Any]()
    if settings.quality.surprise:
        place = _surprise_folder(settings.quality, settings.cleaning, folder / "surprise")
        facts["surprise"] = limits = _limits(settings.quality, place)
        aids = replace(aids, surprise=Surprise(place), max_surprise=limits["max_bits_per_byte"])
    if settings.quality.like:
        place = _classifier_folder(settings.quality, settings.cleaning, folder / "classifier")
        worth = Worth(place)
        facts["classifier"] = to_mapping(worth.classifier.held_out)
        aids = replace(aids, worth=worth)
    if settings.duplicates.same_meaning is not None:
        aids = replace(aids, embed=Meaning(settings.duplicates.same_meaning))
    if settings.personal.entities is not None:
        aids = replace(aids, entities=_entities(settings.personal.entities, settings.personal))
    return replace(aids, facts=facts)


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


def _entities(path: Path, settings: PersonalSettings) -> PersonalEntities:
    from yanmo.models.entities import labels_of

    kinds = kinds_of(labels_of(path), settings.labels, where=path)
    named = ", ".join(f"{label} as {kind}" for label, kind in kinds.items())
    say(f"{path} finds {named}; this takes far longer than all else")
    return PersonalEntities(path, tuple(kinds.items()), settings.min_probability)


def _surprise_folder(quality: QualitySettings, cleaning: CleaningSettings, place: Path) -> Path:
    """Where the language model lies; made if it is not there yet."""
    kept = _kept(quality.surprise, CHARACTERS_FILE)
    if kept is not None or place.is_dir():
        return kept or place
    texts = sample_texts(_documents(quality.surprise, cleaning), max_bytes=_GOOD_BYTES)
    shown, hidden = _held_out(texts)
    model = fit_character_ngram(shown, order=_ORDER)
    found: dict[str, list[float]] = {}
    for piece in _pieces(hidden):
        language = main_language(shares(piece))
        found.setdefault(language, []).append(model.bits_per_byte(scored_part(piece)))
    facts = {
        "num_bytes": sum(len(text.encode("utf-8", "surrogatepass")) for text in shown),
        "held_out": {language: sorted(values) for language, values in sorted(found.items())},
    }
    model.save(place, facts=facts)
    return place


def _limits(quality: QualitySettings, place: Path) -> dict[str, Any]:
    """The thresholds of a language model, and what is told of it."""
    facts = read_json(place / CHARACTERS_FILE).get("facts", {})
    values: Mapping[str, list[float]] = facts.get("held_out", {})
    if "" in quality.max_surprise:
        limits = dict(quality.max_surprise)
    else:
        # Thresholds that were set by hand stay.
        limits = {**calibrate(values, quality.refuse_good), **quality.max_surprise}
    by_language = ", ".join(f"{name or 'any language'} {limit:.2f}" for name, limit in limits.items())
    size = format_size(facts.get("num_bytes", 0))
    say(f"a model of {size} of good text: refused are texts over these bits per byte: {by_language}")
    means = {language: round(float(np.mean(some)), 4) for language, some in values.items()}
    counts = {language: len(some) for language, some in values.items()}
    return {
        "num_bytes": facts.get("num_bytes", 0),
        "max_bits_per_byte": limits,
        "held_out": {
            name: {"num_texts": counts[name], "bits_per_byte": mean} for name, mean in means.items()
        },
    }


def _classifier_folder(quality: QualitySettings, cleaning: CleaningSettings, place: Path) -> Path:
    """Where the classifier lies; made if it is not there yet."""
    from yanmo.models.features.base import FEATURES_FILE
    from yanmo.models.features.quality_classifier import QualityClassifier

    kept = _kept(quality.like, FEATURES_FILE)
    if kept is not None or place.is_dir():
        return kept or place
    good, bad = (list(_examples(paths, cleaning)) for paths in (quality.like, quality.unlike))
    made = QualityClassifier.fit(good, bad)
    made.save(place)
    held_out = made.held_out
    say(
        f"a classifier of {held_out.num_good:,} good and {held_out.num_bad:,} bad texts: right about"
        f" {held_out.accuracy:.1%} of those it was not shown (guessing: {held_out.guessing:.1%}); it likes"
        f" {', '.join(made.speaking_for(_SPEAKING))}; dislikes {', '.join(made.speaking_for(-_SPEAKING))}"
    )
    return place


def _kept(paths: Sequence[Path], name: str) -> Path | None:
    """The folder of a model that an earlier corpus kept, if that is what was given."""
    return paths[0] if len(paths) == 1 and (paths[0] / name).is_file() else None


def _documents(paths: Iterable[Path], cleaning: CleaningSettings) -> Iterator[str]:
    """Texts of files, folders and corpora, cleaned as those are that they will be compared with.

    Raises:
        InputError: there is none in one of them.
    """
    cleaner = Cleaner(replace(cleaning, flags=False))
    for path in paths:
        refused, found = Counter[str](), False
        if (path / SUMMARY_FILE).is_file():
            items: Iterator[Document | Rejected] = Corpus.open(path).documents("train")
        else:
            items = read_documents(path, note=say)
        for item in items:
            text = cleaner.clean(item.text).text if isinstance(item, Document) else ""
            if text.strip():
                found = True
                yield text
            elif isinstance(item, Rejected):
                refused[item.reason.value] += 1
        counts = ", ".join(f"{count} {reason}" for reason, count in refused.most_common())
        if not found:
            raise InputError("no text found" + (f" ({counts})" if counts else ""), where=path)
        if counts:
            say(f"{path}: passed over ({counts})")


def _examples(paths: Iterable[Path], cleaning: CleaningSettings) -> Iterator[str]:
    """Texts one a line of plain files, one a record of tables, one a document of everything else."""
    cleaner = Cleaner(replace(cleaning, flags=False))
    for path in paths:
        if path.is_dir() or path.suffix.lower() not in _LINES:
            yield from _documents([path], cleaning)
            continue
        for line in read_texts(path, note=say):
            text = cleaner.clean(line).text
            if text.strip():
                yield text


def _held_out(texts: list[str]) -> tuple[list[str], list[str]]:
    """Texts to learn from, and others."""
    if len(texts) >= _FEW_TEXTS:
        hidden = texts[_HELD_OUT_EVERY - 1 :: _HELD_OUT_EVERY]
        return [text for number, text in enumerate(texts, 1) if number % _HELD_OUT_EVERY], hidden
    cuts = [len(text) * (_HELD_OUT_EVERY - 1) // _HELD_OUT_EVERY for text in texts]
    pairs = list(zip(texts, cuts, strict=True))
    return [text[:cut] for text, cut in pairs], [text[cut:] for text, cut in pairs]


def _pieces(texts: Iterable[str]) -> Iterator[str]:
    """The texts in pieces of one length; short ones together."""
    held = ""
    for text in texts:
        held = f"{held}\n{text}" if held else text
        while len(held) >= _PIECE_CHARS:
            yield held[:_PIECE_CHARS]
            held = held[_PIECE_CHARS:]


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
