from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from answers_made import PAIRS, PREFERENCES, decoder, encoder_decoder

from yanmo.finetuning.task_model import TaskModel
from yanmo.recipes.finetune import FinetuneSettings, finetune

FLAGS: dict[str, Any] = {"epochs": 30.0, "learning_rate": 3e-2, "batch_size": 6, "dropout": 0.0}


def write_rows(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows), encoding="utf-8")
    return path


def pairs(path: Path) -> Path:
    return write_rows(path, [{"source": one.source, "target": (one.targets or ("",))[0]} for one in PAIRS])


@pytest.mark.parametrize("make", [decoder, encoder_decoder])
def test_a_translator_is_learned_kept_and_asked_again(make: Any, tmp_path: Path) -> None:
    data = pairs(tmp_path / "rows.jsonl")
    model = make(tmp_path).path
    flags = FLAGS | {"epochs": 60.0}
    settings = FinetuneSettings(task="translation", model=model, valid=data, test=data, **flags)
    result = finetune(data, tmp_path / "run", settings=settings)
    assert result["metrics"]["chrf"]["value"] > 95 and result["baseline"]["metrics"]["chrf"]["value"] < 40
    loaded = TaskModel.load(tmp_path / "run" / "model")
    said = loaded.predict([(one.source,) for one in PAIRS])
    assert [row["text"] for row in said] == [(one.targets or ("",))[0] for one in PAIRS]


def test_a_conversation_is_learned_with_its_template(tmp_path: Path) -> None:
    rows = [
        {"messages": [{"role": role, "content": text} for role, text in turns]}
        for turns in (
            [("user", "hello!"), ("assistant", "i rest.")],
            [("user", "你好！"), ("assistant", "我在休息。"), ("user", "a"), ("assistant", "cat")],
        )
    ]
    data = write_rows(tmp_path / "rows.jsonl", rows)
    settings = FinetuneSettings(
        task="chat", model=decoder(tmp_path).path, valid=data, test=data, **(FLAGS | {"epochs": 80.0})
    )
    result = finetune(data, tmp_path / "run", settings=settings)
    assert result["metrics"]["bits_per_byte"]["value"] < 0.5
    loaded = TaskModel.load(tmp_path / "run" / "model")
    assert loaded.predict([("你好！",), ("hello!",)]) == [{"text": "我在休息。"}, {"text": "i rest."}]
    # It is a model of conversations now, for whoever opens it.
    assert loaded.tokenizer.chat_tuned


def test_preferences_are_learned_beside_the_longer_answer(tmp_path: Path) -> None:
    rows = [
        {"prompt": one.prompt[0].content, "chosen": one.chosen, "rejected": one.rejected}
        for one in PREFERENCES
    ]
    data = write_rows(tmp_path / "rows.jsonl", rows)
    settings = FinetuneSettings(
        task="preference", model=decoder(tmp_path).path, valid=data, test=data, **FLAGS
    )
    result = finetune(data, tmp_path / "run", settings=settings)
    assert result["valid"]["accuracy"] == 1
    assert {"accuracy"} <= result["baseline"]["metrics"].keys()


def test_a_translator_from_nothing_goes_on_where_it_was(tmp_path: Path) -> None:
    data = pairs(tmp_path / "rows.jsonl")
    settings = FinetuneSettings(
        task="translation",
        model=Path("scratch"),
        valid=data,
        test=data,
        epochs=30.0,
        batch_size=6,
        dropout=0.0,
    )
    result = finetune(data, tmp_path / "run", settings=settings)
    assert result["metrics"]["chrf"]["value"] > 20
    assert result["recipe"]["optimizer"]["muon"] and not (tmp_path / "run" / "model" / "scratch").exists()
    again = TaskModel.load(tmp_path / "run" / "model").predict([(PAIRS[0].source,)])
    assert again[0]["text"]
