"""What a blob is: its content decides where it is plain, the suffix of its name otherwise."""

from __future__ import annotations

import codecs
import zipfile

from yanmo.corpus.document import Note, Reason, RefusedError
from yanmo.corpus.files import Blob

_COMPRESSED = {b"\x1f\x8b\x08": ".gz", b"BZh": ".bz2", b"\xfd7zXZ\x00": ".xz", b"\x28\xb5\x2f\xfd": ".zst"}
_MAGIC = {
    b"{\\rtf": ".rtf",
    b"PAR1": ".parquet",
    b"SQLite format 3\x00": ".sqlite",
    b"ARROW1\x00\x00": ".arrow",
}
_BINARY = {
    b"\x89PNG": "a picture",
    b"\xff\xd8\xff": "a picture",
    b"GIF8": "a picture",
    b"BM": "a picture",
    b"II*\x00": "a picture",
    b"MM\x00*": "a picture",
    b"RIFF": "sound, a film or a picture",
    b"OggS": "sound",
    b"ID3": "sound",
    b"fLaC": "sound",
    b"\x7fELF": "a program",
    b"MZ": "a program",
    b"\xca\xfe\xba\xbe": "a program",
    b"\x00asm": "a program",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive; unpack it first",
    b"Rar!\x1a\x07": "a rar archive; unpack it first",
    b"wOFF": "a font",
    b"wOF2": "a font",
    b"\x00\x01\x00\x00\x00": "a font",
    b"OTTO": "a font",
    b"GGUF": "a model",
    b"\x93NUMPY": "an array",
    b"\x89HDF": "an array",
    b"\x80\x04\x95": "a pickle",
}
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_PACKAGES = {
    "word/document.xml": ".docx",
    "ppt/presentation.xml": ".pptx",
    "xl/workbook.xml": ".xlsx",
    "META-INF/container.xml": ".epub",
}
_MIME_TYPES = {
    "application/epub+zip": ".epub",
    "application/vnd.oasis.opendocument.text": ".odt",
    "application/vnd.oasis.opendocument.spreadsheet": ".ods",
    "application/vnd.oasis.opendocument.presentation": ".odp",
}
# Names that several kinds of content go under, or another name of the same kind.
SAME_KIND = {
    ".docm": ".docx",
    ".dotx": ".docx",
    ".pptm": ".pptx",
    ".ppsx": ".pptx",
    ".xlsm": ".xlsx",
    ".ott": ".odt",
    ".ots": ".ods",
    ".otp": ".odp",
    ".feather": ".arrow",
    ".ipc": ".arrow",
    ".db": ".sqlite",
    ".sqlite3": ".sqlite",
    ".db3": ".sqlite",
}
# Kinds whose content always shows what it is.
_SHOWN = frozenset(
    (*_MAGIC.values(), *_PACKAGES.values(), *_MIME_TYPES.values(), ".pdf", ".doc", ".xls", ".ppt", ".zip")
)
# Under these names web pages and the like are saved again and again.
_OFFICE_NAMES = frozenset((".doc", ".docx", ".xls", ".xlsx", ".pdf", ".txt", ".text", ".rtf", ".ppt"))
_OLD_OFFICE = {".doc": "docx", ".xls": "xlsx", ".ppt": "pptx"}


def compression_of(head: bytes) -> str | None:
    """The suffix of the compression that these first bytes show."""
    return next((suffix for magic, suffix in _COMPRESSED.items() if head.startswith(magic)), None)


def kind_by_content(blob: Blob, *, head: bytes | None = None) -> str | None:
    """The suffix of the kind that a blob's content shows; None where it may be text of any kind.

    Raises:
        RefusedError: it is of a kind that cannot be read.
    """
    head = blob.head() if head is None else head
    for magic, suffix in _MAGIC.items():
        if head.startswith(magic):
            return suffix
    # An Arrow stream: a mark, and the length of a schema.
    if head.startswith(b"\xff\xff\xff\xff") and 0 < int.from_bytes(head[4:8], "little") < 1 << 24:
        return ".arrow"
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _package_kind(blob)
    if head[257:262] == b"ustar":
        return ".tar"
    if b"%PDF-" in head[:1024] and not head.lstrip().startswith(b"<"):
        return ".pdf"
    if head.startswith(_OLE):
        _refuse_old_office(blob)
    if not _is_utf8(head):
        for magic, what in _BINARY.items():
            if head.startswith(magic):
                raise RefusedError(Reason.BINARY, what)
    return None


def kind_of(blob: Blob, *, note: Note) -> str:
    """The suffix of the kind to read a blob as; says so where its name is another's.

    Raises:
        RefusedError: it is of a kind that cannot be read.
    """
    head = blob.head()
    claimed, shown = SAME_KIND.get(blob.suffix, blob.suffix), kind_by_content(blob, head=head)
    if shown is None and claimed in _OFFICE_NAMES:
        start = head.lstrip(codecs.BOM_UTF8 + b" \t\r\n")[:15].lower()
        if start.startswith((b"<!doctype html", b"<html")):
            shown = ".html"
    if shown is None:
        if claimed not in _SHOWN:
            return claimed
        if b"\x00" in head:
            raise RefusedError(Reason.DAMAGED, f"not {claimed[1:]} data")
        shown = ".txt"
    if shown != claimed:
        note(f"{blob.label}: is {shown[1:]} data under another name")
    return shown


def _is_utf8(head: bytes) -> bool:
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
    return b"\x00" not in head


def _package_kind(blob: Blob) -> str:
    """Which kind of document a zip file is, ``.zip`` where it is an archive."""
    from yanmo.corpus.formats.archives import open_zip

    with blob.seekable() as stream, open_zip(stream) as archive:
        names = set(archive.namelist())
        if "mimetype" in names and archive.getinfo("mimetype").file_size < 200:
            try:
                mime_type = archive.read("mimetype").decode("ascii", "replace").strip()
            except (zipfile.BadZipFile, RuntimeError):
                mime_type = ""
            if mime_type in _MIME_TYPES:
                return _MIME_TYPES[mime_type]
    return next((kind for name, kind in _PACKAGES.items() if name in names), ".zip")


def _refuse_old_office(blob: Blob) -> None:
    head = blob.head(1 << 16)
    if "EncryptedPackage".encode("utf-16-le") in head:
        raise RefusedError(Reason.ENCRYPTED)
    newer = _OLD_OFFICE.get(blob.suffix)
    advice = f"; save it as {newer}" if newer else ""
    raise RefusedError(Reason.BINARY, f"an Office file of before 2007{advice}")
