"""A corpus with the models that its settings ask for.

The steps of a corpus know no models (``corpus.aids``): here they are made or found, and nothing of them is
imported where none is asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from yanmo.config import to_mapping
from yanmo.corpus import build
from yanmo.corpus.aids import Aids
from yanmo.corpus.personal.entities import kinds_of
from yanmo.corpus.sample import sample_corpus
from yanmo.corpus.settings import CorpusSettings
from yanmo.corpus.store import CorpusSummary
from yanmo.corpus.workers import Spread, spread
from yanmo.errors import InputError
from yanmo.reporting.progress import say

_USUAL = CorpusSettings()


def build_corpus(
    sources: Path | Sequence[Path],
    out: Path,
    *,
    settings: CorpusSettings = _USUAL,
    num_workers: int | None = None,
    engine: Spread = spread,
    force: bool = False,
) -> CorpusSummary:
    """Turn files and folders into a corpus folder; the same call goes on where an earlier one was stopped.

    Args:
        sources: what to read.
        out: the folder to write; made by the same command from the same files, it is left as it is.
        settings: how.
        num_workers: processes that read, of which the result is independent; None for as many as there are
            processors, 0 for this one.
        engine: what spreads the work; a ``cluster.Cluster`` does it over machines, with the same result.
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
        engine=engine,
        force=force,
    )


def preview_corpus(
    sources: Path | Sequence[Path],
    out: Path,
    *,
    settings: CorpusSettings = _USUAL,
    num_workers: int | None = None,
) -> dict[str, Any]:
    """What ``build_corpus`` would read, and what it makes of a sample; writes nothing that stays.

    Args:
        sources: as of ``build_corpus``.
        out: as of ``build_corpus``; left as it is.
        settings: as of ``build_corpus``.
        num_workers: as of ``build_corpus``.

    Returns:
        As of ``corpus.build.survey``, and under ``sample`` as of ``corpus.sample.sample_corpus``.

    Raises:
        InputError: a source or a model is missing.
    """
    paths = [sources] if isinstance(sources, Path) else list(sources)
    found = build.survey(paths, out=out)
    settings = with_models_found(settings)
    sample = sample_corpus(paths, out=out, settings=settings, make_aids=make_aids, num_workers=num_workers)
    return {**found, "sample": sample}


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
    if duplicates.same_meaning is None and personal.entities is None:
        return settings
    from yanmo.models.files.hf_folder import find_model

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
    quality, encoder, marker = settings.quality, settings.duplicates.same_meaning, settings.personal.entities
    if not (quality.surprise or quality.like or encoder or marker):
        return Aids()
    from yanmo.models.entities import labels_of as marked_labels
    from yanmo.recipes.corpus_models import Meaning, PersonalEntities, Surprise, Worth
    from yanmo.recipes.quality_models import classifier_folder, limits_of, surprise_folder

    aids, facts = Aids(), dict[str, Any]()
    if quality.surprise:
        place = surprise_folder(quality, settings.cleaning, folder / "surprise")
        limits, facts["surprise"] = limits_of(quality, place)
        aids = replace(aids, surprise=Surprise(place), limits=limits)
    if quality.like:
        worth = Worth(classifier_folder(quality, settings.cleaning, folder / "classifier"))
        facts["classifier"] = to_mapping(worth.classifier.held_out)
        aids = replace(aids, worth=worth)
    if encoder is not None:
        aids = replace(aids, embed=Meaning(encoder))
    if marker is not None:
        labels = kinds_of(marked_labels(marker), settings.personal.labels, where=marker)
        named = ", ".join(f"{label} as {kind}" for label, kind in labels.items())
        say(f"{marker} finds {named}; this takes far longer than all else")
        entities = PersonalEntities(marker, tuple(labels.items()), settings.personal.min_probability)
        aids = replace(aids, entities=entities)
    return replace(aids, facts=facts)
