"""What is cleaned: plain values, so that they go to worker processes and into a corpus's record."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, get_args

from yanmo.corpus.cleaning.boilerplate import BOILERPLATE
from yanmo.corpus.cleaning.script import Script
from yanmo.corpus.cleaning.spelling import Spelling
from yanmo.corpus.cleaning.width import Width
from yanmo.errors import InputError


@dataclass(frozen=True, kw_only=True)
class CleaningSettings:
    """Which steps a text goes through; what is on by default can do no harm."""

    wraps: bool = True
    """Join the lines of a text that is plainly broken at a width or comes from pages, mend its hyphens."""
    pages: bool = True
    """Remove running headers, footers, page numbers and page breaks."""
    boilerplate: tuple[str, ...] = ("cookies", "sharing", "navigation")
    """Kinds of lines to remove, of ``boilerplate.BOILERPLATE``."""
    quotations: bool = False
    """Remove what a mail quotes from the one that it answers."""
    signatures: bool = False
    """Remove the signature of a mail."""
    width: Width = "keep"
    """Full-width to half-width: ``letters`` (with digits) or ``all`` (with punctuation, right in Chinese)."""
    script: Script = "keep"
    """Chinese: ``simplified``, ``traditional``, or as in ``taiwan`` (its words too) or ``hong-kong``."""
    spaces: bool = False
    """One space where there are several, none at line ends, at most one blank line."""
    spelling: Spelling = "keep"
    """``correct``: English words that are none become the word that was meant, where that is plain."""
    flags: bool = True
    """Estimate how much of the text is noise."""

    def __post_init__(self) -> None:
        """Refuse what is none of the choices."""
        choices = {"width": get_args(Width), "script": get_args(Script), "spelling": get_args(Spelling)}
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise InputError(
                    f"{getattr(self, name)!r} is no choice", where=name, remedy=f"one of {', '.join(allowed)}"
                )
        for kind in self.boilerplate:
            if kind not in BOILERPLATE:
                raise InputError(
                    f"{kind!r} is no kind of boilerplate",
                    where="boilerplate",
                    remedy=f"any of {', '.join(BOILERPLATE)}",
                )


class Job(NamedTuple):
    """What a step is asked to do with one text."""

    settings: CleaningSettings
    language: str = ""
    """Such as ``en`` or ``zh``; empty where it is not known."""
    paged: bool = False
    """Whether the text was laid out on pages, as that of a PDF file."""
