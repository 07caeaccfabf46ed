"""``yanmo predict`` and ``evaluate`` of models that answer with texts, and of those that judge answers."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from answers_made import PAIRS, PREFERENCES, decoder

from yanmo.cli.main import run

FLAGS = ["--epochs", "6", "--learning-rate", "3e-2", "--batch-size", "6", "--dropout", "0"]


def write_rows(path: Path, rows: list[dict[str, Any]]) -> str:
    path.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows), encoding="utf-8")
    return str(path)


def said(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    capsys.readouterr()
    assert run([*arguments, "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
    return found


def test_a_reward_model_learns_judges_and_gives_numbers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        {"prompt": one.prompt[0].content, "chosen": one.chosen, "rejected": one.rejected}
        for one in PREFERENCES
    ]
    data, base, out = write_rows(tmp_path / "rows.jsonl", rows), str(decoder(tmp_path).path), tmp_path / "run"
    learn = ["--model", base, "--valid", data, "--test", data, "--out", str(out), *FLAGS]
    assert run(["finetune", "chat", data, *learn, "--reward"]) == 2
    assert "--reward is for preference (yanmo finetune preference ... --reward)" in capsys.readouterr().err
    result = said(["finetune", "preference", data, *learn, "--reward"], capsys)
    assert result["metrics"]["accuracy"]["value"] == 1 and result["baseline"]["name"] == "the longer answer"

    told = said(["evaluate", str(out), data], capsys)
    assert told["metrics"]["accuracy"]["value"] == 1 and told["task"] == "preference"

    first, second = (
        said(["predict", str(out), "--text", text], capsys)["predictions"][0]["score"]
        for text in ("i rest.", "a cat")
    )
    pair = said(["predict", str(out), "--text", "i rest.", "--pair", "a cat"], capsys)["predictions"][0]
    assert pair["rewards"] == pytest.approx({"chosen": first, "rejected": second}, abs=1e-4)
    assert pair["score"] == pytest.approx(first - second, abs=1e-4)
    assert pair["label"] == ("chosen" if first > second else "rejected")

    table = tmp_path / "scores.csv"
    assert run(["predict", str(out), "--file", data, "--out", str(table)]) == 0
    with table.open(encoding="utf-8") as stream:
        written = list(csv.DictReader(stream))
    assert len(written) == len(rows)
    assert all(float(row["reward_chosen"]) > float(row["reward_rejected"]) for row in written)


def test_one_that_answers_compares_two_answers_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"prompt": "hello!", "chosen": "i rest.", "rejected": "a cat"}] * 4
    data = write_rows(tmp_path / "rows.jsonl", rows)
    base, out = str(decoder(tmp_path).path), str(tmp_path / "run")
    learn = ["--model", base, "--valid", data, "--test", data, "--out", out, "--epochs", "1"]
    assert run(["finetune", "preference", data, *learn]) == 0
    capsys.readouterr()
    assert run(["predict", out, "--text", "i rest.", "--pair", "a cat"]) == 0
    assert capsys.readouterr().out.startswith(("chosen ", "rejected "))
    assert run(["predict", out, "--text", "i rest."]) == 2
    assert "two answers are compared (--pair" in capsys.readouterr().err


def test_an_answer_stands_before_its_source(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"source": one.source, "target": (one.targets or ("",))[0]} for one in PAIRS]
    data = write_rows(tmp_path / "rows.jsonl", rows)
    base, out = str(decoder(tmp_path).path), str(tmp_path / "run")
    learn = ["--model", base, "--valid", data, "--test", data, "--out", out, "--epochs", "2"]
    assert run(["finetune", "translation", data, *learn]) == 0
    found = said(["predict", out, "--text", "a cat"], capsys)["predictions"]
    assert found == [{"source": "a cat", "text": found[0]["text"]}]
    assert run(["predict", out, "--text", "a cat"]) == 0
    assert capsys.readouterr().out == f"{found[0]['text']}\ta cat\n"
