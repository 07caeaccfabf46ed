"""The formats that suites are published in: which fields they have, and what question a row is.

- HellaSwag (Zellers et al. 2019, arXiv 1905.07830): ``ctx_a``, ``ctx_b``, ``endings``, ``label``.
- ARC (Clark et al. 2018, arXiv 1803.05457): ``question`` and ``answerKey``, the choices within the question
  (as published) or beside it (as the hub keeps it).
- PIQA (Bisk et al. 2020, arXiv 1911.11641): ``goal``, ``sol1``, ``sol2``, the labels in a file beside it.
- LAMBADA (Paperno et al. 2016, arXiv 1606.06031): a passage a line, or ``text``; its last word is the answer.
- BLiMP (Warstadt et al. 2020, arXiv 1912.00582): ``sentence_good``, ``sentence_bad``, ``UID``.
- C-Eval (Huang et al. 2023, arXiv 2305.08322): ``question``, ``A`` to ``D``, ``answer``; a file a subject.
- Our own: ``question``, ``choices`` (a list, or columns ``A``, ``B`` ...), ``answer``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from yanmo.evaluation.suites.items import LETTERS, FlawedItemError, Item, answer_number

Fields = Mapping[str, Any]
_LAST_WORD = re.compile(r"(.*\S)(\s+\S+)\s*", re.DOTALL)
_WIKIHOW = re.compile(r"\[.*?\]")
_SUBJECT = re.compile(r"(.+?)_(?:dev|val|test)")


@dataclass(frozen=True, kw_only=True)
class Format:
    """One way in which files hold questions.

    Attributes:
        what: its name, for people.
        fields: what a row must have; of names with a stroke between them one.
        read: from a row and its file's label to a question; raises ``FlawedItemError``.
        beside: what the names of files with the answers end in, where these are kept apart.
    """

    what: str
    fields: tuple[str, ...]
    read: Callable[[Fields, str], Item]
    beside: str = ""

    def fits(self, names: set[str]) -> bool:
        """Whether a row with these fields may be of this format."""
        return all(names & set(field.split("|")) for field in self.fields)


def _text(row: Fields, *names: str) -> str:
    for name in names:
        if row.get(name) is not None:
            text = str(row[name])
            if text.strip():
                return text
            break
    raise FlawedItemError(f"no text in {names[0]}")


def _listed(row: Fields, *names: str) -> tuple[str, ...]:
    """A list of texts, which a table holds as JSON."""
    cell = next((row[name] for name in names if row.get(name) is not None), None)
    if isinstance(cell, str):
        try:
            cell = json.loads(cell)
        except ValueError:
            raise FlawedItemError(f"{names[0]} is no list") from None
    if not isinstance(cell, list) or not all(isinstance(one, str | int | float) for one in cell):
        raise FlawedItemError(f"{names[0]} is no list of texts")
    return _checked(tuple(str(one) for one in cell))


def _checked(choices: tuple[str, ...]) -> tuple[str, ...]:
    if not 2 <= len(choices) <= len(LETTERS):
        raise FlawedItemError(f"{len(choices)} choices, not 2 to {len(LETTERS)}")
    if not all(choice.strip() for choice in choices):
        raise FlawedItemError("an empty choice")
    if len(set(choices)) < len(choices):
        raise FlawedItemError("two equal choices")
    return choices


def _given(row: Fields, *names: str) -> Any:
    found = next((row[name] for name in names if row.get(name) is not None and str(row[name]).strip()), None)
    if found is None:
        raise FlawedItemError(f"no {names[0]}: a test file without answers")
    return found


def _hellaswag(row: Fields, label: str) -> Item:
    choices = tuple(_without_marks(choice) for choice in _listed(row, "endings", "choices"))
    first, second = _text(row, "ctx_a"), str(row.get("ctx_b") or "")
    activity = str(row.get("activity_label") or "")
    question = f"{activity}: {first} {second.capitalize()}" if activity else f"{first} {second.capitalize()}"
    return Item(
        question=_without_marks(question),
        choices=_checked(choices),
        answer=answer_number(_given(row, "label", "answer"), choices),
    )


def _without_marks(text: str) -> str:
    """Without the brackets that are left over from WikiHow pages."""
    text = _WIKIHOW.sub("", text.strip().replace(" [title]", ". "))
    return text.replace("  ", " ")


def _arc(row: Fields, label: str) -> Item:
    cell, beside = row["question"], row.get("choices")
    if isinstance(cell, str) and cell.lstrip().startswith("{"):
        cell = _object(cell, "question")
    if isinstance(beside, str):
        beside = _object(beside, "choices")
    if isinstance(cell, Mapping):
        question, listed = _text(cell, "stem"), cell.get("choices")
    else:
        question, listed = _text(row, "question"), beside
    if isinstance(listed, Mapping):
        texts, names = listed.get("text"), listed.get("label")
    elif isinstance(listed, list) and all(isinstance(one, Mapping) for one in listed):
        texts, names = [one.get("text") for one in listed], [one.get("label") for one in listed]
    else:
        raise FlawedItemError("choices without text and label")
    if not isinstance(texts, list) or not isinstance(names, list) or len(texts) != len(names):
        raise FlawedItemError("choices without text and label")
    choices = _checked(tuple(str(text) for text in texts))
    labels = tuple(str(name) for name in names)
    return Item(
        question=question, choices=choices, answer=answer_number(_given(row, "answerKey"), choices, labels)
    )


def _object(cell: str, name: str) -> Any:
    try:
        return json.loads(cell)
    except ValueError:
        raise FlawedItemError(f"{name} is no JSON") from None


def _piqa(row: Fields, label: str) -> Item:
    choices = _checked((_text(row, "sol1"), _text(row, "sol2")))
    return Item(
        question=_text(row, "goal"), choices=choices, answer=answer_number(_given(row, "label"), choices)
    )


def _lambada(row: Fields, label: str) -> Item:
    found = _LAST_WORD.fullmatch(_text(row, "text"))
    if found is None:
        raise FlawedItemError("a passage of a single word")
    return Item(question=found[1], choices=(found[2],), answer=0)


def _blimp(row: Fields, label: str) -> Item:
    good, bad = _text(row, "sentence_good", "good"), _text(row, "sentence_bad", "bad")
    group = str(row.get("UID") or PurePosixPath(label).name.partition(".")[0])
    return Item(question="", choices=_checked((good, bad)), answer=0, group=group)


def _ceval(row: Fields, label: str) -> Item:
    choices = _checked(tuple(_text(row, letter) for letter in "ABCD"))
    stem = PurePosixPath(label).name.partition(".")[0]
    subject = _SUBJECT.fullmatch(stem)
    return Item(
        question=_text(row, "question").strip(),
        choices=choices,
        answer=answer_number(_given(row, "answer"), choices),
        group=subject[1] if subject else "",
    )


def _choices(row: Fields, label: str) -> Item:
    if row.get("choices") is not None:
        choices = _listed(row, "choices")
    else:
        letters = [row.get(letter) for letter in LETTERS]
        choices = _checked(tuple(str(text) for text in letters if text is not None and str(text).strip()))
    return Item(
        question=_text(row, "question"),
        choices=choices,
        answer=answer_number(_given(row, "answer"), choices),
        group=str(row.get("group") or ""),
    )


# Those that ask for more fields first: a row is of the first that it fits.
FORMATS: dict[str, Format] = {
    "hellaswag": Format(
        what="HellaSwag", fields=("ctx_a", "endings|choices", "label|answer"), read=_hellaswag
    ),
    "arc": Format(what="ARC", fields=("question", "answerKey"), read=_arc),
    "piqa": Format(what="PIQA", fields=("goal", "sol1", "sol2"), read=_piqa, beside="-labels.lst"),
    "blimp": Format(what="BLiMP", fields=("sentence_good|good", "sentence_bad|bad"), read=_blimp),
    "ceval": Format(what="C-Eval", fields=("question", "A", "B", "C", "D", "id"), read=_ceval),
    "choices": Format(what="question, choices, answer", fields=("question", "choices|A"), read=_choices),
    "lambada": Format(what="LAMBADA", fields=("text",), read=_lambada),
}
