"""Every kind of file becomes the right documents; what cannot be read is refused with its reason."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import zipfile
from pathlib import Path

import duckdb
import pytest
import zstandard

from yanmo.corpus.document import Document, Rejected
from yanmo.corpus.reader import READERS, read_documents

CHINESE = "开卷第一回，作者自云：曾历过一番梦幻之后，故将真事隐去，而借通灵说此石头记一书也。"


def read(path: Path, **options: str) -> tuple[list[Document], list[Rejected]]:
    items = list(read_documents(path, **options))  # type: ignore[arg-type]
    return [i for i in items if isinstance(i, Document)], [i for i in items if isinstance(i, Rejected)]


def write(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize("name", ["a.txt", "notes.py", "server.log", "paper.tex", "Makefile"])
def test_text_of_any_suffix_is_one_document(tmp_path: Path, name: str) -> None:
    write(tmp_path, name, "first line\nsecond line\n")
    (document,), rejected = read(tmp_path)
    assert (document.text, document.source, rejected) == ("first line\nsecond line\n", name, [])


def test_ids_depend_on_source_and_text_only(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        write(tmp_path, f"{folder}/a.txt", "same")
    first, second = (read(tmp_path / folder)[0][0] for folder in ("one", "two"))
    assert first.id == second.id
    write(tmp_path, "two/b.txt", "same")
    assert len({document.id for document in read(tmp_path / "two")[0]}) == 2


def test_files_come_in_a_fixed_order_with_labels(tmp_path: Path) -> None:
    for name in ("b/2.txt", "a/1.txt", "b/10.txt", "c.txt"):
        write(tmp_path, name, name)
    assert [d.source for d in read(tmp_path)[0]] == ["a/1.txt", "b/10.txt", "b/2.txt", "c.txt"]


@pytest.mark.parametrize(
    ("suffix", "compress"),
    [
        (".gz", gzip.compress),
        (".bz2", bz2.compress),
        (".xz", lzma.compress),
        (".zst", lambda data: zstandard.ZstdCompressor().compress(data)),
    ],
)
def test_compressed_files_are_read_by_the_suffix_below(tmp_path: Path, suffix: str, compress) -> None:  # type: ignore[no-untyped-def]
    write(tmp_path, f"a.csv{suffix}", compress(b"text,label\nhello there,1\n"))
    (document,), _ = read(tmp_path)
    assert document.text == "hello there"
    assert document.meta == {"label": "1"}


def test_zstandard_frames_one_after_another(tmp_path: Path) -> None:
    frames = [zstandard.ZstdCompressor().compress(part) for part in (b"first ", b"x" * 300_000, b" last")]
    write(tmp_path, "a.txt.zst", b"".join(frames))
    (document,), _ = read(tmp_path)
    assert document.text == "first " + "x" * 300_000 + " last"


def test_zip_members_are_read_in_memory(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("one.txt", "the first")
        archive.writestr("deep/rows.jsonl.gz", gzip.compress(b'{"text": "a row"}\n'))
        archive.writestr("../../escaped.txt", "still only text")
        archive.writestr("__MACOSX/._one.txt", "junk")
        archive.writestr("inner.zip", b"PK\x03\x04")
    documents, rejected = read(tmp_path)
    texts = {document.source: document.text for document in documents}
    assert texts["a.zip/one.txt"] == "the first"
    assert texts["a.zip/deep/rows.jsonl.gz#line=1"] == "a row"
    assert "still only text" in texts.values()
    assert not (tmp_path.parent.parent / "escaped.txt").exists()
    assert sorted(r.reason.value for r in rejected) == ["archive inside an archive", "hidden"]


def test_zip_names_in_gbk(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        info = zipfile.ZipInfo("placeholder")
        # cp437 is what a reader sees of GBK bytes that carry no UTF-8 flag.
        info.filename = "红楼梦.txt".encode("gbk").decode("cp437")
        archive.writestr(info, "text")
    data = (tmp_path / "a.zip").read_bytes()
    raw = "红楼梦.txt".encode("gbk")
    seen = raw.decode("cp437").encode("utf-8")
    patched = data.replace(seen, raw + b"x" * (len(seen) - len(raw)))
    assert patched != data
    # Clear the UTF-8 flag in the local header and in the directory.
    flags = bytearray(patched)
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        position = bytes(flags).index(mark) + offset
        flags[position + 1] &= ~0x08
    (tmp_path / "a.zip").write_bytes(bytes(flags))
    (document,), _ = read(tmp_path)
    assert document.source.startswith("a.zip/红楼梦.txt")


def test_markdown_keeps_code_and_drops_front_matter(tmp_path: Path) -> None:
    write(tmp_path, "a.md", "---\ntitle: T\ntags:\n  - x\n---\n# Head\n\n```py\nx = 1\n```\n\n---\n\nEnd\n")
    (document,), _ = read(tmp_path)
    assert document.text == "# Head\n\n```py\nx = 1\n```\n\n---\n\nEnd\n"
    write(tmp_path, "a.md", "---\nA line that is a rule above.\n")
    assert read(tmp_path)[0][0].text.startswith("---")


def test_html_gives_what_a_reader_reads(tmp_path: Path) -> None:
    page = """<!doctype html><html><head><title>The  title</title><style>p{}</style></head><body>
    <nav>Home | About</nav><header>Menu</header><script>alert(1)</script>
    <article><header><h1>Head&shy;line</h1></header><p>One &amp; <b>two</b>&nbsp;three.</p><p>四五<br>六</p>
    <pre>a\n    b</pre><ul><li>x</li><li>y</li></ul><div hidden>secret</div></article>
    <footer>Imprint</footer></body></html>"""
    write(tmp_path, "a.html", page)
    (document,), _ = read(tmp_path)
    assert document.meta["title"] == "The title"
    for gone in ("Home", "Menu", "alert", "Imprint", "secret", "p{}", "&amp;"):
        assert gone not in document.text
    assert "One & two\xa0three.\n" in document.text
    assert "四五\n六" in document.text
    assert "a\n    b" in document.text
    assert [line for line in document.text.splitlines() if line in ("x", "y")] == ["x", "y"]


def test_html_in_its_declared_encoding(tmp_path: Path) -> None:
    page = f'<html><head><meta charset="big5"></head><body><p>{"這是一個網頁的內容" * 5}</p></body></html>'
    write(tmp_path, "a.html", page.encode("big5"))
    (document,), _ = read(tmp_path)
    assert document.text == "這是一個網頁的內容" * 5
    assert document.meta["encoding"] == "big5"


def test_csv_guesses_the_column_and_keeps_the_rest_as_meta(tmp_path: Path) -> None:
    write(tmp_path, "a.csv", 'id,label,review\n7,pos,"Good, ""very"" good\nindeed"\n8,neg,Bad\n')
    notes: list[str] = []
    first, second = read_documents(tmp_path, note=notes.append)
    assert isinstance(first, Document)
    assert isinstance(second, Document)
    assert (first.text, first.source) == ('Good, "very" good\nindeed', "a.csv#row=2")
    assert first.meta == {"id": "7", "label": "pos"}
    assert second.source == "a.csv#row=3"
    assert notes == ["a.csv: text is the field review of id, label, review"]


def test_csv_column_by_wish_or_by_length(tmp_path: Path) -> None:
    write(tmp_path, "a.csv", "short,long\na,this one is longer\nb,and so is this\n")
    assert [d.text for d in read(tmp_path)[0]] == ["this one is longer", "and so is this"]
    assert [d.text for d in read(tmp_path, text_column="short")[0]] == ["a", "b"]
    documents, (refused,) = read(tmp_path, text_column="absent")
    assert (documents, refused.reason.value) == ([], "no text field")
    assert "absent" in refused.detail
    assert "short, long" in refused.detail


@pytest.mark.parametrize(
    ("name", "content", "texts"),
    [
        ("semicolon.csv", "text;label\na, b;1\nc;2\n", ["a, b", "c"]),
        ("no_header.tsv", '0\tthe film was dull .\n1\tthe film was "fine" .\n', None),
        ("quotes.tsv", 'text\tn\n"Yes" he said\t1\nit is 5" long\t2\n', ['"Yes" he said', 'it is 5" long']),
        ("one_column.csv", "text\nfirst\nsecond\n", ["first", "second"]),
        ("blank_lines.csv", "\n\nid,text\n1,first\n\n2,second\n", ["first", "second"]),
        ("twice.csv", "text,text\nfirst,1\nsecond,2\n", ["first", "second"]),
        ("mac.csv", "id,text\r1,first\r2,second\r", ["first", "second"]),
        ("nul.csv", "id,text\n1,fir\0st\n", ["fir\0st"]),
        ("bom.csv", "\ufefftext,n\nfirst,1\n", ["first"]),
        ("中文.csv", "编号,正文\n1,第一段文字\n2,第二段文字\n", ["第一段文字", "第二段文字"]),
    ],
)
def test_dialects(tmp_path: Path, name: str, content: str, texts: list[str] | None) -> None:
    write(tmp_path, name, content)
    expected = texts or ["the film was dull .", 'the film was "fine" .']
    documents, rejected = read(tmp_path)
    assert ([d.text for d in documents], rejected) == (expected, [])


def test_ragged_rows_are_refused_alone(tmp_path: Path) -> None:
    write(tmp_path, "a.csv", "id,text\n1,good\n2,too,many\n3\n4,also good\n")
    documents, rejected = read(tmp_path)
    assert [d.text for d in documents] == ["good", "also good"]
    assert [(r.source, r.reason.value, r.text.strip()) for r in rejected] == [
        ("a.csv#row=3", "ragged row", "2,too,many"),
        ("a.csv#row=4", "ragged row", "3"),
    ]


def test_an_unclosed_quotation_mark_costs_one_row(tmp_path: Path) -> None:
    rows = [f"{n},row number {n}" for n in range(1000)]
    rows[500] = '500,"never closed'
    write(tmp_path, "a.csv", "id,text\n" + "\n".join(rows) + "\n")
    documents, rejected = read(tmp_path)
    assert len(documents) == 999
    assert [r.text.strip() for r in rejected] == ['500,"never closed']


def test_jsonl_broken_lines_are_refused_alone(tmp_path: Path) -> None:
    lines = [
        '{"text": "one"}',
        '{"text": "cut off',
        "",
        '"a bare string"',
        "[1, 2",
        '{"text": null}',
        '{"text": "二"}',
    ]
    write(tmp_path, "a.jsonl", "\n".join(lines) + "\n")
    documents, rejected = read(tmp_path)
    assert [(d.source, d.text) for d in documents] == [
        ("a.jsonl#line=1", "one"),
        ("a.jsonl#line=4", "a bare string"),
        ("a.jsonl#line=7", "二"),
    ]
    assert [(r.source, r.reason.value) for r in rejected] == [
        ("a.jsonl#line=2", "broken JSON"),
        ("a.jsonl#line=5", "broken JSON"),
        ("a.jsonl#line=6", "no text field"),
    ]


def test_conversations_and_instructions_become_texts(tmp_path: Path) -> None:
    openai = {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]}
    sharegpt = {"conversations": [{"from": "human", "value": "你好"}, {"from": "gpt", "value": "您好"}]}
    alpaca = {"instruction": "Add", "input": "", "output": "2"}
    for name, record in (("a", openai), ("b", sharegpt), ("c", alpaca)):
        write(tmp_path, f"{name}.jsonl", json.dumps(record) + "\n")
    assert [d.text for d in read(tmp_path)[0]] == [
        "user: Hi\nassistant: Hello",
        "user: 你好\nassistant: 您好",
        "Add\n2",
    ]


@pytest.mark.parametrize(
    ("content", "texts"),
    [
        ('[{"text": "a"}, {"text": "b"}]', ["a", "b"]),
        ('["a", "b"]', ["a", "b"]),
        ('{"content": "a"}', ["a"]),
        ('{"version": 1, "data": [{"text": "a"}, {"text": "b"}]}', ["a", "b"]),
        ('{"text": "a"}\n{"text": "b"}\n', ["a", "b"]),
        ('[{"text": "a"}, {"text": "b"', ["a"]),
    ],
)
def test_json_shapes(tmp_path: Path, content: str, texts: list[str]) -> None:
    write(tmp_path, "a.json", content)
    assert [d.text for d in read(tmp_path)[0]] == texts


def test_json_of_settings_is_no_text(tmp_path: Path) -> None:
    write(tmp_path, "a.json", '{"port": 8000, "host": "localhost"}')
    documents, (refused,) = read(tmp_path)
    assert (documents, refused.reason.value) == ([], "no text field")


@pytest.mark.parametrize("folder", ["plain", "with [brackets]*"])
def test_parquet_rows(tmp_path: Path, folder: str) -> None:
    made = tmp_path / "made.parquet"
    query = "SELECT * FROM (VALUES (1, 'first'), (2, NULL), (3, '第三')) AS t(n, content)"
    duckdb.sql(f"COPY ({query}) TO '{made}' (FORMAT parquet)")
    write(tmp_path, f"{folder}/a.parquet", made.read_bytes())
    write(tmp_path, f"{folder}/b.parquet.gz", gzip.compress(made.read_bytes()))
    documents, rejected = read(tmp_path / folder)
    assert [d.text for d in documents] == ["first", "第三"] * 2
    assert documents[0].meta == {"n": "1"}
    assert [r.source for r in rejected] == ["a.parquet#row=2", "b.parquet.gz#row=2"]


def test_every_suffix_has_a_test_here() -> None:
    files = (Path(__file__), Path(__file__).with_name("test_corpus_formats.py"))
    source = "".join(file.read_text(encoding="utf-8") for file in files)
    aliases = {".text", ".markdown", ".htm", ".xhtml", ".ndjson"}
    assert [suffix for suffix in READERS.keys() - aliases if suffix not in source] == []
