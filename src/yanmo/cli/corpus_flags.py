"""Flags of ``yanmo corpus``, in groups; what is rarer stands in the file of settings."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Group, Parameter

_READING = Group("How it is read and cleaned", sort_key=1)
_REFUSED = Group("What is refused", sort_key=2)
_PERSONAL = Group("Personal data", sort_key=3)
_TWICE = Group("What is said twice, and test sets", sort_key=4)
_SPLITS = Group("Splits and weights", sort_key=5)

Paths = Annotated[list[Path] | None, Parameter(consume_multiple=True, negative="")]
Names = Annotated[list[str] | None, Parameter(consume_multiple=True, negative="")]


@Parameter(name="*", group=_READING)
@dataclass(frozen=True, kw_only=True)
class Reading:
    """From files to clean text."""

    text_column: Annotated[
        str | None, Parameter(help="Column or key of the text in tables and records; guessed if not given.")
    ] = None
    script: Annotated[
        str | None, Parameter(help="Chinese characters: simplified, traditional, taiwan, hong kong.")
    ] = None
    width: Annotated[str | None, Parameter(help="Full width to half: letters or all.")] = None

    def given(self) -> dict[str, Any]:
        """By the names of settings."""
        return {
            "text_column": self.text_column,
            "cleaning.script": self.script,
            "cleaning.width": self.width,
        }


@Parameter(name="*", group=_REFUSED)
@dataclass(frozen=True, kw_only=True)
class Refusing:
    """Which documents are not wanted."""

    min_chars: Annotated[int | None, Parameter(help="Refuse shorter documents.")] = None
    language: Annotated[Names, Parameter(help="Keep these languages alone, such as zh en.")] = None
    quality: Annotated[
        Names, Parameter(help="Rules to refuse texts by: lenient (usual), gopher, c4, fineweb; or off.")
    ] = None
    surprise: Annotated[
        Paths, Parameter(help="Good text: refuse what an n-gram model of it is too surprised at.")
    ] = None
    max_surprise: Annotated[
        float | None, Parameter(help="Bits per byte from which on that is; found on good text if not given.")
    ] = None
    like: Annotated[
        Paths, Parameter(help="Good examples for a classifier: texts one a line, records, or files.")
    ] = None
    unlike: Annotated[
        Paths, Parameter(help="Bad examples: what is like them to the classifier is refused.")
    ] = None

    def given(self) -> dict[str, Any]:
        """By the names of settings."""
        return {
            "min_chars": self.min_chars,
            "language.keep": self.language,
            "quality.sets": self.quality and [name for name in self.quality if name != "off"],
            "quality.surprise": _plain(self.surprise),
            "quality.max_surprise": None if self.max_surprise is None else {"": self.max_surprise},
            "quality.like": _plain(self.like),
            "quality.unlike": _plain(self.unlike),
        }


@Parameter(name="*", group=_PERSONAL)
@dataclass(frozen=True, kw_only=True)
class Masking:
    """What becomes of personal data."""

    personal: Annotated[
        str | None, Parameter(help="mask (usual), pseudonym, drop (the document) or keep.")
    ] = None
    entities: Annotated[
        Path | None, Parameter(help="A token-classification model: the names and addresses it finds too.")
    ] = None

    def given(self) -> dict[str, Any]:
        """By the names of settings."""
        entities = None if self.entities is None else str(self.entities)
        return {"personal.action": self.personal, "personal.entities": entities}


@Parameter(name="*", group=_TWICE)
@dataclass(frozen=True, kw_only=True)
class Comparing:
    """What documents are compared with."""

    near_duplicates: Annotated[
        float | None, Parameter(help="Drop documents that share this part of their words (0.9); 0 for none.")
    ] = None
    same_meaning: Annotated[
        Path | None, Parameter(help="A sentence encoder: drop documents whose vectors point the same way.")
    ] = None
    cosine: Annotated[float | None, Parameter(help="From this cosine of their vectors on (0.95).")] = None
    decontaminate: Annotated[
        Paths, Parameter(help="Refuse documents that hold items of these test sets.")
    ] = None

    def given(self) -> dict[str, Any]:
        """By the names of settings."""
        return {
            "duplicates.near": self.near_duplicates,
            "duplicates.same_meaning": None if self.same_meaning is None else str(self.same_meaning),
            "duplicates.cosine": self.cosine,
            "decontaminate": _plain(self.decontaminate),
        }


@Parameter(name="*", group=_SPLITS)
@dataclass(frozen=True, kw_only=True)
class Dividing:
    """What is held out, and what is read more often."""

    valid_fraction: Annotated[
        float | None, Parameter(help="Share of the bytes held out for validation (0.02).")
    ] = None
    test_fraction: Annotated[
        float | None, Parameter(help="Share of the bytes held out for the test (0.03).")
    ] = None
    split: Annotated[str | None, Parameter(help="How to split: auto, names, documents or pieces.")] = None
    weight: Annotated[
        Names, Parameter(help="How often to train on a source or language: NAME=2, language=zh=0.5.")
    ] = None

    def given(self) -> dict[str, Any]:
        """By the names of settings.

        Raises:
            InputError: a weight is none.
        """
        return {
            "valid_fraction": self.valid_fraction,
            "test_fraction": self.test_fraction,
            "split": self.split,
            "weights": None if self.weight is None else dict(map(_weight, self.weight)),
        }


def _plain(paths: list[Path] | None) -> list[str] | None:
    return None if paths is None else [str(path) for path in paths]


def _weight(text: str) -> tuple[str, float]:
    from yanmo.errors import InputError

    name, _, number = text.rpartition("=")
    try:
        return name, float(number)
    except ValueError:
        raise InputError(f"{text!r} is no weight", remedy="write it as NAME=2 or language=zh=0.5") from None
