"""Small valid files of many kinds, made from paragraphs: what tests read and benchmarks copy or break."""

from __future__ import annotations

import io
import json
import sqlite3
import tempfile
import zipfile
from collections.abc import Callable, Mapping, Sequence
from email.message import EmailMessage
from pathlib import Path
from xml.sax.saxutils import escape

_TYPES = '<?xml version="1.0"?><Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"/>'
_RELATIONS = "http://schemas.openxmlformats.org/package/2006/relationships"
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_CORE = (
    '<cp:coreProperties xmlns:cp="http://schemas.openxmlformats.org/package/2006/metadata/core-properties"'
    ' xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:dcterms="http://purl.org/dc/terms/">'
    "<dc:title>{title}</dc:title><dc:creator>A. Writer</dc:creator>"
    "<dcterms:created>2024-05-06T07:08:09Z</dcterms:created></cp:coreProperties>"
)


def packed(parts: Mapping[str, str | bytes]) -> bytes:
    """A zip file of these parts."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def relations(targets: Mapping[str, tuple[str, str]]) -> str:
    """A part that names what another part refers to: id to kind and target."""
    lines = (
        f'<Relationship Id="{key}" Type="{_OFFICE}/{kind}" Target="{target}"/>'
        for key, (kind, target) in targets.items()
    )
    return f'<Relationships xmlns="{_RELATIONS}">{"".join(lines)}</Relationships>'


def docx(paragraphs: Sequence[str], *, title: str = "A title", body: str = "") -> bytes:
    """A Word document; ``body`` is XML that follows the paragraphs."""
    text = "".join(f"<w:p><w:r><w:t>{escape(line)}</w:t></w:r></w:p>" for line in paragraphs)
    space = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
    document = f'<w:document xmlns:w="{space}"><w:body>{text}{body}</w:body></w:document>'
    core = _CORE.format(title=escape(title))
    return packed({"[Content_Types].xml": _TYPES, "word/document.xml": document, "docProps/core.xml": core})


def pptx(slides: Sequence[str], notes: str = "") -> bytes:
    """A presentation of one paragraph a slide, in the opposite order of their names; notes to the first."""
    space = (
        'xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main"'
        ' xmlns:p="http://schemas.openxmlformats.org/presentationml/2006/main"'
        f' xmlns:r="{_OFFICE}"'
    )
    parts: dict[str, str | bytes] = {"[Content_Types].xml": _TYPES}
    count = len(slides)
    ids = "".join(f'<p:sldId id="{256 + n}" r:id="r{n}"/>' for n in range(count))
    parts["ppt/presentation.xml"] = f"<p:presentation {space}><p:sldIdLst>{ids}</p:sldIdLst></p:presentation>"
    targets = {f"r{n}": ("slide", f"slides/slide{count - n}.xml") for n in range(count)}
    parts["ppt/_rels/presentation.xml.rels"] = relations(targets)
    for number, text in enumerate(slides):
        paragraph = f"<a:p><a:r><a:t>{escape(text)}</a:t></a:r></a:p>"
        parts[f"ppt/slides/slide{count - number}.xml"] = f"<p:sld {space}>{paragraph}</p:sld>"
    if notes:
        number = '<a:p><a:fld type="slidenum"><a:t>1</a:t></a:fld></a:p>'
        paragraph = f"<a:p><a:r><a:t>{escape(notes)}</a:t></a:r></a:p>"
        parts["ppt/notesSlides/notesSlide1.xml"] = f"<p:notes {space}>{paragraph}{number}</p:notes>"
        target = {"n": ("notesSlide", "../notesSlides/notesSlide1.xml")}
        parts[f"ppt/slides/_rels/slide{count}.xml.rels"] = relations(target)
    return packed(parts)


def xlsx(sheets: Mapping[str, Sequence[Sequence[str | float]]]) -> bytes:
    """A workbook; texts are shared strings, numbers are dates in the first style that shows them."""
    space = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
    strings: dict[str, int] = {}
    parts: dict[str, str | bytes] = {"[Content_Types].xml": _TYPES}
    names, targets = "", {}
    for index, (name, rows) in enumerate(sheets.items(), 1):
        names += f'<sheet name="{escape(name)}" sheetId="{index}" r:id="r{index}"/>'
        targets[f"r{index}"] = ("worksheet", f"worksheets/sheet{index}.xml")
        lines = ""
        for number, row in enumerate(rows, 1):
            cells = ""
            for column, value in enumerate(row):
                place = f"{chr(65 + column)}{number}"
                if isinstance(value, str):
                    shared = strings.setdefault(value, len(strings))
                    cells += f'<c r="{place}" t="s"><v>{shared}</v></c>'
                else:
                    cells += f'<c r="{place}" s="1"><v>{value}</v></c>'
            lines += f'<row r="{number}">{cells}</row>'
        parts[f"xl/worksheets/sheet{index}.xml"] = (
            f"<worksheet {space}><sheetData>{lines}</sheetData></worksheet>"
        )
    shown = f'<workbook {space} xmlns:r="{_OFFICE}"><sheets>{names}</sheets></workbook>'
    shared_strings = "".join(f"<si><t>{escape(text)}</t></si>" for text in strings)
    return packed(
        parts
        | {
            "xl/workbook.xml": shown,
            "xl/_rels/workbook.xml.rels": relations(targets),
            "xl/sharedStrings.xml": f"<sst {space}>{shared_strings}</sst>",
            "xl/styles.xml": f'<styleSheet {space}><cellXfs><xf numFmtId="0"/><xf numFmtId="14"/></cellXfs>'
            "</styleSheet>",
        }
    )


def opendocument(kind: str, body: str, *, title: str = "A title") -> bytes:
    """An OpenDocument file; ``kind`` is text, spreadsheet or presentation, ``body`` the XML inside."""
    space = " ".join(
        f'xmlns:{name}="urn:oasis:names:tc:opendocument:xmlns:{name if name != "draw" else "drawing"}:1.0"'
        for name in ("office", "text", "table", "draw", "meta")
    )
    content = (
        f"<office:document-content {space}><office:body><office:{kind}>{body}</office:{kind}></office:body>"
        "</office:document-content>"
    )
    meta = (
        f'<office:document-meta {space} xmlns:dc="http://purl.org/dc/elements/1.1/"><office:meta>'
        f"<dc:title>{escape(title)}</dc:title></office:meta></office:document-meta>"
    )
    mime_type = f"application/vnd.oasis.opendocument.{kind}"
    return packed({"mimetype": mime_type, "content.xml": content, "meta.xml": meta})


def odt(paragraphs: Sequence[str]) -> bytes:
    """An OpenDocument text."""
    return opendocument("text", "".join(f"<text:p>{escape(text)}</text:p>" for text in paragraphs))


def epub(chapters: Sequence[str], *, title: str = "A title") -> bytes:
    """A book; the files of its chapters are named in the opposite of the reading order."""
    count = len(chapters)
    parts: dict[str, str | bytes] = {"mimetype": "application/epub+zip"}
    parts["META-INF/container.xml"] = (
        '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
        '<rootfile full-path="OEBPS/book.opf"/></rootfiles></container>'
    )
    items = "".join(f'<item id="c{n}" href="text/{count - n}.xhtml"/>' for n in range(count))
    spine = "".join(f'<itemref idref="c{n}"/>' for n in range(count))
    parts["OEBPS/book.opf"] = (
        '<package xmlns="http://www.idpf.org/2007/opf" xmlns:dc="http://purl.org/dc/elements/1.1/"><metadata>'
        f"<dc:title>{escape(title)}</dc:title><dc:creator>A. Writer</dc:creator></metadata>"
        f"<manifest>{items}</manifest><spine>{spine}</spine></package>"
    )
    for number, text in enumerate(chapters):
        page = f"<html><head><title>x</title></head><body><p>{escape(text)}</p></body></html>"
        parts[f"OEBPS/text/{count - number}.xhtml"] = page
    return packed(parts)


def _unit(unit: int) -> str:
    if unit > 126:
        return f"\\u{unit}?"
    return f"\\'{unit:02x}" if unit in b"\\{}" else chr(unit)


def rtf(paragraphs: Sequence[str]) -> bytes:
    """A Rich Text document with every character beyond ASCII as its UTF-16 units."""

    def coded(text: str) -> str:
        raw = text.encode("utf-16-le")
        units = (int.from_bytes(raw[at : at + 2], "little") for at in range(0, len(raw), 2))
        return "".join(map(_unit, units))

    body = "\\par\n".join(coded(text) for text in paragraphs)
    head = r"{\rtf1\ansi\ansicpg1252{\fonttbl{\f0 Times;}}{\info{\title hidden}}\f0 "
    return (head + body + "}").encode("ascii")


def pdf(pages: Sequence[str], *, title: str = "A title") -> bytes:
    """A PDF file with one page a text, of printable ASCII; its lines stand below one another."""
    objects = ["<</Type/Catalog/Pages 2 0 R>>"]
    kids = " ".join(f"{4 + 2 * n} 0 R" for n in range(len(pages)))
    objects += [
        f"<</Type/Pages/Kids[{kids}]/Count {len(pages)}>>",
        "<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
    ]
    for number, page in enumerate(pages):
        lines = (
            line.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)") for line in page.split("\n")
        )
        stream = "BT /F1 12 Tf 72 720 Td 14 TL " + " ".join(f"({line}) Tj T*" for line in lines) + " ET"
        objects += [
            "<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Resources<</Font<</F1 3 0 R>>>>"
            f"/Contents {5 + 2 * number} 0 R>>",
            f"<</Length {len(stream)}>>stream\n{stream}\nendstream",
        ]
    objects.append(f"<</Title({title})/Author(A. Writer)/CreationDate(D:20240506070809Z)>>")
    data, places = b"%PDF-1.7\n", []
    for number, content in enumerate(objects, 1):
        places.append(len(data))
        data += f"{number} 0 obj\n{content}\nendobj\n".encode("latin-1")
    table = "".join(f"{place:010d} 00000 n \n" for place in places)
    data_end = (
        f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}"
        f"trailer\n<</Size {len(objects) + 1}/Root 1 0 R/Info {len(objects)} 0 R>>\n"
        f"startxref\n{len(data)}\n%%EOF\n"
    )
    return data + data_end.encode("latin-1")


def eml(paragraphs: Sequence[str], *, title: str = "A title") -> bytes:
    """A message with a plain and an HTML part, an attached text and an attached picture."""
    message = EmailMessage()
    message["Subject"], message["From"], message["To"] = title, "王伟 <wang@example.com>", "li@example.com"
    message["Date"] = "Mon, 06 May 2024 07:08:09 +0800"
    message.set_content("\n".join(paragraphs))
    message.add_alternative(f"<p>{escape(' '.join(paragraphs))} in HTML</p>", subtype="html")
    message.add_attachment("attached words", filename="notes.txt")
    message.add_attachment(b"\x89PNG", maintype="image", subtype="png", filename="picture.png")
    return message.as_bytes()


def notebook(paragraphs: Sequence[str]) -> bytes:
    """A notebook: text, code, and an output that is not to be read."""
    output = {"output_type": "stream", "text": ["printed"]}
    cells = [{"cell_type": "markdown", "source": [f"{line}\n" for line in paragraphs]}]
    cells.append({"cell_type": "code", "source": "x = 1", "outputs": [output]})  # type: ignore[dict-item]
    return json.dumps({"cells": cells, "metadata": {}, "nbformat": 4}).encode()


def sqlite(rows: Sequence[tuple[str, str]]) -> bytes:
    """A database with a table of titles and texts, a view and an empty table."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.sqlite"
        connection = sqlite3.connect(path)
        with connection:
            connection.execute("CREATE TABLE notes (title TEXT, body TEXT)")
            connection.executemany("INSERT INTO notes VALUES (?, ?)", rows)
            connection.execute("CREATE VIEW seen AS SELECT * FROM notes")
            connection.execute("CREATE TABLE empty (n INTEGER)")
        connection.close()
        return path.read_bytes()


OFFICE_FILES: dict[str, Callable[[Sequence[str]], bytes]] = {
    ".docx": docx,
    ".pptx": pptx,
    ".xlsx": lambda paragraphs: xlsx({"Sheet": [["title", "text"], *(["t", text] for text in paragraphs)]}),
    ".odt": odt,
    ".epub": epub,
    ".rtf": rtf,
    ".pdf": pdf,
    ".eml": eml,
    ".ipynb": notebook,
    ".sqlite": lambda paragraphs: sqlite([("t", text) for text in paragraphs]),
}
"""A maker for each kind; only PDF files need printable ASCII."""
