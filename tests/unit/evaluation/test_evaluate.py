"""What text is evaluated, which baseline stands beside it, and what is written."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from evaluation_made import made_documents, make_model

import yanmo
from yanmo.corpus.build import CorpusSettings, build_corpus
from yanmo.corpus.store import Corpus
from yanmo.errors import InputError
from yanmo.evaluation.evaluate import Evaluation, evaluate, given_text, score
from yanmo.models.registry import load


@pytest.fixture(scope="module")
def evaluation(made_run: Path, made_corpus: Path) -> Evaluation:
    return evaluate(made_run / "model", made_corpus)


def test_the_test_split_is_scored(evaluation: Evaluation, made_corpus: Path) -> None:
    corpus = Corpus.open(made_corpus)
    texts = list(corpus.texts("test"))
    result = evaluation.to_json()
    assert result["split"] == "test"
    assert result["num_documents"] == len(texts)
    assert result["num_bytes"] == sum(len(text.encode()) for text in texts) == corpus.num_bytes("test")
    assert result["interval"][0] <= result["bits_per_byte"] <= result["interval"][1]
    assert result["bits_per_byte"] == pytest.approx(
        result["loss_nats"] / math.log(2) / result["num_bytes"], rel=1e-9
    )
    json.dumps(result, allow_nan=False)


def test_the_baseline_is_scored_on_the_same_text(evaluation: Evaluation) -> None:
    result = evaluation.to_json()
    baseline = result["baseline"]
    assert set(baseline) >= {"name", "order", "bits_per_byte", "perplexity", "interval", "num_bytes"}
    assert baseline["num_bytes"] == result["num_bytes"]
    # Fewer bits is a lower perplexity, per token of the same tokenizer.
    assert (baseline["bits_per_byte"] < result["bits_per_byte"]) == (
        baseline["perplexity"] < result["perplexity"]
    )


def test_a_run_knows_its_corpus(made_run: Path, evaluation: Evaluation) -> None:
    again = evaluate(made_run)
    assert again.score == evaluation.score and again.baseline == evaluation.baseline


def test_a_moved_run_finds_the_corpus_beside_it(made_run: Path, made_corpus: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    (run / "model").mkdir(parents=True)
    for file in (made_run / "model").iterdir():
        (run / "model" / file.name).write_bytes(file.read_bytes())
    (run / "run.toml").write_text('corpus = "gone/elsewhere"\n')
    with pytest.raises(InputError, match="no text to evaluate on"):
        evaluate(run, baseline=False)
    (run / "run.toml").write_text("seed = 3\n")
    with pytest.raises(InputError, match="no text to evaluate on"):
        evaluate(run, baseline=False)
    (run / "run.toml").write_text('corpus = "gone/elsewhere"\n')
    (run / "corpus").symlink_to(made_corpus)
    assert evaluate(run, baseline=False).score.num_documents > 0


def test_other_splits(made_run: Path, made_corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    valid = evaluate(made_run, made_corpus, split="valid", baseline=False)
    assert valid.score.num_bytes == Corpus.open(made_corpus).num_bytes("valid")
    assert valid.baseline is None
    train = evaluate(made_run, made_corpus, split="train")
    assert train.baseline is None and "text it was trained on" in capsys.readouterr().err
    with pytest.raises(InputError, match="split"):
        evaluate(made_run, made_corpus, split="dev")


def test_a_plain_file_takes_the_baseline_of_the_run(
    made_run: Path, made_corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "new.txt"
    file.write_text("\n".join(made_documents(5, seed=9)), encoding="utf-8")
    result = evaluate(made_run, file)
    assert result.split is None and result.score.num_bytes == file.stat().st_size
    assert result.baseline is not None
    lone = make_model(made_corpus, tmp_path / "lone")
    assert evaluate(lone, file).baseline is None
    assert "no corpus to train it on is known" in capsys.readouterr().err
    assert evaluate(lone, file, baseline_corpus=made_corpus).baseline == result.baseline
    with pytest.raises(InputError, match="not a corpus"):
        evaluate(lone, file, baseline_corpus=tmp_path)


def test_a_corpus_without_test_split_gives_its_valid_split(
    made_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.txt").write_text("\n\n".join(made_documents(40)), encoding="utf-8")
    settings = CorpusSettings(test_fraction=0.0, valid_fraction=0.2)
    build_corpus(tmp_path / "a.txt", tmp_path / "corpus", settings=settings)
    result = evaluate(made_run, tmp_path / "corpus")
    assert result.split == "valid" and result.baseline is not None
    assert "has no test split" in capsys.readouterr().err
    assert result.score.num_bytes == Corpus.open(tmp_path / "corpus").num_bytes("valid")


def test_the_result_is_written_where_asked(made_run: Path, made_corpus: Path, tmp_path: Path) -> None:
    before = sorted(made_run.rglob("*"))
    result = evaluate(load(made_run), made_corpus, baseline=False, out=tmp_path / "evaluation.json")
    assert json.loads((tmp_path / "evaluation.json").read_text()) == result.to_json()
    assert sorted(made_run.rglob("*")) == before


def test_the_table_names_everything(evaluation: Evaluation) -> None:
    assert evaluation.baseline is not None
    lines = evaluation.to_text().splitlines()
    assert lines[1].startswith("mine ") and f"{evaluation.score.bits_per_byte:.4f}" in lines[1]
    assert evaluation.baseline["name"] in lines[2]
    assert f"{evaluation.baseline['bits_per_byte']:.4f}" in lines[2]
    assert "test split" in lines[3] and f"{evaluation.score.num_bytes:,} bytes" in lines[3]


def test_score_by_hand(made_run: Path) -> None:
    loaded = load(made_run)
    text = "the cat sees 小河。"
    ids = loaded.tokenizer.encode(text)
    expected = 0.0
    for position in range(1, len(ids)):
        session = loaded.model.start()
        scores = session.extend(torch.tensor([ids[:position]]))
        expected -= float(torch.log_softmax(scores, -1)[0, ids[position]])
    found = yanmo.score(made_run, text)
    assert found["loss_nats"] == pytest.approx(expected, rel=1e-4)
    assert found["num_tokens"] == len(ids) - 1
    assert found["num_bytes"] == len(text.encode())
    assert found["bits_per_byte"] == pytest.approx(expected / math.log(2) / found["num_bytes"], rel=1e-4)


def test_score_of_several_texts_adds_up(made_run: Path) -> None:
    loaded = load(made_run)
    texts = ["an old dog hears the river. ", "", "绿色的鸟"]
    together = score(loaded, texts)
    apart = [score(loaded, text) for text in texts if text]
    for name in ("loss_nats", "num_tokens", "num_bytes"):
        assert together[name] == pytest.approx(sum(one[name] for one in apart))


@pytest.mark.parametrize("text", ["", "a"])
def test_nothing_to_score(text: str, made_run: Path) -> None:
    with pytest.raises(InputError, match="nothing to score"):
        score(made_run, text)


def test_given_text(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_bytes("line\r\n　天".encode())
    assert given_text(None, file) == "line\r\n　天"
    assert given_text("x", None) == "x"
    file.write_bytes(b"ab\xff")
    for text, path, message in (
        (None, None, "either"),
        ("x", file, "either"),
        (None, file, "not UTF-8 at byte 2"),
        (None, tmp_path, "is a folder"),
        (None, tmp_path / "none", "no such file"),
    ):
        with pytest.raises(InputError, match=message):
            given_text(text, path)


def test_a_longer_memory_is_better(made_corpus: Path, tmp_path: Path) -> None:
    scores = [
        evaluate(make_model(made_corpus, tmp_path / str(order), order=order), made_corpus, baseline=False)
        for order in (2, 4)
    ]
    assert np.all(np.diff([result.score.bits_per_byte for result in scores]) < -0.05)
