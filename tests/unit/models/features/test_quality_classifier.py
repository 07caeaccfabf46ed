"""A classifier of good and bad texts: what it learns, and that it comes back from its folder."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from yanmo.errors import InputError
from yanmo.models.features.quality_classifier import HeldOut, QualityClassifier, read_examples

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
    for name in ("classifier.json", "classifier.safetensors", "features/terms.json"):
        assert (tmp_path / "c" / name).read_bytes() == (tmp_path / "d" / name).read_bytes()


def test_the_same_examples_give_the_same_classifier(tmp_path: Path, classifier: QualityClassifier) -> None:
    other = QualityClassifier.fit(examples(GOOD, 40, 1), examples(BAD, 20, 2))
    assert other.score("the boat and the casino") == classifier.score("the boat and the casino")


def test_damaged_folders_are_refused(tmp_path: Path, classifier: QualityClassifier) -> None:
    folder = tmp_path / "c"
    classifier.save(folder)
    summary, numbers = folder / "classifier.json", folder / "classifier.safetensors"
    whole, arrays = summary.read_text(), load_file(numbers)
    for content in ("{", json.dumps({"kind": "tf-idf"}), json.dumps({"kind": "quality-classifier"})):
        summary.write_text(content)
        with pytest.raises(InputError):
            QualityClassifier.load(folder)
    summary.write_text(whole)
    for name, array in (
        ("coefficients", arrays["coefficients"][1:]),
        ("coefficients", np.full_like(arrays["coefficients"], np.nan)),
        ("intercept", np.zeros(1)),
    ):
        save_file({**arrays, name: np.ascontiguousarray(array)}, numbers)
        with pytest.raises(InputError, match=f"has no {name}"):
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


def test_examples_are_lines_or_files(tmp_path: Path) -> None:
    (tmp_path / "good.txt").write_text("one\n\n第二\r\n", encoding="utf-8")
    assert [text.strip() for text in read_examples(tmp_path / "good.txt")] == ["one", "第二"]
    (tmp_path / "many" / "deep").mkdir(parents=True)
    (tmp_path / "many" / "b.txt").write_text("line\nline", encoding="utf-8")
    (tmp_path / "many" / "deep" / "a.txt").write_text("其他", encoding="utf-8")
    (tmp_path / "many" / "empty.txt").write_text(" ", encoding="utf-8")
    assert read_examples(tmp_path / "many") == ["line\nline", "其他"]
    (tmp_path / "bad.txt").write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(InputError, match="not UTF-8"):
        read_examples(tmp_path / "bad.txt")
    with pytest.raises(InputError, match="no such file"):
        read_examples(tmp_path / "none.txt")
