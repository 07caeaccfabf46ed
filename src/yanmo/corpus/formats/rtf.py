r"""Rich Text Format: the text, without tables of fonts and styles, pictures and instructions of fields.

The file is read as a stream of groups, control words and text. Bytes beyond ASCII are written ``\'b0\'a1``
and belong to the code page of the document or of the font in use, characters as ``\u30707?`` with a
replacement to be passed over.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from yanmo.corpus.document import Document, Note, Reason, RefusedError, Rejected
from yanmo.corpus.files import Blob
from yanmo.corpus.formats.sections import in_sections

_TOKEN = re.compile(
    rb"\\([a-zA-Z]{1,32})(-?[0-9]{1,10})? ?|\\'([0-9a-fA-F]{2})|\\([^a-zA-Z])"
    rb"|([{}])|[\r\n]+|([^\\{}\r\n]+)|(\\)",
    re.DOTALL,
)
_MAX_BYTES = 128 << 20
_MAX_DEPTH = 10_000
# Control words in a row without a character of text, hidden text included.
_MAX_IDLE = 1_000_000
_HIDDEN_WORDS = (
    "fonttbl colortbl stylesheet info pict object objdata fldinst listtable listoverridetable revtbl rsidtbl"
    " generator header headerl headerr headerf footer footerl footerr footerf themedata datastore"
    " colorschememapping latentstyles xmlnstbl mmathPr pgptbl filetbl template shpinst sp nonshppict"
    " annotation atnid atnauthor atndate bkmkstart bkmkend tc xe pn pntext listtext private datafield"
)
_HIDDEN = frozenset(word.encode() for word in _HIDDEN_WORDS.split())
_BREAKS = {
    b"par": "\n",
    b"line": "\n",
    b"sect": "\n\n",
    b"page": "\f",
    b"tab": "\t",
    b"cell": "\t",
    b"row": "\n",
}
_SIGNS = {
    b"emdash": "—",
    b"endash": "–",
    b"bullet": "•",
    b"lquote": "‘",
    b"rquote": "’",
    b"ldblquote": "“",
    b"rdblquote": "”",
    b"emspace": "\u2003",
    b"enspace": "\u2002",
}
_SYMBOLS = {b"~": "\xa0", b"_": "\u2011", b"\n": "\n", b"\r": "\n", b"{": "{", b"}": "}", b"\\": "\\"}
_CHARSETS = {
    0: "cp1252",
    77: "mac_roman",
    128: "cp932",
    129: "cp949",
    134: "gb18030",
    136: "cp950",
    161: "cp1253",
    162: "cp1254",
    163: "cp1258",
    177: "cp1255",
    178: "cp1256",
    186: "cp1257",
    204: "cp1251",
    222: "cp874",
    238: "cp1250",
}


def read_rtf(blob: Blob, *, text_column: str | None, note: Note) -> Iterator[Document | Rejected]:
    """Read an .rtf file as one text."""
    parts = []
    size = 0
    for block in blob.blocks():
        blob.spend(len(block))
        size += len(block)
        if size > _MAX_BYTES:
            raise RefusedError(Reason.TOO_LARGE, f"more than {_MAX_BYTES >> 20} MB")
        parts.append(block)
    yield from in_sections(_Interpreter().read(b"".join(parts)), blob.label)


@dataclass(frozen=True)
class _State:
    """What a group inherits from the one around it."""

    hidden: bool = False
    codec: str = "cp1252"
    skip: int = 1
    in_fonts: bool = False


class _Interpreter:
    def __init__(self) -> None:
        self._state, self._stack = _State(), list[_State]()
        self._codec, self._fonts, self._font = "cp1252", dict[int, str](), 0
        self._raw, self._to_skip, self._high = bytearray(), 0, ""

    def read(self, data: bytes) -> Iterator[str]:
        """The text, piece by piece."""
        place = last = tokens = 0
        while match := _TOKEN.match(data, place):
            place = match.end()
            word, number, code, symbol, brace, text, _ = match.groups()
            tokens += 1
            if code is not None or text is not None:
                last = tokens
            elif tokens - last > _MAX_IDLE:
                raise RefusedError(Reason.DAMAGED, f"rtf: {_MAX_IDLE} control words without text")
            if code is not None:
                if self._to_skip:
                    self._to_skip -= 1
                else:
                    self._raw.append(int(code, 16))
                continue
            if text is not None and not self._raw and not self._to_skip and not self._high:
                if not self._state.hidden:
                    yield text.decode(self._state.codec, "replace")
                continue
            if text is not None:
                passed = min(self._to_skip, len(text))
                self._to_skip -= passed
                # The second byte of a character may be written as the letter it is.
                self._raw += text[passed:]
                continue
            if word == b"bin" and number is not None:
                place += max(0, int(number))
            yield self._flush(keep_high=word == b"u")
            if brace is not None:
                self._group(brace)
            elif symbol is not None:
                if symbol == b"*":
                    self._state = replace(self._state, hidden=True)
                elif not self._state.hidden:
                    yield _SYMBOLS.get(symbol, "")
            elif word is not None:
                yield self._word(word, None if number is None else int(number))
        yield self._flush()

    def _flush(self, *, keep_high: bool = False) -> str:
        text = self._raw.decode(self._state.codec, "replace") if self._raw else ""
        self._raw.clear()
        if self._high and not keep_high:
            text, self._high = "\ufffd" + text, ""
        return "" if self._state.hidden else text

    def _group(self, brace: bytes) -> None:
        self._to_skip = 0
        if brace == b"{":
            if len(self._stack) >= _MAX_DEPTH:
                raise RefusedError(Reason.DAMAGED, "rtf: groups too deep")
            self._stack.append(self._state)
        elif self._stack:
            self._state = self._stack.pop()

    def _word(self, word: bytes, number: int | None) -> str:
        state = self._state
        if word in _HIDDEN:
            self._state = replace(state, hidden=True, in_fonts=word == b"fonttbl" or state.in_fonts)
        elif word == b"ansicpg" and number is not None:
            self._codec = _code_page(number)
            self._state = replace(state, codec=self._codec)
        elif word == b"uc" and number is not None:
            self._state = replace(state, skip=min(max(number, 0), 16))
        elif word == b"f" and number is not None:
            self._font = number
            if not state.in_fonts:
                self._state = replace(state, codec=self._fonts.get(number, self._codec))
        elif word == b"fcharset" and state.in_fonts and number in _CHARSETS and number:
            if len(self._fonts) < 4096:
                self._fonts[self._font] = _CHARSETS[number]
        elif word == b"plain":
            self._state = replace(state, codec=self._codec)
        elif state.hidden:
            return ""
        elif word == b"u" and number is not None:
            self._to_skip = state.skip
            return self._character(number % 0x10000)
        else:
            return _BREAKS.get(word) or _SIGNS.get(word, "")
        return ""

    def _character(self, code: int) -> str:
        """A UTF-16 unit: the character, once it is whole."""
        if 0xD800 <= code < 0xDC00:
            self._high = chr(code)
            return ""
        if 0xDC00 <= code < 0xE000:
            high, self._high = self._high, ""
            pair = (high + chr(code)).encode("utf-16-le", "surrogatepass")
            return pair.decode("utf-16-le", "replace")
        lost, self._high = "\ufffd" if self._high else "", ""
        return lost + chr(code)


def _code_page(number: int) -> str:
    name = {936: "gb18030", 65001: "utf-8", 10000: "mac_roman"}.get(number, f"cp{number}")
    try:
        codecs.lookup(name)
    except LookupError:
        return "cp1252"
    return name
