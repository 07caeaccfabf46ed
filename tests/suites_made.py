"""Small files of questions in the published formats, for the tests of suites; English and Chinese."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

HELLASWAG = {
    "ind": 24,
    "activity_label": "Roof shingle removal",
    "ctx_a": "A man is sitting on a roof.",
    "ctx_b": "he",
    "ctx": "A man is sitting on a roof. he",
    "split": "val",
    "split_type": "indomain",
    "label": 3,
    "endings": [
        "is using wrap to wrap a pair of skis.",
        "is ripping level tiles off. [step] Then he stops.",
        "is holding a rubik's cube.",
        "starts pulling up roofing on a roof.",
    ],
    "source_id": "activitynet~v_-JhWjGDPHMY",
}
ARC = {
    "id": "Mercury_7220990",
    "question": {
        "stem": "Which factor will most likely cause a person to develop a fever?",
        "choices": [
            {"text": "a leg muscle relaxing after exercise", "label": "A"},
            {"text": "a bacterial population in the bloodstream", "label": "B"},
            {"text": "several viral particles on the skin", "label": "C"},
            {"text": "carbohydrates being digested", "label": "D"},
        ],
    },
    "answerKey": "B",
}
ARC_HUB = {
    "id": "MCAS_2000_4_6",
    "question": "Which technology was developed most recently?",
    "choices": {
        "text": ["cellular telephone", "television", "refrigerator", "airplane"],
        "label": list("1234"),
    },
    "answerKey": "1",
}
PIQA = {
    "goal": "How do I ready a guinea pig cage for its new occupants?",
    "sol1": "Provide the cage with paper strips.",
    "sol2": "Provide the cage with strips of ripped jeans.",
}
BLIMP = {
    "sentence_good": "Who should Derek hug after shocking Richard?",
    "sentence_bad": "Who should Derek hug Richard after shocking?",
    "field": "syntax",
    "linguistics_term": "island_effects",
    "UID": "adjunct_island",
    "simple_LM_method": True,
}
LAMBADA = {"text": "He said he would come back to the river.\n\nAnd so she waited by the river"}
CEVAL = {
    "id": "0",
    "question": "下列关于税法基本原则的表述中，不正确的是____。",
    "A": "税收法定原则包括税收要件法定原则和税务合法性原则",
    "B": "税收公平原则源于法律上的平等性原则",
    "C": "税收效率原则包含经济效率和行政效率两个方面",
    "D": "税务机关按法定程序依法征税，可以自由做出减征税款的决定",
    "answer": "D",
}
OWN = {"question": "What does a cat drink?", "choices": ["milk", "stones"], "answer": 0}
OWN_CHINESE = {"question": "猫喝什么？", "choices": ["牛奶", "石头"], "answer": "A"}


def write_jsonl(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    """One object a line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    """A table with a header."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    path.write_text(text.getvalue(), encoding="utf-8")
    return path
