"""The models of quality: of good text how surprising another is, and a classifier of good and bad examples.

Trained before the first document of a corpus is read, and kept with it; another corpus can be built with them
as they are. Held-out text for the threshold of the surprise is every tenth text, or of few long ones the last
tenth, in pieces of one length.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np

from yanmo.artifact import read_json
from yanmo.config import format_size
from yanmo.corpus.cleaning.cleaner import Cleaner
from yanmo.corpus.cleaning.settings import CleaningSettings
from yanmo.corpus.document import Document, Rejected
from yanmo.corpus.language.passages import main_language, shares
from yanmo.corpus.quality.judge import QualitySettings, calibrate, scored_part
from yanmo.corpus.reader import read_documents
from yanmo.corpus.store import SUMMARY_FILE, Corpus
from yanmo.corpus.texts import read_texts
from yanmo.errors import InputError
from yanmo.models.features.base import FEATURES_FILE
from yanmo.models.features.quality_classifier import QualityClassifier
from yanmo.models.ngram.characters import CHARACTERS_FILE, fit_character_ngram, sample_texts
from yanmo.reporting.progress import say

# Texts one a line; what lies in other kinds of files is read as documents.
_LINES = ("", ".txt", ".text")
_ORDER, _GOOD_BYTES = 6, 5 << 20
_FEW_TEXTS, _HELD_OUT_EVERY = 20, 10
_PIECE_CHARS = 200
_SPEAKING = 5


def surprise_folder(quality: QualitySettings, cleaning: CleaningSettings, place: Path) -> Path:
    """Where the language model of good text lies; made if it is not there yet.

    Args:
        quality: with ``surprise``.
        cleaning: of the corpus; the good text is cleaned alike.
        place: the folder to make.

    Raises:
        InputError: there is no text. YanmoError: the disk is full.
    """
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


def limits_of(quality: QualitySettings, place: Path) -> dict[str, Any]:
    """What is told of a language model of good text: its size, thresholds, held-out texts.

    Raises:
        InputError: there was too little text to find the thresholds on, or the folder is damaged.
    """
    facts = read_json(place / CHARACTERS_FILE).get("facts")
    values = facts.get("held_out") if isinstance(facts, dict) else None
    if not isinstance(facts, dict) or not _are_values(values):
        raise InputError("is not a model that a corpus kept", where=place, remedy="give good text instead")
    if "" in quality.max_surprise:
        limits = dict(quality.max_surprise)
    else:
        # Thresholds that were set by hand stay.
        limits = {**calibrate(values, quality.refuse_good), **quality.max_surprise}
    by_language = ", ".join(f"{name or 'any language'} {limit:.2f}" for name, limit in limits.items())
    size = format_size(facts.get("num_bytes", 0))
    say(f"a model of {size} of good text: refused are texts over these bits per byte: {by_language}")
    held_out = {
        language: {"num_texts": len(some), "bits_per_byte": round(float(np.mean(some)), 4)}
        for language, some in values.items()
    }
    return {
        "num_bytes": facts.get("num_bytes", 0),
        "max_bits_per_byte": limits,
        "held_out": held_out,
    }


def classifier_folder(quality: QualitySettings, cleaning: CleaningSettings, place: Path) -> Path:
    """Where the classifier lies; made if it is not there yet.

    Args:
        quality: with ``like`` and, unless that is a classifier's folder, ``unlike``.
        cleaning: of the corpus; the examples are cleaned alike.
        place: the folder to make.

    Raises:
        InputError: there are too few examples. YanmoError: the disk is full.
    """
    kept = _kept(quality.like, FEATURES_FILE)
    if kept is not None or place.is_dir():
        return kept or place
    if not quality.unlike:
        raise InputError("a classifier needs bad examples too", remedy="give some with --unlike")
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


def _are_values(found: Any) -> TypeGuard[Mapping[str, list[float]]]:
    """Whether they are non-empty lists of numbers by language."""
    return isinstance(found, dict) and all(
        isinstance(some, list) and some and all(isinstance(value, float) for value in some)
        for some in found.values()
    )


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
