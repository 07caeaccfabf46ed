"""Whether a text is broken at a fixed width, and which of its line ends are no more than that.

A writer that fills lines greedily breaks where the next word would not have fitted. Each line end within
a paragraph therefore says between which widths the right margin lies: from the line's own width to that
with the next word. In a text broken at one width nearly all of these intervals share a point; in poems,
lists, code and tables they do not. Pages set in proportional type share it only roughly, so for these the
intervals are widened.

Lines of Chinese, Japanese and Thai break anywhere, up to a punctuation mark that may not begin a line.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate, pairwise
from operator import sub

_MIN_WIDTH, _MAX_WIDTH = 40, 160
_MAX_WORD = 24
_SAMPLE_CHARS, _SAMPLES = 1_500, 6
_FEW = 12
# Every sixth line of prose ends with a mark, every second of verse.
_MAX_PAUSES = 0.4
WIDE = "\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe4f\uff00-\uff60\uffe0-\uffe6"
UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u312f\u3190-\ua4cf\uf900-\ufaff\ufe30-\ufe4f\uff00-\uffef"
)
"""Scripts written without spaces between words; Korean is not among them."""
_WIDE = re.compile(f"[{WIDE}“”‘’…—]")
_BEGINS_UNSPACED = re.compile(f"[“‘]?[{UNSPACED}]")
_FIRST_WORD = re.compile(rf"[^\s{UNSPACED}]{{1,{_MAX_WORD + 1}}}")
_STRUCTURE = re.compile(
    r"[ \t\u3000]*(?:[-*+•·◦▪▸‣●○■□►※☆★§]\s|\d{1,3}(?:\.\d{1,3}){0,4}(?:[.)、．:：]|\.?[ ]{2})|[a-zA-Z][.)]\s"
    r"|[(（\[【](?:\d{1,3}|[a-zA-Z]|[ivxIVX]{1,5}|[一二三四五六七八九十]{1,3})[)）\]】]"
    r"|[一二三四五六七八九十]{1,3}、"
    r"|第[一二三四五六七八九十百零〇\d]{1,7}[章节節回条條款编編]|[A-Z][\w-]{0,20}:\s"
    r"|#|>|\||`{3}|~{3}|//|/\*|\*/|<[/!a-zA-Z]|[{}\[\]]|\$\s|\\|@\w|%|=|-{3}|_{3}|:\w)"
)
_NO_PROSE = re.compile(r"\t|\S[ ]{3,}\S|\.{4,}|,[^\s,]+,[^\s,]+,|…{3,}|(?:\. ){4}")
_NO_PROSE_END = re.compile(r"(?:[{};|\\]|[ ]{2,}|[^\S\n]\+|=)\Z")
_FINAL = re.compile(r"[.!?。！？：:…][\"'”’)\]」』）》]*\s*\Z")
_PAUSE = re.compile(r"[,，、；;。！？：:…”」』）》.!?—]\s*\Z")


@dataclass(frozen=True)
class Margin:
    """The right margin of a text."""

    width: int
    """In columns: a wide character takes two."""
    slack: float
    """Share of the width by which lines may miss it; zero in fixed type."""

    def fills(self, line: str, following: str) -> bool:
        """Whether the line may end because of this margin."""
        low, high = reach(line, following, self.slack)
        return low <= self.width <= high


def find_margin(text: str, *, paged: bool) -> Margin | None:
    """The margin that the text is plainly broken at, if it is; judged on samples of a long text."""
    slack, needed, least = (0.12, 0.5, 3) if paged else (0.0, 0.65, 5)
    if text.count("\n") < least:
        return None
    intervals: list[tuple[int, int]] = []
    chars = considered = opening = pauses = 0
    for lines in _samples(text):
        if not _are_alike(lines, needed):
            continue
        chars += sum(map(len, lines))
        plain = [bool(line) and not line.isspace() and not is_structure(line) for line in lines]
        for (line, following), both in zip(pairwise(lines), pairwise(plain), strict=True):
            if not line.strip() or not following.strip() or indent(following) > indent(line) + 1:
                continue
            considered += 1
            low, high = reach(line, following, slack)
            if all(both) and high - low <= _MAX_WORD * (1 + slack) and _MIN_WIDTH / 2 <= low <= _MAX_WIDTH:
                opening += goes_on(line, following)
                pauses += _PAUSE.search(line, max(0, len(line) - 8)) is not None
                intervals.append((low, high))
    if (
        len(intervals) < least
        or opening < needed * len(intervals) - 1
        or pauses > _MAX_PAUSES * len(intervals)
    ):
        return None
    if considered < _FEW and not paged:
        needed = 0.8
    width = _shared_width(intervals)
    met = [low for low, high in intervals if low <= width <= high]
    return Margin(width, slack) if len(met) >= needed * considered and sum(met) >= 0.4 * chars else None


def _shared_width(intervals: list[tuple[int, int]]) -> int:
    """The width that most of the intervals contain."""
    changes = [0] * (_MAX_WIDTH + 2)
    for low, high in intervals:
        changes[low] += 1
        changes[min(high, _MAX_WIDTH) + 1] -= 1
    cover = list(accumulate(changes))
    return max(range(_MIN_WIDTH, _MAX_WIDTH + 1), key=lambda width: (cover[width], -width))


def _are_alike(lines: list[str], needed: float) -> bool:
    """Whether lines may end near one column: a quick look that spares most texts the long one."""
    lengths = list(map(len, lines))
    inner = [first for first, second in pairwise(lengths) if first and second]
    counts = [0] * (_MAX_WIDTH + 1)
    for length, count in Counter(inner).items():
        if length <= _MAX_WIDTH:
            counts[length] = count
    sums = [0, *accumulate(counts)]
    most = max(map(sub, sums[_MAX_WORD + 1 :], sums))
    return most > 0 and most >= needed * len(inner)


def _samples(text: str) -> Iterator[list[str]]:
    """Whole lines from all over the text; nothing of one whose lines are too long to have been broken."""
    if len(text) <= _SAMPLE_CHARS * _SAMPLES:
        yield text.split("\n")
        return
    step = len(text) // _SAMPLES
    for start in range(0, step * _SAMPLES, step):
        yield text[start : start + _SAMPLE_CHARS].split("\n")[1:-1]


def is_structure(line: str) -> bool:
    """Whether a line may be an item, a heading, a row, code, a quotation: anything but plain prose."""
    return (
        _STRUCTURE.match(line) is not None
        or _NO_PROSE.search(line, 0, 400) is not None
        or _NO_PROSE_END.search(line, max(0, len(line) - 40)) is not None
        or indent(line) >= 8
    )


def indent(line: str) -> int:
    """Columns before the text of a line."""
    space = line[: len(line) - len(line.lstrip())]
    return len(space) + space.count("\u3000") + 7 * space.count("\t")


def columns(text: str) -> int:
    """The width of a text in fixed type."""
    return len(text) if text.isascii() else len(text) + len(_WIDE.findall(text))


def reach(line: str, following: str, slack: float = 0.0) -> tuple[int, int]:
    """Least and greatest column of the margin, if it is what broke the line here."""
    low = columns(line.rstrip())
    start = following.lstrip()
    if _BEGINS_UNSPACED.match(start):
        # A mark that may not begin a line takes a character with it, or hangs over the margin.
        low, high = max(0, low - 2), low + 4
        slack /= 3
    else:
        word = _FIRST_WORD.match(start)
        high = low + (columns(word[0]) if word else 0)
    return int(low * (1 - slack)), int(high * (1 + slack))


def goes_on(line: str, following: str) -> bool:
    """Whether a sentence runs over the line end: not a proof, but rare where lines are meant."""
    start = following.lstrip()
    if _BEGINS_UNSPACED.match(start):
        return _PAUSE.search(line, max(0, len(line) - 8)) is None
    first = start[:1]
    return first.isalpha() and not first.isupper() and _FINAL.search(line, max(0, len(line) - 8)) is None
