"""Long texts become sections, large files are read in slices, and neither changes what the texts are."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from yanmo.corpus import records
from yanmo.corpus.document import Document, Rejected
from yanmo.corpus.files import SourceFile, find_files
from yanmo.corpus.formats import json_stream, plain, sections
from yanmo.corpus.reader import read_documents, read_file, split_large


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits of a few kilobytes in the place of megabytes."""
    monkeypatch.setattr(plain, "SECTION_BYTES", 1000)
    monkeypatch.setattr("yanmo.corpus.reader.SECTION_BYTES", 1000)
    monkeypatch.setattr(sections, "SECTION_CHARS", 1000)


def lines_of(num_lines: int, seed: int = 0) -> str:
    rng = random.Random(seed)
    words = ("word", "文字", "another", "一个句子。", "é")
    return "".join("".join(rng.choices(words, k=rng.randrange(12))) + "\n" for _ in range(num_lines))


def found(path: Path) -> SourceFile:
    (file,) = find_files([path])
    assert isinstance(file, SourceFile)
    return file


def read(file: SourceFile, slice_bytes: int) -> list[tuple[str, str]]:
    items = [
        item
        for part in split_large(file, slice_bytes)
        for item in read_file(part, text_column=None, note=lambda line: None)
    ]
    return [(item.source, item.text) for item in items]


@pytest.mark.parametrize("codec", ["utf-8", "utf-8-sig", "gb18030", "utf-16", "utf-16-be"])
@pytest.mark.parametrize("compress", [lambda data: data, gzip.compress])
@pytest.mark.usefixtures("small")
def test_a_long_text_is_cut_into_sections_at_line_ends(
    tmp_path: Path, codec: str, compress: Callable[[bytes], bytes]
) -> None:
    text = lines_of(800)
    path = tmp_path / ("a.txt" if compress(b"") == b"" else "a.txt.gz")
    path.write_bytes(compress(text.encode(codec)))
    documents = [item for item in read_documents(path) if isinstance(item, Document)]
    assert "".join(document.text for document in documents) == text
    assert [d.source for d in documents] == [f"{path.name}#section={n}" for n in range(1, len(documents) + 1)]
    assert all(document.text.endswith("\n") for document in documents)
    assert all(800 < len(document.text.encode(codec)) < 1300 for document in documents[:-1])


@pytest.mark.usefixtures("small")
def test_a_text_of_up_to_two_sections_stays_whole(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x" * 99 + "\n" + "y" * 1500)
    (document,) = read_documents(tmp_path / "a.txt")
    assert (document.source, len(document.text)) == ("a.txt", 1600)


@pytest.mark.parametrize("codec", ["utf-8", "gb18030", "utf-16-le"])
@pytest.mark.usefixtures("small")
def test_a_line_without_end_is_cut_between_characters(tmp_path: Path, codec: str) -> None:
    text = "start\n" + "一个没有尽头的句子，" * 900 + "\nthe end\n"
    (tmp_path / "a.txt").write_bytes(text.encode(codec))
    documents = list(read_documents(tmp_path / "a.txt"))
    assert "".join(document.text for document in documents) == text
    assert "\ufffd" not in text
    assert max(len(document.text.encode(codec)) for document in documents) <= 2000


@pytest.mark.parametrize("slice_bytes", [1, 999, 1000, 1001, 2500, 7000, 20_000])
@pytest.mark.parametrize("long_line", [False, True])
@pytest.mark.usefixtures("small")
def test_slices_of_a_text_give_the_same_documents(tmp_path: Path, slice_bytes: int, long_line: bool) -> None:
    text = lines_of(300) + "没有换行" * 1500 * long_line + lines_of(500, seed=1)
    (tmp_path / "a.log").write_text(text, encoding="utf-8")
    file = found(tmp_path / "a.log")
    whole = read(file, file.num_bytes - 1)
    assert "".join(part for _, part in whole) == text
    for source, part in whole:
        begin = int(source.removeprefix("a.log#byte="))
        raw = text.encode()[begin : begin + len(part.encode())]
        assert raw.decode() == part
    parts = split_large(file, slice_bytes)
    assert len(parts) == -(-file.num_bytes // (-(-slice_bytes // 1000) * 1000))
    assert read(file, slice_bytes) == whole


@pytest.mark.parametrize("slice_bytes", [1, 10, 100, 333, 5000])
def test_slices_of_json_lines_give_the_same_records(tmp_path: Path, slice_bytes: int) -> None:
    rows = [
        json.dumps({"n": n, "body": f"行 {n} " + "w" * (n % 90)}, ensure_ascii=n % 2 == 0) for n in range(200)
    ]
    rows[50], rows[51] = "{broken", ""
    (tmp_path / "a.jsonl").write_text("\r\n".join(rows), encoding="utf-8")
    file = found(tmp_path / "a.jsonl")
    sources = read(file, slice_bytes)
    assert sources == read(file, file.num_bytes - 1)
    whole = list(read_documents(tmp_path / "a.jsonl"))
    assert [text for _, text in sources] == [item.text for item in whole]
    raw = (tmp_path / "a.jsonl").read_bytes()
    places = [int(source.removeprefix("a.jsonl#byte=")) for source, _ in sources]
    assert all(place == 0 or raw[place - 1 : place] == b"\n" for place in places)
    assert sources[7][0] == f"a.jsonl#byte={raw.index(rows[7].encode())}"


def test_only_files_of_lines_are_cut(tmp_path: Path) -> None:
    prose = lines_of(2000)
    for name, data in {
        "a.txt.gz": gzip.compress(prose.encode()),
        "a.md": prose.encode(),
        "a.csv": prose.encode(),
        "wide.jsonl": '{"text": "x"}\n'.encode("utf-16") * 50,
    }.items():
        (tmp_path / name).write_bytes(data)
        file = found(tmp_path / name)
        assert split_large(file, 100) == [file]


def test_the_first_slice_alone_says_what_was_noted(tmp_path: Path) -> None:
    rows = "".join(
        json.dumps({"n": 1, "正文": f"这是第{n}行的文字"}, ensure_ascii=False) + "\n" for n in range(50)
    )
    (tmp_path / "a.jsonl").write_bytes(rows.encode("gb18030"))
    notes: list[str] = []
    for part in split_large(found(tmp_path / "a.jsonl"), 500):
        list(read_file(part, text_column=None, note=notes.append))
    assert notes == ["a.jsonl: read as gb18030", "a.jsonl: text is the field 正文 of n, 正文"]


@pytest.mark.parametrize(
    ("text", "values", "broken"),
    [
        ('[1, "two", [3], {"four": 4}]', [1, "two", [3], {"four": 4}], False),
        (" [ ] ", [], False),
        ("[12345, -1.5e3, true]", [12345, -1500.0, True], False),
        ('["a", "b', ["a"], True),
        ('["a" "b"]', [], True),
        ("[1, 2", [1], True),
    ],
)
@pytest.mark.parametrize("num_chars", [1, 3, 1000])
def test_items_of_a_list_read_in_chunks_of_any_size(
    text: str, values: list[object], broken: bool, num_chars: int
) -> None:
    rest = iter([text[at : at + num_chars] for at in range(0, len(text), num_chars)])
    stream = json_stream.JsonStream(lambda _: next(rest, ""))
    seen = []
    try:
        for value in stream.items():
            seen.append(value)
        refused = False
    except json_stream.RefusedError as error:
        refused = error.reason.value == "broken JSON"
    assert (seen, refused) == (values, broken)


def test_an_object_too_large_to_be_held_gives_its_longest_list(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "MAX_TEXT_CHARS", 500)
    value = {
        "version": {"a": [1, 2]},
        "few": [{"text": "no"}],
        "data": [{"text": f"第{n}条 words"} for n in range(100)],
        "numbers": list(range(300)),
    }
    (tmp_path / "a.json").write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")
    documents = list(read_documents(tmp_path / "a.json"))
    assert [document.text for document in documents] == [f"第{n}条 words" for n in range(100)]
    assert documents[-1].source == "a.json#item=100"


def test_lines_and_records_that_are_too_large_are_refused_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "MAX_TEXT_CHARS", 100)
    rows = ['{"text": "first"}', json.dumps({"text": "x" * 500}), '{"text": "last"}']
    (tmp_path / "a.jsonl").write_text("\n".join(rows))
    first, refused, last = read_documents(tmp_path / "a.jsonl")
    assert isinstance(refused, Rejected)
    assert (first.text, last.text, last.source) == ("first", "last", "a.jsonl#line=3")
    assert (refused.source, refused.reason.value) == ("a.jsonl#line=2", "too large")


def test_more_containers_than_memory_has_room_for() -> None:
    with pytest.raises(json_stream.RefusedError, match="more than 1000000 lists and objects"):
        json_stream.parse("[" + "[]," * 1_000_001 + "[]]")
