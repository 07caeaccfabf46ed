"""The linear model of words: which kind it is, the weights of naive Bayes, what is kept of it."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from scipy.sparse import csr_matrix

from yanmo.errors import InputError
from yanmo.models.features.linear_terms import LinearTerms, LogCountRatios

WORDS = (("poor", "dreadful", "awful"), ("fair", "even"), ("fine", "splendid", "lovely"))
ROWS = [
    (f"the ink of shop {number} is {word}", label)
    for number in range(8)
    for label, words in enumerate(WORDS)
    for word in words
]
TEXTS = [(text,) for text, _ in ROWS]
CLASSES = np.array([label for _, label in ROWS])


def test_terms_are_weighed_by_how_much_likelier_they_are_in_a_class() -> None:
    # Counted by hand: rows with each term are 2, 0, 1 of those that are, 0, 1, 1 of those that are not.
    rows = csr_matrix(np.array([[0.5, 0, 0.1], [3.0, 0, 0], [0, 2.0, 0.7]]))
    weighed = LogCountRatios().fit(rows, np.array([1, 1, 0])).transform(rows).toarray()
    yes, no = (3 / 6, 1 / 6, 2 / 6), (1 / 5, 2 / 5, 2 / 5)
    weights = [math.log(p / q) for p, q in zip(yes, no, strict=True)]
    np.testing.assert_allclose(weighed, rows.toarray() * weights)


def test_it_learns_what_words_say_and_names_itself() -> None:
    model = LinearTerms.fit(TEXTS, CLASSES, num_classes=3)
    assert model.name in ("TF-IDF and a linear SVM", "TF-IDF and NB-SVM")
    found = model.outputs(TEXTS)
    assert found.shape == (len(ROWS), 3)
    np.testing.assert_array_equal(found.argmax(1), CLASSES)


def test_words_that_were_never_seen_are_known_by_their_parts() -> None:
    found = LinearTerms.fit(TEXTS, CLASSES, num_classes=3).outputs([("dreadfully",), ("splendidly",)])
    np.testing.assert_array_equal(found.argmax(1), [0, 2])


def test_two_classes_share_one_plane() -> None:
    kept = CLASSES != 1
    texts = [text for text, keeps in zip(TEXTS, kept, strict=True) if keeps]
    found = LinearTerms.fit(texts, CLASSES[kept] // 2, num_classes=2).outputs(texts)
    np.testing.assert_allclose(found[:, 0], -found[:, 1], rtol=1e-5)
    np.testing.assert_array_equal(found.argmax(1), CLASSES[kept] // 2)


def test_a_class_without_rows_is_never_said() -> None:
    found = LinearTerms.fit(TEXTS, CLASSES + (CLASSES > 0), num_classes=5).outputs(TEXTS)
    assert set(found.argmax(1)) == {0, 2, 3}


@pytest.mark.filterwarnings("ignore:Label ")
def test_several_classes_are_above_zero_where_they_hold() -> None:
    # The third always holds, the fourth never: there is nothing to part them from.
    targets = np.stack([CLASSES == 0, CLASSES > 0, CLASSES >= 0, CLASSES < 0], 1).astype(np.int64)
    found = LinearTerms.fit(TEXTS, targets, num_classes=4).outputs(TEXTS)
    np.testing.assert_array_equal(found > 0, targets > 0)


def test_numbers_are_learned_by_ridge_regression() -> None:
    model = LinearTerms.fit(TEXTS, CLASSES.astype(np.float64))
    found = model.outputs(TEXTS)
    assert model.name == "TF-IDF and ridge regression" and found.shape == (len(ROWS), 1)
    assert np.corrcoef(found[:, 0], CLASSES)[0, 1] > 0.9


def test_of_pairs_it_knows_what_both_have() -> None:
    names = [f"shop{number}" for number in range(30)]
    pairs = [(one, one if number % 2 else names[number - 1]) for number, one in enumerate(names)] * 2
    targets = np.array([int(one == other) for one, other in pairs])
    model = LinearTerms.fit(pairs, targets, num_classes=2)
    assert model.weights_TPC.shape[1:] == (3, 2)
    np.testing.assert_array_equal(model.outputs(pairs).argmax(1), targets)


def test_it_is_the_same_after_a_folder(tmp_path: Path) -> None:
    model = LinearTerms.fit([*TEXTS, ("墨很好",)], np.array([*CLASSES, 2]), num_classes=3)
    model.save(tmp_path / "terms")
    again = LinearTerms.load(tmp_path / "terms")
    asked = [("墨很好，很黑",), ("a fine brush",), ("",)]
    assert again.name == model.name
    np.testing.assert_array_equal(again.outputs(asked), model.outputs(asked))


def test_a_damaged_folder_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "terms"
    LinearTerms.fit(TEXTS, CLASSES, num_classes=3).save(folder)
    summary = json.loads((folder / "features.json").read_text())
    for change in ({"name": 3}, {"bias": None}, {"bias": [1.0, 2.0]}):
        (folder / "features.json").write_text(json.dumps({**summary, **change}))
        with pytest.raises(InputError, match="no plane for each class"):
            LinearTerms.load(folder)
    (folder / "features.json").write_text(json.dumps({**summary, "kind": "tf-idf"}))
    with pytest.raises(InputError, match="holds 'tf-idf', not 'linear-terms'"):
        LinearTerms.load(folder)
    (folder / "features.json").write_text(json.dumps(summary))
    numbers = safetensors.numpy.load_file(folder / "features.safetensors")
    safetensors.numpy.save_file(
        {**numbers, "weights": numbers["weights"][1:]}, folder / "features.safetensors"
    )
    with pytest.raises(InputError, match="no weights for"):
        LinearTerms.load(folder)
    safetensors.numpy.save_file(numbers, folder / "features.safetensors")
    (folder / "subwords" / "terms.json").unlink()
    with pytest.raises(InputError, match="no such file"):
        LinearTerms.load(folder)
