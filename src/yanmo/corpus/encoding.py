"""Which encoding the bytes of a text are in, and whether they are a text at all.

UTF-8 first; then byte order marks; then UTF-16 and UTF-32 by their zeros; then what the file declares
(HTML); then UTF-8 with a few bad bytes, which become U+FFFD; then the one of the older encodings whose
decoded text looks most like a language (``formats/scripts.py``); else the file is refused. Where a second one
looks about as good, the document's meta and a note say so.
"""

from __future__ import annotations

import codecs

from yanmo.corpus.document import Note, Reason, RefusedError
from yanmo.corpus.files import REPAIRED, Blob, Encoding
from yanmo.corpus.formats.scripts import CANDIDATES, likeness

_SAMPLE_BYTES = 1 << 18
# The four bytes of UTF-32's mark begin with the two of UTF-16's.
_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_WIDE = ("utf-32-le", "utf-32-be", "utf-16-le", "utf-16-be")
# What declares one of these is as a rule in the larger set.
_LARGER = {
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "iso-8859-1": "cp1252",
    "latin-1": "cp1252",
    "us-ascii": "cp1252",
    "shift_jis": "cp932",
    "shift-jis": "cp932",
    "sjis": "cp932",
    "euc-kr": "cp949",
    "ks_c_5601-1987": "cp949",
    "utf-16": "utf-16-le",
    "utf-32": "utf-32-le",
}
_CONTROLS = bytes(set(range(32)) - set(b"\t\n\r\f\v\b\x1b")) + b"\x7f"
# A text in a wrong encoding scores below this (scripts.likeness), one in the right one above.
_LEAST_LIKENESS = 0.15
# Two candidates this near to each other cannot be told apart; of a few characters the score says little.
_UNCERTAIN, _UNCERTAIN_CHARS = 0.1, 1.0


__all__ = ["REPAIRED", "UTF_8", "Encoding", "announce", "decode", "detect"]

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
    announce(encoding, blob.label, note)
    return encoding


def announce(encoding: Encoding, label: str, note: Note) -> None:
    """Say which encoding a file was read in, if there is anything to say about it."""
    if encoding.num_bad:
        note(f"{label}: {encoding.num_bad} invalid sequences of {encoding.name} became U+FFFD")
    elif not encoding.name.startswith("utf-8"):
        doubt = f", which is uncertain: {encoding.rival} is about as likely" if encoding.rival else ""
        note(f"{label}: read as {encoding.name}{doubt}")


def decode(blob: Blob, encoding: Encoding, *, max_bytes: int) -> str:
    """The whole text of a blob.

    Raises:
        RefusedError: it has more than ``max_bytes``.
    """
    parts, size = [], 0
    for block in blob.blocks():
        parts.append(block)
        size += len(block)
        if size > max_bytes:
            raise RefusedError(Reason.TOO_LARGE, f"more than {max_bytes >> 20} MB in one piece")
    return b"".join(parts).decode(encoding.name, encoding.errors).removeprefix("\ufeff")


def _detect(blob: Blob, declared: str | None) -> Encoding:
    head, valid = b"", True
    decoder = codecs.getincrementaldecoder("utf-8")()
    for block in blob.blocks():
        blob.spend(len(block))
        head = head or block
        if valid:
            valid = _decodes(decoder, block)
    if not head:
        raise RefusedError(Reason.EMPTY)
    valid = valid and _decodes(decoder, b"", final=True)
    for mark, name in _BOMS:
        if head.startswith(mark):
            return Encoding(name=name, num_bad=0 if name == "utf-8-sig" and valid else _count_bad(blob, name))
    if not valid or b"\0" in head:
        for wide in _wide_without_mark(head):
            if _strict(blob, wide):
                return Encoding(name=wide)
    _refuse_binary(head, valid)
    if valid:
        return Encoding(name="utf-8")
    return _not_utf8(blob, declared)


def _not_utf8(blob: Blob, declared: str | None) -> Encoding:
    if declared is not None:
        name = _LARGER.get(declared, declared)
        if _known(name) and _strict(blob, name):
            return Encoding(name=name)
    sample = _sample(blob)
    # In a UTF-8 text with a few wrong bytes most of the sequences beyond ASCII are right.
    decoded = sample.decode("utf-8", "replace")
    num_wrong = decoded.count("\ufffd")
    num_right = len(decoded) - len(decoded.encode("ascii", "ignore")) - num_wrong
    if num_right >= 4 * num_wrong:
        return Encoding(name="utf-8", num_bad=_count_bad(blob, "utf-8"))
    found = _likeliest(blob, sample)
    if found is not None:
        return found
    if num_wrong <= max(2, len(sample) // 50):
        return Encoding(name="utf-8", num_bad=_count_bad(blob, "utf-8"))
    raise RefusedError(Reason.ENCODING, "not UTF-8; save it as UTF-8")


def _likeliest(blob: Blob, sample: bytes) -> Encoding | None:
    """The older encoding whose text looks most like one; damaged places are allowed 1 in 200 bytes."""
    scores = {}
    for name in CANDIDATES:
        text = sample.decode(name, "replace")
        if text.count("\ufffd") <= len(sample) // 200:
            scores[name] = likeness(text, name)
    ranked = sorted(scores, key=lambda name: -scores[name])
    while ranked and scores[ranked[0]] >= _LEAST_LIKENESS:
        best = ranked.pop(0)
        num_bad = 0 if _strict(blob, best) else _count_bad(blob, best)
        if num_bad > len(sample) // 200:
            continue
        text = sample.decode(best, "replace")
        margin = _UNCERTAIN + _UNCERTAIN_CHARS / max(1, sum(not char.isascii() for char in text))
        rival = ranked[0] if ranked and scores[ranked[0]] > scores[best] - margin else ""
        same = rival and text == sample.decode(rival, "replace")
        return Encoding(name=best, num_bad=num_bad, rival="" if same else rival)
    return None


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


def _wide_without_mark(head: bytes) -> list[str]:
    """UTF-32 and UTF-16 without a mark, the likelier first, where the bytes show one of them.

    UTF-32 has zeros in every character, and few bytes are valid in it. In UTF-16 the text must look like one.
    """
    sample = head[: 1 << 16]
    found = []
    for name in _WIDE:
        width = 4 if "32" in name else 2
        usable = sample[: len(sample) - len(sample) % width]
        if len(usable) < 8 * width:
            continue
        text = usable.decode(name, "replace")
        # A cut surrogate pair may stand at the end of the sample.
        if text.count("\ufffd") > 1:
            continue
        if likeness(text, name) > 0.5:
            found.append((likeness(text, name), name))
    return [name for _, name in sorted(found, reverse=True)]


def _refuse_binary(head: bytes, valid_utf8: bool) -> None:
    num_controls = len(head) - len(head.translate(None, _CONTROLS))
    # A stray control character in a text is cleaned away; compressed data is a tenth of them.
    if num_controls > 2 + 0.05 * len(head) or (not valid_utf8 and b"\0" in head):
        raise RefusedError(Reason.BINARY)
