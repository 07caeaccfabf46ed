from __future__ import annotations

import csv
import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from sentence_made import make_encoder

from yanmo.errors import InputError, Interrupted
from yanmo.evaluation.tasks import evaluate_task_file
from yanmo.finetuning.freezing import FreezingConfig
from yanmo.finetuning.lora import LoraConfig
from yanmo.finetuning.peft_files import read_adapters
from yanmo.finetuning.task_model import TaskModel
from yanmo.finetuning.text_labels import Number
from yanmo.models.checkpoint import Checkpoint
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
        shares = (theirs(ids).logits / theirs.config.finetuning_temperature).softmax(-1)[0].tolist()
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


def test_the_best_step_of_numbers_is_that_of_least_error_whatever_correlates(
    encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = write_rows(tmp_path / "rows.csv", ("12.5", "40.25"))
    as_numbers = settings(encoder, epochs=3.0, label_kind="number")
    told = iter([(0.5, 3.0), (0.6, 1.0), (0.9, 2.0), (0.95, 4.0), *[(0.99, 9.0)] * 99])
    validation = Number.validation

    def drifting(skill: Number, *given: Any) -> Any:
        validate = validation(skill, *given)

        def told_otherwise(model: Any) -> dict[str, float]:
            spearman, rmse = next(told)
            return {**validate(model), "spearman": spearman, "rmse": rmse}

        return told_otherwise

    monkeypatch.setattr(Number, "validation", drifting)
    result = finetune(data, tmp_path / "run", settings=as_numbers)
    assert (result["valid"]["spearman"], result["valid"]["rmse"]) == (0.6, 1.0)


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
    guess, linear = found.baselines
    assert guess.name == "always cat" and linear.name in ("TF-IDF and a linear SVM", "TF-IDF and NB-SVM")
    assert guess.metrics["accuracy"]["value"] == 0.5
    assert linear.metrics["accuracy"]["value"] > 0.8
    assert found.lead is not None and found.lead.first == linear.metrics["f1_macro"]["value"]
    rows = other.read_text(encoding="utf-8").replace("the dog is eating man,dog", "the dog is eating man,cat")
    other.write_text(rows, encoding="utf-8")
    alone = evaluate_task_file(tmp_path / "run", other)
    assert alone.lead is None and alone.mistakes == (("cat", "dog", alone.mistakes[0][2]),)
    assert alone.wrong[0]["place"].startswith("other.csv line ")


def test_rows_given_apart_choose_and_judge(
    encoder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, valid, test = (
        write_rows(tmp_path / f"{name}.csv", ("cat", "dog"), repeats=repeats)
        for name, repeats in (("rows", 4), ("chosen", 2), ("judged", 3))
    )
    result = finetune(data, tmp_path / "run", settings=settings(encoder, epochs=1.0, valid=valid, test=test))
    assert result["num_train_examples"] == 32 and result["num_examples"] == 24 and result["split"] == "test"
    assert "rows: 32 train, 16 valid, 24 test (valid and test given apart)" in capsys.readouterr().err


def test_a_budget_ends_a_long_run_early_and_leaves_a_short_one_as_it_is(
    encoder: Path, tmp_path: Path
) -> None:
    data = write_rows(tmp_path / "rows.csv", ("cat", "dog"))
    short = finetune(data, tmp_path / "short", settings=settings(encoder, epochs=2.0, budget_s=600.0))
    assert short["steps"] == 20 and short["wall_s"] < 300
    long = finetune(data, tmp_path / "long", settings=settings(encoder, epochs=50_000.0, budget_s=4.0))
    assert 0 < long["steps"] < 5_000


@pytest.mark.parametrize("dora", [False, True])
def test_adapters_are_written_beside_a_whole_model(encoder: Path, tmp_path: Path, dora: bool) -> None:
    data = write_rows(tmp_path / "rows.csv", ("cat", "dog"))
    made = settings(encoder, lora=LoraConfig(rank=4, alpha=8.0, dora=dora))
    result = finetune(data, tmp_path / "run", settings=made)
    assert result["metrics"]["accuracy"]["value"] > 0.7
    model = TaskModel.load(tmp_path / "run")
    network = model.skill.network(Checkpoint.open(encoder))
    read_adapters(tmp_path / "run" / "adapters", network, model_type="bert")
    other = TaskModel(network.eval(), model.tokenizer, model.skill, name="base", task=model.task)
    asked = [(text,) for text in (*TEXTS, *OTHERS)]
    for one, two in zip(model.predict(asked), other.predict(asked), strict=True):
        assert one["probabilities"] == pytest.approx(two["probabilities"], abs=1e-5)


@pytest.mark.parametrize(
    "changes",
    [
        {"freezing": FreezingConfig(last_blocks=0)},
        {"freezing": FreezingConfig(last_blocks=1, gradual_until=0.5, layer_decay=0.9)},
        {"adversarial": "fgm"},
        {"adversarial": "freelb"},
        {"r_drop": 1.0, "dropout": 0.1},
    ],
)
def test_other_ways_to_learn(encoder: Path, tmp_path: Path, changes: dict[str, Any]) -> None:
    data = write_rows(tmp_path / "rows.csv", ("cat", "dog"), repeats=4)
    result = finetune(data, tmp_path / "run", settings=settings(encoder, epochs=3.0, **changes))
    assert result["steps"] == 12
    with pytest.raises(InputError, match="holds a run with other settings"):
        finetune(data, tmp_path / "run", settings=settings(encoder, epochs=3.0))


def test_names_and_answers_are_learned_from_files(encoder: Path, tmp_path: Path) -> None:
    names = tmp_path / "names.conll"
    lines = [f"the O\n{word} B-{kind}\nis O\n" for word, kind in (("girl", "PER"), ("food", "THING"))]
    names.write_text("\n".join(lines * 20), encoding="utf-8")
    # Copies stay together: of two sentences none would be left to judge.
    made = settings(encoder, task="token-classification", epochs=20.0, valid=names, test=names)
    assert finetune(names, tmp_path / "names", settings=made)["metrics"]["f1"]["value"] > 0.9
    (found,) = TaskModel.load(tmp_path / "names").predict([("the girl is",)])
    assert [(name["text"], name["label"]) for name in found["entities"]] == [("girl", "PER")]
    rows = [
        {"question": f"who is {verb}", "context": f"the {who} is {verb}", "answer": who}
        for who in ("girl", "man", "cat", "dog", "baby")
        for verb in ("eating", "food", "the", "a girl")
    ]
    asked = tmp_path / "asked.jsonl"
    asked.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    made = settings(encoder, task="question-answering", epochs=40.0, max_seq_len=20, valid=asked, test=asked)
    result = finetune(asked, tmp_path / "asked", settings=made)
    assert result["metrics"]["f1"]["value"] > 0.5
