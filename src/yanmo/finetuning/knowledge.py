"""Texts to a graph of what they say: names, and how they are related, with the sentences that say so.

Names of a sentence are found by a model of token-classification, every two of them are marked and judged by
a model of relation-extraction (Zhong and Chen 2021, arXiv 2010.12812, section 3: two models, the second
told by marks where the first found something, do better than one for both). Labels that end in ``(e1,e2)``
or ``(e2,e1)`` tell the direction; where none does, a pair is asked about both ways and the likelier answer
stands.

Names are one where their kinds are equal and their texts are in NFKC, lower case, and without outer
punctuation and superfluous space.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple, Protocol

from yanmo.corpus.document import Document
from yanmo.errors import InputError
from yanmo.metrics.relations import relation_of
from yanmo.tasks.examples import Origin, RelationExample, Span, SpanExample

NO_RELATION: tuple[str, ...] = ("Other", "no_relation", "no relation", "none", "NA", "N/A")
NO_RELATION += ("无", "无关系", "没有关系", "其他", "其它")
_CLOSING = "\"'”’)\\]」』）】》"
_SENTENCE_END = re.compile(
    rf"[。！？…；]+[{_CLOSING}]*|(?<=[\u3040-\u9fff])[!?]+[{_CLOSING}]*|[.!?]+[{_CLOSING}]*(?=\s|$)|\n"
)
# What a full stop shortens.
_TITLES = frozenset(
    {
        "mr",
        "mrs",
        "ms",
        "dr",
        "prof",
        "st",
        "gen",
        "sen",
        "rep",
        "gov",
        "lt",
        "col",
        "capt",
        "sgt",
        "rev",
        "vs",
    }
)
_LAST_WORD = re.compile(r"([^\W\d_]+)\.+$")
_STOPS, _QUOTES_AND_BRACKETS = frozenset(" .,;:!?\"'`。、"), ("Ps", "Pe", "Pi", "Pf")
# Sentences that go through the first model together; names that one is paired with; characters of a long
# sentence on both sides of a pair that the second model is shown.
_BATCH, _REACH, _AROUND = 256, 40, 240
_KEPT_MENTIONS = 20
# Characters that are looked at beside a full stop.
_NEAR = 20


class Answers(Protocol):
    """A model of a task, such as ``TaskModel``."""

    def answer(self, examples: Sequence[Any]) -> list[dict[str, Any]]:
        """One prediction an example."""


class Name(NamedTuple):
    """What is talked about: its commonest spelling and its kind."""

    text: str
    kind: str


@dataclass(frozen=True, kw_only=True)
class Mention:
    """One sentence that says a triple, with how sure the second model is of it."""

    sentence: str
    place: str
    subject: str
    object: str
    probability: float


@dataclass(frozen=True, kw_only=True)
class Triple:
    """What is said of two names.

    Attributes:
        subject: the one that is related.
        relation: without direction.
        object: to which.
        count: sentences and pairs in them that say so.
        mentions: the likeliest of these, likeliest first.
    """

    subject: Name
    relation: str
    object: Name
    count: int
    mentions: tuple[Mention, ...]

    @property
    def probability(self) -> float:
        """Of the likeliest mention."""
        return self.mentions[0].probability


@dataclass(frozen=True, kw_only=True)
class Knowledge:
    """A graph: what was found, the most often said first.

    Attributes:
        triples: edges.
        names: nodes, also those that nothing is said of, with how often they were found.
        num_documents: that were read.
        num_sentences: in them.
        num_pairs: of names that were judged.
    """

    triples: tuple[Triple, ...]
    names: dict[Name, int]
    num_documents: int
    num_sentences: int
    num_pairs: int


class _Sentence(NamedTuple):
    text: str
    place: str


class _Pair(NamedTuple):
    sentence: _Sentence
    head: Span
    tail: Span


def extract(
    names: Answers,
    relations: Answers,
    documents: Iterable[Document],
    *,
    labels: Sequence[str],
    no_relation: Sequence[str] = NO_RELATION,
    least_probability: float = 0.0,
    on_progress: Callable[[int], None] | None = None,
) -> Knowledge:
    """The graph of what documents say.

    Args:
        names: finds ``entities`` in a text.
        relations: says the ``label`` of a text with two marked names, and ``probabilities``.
        documents: to be read.
        labels: of the second model.
        no_relation: labels that say that there is none, in any case.
        least_probability: of a relation that counts, 0 to 1.
        on_progress: told how many sentences are done.

    Raises:
        InputError: the first model tells no names, or the probability is none.
    """
    if not 0 <= least_probability <= 1:
        raise InputError(f"a probability is from 0 to 1, not {least_probability:g}")
    gathered = _Gathered({label.casefold() for label in no_relation}, least_probability)
    both_ways = all(relation_of(label) == label for label in labels)
    num_documents = num_sentences = 0

    def sentences() -> Iterator[_Sentence]:
        nonlocal num_documents
        for document in documents:
            num_documents += 1
            yield from sentences_of(document.text, document.source)

    read = sentences()
    while some := list(islice(read, _BATCH)):
        pairs = list(gathered.pairs(some, _found(names, some)))
        gathered.judge(pairs, relations, both_ways=both_ways)
        num_sentences += len(some)
        if on_progress is not None:
            on_progress(num_sentences)
    return gathered.knowledge(num_documents, num_sentences)


class _Gathered:
    """What is known so far."""

    def __init__(self, no_relation: set[str], least_probability: float) -> None:
        self._no_relation, self._least = no_relation, least_probability
        self._spellings: dict[tuple[str, str], Counter[str]] = {}
        self._mentions: dict[tuple[tuple[str, str], str, tuple[str, str]], list[Mention]] = {}
        self._counts: Counter[tuple[tuple[str, str], str, tuple[str, str]]] = Counter()
        self._num_pairs = 0

    def pairs(self, sentences: Sequence[_Sentence], found: Sequence[Sequence[Span]]) -> Iterator[_Pair]:
        """Every two names of a sentence, in its order; names are counted."""
        for sentence, spans in zip(sentences, found, strict=True):
            for place, head in enumerate(spans):
                self._spellings.setdefault(_key(sentence, head), Counter())[_spelt(sentence, head)] += 1
                for tail in spans[place + 1 : place + 1 + _REACH]:
                    yield _Pair(sentence, head, tail)

    def judge(self, pairs: Sequence[_Pair], relations: Answers, *, both_ways: bool) -> None:
        """Ask the second model about pairs; keep what it says of them."""
        self._num_pairs += len(pairs)
        ways = [pairs, [_Pair(pair.sentence, pair.tail, pair.head) for pair in pairs]]
        asked = [each for way in (ways if both_ways else ways[:1]) for each in way]
        said = relations.answer([_marked(pair) for pair in asked]) if asked else []
        for number in range(len(pairs)):
            answers = [
                (self._sure_of(said[place]), said[place]["label"], asked[place])
                for place in range(number, len(asked), len(pairs))
            ]
            probability, label, pair = max(answers, key=lambda answer: answer[0])
            if probability > 0 and probability >= self._least:
                self._keep(pair, label, probability)

    def knowledge(self, num_documents: int, num_sentences: int) -> Knowledge:
        """All of it; names by their commonest spelling."""
        name = {
            key: Name(spellings.most_common(1)[0][0], key[1]) for key, spellings in self._spellings.items()
        }
        triples = [
            Triple(
                subject=name[subject],
                relation=relation,
                object=name[object_],
                count=self._counts[subject, relation, object_],
                mentions=tuple(_likeliest(mentions)),
            )
            for (subject, relation, object_), mentions in self._mentions.items()
        ]
        triples.sort(key=lambda triple: (-triple.count, -triple.probability, triple.subject, triple.relation))
        counts: Counter[Name] = Counter()
        for key, spellings in self._spellings.items():
            counts[name[key]] += spellings.total()
        return Knowledge(
            triples=tuple(triples),
            names=dict(counts.most_common()),
            num_documents=num_documents,
            num_sentences=num_sentences,
            num_pairs=self._num_pairs,
        )

    def _sure_of(self, prediction: dict[str, Any]) -> float:
        """Probability of the relation that a prediction says; 0 where it says none."""
        label = prediction["label"]
        return 0.0 if label.casefold() in self._no_relation else float(prediction["probabilities"][label])

    def _keep(self, pair: _Pair, label: str, probability: float) -> None:
        relation, sentence = relation_of(label), pair.sentence
        subject, other = pair.head, pair.tail
        if relation != label and label.rstrip(")").rstrip().endswith("e1"):
            subject, other = other, subject
        key = (_key(sentence, subject), relation, _key(sentence, other))
        if key[0] == key[2]:
            return
        self._counts[key] += 1
        mentions = self._mentions.setdefault(key, [])
        mentions.append(
            Mention(
                sentence=sentence.text,
                place=sentence.place,
                subject=_spelt(sentence, subject),
                object=_spelt(sentence, other),
                probability=probability,
            )
        )
        if len(mentions) > 2 * _KEPT_MENTIONS:
            mentions[:] = _likeliest(mentions)


def sentences_of(text: str, source: str) -> Iterator[_Sentence]:
    """The sentences of a text, English and Chinese, with the line that each begins in.

    A line's end is a sentence's; a full stop is not behind an initial or a title, or before a small letter.
    """
    start, line, counted = 0, 1, 0
    ends = [match.end() for match in _SENTENCE_END.finditer(text) if _is_end(text, match)]
    for end in [*ends, len(text)]:
        sentence = text[start:end]
        begin = start + len(sentence) - len(sentence.lstrip())
        line += text.count("\n", counted, begin)
        start, counted = end, begin
        if sentence.strip():
            yield _Sentence(sentence.strip(), f"{source} line {line}")


def normal_form(text: str) -> str:
    """What two spellings of one name have in common."""
    folded = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
    outer = {mark for mark in folded if mark in _STOPS or unicodedata.category(mark) in _QUOTES_AND_BRACKETS}
    inner = folded.strip("".join(outer))
    return inner or folded


def _is_end(text: str, match: re.Match[str]) -> bool:
    if not match[0].startswith("."):
        return True
    behind = text[match.end() : match.end() + _NEAR].lstrip()[:1]
    if behind.islower():
        return False
    word = _LAST_WORD.search(text, max(0, match.start() - _NEAR), match.start() + 1)
    return word is None or not (len(word[1]) == 1 or word[1].lower() in _TITLES)


def _found(names: Answers, sentences: Sequence[_Sentence]) -> list[list[Span]]:
    """The names of each sentence, in its order."""
    asked = [SpanExample(text=text, spans=None, origin=Origin(place)) for text, place in sentences]
    said = names.answer(asked)
    if said and "entities" not in said[0]:
        raise InputError(
            "the first model tells no names",
            remedy="give one of token-classification whose tags are B- and I- of kinds",
        )
    return [
        sorted(Span(row["start"], row["end"], row["label"]) for row in prediction["entities"])
        for prediction in said
    ]


def _marked(pair: _Pair) -> RelationExample:
    """What the second model is asked: of a long sentence the part around the pair."""
    (text, place), (head, tail) = pair.sentence, (pair.head, pair.tail)
    low = max(0, min(head.start, tail.start) - _AROUND)
    high = max(head.end, tail.end) + _AROUND
    head, tail = (Span(span.start - low, span.end - low, span.label) for span in (head, tail))
    return RelationExample(text=text[low:high], head=head, tail=tail, relation=None, origin=Origin(place))


def _spelt(sentence: _Sentence, span: Span) -> str:
    return " ".join(sentence.text[span.start : span.end].split())


def _key(sentence: _Sentence, span: Span) -> tuple[str, str]:
    return normal_form(sentence.text[span.start : span.end]), span.label


def _likeliest(mentions: Sequence[Mention]) -> list[Mention]:
    return sorted(mentions, key=lambda mention: -mention.probability)[:_KEPT_MENTIONS]
