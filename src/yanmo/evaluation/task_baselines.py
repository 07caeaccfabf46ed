"""The cheap models that stand beside every score of a task.

Of labels: TF-IDF with a linear model, and mere guessing. Of names: a dictionary of those that were seen. Of
answers: the sentence that has most words of the question.

Words and pairs of neighbouring words of English, pairs of characters of Chinese; over classes a linear
support vector machine, with or without the weights of naive Bayes (Wang and Manning 2012, "Baselines and
Bigrams": hard to beat on few rows), over numbers ridge regression. Which of them and how strong is chosen on
held-out thirds of the training rows. Of a pair of texts there are the terms of the first, of the second, and
those that both have.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, diags_array, hstack
from sklearn.base import BaseEstimator, TransformerMixin

from yanmo import metrics
from yanmo.evaluation.answer_baselines import CharacterModel, Copy, Lead, Longer, UsualAnswer
from yanmo.evaluation.embedding_baselines import Bm25, TermCosine
from yanmo.finetuning.answers.preferences import DirectPreferences, Rewards
from yanmo.finetuning.answers.written import LikelyTexts, Rewriting
from yanmo.finetuning.embeddings import Embeddings
from yanmo.finetuning.skill import Prediction, Skill
from yanmo.finetuning.spans import AnswerSpans
from yanmo.finetuning.text_labels import Labelled, Number, OneClass, SeveralClasses, TextSkill, label_of
from yanmo.finetuning.token_tags import Tagged, TokenTags, words_of
from yanmo.metrics.segments import split_words
from yanmo.models.features.analyser import Analyser
from yanmo.models.features.terms import TfIdf, TfIdfConfig
from yanmo.tasks.examples import QuestionExample

_SENTENCE_END = re.compile(r"(?<=[.!?。！？])\s*|\n+")
_RIDGE, _MACHINE, _BAYES = "ridge regression", "a linear SVM", "NB-SVM"
_STRENGTHS = (0.03, 0.1, 0.3, 1.0, 3.0)
_MAX_ITERATIONS = 10_000
_PARTS = 3
_MAX_TERMS = 200_000


class TaskBaseline(Protocol):
    """A cheap model of a task, trained."""

    @property
    def name(self) -> str:
        """What it is, for people."""

    def predict(self, examples: Sequence[Any]) -> list[Prediction]:
        """Predictions, as the skill scores them."""


def baselines_of(skill: Skill[Any], train: Sequence[Any]) -> list[TaskBaseline]:
    """The cheap models of a skill, trained on the same rows; none where there are no rows."""
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
        return [Guess(skill, train), LinearTerms(skill, train)]
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


class LinearTerms:
    """TF-IDF and a linear model."""

    def __init__(self, skill: TextSkill, train: Sequence[Labelled]) -> None:
        """Learn from the training rows.

        Raises:
            InputError: they hold no terms.
        """
        self._skill = skill
        config = TfIdfConfig(analyser=Analyser.BIGRAMS, sublinear=True, max_ngram=2, max_terms=_MAX_TERMS)
        self._terms = TfIdf(config).fit(text for example in train for text in example.inputs())
        rows, targets = self._rows(train), _targets(skill, train)
        kinds = (_RIDGE,) if isinstance(skill, Number) else (_MACHINE, _BAYES)
        ways = itertools.product(kinds, _STRENGTHS)
        kind, self.strength = max(ways, key=lambda way: self._held_out(rows, targets, *way))
        self.name = f"TF-IDF and {kind}"
        self._model = self._estimator(kind, self.strength).fit(rows, targets)

    def predict(self, examples: Sequence[Labelled]) -> list[Prediction]:
        """Classes, sets of classes, or numbers."""
        found = self._model.predict(self._rows(examples))
        if isinstance(self._skill, Number):
            return [{"score": float(value)} for value in found]
        labels = self._skill.labels
        if isinstance(self._skill, OneClass):
            return [{"label": labels[index]} for index in found]
        return [{"labels": [labels[index] for index in np.flatnonzero(row)]} for row in found]

    def _rows(self, examples: Sequence[Labelled]) -> csr_matrix:
        columns = list(zip(*(example.inputs() for example in examples), strict=True))
        parts = [self._terms.transform(texts) for texts in columns]
        if len(parts) == 2:
            parts.append(parts[0].multiply(parts[1]).tocsr())
        return hstack(parts, format="csr")

    def _held_out(self, rows: csr_matrix, targets: Any, kind: str, strength: float) -> float:
        """Mean score on held-out parts; the least where there are too few rows to hold any out."""
        if rows.shape[0] < 2 * _PARTS:
            return -abs(strength - 1.0)
        place = np.arange(rows.shape[0]) % _PARTS
        scores = []
        for part in range(_PARTS):
            kept, held = np.flatnonzero(place != part), np.flatnonzero(place == part)
            if targets.ndim == 1 and not isinstance(self._skill, Number) and len(set(targets[kept])) < 2:
                return -abs(strength - 1.0)
            model = self._estimator(kind, strength).fit(rows[kept], targets[kept])
            scores.append(model.score(rows[held], targets[held]))
        return float(np.mean(scores))

    def _estimator(self, kind: str, strength: float) -> Any:
        from sklearn.linear_model import Ridge
        from sklearn.multiclass import OneVsRestClassifier
        from sklearn.pipeline import make_pipeline
        from sklearn.svm import LinearSVC

        if kind == _RIDGE:
            return Ridge(alpha=1 / strength)
        machine = LinearSVC(C=strength, max_iter=_MAX_ITERATIONS, random_state=0)
        if kind == _BAYES:
            return OneVsRestClassifier(make_pipeline(_LogCountRatios(), machine))
        return machine if isinstance(self._skill, OneClass) else OneVsRestClassifier(machine)


class _LogCountRatios(TransformerMixin, BaseEstimator):
    """Each term weighed by how much likelier it is in one of two classes (Wang and Manning, equation 1)."""

    def fit(self, rows: csr_matrix, targets: NDArray[np.int64]) -> _LogCountRatios:
        """Count in how many rows of each class a term is, one more than there are."""
        yes, no = (1.0 + (rows[targets == side] > 0).sum(axis=0) for side in (1, 0))
        self.weights_ = np.asarray(np.log((yes / yes.sum()) / (no / no.sum()))).ravel()
        return self

    def transform(self, rows: csr_matrix) -> csr_matrix:
        """Weighed rows."""
        return (rows @ diags_array(self.weights_)).tocsr()


def _targets(skill: TextSkill, examples: Sequence[Labelled]) -> Any:
    if isinstance(skill, Number):
        return np.array([float(str(label_of(example))) for example in examples])
    if isinstance(skill, SeveralClasses):
        return np.array([skill.target(example) for example in examples], np.int64)
    return np.array([skill.target(example) for example in examples])


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
