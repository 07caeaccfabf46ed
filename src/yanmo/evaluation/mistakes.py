"""Where a model goes wrong: which labels it takes for which, which names it misses and invents.

Names are told apart as the scores do, by their places: one that stands where a gold one does is right, one
that touches a gold one has other borders or is mistaken for another kind; the others are missed, or invented.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from yanmo import metrics
from yanmo.finetuning.skill import Prediction
from yanmo.finetuning.text_labels import label_of
from yanmo.finetuning.token_tags import are_bio, words_of
from yanmo.tasks.examples import (
    ClassificationExample,
    Example,
    PairExample,
    PreferenceExample,
    QuestionExample,
    RelationExample,
    Seq2SeqExample,
    Span,
    SpanExample,
    TokenExample,
)

MOST_MISTAKES = 20
_MOST_LABELS = 24
_NOTHING = "nothing"
State = Literal["right", "borders", "mistaken", "missed", "invented"]
STATES: tuple[State, ...] = ("right", "borders", "mistaken", "missed", "invented")


class Name(NamedTuple):
    """A name: what became of it, where it is, its gold kind, and the kind that was said ("" for none)."""

    state: State
    start: int
    end: int
    gold: str
    said: str


def frequent_mistakes(
    examples: Sequence[Example], predictions: Sequence[Prediction]
) -> tuple[tuple[str, str, int], ...]:
    """Gold and predicted class of wrong rows with their numbers, the most frequent first."""
    pairs: Counter[tuple[str, str]] = Counter()
    for example, prediction in zip(examples, predictions, strict=True):
        if isinstance(example, SpanExample | TokenExample) and "entities" in prediction:
            names = told_apart(example, prediction)
            pairs.update((name.gold or _NOTHING, name.said or _NOTHING) for name in names if _is_other(name))
        elif isinstance(example, SpanExample | TokenExample):
            tags = zip(words_of(example).tags or (), prediction["tags"], strict=True)
            pairs.update((gold, said) for gold, said in tags if gold != said)
        elif "label" in prediction or "labels" in prediction:
            right, found = gold_words(example), said_words(prediction)
            if right != found:
                pairs["|".join(sorted(right)), "|".join(sorted(found))] += 1
    return tuple((gold, said, count) for (gold, said), count in pairs.most_common(MOST_MISTAKES))


def confusion(gold: Sequence[str], said: Sequence[str]) -> dict[str, Any]:
    """How often each label was taken for each: ``labels`` and ``counts``, whose rows are gold.

    Of many labels those with most mistakes; the others are the last row and column, of the label None.
    """
    found = metrics.confusion_matrix(gold, said, most_labels=20_000)
    labels, counts = [str(label) for label in found.labels], found.counts
    if len(labels) <= _MOST_LABELS:
        return {"labels": labels, "counts": counts.tolist()}
    wrong = counts.sum(0) + counts.sum(1) - 2 * np.diag(counts)
    chosen = np.sort(np.argsort(-wrong, kind="stable")[:_MOST_LABELS])
    place = np.full(len(labels), _MOST_LABELS)
    place[chosen] = np.arange(_MOST_LABELS)
    joined = np.zeros((_MOST_LABELS + 1, _MOST_LABELS + 1), np.int64)
    np.add.at(joined, (place[:, None], place[None]), counts)
    return {"labels": [*(labels[index] for index in chosen), None], "counts": joined.tolist()}


def kinds_of_names(
    examples: Sequence[SpanExample | TokenExample], predictions: Sequence[Prediction]
) -> list[dict[str, Any]]:
    """Of each kind of name how many are right, of other borders, mistaken, missed and invented."""
    counts: dict[str, Counter[str]] = {}
    for example, prediction in zip(examples, predictions, strict=True):
        for name in told_apart(example, prediction):
            counts.setdefault(name.gold or name.said, Counter())[name.state] += 1
    return [
        {"label": label, **{state: found[state] for state in STATES}}
        for label, found in sorted(counts.items())
    ]


def gold_words(example: Example) -> set[str]:
    """What is right, in words."""
    if isinstance(example, ClassificationExample | PairExample | RelationExample):
        label = label_of(example)
        return {f"{label:g}"} if isinstance(label, float | int) else set(example.labels())
    if isinstance(example, QuestionExample):
        return {answer.text for answer in example.answers or ()}
    if isinstance(example, PreferenceExample):
        return {"chosen"}
    if isinstance(example, Seq2SeqExample):
        return set(example.targets or ())
    if isinstance(example, SpanExample | TokenExample):
        text = words_of(example).text
        return {f"{text[name.start : name.end]} {name.label}" for name in names_in(example)}
    return set()


def said_words(prediction: Prediction) -> set[str]:
    """What was predicted, in words."""
    if "entities" in prediction:
        return {f"{name['text']} {name['label']}" for name in prediction["entities"]}
    for key in ("answer", "label", "text"):
        if key in prediction:
            return {prediction[key]} - {""}
    if "labels" in prediction:
        return set(prediction["labels"])
    return {f"{prediction['score']:.4g}"} if "score" in prediction else set()


def names_in(example: SpanExample | TokenExample) -> list[Span]:
    """The gold names, in characters of the text."""
    if isinstance(example, SpanExample):
        return list(example.spans or ())
    tags, places = example.tags or (), words_of(example).spans
    if not are_bio(tags):
        return []
    return [
        Span(places[name.start][0], places[name.end - 1][1], name.type)
        for name in metrics.read_entities(tags)
    ]


def told_apart(example: SpanExample | TokenExample, prediction: Prediction) -> list[Name]:
    """Every gold name and every one that was found, those that touch as one, at the place that was found."""
    gold = set(names_in(example))
    said = {Span(name["start"], name["end"], name["label"]) for name in prediction["entities"]}
    found = [Name("right", *name, name.label) for name in sorted(gold & said)]
    over = sorted(said - gold)
    for name in sorted(gold - said):
        touching = [other for other in over if other.start < name.end and name.start < other.end]
        if not touching:
            found.append(Name("missed", *name, ""))
            continue
        met = next((other for other in touching if other.label == name.label), touching[0])
        over.remove(met)
        state: State = "borders" if met.label == name.label else "mistaken"
        found.append(Name(state, met.start, met.end, name.label, met.label))
    return found + [Name("invented", name.start, name.end, "", name.label) for name in over]


def _is_other(name: Name) -> bool:
    return name.state not in ("right", "borders")
