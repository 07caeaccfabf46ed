"""Fine-tuning as a user types it: learn, judge, predict."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from sentence_made import make_encoder

from yanmo.cli.main import run

WORDS = ["man", "food", "girl", "is", "the", "a"]


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that tells cats from dogs."""
    folder = tmp_path_factory.mktemp("finetune")
    make_encoder(folder / "encoder")
    rows = ["text,label"]
    for number in range(60):
        words = " ".join(WORDS[: 1 + number % 6])
        rows += [f"a cat {words},cat", f"the dog {words},dog"]
    (folder / "rows.csv").write_text("\n".join(rows), encoding="utf-8")
    flags = ["--epochs", "6", "--learning-rate", "3e-3", "--batch-size", "8", "--dropout", "0"]
    command = ["finetune", "text-classification", str(folder / "rows.csv")]
    assert run([*command, "--model", str(folder / "encoder"), "--out", str(folder / "run"), *flags]) == 0
    return folder


def test_a_finished_run_says_what_comes_next(learned: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--epochs", "6", "--learning-rate", "3e-3", "--batch-size", "8", "--dropout", "0", "--json"]
    command = ["finetune", "text-classification", str(learned / "rows.csv")]
    assert run([*command, "--model", str(learned / "encoder"), "--out", str(learned / "run"), *flags]) == 0
    result = json.loads(capsys.readouterr().out)
    assert {"model", "metrics", "wall_s"} <= result.keys() and result["metrics"]["accuracy"]["value"] > 0.9


def test_one_text_is_answered(learned: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["predict", str(learned / "run"), "--text", "a cat is the man"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("cat ") and said.endswith("\ta cat is the man\n")
    assert run(["predict", str(learned / "run"), "--text", "the dog", "--dtype", "bfloat16", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["predictions"]
    assert row["label"] == "dog" and sum(row["probabilities"].values()) == pytest.approx(1)


@pytest.mark.parametrize("name", ["asked.txt", "asked.csv"])
def test_a_file_is_answered_row_by_row(learned: Path, tmp_path: Path, name: str) -> None:
    head = ["text"] if name.endswith("csv") else []
    (tmp_path / name).write_text("\n".join([*head, "a cat food", "the dog man"]), encoding="utf-8")
    out = tmp_path / "said.csv"
    assert run(["predict", str(learned / "run"), "--file", str(tmp_path / name), "--out", str(out)]) == 0
    with out.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["label"] for row in rows] == ["cat", "dog"] and float(rows[0]["cat"]) > 0.9


def test_rows_are_judged_beside_cheap_models(learned: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = str(learned / "rows.csv")
    assert run(["evaluate", str(learned / "run"), data, "--train", data]) == 0
    said = capsys.readouterr().out
    assert "f1_macro" in said and "SVM" in said and "always cat" in said


def test_wrong_use_is_one_line(learned: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = str(learned / "run")
    assert run(["predict", model, "--text", "a", "--pair", "b"]) == 2
    assert "text-classification wants 1 text (leave --pair out)" in capsys.readouterr().err
    assert run(["predict", model]) == 2
    assert "give either --text" in capsys.readouterr().err
    assert run(["predict", str(learned / "encoder"), "--text", "a"]) == 2
    assert "has no head that answers a task" in capsys.readouterr().err
    flags = ["--model", str(learned / "encoder"), "--out", str(tmp_path / "run")]
    assert run(["finetune", "dancing", str(learned / "rows.csv"), *flags]) == 2
    assert "cannot be fine-tuned for 'dancing'" in capsys.readouterr().err
