"""Train, valid and test: as files are named, as a column says, or drawn.

What is drawn is drawn by a hash of the texts and a seed, so the order of the rows does not matter and a row
more moves few others. Rows with the same texts stay together, and so do near duplicates
(``corpus/duplicates``): else the test would ask what was learned by heart. Each class is held out in its
share; one that has few rows keeps one for training.
"""

from __future__ import annotations

import enum
import hashlib
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import duckdb
import numpy as np
import numpy.typing as npt

from yanmo.corpus.duplicates.near import find_near
from yanmo.corpus.duplicates.signature import NearSettings, Signer
from yanmo.corpus.split import Split, named_split
from yanmo.corpus.staging import insert
from yanmo.errors import InputError
from yanmo.tasks.examples import Example
from yanmo.tasks.leaks import digests_of, groups_of_equal

Indices = npt.NDArray[np.int64]

_BATCH_ROWS = 4096
_MIN_ROWS = 3


class SplitBy(enum.StrEnum):
    """How examples are divided; ``auto`` is by the column or the files where these tell, else drawn."""

    AUTO = "auto"
    FILES = "files"
    COLUMN = "column"
    DRAWN = "drawn"


@dataclass(frozen=True, kw_only=True)
class SplitSettings:
    """How examples are divided."""

    by: SplitBy = SplitBy.AUTO
    valid: float = 0.1
    """Share that is drawn for validation where nothing else tells."""
    test: float = 0.1
    """Share that is drawn for the test where nothing else tells."""
    seed: int = 0
    near: bool = True
    """Whether near duplicates stay together."""

    def __post_init__(self) -> None:
        """Refuse shares that leave nothing."""
        if min(self.valid, self.test) < 0 or self.valid + self.test >= 1:
            raise InputError("the shares of valid and test must be 0 or more and leave some for training")


@dataclass(frozen=True, kw_only=True)
class Splits:
    """Examples by split, and how they were divided."""

    train: list[Example]
    valid: list[Example] = field(default_factory=list)
    test: list[Example] = field(default_factory=list)
    how: str = ""
    """One line."""

    def by_name(self) -> dict[str, list[Example]]:
        """As ``check_examples`` takes them."""
        return {"train": self.train, "valid": self.valid, "test": self.test}


def split_examples(
    examples: Sequence[Example],
    settings: SplitSettings = SplitSettings(),
    *,
    given: Mapping[str, Sequence[Example]] = MappingProxyType({}),
) -> Splits:
    """Divide examples.

    Validation that names or a column do not give is drawn from the training rows, a test only where they give
    nothing.

    Args:
        examples: all that were not divided by hand.
        settings: how they are divided.
        given: ``valid`` and ``test`` where these were given apart; of them nothing is drawn then.

    Raises:
        InputError: names or the column leave nothing to learn from, or there are too few rows to draw from.
    """
    named, how = _named(examples, settings.by)
    if given:
        return _beside(examples, named, given, settings)
    if not named:
        drawn = _draw(examples, {Split.TEST: settings.test, Split.VALID: settings.valid}, settings)
        return _splits(examples, drawn, f"drawn with seed {settings.seed}")
    if Split.TRAIN not in named.values():
        raise InputError(f"{how}: no rows are for training", remedy="give a train file, or draw: by drawn")
    if Split.VALID not in named.values() and settings.valid:
        pool = [index for index, split in named.items() if split is Split.TRAIN]
        drawn = _draw([examples[index] for index in pool], {Split.VALID: settings.valid}, settings)
        named = {**named, **{pool[place]: split for place, split in drawn.items()}}
        how = f"{how}, valid drawn from train with seed {settings.seed}"
    return _splits(examples, named, how)


def fold_examples(
    examples: Sequence[Example], num_folds: int, *, seed: int = 0, near: bool = True
) -> list[list[int]]:
    """Divide examples into folds of about equal size, each of which is held out once.

    Equal texts, and near duplicates, are in one fold; each class is spread over all of them.

    Args:
        examples: all of them.
        num_folds: 2 or more.
        seed: of the drawing.
        near: whether near duplicates stay together.

    Returns:
        The indices of the examples of each fold, rising.

    Raises:
        InputError: there are fewer texts that differ than folds.
    """
    grouped = _grouped(examples, seed=seed, near=near)
    num_groups = sum(len(groups) for groups in grouped.values())
    if not 2 <= num_folds <= num_groups:
        raise InputError(
            f"{num_groups} texts that differ make no {num_folds} folds",
            remedy="at least 2, at most one a text",
        )
    folds: list[list[int]] = [[] for _ in range(num_folds)]
    for _, stratum in sorted(grouped.items()):
        counts = [0] * num_folds
        for rows in stratum:
            fold = min(range(num_folds), key=lambda fold: (counts[fold], len(folds[fold])))
            counts[fold] += len(rows)
            folds[fold] += rows
    return [sorted(fold) for fold in folds]


def _beside(
    examples: Sequence[Example],
    named: dict[int, Split],
    given: Mapping[str, Sequence[Example]],
    settings: SplitSettings,
) -> Splits:
    """Where validation or test rows were given apart: all others are for training, but what is named else."""
    parts = _splits(examples, named, "")
    train, valid, test = (
        parts.train,
        list(given.get("valid", parts.valid)),
        list(given.get("test", parts.test)),
    )
    how = " and ".join(given) + " given apart"
    if not valid and settings.valid:
        drawn = _splits(train, _draw(train, {Split.VALID: settings.valid}, settings), "")
        train, valid = drawn.train, drawn.valid
        how += f", valid drawn from train with seed {settings.seed}"
    return Splits(train=train, valid=valid, test=test, how=how)


def _splits(examples: Sequence[Example], where: dict[int, Split], how: str) -> Splits:
    parts: dict[Split, list[Example]] = defaultdict(list)
    for index, example in enumerate(examples):
        parts[where.get(index, Split.TRAIN)].append(example)
    return Splits(train=parts[Split.TRAIN], valid=parts[Split.VALID], test=parts[Split.TEST], how=how)


def _named(examples: Sequence[Example], by: SplitBy) -> tuple[dict[int, Split], str]:
    """Where a column or the names of files put each example; nothing where they do not tell."""
    if by in (SplitBy.AUTO, SplitBy.COLUMN):
        said = [example.origin.split for example in examples]
        if any(said):
            where = {i: Split(name) if name else Split.TRAIN for i, name in enumerate(said)}
            return where, "by a column"
        if by is SplitBy.COLUMN:
            raise InputError("no row says its split", remedy="name the column of splits")
    if by in (SplitBy.AUTO, SplitBy.FILES):
        found = [named_split(example.origin.file) for example in examples]
        if any(split in (Split.VALID, Split.TEST) for split in found):
            # Where all is named so, names tell nothing apart.
            if by is SplitBy.FILES or not all(split in (Split.VALID, Split.TEST) for split in found):
                where = {i: split or Split.TRAIN for i, split in enumerate(found)}
                return where, "by the names of the files"
        elif by is SplitBy.FILES:
            raise InputError("no file names a split", remedy="name files train, valid and test")
    return {}, ""


def _draw(
    examples: Sequence[Example], shares: dict[Split, float], settings: SplitSettings
) -> dict[int, Split]:
    """The examples that are held out; those of one group go the same way."""
    if not any(shares.values()):
        return {}
    if len(examples) < _MIN_ROWS:
        raise InputError(
            f"{len(examples)} rows are too few to hold some out",
            remedy="label more rows, or give valid and test in files of their own",
        )
    held: dict[int, Split] = {}
    owed = dict.fromkeys(shares, 0.0)
    for _, stratum in sorted(_grouped(examples, seed=settings.seed, near=settings.near).items()):
        held.update(_hold_out(stratum, shares, owed))
    return held


def _grouped(examples: Sequence[Example], *, seed: int, near: bool) -> dict[str, list[list[int]]]:
    """The groups that stay together, by stratum, in an order drawn from their texts."""
    texts = [example.inputs() for example in examples]
    digests = digests_of(texts)
    groups = _groups(digests, [" ".join(parts) for parts in texts], near=near)
    members: dict[int, list[int]] = defaultdict(list)
    for index, group in enumerate(groups.tolist()):
        members[group].append(index)
    strata = _strata(examples)
    by_stratum: dict[str, list[list[int]]] = defaultdict(list)
    for rows in members.values():
        by_stratum[strata[rows[0]]].append(rows)
    order = _hash_order(digests, str(seed).encode())
    for stratum in by_stratum.values():
        stratum.sort(key=lambda rows: min(map(order, rows)))
    return by_stratum


def _hold_out(
    groups: Sequence[list[int]], shares: dict[Split, float], owed: dict[Split, float]
) -> dict[int, Split]:
    """Of groups in their order the first for each split, until it has its share; the last is for training.

    ``owed`` carries what rounding left over from one class to the next.
    """
    num_rows = sum(map(len, groups))
    left = list(groups[:-1])
    held: dict[int, Split] = {}
    for split, share in shares.items():
        owed[split] += share * num_rows
        while left and owed[split] >= 0.5 * len(left[0]):
            rows = left.pop(0)
            owed[split] -= len(rows)
            held.update(dict.fromkeys(rows, split))
    return held


def _hash_order(digests: npt.NDArray[np.void], seed: bytes) -> Callable[[int], bytes]:
    def order(index: int) -> bytes:
        return hashlib.blake2b(digests[index].tobytes(), digest_size=8, key=seed).digest()

    return order


def _strata(examples: Sequence[Example]) -> list[str]:
    """What each example is held out with: its label, the rarest where it has several, a tenth of numbers."""
    counts = Counter(label for example in examples for label in set(example.labels()))
    numbers = [target for example in examples if isinstance(target := example.target(), float)]
    edges = np.quantile(numbers, np.linspace(0.1, 0.9, 9)) if numbers else np.empty(0)

    def stratum(example: Example) -> str:
        target = example.target()
        if isinstance(target, float):
            return str(int(np.searchsorted(edges, target)))
        labels = set(example.labels())
        return min(labels, key=lambda label: (counts[label], label)) if labels else str(target)

    return [stratum(example) for example in examples]


def _groups(digests: npt.NDArray[np.void], texts: Sequence[str], *, near: bool) -> Indices:
    """The number of the group of each example: the index of its first."""
    groups = np.arange(len(texts))
    for equal in groups_of_equal(digests):
        groups[equal] = equal[0]
    if near:
        roots = np.arange(len(texts))
        for members in _near_clusters(texts, np.unique(groups)):
            roots[members] = members[0]
        groups = roots[groups]
    return groups


def _near_clusters(texts: Sequence[str], indices: Indices) -> Iterable[list[int]]:
    """The clusters of near duplicates among the texts with these indices."""
    settings = NearSettings()
    signer = Signer(settings)
    with tempfile.TemporaryDirectory() as folder, duckdb.connect(":memory:") as connection:
        connection.execute("CREATE TABLE signatures (seq BIGINT, signature BLOB, strictness INTEGER)")
        for start in range(0, len(indices), _BATCH_ROWS):
            some = indices[start : start + _BATCH_ROWS].tolist()
            signed = signer.sign_all([texts[index] for index in some])
            rows = [(index, one, 0) for index, one in zip(some, signed, strict=True) if one]
            insert(connection, "signatures", rows)

        def given(wanted: Sequence[int]) -> list[tuple[int, str]]:
            return [(index, texts[index]) for index in wanted]

        find_near(connection, given, settings=settings, scratch=Path(folder))
        found = connection.execute("SELECT list(seq ORDER BY seq) FROM near GROUP BY cluster").fetchall()
    return [members for (members,) in found]
