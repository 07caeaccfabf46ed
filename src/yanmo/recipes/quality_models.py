"""The models of quality: of good text how surprising another is, and a classifier of good and bad examples.

Trained before the first document of a corpus is read, and kept with it; another corpus can be built with them
as they are. Thresholds of the surprise are found on every tenth good text, or of few long ones on the last
tenth: on pieces of several lengths, about as many of each text, so that long texts do not decide alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from yanmo.artifact import read_json
from yanmo.corpus.cleaning.cleaner import Cleaner
from yanmo.corpus.cleaning.settings import CleaningSettings
from yanmo.corpus.document import Document, Rejected
from yanmo.corpus.language.passages import main_language, shares
from yanmo.corpus.quality.judge import LENGTHS, Limits, QualitySettings, calibrate
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
_MOST_PIECES = 1_000
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
    # Texts of a line or two are judged together.
    hidden = [text for text in hidden if len(text) >= LENGTHS[0]] or ["\n".join(hidden)]
    most = -(-_MOST_PIECES // len(hidden))
    found: dict[str, dict[int, list[float]]] = {}
    for text in hidden:
        by_length = found.setdefault(main_language(shares(text)), {})
        for length in LENGTHS:
            pieces = islice(_pieces(text, length), most)
            by_length.setdefault(length, []).extend(model.bits_per_byte_of(pieces))
    facts = {
        "num_bytes": sum(len(text.encode("utf-8", "surrogatepass")) for text in shown),
        "held_out": dict(sorted(found.items())),
    }
    model.save(place, facts=facts)
    return place


def limits_of(quality: QualitySettings, place: Path) -> tuple[Limits, dict[str, Any]]:
    """The thresholds of a language model of good text, and what is told of it.

    Raises:
        InputError: there was too little text to find the thresholds on, or the folder is damaged.
    """
    facts = read_json(place / CHARACTERS_FILE).get("facts")
    values = _values_of(facts.get("held_out")) if isinstance(facts, dict) else None
    if facts is None or values is None:
        raise InputError("is not a model that a corpus kept", where=place, remedy="give good text instead")
    limits: Limits = {}
    if "" not in quality.max_surprise:
        limits = calibrate(values, quality.refuse_good)
        said = ", ".join(
            f"{language or 'any'} {' to '.join(f'{limit:.2f}' for limit in _ends(list(some.values())))}"
            for language, some in limits.items()
        )
        say(f"good text costs its model at most so many bits per byte, the longer the fewer: {said}")
    held_out = {
        language: {
            str(length): {"num_texts": len(some), "bits_per_byte": round(float(np.mean(some)), 4)}
            for length, some in by_length.items()
            if some
        }
        for language, by_length in values.items()
    }
    return limits, {
        "num_bytes": facts.get("num_bytes", 0),
        "max_bits_per_byte": {
            language: {str(length): round(limit, 4) for length, limit in some.items()}
            for language, some in limits.items()
        },
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
    kept = _kept(quality.like, FEATURES_FILE, quality.unlike)
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


def _values_of(found: Any) -> dict[str, dict[int, list[float]]] | None:
    """Numbers by language and length from plain values; None where they are something else."""
    try:
        return {
            str(language): {
                int(length): [float(value) for value in some] for length, some in by_length.items()
            }
            for language, by_length in found.items()
        }
    except (AttributeError, TypeError, ValueError):
        return None


def _ends(values: list[float]) -> list[float]:
    return values[:1] + values[1:][-1:]


def _kept(paths: Sequence[Path], name: str, others: Sequence[Path] = ()) -> Path | None:
    """The folder of a model that an earlier corpus kept, if that is what was given.

    Raises:
        InputError: it was given beside texts.
    """
    kept = next((path for path in paths if (path / name).is_file()), None)
    if kept is not None and len(paths) + len(others) > 1:
        raise InputError("is a model, beside which texts are of no use", where=kept, remedy="give it alone")
    return kept


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


def _pieces(text: str, length: int) -> Iterator[str]:
    """The text in pieces of one length, from its beginning on."""
    return (text[start : start + length] for start in range(0, len(text) - length + 1, length))
