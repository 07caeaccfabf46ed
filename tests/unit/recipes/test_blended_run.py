"""A fine-tuned model in which words speak beside the network, from the rows to other folders."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
from sentence_made import make_encoder

from yanmo.artifact import read_json
from yanmo.compression.quantization import quantize_model
from yanmo.errors import InputError
from yanmo.finetuning.task_model import TaskModel
from yanmo.models.convert import convert
from yanmo.recipes.finetune import FinetuneSettings, finetune

# Words that the tiny vocabulary of the encoder does not hold: to the network they are all alike.
WORDS = {"good": ("splendid", "lovely", "charming"), "bad": ("dreadful", "boring", "awful")}


def write_rows(path: Path, *more: tuple[str, str]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["sentence", "label"])
        for number in range(80):
            for label, words in WORDS.items():
                writer.writerows([f"the dog {number} is {word}", label] for word in words)
        writer.writerows(more)
    return path


def learn(folder: Path, model: Path, *more: tuple[str, str], **changes: Any) -> dict[str, Any]:
    made = FinetuneSettings(
        task="text-classification", model=model, epochs=1.0, batch_size=32, dropout=0.0, **changes
    )
    valid = write_rows(folder / "valid.csv", *more)
    return finetune([write_rows(folder / "train.csv"), valid], folder / "run", settings=made, force=True)


def test_words_that_a_network_cannot_read_are_heard(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    encoder = make_encoder(tmp_path / "encoder")
    assert learn(tmp_path, encoder, blend=False)["metrics"]["accuracy"]["value"] < 0.7
    assert not (tmp_path / "run" / "model" / "linear_terms").exists()
    capsys.readouterr()
    result = learn(tmp_path, encoder)
    assert result["metrics"]["accuracy"]["value"] > 0.95
    assert result["alone"]["metrics"]["accuracy"]["value"] < 0.7
    told = capsys.readouterr().err
    assert "words speak beside the network" in told and "the network alone" in told
    assert "the network alone" in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")


def test_they_go_where_the_model_goes_and_end_where_another_begins(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    encoder = make_encoder(tmp_path / "encoder")
    learn(tmp_path, encoder)
    model = tmp_path / "run" / "model"
    asked = [("a lovely cat",), ("an awful cat",)]
    expected = TaskModel.load(model).predict(asked)
    assert [row["label"] for row in expected] == ["good", "bad"]
    convert(model, tmp_path / "converted", to="hf")
    quantize_model(model, tmp_path / "quantized", to="int8")
    capsys.readouterr()
    convert(model, tmp_path / "model.onnx", to="onnx")
    assert "the words that speak beside it are left out" in capsys.readouterr().err
    for other in ("converted", "quantized"):
        found = TaskModel.load(tmp_path / other).predict(asked)
        assert [row["label"] for row in found] == ["good", "bad"]
    second = tmp_path / "second"
    second.mkdir()
    learn(second, model, blend=False)
    config = read_json(second / "run" / "model" / "config.json")
    assert "finetuning_blend_weight" not in config and not (second / "run/model/linear_terms").exists()
    (model / "linear_terms" / "words" / "terms.json").unlink()
    with pytest.raises(InputError):
        TaskModel.load(model)


def test_classes_that_count_otherwise_are_left_to_the_network(tmp_path: Path) -> None:
    learn(tmp_path, make_encoder(tmp_path / "encoder"), class_weights="balanced")
    assert not (tmp_path / "run" / "model" / "linear_terms").exists()


def test_copies_of_training_rows_do_not_choose_the_step(tmp_path: Path) -> None:
    fresh = [(f"the cat {number} is here", "good") for number in range(7)]
    result = learn(tmp_path, make_encoder(tmp_path / "encoder"), *fresh, blend=False)
    # Of seven rows, not of these and 480 copies.
    right = 7 * result["valid"]["accuracy"]
    assert right == pytest.approx(round(right), abs=1e-9)
    assert result["num_examples"] == 487


def test_rows_that_were_learned_from_do_not_say_how_much_words_count(tmp_path: Path) -> None:
    # 480 copies that words know by heart, and 120 rows on which they know nothing.
    fresh = [
        (f"the cat {number} is {words[number % 3]}", label)
        for number in range(30)
        for words in WORDS.values()
        for label in WORDS
    ]
    learn(tmp_path, make_encoder(tmp_path / "encoder"), *fresh)
    assert not (tmp_path / "run" / "model" / "linear_terms").exists()
