"""Damaged files of questions: rows are set aside or the file is refused in one line; nothing else happens."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from suites_made import ARC, ARC_HUB, BLIMP, CEVAL, HELLASWAG, LAMBADA, OWN, OWN_CHINESE, PIQA

from yanmo.errors import InputError
from yanmo.evaluation.suites.read import read_questions
from yanmo.evaluation.suites.registry import SUITES

ROWS = {
    "hellaswag": [HELLASWAG],
    "arc": [ARC, ARC_HUB],
    "piqa": [{**PIQA, "label": 0}],
    "lambada": [LAMBADA],
    "blimp": [BLIMP],
    "ceval": [CEVAL],
    "choices": [OWN, OWN_CHINESE],
}
WRONG = [
    None,
    "",
    " ",
    0,
    -1,
    1e308,
    float("nan"),
    True,
    [],
    [[]],
    {},
    {"text": None},
    "\ud800",
    "x" * 5000,
    "E",
]


def damaged(row: Any, rng: random.Random) -> Any:
    """One part of a row, at any depth, is something else, or gone."""
    if isinstance(row, dict) and row and rng.random() < 0.9:
        key = rng.choice(list(row))
        if rng.random() < 0.2:
            return {name: value for name, value in row.items() if name != key}
        return {**row, key: damaged(row[key], rng)}
    if isinstance(row, list) and row and rng.random() < 0.6:
        place = rng.randrange(len(row))
        return [*row[:place], damaged(row[place], rng), *row[place + 1 :]]
    return rng.choice(WRONG)


@pytest.mark.parametrize("suite", ROWS)
def test_damaged_rows_are_set_aside_or_refused_in_a_line(suite: str, tmp_path: Path) -> None:
    rng = random.Random(suite)
    num_aside = num_refused = 0
    for number in range(60):
        path = tmp_path / f"{number}.jsonl"
        rows = [
            damaged(rng.choice(ROWS[suite]), rng) if rng.random() < 0.7 else ROWS[suite][0] for _ in range(3)
        ]
        content = "".join(json.dumps(row) + "\n" for row in rows).encode()
        if rng.random() < 0.2:
            place = rng.randrange(len(content))
            content = content[:place] + bytes([rng.randrange(256)]) + content[place + 1 :]
        path.write_bytes(content)
        try:
            questions = read_questions(path, SUITES[suite].formats)
        except InputError as error:
            assert "\n" not in str(error) and path.name in str(error)
            num_refused += 1
            continue
        assert len(questions.items) + sum(questions.set_aside.values()) <= 3 + (b"\r" in content)
        assert bool(questions.set_aside) == bool(questions.first_flaw)
        num_aside += bool(questions.set_aside)
        for item in questions.items:
            assert 0 <= item.answer < len(item.choices) and all(item.choices)
            "".join((item.question, *item.choices)).encode()
    assert num_aside or num_refused
