"""Changes to a text as data: what a step wants replaced, and where a cleaned text came from.

A step of cleaning looks at a text and returns edits instead of a new text. So every step can be counted and
shown, and the place of each character in the source stays known without a copy of the source: an
alignment keeps offsets alone (what was masked is nowhere written down again).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple


class Edit(NamedTuple):
    """``text[start:end]`` becomes ``replacement``; an insertion where both are equal."""

    start: int
    end: int
    replacement: str


def apply_edits(text: str, edits: Sequence[Edit]) -> str:
    """The text after its edits, which are in order and do not overlap."""
    if not edits:
        return text
    parts: list[str] = []
    place = 0
    for start, end, replacement in edits:
        assert place <= start <= end <= len(text), f"edit of {start} to {end} after one that ends at {place}"
        parts += (text[place:start], replacement)
        place = end
    return "".join([*parts, text[place:]])


def edit_between(before: str, after: str, offset: int = 0) -> list[Edit]:
    """The one edit that turns ``before`` into ``after``, as short as their common ends allow; none if equal.

    Args:
        before: a piece of a text.
        after: what it becomes.
        offset: where the piece begins in its text.
    """
    if before == after:
        return []
    shorter = min(len(before), len(after))
    head = next((i for i in range(shorter) if before[i] != after[i]), shorter)
    most = shorter - head
    tail = next((i for i in range(most) if before[-1 - i] != after[-1 - i]), most)
    return [Edit(offset + head, offset + len(before) - tail, after[head : len(after) - tail])]


def edit_pieces(text: str, pieces: Iterable[tuple[int, int]], change: Callable[[str], str]) -> list[Edit]:
    """The edits of a step that can only say what a piece becomes.

    Args:
        text: the whole text.
        pieces: start and end of each piece, in order, such as its lines.
        change: a piece to what it becomes.
    """
    edits = []
    for start, end in pieces:
        edits += edit_between(text[start:end], change(text[start:end]), start)
    return edits


class Stretch(NamedTuple):
    """``text[start:end]`` stands for ``source[source_start:source_end]``, which is different."""

    start: int
    end: int
    source_start: int
    source_end: int


@dataclass(frozen=True)
class Alignment:
    """From a text to its source: between the stretches, in order, both are the same."""

    stretches: tuple[Stretch, ...] = ()

    def then(self, edits: Sequence[Edit]) -> Alignment:
        """The alignment of the text after further edits."""
        if not edits:
            return self
        spans = sorted([(s.start, s.end) for s in self.stretches] + [(e.start, e.end) for e in edits])
        groups = [list(spans[0])]
        for start, end in spans[1:]:
            if start <= groups[-1][1]:
                groups[-1][1] = max(groups[-1][1], end)
            else:
                groups.append([start, end])
        stretches, shift, shift_source, at_edit, at_stretch = [], 0, 0, 0, 0
        for start, end in groups:
            first, first_source = start + shift, start + shift_source
            while at_edit < len(edits) and edits[at_edit].end <= end:
                edit = edits[at_edit]
                shift += len(edit.replacement) - (edit.end - edit.start)
                at_edit += 1
            while at_stretch < len(self.stretches) and self.stretches[at_stretch].end <= end:
                stretch = self.stretches[at_stretch]
                shift_source = stretch.source_end - stretch.end
                at_stretch += 1
            stretches.append(Stretch(first, end + shift, first_source, end + shift_source))
        return Alignment(tuple(stretches))

    def source_span(self, start: int, end: int) -> tuple[int, int]:
        """The least stretch of the source that ``text[start:end]`` came from."""
        return self._source_of(start, is_end=False), self._source_of(end, is_end=True)

    def _source_of(self, place: int, *, is_end: bool) -> int:
        shift = 0
        for stretch in self.stretches:
            if place < stretch.start or (place == stretch.start and is_end and stretch.end > stretch.start):
                break
            if place < stretch.end:
                return stretch.source_end if is_end else stretch.source_start
            if place == stretch.end and is_end and stretch.end > stretch.start:
                return stretch.source_end
            if place == stretch.start and not is_end and stretch.end == stretch.start:
                return stretch.source_start
            shift = stretch.source_end - stretch.end
        return place + shift

    def cut(self, start: int, end: int) -> Alignment:
        """The alignment of ``text[start:end]`` alone."""
        first, _ = self.source_span(start, end)
        own = [s for s in self.stretches if s.end >= start and s.start <= end]
        stretches = [
            Stretch(max(s.start, start) - start, min(s.end, end) - start, s.source_start, s.source_end)
            for s in own
        ]
        if first and not (stretches and stretches[0].start == 0):
            # What comes before the piece is as if it had been taken out.
            stretches.insert(0, Stretch(0, 0, 0, first))
        elif stretches and stretches[0].start == 0:
            stretches[0] = stretches[0]._replace(source_start=0)
        return Alignment(tuple(stretches))

    def to_json(self) -> list[list[int]]:
        """Plain numbers."""
        return [list(stretch) for stretch in self.stretches]

    @classmethod
    def from_json(cls, value: Iterable[Sequence[int]]) -> Alignment:
        """Inverse of ``to_json``."""
        return cls(tuple(Stretch(*map(int, numbers)) for numbers in value))

    def fits(self, text: str, source: str) -> bool:
        """Whether the text is the source with these stretches replaced: the check of a stored alignment."""
        ends = [(0, 0), *((s.end, s.source_end) for s in self.stretches)]
        starts = [*((s.start, s.source_start) for s in self.stretches), (len(text), len(source))]
        return all(
            text[end:start] == source[source_end:source_start]
            for (end, source_end), (start, source_start) in zip(ends, starts, strict=True)
        ) and all(a.end <= b.start for a, b in pairwise(self.stretches))
