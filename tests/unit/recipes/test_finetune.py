from __future__ import annotations

import csv
import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from sentence_made import make_encoder

from yanmo.errors import InputError, Interrupted
from yanmo.evaluation.tasks import evaluate_task_file
from yanmo.finetuning.task_model import TaskModel
from yanmo.recipes.finetune import FinetuneSettings, finetune
from yanmo.training.trainer import Trainer

TEXTS = ["the cat is eating", "a cat", "一个吃", "cat food is eating a girl"]
OTHERS = ["the dog is eating", "a dog", "一个人", "dog food is eating a girl"]


@pytest.fixture
def encoder(tmp_path: Path) -> Path:
    return make_encoder(tmp_path / "encoder")


def write_rows(path: Path, labels: tuple[str, str], *, repeats: int = 12) -> Path:
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["sentence", "label"])
        for number in range(repeats):
            words = ["man", "food", "girl", "is", "the", "a"][: 1 + number % 6]
            for texts, label in ((TEXTS, labels[0]), (OTHERS, labels[1])):
                writer.writerows([f"{text} {' '.join(words)}", label] for text in texts)
    return path


def settings(encoder: Path, **changes: Any) -> FinetuneSettings:
    made = FinetuneSettings(
        task="text-classification",
        model=encoder,
        epochs=12.0,
        learning_rate=3e-3,
        batch_size=8,
        dropout=0.0,
    )
    return dataclasses.replace(made, **changes)


def test_it_learns_and_answers_as_transformers_does(encoder: Path, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    data = write_rows(tmp_path / "rows.csv", ("cat", "dog"))
    result = finetune(data, tmp_path / "run", settings=settings(encoder))
    assert result["metrics"]["accuracy"]["value"] > 0.9
    low, high = result["metrics"]["accuracy"]["interval"]
    assert low <= result["metrics"]["accuracy"]["value"] <= high
    model = TaskModel.load(tmp_path / "run" / "model")
    found = model.predict([("a cat man",), ("一个人 man food",)])
    assert [row["label"] for row in found] == ["cat", "dog"]
    theirs = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "run" / "model")
    ids = torch.tensor([model.tokenizer.encode_with_specials("a cat man").ids])
    with torch.no_grad():
        shares = theirs(ids).logits.softmax(-1)[0].tolist()
    expected = {theirs.config.id2label[i]: share for i, share in enumerate(shares)}
    assert found[0]["probabilities"] == pytest.approx(expected, abs=1e-5)


def test_numbers_are_answered_in_their_own_unit(encoder: Path, tmp_path: Path) -> None:
    data = write_rows(tmp_path / "rows.csv", ("12.5", "40.25"))
    rows = data.read_text(encoding="utf-8").splitlines()
    varied = [rows[0], *(f"{row}{place % 10}" for place, row in enumerate(rows[1:]))]
    data.write_text("\n".join(varied), encoding="utf-8")
    finetune(data, tmp_path / "run", settings=settings(encoder))
    cat, dog = (row["score"] for row in TaskModel.load(tmp_path / "run").predict([("a cat",), ("a dog",)]))
    assert cat == pytest.approx(12.5, abs=6) and dog == pytest.approx(40.25, abs=6)


def test_a_stopped_run_goes_on_to_the_same_weights(
    encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = write_rows(tmp_path / "rows.csv", ("cat", "dog"), repeats=4)
    made = settings(encoder, epochs=3.0, dropout=0.1, checkpoint_every_s=0.001)
    finetune(data, tmp_path / "whole", settings=made)
    advance = Trainer._advance

    def stopping(trainer: Trainer[object]) -> None:
        advance(trainer)
        if trainer.state.step == 5:
            raise Interrupted("stopped", exit_code=143)

    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "_advance", stopping)
        with pytest.raises(Interrupted):
            finetune(data, tmp_path / "stopped", settings=made)
    finetune(data, tmp_path / "stopped", settings=made)
    whole, stopped = (
        load_file(tmp_path / name / "model" / "model.safetensors") for name in ("whole", "stopped")
    )
    assert whole.keys() == stopped.keys()
    assert all(torch.equal(whole[name], stopped[name]) for name in whole)


def test_a_finished_run_is_left_as_it_is(
    encoder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_rows(tmp_path / "rows.csv", ("cat", "dog"), repeats=4)
    made = settings(encoder, epochs=1.0)
    first = finetune(data, tmp_path / "run", settings=made)
    assert finetune(data, tmp_path / "run", settings=made) == first
    assert "already finished" in capsys.readouterr().err
    with pytest.raises(InputError, match="holds a run with other settings: epochs"):
        finetune(data, tmp_path / "run", settings=settings(encoder, epochs=2.0))


def test_wrong_settings_are_refused(encoder: Path) -> None:
    with pytest.raises(InputError, match="cannot be fine-tuned for 'dancing'"):
        FinetuneSettings(task="dancing", model=encoder)
    with pytest.raises(InputError, match="--epochs must be above 0"):
        settings(encoder, epochs=0.0)


def test_evaluation_puts_a_cheap_model_beside_it(encoder: Path, tmp_path: Path) -> None:
    data = write_rows(tmp_path / "rows.csv", ("cat", "dog"))
    finetune(data, tmp_path / "run", settings=settings(encoder))
    other = write_rows(tmp_path / "other.csv", ("cat", "dog"), repeats=2)
    found = evaluate_task_file(tmp_path / "run", other, train=data)
    accuracy = found.model.metrics["accuracy"]
    assert accuracy["value"] == 1 and found.num_examples == 16
    assert [baseline.name for baseline in found.baselines] == ["always cat", "TF-IDF and logistic regression"]
    guess, linear = found.baselines
    assert guess.metrics["accuracy"]["value"] == 0.5
    assert linear.metrics["accuracy"]["value"] > 0.8
    assert found.lead is not None and found.lead.first == linear.metrics["f1_macro"]["value"]
    rows = other.read_text(encoding="utf-8").replace("the dog is eating man,dog", "the dog is eating man,cat")
    other.write_text(rows, encoding="utf-8")
    alone = evaluate_task_file(tmp_path / "run", other)
    assert alone.lead is None and alone.mistakes == (("cat", "dog", alone.mistakes[0][2]),)
    assert alone.wrong[0]["place"].startswith("other.csv line ")
