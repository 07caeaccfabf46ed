"""The recipes of the repository: each is a command that works, and reads what it names."""

from __future__ import annotations

import inspect
import os
from pathlib import Path
from typing import Any

import pytest

from yanmo.cli.finetune import columns_of, finetune
from yanmo.config import read_toml
from yanmo.recipes.finetune_settings import FinetuneSettings
from yanmo.tasks.read import load_examples

RECIPES = Path(__file__).parents[3] / "recipes"
NAMES = [
    "sentiment-en",
    "sentiment-zh",
    "topic-en",
    "topic-zh",
    "names-en",
    "names-zh",
    "relations-en",
    "matching-en",
    "matching-zh",
    "answers-en",
    "answers-zh",
    "translation-de-en",
    "translation-zh-en",
    "summary-en",
    "summary-zh",
    "chat-en",
    "chat-zh",
    "customer-service",
    "contract-clauses",
]
MOST_BROKEN = 0.005


def table_of(name: str) -> dict[str, Any]:
    (table,) = read_toml(RECIPES / f"{name}.toml").values()
    return dict(table)


def settings_of(table: dict[str, Any]) -> FinetuneSettings:
    said = {name: value for name, value in table.items() if name != "data"}
    said |= {"columns": columns_of(said.get("columns")), "model": Path(said.get("model", "MODEL"))}
    return FinetuneSettings(**said)


def sources_of(table: dict[str, Any]) -> list[str]:
    return [table["data"]] if isinstance(table["data"], str) else table["data"]


def test_there_is_a_recipe_for_each_use() -> None:
    assert {path.stem for path in RECIPES.glob("*.toml")} == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_names_a_task_and_options_that_there_are(name: str) -> None:
    assert list(read_toml(RECIPES / f"{name}.toml")) == ["finetune"]
    table = table_of(name)
    assert table.keys() <= inspect.signature(finetune).parameters.keys()
    assert settings_of(table).task == table["task"]
    # A user's file replaces --data alone: rows that are given apart would stay the recipe's.
    assert not {"valid", "test", "corpus", "out"} & table.keys()
    assert all(source.startswith("$YANMO_DATA/") for source in sources_of(table))


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_says_what_it_is_for_in_both_languages(name: str) -> None:
    text = (RECIPES / f"{name}.toml").read_text(encoding="utf-8")
    comment = [line for line in text.splitlines() if line.startswith("#")]
    chinese = [line for line in comment if any("\u4e00" <= char <= "\u9fff" for char in line)]
    assert len(chinese) >= 2 and len(comment) - len(chinese) >= 2
    assert "--data" in "".join(chinese) and "--data" in "".join(set(comment) - set(chinese))


@pytest.mark.skipif("YANMO_DATA" not in os.environ, reason="YANMO_DATA does not say where data sets are")
@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_reads_its_rows(name: str) -> None:
    table = table_of(name)
    settings = settings_of(table)
    sources = [Path(os.path.expandvars(source)) for source in sources_of(table)]
    loaded = load_examples(sources, settings.task, settings.reading)
    assert len(loaded.examples) >= 300
    assert len(loaded.broken) <= MOST_BROKEN * len(loaded.examples), [str(row) for row in loaded.broken][:5]
