"""What was found, without any of it: counts by kind and source, and examples with every word blackened."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from yanmo.corpus.personal.settings import Found

_BLACK = "▒▒"
_WORD = re.compile(r"[^\W_]+|_+")
_CONTEXT_CHARS = 24
_LENGTH_CLASSES = (8, 16, 32, 64, 256)


class PersonalCounts:
    """How much of each kind was found, in all and by source. Counts alone are kept."""

    def __init__(self) -> None:
        """Nothing yet."""
        self._by_source: dict[str, Counter[str]] = {}

    def add(self, source: str, found: Iterable[Found]) -> None:
        """Count what was found in a document of this source."""
        counts = Counter(f.kind.value for f in found)
        if counts:
            self._by_source.setdefault(source, Counter()).update(counts)

    def merge(self, other: PersonalCounts) -> None:
        """Add what another one counted, such as a worker's."""
        for source, counts in other._by_source.items():
            self._by_source.setdefault(source, Counter()).update(counts)

    def by_kind(self) -> dict[str, int]:
        """Kinds by name with their counts, over all sources."""
        total: Counter[str] = Counter()
        for counts in self._by_source.values():
            total.update(counts)
        return dict(sorted(total.items()))

    def by_source(self) -> dict[str, dict[str, int]]:
        """The same for each source that has any."""
        return {source: dict(sorted(counts.items())) for source, counts in sorted(self._by_source.items())}


def redacted_example(text: str, found: Sequence[Found], place: int) -> str:
    """One finding with its surroundings, in which nothing but the punctuation can be read.

    Args:
        text: the document.
        found: everything that was found in it.
        place: which of them is shown.
    """
    kind, start, end = found[place]
    before = _blackened(text[max(0, start - _CONTEXT_CHARS) : start])
    after = _blackened(text[end : end + _CONTEXT_CHARS])
    return f"{before}[{kind}, {length_class(end - start)}]{after}"


def length_class(chars: int) -> str:
    """A length as a range, as the exact one of a secret helps to guess it."""
    low = 1
    for high in _LENGTH_CLASSES:
        if chars < high:
            return f"{low} to {high - 1} characters"
        low = high
    return f"{low} characters or more"


def _blackened(text: str) -> str:
    return " ".join(_WORD.sub(_BLACK, text).split())
