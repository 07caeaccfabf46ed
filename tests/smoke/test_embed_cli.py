"""``yanmo embed`` as a user runs it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from sentence_made import make_encoder, make_side_files

from yanmo.cli.main import run


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = make_encoder(tmp_path_factory.mktemp("embed-cli") / "model")
    return str(make_side_files(folder, pooling={"pooling_mode_mean_tokens": True}, normalize=True))


def test_a_file_becomes_vectors(model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, out = tmp_path / "t.txt", tmp_path / "v.npy"
    file.write_text("the cat is eating\n\n人吃\n", encoding="utf-8")
    arguments = ["embed", model, "--file", str(file), "--out", str(out), "--json"]
    assert run([*arguments, "--dry-run"]) == 0
    assert json.loads(capsys.readouterr().out)["shape"] == [3, 24] and not out.exists()
    assert run(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 and json.loads(lines[0]) == {"shape": [3, 24]}
    vectors = np.load(out)
    assert vectors.dtype == np.float32 and vectors.shape == (3, 24)

    assert run(arguments) == 2
    assert "already exists" in capsys.readouterr().err
    assert run([*arguments, "--force"]) == 0
    capsys.readouterr()

    assert run(["embed", model, "--text", "人吃", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["shape"] == [1, 24]
    np.testing.assert_allclose(result["vector"], vectors[2], atol=1e-6)


def test_a_column_of_a_table(model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, out = tmp_path / "t.csv", tmp_path / "v.npy"
    file.write_text("a,b\nthe cat,the dog\nthe girl,人\n", encoding="utf-8")
    assert run(["embed", model, "--file", str(file), "--column", "b", "--out", str(out)]) == 0
    said = capsys.readouterr()
    assert said.out == f"{out}: 2 x 24\n" and "text is the field b" in said.err
    assert run(["embed", model, "--text", "the dog", "--json"]) == 0
    vector = json.loads(capsys.readouterr().out)["vector"]
    np.testing.assert_allclose(np.load(out)[0], vector, atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "either --text or --file"),
        (["--text", "a", "--file", "t.txt"], "either --text or --file"),
        (["--file", "nowhere.txt", "--out", "v.npy"], "nowhere.txt: cannot be read"),
        (["--file", "FILE"], "--out vectors.npy"),
        (["--text", "a", "--prompt", "query"], "no prompt 'query'"),
    ],
)
def test_wrong_use_is_one_line_and_exit_code_2(
    arguments: list[str], message: str, model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "FILE").write_text("a\n")
    given = [str(tmp_path / "FILE") if word == "FILE" else word for word in arguments]
    assert run(["embed", model, *given]) == 2
    said = capsys.readouterr()
    assert said.out == "" and message in said.err and len(said.err.splitlines()) == 1


def test_a_model_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["embed", "./nowhere", "--text", "a"]) == 2
    assert "nowhere: no such folder, and no such model in the cache" in capsys.readouterr().err
