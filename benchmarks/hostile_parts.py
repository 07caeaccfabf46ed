"""What makers of hostile files have in common: words, sound documents, sizes."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from benchmarks import office_files as make

Made = tuple[str, bytes]
Maker = Callable[[random.Random, float], Made]

_WORDS = (
    "the",
    "first",
    "paragraph",
    "of",
    "a",
    "text",
    "that",
    "someone",
    "wrote",
    "今天天气很好",
    "去公园散步",
)


def prose(rng: random.Random, num_words: int = 200) -> list[str]:
    """Lines of words of two languages."""
    return [" ".join(rng.choices(_WORDS, k=10)) for _ in range(max(1, num_words // 10))]


def ascii_only(lines: Sequence[str]) -> list[str]:
    """The lines without what is not ASCII."""
    return [line.encode("ascii", "ignore").decode() for line in lines]


def office_file(rng: random.Random) -> Made:
    """A suffix and a sound document."""
    suffix = rng.choice(list(make.OFFICE_FILES))
    lines = prose(rng)
    return suffix, make.OFFICE_FILES[suffix](ascii_only(lines) if suffix == ".pdf" else lines)


def size_of(rng: random.Random, scale: float, most: int) -> int:
    """Small, middle or as large as ``most``, times the scale."""
    return int(most * max(0.001, scale) * rng.choice((0.05, 0.2, 1.0)))
