"""The suites: what they are called, which formats they come in, and how their questions are put."""

from __future__ import annotations

from dataclasses import dataclass

from yanmo.errors import InputError
from yanmo.evaluation.suites.prompts import ASKED, CONTINUED, EXAM, LAST_WORD, SENTENCES, Style


@dataclass(frozen=True, kw_only=True)
class Suite:
    """A set of questions that models are compared by.

    Attributes:
        what: its name, for people.
        formats: keys of ``FORMATS`` that it may come in, the published one first.
        style: how its questions are put.
        decides: the score that says which of two models is better, as it is usually reported.
    """

    what: str
    formats: tuple[str, ...]
    style: Style
    decides: str = "accuracy"


SUITES: dict[str, Suite] = {
    "hellaswag": Suite(
        what="HellaSwag",
        formats=("hellaswag", "choices"),
        style=CONTINUED,
        decides="accuracy_per_character",
    ),
    "arc": Suite(what="ARC", formats=("arc", "choices"), style=ASKED),
    "piqa": Suite(what="PIQA", formats=("piqa", "choices"), style=ASKED),
    "lambada": Suite(what="LAMBADA", formats=("lambada",), style=LAST_WORD),
    "blimp": Suite(what="BLiMP", formats=("blimp",), style=SENTENCES),
    "ceval": Suite(what="C-Eval", formats=("ceval", "choices"), style=EXAM),
    "choices": Suite(
        what="questions with choices", formats=("choices", "arc", "piqa", "ceval", "hellaswag"), style=ASKED
    ),
}


def find_suite(name: str) -> Suite:
    """The suite of a name.

    Raises:
        InputError: there is none.
    """
    if name not in SUITES:
        raise InputError(f"no suite is named {name!r}", remedy=f"there are {', '.join(SUITES)}")
    return SUITES[name]
