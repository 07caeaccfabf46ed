"""A file of short texts, whose order counts: one a line, or one a record of a table."""

from __future__ import annotations

from pathlib import Path

from yanmo.corpus.document import Note, Rejected
from yanmo.corpus.reader import read_documents
from yanmo.errors import InputError

_TABLES = (".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".parquet")


def given_texts(text: str | None, file: Path | None, *, text_column: str | None, note: Note) -> list[str]:
    """The texts that a user gave: one, or those of a file as ``read_texts`` reads it.

    Raises:
        InputError: neither or both were given, or the file cannot be read.
    """
    if text is not None and file is None:
        return [text]
    if file is None or text is not None:
        raise InputError("give either --text or --file")
    return read_texts(file, text_column=text_column, note=note)


def read_texts(file: Path, *, text_column: str | None = None, note: Note | None = None) -> list[str]:
    """All texts of a file, in order; none is left out.

    Args:
        file: a table (CSV, TSV, JSON, JSON Lines, Parquet, also compressed), or any other file in UTF-8, of
            which each line is a text, the empty ones too.
        text_column: column or key of the text in a table; guessed where None.
        note: takes each line that the user should know, such as a guessed column.

    Raises:
        InputError: the file cannot be read, or a record has no text.
    """
    if any(suffix.lower() in _TABLES for suffix in file.suffixes):
        return _read_table(file, text_column, note)
    try:
        content = file.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror or error}", where=file) from None
    except UnicodeDecodeError as error:
        what = f"not UTF-8 at byte {error.start}"
        raise InputError(what, where=file, remedy="convert it to UTF-8") from None
    # Only line feeds end a line: str.splitlines would cut at characters that a text may hold.
    lines = content.split("\n")
    return [line.removesuffix("\r") for line in (lines if lines[-1] else lines[:-1])]


def _read_table(file: Path, text_column: str | None, note: Note | None) -> list[str]:
    texts = []
    for document in read_documents(file, text_column=text_column, note=note):
        if isinstance(document, Rejected):
            what = f"{document.reason}{': ' * bool(document.detail)}{document.detail}"
            raise InputError(what, where=document.source, remedy="mend or remove the record")
        texts.append(document.text)
    return texts
