from __future__ import annotations

import gzip
import io
import sqlite3
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from yanmo.corpus.document import Document, Reason, Rejected
from yanmo.corpus.reader import read_documents

# Where every line is counted for coverage on a busy machine; alone none takes 0.6 s.
MOST_SECONDS = 12.0


def rtf_of_an_unknown_code_page(path: Path) -> None:
    path.write_bytes(b"{\\rtf1\\ansi\\ansicpg12 " + b"Words that anybody can read. " * 20 + b"}")


def database_whose_schema_is_no_unicode(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE words (text VARCHAR)")
    connection.close()
    path.write_bytes(path.read_bytes().replace(b"CREATE TABLE words", b"CREATE TABL\xff words"))


def tar_that_claims_an_exabyte(path: Path) -> None:
    header = tarfile.TarInfo("a.txt")
    header.type, header.size = b"Z", 1 << 60
    path.write_bytes(header.tobuf(tarfile.GNU_FORMAT) + b"\0" * 2048)


def xz_of_zeros(path: Path) -> None:
    path.write_bytes(b"\0" * (40 << 20))


def table_of_empty_lines(path: Path) -> None:
    path.write_bytes(b"\r" * 4_000_000)


def table_that_repeats_itself(path: Path) -> None:
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb", compresslevel=6) as stream:
        stream.write(b"words \n" * 4_000_000)
    path.write_bytes(packed.getvalue() + b"\0" * 200_000)


def mail_of_headers(path: Path) -> None:
    path.write_bytes(b"X: y\n" * 1_000_000)


@pytest.mark.parametrize(
    "name, write, reason, told",
    [
        ("a.sqlite", database_whose_schema_is_no_unicode, Reason.DAMAGED, "sqlite"),
        ("a.tar", tar_that_claims_an_exabyte, Reason.DAMAGED, "claims to hold"),
        ("a.txt.xz", xz_of_zeros, Reason.DAMAGED, "compressed data"),
        ("a.csv", table_of_empty_lines, Reason.TEXTLESS, "empty lines"),
        ("a.csv.gz", table_that_repeats_itself, Reason.TEXTLESS, "say the same"),
        ("a.eml", mail_of_headers, Reason.TOO_LARGE, "headers"),
        ("a.mbox", mail_of_headers, Reason.TOO_LARGE, "headers"),
    ],
)
def test_what_never_ends_is_set_aside_soon(
    tmp_path: Path, name: str, write: Callable[[Path], None], reason: Reason, told: str
) -> None:
    write(tmp_path / name)
    began_s = time.process_time()
    found = list(read_documents(tmp_path / name))
    assert time.process_time() - began_s < MOST_SECONDS
    refused = found[-1]
    assert isinstance(refused, Rejected) and refused.reason is reason and told in refused.detail


def test_a_code_page_that_nobody_knows_is_read_as_the_usual_one(tmp_path: Path) -> None:
    rtf_of_an_unknown_code_page(tmp_path / "a.rtf")
    (document,) = read_documents(tmp_path / "a.rtf")
    assert isinstance(document, Document) and document.text.startswith("Words that anybody can read.")
