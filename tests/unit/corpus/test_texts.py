"""Files of short texts: every line, or every record, and none left out."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from yanmo.corpus.texts import given_texts, read_texts
from yanmo.errors import InputError


@pytest.mark.parametrize(
    ("content", "texts"),
    [
        (b"", []),
        (b"a\n", ["a"]),
        (b"a", ["a"]),
        (b"a\n\n b \n\n", ["a", "", " b ", ""]),
        (b"\xef\xbb\xbfa\r\nb\r\n", ["a", "b"]),
        ("一\u2028二\x0b三\x85四\n五".encode(), ["一\u2028二\x0b三\x85四", "五"]),
    ],
)
def test_lines(content: bytes, texts: list[str], tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_bytes(content)
    assert read_texts(tmp_path / "t.txt") == texts


def test_tables(tmp_path: Path) -> None:
    records = [{"id": 1, "text": "the first"}, {"id": 2, "text": "第二"}, {"id": 3, "text": "the first"}]
    expected = ["the first", "第二", "the first"]
    with gzip.open(tmp_path / "t.jsonl.gz", "wt", encoding="utf-8") as file:
        file.writelines(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
    assert read_texts(tmp_path / "t.jsonl.gz") == expected
    rows = ["a,b", *(f"{record['text']},x" for record in records)]
    (tmp_path / "t.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    said: list[str] = []
    assert read_texts(tmp_path / "t.csv", text_column="a", note=said.append) == expected
    assert len(said) == 1 and "field a" in said[0]


def test_a_broken_record_is_named(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text('{"text": "fine"}\n{"text": \n{"text": "fine"}\n')
    with pytest.raises(InputError, match=r"t.jsonl#line=2.*broken JSON"):
        read_texts(tmp_path / "t.jsonl")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("gone.txt", None, "gone.txt: cannot be read"),
        ("t.txt", b"fine\n\xff\n", "not UTF-8 at byte 5"),
        ("gone.csv", None, "gone.csv: no such file"),
        ("empty.csv", b"", "empty.csv: empty"),
    ],
)
def test_files_that_cannot_be_read(name: str, content: bytes | None, message: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_texts(tmp_path / name)


def test_a_text_or_a_file(tmp_path: Path) -> None:
    (tmp_path / "t").write_text("a\nb")
    assert given_texts("a\nb", None, text_column=None, note=print) == ["a\nb"]
    assert given_texts(None, tmp_path / "t", text_column=None, note=print) == ["a", "b"]
    for text, file in ((None, None), ("a", tmp_path / "t")):
        with pytest.raises(InputError, match="either --text or --file"):
            given_texts(text, file, text_column=None, note=print)
