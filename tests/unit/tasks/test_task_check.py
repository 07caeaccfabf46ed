"""Findings: what they count, how bad they are, the rows they name; nothing where nothing is wrong."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import pytest
from rich.console import Console

from yanmo.tasks.broken import WORDS, Broken, BrokenRow, Flaw
from yanmo.tasks.check import CheckSettings, check_examples
from yanmo.tasks.examples import (
    Answer,
    ClassificationExample,
    Label,
    Origin,
    QuestionExample,
    Seq2SeqExample,
    TokenExample,
)
from yanmo.tasks.findings import Finding, FindingKind, Report, Severity, broken_table, report_tables

NOUNS = "ink paper brush stone water mountain river cloud letter silence morning window garden winter lantern"


def text(number: int) -> str:
    """A text of 25 words unlike all others."""
    return " ".join(
        f"{NOUNS.split()[(number * (place + 3)) % 15]}{number * 31 + place}" for place in range(25)
    )


def examples(
    labels: Sequence[Label | None], file: str = "train.csv", first: int = 0, texts: Sequence[str] = ()
) -> list[ClassificationExample]:
    """A row for each label, the first of them row 2 of the file."""
    return [
        ClassificationExample(
            text=texts[i] if texts else text(first + i), label=label, origin=Origin(file, i + 2, i + 2)
        )
        for i, label in enumerate(labels)
    ]


GOOD = ["好评", "差评"] * 40


def found(report: Report, kind: FindingKind) -> Finding:
    """The only finding of a kind."""
    (finding,) = [finding for finding in report.findings if finding.kind is kind]
    return finding


def test_nothing_is_found_where_nothing_is_wrong() -> None:
    train, test = examples(GOOD), examples(GOOD, "test.csv", first=500)
    report = check_examples({"train": train, "test": test})
    assert report.findings == ()
    assert report.num_examples == {"train": 80, "test": 80}
    assert report.label_counts["train"] == {"好评": 40, "差评": 40}


def test_lengths() -> None:
    report = check_examples({"train": examples(GOOD[:4], texts=["a", "bb" * 10, "甲" * 40, "d" * 41])})
    lengths = report.lengths["train"]
    assert (lengths.median, lengths.longest) == (30.0, 41)
    assert [(low, high, count) for low, high, count in lengths.bins if count] == [
        (0, 8, 1),
        (16, 32, 1),
        (32, 64, 2),
    ]
    assert sum(count for *_, count in lengths.bins) == 4


def test_truncation() -> None:
    rows = examples(GOOD[:60], texts=["一 二 三"] * 10 + [text(i) for i in range(50)])
    settings = CheckSettings(max_tokens=20)
    report = check_examples(
        {"train": rows}, count_tokens=lambda texts: sum(len(t.split()) for t in texts), settings=settings
    )
    told = report.truncation["train"]
    assert (told.num_counted, told.num_truncated, told.longest) == (60, 50, 25)
    assert told.rate == pytest.approx(50 / 60)
    finding = found(report, FindingKind.TRUNCATED)
    assert finding.severity is Severity.WARNING
    assert finding.num_rows == 50
    assert finding.rows[0] == Origin("train.csv", 12, 12)


def test_equal_texts_up_to_white_space() -> None:
    rows = examples(["a", "b", "a", "b", "a"] * 12)
    rows += examples(["a", "b"], "more.csv", texts=[f"  {rows[0].text}\n", rows[0].text.replace(" ", "  ")])
    report = check_examples({"train": rows})
    clash = found(report, FindingKind.CONFLICTS)
    assert clash.num_rows == 3
    assert [row.file for row in clash.rows] == ["train.csv", "more.csv", "more.csv"]
    assert "1 text with two labels" in clash.what.en
    assert not any(finding.kind is FindingKind.DUPLICATES for finding in report.findings)


def test_many_copies_are_worse_than_a_few() -> None:
    few = check_examples({"train": [*examples(GOOD), *examples(GOOD[:2], "b.csv")]})
    many = check_examples({"train": [*examples(GOOD), *examples(GOOD[:40], "b.csv")]})
    assert found(few, FindingKind.DUPLICATES).severity is Severity.NOTE
    assert found(many, FindingKind.DUPLICATES).severity is Severity.WARNING
    assert [row.file for row in found(few, FindingKind.DUPLICATES).rows] == ["b.csv", "b.csv"]


def test_two_translations_of_a_text_are_no_copies() -> None:
    rows = [
        Seq2SeqExample(source="Hi.", targets=(target,), origin=Origin("a.tsv", row, row))
        for row, target in enumerate(["嗨。", "你好。", "嗨。"], 1)
    ]
    finding = found(check_examples({"train": rows}), FindingKind.DUPLICATES)
    assert [row.row for row in finding.rows] == [3]


def test_leaks() -> None:
    train = examples(GOOD)
    nearly = train[5].text + " besides"
    test = examples(
        ["好评", "差评", "好评"], "test.csv", texts=[f"{train[7].text} ", nearly, "short and known to none"]
    )
    report = check_examples({"train": train, "test": test})
    equal, near = found(report, FindingKind.LEAK), found(report, FindingKind.NEAR_LEAK)
    assert [row.row for row in equal.rows] == [2]
    assert [row.row for row in near.rows] == [3]
    assert "1 row of test (33.3%): in train too" in equal.what.en
    assert "train.csv line 7" in near.what.en
    without = check_examples({"train": train, "test": test}, settings=CheckSettings(near=False))
    assert not any(finding.kind is FindingKind.NEAR_LEAK for finding in without.findings)


@pytest.mark.parametrize(
    ("labels", "kind", "severity"),
    [
        (["a"] * 60, FindingKind.ONE_CLASS, Severity.ERROR),
        ([2.5] * 60, FindingKind.ONE_NUMBER, Severity.ERROR),
        ([f"l{i}" for i in range(60)], FindingKind.MANY_LABELS, Severity.ERROR),
        (["a"] * 60 + ["b"] * 2, FindingKind.RARE_LABELS, Severity.WARNING),
        (["a"] * 60 + ["b"] * 5, FindingKind.IMBALANCE, Severity.NOTE),
        (["a", "b"] * 30 + [None], FindingKind.NO_TARGET, Severity.ERROR),
        (["a", "b"] * 30 + [0.5], FindingKind.MIXED_LABELS, Severity.ERROR),
        (["a", "b"] * 10, FindingKind.FEW_ROWS, Severity.WARNING),
        (["a"], FindingKind.FEW_ROWS, Severity.ERROR),
    ],
)
def test_labels(labels: list[Any], kind: FindingKind, severity: Severity) -> None:
    finding = found(check_examples({"train": examples(labels)}), kind)
    assert finding.severity is severity
    assert finding.what.en != finding.what.zh
    assert finding.proposal.en
    assert finding.proposal.zh


def test_several_labels_of_one_row_are_one_kind() -> None:
    report = check_examples({"train": examples([("a",), ("a", "b"), (), ("b",)] * 20)})
    assert report.findings == ()
    assert report.label_counts["train"] == {"a": 40, "b": 40}


def test_labels_unseen_in_training() -> None:
    report = check_examples(
        {"train": examples(GOOD), "test": examples(["好评", "中评"], "test.csv", first=900)}
    )
    finding = found(report, FindingKind.UNSEEN_LABELS)
    assert [row.row for row in finding.rows] == [3]
    assert "中评" in finding.what.en


def test_one_text_in_all_rows() -> None:
    report = check_examples({"train": examples(GOOD, texts=["很好"] * 80)})
    assert found(report, FindingKind.CONSTANT_TEXT) in report.errors


def test_entities() -> None:
    rows = [
        TokenExample(
            tokens=(f"w{i}", "x"), tags=("B-PER", "I-PER") if i % 2 else ("O", "O"), origin=Origin("a", i)
        )
        for i in range(1, 81)
    ]
    assert check_examples({"train": rows}).label_counts["train"] == {"PER": 40}
    assert check_examples({"train": rows}).findings == ()
    assert found(check_examples({"train": rows[1::2]}), FindingKind.NO_ENTITIES).severity is Severity.ERROR


def test_questions_of_one_context_are_no_copies() -> None:
    rows = [
        QuestionExample(
            context="长江在中国。", question=f"问题{i}？", answers=(Answer("中国", 3),), origin=Origin("a", i)
        )
        for i in range(60)
    ]
    assert check_examples({"train": rows}).findings == ()


def test_broken_rows_are_counted() -> None:
    broken = Broken()
    for row in range(3, 90):
        flaw = Flaw.EMPTY_TEXT if row % 2 else Flaw.NO_LABEL
        broken.add(BrokenRow(origin=Origin("a.csv", row, row), flaw=flaw, detail="", remedy="write it"))
    report = check_examples({"train": examples(GOOD)}, broken=broken)
    finding = found(report, FindingKind.BROKEN)
    assert (finding.num_rows, report.num_broken) == (87, 87)
    assert finding.severity is Severity.ERROR
    assert "empty text (44), no label (43)" in finding.what.en
    assert "文本为空（44）" in finding.what.zh
    assert set(WORDS) == set(Flaw)


@pytest.mark.parametrize("chinese", [False, True])
def test_tables_for_people(chinese: bool) -> None:
    broken = Broken()
    broken.add(BrokenRow(origin=Origin("b.csv"), flaw=Flaw.COLUMNS, detail="x", remedy="say which"))
    report = check_examples({"train": examples(["a"] * 60 + ["b"] * 2)}, broken=broken)
    console = Console(width=160, record=True, file=io.StringIO())
    for table in (
        *report_tables(report, plain=True, chinese=chinese),
        broken_table(broken, plain=True, chinese=chinese),
    ):
        console.print(table)
    shown = console.export_text()
    assert "b.csv" in shown
    assert (WORDS[Flaw.COLUMNS].zh if chinese else "columns not clear: x") in shown
    assert "128 █▄ 511" in shown
    for words in (
        ("fewer than 5 examples each: b (2)", "proposal", "severity")
        if not chinese
        else ("不足 5 个：b (2)", "建议", "级别")
    ):
        assert words in shown
