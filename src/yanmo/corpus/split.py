"""Train, valid and test without leaks: whole documents, or contiguous pieces of a few long ones.

Names decide first, as Hugging Face datasets reads them (``train.csv``, ``test/…``): a test set
that the user named is never trained on. Otherwise documents are ordered by a hash of id and seed
and held out until their bytes reach the fractions, so the order of the files does not matter and
adding a document moves few others. A handful of long documents (a novel) cannot be divided that
way: then a few pieces from all over each are held out, cut between paragraphs. (Holding out its end
alone would keep from training just what is nearest to how the text goes on.)
"""

from __future__ import annotations

import enum
import functools
import hashlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from yanmo.config import format_size
from yanmo.errors import InputError

FEW_DOCUMENTS = 20
MIN_CORPUS_BYTES = 2000
_MIN_PIECE_CHARS = 20
# A held-out piece should be long beside a model's context.
_MOST_STRETCHES, _STRETCH_PIECE_CHARS = 8, 2000
_SENTENCE_END = re.compile(r"[.!?][\"'”’)]*\s+|[。！？…][”’』」）]*")
_PLACE = re.compile(r"#(?:row|line|item)=\d+\Z")
# Tests are also a thing of programs: test_parser.py is not a test set.
_CODE_SUFFIXES = ".py .pyi .js .ts .java .c .h .cc .cpp .hpp .go .rs .rb .php .sh .sql .scala .kt .cs .lua"
_CODE = frozenset(_CODE_SUFFIXES.split())


class Split(enum.StrEnum):
    """The parts of a corpus."""

    TRAIN = "train"
    VALID = "valid"
    TEST = "test"


class SplitBy(enum.StrEnum):
    """How documents are divided; ``auto`` is names, else documents, else pieces."""

    AUTO = "auto"
    NAMES = "names"
    DOCUMENTS = "documents"
    PIECES = "pieces"


_WORDS = {
    "train": Split.TRAIN,
    "training": Split.TRAIN,
    "valid": Split.VALID,
    "validation": Split.VALID,
    "val": Split.VALID,
    "dev": Split.VALID,
    "test": Split.TEST,
    "testing": Split.TEST,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """What dividing needs to know of a document."""

    id: str
    num_bytes: int
    num_chars: int
    named: Split | None = None


@dataclass(frozen=True, kw_only=True)
class Division:
    """Where each document goes, by its index."""

    whole: dict[int, Split] = field(default_factory=dict)
    cut: dict[int, tuple[float, float]] = field(default_factory=dict)
    """Documents to cut, with the shares of them that are valid and test."""
    how: str = ""
    """One line that says what was done."""


def named_split(source: str) -> Split | None:
    """The split that a document's path names, or None.

    A folder or the file's name must hold the word between separators: ``test``, ``wiki.valid.tokens``,
    ``test_2016.txt``; the file decides before the folders, the inner folder before the outer.
    """
    return _named_by_path(_PLACE.sub("", source))


@functools.lru_cache(maxsize=1024)
def _named_by_path(name: str) -> Split | None:
    path = PurePosixPath(name)
    if path.suffix.lower() in _CODE:
        return None
    for part in reversed(path.parts):
        for token in re.split(r"[-._ ]+", part.lower()):
            word = token.rstrip("0123456789")
            if word in _WORDS:
                return _WORDS[word]
    return None


def divide(
    entries: Sequence[Entry], *, by: SplitBy, valid_fraction: float, test_fraction: float, seed: int
) -> Division:
    """Decide where each document goes.

    Args:
        entries: the documents, in corpus order.
        by: how.
        valid_fraction: share of the bytes for validation, above 0.
        test_fraction: share of the bytes for the test, 0 for none.
        seed: of the order by hash.

    Raises:
        InputError: there is too little text to divide, or no names where names were asked for.
    """
    named = {index: entry.named for index, entry in enumerate(entries) if entry.named is not None}
    held_out = {index: split for index, split in named.items() if split is not Split.TRAIN}
    uses_names = by is SplitBy.NAMES or (by is SplitBy.AUTO and 0 < len(held_out) < len(entries))
    if not uses_names:
        return _divide_pool(entries, range(len(entries)), by, valid_fraction, test_fraction, seed)
    if not 0 < len(held_out) < len(entries):
        raise InputError(
            "no file or folder is named train, valid or test beside others",
            remedy="name them so, or use another --split",
        )
    present = _present(entries, held_out)
    pool = [index for index in range(len(entries)) if index not in held_out]
    valid_share = 0.0 if Split.VALID in present else valid_fraction
    test_share = 0.0 if Split.TEST in present else test_fraction
    counts = Counter[Split](held_out.values())
    listed = ", ".join(f"{split} has {_documents(counts[split])}" for split in Split if counts[split])
    how = f"split by the names of files and folders: {listed}"
    if valid_share + test_share == 0:
        return Division(whole={**dict.fromkeys(pool, Split.TRAIN), **held_out}, how=how)
    rest = _divide_pool(
        entries, pool, SplitBy.AUTO if by is SplitBy.NAMES else by, valid_share, test_share, seed
    )
    return Division(whole={**rest.whole, **held_out}, cut=rest.cut, how=f"{how}; from the rest, {rest.how}")


def cut_text(text: str, valid_share: float, test_share: float) -> list[tuple[Split, str]]:
    """Cut a text into pieces that train, validate and test in turn; joined, they are the text again.

    The text is parted into equal stretches, eight where it is long enough, and the end of each is held out.
    Shares are of its characters; each cut moves to the nearest end of a paragraph, line or sentence.
    """
    smallest = min(share for share in (valid_share, test_share) if share > 0)
    num_stretches = max(1, min(_MOST_STRETCHES, int(len(text) * smallest / _STRETCH_PIECE_CHARS)))
    reach = int(len(text) / num_stretches * smallest / 4)
    pieces: list[tuple[Split, str]] = []
    begin = 0
    for number in range(1, num_stretches + 1):
        end = len(text) * number / num_stretches
        starts = [end - len(text) / num_stretches * share for share in (valid_share + test_share, test_share)]
        first = _boundary(text, int(starts[0]), reach)
        last = len(text) if number == num_stretches else _boundary(text, int(end), reach)
        second = _boundary(text, int(starts[1]), reach) if test_share > 0 else last
        if valid_share == 0:
            first = second
        pieces.append((Split.TRAIN, text[begin:first]))
        pieces += [(Split.VALID, text[first:second]), (Split.TEST, text[second:last])]
        begin = last
    return [(split, piece) for split, piece in pieces if piece]


def _present(entries: Sequence[Entry], held_out: Mapping[int, Split]) -> set[Split]:
    """The splits that names give enough to measure on; a file or two named so by chance is not."""
    held = dict.fromkeys(Split, 0)
    for index, split in held_out.items():
        held[split] += entries[index].num_bytes
    enough = min(MIN_CORPUS_BYTES, 0.01 * sum(entry.num_bytes for entry in entries))
    return {split for split, num_bytes in held.items() if num_bytes and num_bytes >= enough}


def _divide_pool(
    entries: Sequence[Entry],
    pool: Sequence[int],
    by: SplitBy,
    valid_share: float,
    test_share: float,
    seed: int,
) -> Division:
    total = sum(entries[index].num_bytes for index in pool)
    if total < MIN_CORPUS_BYTES:
        raise InputError(
            f"too small to split: {len(pool)} documents, {format_size(total)} after cleaning",
            remedy=f"at least {format_size(MIN_CORPUS_BYTES)} of text are needed",
        )
    smallest = min(share for share in (valid_share, test_share) if share > 0)
    largest = max(valid_share, test_share)
    few = len(pool) < FEW_DOCUMENTS
    cut = [
        index
        for index in pool
        if (few or by is SplitBy.PIECES or entries[index].num_bytes > largest * total)
        and by is not SplitBy.DOCUMENTS
        and entries[index].num_chars * smallest >= _MIN_PIECE_CHARS
    ]
    cut_bytes = sum(entries[index].num_bytes for index in cut)
    pieces_only = bool(cut) and (few or by is SplitBy.PIECES)
    # Where the short documents all stay in train, the long ones give their part too.
    scale = min(total / cut_bytes, 0.5 / (valid_share + test_share)) if pieces_only else 1.0
    whole = dict.fromkeys((index for index in pool if index not in set(cut)), Split.TRAIN)
    if not pieces_only and not (cut and len(whole) < FEW_DOCUMENTS):
        whole = _by_hash(entries, list(whole), valid_share, test_share, seed)
    how = f"held out pieces of {_documents(len(cut))} (too few or too long to hold out whole)"
    if not cut:
        how = "held out whole documents"
    elif Split.VALID in whole.values() or Split.TEST in whole.values():
        how += " and whole others"
    shares = (max(1.0, scale) * valid_share, max(1.0, scale) * test_share)
    return Division(whole=whole, cut=dict.fromkeys(cut, shares), how=how)


def _by_hash(
    entries: Sequence[Entry], pool: Sequence[int], valid_share: float, test_share: float, seed: int
) -> dict[int, Split]:
    """Fill test, then valid, to their share of the bytes, in the order of a hash; the rest trains."""
    order = sorted(pool, key=lambda i: hashlib.sha256(f"{seed}:{entries[i].id}".encode()).digest())
    total = sum(entries[index].num_bytes for index in pool)
    shares = ((Split.TEST, test_share), (Split.VALID, valid_share))
    wanted = [(split, share) for split, share in shares if share > 0]
    if len(order) <= len(wanted):
        raise InputError(
            f"too few documents to split: {len(order)}",
            remedy=f"at least {len(wanted) + 1} are needed, or one long one (--split pieces)",
        )
    result: dict[int, Split] = {}
    position = 0
    for left, (split, share) in zip(range(len(wanted), 0, -1), wanted, strict=True):
        held = 0
        # At least one document here, and at least one for everything that comes after.
        while position < len(order) - left:
            num_bytes = entries[order[position]].num_bytes
            if held and held + num_bytes / 2 > share * total:
                break
            result[order[position]] = split
            held, position = held + num_bytes, position + 1
    result.update(dict.fromkeys(order[position:], Split.TRAIN))
    return result


def _documents(count: int) -> str:
    return "1 document" if count == 1 else f"{count:,} documents"


def _boundary(text: str, target: int, reach: int) -> int:
    """The end of a paragraph, else line, else sentence, else word, nearest to ``target``."""
    low, high = max(1, target - reach), min(len(text) - 1, target + reach)
    for separator in ("\n\n", "\n"):
        before, after = text.rfind(separator, low, target), text.find(separator, target, high)
        found = [place + len(separator) for place in (before, after) if place >= 0]
        if found:
            return min(found, key=lambda place: abs(place - target))
    ends = [low + match.end() for match in _SENTENCE_END.finditer(text[low:high])]
    if ends:
        return min(ends, key=lambda place: abs(place - target))
    space = text.rfind(" ", low, target)
    return space + 1 if space >= 0 else target
