"""E-mail: single messages and mailboxes; who, when and about what go into the meta.

The text is the plain part where there is one, the page otherwise. Attached texts are documents of their
own, other attachments are named in a note.
"""

from __future__ import annotations

import contextlib
import email
import email.errors
import email.header
import email.utils
import re
from collections.abc import Iterator
from email.message import Message

from yanmo.corpus.document import Document, Note, Reason, RefusedError, Rejected, make_document
from yanmo.corpus.files import Blob
from yanmo.corpus.markup import html_text

_MAX_MESSAGE_BYTES, _MAX_LINE_BYTES = 48 << 20, 4 << 20
# Headers are one thing after another to their parser; real ones have a few KB.
_MAX_HEADERS_BYTES = 256 << 10
_MAX_PARTS, _MAX_HEADER_CHARS = 1000, 1000
_META = {"title": "Subject", "author": "From", "to": "To"}
_HEADERS_END = re.compile(rb"\r?\n\r?\n")
_BEGIN = re.compile(rb"From \S.* \d{4}\s*$|From .*\d\d:\d\d")
_LARGER = {
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "x-gbk": "gb18030",
    "us-ascii": "utf-8",
    "ks_c_5601-1987": "cp949",
}


def read_eml(blob: Blob, *, text_column: str | None, note: Note) -> Iterator[Document | Rejected]:
    """Read one message."""
    lines, size = [], 0
    for line in _lines(blob):
        lines.append(line)
        size += len(line)
        if size > _MAX_MESSAGE_BYTES:
            raise RefusedError(Reason.TOO_LARGE, f"a message of more than {_MAX_MESSAGE_BYTES >> 20} MB")
    yield from _message_documents(b"".join(lines), blob.label, note)


def read_mbox(blob: Blob, *, text_column: str | None, note: Note) -> Iterator[Document | Rejected]:
    """Read the messages of a mailbox."""
    for number, data in enumerate(_messages(blob), 1):
        source = f"{blob.label}#message={number}"
        if data is None:
            yield Rejected(source=source, reason=Reason.TOO_LARGE)
            continue
        try:
            yield from _message_documents(data, source, note)
        except RefusedError as refused:
            yield Rejected(source=source, reason=refused.reason, detail=refused.detail)


def _messages(blob: Blob) -> Iterator[bytes | None]:
    """The messages one after another; None for one that is too large."""
    lines: list[bytes] = []
    size, begun, after_blank = 0, False, True
    for line in _lines(blob):
        if after_blank and line.startswith(b"From ") and _BEGIN.match(line[:1000]):
            if begun:
                yield b"".join(lines) if size <= _MAX_MESSAGE_BYTES else None
            lines, size, begun = [], 0, True
        else:
            begun = True
            size += len(line)
            if size <= _MAX_MESSAGE_BYTES:
                # A line that begins with the mark of a message was quoted.
                lines.append(line[1:] if line.startswith(b">From ") else line)
        after_blank = line in (b"\n", b"\r\n")
    if begun:
        yield b"".join(lines) if size <= _MAX_MESSAGE_BYTES else None


def _lines(blob: Blob) -> Iterator[bytes]:
    """The lines of mail, which are by rule of no more than 998 bytes."""
    with blob.open() as stream:
        while line := stream.readline(_MAX_LINE_BYTES):
            blob.spend(len(line))
            if len(line) == _MAX_LINE_BYTES:
                raise RefusedError(Reason.TOO_LARGE, f"a line of more than {_MAX_LINE_BYTES >> 20} MB")
            yield line


def _message_documents(data: bytes, source: str, note: Note) -> Iterator[Document | Rejected]:
    if len(data) > _MAX_HEADERS_BYTES and not _HEADERS_END.search(data, 0, _MAX_HEADERS_BYTES):
        raise RefusedError(Reason.TOO_LARGE, f"headers of more than {_MAX_HEADERS_BYTES >> 10} KB")
    try:
        message = email.message_from_bytes(data)
        parts = _leaves(message)
    except (RecursionError, email.errors.MessageError, ValueError, AssertionError) as error:
        raise RefusedError(Reason.DAMAGED, f"message: {str(error)[:200]}") from None
    if not message.keys():
        raise RefusedError(Reason.DAMAGED, "message: no headers")
    meta = _meta(message)
    bodies: dict[str, list[str]] = {"text/plain": [], "text/html": []}
    attached: list[tuple[str, str]] = []
    for part in parts:
        kind, name = part.get_content_type(), _decoded(part.get_filename() or "")
        is_attached = part.get_content_disposition() == "attachment" or bool(name)
        if kind in bodies and not is_attached:
            bodies[kind].append(_part_text(part))
        elif kind == "text/plain":
            attached.append((name or "text", _part_text(part)))
        elif kind != "application/pgp-signature":
            note(f"{source}: attachment {name or kind} was left out")
    text = "\n".join(bodies["text/plain"])
    if not text.strip():
        text = "\n\n".join(html_text(page, main_only=False)[0] for page in bodies["text/html"])
    if text.strip():
        yield make_document(text, source, meta)
    elif any(part.get_content_type() == "application/pkcs7-mime" for part in parts):
        raise RefusedError(Reason.ENCRYPTED)
    elif not attached:
        raise RefusedError(Reason.TEXTLESS)
    separator = "&" if "#" in source else "#"
    for name, text in attached:
        yield make_document(text, f"{source}{separator}attachment={name}", dict(meta))


def _leaves(message: Message) -> list[Message]:
    """The parts that hold something, in order; without recursion, as messages hold messages."""
    found: list[Message] = []
    waiting = [message]
    while waiting and len(found) < _MAX_PARTS:
        part = waiting.pop()
        inside = part.get_payload()
        if isinstance(inside, list):
            waiting += [piece for piece in reversed(inside) if isinstance(piece, Message)]
        else:
            found.append(part)
    return found


def _part_text(part: Message) -> str:
    raw = part.get_payload(decode=True)
    if not isinstance(raw, bytes):
        return ""
    charset = str(part.get_content_charset() or "utf-8").lower()
    charset = _LARGER.get(charset, charset)
    for name in ("utf-8", charset, "gb18030"):
        try:
            return raw.decode(name)
        except (UnicodeDecodeError, LookupError, ValueError):
            continue
    return raw.decode(
        "cp1252" if charset.startswith(("iso-8859", "cp125", "windows")) else "utf-8", "replace"
    )


def _meta(message: Message) -> dict[str, str]:
    meta = {}
    for name, header in _META.items():
        value = _decoded(str(message.get(header, "")))
        if value:
            meta[name] = value
    with contextlib.suppress(ValueError, TypeError, IndexError, OverflowError):
        meta["date"] = email.utils.parsedate_to_datetime(str(message.get("Date", ""))[:100]).isoformat()
    return meta


def _decoded(value: str) -> str:
    """A header as its author wrote it."""
    value = value[:_MAX_HEADER_CHARS]
    try:
        pieces = email.header.decode_header(value)
    except (email.errors.HeaderParseError, ValueError):
        pieces = [(value, None)]
    parts = []
    for piece, charset in pieces:
        if isinstance(piece, str):
            parts.append(piece)
            continue
        name = (charset or "utf-8").lower()
        try:
            parts.append(piece.decode(_LARGER.get(name, name), "replace"))
        except LookupError:
            parts.append(piece.decode("utf-8", "replace"))
    # Bytes beyond ASCII that no one declared come as surrogates.
    joined = "".join(parts).encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return " ".join(joined.split())
