"""Exact duplicates: texts that are equal after cleaning, up to the white space around them."""

from __future__ import annotations

import hashlib


class SeenTexts:
    """The texts seen so far, as 16-byte digests."""

    def __init__(self) -> None:
        """Start with none."""
        self._first: dict[bytes, int] = {}

    def add(self, text: str, index: int) -> int | None:
        """Remember a text under ``index``.

        Returns:
            The index it was first seen under, or None if it is new.
        """
        raw = text.strip().encode("utf-8", "surrogatepass")
        first = self._first.setdefault(hashlib.sha256(raw).digest()[:16], index)
        return None if first == index else first

    def replace(self, text: str, index: int) -> None:
        """Let ``index`` stand for a text that was seen before."""
        raw = text.strip().encode("utf-8", "surrogatepass")
        self._first[hashlib.sha256(raw).digest()[:16]] = index
