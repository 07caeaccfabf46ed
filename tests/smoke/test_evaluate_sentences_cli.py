"""``yanmo evaluate`` and ``predict`` of a sentence model that nobody fine-tuned here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from sentence_made import make_encoder, make_side_files

from yanmo.cli.main import run

PAIRS = [
    ("the cat is eating", "a cat is eating", 4.5),
    ("a girl", "the dog is eating food", 0.5),
    ("一个人吃", "一个人", 3.5),
    ("the man", "a cat", 1.0),
]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = make_encoder(tmp_path_factory.mktemp("sentences-cli") / "model")
    return str(make_side_files(folder, pooling={"pooling_mode_mean_tokens": True}, normalize=True))


def rows(path: Path, *, scored: bool) -> str:
    lines = [{"sentence1": a, "sentence2": b, **({"score": c} if scored else {})} for a, b, c in PAIRS]
    path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")
    return str(path)


def said(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    assert run([*arguments, "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


@pytest.mark.parametrize(("scored", "names"), [(True, ["spearman", "pearson"]), (False, ["recall@1", "mrr"])])
def test_it_is_judged_as_it_is_beside_words_in_common(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], scored: bool, names: list[str]
) -> None:
    told = said(["evaluate", model, rows(tmp_path / "pairs.jsonl", scored=scored)], capsys)
    assert told["task"] == "sentence-similarity" and told["num_examples"] == 4
    for judged in (told, *told["baselines"]):
        for name in names:
            low, high = judged["metrics"][name]["interval"]
            assert low <= judged["metrics"][name]["value"] <= high
    assert {other["name"] for other in told["baselines"]} == {"TF-IDF cosine", "BM25"}


def test_it_says_how_alike_two_texts_are(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    alike = said(["predict", model, "--text", "a cat", "--pair", "a cat"], capsys)["predictions"]
    assert alike[0]["score"] == pytest.approx(1.0, abs=1e-5)
    file = rows(tmp_path / "pairs.jsonl", scored=False)
    assert len(said(["predict", model, "--file", file], capsys)["predictions"]) == len(PAIRS)


def test_a_bare_encoder_is_judged_where_the_task_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bare, file = str(make_encoder(tmp_path / "bare")), rows(tmp_path / "pairs.jsonl", scored=True)
    told = said(["evaluate", bare, file, "--task", "sentence-similarity"], capsys)
    assert "spearman" in told["metrics"]
    assert run(["evaluate", bare, file, "--task", "text-classification"]) == 2
    assert "has no head that answers a task" in capsys.readouterr().err
