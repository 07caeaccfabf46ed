"""Hostile and broken documents of many kinds; ``hostile_makers`` says what a maker is."""

from __future__ import annotations

import io
import json
import random
import zlib
from functools import lru_cache

from benchmarks import office_files as make
from benchmarks.hostile_parts import Made, ascii_only, office_file, prose, size_of

_DOCUMENTS = (
    "txt md html csv tsv json jsonl parquet arrow sqlite docx pptx xlsx odt ods odp epub rtf pdf eml mbox"
)
_OTHERS = "ipynb zip tar gz bz2 xz zst tgz py bin doc xls"
_SUFFIXES = (*_DOCUMENTS.split(), *_OTHERS.split())
_LAUGHS = (
    '<?xml version="1.0"?><!DOCTYPE z [<!ENTITY a "ha ha ha ha ha ">'
    + "".join(f'<!ENTITY {chr(98 + n)} "{f"&{chr(97 + n)};" * 10}">' for n in range(9))
    + "]>"
)


def lone_surrogates(rng: random.Random, scale: float) -> Made:
    text = "".join(rng.choice(("words ", "\ud83d", "\udc00", "中文")) for _ in range(500))
    codec = rng.choice(("utf-8", "utf-16-le", "utf-16", "utf-32"))
    suffix = rng.choice(("txt", "json", "csv", "html", "md"))
    if rng.random() < 0.3:
        return "a.jsonl", b'{"text": "\\ud83d alone \\udc00", "\\udfff": 1}\n' * 20
    return f"a.{suffix}", text.encode(codec, "surrogatepass")


def nuls(rng: random.Random, scale: float) -> Made:
    suffix = rng.choice(_SUFFIXES)
    text = "\n".join(prose(rng)).encode()
    pieces = (
        bytes(size_of(rng, scale, 20 << 20)),
        text.replace(b" ", b"\0"),
        text + bytes(100),
        b"\0" + text,
    )
    return f"a.{suffix}", rng.choice(pieces)


def gigantic_line(rng: random.Random, scale: float) -> Made:
    size = size_of(rng, scale, 100 << 20)
    suffix = rng.choice(
        ("txt", "md", "csv", "tsv", "json", "jsonl", "html", "mbox", "eml", "rtf", "ipynb", "log")
    )
    unit = rng.choice(("a", "word ", "中", '"', "é", ","))
    body = (unit * (size // len(unit.encode()))).encode()
    heads = {
        "json": b'["',
        "jsonl": b'{"text": "',
        "html": b"<p>",
        "rtf": b"{\\rtf1 ",
        "ipynb": b'{"cells": ["',
    }
    return f"a.{suffix}", heads.get(suffix, b"") + body


def wrong_suffix(rng: random.Random, scale: float) -> Made:
    _, data = office_file(rng)
    picture = b"\x89PNG\r\n\x1a\n" + rng.randbytes(3000)
    program = b"\x7fELF" + rng.randbytes(3000)
    old = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + rng.randbytes(3000)
    return f"a.{rng.choice(_SUFFIXES)}", rng.choice((data, data, picture, program, old))


def empty(rng: random.Random, scale: float) -> Made:
    return f"a.{rng.choice(_SUFFIXES)}", rng.choice((b"", b"", b"\n", b" ", b"\xef\xbb\xbf", b"\xff\xfe"))


def random_bytes(rng: random.Random, scale: float) -> Made:
    return f"a.{rng.choice(_SUFFIXES)}", rng.randbytes(rng.choice((1, 10, 1000, 100_000)))


def random_bytes_after_a_mark(rng: random.Random, scale: float) -> Made:
    marks = (
        b"%PDF-1.7\n",
        b"PK\x03\x04",
        b"PK\x05\x06",
        b"SQLite format 3\0",
        b"PAR1",
        b"ARROW1\0\0",
        b"\xff\xff\xff\xff\x78\0\0\0",
        b"{\\rtf1",
        b"\x1f\x8b\x08",
        b"BZh9",
        b"\xfd7zXZ\0",
        b"\x28\xb5\x2f\xfd",
        b"\xff\xfe",
        b"\xff\xfe\0\0",
    )
    mark = rng.choice(marks)
    return f"a.{rng.choice(_SUFFIXES)}", mark + rng.randbytes(rng.choice((10, 1000, 50_000))) + mark[:4]


def xml_bomb(rng: random.Random, scale: float) -> Made:
    laughs = rng.choice((_LAUGHS, '<!DOCTYPE z [<!ENTITY j SYSTEM "file:///etc/passwd">]>'))
    if rng.random() < 0.3:
        laughs = f'<!DOCTYPE z [<!ENTITY j "{"x" * 50_000}">]>'
    body = "&j;" * rng.choice((1, 2000))
    parts = {
        "docx": {"word/document.xml": f"{laughs}<d><p><t>{body}</t></p></d>"},
        "odt": {
            "mimetype": "application/vnd.oasis.opendocument.text",
            "content.xml": f"{laughs}<d><p>{body}</p></d>",
        },
        "xlsx": {
            "xl/workbook.xml": "<w/>",
            "xl/sharedStrings.xml": f"{laughs}<sst><si><t>{body}</t></si></sst>",
        },
        "epub": {"META-INF/container.xml": f"{laughs}<c>{body}</c>"},
    }
    kind = rng.choice([*parts, "html", "xhtml"])
    if kind in parts:
        return f"a.{kind}", make.packed(parts[kind])  # type: ignore[arg-type]
    return f"a.{kind}", f"{laughs}<html><body><p>words {body}</p></body></html>".encode()


def deep_nesting(rng: random.Random, scale: float) -> Made:
    depth = size_of(rng, scale, 1_000_000)
    kind = rng.choice(("json", "jsonl", "html", "docx", "rtf", "eml", "ipynb", "pdf"))
    if kind == "docx":
        inner = "<a>" * depth + "</a>" * depth
        return "a.docx", make.packed({"word/document.xml": f"<d>{inner}</d>"})
    if kind == "eml":
        parts = min(depth, 20_000)
        opened = "".join(f"Content-Type: multipart/mixed; boundary={n}\n\n--{n}\n" for n in range(parts))
        return "a.eml", f"Subject: x\n{opened}\n\nwords".encode()
    units = {"html": "<div>", "rtf": "{\\b ", "pdf": "["}
    heads = {"rtf": "{\\rtf1", "pdf": "%PDF-1.7\n1 0 obj", "html": "<body>words"}
    unit = units.get(kind, rng.choice(("[", '{"a":')))
    return f"a.{kind}", (heads.get(kind, "") + unit * depth).encode()


def hostile_page(rng: random.Random, scale: float) -> Made:
    count = size_of(rng, scale, 3_000_000)
    pages = (
        "<b>" * count,
        "<p>x</p>" * count,
        "<nav>a</nav>b" * (count // 2),
        "<a " + " ".join(f"k{n}=1" for n in range(count // 10)) + ">x</a>",
        "<table>" * (count // 50) + "x",
        "<!--" * count,
        "&amp" * count,
        "<div class='" + "nav-" * count + "'>x</div>",
        "<p style='" + "display " * count + "'>x",
        "<" * count,
    )
    return "a.html", b"<html><body>" + rng.choice(pages).encode()


def hostile_pdf(rng: random.Random, scale: float) -> Made:
    data = make.pdf(ascii_only(prose(rng, 30)))
    kind = rng.randrange(5)
    if kind == 0:
        return "a.pdf", data.replace(b"/Count 3", b"/Count 99999999")
    if kind == 1:
        return "a.pdf", data.replace(b"/Kids[4 0 R", b"/Kids[2 0 R")
    if kind == 2:
        body = zlib.compress(b"(words) Tj " * int(20_000_000 * max(0.001, scale)), 1)
        head = f"<</Length {len(body)}/Filter/FlateDecode>>stream\n".encode()
        return "a.pdf", data.replace(
            b"5 0 obj\n<</Length", b"5 0 obj\n" + head + body + b"\nendstream\n%<<", 1
        )
    if kind == 3:
        return "a.pdf", data.replace(b"/Info", b"/Encrypt<</Filter/Standard/V 2/R 3/O(x)/U(y)/P -4>>/Info")
    return "a.pdf", data[: data.rindex(b"xref")] + rng.randbytes(500)


def hostile_table(rng: random.Random, scale: float) -> Made:
    count = size_of(rng, scale, 4_000_000)
    tables = (
        "text\n" + '"' + "a\n" * count,
        "," * count + "\n" + "," * count,
        "text,b\n" + "x\n" * (count // 4),
        "text\n" + '"""' * count,
        "a,b\n" + 'x,"y\n' * (count // 20),
        "\r" * count,
        "text,n\n" + "x" * count + ",1\n",
    )
    return rng.choice(("a.csv", "a.tsv")), rng.choice(tables).encode()


def hostile_json(rng: random.Random, scale: float) -> Made:
    count = size_of(rng, scale, 8_000_000)
    texts = (
        "[" + "[]," * count + "[]]",
        "[" + "{}," * count + "{}]",
        '{"a": [' + "[1,1]," * (count // 2) + "[]]}",
        "1" * count,
        "[1e" + "9" * count + "]",
        '{"text": "' + "\\u0041" * count + '"}',
        "[" + '"a",' * count,
        '{"a":1,' * (count // 8) + "}",
        '{"text": "x", ' + ",".join(f'"k{n}": 1' for n in range(count // 20)) + "}",
    )
    return rng.choice(("a.json", "a.jsonl", "a.ipynb")), rng.choice(texts).encode()


def hostile_database(rng: random.Random, scale: float) -> Made:
    rows = [("t", line) for line in prose(rng, 3000)]
    raw = bytearray(make.sqlite(rows))
    for _ in range(rng.choice((1, 20, 200))):
        raw[rng.randrange(100, len(raw))] = rng.randrange(256)
    return "a.sqlite", bytes(raw)


def hostile_rows(rng: random.Random, scale: float) -> Made:
    """Parquet and Arrow files of which some bytes were changed."""
    name, data = rng.choice(_rows_files())
    raw = bytearray(data)
    for _ in range(rng.choice((1, 5, 50))):
        raw[rng.randrange(4, len(raw))] = rng.randrange(256)
    return name, bytes(raw[: rng.choice((len(raw), rng.randrange(8, len(raw))))])


@lru_cache(maxsize=1)
def _rows_files() -> list[Made]:
    import tempfile
    from pathlib import Path

    import duckdb
    import nanoarrow
    from nanoarrow import ipc

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.parquet"
        query = "SELECT 'some words 一些文字 ' || range AS text, range AS n FROM range(2000)"
        duckdb.sql(f"COPY ({query}) TO '{path}' (FORMAT parquet)")
        parquet = path.read_bytes()
    texts = nanoarrow.c_array([f"words {n} 文字" for n in range(2000)], nanoarrow.string())
    schema = nanoarrow.struct({"text": nanoarrow.string()})
    buffer = io.BytesIO()
    with ipc.StreamWriter.from_writable(buffer) as writer:
        writer.write_array(nanoarrow.c_array_from_buffers(schema, 2000, [None], children=[texts]))
    return [("a.parquet", parquet), ("a.arrow", buffer.getvalue())]


def hostile_mail(rng: random.Random, scale: float) -> Made:
    count = size_of(rng, scale, 1_000_000)
    mails = (
        "Subject: " + "=?utf-8?q?" * count + "\n\nwords",
        "Subject: x\nContent-Type: multipart/mixed; boundary=b\n\n" + "--b\n\nx\n" * (count // 10),
        "X: y\n" * count + "\nwords",
        "Subject: x\nContent-Transfer-Encoding: base64\n\n" + "!" * count,
        "From a Mon May  6 07:08:09 2024\n\n" * (count // 20),
        "To: " + "(" * count + "\n\nwords",
        "Content-Type: text/plain; " + "a*0=x;" * (count // 100) + "\n\nwords",
        "Content-Type: text/plain; charset=no-such; charset=\0\n\nwords",
    )
    return rng.choice(("a.eml", "a.mbox")), rng.choice(mails).encode()


def hostile_workbook(rng: random.Random, scale: float) -> Made:
    count = size_of(rng, scale, 200_000)
    cells = (
        '<row r="1"><c r="XFD1048576" t="inlineStr"><is><t>far</t></is></c></row>',
        '<row r="99999999999"><c r="ZZZZZZ9999999999" t="s"><v>99999999999</v></c></row>',
        "<row><c><v>1e999</v></c></row>" * count,
        '<row r="x"><c r="A0" s="99999" t="s"><v>-1</v></c></row>' * count,
    )
    space = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
    sheet = f"<worksheet {space}><sheetData>{rng.choice(cells)}</sheetData></worksheet>"
    targets = {
        "r1": ("worksheet", rng.choice(("worksheets/sheet1.xml", "../../../etc/passwd", "workbook.xml")))
    }
    book = '<workbook xmlns:r="x"><sheets><sheet name="S" r:id="r1"/></sheets></workbook>'
    parts = {"xl/workbook.xml": book, "xl/worksheets/sheet1.xml": sheet}
    return "a.xlsx", make.packed({**parts, "xl/_rels/workbook.xml.rels": make.relations(targets)})


def mixed_encodings(rng: random.Random, scale: float) -> Made:
    codecs = ("utf-8", "gb18030", "utf-16", "big5", "cp932", "euc_kr", "koi8_r", "cp1252")
    parts = [line.encode(rng.choice(codecs), "ignore") for line in prose(rng, 500)]
    cut = rng.choice((0, 1, 3))
    return f"a.{rng.choice(('txt', 'csv', 'html', 'json', 'jsonl', 'md'))}", b"\n".join(parts)[cut:]


def slow_patterns(rng: random.Random, scale: float) -> Made:
    """Texts that make careless regular expressions run for ever."""
    count = size_of(rng, scale, 2_000_000)
    texts = (
        ("a.md", "---\n" + "-a: b\n" * 150 + "x" * 1000),
        ("a.md", "---\n" + "# x\n" * count),
        ("a.html", "<p>" + "\n \n" * count),
        ("a.html", "<p>" + " <br> " * (count // 20)),
        ("a.rtf", "{\\rtf1 " + "\\'" * count),
        ("a.rtf", "{\\rtf1 " + "\\u" * count),
        ("a.csv", '"' * 2 * (count // 4) + "\n" + '""' * (count // 4)),
        ("a.txt", " \t" * count),
    )
    name, text = rng.choice(texts)
    return name, text.encode()


def odd_notebook(rng: random.Random, scale: float) -> Made:
    values = (
        None,
        [],
        {},
        "x",
        1,
        [None],
        {"cells": 3},
        {"cells": [1, None, {"source": [1, {}]}]},
        {"worksheets": [1]},
    )
    return "a.ipynb", json.dumps(rng.choice(values)).encode()
