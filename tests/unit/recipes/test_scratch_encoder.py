from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from yanmo.finetuning.task_model import TaskModel
from yanmo.models.checkpoint import Checkpoint
from yanmo.models.heads import HeadKind, Select
from yanmo.models.new_head import open_with_head
from yanmo.planning.candidate import Wishes
from yanmo.recipes import beginning
from yanmo.recipes.finetune import FinetuneSettings, finetune
from yanmo.recipes.scratch_encoder import USUAL_BUDGET_S, make_encoder

GOOD = ["bright", "warm", "lovely", "fine", "好看", "精彩"]
SMALL = Wishes(num_steps=12, num_layers=2, d_model=64, max_seq_len=64, batch_size=16)
BAD = ["dull", "cold", "awful", "poor", "难看", "无聊"]


@pytest.fixture(scope="module")
def reviews(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("reviews") / "reviews.csv"
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["text", "label"])
        for number in range(240):
            for words, label in ((GOOD, "good"), (BAD, "bad")):
                first, second = words[number % 6], words[number // 6 % 6]
                writer.writerow([f"scene {number} was {first} and the end {second}, 第 {number} 幕", label])
    return path


def test_a_task_is_learned_without_a_model(
    reviews: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def briefly(*arguments: Any, **named: Any) -> Path:
        assert named["budget_s"] == USUAL_BUDGET_S
        return make_encoder(*arguments, **{**named, "budget_s": None, "wishes": SMALL})

    monkeypatch.setattr(beginning, "make_encoder", briefly)
    settings = FinetuneSettings(task="text-classification", model=Path("scratch"), epochs=8.0, max_seq_len=48)
    result = finetune(reviews, tmp_path / "run", settings=settings)
    assert result["metrics"]["accuracy"]["value"] > 0.8
    (found,) = TaskModel.load(tmp_path / "run").predict([("the whole was awful and dull",)])
    assert found["label"] == "bad"
    assert (tmp_path / "run" / "scratch" / "run" / "model" / "config.json").is_file()
    # Nothing is made twice.
    assert finetune(reviews, tmp_path / "run", settings=settings) == result


def test_a_corpus_that_is_there_is_read_as_it_is(reviews: Path, tmp_path: Path) -> None:
    texts = reviews.read_text(encoding="utf-8").splitlines()
    made = make_encoder(texts, tmp_path / "first", budget_s=None, wishes=SMALL)
    corpus = tmp_path / "first" / "corpus"
    again = make_encoder([], tmp_path / "second", corpus=corpus, budget_s=None, wishes=SMALL)
    assert made.is_dir() and again.is_dir()
    assert not (tmp_path / "second" / "corpus").exists()
    # Nothing taught the first token what a text is about: all of them are asked.
    config = json.loads((made / "config.json").read_text(encoding="utf-8"))
    network = open_with_head(Checkpoint.open(made), HeadKind.SEQUENCE_CLASSIFICATION, labels=("no", "yes"))
    assert network.config.heads[0].select is Select.MEAN
    tokenizer = Checkpoint.open(made).tokenizer
    assert (config["cls_token_id"], config["sep_token_id"]) == (tokenizer.cls_id, tokenizer.sep_id)
    assert None not in (tokenizer.cls_id, tokenizer.sep_id)
