"""Encodings are told apart, and binary data is not taken for text."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from yanmo.corpus.document import Document, Rejected
from yanmo.corpus.reader import read_documents

CHINESE = (
    "这是一个关于石头的故事，说的是从前有一座山，山上有一个庙，庙里有个老和尚在给小和尚讲他们的故事。" * 3
)
FRENCH = "L’été dernier, à la façade d’un café, j’ai goûté une crème brûlée très légère. " * 3
MIXED = "Plain words, then — “quoted” 中文 and émigré.\n" * 20


def one(folder: Path, data: bytes, name: str = "a.txt") -> tuple[Document | Rejected, list[str]]:
    (folder / name).write_bytes(data)
    notes: list[str] = []
    (item,) = read_documents(folder / name, note=notes.append)
    return item, notes


@pytest.mark.parametrize(
    ("text", "codec"),
    [
        (MIXED, "utf-8"),
        (MIXED, "utf-8-sig"),
        (MIXED, "utf-16"),
        (MIXED, "utf-32"),
        ("Plain English only, no mark at all.\n" * 5, "utf-16-le"),
        ("Plain English only, no mark at all.\n" * 5, "utf-16-be"),
        (CHINESE, "gb18030"),
        (CHINESE, "gbk"),
        ("标题：" + CHINESE, "gb2312"),
        (FRENCH, "cp1252"),
        (FRENCH.replace("’", "'"), "latin-1"),
        ("\ufeff" + MIXED, "utf-16-le"),
        ("\ufeff" + MIXED, "utf-16-be"),
    ],
)
def test_the_text_comes_back(tmp_path: Path, text: str, codec: str) -> None:
    item, notes = one(tmp_path, text.encode(codec))
    assert isinstance(item, Document), item
    assert item.text == text.removeprefix("\ufeff")
    assert bool(notes) == (not codec.startswith("utf-8"))


def test_gbk_found_late_in_a_large_csv(tmp_path: Path) -> None:
    rows = "id,text\n" + "".join(f"{n},plain row\n" for n in range(120_000)) + f"9,{CHINESE}\n"
    (tmp_path / "a.csv").write_bytes(rows.encode("gbk"))
    *_, last = read_documents(tmp_path / "a.csv")
    assert isinstance(last, Document)
    assert last.text == CHINESE


@pytest.mark.parametrize("bad", [b"\xff", b"\xfe\xfe", b"\xe4\xb8"])
@pytest.mark.parametrize("text", [CHINESE, "Only plain words here. " * 20])
def test_a_few_bad_bytes_are_replaced_and_noted(tmp_path: Path, text: str, bad: bytes) -> None:
    raw = text.encode()
    item, notes = one(tmp_path, raw[:60] + bad + raw[60:])
    assert isinstance(item, Document), item
    assert item.text.replace("\ufffd", "") == text
    assert item.meta["encoding"] == "utf-8, invalid bytes replaced"
    assert "became U+FFFD" in notes[0]


@pytest.mark.parametrize(
    "data",
    [
        random.Random(0).randbytes(5000),
        b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 10,
        b"\x7fELF" + b"\0" * 500,
        bytes(500),
        b"\xa7\r\r\n\0\0\0\0" + b"strings inside a compiled program \xff\xff" * 50,
    ],
)
def test_binary_is_refused_whatever_its_name(tmp_path: Path, data: bytes) -> None:
    item, _ = one(tmp_path, data)
    assert isinstance(item, Rejected)
    assert item.reason.value == "binary"


def test_a_stray_nul_does_not_make_a_text_binary(tmp_path: Path) -> None:
    item, _ = one(tmp_path, ("words\0 and more words " * 20).encode())
    assert isinstance(item, Document)
