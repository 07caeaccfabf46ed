"""The linear model beside scores: which kind it is, and the weights of naive Bayes in it."""

from __future__ import annotations

import math

import numpy as np
from scipy.sparse import csr_matrix

from yanmo.evaluation.task_baselines import LinearTerms, _LogCountRatios
from yanmo.finetuning.text_labels import Number, OneClass
from yanmo.tasks.examples import ClassificationExample, Label, Origin

WORDS = {"good": ("fine", "splendid", "lovely"), "bad": ("poor", "dreadful", "awful"), "so": ("fair", "even")}


_RISING = ("dreadful", "poor", "fair", "fine", "splendid")


def example(text: str, label: Label) -> ClassificationExample:
    return ClassificationExample(text=text, label=label, origin=Origin("rows.csv"))


def test_terms_are_weighed_by_how_much_likelier_they_are_in_a_class() -> None:
    # Counted by hand: rows with each term are 2, 0, 1 of those that are, 0, 1, 1 of those that are not.
    rows = csr_matrix(np.array([[0.5, 0, 0.1], [3.0, 0, 0], [0, 2.0, 0.7]]))
    weighed = _LogCountRatios().fit(rows, np.array([1, 1, 0])).transform(rows).toarray()
    yes, no = (3 / 6, 1 / 6, 2 / 6), (1 / 5, 2 / 5, 2 / 5)
    weights = [math.log(p / q) for p, q in zip(yes, no, strict=True)]
    np.testing.assert_allclose(weighed, rows.toarray() * weights)


def test_it_learns_what_words_say_and_names_itself() -> None:
    examples = [
        example(f"the ink of shop {number} is {word}", label)
        for number in range(8)
        for label, words in WORDS.items()
        for word in words
    ]
    model = LinearTerms(OneClass(labels=tuple(WORDS)), examples)
    assert model.name in ("TF-IDF and a linear SVM", "TF-IDF and NB-SVM")
    assert [row["label"] for row in model.predict(examples)] == [each.label for each in examples]


def test_numbers_are_learned_by_ridge_regression() -> None:
    examples = [
        example(f"shop {n}: {word}", float(place)) for n in range(9) for place, word in enumerate(_RISING)
    ]
    model = LinearTerms(Number(), examples)
    found = [row["score"] for row in model.predict(examples)]
    assert model.name == "TF-IDF and ridge regression"
    assert np.corrcoef(found, [float(str(each.label)) for each in examples])[0, 1] > 0.9
