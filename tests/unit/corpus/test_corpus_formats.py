"""Office documents, books, mail, databases and notebooks give their texts, and what they tell about them."""

from __future__ import annotations

import io
import tarfile
import zipfile
import zlib
from pathlib import Path

import pytest

from benchmarks import office_files as make
from yanmo.corpus.document import Document, Rejected
from yanmo.corpus.reader import read_documents

ENGLISH, CHINESE = "The first paragraph & its <signs>.", "第二段：今天天气很好，我们去公园散步。"


def read(path: Path) -> tuple[list[Document], list[Rejected], list[str]]:
    notes: list[str] = []
    items = list(read_documents(path, note=notes.append))
    documents = [item for item in items if isinstance(item, Document)]
    return documents, [item for item in items if isinstance(item, Rejected)], notes


def only(path: Path, data: bytes) -> Document:
    path.write_bytes(data)
    documents, rejected, _ = read(path)
    assert rejected == []
    assert len(documents) == 1
    return documents[0]


@pytest.mark.parametrize("suffix", [".docx", ".odt", ".rtf", ".epub", ".pptx", ".ipynb"])
def test_paragraphs_come_in_their_order(tmp_path: Path, suffix: str) -> None:
    document = only(tmp_path / f"a{suffix}", make.OFFICE_FILES[suffix]([ENGLISH, CHINESE]))
    assert document.source == f"a{suffix}"
    assert document.text.index(ENGLISH) < document.text.index(CHINESE)
    for hidden in ("hidden", "printed", "Times"):
        assert hidden not in document.text


def test_docx_tables_breaks_and_revisions(tmp_path: Path) -> None:
    body = (
        "<w:tbl><w:tr><w:tc><w:p><w:r><w:t>left</w:t></w:r></w:p></w:tc>"
        "<w:tc><w:p><w:r><w:t>right</w:t></w:r></w:p></w:tc></w:tr></w:tbl>"
        "<w:p><w:r><w:t>one</w:t><w:br/><w:t>two</w:t><w:tab/>"
        '<w:t>three</w:t><w:br w:type="page"/></w:r></w:p>'
        "<w:p><w:del><w:r><w:delText>gone</w:delText><w:t>gone</w:t></w:r></w:del><w:r><w:instrText>PAGE"
        "</w:instrText></w:r></w:p>"
    )
    document = only(tmp_path / "a.docx", make.docx([ENGLISH], title="标题", body=body))
    assert "left \tright \t\n" in document.text
    assert "one\ntwo\tthree\f" in document.text
    assert "gone" not in document.text
    assert "PAGE" not in document.text
    assert document.meta == {"title": "标题", "author": "A. Writer", "date": "2024-05-06T07:08:09Z"}


def test_pptx_slides_in_the_order_shown_with_notes(tmp_path: Path) -> None:
    document = only(tmp_path / "a.pptx", make.pptx([ENGLISH, CHINESE], notes="Say hello. 说你好。"))
    first, second = document.text.split("\f")
    assert first.split("\n")[:3] == [ENGLISH, "", "Say hello. 说你好。"]
    assert "1" not in first.replace(ENGLISH, "")
    assert second.strip() == CHINESE
    assert document.meta["slides"] == "2"


def test_xlsx_rows_with_dates_and_sheets_without_text(tmp_path: Path) -> None:
    prices = [["title", "day", "text"], ["one", 45418, ENGLISH], ["二", 45418.5, CHINESE]]
    (tmp_path / "a.xlsx").write_bytes(make.xlsx({"Prices": prices, "数字": [[1.0, 2.0], [3.0, 4.0]]}))
    documents, rejected, notes = read(tmp_path)
    assert [d.text for d in documents][:2] == [ENGLISH, CHINESE]
    assert documents[0].source == "a.xlsx#sheet=Prices&row=2"
    assert documents[0].meta == {"title": "one", "day": "2024-05-06"}
    assert documents[1].meta["day"] == "2024-05-06 12:00:00"
    assert notes[0] == "a.xlsx#sheet=Prices: text is the field text of title, day, text"
    assert all("数字" in item.source for item in [*documents[2:], *rejected])


def test_ods_rows_repeated_cells_and_empty_rows(tmp_path: Path) -> None:
    def cell(text: str) -> str:
        return f"<table:table-cell><text:p>{text}</text:p></table:table-cell>"

    body = (
        '<table:table table:name="S">'
        f"<table:table-row>{cell('label')}{cell('text')}</table:table-row>"
        '<table:table-row table:number-rows-repeated="1000000"><table:table-cell '
        'table:number-columns-repeated="1000000"/></table:table-row>'
        f"<table:table-row>{cell('x')}{cell(CHINESE)}</table:table-row></table:table>"
    )
    document = only(tmp_path / "a.ods", make.opendocument("spreadsheet", body))
    assert (document.text, document.meta) == (CHINESE, {"label": "x"})
    assert document.source == "a.ods#sheet=S&row=1000002"


def test_odp_slides_and_odt_spaces(tmp_path: Path) -> None:
    pages = "".join(f"<draw:page><text:p>{text}</text:p></draw:page>" for text in ("one", "二"))
    assert only(tmp_path / "a.odp", make.opendocument("presentation", pages)).text == "one\n\f二\n"
    words = 'a<text:s text:c="3"/>b<text:tab/>c<office:annotation><text:p>not</text:p></office:annotation>'
    assert (
        only(tmp_path / "a.odt", make.opendocument("text", f"<text:p>{words}</text:p>")).text == "a   b\tc\n"
    )


def test_rtf_code_pages_of_fonts_and_documents(tmp_path: Path) -> None:
    coded = "".join(f"\\'{byte:02x}" for byte in "红楼梦".encode("gb18030"))
    head = r"{\rtf1\ansi\ansicpg1252{\fonttbl{\f0\fcharset0 Arial;}{\f1\fcharset134 SimSun;}}"
    data = f"{head}\\f0 caf\\'e9 \\f1 {coded}\\par {{\\pict 89504e47}}\\{{x\\}}\\emdash y}}".encode()
    assert only(tmp_path / "a.rtf", data).text == "café 红楼梦\n{x}—y"
    astral = rb"{\rtf1\ansi\uc1 \u-10179?\u-8704? end}"
    assert only(tmp_path / "b.rtf", astral).text == "\U0001f600 end"


def test_pdf_pages_are_parted_by_form_feeds(tmp_path: Path) -> None:
    document = only(tmp_path / "a.pdf", make.pdf(["First page (one)\nof two", "Second page"]))
    assert document.text == "First page (one)\nof two\fSecond page"
    assert document.meta == {"title": "A title", "author": "A. Writer", "date": "2024-05-06", "pages": "2"}


def test_a_pdf_without_text_is_refused_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "scan.pdf").write_bytes(make.pdf([""]))
    documents, (refused,), _ = read(tmp_path)
    assert (documents, refused.reason.value, refused.detail) == (
        [],
        "holds no text",
        "pictures of pages only; it needs OCR",
    )


def test_a_pdf_whose_streams_give_out_of_proportion(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("yanmo.corpus.formats.pdf._MAX_SUSPECT_BYTES", 1 << 20)
    body = zlib.compress(b"(words) Tj " * 200_000)
    stream = b"99 0 obj\n<</Filter/FlateDecode/Length %d>>stream\n%s\nendstream endobj\n" % (len(body), body)
    data = make.pdf(["A page"])
    (tmp_path / "a.pdf").write_bytes(data + stream)
    documents, (refused,), _ = read(tmp_path)
    assert (documents, refused.reason.value) == ([], "decompression bomb")
    (tmp_path / "a.pdf").write_bytes(data + stream.replace(b"<</Filter", b"<</Subtype/Image/Filter"))
    assert [document.text for document in read(tmp_path)[0]] == ["A page"]


def test_epub_meta(tmp_path: Path) -> None:
    document = only(tmp_path / "a.epub", make.epub([ENGLISH, CHINESE], title="书名"))
    assert document.meta == {"title": "书名", "author": "A. Writer"}


def test_a_message_with_its_attachments(tmp_path: Path) -> None:
    (tmp_path / "a.eml").write_bytes(make.eml([ENGLISH, CHINESE], title="会议"))
    (letter, attached), rejected, notes = read(tmp_path)
    assert rejected == []
    assert letter.text.strip() == f"{ENGLISH}\n{CHINESE}"
    assert letter.meta == {
        "title": "会议",
        "author": "王伟 <wang@example.com>",
        "to": "li@example.com",
        "date": "2024-05-06T07:08:09+08:00",
    }
    assert (attached.source, attached.text.strip()) == ("a.eml#attachment=notes.txt", "attached words")
    assert notes == ["a.eml: attachment picture.png was left out"]


def test_mbox_messages(tmp_path: Path) -> None:
    one = b"Subject: one\n\nFirst body\n>From here on\n"
    head = b"Subject: =?gb2312?B?us0=?=\nContent-Type: text/plain; charset=gb2312\n\n"
    two = head + "第二封".encode("gbk")
    mark = b"From a@example.com Mon May  6 07:08:09 2024\n"
    (tmp_path / "a.mbox").write_bytes(mark + one + b"\n" + mark + two + b"\n")
    (first, second), rejected, _ = read(tmp_path)
    assert rejected == []
    assert (first.source, first.text.strip()) == ("a.mbox#message=1", "First body\nFrom here on")
    assert (second.text.strip(), second.meta["title"]) == ("第二封", "和")


def test_html_mail_is_read_as_text(tmp_path: Path) -> None:
    data = b"Subject: x\nContent-Type: text/html; charset=utf-8\n\n<p>One</p><p>Two</p>"
    assert only(tmp_path / "a.eml", data).text == "One\n\nTwo"


def test_sqlite_tables(tmp_path: Path) -> None:
    (tmp_path / "a.db").write_bytes(make.sqlite([("one", ENGLISH), ("二", CHINESE)]))
    documents, rejected, _ = read(tmp_path)
    assert [(d.source, d.text) for d in documents] == [
        ("a.db#table=notes&row=1", ENGLISH),
        ("a.db#table=notes&row=2", CHINESE),
    ]
    assert documents[0].meta == {"title": "one"}
    assert [r.source for r in rejected] == ["a.db#table=empty"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.db"]


def test_notebook_code_is_fenced(tmp_path: Path) -> None:
    document = only(tmp_path / "a.ipynb", make.notebook([ENGLISH]))
    assert document.text == f"{ENGLISH}\n\n```python\nx = 1\n```\n"


@pytest.mark.parametrize("kind", ["file", "stream"])
def test_arrow_rows_and_datasets_folders(tmp_path: Path, kind: str) -> None:
    nanoarrow = pytest.importorskip("nanoarrow")
    from nanoarrow import ipc

    texts = nanoarrow.c_array([ENGLISH, CHINESE, None], nanoarrow.string())
    struct = nanoarrow.c_array_from_buffers(
        nanoarrow.struct({"text": nanoarrow.string()}), 3, [None], children=[texts]
    )
    buffer = io.BytesIO()
    with ipc.StreamWriter.from_writable(buffer) as writer:
        writer.write_array(struct)
    data = buffer.getvalue()
    (tmp_path / "data-00000-of-00001.arrow").write_bytes(b"ARROW1\0\0" + data if kind == "file" else data)
    (tmp_path / "dataset_info.json").write_text(
        '{"description": "not a text of the data set", "features": {}}'
    )
    (tmp_path / "state.json").write_text("{}")
    (tmp_path / "cache-0123.arrow").write_bytes(data)
    documents, rejected, _ = read(tmp_path)
    assert [d.text for d in documents] == [ENGLISH, CHINESE]
    assert documents[1].source == "data-00000-of-00001.arrow#row=2"
    assert {r.source: r.reason.value for r in rejected} == {
        "cache-0123.arrow": "holds no text",
        "data-00000-of-00001.arrow#row=3": "no text field",
        "dataset_info.json": "holds no text",
        "state.json": "holds no text",
    }


def tar_of(members: dict[str, bytes], mode: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:  # type: ignore[call-overload]
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("name", "mode"), [("a.tar", "w"), ("a.tgz", "w:gz"), ("a.tar.bz2", "w:bz2"), ("a.tar.xz", "w:xz")]
)
def test_tar_archives(tmp_path: Path, name: str, mode: str) -> None:
    members = {
        "文.txt": CHINESE.encode(),
        "b.docx": make.docx([ENGLISH]),
        "in.zip": make.docx([ENGLISH]),
        "../up.txt": b"up",
    }
    (tmp_path / name).write_bytes(tar_of(members, mode))
    documents, rejected, _ = read(tmp_path)
    assert [(d.source, d.text.strip()) for d in documents] == [
        (f"{name}/文.txt", CHINESE),
        (f"{name}/b.docx", ENGLISH),
        (f"{name}/../up.txt", "up"),
    ]
    assert {r.source: r.reason.value for r in rejected} == {
        f"{name}/in.zip": "archive inside an archive",
        f"{name}/link": "not a regular file",
    }


@pytest.mark.parametrize(
    ("name", "data", "note"),
    [
        ("a.txt", make.docx([ENGLISH]), "a.txt: is docx data under another name"),
        ("a.doc", make.rtf([ENGLISH]), "a.doc: is rtf data under another name"),
        ("a.docx", f"{ENGLISH}\n".encode(), "a.docx: is txt data under another name"),
        (
            "a.xls",
            b"<html><body><p>" + b"The first paragraph &amp; its &lt;signs>." + b"</p></body></html>",
            "a.xls: is html data under another name",
        ),
        ("a.doc", make.pdf(["The first paragraph & its <signs>."]), "a.doc: is pdf data under another name"),
    ],
)
def test_the_content_decides_what_a_file_is(tmp_path: Path, name: str, data: bytes, note: str) -> None:
    (tmp_path / name).write_bytes(data)
    (document,), rejected, notes = read(tmp_path)
    assert (document.text.strip(), rejected, notes) == (ENGLISH, [], [note])


def test_a_picture_is_no_table(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)))
    documents, (refused,), _ = read(tmp_path)
    assert (documents, refused.reason.value, refused.detail) == ([], "binary", "a picture")


def test_documents_of_an_archive_are_read_by_their_content(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.dat", "w") as archive:
        archive.writestr("report.docx", make.docx([CHINESE]))
        archive.writestr("page.pdf", make.pdf(["A page"]))
    documents, rejected, _ = read(tmp_path)
    assert [d.text.strip() for d in documents] == [CHINESE, "A page"]
    assert rejected == []


def test_a_part_of_more_tags_than_its_size_explains(tmp_path: Path) -> None:
    (tmp_path / "a.docx").write_bytes(make.docx(["words"], body="<w:p/>" * 600_000))
    documents, (refused,), _ = read(tmp_path)
    assert (documents, refused.reason.value) == ([], "decompression bomb")


@pytest.mark.parametrize("codec", ["utf-8", "utf-16"])
def test_entities_are_not_expanded(tmp_path: Path, codec: str) -> None:
    laughs = '<!DOCTYPE d [<!ENTITY a "ha ha"><!ENTITY b "&a;&a;"><!ENTITY p SYSTEM "file:///etc/passwd">]>'
    part = f"{laughs}<d><p><t>before &b; &p; after</t></p></d>"
    (tmp_path / "a.docx").write_bytes(make.packed({"word/document.xml": part.encode(codec)}))
    documents, (refused,), _ = read(tmp_path)
    assert (documents, refused.detail) == ([], "word/document.xml: declares entities")


def test_a_cell_beyond_the_columns_of_a_table_is_told(tmp_path: Path) -> None:
    rows = [["title", "text"], ["x", "words"]]
    with zipfile.ZipFile(io.BytesIO(make.xlsx({"S": rows}))) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    sheet = "xl/worksheets/sheet1.xml"
    parts[sheet] = parts[sheet].replace(b'r="B2"', b'r="XFD2"')
    (tmp_path / "a.xlsx").write_bytes(make.packed(parts))
    documents, (refused,), _ = read(tmp_path)
    assert (documents, refused.source, refused.reason.value) == ([], "a.xlsx#sheet=S", "too large")
