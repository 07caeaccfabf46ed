"""Questions with their possible answers, whatever suite and file they come from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

LETTERS = "ABCDEFGHIJ"


@dataclass(frozen=True, kw_only=True)
class Item:
    """A question, and the answers that a model is to choose among.

    Attributes:
        question: what stands before the answer; empty where whole sentences are compared.
        choices: the possible answers; one alone where the model is to find it among all words.
        answer: number of the right one, from 0.
        group: what it belongs to within its suite (a subject, a paradigm), or nothing.
        place: file and line, for messages.
    """

    question: str
    choices: tuple[str, ...]
    answer: int
    group: str = ""
    place: str = ""


class FlawedItemError(Exception):
    """A row that is no question; its message says why."""


def answer_number(given: Any, choices: tuple[str, ...], labels: tuple[str, ...] = ()) -> int:
    """Which choice an answer names: by a label, a letter, its own words, or its number from 0.

    Args:
        given: as the file has it.
        choices: what it may be.
        labels: the file's own names of them (``1`` to ``4`` in some questions of ARC).

    Raises:
        FlawedItemError: it names none of them.
    """
    said = str(given).strip()
    names = labels or tuple(LETTERS[: len(choices)])
    if said in names:
        return names.index(said)
    if said.upper() in names:
        return names.index(said.upper())
    if not labels and said.isdecimal() and int(said) < len(choices):
        return int(said)
    if said in choices:
        return choices.index(said)
    counted = f"0 to {len(choices) - 1}" if not labels else ", ".join(labels)
    raise FlawedItemError(f"the answer {said[:40]!r} is none of {counted}")
