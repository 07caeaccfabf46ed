"""Hostile and broken files of many kinds, each from a seed: what ``hostile_files`` reads.

Every maker takes random numbers and a scale from 0 to 1 for the sizes of the large ones, and gives a name and
bytes. Here are archives and bombs, and the table of all.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import random
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Sequence
from functools import lru_cache

import zstandard

from benchmarks import hostile_documents as documents
from benchmarks import office_files as make
from benchmarks.hostile_parts import Made, Maker, office_file, prose, size_of

_COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zst": lambda data: zstandard.ZstdCompressor().compress(data),
}


def truncated_document(rng: random.Random, scale: float) -> Made:
    suffix, data = office_file(rng)
    return f"a{suffix}", data[: rng.randrange(1, len(data))]


def damaged_document(rng: random.Random, scale: float) -> Made:
    suffix, data = office_file(rng)
    raw = bytearray(data)
    for _ in range(rng.choice((1, 10, 100))):
        raw[rng.randrange(len(raw))] = rng.randrange(256)
    return f"a{suffix}", bytes(raw)


def truncated_archive(rng: random.Random, scale: float) -> Made:
    suffix = rng.choice([*_COMPRESS, "zip", "tar"])
    data = _archive(rng, suffix)
    return f"a.txt.{suffix}", data[: rng.randrange(1, len(data))]


def damaged_archive(rng: random.Random, scale: float) -> Made:
    suffix = rng.choice([*_COMPRESS, "zip", "tar"])
    raw = bytearray(_archive(rng, suffix))
    for _ in range(rng.choice((1, 10))):
        raw[rng.randrange(len(raw))] ^= 1 << rng.randrange(8)
    return f"a.txt.{suffix}", bytes(raw)


def _archive(rng: random.Random, suffix: str) -> bytes:
    data = "\n".join(prose(rng, 2000)).encode()
    if suffix in _COMPRESS:
        return _COMPRESS[suffix](data)
    members = {f"{n}.txt": data[n * 100 : n * 100 + 5000] for n in range(5)}
    return make.packed(members) if suffix == "zip" else _tar(list(members.items()))


def _tar(members: Sequence[tuple[str, bytes]], kind: bytes = tarfile.REGTYPE) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, body in members:
            info = tarfile.TarInfo(name)
            info.size, info.type = len(body) if kind == tarfile.REGTYPE else 0, kind
            info.linkname = "../../../../etc/passwd"
            archive.addfile(info, io.BytesIO(body))
    return buffer.getvalue()


@lru_cache(maxsize=16)
def _bomb(suffix: str, megabytes: int, unit: bytes) -> bytes:
    """One stream, or one a megabyte where a large one takes long to make."""
    block = unit * ((1 << 20) // len(unit))
    buffer = io.BytesIO()
    if suffix == "gz":
        with gzip.GzipFile(fileobj=buffer, mode="wb", compresslevel=1) as stream:
            for _ in range(megabytes):
                stream.write(block)
    elif suffix == "zst":
        with zstandard.ZstdCompressor().stream_writer(buffer, closefd=False) as writer:
            for _ in range(megabytes):
                writer.write(block)
    elif suffix == "bz2":
        return bz2.compress(block) * megabytes
    elif suffix == "xz":
        return lzma.compress(block, preset=0) * megabytes
    return buffer.getvalue()


def decompression_bomb(rng: random.Random, scale: float) -> Made:
    suffix = rng.choice(list(_COMPRESS))
    unit = rng.choice((b"\0", b"words \n", b"[", b"<b>"))
    inner = rng.choice(("txt", "json", "csv", "html", "jsonl", "tar"))
    return f"a.{inner}.{suffix}", _bomb(suffix, max(1, int(600 * scale)), unit)


def zip_bomb(rng: random.Random, scale: float) -> Made:
    """One stretch of compressed data that many members claim (Fifield 2019), or one large member."""
    size = int((400 << 20) * max(0.01, scale))
    deflate = zlib.compressobj(1, zlib.DEFLATED, -15)
    body = b"".join(deflate.compress(bytes(1 << 20)) for _ in range(size >> 20)) + deflate.flush()
    size = size >> 20 << 20
    crc = 0
    for _ in range(size >> 20):
        crc = zlib.crc32(bytes(1 << 20), crc)
    count = rng.choice((1, 50))
    names = [f"{n:04}t".encode() for n in range(count)]
    numbers = (8, 0, 0, crc, len(body), size, 5, 0)
    head = struct.pack("<4s2H3H3L2H", b"PK\x03\x04", 20, 0, *numbers) + names[0]
    entries = b"".join(
        struct.pack("<4s3H3H3L2H3H2L", b"PK\x01\x02", 20, 20, 0, *numbers, 0, 0, 0, 0, 0) + name
        for name in names
    )
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, count, count, len(entries), len(head) + len(body), 0)
    return "a.zip", head + body + entries + end


def document_bomb(rng: random.Random, scale: float) -> Made:
    unit = rng.choice((b" ", b"<a/>", b"<w:p/>", b"<w:t>a</w:t>"))
    space = b'<w:document xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main">'
    part = space + unit * (int((300 << 20) * max(0.003, scale)) // len(unit)) + b"</w:document>"
    name, where = rng.choice((("docx", "word/document.xml"), ("xlsx", "xl/sharedStrings.xml")))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr(where, part)
        if name == "xlsx":
            archive.writestr("xl/workbook.xml", "<workbook/>")
    return f"a.{name}", buffer.getvalue()


def nested_archive(rng: random.Random, scale: float) -> Made:
    data = "\n".join(prose(rng)).encode()
    for _ in range(rng.choice((2, 5, 50))):
        data = make.packed({"inner.zip": data, "a.txt": "words"})
    if rng.random() < 0.5:
        return "a.zip", data
    layers = rng.choice((4, 10))
    for _ in range(layers):
        data = gzip.compress(data, 1)
    return "a.txt" + ".gz" * layers, data


def members_that_lead_elsewhere(rng: random.Random, scale: float) -> Made:
    names = (
        "../../../../tmp/escaped.txt",
        "/etc/escaped",
        "C:\\escaped.txt",
        "..",
        "a/../../b",
        "a\0b.txt",
        "\n",
    )
    chosen = [(rng.choice(names), b"words that stay inside") for _ in range(5)]
    if rng.random() < 0.5:
        kind = rng.choice(
            (tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE)
        )
        return "a.tar", _tar([(name.replace("\0", ""), body) for name, body in chosen], kind)
    return "a.zip", make.packed(dict(chosen))


def many_members(rng: random.Random, scale: float) -> Made:
    count = size_of(rng, scale, 10_000)
    if rng.random() < 0.5:
        return "a.zip", make.packed({f"{n}.txt": "" if n % 2 else "x" for n in range(count)})
    return "a.tar.gz", gzip.compress(_tar([(f"{n}.txt", b"x") for n in range(count)]), 1)


def claims_of_a_zip(rng: random.Random, scale: float) -> Made:
    raw = bytearray(make.packed({"a.txt": "\n".join(prose(rng)), "word/document.xml": "<a/>"}))
    directory = raw.rindex(b"PK\x01\x02")
    place = directory + rng.choice((8, 9, 10, 16, 20, 24, 28, 30, 42))
    raw[place : place + 2] = rng.randbytes(2)
    return rng.choice(("a.zip", "a.docx", "a.epub")), bytes(raw)


def claims_of_a_tar(rng: random.Random, scale: float) -> Made:
    info = tarfile.TarInfo("a.txt")
    info.size = rng.choice((1 << 20, 1 << 33, 1 << 60))
    info.type = rng.choice(
        (tarfile.REGTYPE, tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_SPARSE)
    )
    head = info.tobuf(tarfile.GNU_FORMAT)
    return rng.choice(("a.tar", "a.tar.gz")), head + b"x" * 4096


KINDS: dict[str, Maker] = {
    maker.__name__.replace("_", " "): maker
    for maker in (
        truncated_document,
        damaged_document,
        truncated_archive,
        damaged_archive,
        decompression_bomb,
        zip_bomb,
        document_bomb,
        nested_archive,
        members_that_lead_elsewhere,
        many_members,
        claims_of_a_zip,
        claims_of_a_tar,
        documents.lone_surrogates,
        documents.nuls,
        documents.gigantic_line,
        documents.wrong_suffix,
        documents.empty,
        documents.random_bytes,
        documents.random_bytes_after_a_mark,
        documents.xml_bomb,
        documents.deep_nesting,
        documents.hostile_page,
        documents.hostile_pdf,
        documents.hostile_table,
        documents.hostile_json,
        documents.hostile_database,
        documents.hostile_rows,
        documents.hostile_mail,
        documents.hostile_workbook,
        documents.mixed_encodings,
        documents.slow_patterns,
        documents.odd_notebook,
    )
}
"""Every kind by what it is called in the table."""
