"""``yanmo evaluate`` and ``yanmo score`` as a user runs them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from evaluation_made import make_corpus, make_model

from yanmo.cli.main import run


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("evaluate-cli")
    make_model(make_corpus(folder), folder / "model")
    return folder


def yanmo(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from yanmo.cli.main import main; main()", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=120)


def test_evaluate_prints_one_json_object(place: Path) -> None:
    done = yanmo("evaluate", "model", "corpus", "--json", cwd=place)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert {"bits_per_byte", "perplexity", "num_bytes", "interval", "baseline"} <= set(result)
    assert 0 < result["baseline"]["bits_per_byte"] < 8
    assert len(done.stdout.splitlines()) == 1


def test_evaluate_prints_a_table(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["evaluate", str(place / "model"), str(place / "corpus"), "--split", "valid"]) == 0
    text = capsys.readouterr().out
    assert "bits/byte" in text and "Kneser-Ney" in text and "valid split" in text


def test_no_baseline_and_out(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "evaluation.json"
    arguments = ["evaluate", str(place / "model"), str(place / "corpus"), "--no-baseline", "--json"]
    assert run([*arguments, "--out", str(out)]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["baseline"] is None and printed == json.loads(out.read_text())


def test_score_text_and_file(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = "--the cat sees 小河。\n"
    (tmp_path / "t.txt").write_text(text, encoding="utf-8")
    assert run(["score", str(place / "model"), "--text", text, "--json"]) == 0
    by_text = json.loads(capsys.readouterr().out)
    assert run(["score", str(place / "model"), "--file", str(tmp_path / "t.txt"), "--json"]) == 0
    by_file = json.loads(capsys.readouterr().out)
    assert by_text == by_file
    assert set(by_text) == {"loss_nats", "num_tokens", "num_bytes", "bits_per_byte"}
    assert by_text["num_bytes"] == len(text.encode())
    assert run(["score", str(place / "model"), "--text", text]) == 0
    assert "bits_per_byte" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["evaluate", "nowhere"], "nowhere: no such folder, and no such model in the cache"),
        (["evaluate", "MODEL", "nowhere"], "nowhere: no such file or folder"),
        (["evaluate", "MODEL"], "no text to evaluate on"),
        (["evaluate", "MODEL", "CORPUS", "--split", "dev"], "dev"),
        (["score", "MODEL"], "--text or --file"),
        (["score", "MODEL", "--text", ""], "nothing to score"),
        (["score", "MODEL", "--file", "nowhere"], "nowhere: no such file"),
    ],
)
def test_wrong_use_is_one_line_and_exit_code_2(
    arguments: list[str], message: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = {"MODEL": str(place / "model"), "CORPUS": str(place / "corpus")}
    assert run([given.get(argument, argument) for argument in arguments]) == 2
    captured = capsys.readouterr()
    assert message in captured.err and captured.err.count("\n") == 1
    assert captured.out == ""
