"""``yanmo finetune`` from a file of options, with variables in it, and without learning."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sentence_made import make_encoder

from yanmo.cli.main import run

WORDS = ["man", "food", "girl", "is", "the", "a"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Rows, an encoder, and a recipe that finds them by YANMO_DATA."""
    make_encoder(tmp_path / "encoder")
    rows = ["text,label"]
    for number in range(40):
        words = " ".join(WORDS[: 1 + number % 6])
        rows += [f"a cat {words},cat", f"the dog {words},dog"]
    half = len(rows) // 2
    (tmp_path / "first.csv").write_text("\n".join(rows[:half]), encoding="utf-8")
    (tmp_path / "second.csv").write_text("\n".join(rows[:1] + rows[half:] + [",cat"]), encoding="utf-8")
    recipe = [
        "[finetune]",
        'task = "text-classification"',
        'label_kind = "one"',
        "batch_size = 8",
        "epochs = 10",
    ]
    recipe += ['data = ["$YANMO_DATA/first.csv", "$YANMO_DATA/second.csv"]', 'model = "$YANMO_DATA/encoder"']
    (tmp_path / "recipe.toml").write_text("\n".join(recipe), encoding="utf-8")
    monkeypatch.setenv("YANMO_DATA", str(tmp_path))
    return tmp_path


def test_a_dry_run_tells_all_and_leaves_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = folder / "run"
    command = ["finetune", "--config", str(folder / "recipe.toml"), "--out", str(out), "--dry-run"]
    assert run([*command, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert sum(told["rows"]["num_rows"].values()) == 80 and told["rows"]["num_broken"] == 1
    assert len(told["notes"]) == 2 and "text = text" in told["notes"][0]
    assert "second.csv" in told["broken"][0]
    assert told["recipe"]["batch_size"] == 8 and told["recipe"]["epochs"] == 10
    assert told["steps"] == pytest.approx(10 * told["rows"]["num_rows"]["train"] / 8, rel=0.15)
    assert told["training_s"] > 0 and "measured" in told["how_timed"]
    assert not out.exists()

    assert run([*command, "--data", str(folder / "first.csv"), "--model", "scratch"]) == 0
    said = capsys.readouterr().out
    assert "rows     " in said and "drawn with seed 0" in said and "a fresh encoder reads" in said
    assert "first.csv" in said and "second.csv" not in said and not out.exists()


def test_flags_and_places_win_over_the_file(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--config", str(folder / "recipe.toml"), "--out", str(folder / "run"), "--dry-run"]
    flags += ["--model", "scratch", "--json"]
    first, second = str(folder / "first.csv"), str(folder / "second.csv")
    counts = []
    for given in (
        ["text-classification", first],
        ["text-classification", first, second],
        ["--task", "text-classification", "--data", first],
        [],
    ):
        assert run(["finetune", *given, *flags]) == 0
        counts.append(sum(json.loads(capsys.readouterr().out)["rows"]["num_rows"].values()))
    assert counts[1] == counts[3] == 80 and counts[0] == counts[2] < 50


def test_a_variable_is_needed_where_it_is_used(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("YANMO_DATA")
    command = ["finetune", "--config", str(folder / "recipe.toml"), "--out", str(folder / "run"), "--dry-run"]
    assert run(command) == 2
    said = capsys.readouterr().err
    assert "recipe.toml" in said and "$YANMO_DATA, which is not set" in said and "export YANMO_DATA=" in said
    assert run([*command, "--data", str(folder / "first.csv")]) == 2
    assert "model begins with $YANMO_DATA" in capsys.readouterr().err
    assert run([*command, "--data", str(folder / "first.csv"), "--model", "scratch"]) == 0
