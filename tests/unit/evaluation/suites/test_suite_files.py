"""Published formats are read as they are; other files are refused in a line that says what was found."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from suites_made import (
    ARC,
    ARC_HUB,
    BLIMP,
    CEVAL,
    HELLASWAG,
    LAMBADA,
    OWN,
    OWN_CHINESE,
    PIQA,
    write_csv,
    write_jsonl,
)

from yanmo.errors import InputError
from yanmo.evaluation.suites.items import Item
from yanmo.evaluation.suites.read import read_questions
from yanmo.evaluation.suites.registry import SUITES, find_suite


def one(path: Path, suite: str) -> Item:
    questions = read_questions(path, SUITES[suite].formats)
    assert not questions.set_aside
    (item,) = questions.items
    return item


def test_hellaswag(tmp_path: Path) -> None:
    item = one(write_jsonl(tmp_path / "val.jsonl", [HELLASWAG]), "hellaswag")
    assert item.question == "Roof shingle removal: A man is sitting on a roof. He"
    assert item.choices[1] == "is ripping level tiles off. Then he stops."
    assert item.answer == 3


@pytest.mark.parametrize("row", [ARC, ARC_HUB])
def test_arc_as_published_and_as_on_the_hub(tmp_path: Path, row: dict[str, Any]) -> None:
    item = one(write_jsonl(tmp_path / "ARC.jsonl", [row]), "arc")
    assert item.choices[item.answer] in {"a bacterial population in the bloodstream", "cellular telephone"}
    assert item.question.startswith("Which")


def test_piqa_with_its_labels_beside_it(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "valid.jsonl", [PIQA, {**PIQA, "goal": "Another?"}])
    (tmp_path / "valid-labels.lst").write_text("0\n1\n")
    questions = read_questions(path, SUITES["piqa"].formats)
    assert [item.answer for item in questions.items] == [0, 1]
    (tmp_path / "valid-labels.lst").write_text("0\n")
    with pytest.raises(InputError, match="1 answers in the file beside it, not one a row"):
        read_questions(path, SUITES["piqa"].formats)
    (tmp_path / "valid-labels.lst").unlink()
    with pytest.raises(InputError, match="no label: a test file without answers"):
        read_questions(path, SUITES["piqa"].formats)
    assert one(write_jsonl(tmp_path / "hub.jsonl", [{**PIQA, "label": 1}]), "piqa").answer == 1


@pytest.mark.parametrize("kind", ["jsonl", "txt", "gz"])
def test_lambada_ends_in_its_answer(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"lambada.{kind}"
    if kind == "jsonl":
        write_jsonl(path, [LAMBADA])
    elif kind == "txt":
        path.write_text("she waited by the river\n", encoding="utf-8")
    else:
        path = tmp_path / "lambada.jsonl.gz"
        path.write_bytes(gzip.compress(json.dumps(LAMBADA).encode()))
    item = one(path, "lambada")
    assert item.choices == (" river",) and item.question.endswith("by the")


def test_blimp_is_a_folder_of_paradigms(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "blimp" / "adjunct_island.jsonl", [BLIMP])
    write_jsonl(tmp_path / "blimp" / "drop_argument.jsonl", [{"good": "I run.", "bad": "I it run."}])
    (tmp_path / "blimp" / "README.md").write_text("# BLiMP\n")
    write_jsonl(tmp_path / "blimp" / "results.jsonl", [{"UID": "adjunct_island", "gpt2": 0.9}])
    questions = read_questions(tmp_path / "blimp", SUITES["blimp"].formats)
    assert [item.group for item in questions.items] == ["adjunct_island", "drop_argument"]
    assert questions.items[0].choices == (BLIMP["sentence_good"], BLIMP["sentence_bad"])
    assert sum(questions.set_aside.values()) == 1 and "results.jsonl" in questions.first_flaw


def test_ceval_is_a_table_a_subject(tmp_path: Path) -> None:
    write_csv(tmp_path / "val" / "tax_accountant_val.csv", [CEVAL])
    write_csv(tmp_path / "val" / "high_school_physics_val.csv", [{**CEVAL, "answer": "A"}])
    questions = read_questions(tmp_path / "val", SUITES["ceval"].formats)
    assert [(item.group, item.answer) for item in questions.items] == [
        ("high_school_physics", 0),
        ("tax_accountant", 3),
    ]
    assert questions.items[0].place == "high_school_physics_val.csv line 2"


def test_splits_are_not_mixed(tmp_path: Path) -> None:
    for split in ("dev", "val"):
        write_csv(tmp_path / split / f"law_{split}.csv", [CEVAL])
    with pytest.raises(InputError, match=r"holds several splits: dev, val"):
        read_questions(tmp_path, SUITES["ceval"].formats)


@pytest.mark.parametrize(
    "row",
    [
        OWN,
        {**OWN, "answer": "0"},
        {**OWN, "answer": "A"},
        {**OWN, "answer": "milk"},
        {**OWN, "choices": json.dumps(OWN["choices"])},
        {"question": OWN["question"], "A": "milk", "B": "stones", "C": "", "answer": "a"},
        {"question": OWN["question"], "A": "milk", "B": "stones", "answer": "A", "id": 3},
    ],
)
@pytest.mark.parametrize("kind", ["jsonl", "csv"])
def test_our_own_format(tmp_path: Path, row: dict[str, Any], kind: str) -> None:
    if kind == "csv" and isinstance(row.get("choices"), list):
        row = {**row, "choices": json.dumps(row["choices"])}
    write = write_csv if kind == "csv" else write_jsonl
    item = one(write(tmp_path / f"own.{kind}", [row]), "choices")
    assert item.choices == ("milk", "stones") and item.answer == 0


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({**OWN, "answer": 2}, "the answer '2' is none of 0 to 1"),
        ({**OWN, "answer": "C"}, "the answer 'C' is none of"),
        ({**OWN, "answer": None}, "no answer: a test file"),
        ({**OWN, "choices": ["milk"]}, "1 choices, not 2 to 10"),
        ({**OWN, "choices": ["milk", "milk"]}, "two equal choices"),
        ({**OWN, "choices": ["milk", " "]}, "an empty choice"),
        ({**OWN, "choices": "milk or stones"}, "choices is no list"),
        ({**OWN, "choices": [["milk"], ["stones"]]}, "choices is no list of texts"),
        ({**OWN, "question": ""}, "no text in question"),
        ({"question": "?", "text": "of another kind"}, "not the fields"),
    ],
)
def test_a_row_that_is_no_question_is_set_aside(tmp_path: Path, row: dict[str, Any], reason: str) -> None:
    path = write_jsonl(tmp_path / "own.jsonl", [OWN, row, OWN_CHINESE])
    questions = read_questions(path, SUITES["choices"].formats)
    assert len(questions.items) == 2 and sum(questions.set_aside.values()) == 1
    assert questions.first_flaw.startswith("own.jsonl line 2: ") and reason in questions.first_flaw


def test_broken_lines_are_set_aside(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "own.jsonl", [OWN])
    path.write_text(path.read_text() + '{"question": "wh\n' + path.read_text(), encoding="utf-8")
    questions = read_questions(path, SUITES["choices"].formats)
    assert len(questions.items) == 2 and questions.set_aside == {"broken JSON": 1}


def test_a_file_of_another_format_says_what_was_found_and_what_was_expected(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "blimp.jsonl", [BLIMP])
    with pytest.raises(InputError) as error:
        read_questions(path, SUITES["hellaswag"].formats)
    line = str(error.value)
    assert "\n" not in line and str(path) in line
    assert "has UID, field," in line and "which is BLiMP" in line
    assert "expected HellaSwag (ctx_a, endings or choices, label or answer); or question, choices" in line


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n\x00\x00", b"[]", b"{}"])
def test_a_file_without_questions_is_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match="expected ARC") as error:
        read_questions(path, SUITES["arc"].formats)
    assert "\n" not in str(error.value)


def test_a_missing_file_and_a_missing_suite(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_questions(tmp_path / "none.jsonl")
    with pytest.raises(InputError, match=r"no suite is named 'mmlu' .*there are hellaswag, arc"):
        find_suite("mmlu")
