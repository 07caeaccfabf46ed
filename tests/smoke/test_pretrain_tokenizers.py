"""Each kind of tokenizer, trained by its command, carries a model from pretraining to an answer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from pretraining_made import TINY, make_corpus, one_known_machine, pretrained

from yanmo.cli.main import run as run_cli
from yanmo.tokenizers.load import Tokenizer


@pytest.fixture(scope="module", autouse=True)
def machine() -> Iterator[None]:
    with one_known_machine():
        yield


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.mark.parametrize(
    ("kind", "shape", "objective"),
    [
        ("wordpiece", "encoder", "masked"),
        ("unigram", "encoder-decoder", "denoising"),
        ("char", "decoder", "causal"),
    ],
)
def test_a_model_is_trained_on_tokens_of_every_kind(
    kind: str, shape: str, objective: str, corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if kind == "unigram":
        pytest.importorskip("sentencepiece", reason="it learns Unigram vocabularies")
    folder = tmp_path / "tokenizer"
    arguments = ["tokenizer", str(corpus), "--out", str(folder), "--kind", kind, "--objective", objective]
    assert run_cli([*arguments, "--vocab-size", "400", "--json"]) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told["vocab_size"] == Tokenizer.load(folder).vocab_size and told["bytes_per_token"] > 0
    result = pretrained(
        corpus, tmp_path / "run", "--tokenizer", str(folder), "--shape", shape, "--steps", "2", *TINY
    )
    assert result["steps"] == 2
    kept = Tokenizer.load(tmp_path / "run" / "model")
    assert kept.sha256 == Tokenizer.load(folder).sha256
    if shape == "decoder":
        capsys.readouterr()
        prompt = [
            "generate",
            str(tmp_path / "run" / "model"),
            "--prompt",
            "磨",
            "--max-tokens",
            "3",
            "--json",
        ]
        assert run_cli(prompt) == 0
        assert len(json.loads(capsys.readouterr().out.splitlines()[-1])["token_ids"]) <= 3
