"""A classifier of good and bad texts: what it learns, and that it comes back from its folder."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from yanmo.errors import InputError
from yanmo.models.features.quality_classifier import HeldOut, QualityClassifier

GOOD = ("harbour", "morning", "boat", "lamp", "清晨", "渔船", "海边", "老人")
BAD = ("casino", "discount", "replica", "click", "彩票", "贷款", "发票", "办证")


def examples(words: tuple[str, ...], count: int, seed: int) -> list[str]:
    rng = random.Random(seed)
    shared = ("the", "and", "of", "的", "了")
    return [" ".join(rng.choices([*words, *shared], k=12)) for _ in range(count)]


@pytest.fixture(scope="module")
def classifier() -> QualityClassifier:
    return QualityClassifier.fit(examples(GOOD, 40, 1), iter(examples(BAD, 20, 2)))


def test_good_and_bad_are_told_apart_in_both_languages(classifier: QualityClassifier) -> None:
    for good in ("a lamp in the harbour", "清晨的渔船"):
        assert 0.5 < classifier.score(good) <= 1
    for bad in ("click for a discount", "贷款和发票"):
        assert 0 <= classifier.score(bad) < 0.5
    assert set(classifier.speaking_for(8)) <= set(GOOD) | {"边", "晨"}
    assert set(classifier.speaking_for(-8)) <= set(BAD)


def test_held_out_accuracy_stands_beside_guessing(classifier: QualityClassifier) -> None:
    held_out = classifier.held_out
    assert (held_out.num_good, held_out.num_bad) == (40, 20)
    assert held_out.guessing == pytest.approx(2 / 3)
    assert held_out.accuracy > 0.95
    # Two draws of one kind cannot be told apart, and it says so.
    same = QualityClassifier.fit(examples(GOOD, 60, 3), examples(GOOD, 60, 4))
    assert same.held_out.accuracy < 0.7


def test_kinds_weigh_the_same_however_many_there_are() -> None:
    few = QualityClassifier.fit(examples(GOOD, 200, 5), examples(BAD, 10, 6))
    assert 0.3 < few.score("nothing that it ever saw") < 0.7


def test_a_folder_gives_back_the_same_scores(tmp_path: Path, classifier: QualityClassifier) -> None:
    classifier.save(tmp_path / "c")
    again = QualityClassifier.load(tmp_path / "c")
    texts = [*examples(GOOD, 5, 7), *examples(BAD, 5, 8), "", "???"]
    assert [again.score(text) for text in texts] == pytest.approx([classifier.score(text) for text in texts])
    assert again.held_out == classifier.held_out == HeldOut(**vars(classifier.held_out))
    classifier.save(tmp_path / "c")
    again.save(tmp_path / "d")
    for name in ("features.json", "features.safetensors", "terms.json"):
        assert (tmp_path / "c" / name).read_bytes() == (tmp_path / "d" / name).read_bytes()


def test_the_same_examples_give_the_same_classifier(tmp_path: Path, classifier: QualityClassifier) -> None:
    other = QualityClassifier.fit(examples(GOOD, 40, 1), examples(BAD, 20, 2))
    assert other.score("the boat and the casino") == classifier.score("the boat and the casino")


def test_damaged_folders_are_refused(tmp_path: Path, classifier: QualityClassifier) -> None:
    folder = tmp_path / "c"
    classifier.save(folder)
    summary, numbers = folder / "features.json", folder / "features.safetensors"
    whole, arrays = summary.read_text(), load_file(numbers)
    stored = json.loads(whole)
    held_out = stored["details"]["held_out"]
    for content, message in (
        ("{", "not JSON"),
        (json.dumps({"kind": "tf-idf"}), "holds 'tf-idf'"),
        (json.dumps(stored | {"details": None}), "num_good"),
        (json.dumps(stored | {"details": {"held_out": held_out, "intercept": "1"}}), "no intercept"),
    ):
        summary.write_text(content)
        with pytest.raises(InputError, match=message):
            QualityClassifier.load(folder)
    summary.write_text(whole)
    whole_array = arrays["coefficients"]
    for array, message in (
        (whole_array[1:], "has no coefficients"),
        (np.full_like(whole_array, np.nan), "has no finite coefficients"),
    ):
        save_file({**arrays, "coefficients": np.ascontiguousarray(array)}, numbers)
        with pytest.raises(InputError, match=message):
            QualityClassifier.load(folder)
    numbers.write_bytes(b"nonsense")
    with pytest.raises(InputError, match="cannot be read"):
        QualityClassifier.load(folder)
    with pytest.raises(InputError, match="no such file"):
        QualityClassifier.load(tmp_path / "nowhere")


def test_too_few_examples_are_refused() -> None:
    with pytest.raises(InputError, match="4 bad texts"):
        QualityClassifier.fit(examples(GOOD, 10, 1), examples(BAD, 4, 2))
    with pytest.raises(InputError, match="no terms"):
        QualityClassifier.fit(["?"] * 5, ["!"] * 5)
