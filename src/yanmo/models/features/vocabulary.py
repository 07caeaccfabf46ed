"""Counts of terms over any number of documents, in bounded memory.

What does not fit is written to disk as a sorted run; the runs are merged in the end (external sorting, Knuth
1998, The Art of Computer Programming, volume 3, section 5.4), so counts are exact whatever the corpus.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

_MAX_TERMS_IN_MEMORY = 1_000_000
_RUN_NAME = "terms-{:05d}.jsonl"


class TermCount(NamedTuple):
    """A term, how many documents have it, and how often it occurs in all."""

    term: str
    num_documents: int
    num_times: int


class TermCounter:
    """Counts terms document by document."""

    def __init__(self, folder: Path, *, max_in_memory: int = _MAX_TERMS_IN_MEMORY) -> None:
        """Begin with nothing.

        Args:
            folder: where sorted runs are kept; it exists, and ``remove`` empties it.
            max_in_memory: distinct terms held before a run is written.
        """
        self._folder, self._max_in_memory = folder, max_in_memory
        self._documents: Counter[str] = Counter()
        self._counts: Counter[str] = Counter()
        self._runs: list[Path] = []
        self.num_documents = 0

    def add(self, terms: Iterable[str]) -> None:
        """Count the terms of one document."""
        found = Counter(terms)
        self.num_documents += 1
        self._counts.update(found)
        self._documents.update(found.keys())
        if len(self._counts) > self._max_in_memory:
            self._write_run()

    def counts(self) -> Iterator[TermCount]:
        """All terms with their counts, in the order of the terms."""
        with contextlib.ExitStack() as files:
            runs = [_read(files.enter_context(path.open(encoding="utf-8"))) for path in self._runs]
            merged = heapq.merge(*runs, self._in_memory())
            for term, same in itertools.groupby(merged, key=lambda found: found.term):
                parts = list(same)
                yield TermCount(term, sum(p.num_documents for p in parts), sum(p.num_times for p in parts))

    def select(self, *, min_documents: int = 1, max_terms: int | None = None) -> list[TermCount]:
        """The terms that are worth a column, in order; of too many the most frequent."""
        found = (counted for counted in self.counts() if counted.num_documents >= min_documents)
        if max_terms is None:
            return list(found)
        return sorted(heapq.nsmallest(max_terms, found, key=lambda each: (-each.num_times, each.term)))

    def remove(self) -> None:
        """Remove what was written to disk."""
        for path in self._runs:
            path.unlink()
        self._runs = []

    def _in_memory(self) -> Iterator[TermCount]:
        return (TermCount(term, self._documents[term], self._counts[term]) for term in sorted(self._counts))

    def _write_run(self) -> None:
        path = self._folder / _RUN_NAME.format(len(self._runs))
        with path.open("w", encoding="utf-8") as file:
            for counted in self._in_memory():
                file.write(json.dumps(counted) + "\n")
        self._runs.append(path)
        self._documents.clear()
        self._counts.clear()


def _read(lines: Iterable[str]) -> Iterator[TermCount]:
    return (TermCount(*json.loads(line)) for line in lines)
