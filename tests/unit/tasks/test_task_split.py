"""Splits: by files, by a column, drawn; each class in its share, copies and near copies together."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence

import pytest
from corpus_made import chinese_prose, prose

from yanmo.errors import InputError
from yanmo.tasks.examples import ClassificationExample, Origin, Seq2SeqExample
from yanmo.tasks.split import SplitBy, Splits, SplitSettings, split_examples


def rows(
    count: int,
    labels: Sequence[str] = ("好", "坏"),
    file: str = "a.csv",
    first: int = 0,
    num_sentences: int = 2,
) -> list[ClassificationExample]:
    """Texts unlike each other, English and Chinese."""
    return [
        ClassificationExample(
            text=prose(i, num_sentences) if i % 2 else chinese_prose(i, num_sentences),
            label=labels[i % len(labels)],
            origin=Origin(file, i + 2, i + 2),
        )
        for i in range(first, first + count)
    ]


def sizes(splits: Splits) -> tuple[int, int, int]:
    return len(splits.train), len(splits.valid), len(splits.test)


def test_by_the_names_of_files() -> None:
    found = split_examples(
        [*rows(30, file="train.csv"), *rows(5, file="dev.csv"), *rows(6, file="test/b.csv")]
    )
    assert sizes(found) == (30, 5, 6)
    assert found.how == "by the names of the files"


def test_validation_is_drawn_from_training_where_no_file_is_for_it() -> None:
    test = rows(10, file="test.csv", first=500)
    found = split_examples([*rows(100, file="train.csv"), *test])
    assert found.test == test
    assert sizes(found) == (90, 10, 10)
    assert "valid drawn from train with seed 0" in found.how


def test_by_a_column() -> None:
    said = ["train", "valid", "test", "train"]
    examples = [
        ClassificationExample(
            text=e.text, label=e.label, origin=e.origin._replace(split=split, file="train.csv")
        )
        for e, split in zip(rows(4), said, strict=True)
    ]
    found = split_examples(examples)
    assert [[e.origin.row for e in part] for part in found.by_name().values()] == [[2, 5], [3], [4]]
    assert found.how == "by a column"


def test_each_class_is_held_out_in_its_share() -> None:
    labels = ["a"] * 6 + ["b"] * 3 + ["c"]
    found = split_examples(rows(400, labels), SplitSettings(valid=0.1, test=0.2))
    assert sizes(found) == (280, 40, 80)
    for part, share in ((found.valid, 0.1), (found.test, 0.2)):
        counts = Counter(e.labels()[0] for e in part)
        assert abs(counts["a"] - 240 * share) <= 1
        assert abs(counts["b"] - 120 * share) <= 1
        assert abs(counts["c"] - 40 * share) <= 1


def test_a_class_of_one_row_is_for_training() -> None:
    found = split_examples([*rows(60, ["a"]), *rows(1, ["b"], first=900)], SplitSettings(test=0.4))
    assert "b" in {e.labels()[0] for e in found.train}


def test_numbers_are_held_out_in_all_sizes() -> None:
    examples = [
        ClassificationExample(text=e.text, label=float(i), origin=e.origin) for i, e in enumerate(rows(200))
    ]
    found = split_examples(examples)
    tenths = Counter(int(float(str(e.target())) // 20) for e in found.test)
    assert sorted(tenths) == list(range(10))


def test_the_order_of_rows_does_not_matter_and_the_seed_does() -> None:
    examples = rows(200)
    mixed = random.Random(3).sample(examples, len(examples))
    first, second = split_examples(examples), split_examples(mixed)
    assert {e.origin for e in first.test} == {e.origin for e in second.test}
    other = split_examples(examples, SplitSettings(seed=1))
    assert {e.origin for e in first.test} != {e.origin for e in other.test}


@pytest.mark.parametrize("near", [True, False])
def test_copies_and_near_copies_stay_together(near: bool) -> None:
    examples = rows(120, num_sentences=5)
    changed = [
        ClassificationExample(
            text=f"{e.text} {'well' if i % 4 else '了'}", label=e.label, origin=Origin("b.csv", i)
        )
        for i, e in enumerate(examples)
    ]
    copies = [
        ClassificationExample(text=f" {e.text}", label="坏", origin=Origin("c.csv", i))
        for i, e in enumerate(examples)
    ]
    found = split_examples([*examples, *changed, *copies], SplitSettings(near=near))
    where = {e.origin: name for name, part in found.by_name().items() for e in part}
    assert all(where[e.origin] == where[c.origin] for e, c in zip(examples, copies, strict=True))
    together = sum(where[e.origin] == where[c.origin] for e, c in zip(examples, changed, strict=True))
    assert together == 120 if near else together < 110
    assert len(where) == 360


def test_examples_without_classes() -> None:
    pairs = [
        Seq2SeqExample(source=prose(i, 1), targets=("x",), origin=Origin("a.tsv", i)) for i in range(100)
    ]
    assert sizes(split_examples(pairs)) == (80, 10, 10)


def test_what_cannot_be_divided_is_told() -> None:
    with pytest.raises(InputError, match="2 rows are too few"):
        split_examples(rows(2))
    with pytest.raises(InputError, match="no row says its split"):
        split_examples(rows(9), SplitSettings(by=SplitBy.COLUMN))
    with pytest.raises(InputError, match="no file names a split"):
        split_examples(rows(9), SplitSettings(by=SplitBy.FILES))
    with pytest.raises(InputError, match="no rows are for training"):
        split_examples(rows(9, file="test.csv"), SplitSettings(by=SplitBy.FILES))
    with pytest.raises(InputError, match="leave some for training"):
        SplitSettings(valid=0.5, test=0.5)


def test_a_test_file_alone_is_divided_like_any_other() -> None:
    assert sizes(split_examples(rows(100, file="test.csv"))) == (80, 10, 10)
