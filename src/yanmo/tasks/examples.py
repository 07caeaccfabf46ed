"""Labelled examples, one dataclass a kind of task.

Positions are in characters of the text as Python counts them, from 0, the end excluded. Tags are BIO,
whatever the file wrote. What is None was not given: such an example can be predicted on and not learned
from.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

Label = str | tuple[str, ...] | float
"""One class, several classes, or a number."""


class Origin(NamedTuple):
    """Where an example came from, as a person counts."""

    file: str
    """Path relative to the folder that was read."""
    row: int = 0
    """Row, item or sentence, from 1; a header is row 1; 0: the file as a whole."""
    line: int = 0
    """Line it begins at, from 1; 0 where the file has no lines."""
    within: str = ""
    """The place inside a row, or the sheet of a workbook."""
    split: str = ""
    """The split that the file's own column names."""

    def __str__(self) -> str:
        """As messages say it: ``a.csv row 12 (line 15)``."""
        place = [self.file]
        if self.row and self.line != self.row:
            place.append(f"row {self.row}" + (f" (line {self.line})" if self.line else ""))
        elif self.line:
            place.append(f"line {self.line}")
        return " ".join([*place, self.within] if self.within else place)


class Span(NamedTuple):
    """``text[start:end]`` and what it is."""

    start: int
    end: int
    label: str = ""


class Answer(NamedTuple):
    """An answer that stands in its context at ``start``."""

    text: str
    start: int


class Message(NamedTuple):
    """What one side said; ``role`` is system, user, assistant or tool."""

    role: str
    content: str
    tool_calls: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class ClassificationExample:
    """A text with a class, several classes or a number."""

    text: str
    label: Label | None
    origin: Origin

    def inputs(self) -> tuple[str, ...]:
        """The texts that a model is given."""
        return (self.text,)

    def labels(self) -> tuple[str, ...]:
        """The classes in it, as often as they stand there; none where it has a number or nothing."""
        return label_names(self.label)

    def target(self) -> Hashable:
        """The one right answer; None where there is none or several may be right."""
        return self.label


@dataclass(frozen=True, kw_only=True, slots=True)
class PairExample:
    """Two texts with a class (match, entailment) or a number (how alike they are)."""

    first: str
    second: str
    label: Label | None
    origin: Origin

    def inputs(self) -> tuple[str, ...]:
        """The texts that a model is given."""
        return (self.first, self.second)

    def labels(self) -> tuple[str, ...]:
        """The classes in it."""
        return label_names(self.label)

    def target(self) -> Hashable:
        """The one right answer."""
        return self.label


@dataclass(frozen=True, kw_only=True, slots=True)
class SimilarityExample:
    """Two texts that belong together or have a score; a third that does not belong to the first."""

    first: str
    second: str
    negative: str | None = None
    score: float | None = None
    origin: Origin

    def inputs(self) -> tuple[str, ...]:
        """The texts that a model is given."""
        pair = (self.first, self.second)
        return pair if self.negative is None else (*pair, self.negative)

    def labels(self) -> tuple[str, ...]:
        """None: texts stand for themselves."""
        return ()

    def target(self) -> Hashable:
        """The score, if there is one."""
        return self.score


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenExample:
    """A sentence in tokens, each with its tag: BIO for names, anything for parts of speech."""

    tokens: tuple[str, ...]
    tags: tuple[str, ...] | None
    document: int = 0
    """Number of its document in the file, from 1; 0 where the file tells of none."""
    origin: Origin

    def inputs(self) -> tuple[str, ...]:
        """The sentence with a space after each token."""
        return (" ".join(self.tokens),)

    def labels(self) -> tuple[str, ...]:
        """The kinds of its entities, or its tags where these are not of entities."""
        begun = tuple(tag[2:] for tag in self.tags or () if tag.startswith("B-"))
        return begun or tuple(tag for tag in self.tags or () if tag != "O")

    def target(self) -> Hashable:
        """The tags."""
        return self.tags


@dataclass(frozen=True, kw_only=True, slots=True)
class SpanExample:
    """A text with the entities in it, in order."""

    text: str
    spans: tuple[Span, ...] | None
    origin: Origin

    def inputs(self) -> tuple[str, ...]:
        """The texts that a model is given."""
        return (self.text,)

    def labels(self) -> tuple[str, ...]:
        """The kinds of its entities."""
        return tuple(span.label for span in self.spans or ())

    def target(self) -> Hashable:
        """The entities."""
        return self.spans


@dataclass(frozen=True, kw_only=True, slots=True)
class RelationExample:
    """A text with two entities in it, and how the one is related to the other."""

    text: str
    head: Span
    tail: Span
    relation: str | None
    origin: Origin

    def inputs(self) -> tuple[str, ...]:
        """The text with both entities marked."""
        marks = sorted([(self.head, "e1"), (self.tail, "e2")], reverse=True)
        text = self.text
        for (start, end, _), name in marks:
            text = f"{text[:start]}<{name}>{text[start:end]}</{name}>{text[end:]}"
        return (text,)

    def labels(self) -> tuple[str, ...]:
        """The relation."""
        return label_names(self.relation)

    def target(self) -> Hashable:
        """The relation."""
        return self.relation


@dataclass(frozen=True, kw_only=True, slots=True)
class QuestionExample:
    """A question about a context; without answers (an empty tuple) it cannot be answered from there."""

    context: str
    question: str
    answers: tuple[Answer, ...] | None
    origin: Origin

    def inputs(self) -> tuple[str, ...]:
        """The texts that a model is given."""
        return (self.question, self.context)

    def labels(self) -> tuple[str, ...]:
        """None: answers are passages."""
        return ()

    def target(self) -> Hashable:
        """Whether it can be answered; of several answers all may be right."""
        return None if self.answers is None else bool(self.answers)


@dataclass(frozen=True, kw_only=True, slots=True)
class Seq2SeqExample:
    """A text and what becomes of it: its translation, summary, correction."""

    source: str
    targets: tuple[str, ...] | None
    """The first is learned from; all are references."""
    origin: Origin

    def inputs(self) -> tuple[str, ...]:
        """The texts that a model is given."""
        return (self.source,)

    def labels(self) -> tuple[str, ...]:
        """None: targets are texts."""
        return ()

    def target(self) -> Hashable:
        """None: several may be right."""
        return None


@dataclass(frozen=True, kw_only=True, slots=True)
class ChatExample:
    """A conversation; the assistant's messages are learned from."""

    messages: tuple[Message, ...]
    tools: tuple[Mapping[str, Any], ...] = ()
    origin: Origin

    def inputs(self) -> tuple[str, ...]:
        """What was said before the last answer."""
        return tuple(message.content for message in self.messages[:-1] or self.messages)

    def labels(self) -> tuple[str, ...]:
        """None: answers are texts."""
        return ()

    def target(self) -> Hashable:
        """None: several may be right."""
        return None


@dataclass(frozen=True, kw_only=True, slots=True)
class PreferenceExample:
    """Two answers to a conversation, the one better than the other."""

    prompt: tuple[Message, ...]
    chosen: str
    rejected: str
    origin: Origin

    def inputs(self) -> tuple[str, ...]:
        """The texts that a model is given, the answers in no order that tells."""
        return (*(message.content for message in self.prompt), *sorted((self.chosen, self.rejected)))

    def labels(self) -> tuple[str, ...]:
        """None: answers are texts."""
        return ()

    def target(self) -> Hashable:
        """The better answer."""
        return self.chosen


@dataclass(frozen=True, kw_only=True, slots=True)
class TextExample:
    """A text alone, to be modelled or embedded."""

    text: str
    origin: Origin

    def inputs(self) -> tuple[str, ...]:
        """The texts that a model is given."""
        return (self.text,)

    def labels(self) -> tuple[str, ...]:
        """None."""
        return ()

    def target(self) -> Hashable:
        """None."""
        return None


Example = (
    ClassificationExample
    | PairExample
    | SimilarityExample
    | TokenExample
    | SpanExample
    | RelationExample
    | QuestionExample
    | Seq2SeqExample
    | ChatExample
    | PreferenceExample
    | TextExample
)


def label_names(label: Label | None) -> tuple[str, ...]:
    """The classes of a label; a number has none."""
    if isinstance(label, str):
        return (label,)
    return label if isinstance(label, tuple) else ()
