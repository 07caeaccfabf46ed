"""Scores of extractive question answering: exact match and F1 of the best of several gold answers.

Words: SQuAD 1.1 (Rajpurkar et al. 2016, arXiv 1606.05250, section 6.1) and 2.0 with questions that have no
answer (2018, arXiv 1806.03822): answers are lower-cased, freed of ASCII punctuation and of a, an, the; F1 is
of the bags of words. An empty prediction says that there is no answer; it is right where the gold answers
are empty, and only there.

Characters: CMRC 2018 (Cui et al. 2019, arXiv 1810.07366, section 4): Chinese characters one by one, other
words whole, punctuation removed; F1 is of the longest run of pieces that both have. Two departures: words
between Chinese characters are cut at spaces and ASCII punctuation rather than by NLTK, and empty answers
count as in SQuAD 2.0.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from yanmo.errors import InputError
from yanmo.metrics.scores import FloatArray, Scores, check_pairs, from_ratios

Counted = Literal["words", "characters"]

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)
_CMRC_PUNCTUATION = "-:_*^/\\~`+=，。：？！“”；’《》·、「」（）－～『』"
_NO_CMRC_PUNCTUATION = str.maketrans("", "", _CMRC_PUNCTUATION)
_CMRC_PIECES = re.compile(r"[\u4e00-\u9fff]|\d+(?:[.,]\d+)+|[^\W\u4e00-\u9fff]+|[^\w\s]")


def normalize_words(answer: str) -> str:
    """Lower case, without ASCII punctuation and articles, one space between words (SQuAD)."""
    return " ".join(_ARTICLES.sub(" ", answer.lower().translate(_NO_PUNCTUATION)).split())


def normalize_characters(answer: str) -> str:
    """Lower case, without punctuation and outer space (CMRC)."""
    return answer.lower().strip().translate(_NO_CMRC_PUNCTUATION)


def answer_scores(
    gold: Sequence[Sequence[str]], predicted: Sequence[str], *, counted: Counted = "words"
) -> Scores:
    """Scores of predicted answers; shares from 0 to 1 (the official scripts print 100 times as much).

    - ``exact_match``, ``f1``: mean over questions of the best over their gold answers.
    - where some questions have no answer: ``exact_match_answered`` and ``f1_answered`` over those that
      have one, and ``no_answer_accuracy``, the share of the others that were left unanswered.

    Args:
        gold: the acceptable answers of each question; none, or only empty ones, means that it has no answer.
        predicted: the answer given; empty for none.
        counted: ``words`` or, for Chinese, ``characters``.

    Raises:
        InputError: the lengths differ or are 0.
    """
    check_pairs(gold, predicted)
    each = answer_values(gold, predicted, counted=counted)
    has_answer = np.array([_has_answer(answers, counted) for answers in gold], np.float64)
    names, tops, bottoms = ["exact_match", "f1"], [*each.T], [np.ones(len(gold))] * 2
    if not has_answer.all():
        names += ["exact_match_answered", "f1_answered", "no_answer_accuracy"]
        tops += [each[:, 0] * has_answer, each[:, 1] * has_answer, each[:, 1] * (1 - has_answer)]
        bottoms += [has_answer, has_answer, 1 - has_answer]
    return from_ratios(names, np.column_stack(tops), np.column_stack(bottoms))


def answer_values(
    gold: Sequence[Sequence[str]], predicted: Sequence[str], *, counted: Counted = "words"
) -> FloatArray:
    """Exact match and F1 of each question, (questions, 2); arguments and errors as ``answer_scores``."""
    check_pairs(gold, predicted)
    normalize, overlap = _METHODS[counted]
    values = np.empty((len(gold), 2))
    for row, (answers, answer) in enumerate(zip(gold, predicted, strict=True)):
        found = normalize(answer)
        wanted = [text for text in map(normalize, answers) if text] or [""]
        if not found or wanted == [""]:
            values[row] = float(found in wanted)
            continue
        values[row] = (
            found in wanted,
            1.0 if found in wanted else max(overlap(text, found) for text in wanted),
        )
    return values


def _has_answer(answers: Sequence[str], counted: Counted) -> bool:
    normalize = _METHODS[counted][0]
    return any(normalize(answer) for answer in answers)


def _words_f1(gold: str, predicted: str) -> float:
    wanted, found = gold.split(), predicted.split()
    shared = sum((Counter(wanted) & Counter(found)).values())
    return 2 * shared / (len(wanted) + len(found))


def _characters_f1(gold: str, predicted: str) -> float:
    wanted, found = _CMRC_PIECES.findall(gold), _CMRC_PIECES.findall(predicted)
    if not wanted or not found:
        return 0.0
    return 2 * longest_common_run(wanted, found) / (len(wanted) + len(found))


_METHODS: dict[str, tuple[Callable[[str], str], Callable[[str, str], float]]] = {
    "words": (normalize_words, _words_f1),
    "characters": (normalize_characters, _characters_f1),
}


def longest_common_run(first: Sequence[str], second: Sequence[str]) -> int:
    """Length of the longest run of neighbouring pieces that both have."""
    longest = 0
    before = [0] * (len(second) + 1)
    for piece in first:
        row = [0] * (len(second) + 1)
        for index, other in enumerate(second):
            if piece == other:
                row[index + 1] = before[index] + 1
        longest = max(longest, max(row))
        before = row
    return longest


@dataclass(frozen=True, kw_only=True)
class NoAnswerThreshold:
    """When to leave a question unanswered.

    Attributes:
        threshold: leave it where the score of no answer is above this.
        value: the mean score that this gives on the examples it was found on, a share from 0 to 1.
    """

    threshold: float
    value: float


def best_no_answer_threshold(
    no_answer_scores: Sequence[float], values_answered: Sequence[float], has_answer: Sequence[bool]
) -> NoAnswerThreshold:
    """The threshold with the best mean score (Rajpurkar et al. 2018; the official script's search).

    Questions are answered in order of their score of no answer, smallest first: each with an answer then
    adds its value, each without one loses the 1 that silence would have earned. To be found on other
    examples than it is judged on.

    Args:
        no_answer_scores: how strongly the model believes that there is no answer, of any scale.
        values_answered: exact match or F1 of the best non-empty answer, 0 to 1; what it is for questions
            without an answer does not matter.
        has_answer: whether each question has an answer.

    Raises:
        InputError: the lengths differ or are 0.
    """
    check_pairs(no_answer_scores, values_answered)
    check_pairs(no_answer_scores, has_answer)
    silence, answerable = np.asarray(no_answer_scores, np.float64), np.asarray(has_answer, bool)
    if np.isnan(silence).any():
        raise InputError("a score of no answer is NaN", where=f"question {int(np.argmax(np.isnan(silence)))}")
    order = np.argsort(silence, kind="stable")
    gains = np.where(answerable, np.asarray(values_answered, np.float64), -1.0)[order]
    in_order = silence[order]
    # Equal scores are answered together: a threshold cannot part them.
    last_of_equals = np.append(in_order[1:] != in_order[:-1], True)
    totals = np.concatenate([[0.0], np.cumsum(gains)[last_of_equals]]) + (~answerable).sum()
    thresholds = np.concatenate([[-np.inf], in_order[last_of_equals]])
    best = int(np.argmax(totals))
    # -inf, "answer nothing", cannot be written as JSON; a number below every score says the same.
    threshold = thresholds[best] if best else np.nextafter(in_order[0], -np.inf)
    return NoAnswerThreshold(threshold=float(threshold), value=float(totals[best] / len(order)))
