"""What malformed task files are made of: good rows, before which or behind which something is wrong."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any, NamedTuple

from yanmo.tasks.base import ReadSettings

CLASSES = "text-classification"
NAMES = "token-classification"
PAIRS = "pair-classification"
ALIKE = "sentence-similarity"
RELATIONS = "relation-extraction"
ANSWERS = "question-answering"
TRANSLATE = "translation"
SHORTEN = "summarization"
CHAT = "chat"
PREFER = "preference"

ENGLISH = [
    "the film is a quiet delight from its first scene",
    "a dull evening that never finds its feet",
    "warm, funny and very well acted by all",
    "nobody on the screen seems to want to be there",
    "it left me smiling all the way home",
    "two hours of my life that I will not get back",
]
CHINESE = [
    "房间干净，服务员也很热情",
    "早餐太差，隔音几乎没有",
    "位置方便，下次还会再来",
    "等了一个小时才办好入住",
    "书的印刷很好，内容也扎实",
    "电池用了两天就坏了，很失望",
]
SIDES = ["good", "bad"] * 3


class Case(NamedTuple):
    """A file with a fault, and what has to be said of it."""

    name: str
    task: str
    files: dict[str, bytes]
    where: str
    says: str
    remedy: str
    num_good: int | None = None
    settings: ReadSettings = ReadSettings()


def csv(*rows: str, header: str = "text,label", chinese: bool = False) -> bytes:
    """Six good rows below a header (rows 2 to 7), then others."""
    texts = CHINESE if chinese else [f'"{text}"' for text in ENGLISH]
    good = [f"{text},{side}" for text, side in zip(texts, SIDES, strict=True)]
    return "\n".join([header, *good, *rows]).encode() + b"\n"


def jsonl(*rows: Any, good: int = 6) -> bytes:
    """Good rows (lines 1 to 6), then others; a text is written as it is."""
    first = [{"text": text, "label": side} for text, side in zip(CHINESE, SIDES, strict=True)][:good]
    lines = [row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) for row in [*first, *rows]]
    return "\n".join(lines).encode() + b"\n"


def lines(*rows: Any) -> bytes:
    """JSON lines."""
    return jsonl(*rows, good=0)


def conll(*sentences: str) -> bytes:
    """Three good sentences (lines 1 to 4, 6 to 9, 11 to 12), then others from line 14 on."""
    good = [
        "Anna B-PER\nlives O\nin O\nRome B-LOC",
        "张 B-PER\n伟 I-PER\n来 O\n了 O",
        "New B-LOC\nYork I-LOC",
    ]
    return "\n\n".join([*good, *sentences]).encode() + b"\n"


def tokens(*rows: Any) -> bytes:
    """Good rows of tokens and tags (lines 1 and 2), then others."""
    good = [
        {"tokens": ["Anna", "sings"], "tags": ["B-PER", "O"]},
        {"tokens": ["在", "北", "京"], "tags": ["O", "B-LOC", "I-LOC"]},
    ]
    return lines(*good, *rows)


def entities(*rows: Any) -> bytes:
    """Good rows of texts with entities (lines 1 and 2), then others."""
    good = [
        {"text": "Anna sings in Rome", "entities": [{"start": 0, "end": 4, "label": "PER", "text": "Anna"}]},
        {"text": "张伟住在北京", "entities": [[0, 2, "PER"], [4, 6, "LOC"]]},
    ]
    return lines(*good, *rows)


def relations(*rows: Any) -> bytes:
    """Two good rows (lines 1 and 2), then others."""
    good = [
        {"text": "The <e1>cup</e1> holds <e2>tea</e2>.", "relation": "Content-Container(e2,e1)"},
        {"text": "<e1>张伟</e1>生于<e2>北京</e2>。", "relation": "出生地"},
    ]
    return lines(*good, *rows)


def questions(*rows: Any) -> bytes:
    """Two good rows (lines 1 and 2), then others."""
    good = [
        {
            "context": "Rome is in Italy.",
            "question": "Where is Rome?",
            "answers": {"text": ["Italy"], "answer_start": [11]},
        },
        {"context": "长江在中国。", "question": "长江在哪里？", "answers": [{"text": "中国", "start": 3}]},
    ]
    return lines(*good, *rows)


def squad(*paragraphs: Any) -> bytes:
    """An article with a good paragraph, then others."""
    good = {
        "context": "Rome is in Italy.",
        "qas": [{"id": "a", "question": "Where?", "answers": [{"text": "Italy", "answer_start": 11}]}],
    }
    article = {"title": "Rome", "paragraphs": [good, *paragraphs]}
    return json.dumps({"version": "1.1", "data": [article]}).encode()


def chat(*rows: Any) -> bytes:
    """Two good rows (lines 1 and 2), then others."""
    good = [
        [said("user", "Hi"), said("assistant", "Hello")],
        [said("user", "你好"), said("assistant", "您好")],
    ]
    return lines(*({"messages": messages} for messages in [*good, *rows]))


def said(role: str, content: Any) -> dict[str, Any]:
    """A message."""
    return {"role": role, "content": content}


def prefer(*rows: Any) -> bytes:
    """A good row, then others."""
    return lines({"prompt": "天空是什么颜色？", "chosen": "蓝色。", "rejected": "绿色。"}, *rows)


def table(header: str, *rows: str) -> bytes:
    """A table as it is."""
    return "\n".join([header, *rows]).encode() + b"\n"


def archive(name: str, data: bytes) -> bytes:
    """A zip file with one member."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as file:
        file.writestr(name, data)
    return stream.getvalue()


LONG = "a sentence that goes on for quite a while without coming to its end"
MANY = "\n".join(f"text number {i} is not like the others,label{i}" for i in range(3000))
