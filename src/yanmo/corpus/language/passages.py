"""A text passage by passage: its paragraphs, those of one language together; and the filter by language.

A paragraph ends at an empty line. Within it a line of 120 characters or more stands for itself (text that
was wrapped has none so long), and so does a change of script; shorter lines are judged together, for one
alone says too little. Documents are read in blocks of 131,072 characters, paragraphs in pieces of 2,000.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from yanmo.corpus.language.identify import LANGUAGES, NO_SCRIPT, identify_all, main_scripts
from yanmo.errors import InputError

_BLOCK_CHARS = 131_072
_PIECE_CHARS = 2_000
_LONG_LINE_CHARS = 120
_SHORT_CHARS = 100


class Passage(NamedTuple):
    """``text[start:end]`` is in one language, "" where it is in none that can be told."""

    start: int
    end: int
    code: str


@dataclass(frozen=True, kw_only=True)
class LanguageSettings:
    """Which documents are kept for their language.

    Attributes:
        keep: ISO 639-1 codes; empty keeps every language.
        min_share: of the characters whose language can be told, this share must be in languages to keep, from
            0 to 1. A document of which no language can be told (numbers, program code) is kept.
    """

    keep: tuple[str, ...] = ()
    min_share: float = 0.5

    def __post_init__(self) -> None:
        """Refuse languages that cannot be told and shares that are none."""
        for code in self.keep:
            if code not in LANGUAGES:
                known = ", ".join(sorted(LANGUAGES))
                raise InputError(f"{code!r} is no language that can be told", remedy=f"known: {known}")
        if not 0 < self.min_share <= 1:
            raise InputError(f"min_share must be over 0 and at most 1, not {self.min_share}")

    def refusal(self, languages: Mapping[str, float]) -> str | None:
        """Why a document is not to be kept; None if it is.

        Args:
            languages: its ``shares``.
        """
        told = sum(share for code, share in languages.items() if code)
        if not self.keep or not told:
            return None
        kept = sum(languages.get(code, 0.0) for code in self.keep) / told
        if kept >= self.min_share:
            return None
        return f"{describe(languages)}: {', '.join(self.keep)} {kept:.2f}, less than {self.min_share:.2f}"


def passages(text: str) -> list[Passage]:
    """The passages of a text, in order; what is between them is white."""
    found: list[Passage] = []
    for start, end in _blocks(text):
        spans = list(_paragraphs(text, start, end))
        languages = identify_all([text[a:b] for a, b in spans], together=True)
        for (a, b), language in zip(spans, languages, strict=True):
            found.append(Passage(a, b, language.code))
    return _join(found)


def shares(text: str) -> dict[str, float]:
    """Each language's share of the characters, the greatest first; "" is what no language was told of."""
    return shares_of(passages(text))


def shares_of(found: list[Passage]) -> dict[str, float]:
    """As ``shares``, of passages that were found."""
    chars: dict[str, int] = {}
    for start, end, code in found:
        chars[code] = chars.get(code, 0) + end - start
    total = sum(chars.values())
    ordered = sorted(chars.items(), key=lambda item: (-item[1], item[0]))
    return {code: count / total for code, count in ordered}


def main_language(languages: Mapping[str, float]) -> str:
    """The code of the greatest share; "" where no language can be told."""
    told = {code: share for code, share in languages.items() if code}
    return max(told, key=lambda code: told[code]) if told else ""


def describe(languages: Mapping[str, float]) -> str:
    """Shares for people: ``en 0.7, zh 0.3``; what is under a hundredth, or in no language, is left out."""
    return ", ".join(f"{code} {share:.2g}" for code, share in languages.items() if code and share >= 0.01)


def _blocks(text: str) -> Iterator[tuple[int, int]]:
    """Parts of bounded size, cut after an end of line where there is one."""
    start = 0
    while start < len(text):
        end = min(len(text), start + _BLOCK_CHARS)
        if end < len(text):
            end = text.rfind("\n", start, end) + 1 or end
        yield start, end
        start = end


def _paragraphs(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Where the pieces of a block are that are judged one by one."""
    begin = last = -1
    script = NO_SCRIPT
    lines = list(_lines(text, start, end))
    # Alone, a line has no other to differ from.
    kinds = main_scripts([text[a:b] for a, b in lines]) if len(lines) > 1 else [NO_SCRIPT] * len(lines)
    for (a, b), kind in zip(lines, kinds, strict=True):
        long = b - a >= _LONG_LINE_CHARS
        changes = NO_SCRIPT not in (kind, script) and kind != script
        if begin >= 0 and (a == b or long or changes):
            yield begin, last
            begin, script = -1, NO_SCRIPT
        if long:
            for place in range(a, b, _PIECE_CHARS):
                yield place, min(b, place + _PIECE_CHARS)
        elif a < b:
            begin, last = (a if begin < 0 else begin), b
            script = kind if kind != NO_SCRIPT else script
            if last - begin >= _PIECE_CHARS:
                yield begin, last
                begin, script = -1, NO_SCRIPT
    if begin >= 0:
        yield begin, last


def _lines(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Where each line is, without the white at its ends; equal where it is empty."""
    lines = text[start:end].split("\n")
    if not lines[-1]:
        lines.pop()
    for line in lines:
        begin = start + len(line) - len(line.lstrip())
        yield begin, begin + len(line.strip())
        start += len(line) + 1


def _join(found: list[Passage]) -> list[Passage]:
    """Neighbours of one language together; a short line in no language goes with the passage before it."""
    joined: list[Passage] = []
    for passage in found:
        if joined and joined[-1].code == passage.code:
            joined[-1] = Passage(joined[-1].start, passage.end, passage.code)
            continue
        if passage.code and joined and not joined[-1].code and _is_short(joined[-1]):
            gap = joined.pop()
            if joined and joined[-1].code == passage.code:
                passage = Passage(joined.pop().start, passage.end, passage.code)
            elif joined:
                joined[-1] = Passage(joined[-1].start, gap.end, joined[-1].code)
            else:
                passage = Passage(gap.start, passage.end, passage.code)
        joined.append(passage)
    if len(joined) > 1 and not joined[-1].code and _is_short(joined[-1]):
        gap = joined.pop()
        joined[-1] = Passage(joined[-1].start, gap.end, joined[-1].code)
    return joined


def _is_short(passage: Passage) -> bool:
    return passage.end - passage.start < _SHORT_CHARS
