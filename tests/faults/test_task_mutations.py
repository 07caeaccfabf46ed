"""Files of every task with random damage: rows are read or told, and nothing else happens."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from malformed_made import (
    ALIKE,
    ANSWERS,
    CHAT,
    CLASSES,
    NAMES,
    PAIRS,
    PREFER,
    RELATIONS,
    SHORTEN,
    TRANSLATE,
    chat,
    conll,
    csv,
    entities,
    jsonl,
    lines,
    prefer,
    questions,
    relations,
    squad,
    table,
    tokens,
)

from yanmo.errors import InputError
from yanmo.tasks.check import check_examples
from yanmo.tasks.read import load_examples

SEEDS = 12
PAIR = {"sentence1": "so it is", "sentence2": "又来了", "label": "yes", "score": 2.5}
WHOLE: dict[str, tuple[str, str, bytes]] = {
    "csv": (CLASSES, "a.csv", csv()),
    "jsonl": (CLASSES, "a.jsonl", jsonl({"text": "so", "label": "bad"})),
    "conll": (NAMES, "a.conll", conll()),
    "tokens": (NAMES, "a.jsonl", tokens()),
    "entities": (NAMES, "a.jsonl", entities()),
    "pairs": (PAIRS, "a.jsonl", lines(PAIR, PAIR)),
    "alike": (ALIKE, "a.jsonl", lines(PAIR, PAIR)),
    "relations": (RELATIONS, "a.jsonl", relations()),
    "semeval": (RELATIONS, "a.txt", b'1\t"The <e1>a</e1> in <e2>b</e2>."\nOther\nComment:\n\n' * 3),
    "objects": (
        RELATIONS,
        "a.json",
        b'[{"text": "Bo ran", "h": {"name": "Bo", "pos": [0, 2]}, "t": "ran", "rel": 1}]',
    ),
    "questions": (ANSWERS, "a.jsonl", questions()),
    "squad": (ANSWERS, "a.json", squad()),
    "table": (TRANSLATE, "a.tsv", table("source\ttarget", "good day\t你好", "good night\t晚安")),
    "summaries": (SHORTEN, "a.jsonl", lines({"document": "很长", "summary": ["短", "更短"]})),
    "messages": (CHAT, "a.jsonl", chat([{"role": "assistant", "content": None, "tool_calls": [{"id": 1}]}])),
    "instances": (
        CHAT,
        "a.jsonl",
        lines({"instruction": "加", "instances": [{"input": "1", "output": "2"}]}),
    ),
    "preferences": (PREFER, "a.jsonl", prefer()),
}
ODD: list[Any] = [
    None,
    "",
    " ",
    0,
    -1,
    10**30,
    1.5,
    float("nan"),
    True,
    [],
    {},
    [None],
    {"a": {}},
    "x" * 3000,
]
ODD += ["\u0000", "\ud800", "\ufffd", [[[]]], [1, 2], {"text": None}, {"start": "x", "end": [], "label": {}}]


def bytes_damaged(data: bytes, draw: random.Random) -> bytes:
    """Bytes cut, doubled, changed or put in."""
    raw = bytearray(data)
    for _ in range(draw.randint(1, 4)):
        place = draw.randrange(len(raw))
        kind = draw.randrange(5)
        if kind == 0:
            raw[place] = draw.randrange(256)
        elif kind == 1:
            del raw[place : place + draw.randint(1, 30)]
        elif kind == 2:
            raw[place:place] = draw.choice(
                [b"\t", b"\n", b'"', b",", b"\x00", b"\xff", b"<e1>", b"[", b"}", b"\r"]
            )
        elif kind == 3:
            raw[place:place] = raw[place : place + 40]
        else:
            raw[place : place + 2] = "é好".encode(
                draw.choice(["utf-8", "gb18030", "latin-1", "utf-16"]), "replace"
            )
        raw = raw or bytearray(b"x")
    return bytes(raw)


def values_changed(data: bytes, draw: random.Random) -> bytes:
    """JSON with one value somewhere replaced by an odd one, or a key taken out; other files by bytes."""
    try:
        rows = [json.loads(line) for line in data.decode().splitlines()]
    except ValueError:
        return bytes_damaged(data, draw)
    holder: Any = rows
    while True:
        keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
        key = draw.choice(keys)
        if isinstance(holder[key], dict | list) and holder[key] and draw.random() < 0.8:
            holder = holder[key]
            continue
        if isinstance(holder, dict) and draw.random() < 0.2:
            del holder[key]
        else:
            holder[key] = draw.choice(ODD)
        return "\n".join(json.dumps(row) for row in rows).encode()


@pytest.mark.parametrize("damage", [bytes_damaged, values_changed])
@pytest.mark.parametrize("name", WHOLE)
def test_damage_is_read_or_told(
    name: str, damage: Callable[[bytes, random.Random], bytes], tmp_path: Path
) -> None:
    task, file, data = WHOLE[name]
    path = tmp_path / file
    for seed in range(SEEDS):
        path.write_bytes(damage(data, random.Random(f"{name} {seed}")))
        try:
            loaded = load_examples(path, task)
        except InputError as error:
            said = [str(error)]
        else:
            report = check_examples({"train": loaded.examples}, broken=loaded.broken)
            said = [*map(str, loaded.broken), *map(str, report.findings)]
        for line in said:
            assert "\n" not in line
            assert line.startswith((file, "error: ", "warning: ", "note: "))
            assert len(line) < 1000


def test_what_is_whole_is_read_whole(tmp_path: Path) -> None:
    for task, file, data in WHOLE.values():
        (tmp_path / file).write_bytes(data)
        assert len(load_examples(tmp_path / file, task).broken) == 0
