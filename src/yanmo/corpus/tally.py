"""What was counted on the way: numbers by subject and name, added up over parts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping


class Tally:
    """Counts such as ``cleaned: {mojibake repaired: 3}``; plain JSON on disk."""

    def __init__(self) -> None:
        """Nothing counted yet."""
        self.counts: dict[str, dict[str, int]] = {}

    def add(self, counts: Mapping[str, Mapping[str, int]]) -> None:
        """Add further counts."""
        for subject, numbers in counts.items():
            own = self.counts.setdefault(subject, {})
            for name, number in numbers.items():
                own[name] = own.get(name, 0) + number

    def of(self, subject: str) -> Counter[str]:
        """The counts of a subject, empty where nothing was counted."""
        return Counter(self.counts.get(subject, {}))
