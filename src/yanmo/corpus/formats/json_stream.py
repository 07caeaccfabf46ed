"""JSON values one after another, from a text that is never held whole."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from yanmo.corpus.document import Reason, RefusedError
from yanmo.corpus.tables import MAX_TEXT_CHARS

_CHUNK_CHARS = 1 << 16
# Every list or object takes 60 bytes and more, be it written in two characters.
_MAX_CONTAINERS = 1_000_000
# What is passed over to reach the records.
_MAX_OTHERS = 500_000
_DECODER = json.JSONDecoder()


def parse(text: str, *, max_chars: int = MAX_TEXT_CHARS) -> Any:
    """The value of a JSON text.

    Raises:
        RefusedError: it is broken, too deeply nested, or would take too much memory.
    """
    if len(text) > max_chars:
        raise RefusedError(Reason.TOO_LARGE, f"a value of more than {max_chars} characters")
    _refuse_many(text, 0)
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RefusedError(Reason.BROKEN_JSON, str(error)[:200]) from None


class JsonStream:
    """Reads a JSON text value by value; every method raises ``RefusedError`` where the text is broken."""

    def __init__(self, read: Callable[[int], str]) -> None:
        """Take what gives the text, at most so many characters at a time."""
        self._read = read
        self._buffer, self._at, self._ended = "", 0, False

    def items(self) -> Iterator[Any]:
        """The items of the list that begins here."""
        yield from self._each(self.value)

    def items_of(self, name: str) -> Iterator[Any]:
        """The items of the list under a key of the object that begins here."""
        for key in self._keys():
            if key == name and self._peek() == "[":
                yield from self.items()
                return
            self._pass_over()

    def list_sizes(self) -> dict[str, int]:
        """How many items the lists of objects under the keys of this object have."""
        sizes: dict[str, int] = {}
        for key in self._keys():
            if self._peek() != "[":
                self._pass_over()
                continue
            num_objects = num_others = 0
            for item in self.items():
                num_objects += isinstance(item, dict)
                num_others += not isinstance(item, dict)
                if num_others > _MAX_OTHERS:
                    raise RefusedError(Reason.TOO_LARGE, f"a list of more than {_MAX_OTHERS} values")
            if num_objects and not num_others:
                sizes[key] = num_objects
        return sizes

    def value(self) -> Any:
        """The value that begins here."""
        self._peek()
        while True:
            error: Exception
            try:
                _refuse_many(self._buffer, self._at)
                value, end = _DECODER.raw_decode(self._buffer, self._at)
                # A number may go on beyond the buffer, even where it could end: "-1." is held.
                is_number = isinstance(value, int | float)
                if self._ended or not is_number or self._buffer[end : end + 3].strip(".eE+-"):
                    self._at = end
                    return value
                error = ValueError("ends in the middle of a value")
            except RecursionError as deep:
                raise RefusedError(Reason.BROKEN_JSON, str(deep)[:200]) from None
            except ValueError as wrong:
                error = wrong
            held = len(self._buffer) - self._at
            if self._ended:
                raise RefusedError(Reason.BROKEN_JSON, str(error)[:200])
            if held > MAX_TEXT_CHARS:
                raise RefusedError(Reason.TOO_LARGE, f"a value of more than {MAX_TEXT_CHARS} characters")
            self._more(max(_CHUNK_CHARS, held))

    def _each(self, value: Callable[[], Any]) -> Iterator[Any]:
        self._take("[")
        if self._peek() == "]":
            self._at += 1
            return
        while True:
            item = value()
            separator = self._take(",]")
            yield item
            if separator == "]":
                return

    def _keys(self) -> Iterator[str]:
        """The keys of the object that begins here; each value must be taken before the next key."""
        self._take("{")
        if self._peek() == "}":
            return
        while True:
            key = self.value()
            if not isinstance(key, str):
                raise RefusedError(Reason.BROKEN_JSON, "a key that is no string")
            self._take(":")
            yield key
            if self._take(",}") == "}":
                return

    def _pass_over(self) -> None:
        """Go beyond the value that begins here."""
        if self._peek() == "[":
            for _ in self.items():
                pass
        else:
            self.value()

    def _peek(self) -> str:
        """The next character that is no space; empty at the end."""
        while True:
            while self._at < len(self._buffer):
                if self._buffer[self._at] not in " \t\r\n\ufeff":
                    return self._buffer[self._at]
                self._at += 1
            if self._ended:
                return ""
            self._more(_CHUNK_CHARS)

    def _take(self, chars: str) -> str:
        char = self._peek()
        if not char or char not in chars:
            raise RefusedError(Reason.BROKEN_JSON, f"expecting one of {' '.join(chars)}")
        self._at += 1
        return char

    def _more(self, num_chars: int) -> None:
        data = self._read(num_chars)
        self._ended = not data
        self._buffer, self._at = self._buffer[self._at :] + data, 0


def _refuse_many(text: str, begin: int) -> None:
    is_long = len(text) - begin > _MAX_CONTAINERS
    if is_long and text.count("[", begin) + text.count("{", begin) > _MAX_CONTAINERS:
        raise RefusedError(Reason.TOO_LARGE, f"more than {_MAX_CONTAINERS} lists and objects in a value")
