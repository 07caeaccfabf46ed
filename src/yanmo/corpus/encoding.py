"""Which encoding the bytes of a text are in, and whether they are a text at all.

UTF-8 first; then byte order marks; then what the file declares (HTML); then GB18030 where the bytes
look like Chinese and decode without one error; then Windows-1252 where what it gives looks like a
European text; then UTF-8 with the few bad bytes replaced by U+FFFD; else the file is refused.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass

from yanmo.corpus.document import Note, Reason, RefusedError
from yanmo.corpus.files import Blob

REPAIRED = ", invalid bytes replaced"
_SAMPLE_BYTES = 1 << 18
_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_MAGIC = {
    b"%PDF-": "a PDF file",
    b"PK\x03\x04": "a zip-based file (docx, xlsx, epub ...)",
    b"\x1f\x8b": "gzip data under another name",
    b"\x89PNG": "a picture",
    b"\xff\xd8\xff": "a picture",
    b"\x7fELF": "a program",
}
_CONTROLS = bytes(set(range(32)) - set(b"\t\n\r\f\v\b\x1b")) + b"\x7f"
_HIGH = bytes(range(0x80, 0x100))
_HANZI = re.compile(r"[\u4e00-\u9fff]")
# Among the commonest characters of modern and classical Chinese, simplified and traditional: a
# few in a hundred of any Chinese text, and almost absent when other bytes are taken for GB18030.
_COMMON_HANZI = frozenset(
    "的一是不了在人有我他这中大来上国个到说们为子和你地出道也时年得就那要下以生会自着去之过家学对可"
    "這來國個說們為時會過學對曰其而者所何天无無与與事心行日"
)
_EUROPEAN = frozenset("àáâãäåæçèéêëìíîïñòóôõöøùúûüýßœÀÁÂÄÇÈÉÊËÍÎÑÓÔÖØÚÛÜŒ‘’“”–—…«»°·£€§©¿¡\xa0")


@dataclass(frozen=True, kw_only=True)
class Encoding:
    """How to decode a blob."""

    name: str
    num_bad: int = 0
    """Places where bytes are not valid and U+FFFD stands instead."""

    @property
    def errors(self) -> str:
        """The ``errors`` argument of ``bytes.decode``."""
        return "replace" if self.num_bad else "strict"

    def meta(self, text: str) -> dict[str, str]:
        """What a document keeps of it: the encoding if not UTF-8, and that bytes were replaced."""
        repaired = self.num_bad > 0 and "\ufffd" in text
        if repaired or not self.name.startswith("utf-8"):
            return {"encoding": self.name + (REPAIRED if repaired else "")}
        return {}


UTF_8 = Encoding(name="utf-8")


def detect(blob: Blob, *, note: Note, declared: str | None = None) -> Encoding:
    """Read a blob once, or twice where it is not UTF-8, and tell its encoding.

    Args:
        blob: the bytes.
        note: takes a line where the encoding is not plain UTF-8.
        declared: the encoding that the text names itself, believed if all bytes decode with it.

    Raises:
        RefusedError: it is empty, binary, damaged, or in no encoding known here.
    """
    encoding = _detect(blob, declared)
    if encoding.num_bad:
        note(f"{blob.label}: {encoding.num_bad} invalid sequences of {encoding.name} became U+FFFD")
    elif not encoding.name.startswith("utf-8"):
        note(f"{blob.label}: read as {encoding.name}")
    return encoding


def decode(blob: Blob, encoding: Encoding) -> str:
    """The whole text of a blob."""
    text = b"".join(blob.blocks()).decode(encoding.name, encoding.errors)
    return text.removeprefix("\ufeff")


def _detect(blob: Blob, declared: str | None) -> Encoding:
    head, valid = b"", True
    decoder = codecs.getincrementaldecoder("utf-8")()
    for block in blob.blocks():
        if blob.allowance is not None:
            blob.allowance.spend(len(block))
        head = head or block
        if valid:
            valid = _decodes(decoder, block)
    if not head:
        raise RefusedError(Reason.EMPTY)
    valid = valid and _decodes(decoder, b"", final=True)
    for mark, name in _BOMS:
        if head.startswith(mark):
            return Encoding(name=name, num_bad=0 if name == "utf-8-sig" and valid else _count_bad(blob, name))
    wide = _utf16_without_mark(head)
    if wide is not None and _strict(blob, wide):
        return Encoding(name=wide)
    _refuse_binary(head, valid)
    if valid:
        return Encoding(name="utf-8")
    return _not_utf8(blob, declared)


def _not_utf8(blob: Blob, declared: str | None) -> Encoding:
    if declared is not None:
        name = {"gb2312": "gb18030", "gbk": "gb18030", "iso-8859-1": "cp1252"}.get(declared, declared)
        if _known(name) and _strict(blob, name):
            return Encoding(name=name)
    sample = _sample(blob)
    # In a UTF-8 text with a few wrong bytes most of the sequences beyond ASCII are right.
    decoded = sample.decode("utf-8", "replace")
    num_wrong = decoded.count("\ufffd")
    num_right = len(decoded) - len(decoded.encode("ascii", "ignore")) - num_wrong
    if num_right >= 4 * num_wrong:
        return Encoding(name="utf-8", num_bad=_count_bad(blob, "utf-8"))
    if _looks_chinese(sample):
        num_bad = _count_bad(blob, "gb18030")
        if num_bad <= len(sample) // 200:
            return Encoding(name="gb18030", num_bad=num_bad)
    if _looks_european(sample) and _strict(blob, "cp1252"):
        return Encoding(name="cp1252")
    if num_wrong <= max(2, len(sample) // 50):
        return Encoding(name="utf-8", num_bad=_count_bad(blob, "utf-8"))
    raise RefusedError(Reason.ENCODING, "not UTF-8; save it as UTF-8")


def _decodes(decoder: codecs.IncrementalDecoder, block: bytes, *, final: bool = False) -> bool:
    try:
        decoder.decode(block, final)
    except UnicodeDecodeError:
        return False
    return True


def _strict(blob: Blob, name: str) -> bool:
    decoder = codecs.getincrementaldecoder(name)()
    return all(_decodes(decoder, block) for block in blob.blocks()) and _decodes(decoder, b"", final=True)


def _count_bad(blob: Blob, name: str) -> int:
    decoder = codecs.getincrementaldecoder(name)("replace")
    count = sum(decoder.decode(block).count("\ufffd") for block in blob.blocks())
    return count + decoder.decode(b"", True).count("\ufffd")


def _known(name: str) -> bool:
    try:
        codecs.lookup(name)
        codecs.getincrementaldecoder(name)
    except LookupError:
        return False
    return True


def _sample(blob: Blob) -> bytes:
    """Up to ``_SAMPLE_BYTES`` of whole lines that hold bytes beyond ASCII."""
    kept, size = [], 0
    for block in blob.blocks():
        for line in block.splitlines(keepends=True):
            if not line.isascii():
                kept.append(line[:_SAMPLE_BYTES])
                size += len(line)
                if size >= _SAMPLE_BYTES:
                    return b"".join(kept)
    return b"".join(kept)


def _looks_chinese(sample: bytes) -> bool:
    num_high = len(sample) - len(sample.translate(None, _HIGH))
    pairs = len(re.findall(rb"[\xa1-\xf7][\xa1-\xfe]", sample))
    if num_high == 0 or 2 * pairs < 0.7 * num_high:
        return False
    hanzi = _HANZI.findall(sample.decode("gb18030", "replace"))
    return sum(char in _COMMON_HANZI for char in hanzi) > 0.03 * len(hanzi)


def _looks_european(sample: bytes) -> bool:
    high = [char for char in sample.decode("cp1252", "replace") if char > "\x7f"]
    return len(high) < 0.3 * len(sample) and sum(char in _EUROPEAN for char in high) >= 0.9 * len(high)


def _utf16_without_mark(head: bytes) -> str | None:
    """UTF-16 of mostly ASCII characters shows as a zero in every second byte."""
    sample = head[: 1 << 16]
    half = len(sample) // 2
    even, odd = sample[0::2].count(0), sample[1::2].count(0)
    if half >= 8 and odd > 0.7 * half and even < 0.05 * half:
        return "utf-16-le"
    if half >= 8 and even > 0.7 * half and odd < 0.05 * half:
        return "utf-16-be"
    return None


def _refuse_binary(head: bytes, valid_utf8: bool) -> None:
    for magic, what in _MAGIC.items():
        if head.startswith(magic):
            raise RefusedError(Reason.BINARY, what)
    if head[257:262] == b"ustar":
        raise RefusedError(Reason.BINARY, "a tar archive; unpack it first")
    num_controls = len(head) - len(head.translate(None, _CONTROLS))
    # A stray control character in a text is cleaned away; compressed data is a tenth of them.
    if num_controls > 2 + 0.05 * len(head) or (not valid_utf8 and b"\0" in head):
        raise RefusedError(Reason.BINARY)
