"""The rows that a model is worst at: its surest mistakes, with what it said marked in the text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from yanmo import metrics
from yanmo.evaluation.mistakes import gold_words, said_words, told_apart
from yanmo.finetuning.skill import Prediction
from yanmo.finetuning.token_tags import words_of
from yanmo.metrics import Scores
from yanmo.metrics.scores import FloatArray
from yanmo.tasks.examples import (
    ClassificationExample,
    Example,
    PairExample,
    QuestionExample,
    SpanExample,
    TokenExample,
)

_MOST_ROWS = 20
_SHOWN_CHARS, _BEFORE_CHARS = 400, 120


class Mark(NamedTuple):
    """A stretch of a text in characters, what became of it (``mistakes.State``), and a word about it."""

    start: int
    end: int
    state: str
    said: str


def worst_rows(
    examples: Sequence[Example], predictions: Sequence[Prediction], scores: Scores, decides: str
) -> tuple[Mapping[str, Any], ...]:
    """The surest mistakes; of numbers the largest errors, of texts what the deciding score likes least.

    Args:
        examples: labelled.
        predictions: one an example.
        scores: of them.
        decides: the deciding score.

    Returns:
        Rows of place, text, gold, predicted and probability (None where there is none). Of names and answers
        there are ``marks`` of the text, of answers their ``context``, to which the marks belong.
    """
    badness = _badness(examples, predictions, scores, decides)
    found: dict[tuple[str, str, str], dict[str, Any]] = {}
    for index in np.argsort(-badness, kind="stable").tolist():
        if badness[index] == -np.inf or len(found) == _MOST_ROWS:
            break
        row = _row(examples[index], predictions[index])
        # A copy of a row says nothing new.
        found.setdefault((row["text"], row["gold"], row["predicted"]), row)
    return tuple(found.values())


def _badness(
    examples: Sequence[Example], predictions: Sequence[Prediction], scores: Scores, decides: str
) -> FloatArray:
    """The larger, the worse; minus infinity for what is right."""
    pairs, first = list(zip(examples, predictions, strict=True)), predictions[0]
    if "label" in first or "labels" in first or "tags" in first or "entities" in first:
        return np.array([_sureness(example, said) for example, said in pairs])
    if isinstance(examples[0], ClassificationExample | PairExample):
        errors = [float(*gold_words(one)) - said["score"] for one, said in pairs]
        return np.abs(errors)
    if scores.alone is None:
        return np.full(len(examples), -np.inf)
    each = scores.only([decides]).each()[:, 0]
    measure = metrics.metric(decides)
    if not measure.larger_is_better:
        return each
    if "answer" not in first:
        return np.where(each >= (100 if measure.unit == "points" else 1), -np.inf, -each)
    # Among answers that are wrong altogether the surest first, then those that are partly right.
    rank = np.argsort(np.argsort([said["score"] for said in predictions], kind="stable"))
    return np.where(each >= 1, -np.inf, rank - np.ceil(2 * each) * len(each))


def _sureness(example: Example, prediction: Prediction) -> float:
    """How sure the model is of what is wrong; minus infinity where nothing is."""
    if isinstance(example, SpanExample | TokenExample):
        if "entities" not in prediction:
            return _wrong_tags(example, prediction)[0] or -np.inf
        wrong = [name for name in told_apart(example, prediction) if name.state != "right"]
        return (_surest_name(example, prediction) or 0.0) + 1e-3 * len(wrong) if wrong else -np.inf
    right, found = gold_words(example), said_words(prediction)
    return -np.inf if right == found else _probability(right, found, prediction) or 0.0


def _surest_name(example: SpanExample | TokenExample, prediction: Prediction) -> float | None:
    """Score of the surest of the names that are not right."""
    wrong = {(name.start, name.end) for name in told_apart(example, prediction) if name.state != "right"}
    scores = [
        float(name["score"])
        for name in prediction["entities"]
        if "score" in name and (name["start"], name["end"]) in wrong
    ]
    return max(scores, default=None)


def _wrong_tags(example: SpanExample | TokenExample, prediction: Prediction) -> tuple[int, str, str]:
    """Number of wrong tags, the gold ones and the predicted ones, each behind its word."""
    words = words_of(example)
    wrong = [
        (words.text[start:end], gold, said)
        for (start, end), gold, said in zip(words.spans, words.tags or (), prediction["tags"], strict=True)
        if gold != said
    ]
    golds, saids = (" ".join(f"{row[0]}/{row[column]}" for row in wrong) for column in (1, 2))
    return len(wrong), golds, saids


def _probability(right: set[str], found: set[str], prediction: Prediction) -> float | None:
    """What was given to the wrong answer; of several classes, to the surest wrong decision."""
    shares = prediction.get("probabilities")
    if not isinstance(shares, Mapping):
        return None
    if "label" in prediction:
        return shares.get(prediction["label"])
    given = [shares[name] for name in found - right if name in shares]
    denied = [1 - shares[name] for name in right - found if name in shares]
    return max([*given, *denied], default=None)


def _row(example: Example, prediction: Prediction) -> dict[str, Any]:
    right, found = gold_words(example), said_words(prediction)
    row: dict[str, Any] = {
        "place": str(example.origin),
        "text": _cut(" | ".join(example.inputs())),
        "gold": _cut(" | ".join(sorted(right))),
        "predicted": _cut(" | ".join(sorted(found))),
        "probability": _probability(right, found, prediction),
    }
    if isinstance(example, QuestionExample):
        context, shown = _excerpt(example.context, _of_answers(example, prediction))
        return row | {"text": _cut(example.question), "context": context, "marks": shown}
    if not isinstance(example, SpanExample | TokenExample):
        return row
    if "entities" not in prediction:
        _, gold, said = _wrong_tags(example, prediction)
        return row | {"gold": _cut(gold), "predicted": _cut(said)}
    names = sorted(told_apart(example, prediction), key=lambda name: name.start)
    marks = [Mark(name.start, name.end, name.state, name.said or name.gold) for name in names]
    text, shown = _excerpt(words_of(example).text, marks)
    return row | {"text": text, "marks": shown, "probability": _surest_name(example, prediction)}


def _of_answers(example: QuestionExample, prediction: Prediction) -> list[Mark]:
    """Stretches of the context that are in the answer, in a gold one, or in both."""
    context = example.context
    golds = [(answer.start, answer.start + len(answer.text)) for answer in example.answers or ()][:1]
    said = [(prediction["start"], prediction["end"])] if prediction.get("end") else []
    edges = sorted({edge for span in (*golds, *said) for edge in span if 0 <= edge <= len(context)})
    marks = []
    for start, end in pairwise(edges):
        is_gold, is_said = (any(a <= start and end <= b for a, b in spans) for spans in (golds, said))
        if is_gold or is_said:
            state = "right" if is_gold and is_said else "missed" if is_gold else "invented"
            marks.append(Mark(start, end, state, ""))
    return marks


def _excerpt(text: str, marks: Sequence[Mark]) -> tuple[str, list[dict[str, Any]]]:
    """The text around its first mark that is not right, and the marks in it at their new places."""
    first = min((mark.start for mark in marks if mark.state != "right"), default=0)
    begin = max(0, first - _BEFORE_CHARS) if len(text) > _SHOWN_CHARS else 0
    end, before = begin + _SHOWN_CHARS, "…" if begin else ""
    shown: list[dict[str, Any]] = []
    place = begin
    for mark in sorted(marks):
        # Gold names may lie in each other; what is coloured already stays as it is.
        start, stop = max(mark.start, place), min(mark.end, end)
        if start < stop:
            moved = len(before) - begin
            shown.append({**mark._asdict(), "start": start + moved, "end": stop + moved})
            place = stop
    return before + text[begin:end] + ("…" if end < len(text) else ""), shown


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}…"
