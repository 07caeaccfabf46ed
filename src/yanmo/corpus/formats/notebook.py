"""Jupyter notebooks: text and code in the order of the cells; what the code put out is left away."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from yanmo.corpus.document import Document, Note, Reason, RefusedError, Rejected, make_document
from yanmo.corpus.encoding import decode, detect
from yanmo.corpus.files import Blob
from yanmo.corpus.formats.json_stream import parse

# Pictures that code put out are part of the file.
_MAX_CHARS = 64 << 20


def read_notebook(blob: Blob, *, text_column: str | None, note: Note) -> Iterator[Document | Rejected]:
    """Read a notebook as one text, its code in fences as in Markdown."""
    encoding = detect(blob, note=note)
    notebook = parse(decode(blob, encoding, max_bytes=4 * _MAX_CHARS), max_chars=_MAX_CHARS)
    if not isinstance(notebook, Mapping):
        raise RefusedError(Reason.DAMAGED, "no notebook")
    language = _language(notebook)
    parts = [_cell_text(cell, language) for cell in _cells(notebook)]
    text = "\n\n".join(part for part in parts if part)
    if not text:
        raise RefusedError(Reason.TEXTLESS)
    yield make_document(text + "\n", blob.label, encoding.meta(text) | {"code": language})


def _cells(notebook: Mapping[str, Any]) -> list[Any]:
    """The cells; notebooks of before 2014 kept them in worksheets."""
    sheets = notebook.get("worksheets")
    sheet = sheets[0] if isinstance(sheets, list) and sheets else None
    cells = (sheet if isinstance(sheet, Mapping) else notebook).get("cells")
    return cells if isinstance(cells, list) else []


def _language(notebook: Mapping[str, Any]) -> str:
    meta = notebook.get("metadata")
    for key in ("language_info", "kernelspec"):
        info = meta.get(key) if isinstance(meta, Mapping) else None
        name = (
            (info.get("name") if key == "language_info" else info.get("language"))
            if isinstance(info, Mapping)
            else None
        )
        if isinstance(name, str) and name:
            return name[:50]
    return "python"


def _cell_text(cell: Any, language: str) -> str:
    if not isinstance(cell, Mapping):
        return ""
    source = cell.get("source", cell.get("input", ""))
    lines = source if isinstance(source, list) else [source]
    text = "".join(line for line in lines if isinstance(line, str)).strip("\n")
    if not text.strip():
        return ""
    return f"```{language}\n{text}\n```" if cell.get("cell_type") == "code" else text
