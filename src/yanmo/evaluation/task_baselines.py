"""The cheap models that stand beside every score of a task.

Of labels: TF-IDF with a linear model, and mere guessing. Of names: a dictionary of those that were seen. Of
answers: the sentence that has most words of the question.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from yanmo import metrics
from yanmo.evaluation.answer_baselines import CharacterModel, Copy, Lead, Longer, UsualAnswer
from yanmo.evaluation.embedding_baselines import Bm25, TermCosine
from yanmo.finetuning.answers.preferences import DirectPreferences, Rewards
from yanmo.finetuning.answers.written import LikelyTexts, Rewriting
from yanmo.finetuning.embeddings import Embeddings
from yanmo.finetuning.skill import Prediction, Skill
from yanmo.finetuning.spans import AnswerSpans
from yanmo.finetuning.text_labels import (
    Labelled,
    Number,
    OneClass,
    TextSkill,
    fit_linear_terms,
    label_of,
)
from yanmo.finetuning.token_tags import Tagged, TokenTags, words_of
from yanmo.metrics.segments import split_words
from yanmo.models.features.linear_terms import LinearTerms
from yanmo.tasks.examples import QuestionExample

_SENTENCE_END = re.compile(r"(?<=[.!?。！？])\s*|\n+")


class TaskBaseline(Protocol):
    """A cheap model of a task, trained."""

    @property
    def name(self) -> str:
        """What it is, for people."""

    def predict(self, examples: Sequence[Any]) -> list[Prediction]:
        """Predictions, as the skill scores them."""


def baselines_of(
    skill: Skill[Any], train: Sequence[Any], words: LinearTerms | None = None
) -> list[TaskBaseline]:
    """The cheap models of a skill, trained on the same rows; none where there are no rows.

    Args:
        skill: of the model that they stand beside.
        train: rows to learn from.
        words: the linear one, where it has learned from these rows already.
    """
    if isinstance(skill, AnswerSpans):
        return [LikestSentence()]
    if isinstance(skill, Embeddings):
        return [TermCosine(), Bm25()]
    if isinstance(skill, DirectPreferences | Rewards):
        return [Longer()]
    if isinstance(skill, Rewriting):
        plain: TaskBaseline = Lead() if skill.task == "summarization" else Copy()
        return [plain, UsualAnswer(train)] if train else [plain]
    if not train:
        return []
    if isinstance(skill, LikelyTexts):
        return [CharacterModel(train)]
    if isinstance(skill, TokenTags):
        return [SeenTags(skill, train)]
    if isinstance(skill, TextSkill):
        return [Guess(skill, train), WordWeights(skill, words or fit_linear_terms(skill, train))]
    return []


class Guess:
    """Always the most frequent class; always the mean."""

    def __init__(self, skill: TextSkill, train: Sequence[Labelled]) -> None:
        """Count."""
        self._answer: Prediction
        if isinstance(skill, Number):
            self.name = "always the mean"
            self._answer = {"score": float(np.mean([float(str(label_of(example))) for example in train]))}
            return
        counts = Counter(name for example in train for name in example.labels())
        (most, count), *_ = counts.most_common(1)
        if isinstance(skill, OneClass):
            self.name, self._answer = f"always {most}", {"label": most}
        else:
            is_usual = count > len(train) / 2
            self._answer = {"labels": [most] if is_usual else []}
            self.name = f"always {most}" if is_usual else "never any"

    def predict(self, examples: Sequence[Labelled]) -> list[Prediction]:
        """The same for all."""
        return [self._answer] * len(examples)


class WordWeights:
    """TF-IDF and a linear model (``LinearTerms``)."""

    def __init__(self, skill: TextSkill, model: LinearTerms) -> None:
        """Take one that has learned."""
        self._skill, self._model, self.name = skill, model, model.name

    def predict(self, examples: Sequence[Labelled]) -> list[Prediction]:
        """Classes, sets of classes, or numbers."""
        found = self._model.outputs([example.inputs() for example in examples])
        if isinstance(self._skill, Number):
            return [{"score": float(value)} for value in found[:, 0]]
        labels = self._skill.labels
        if isinstance(self._skill, OneClass):
            return [{"label": labels[index]} for index in found.argmax(1)]
        return [{"labels": [labels[index] for index in np.flatnonzero(row > 0)]} for row in found]


class SeenTags:
    """Each word's most frequent tag; the longest names that were seen, where tags are of names."""

    def __init__(self, skill: TokenTags, train: Sequence[Tagged]) -> None:
        """Count."""
        self._skill = skill
        self.name = "the names that were seen" if skill.has_names else "each word's most frequent tag"
        seen: dict[tuple[str, ...], Counter[str]] = {}
        for example in train:
            words = words_of(example)
            texts = [words.text[start:end] for start, end in words.spans]
            tags = words.tags or []
            if skill.has_names:
                for name in metrics.read_entities(tags):
                    seen.setdefault(tuple(texts[name.start : name.end]), Counter())[name.type] += 1
            else:
                for text, tag in zip(texts, tags, strict=True):
                    seen.setdefault((text,), Counter())[tag] += 1
        self._seen = {words: counts.most_common(1)[0][0] for words, counts in seen.items()}
        usual = Counter(tag for example in train for tag in words_of(example).tags or ())
        self._usual = usual.most_common(1)[0][0]
        self._longest = max(map(len, self._seen), default=1)

    def predict(self, examples: Sequence[Tagged]) -> list[Prediction]:
        """Tags, and names where they are of names."""
        return [self._tagged(example) for example in examples]

    def _tagged(self, example: Tagged) -> Prediction:
        words = words_of(example)
        texts = [words.text[start:end] for start, end in words.spans]
        if not self._skill.has_names:
            return {"tags": [self._seen.get((text,), self._usual) for text in texts]}
        entities, place = [], 0
        while place < len(texts):
            for length in range(min(self._longest, len(texts) - place), 0, -1):
                kind = self._seen.get(tuple(texts[place : place + length]))
                if kind is not None:
                    start, end = words.spans[place][0], words.spans[place + length - 1][1]
                    entities.append(
                        {"text": words.text[start:end], "label": kind, "start": start, "end": end}
                    )
                    break
            else:
                length = 1
            place += length
        return {"entities": entities}


class LikestSentence:
    """The sentence of the context that shares most words with the question."""

    name = "the sentence most like the question"

    def predict(self, examples: Sequence[QuestionExample]) -> list[Prediction]:
        """A sentence each."""
        return [{"answer": _likest(example.question, example.context)} for example in examples]


def _likest(question: str, context: str) -> str:
    wanted = set(split_words(question))
    sentences = [part.strip() for part in _SENTENCE_END.split(context) if part.strip()]
    return max(sentences, key=lambda sentence: len(wanted & set(split_words(sentence))), default="")
