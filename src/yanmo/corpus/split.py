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
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import Protocol

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

    seq: int
    """Its number in the corpus."""
    num_bytes: int
    num_chars: int


class Pool(Protocol):
    """The documents that no name holds out, which may be more than memory holds."""

    @property
    def num_documents(self) -> int:
        """How many there are."""

    @property
    def num_bytes(self) -> int:
        """UTF-8 bytes of all."""

    def longer_than(self, num_bytes: float) -> Iterable[Entry]:
        """The documents of more bytes, in corpus order."""

    def by_hash(self, seed: int, without: Collection[int]) -> Iterable[Group]:
        """All groups in an order that hangs on their documents' ids and the seed alone.

        Args:
            seed: of the order.
            without: numbers of documents to leave out.
        """


@dataclass(frozen=True, kw_only=True, slots=True)
class Group:
    """Documents that no split may part."""

    id: int
    num_bytes: int


@dataclass(frozen=True, kw_only=True)
class Named:
    """What names hold out, and how much text there is in all."""

    num_documents: Mapping[Split, int] = field(default_factory=dict)
    num_bytes: Mapping[Split, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Division:
    """What of a pool is held out; the rest trains."""

    held: dict[int, Split] = field(default_factory=dict)
    """Groups that are held out whole."""
    cut: dict[int, tuple[float, float]] = field(default_factory=dict)
    """Documents to cut, with the shares of them that are valid and test."""
    takes_names: bool = False
    """Whether documents go where their names say."""
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
    pool: Pool, named: Named, *, by: SplitBy, valid_fraction: float, test_fraction: float, seed: int
) -> Division:
    """Decide where each document goes.

    Args:
        pool: the documents that no name holds out; all of them where names are not to decide.
        named: those that names hold out, beside the pool.
        by: how; AUTO follows names if there are any.
        valid_fraction: share of the bytes for validation, above 0.
        test_fraction: share of the bytes for the test, 0 for none.
        seed: of the order by hash.

    Raises:
        InputError: there is too little text to divide, or no names where names were asked for.
    """
    held_out = {split: count for split, count in named.num_documents.items() if count}
    if not held_out or not pool.num_documents:
        if by is SplitBy.NAMES:
            raise InputError(
                "no file or folder is named train, valid or test beside others",
                remedy="name them so, or use another --split",
            )
        return _divide_pool(pool, by, valid_fraction, test_fraction, seed)
    present = _present(named, pool.num_bytes)
    valid_share = 0.0 if Split.VALID in present else valid_fraction
    test_share = 0.0 if Split.TEST in present else test_fraction
    listed = ", ".join(f"{split} has {_documents(held_out[split])}" for split in Split if split in held_out)
    how = f"split by the names of files and folders: {listed}"
    if valid_share + test_share == 0:
        return Division(takes_names=True, how=how)
    rest = _divide_pool(pool, SplitBy.AUTO if by is SplitBy.NAMES else by, valid_share, test_share, seed)
    return replace(rest, takes_names=True, how=f"{how}; from the rest, {rest.how}")


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


def _present(named: Named, pool_bytes: int) -> set[Split]:
    """The splits that names give enough to measure on; a file or two named so by chance is not."""
    enough = min(MIN_CORPUS_BYTES, 0.01 * (pool_bytes + sum(named.num_bytes.values())))
    return {split for split, num_bytes in named.num_bytes.items() if num_bytes and num_bytes >= enough}


def _divide_pool(pool: Pool, by: SplitBy, valid_share: float, test_share: float, seed: int) -> Division:
    total = pool.num_bytes
    if total < MIN_CORPUS_BYTES:
        raise InputError(
            f"too small to split: {pool.num_documents} documents, {format_size(total)} after cleaning",
            remedy=f"at least {format_size(MIN_CORPUS_BYTES)} of text are needed",
        )
    smallest = min(share for share in (valid_share, test_share) if share > 0)
    few = pool.num_documents < FEW_DOCUMENTS
    pieces_only = few or by is SplitBy.PIECES
    longest = 0 if pieces_only else max(valid_share, test_share) * total
    long = [] if by is SplitBy.DOCUMENTS else pool.longer_than(longest)
    cut = {entry.seq: entry.num_bytes for entry in long if entry.num_chars * smallest >= _MIN_PIECE_CHARS}
    pieces_only = pieces_only and bool(cut)
    # Where the short documents all stay in train, the long ones give their part too.
    most = 0.5 / (valid_share + test_share)
    scale = max(1.0, min(total / sum(cut.values()), most)) if pieces_only else 1.0
    held = {}
    if not pieces_only and not (cut and pool.num_documents - len(cut) < FEW_DOCUMENTS):
        held = _by_hash(pool, cut, valid_share, test_share, seed)
    how = f"held out pieces of {_documents(len(cut))} (too few or too long to hold out whole)"
    if not cut:
        how = "held out whole documents"
    elif held:
        how += " and whole others"
    return Division(held=held, cut=dict.fromkeys(cut, (scale * valid_share, scale * test_share)), how=how)


def _by_hash(
    pool: Pool, cut: Mapping[int, int], valid_share: float, test_share: float, seed: int
) -> dict[int, Split]:
    """Fill test, then valid, to their share of the bytes, in the order of a hash; the rest trains."""
    total = pool.num_bytes - sum(cut.values())
    shares = ((Split.TEST, test_share), (Split.VALID, valid_share))
    wanted = [(split, share) for split, share in shares if share > 0]
    groups = iter(pool.by_hash(seed, cut.keys()))
    result: dict[int, Split] = {}
    following = next(groups, None)
    for split, share in wanted:
        held = 0
        # One group here at least, and one for what comes after.
        while following is not None and not (held and held + following.num_bytes / 2 > share * total):
            result[following.id] = split
            held += following.num_bytes
            following = next(groups, None)
    if following is None:
        return _few_by_hash(pool, cut, wanted, seed)
    return result


def _few_by_hash(
    pool: Pool, cut: Mapping[int, int], wanted: Sequence[tuple[Split, float]], seed: int
) -> dict[int, Split]:
    """One group a split, where there are so few that their shares would leave nothing to train on."""
    groups = list(pool.by_hash(seed, cut.keys()))
    if len(groups) <= len(wanted):
        raise InputError(
            f"too few documents to split: {len(groups)}",
            remedy=f"at least {len(wanted) + 1} are needed, or one long one (--split pieces)",
        )
    return {group.id: split for group, (split, _) in zip(groups, wanted, strict=False)}


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
