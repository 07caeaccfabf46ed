"""A text's signature: 512 bytes by which the likeness of two texts is estimated without the texts.

The set of a text's shingles (here: so many units in a row, ``units.py``) stands for it, and two sets A and B
are as like as their Jaccard similarity J = |A and B| / |A or B| (Broder 1997). The signature is a sample of
the set such that two signatures agree in a share J of their 256 places on average: Fast Similarity Sketching
(Dahlgaard, Knudsen and Thorup 2017, arXiv 1704.04370), which needs a few hashes a shingle where MinHash needs
256 and has no larger error: the standard error is at most sqrt(J(1 - J) / 256), 0.03. Of each place 16 bits
are kept (b-bit minwise hashing, Li and König 2010, arXiv 0910.3349): chance agreement is 2^-16 and neglected.

What users set is not J, which falls with the size of the shingles in a way that nobody has a feeling for, but
the share of words (or characters) that two texts have in common: if each word is kept with probability s, a
shingle of k words is kept with s^k, so J = s^k / (2 - s^k) and s = (2J / (1 + J))^(1/k) (the distance of
Mash, Ondov et al. 2016, section Methods). ``similarity`` 0.75 says: three of four words are the same, in the
same surroundings.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from yanmo.corpus.duplicates.words import Places, shingles, slices, words_of
from yanmo.corpus.hashes import Hashes, mix
from yanmo.errors import InputError

PLACES = 256
"""Numbers in a signature."""
SIGNATURE_BYTES = 2 * PLACES

Signatures = npt.NDArray[np.uint16]

_BATCH_CHARS = 1 << 15
_THROWS = 6 * PLACES
_GOLDEN = 0x9E3779B97F4A7C15
_EMPTY = np.uint64((1 << 64) - 1)
_ROUND_BITS, _VALUE_BITS = np.uint64(48), np.uint64((1 << 48) - 1)


@dataclass(frozen=True, kw_only=True)
class NearSettings:
    """What counts as a near duplicate."""

    similarity: float = 0.75
    """Share of words (or characters of Chinese) in common from which two texts are near duplicates, 0.5 to 1.

    Documents of one template (forms, licence headers, mails with a long footer) are near duplicates where the
    template is that share of each; raise this to keep them.
    """
    shingle: int = 3
    """Words (or characters of Chinese) in a row that are compared together, 1 to 8."""
    min_units: int = 20
    """Texts of fewer words (or characters of Chinese) are never near duplicates, only exact ones."""

    def __post_init__(self) -> None:
        """Refuse values that mean nothing."""
        if not 0.5 <= self.similarity <= 1:
            raise InputError("similarity must be from 0.5 to 1")
        if not 1 <= self.shingle <= 8:
            raise InputError("shingle must be from 1 to 8 words")
        if self.min_units < self.shingle:
            raise InputError("min_units must be at least as many as a shingle has")

    @property
    def jaccard(self) -> float:
        """The Jaccard similarity of shingles at the threshold."""
        return jaccard_of(self.similarity, self.shingle)


def jaccard_of(similarity: float, shingle: int) -> float:
    """The Jaccard similarity of shingles that a share of common words stands for."""
    kept = similarity**shingle
    return float(kept / (2 - kept))


def similarity_of(jaccard: float, shingle: int) -> float:
    """Inverse of ``jaccard_of``."""
    return float((2 * jaccard / (1 + jaccard)) ** (1 / shingle))


class Signer:
    """Makes signatures: pure, the same on every machine, constant in memory."""

    def __init__(self, settings: NearSettings = NearSettings()) -> None:
        """Keep the settings; ``similarity`` does not matter here, so signatures outlive a change of it."""
        self._settings = settings

    def sign(self, text: str) -> bytes:
        """A text's signature of ``SIGNATURE_BYTES``; empty where the text is too short for one."""
        return self.sign_all([text])[0]

    def sign_all(self, texts: Sequence[str]) -> list[bytes]:
        """As ``sign`` for each text; several short ones at once take less time than one by one."""
        signed: list[bytes] = []
        batch: list[str] = []
        num_chars = 0
        for text in texts:
            batch.append(text)
            num_chars += len(text)
            if num_chars >= _BATCH_CHARS:
                signed += self._sign_batch(batch)
                batch, num_chars = [], 0
        return signed + self._sign_batch(batch)

    def _sign_batch(self, texts: Sequence[str]) -> list[bytes]:
        if len(texts) == 1 and len(texts[0]) > _BATCH_CHARS:
            return [self._sign_long(texts[0])]
        sketches, num_units = self._sketch(texts)
        places = (sketches & np.uint64(0xFFFF)).astype("<u2")
        enough = num_units >= self._settings.min_units
        return [row.tobytes() if is_enough else b"" for row, is_enough in zip(places, enough, strict=True)]

    def _sign_long(self, text: str) -> bytes:
        whole = np.full(PLACES, _EMPTY)
        num_units = 0
        for piece in slices(text):
            sketches, counts = self._sketch([piece])
            np.minimum(whole, sketches[0], out=whole)
            num_units += int(counts[0])
        return (
            (whole & np.uint64(0xFFFF)).astype("<u2").tobytes()
            if num_units >= self._settings.min_units
            else b""
        )

    def _sketch(self, texts: Sequence[str]) -> tuple[Hashes, Places]:
        units = words_of(texts)
        size = self._settings.shingle
        joined = shingles(units.hashes, size)
        # A shingle that begins in the last units of a text ends in the next text.
        counts = np.maximum(np.diff(units.bounds) - size + 1, 0)
        inside = (
            np.arange(len(joined))
            < np.repeat(units.bounds[:-1] + counts, np.diff(units.bounds))[: len(joined)]
        )
        return sketch(joined[inside], counts), np.diff(units.bounds)


def shingle_set(text: str, size: int) -> Hashes:
    """The different shingles of a text, in order: what a signature is an estimate of."""
    found = [shingles(words_of([piece]).hashes, size) for piece in slices(text)]
    return np.unique(np.concatenate([np.empty(0, np.uint64), *found]))


def exact_jaccard(first: Hashes, second: Hashes) -> float:
    """The Jaccard similarity of two sets of shingles."""
    common = len(np.intersect1d(first, second, assume_unique=True))
    return common / max(1, len(first) + len(second) - common)


def sketch(values: Hashes, counts: Places) -> Hashes:
    """Fast similarity sketches of several sets at once.

    In round i every value is thrown into one of the 256 places and has a rank there; a place keeps the least
    pair of (round, rank). Rounds go on until every place of the set is filled; from round 256 on, the values
    are thrown into one place a round, so that an end is certain.

    Args:
        values: 64-bit hashes of the members of all sets, one set after the other.
        counts: members of each set.

    Returns:
        A row of 256 numbers a set, of which the low 16 bits make the signature; all bits set where a set has
        no member.
    """
    table = np.full(len(counts) * PLACES, _EMPTY)
    rows = table.reshape(-1, PLACES)
    firsts = np.cumsum(counts) - counts
    rounds = np.zeros(len(counts), np.int64)
    # So many rounds leave a place empty in about half of the sets: then the next ones are few.
    step = np.ceil(_THROWS / np.maximum(counts, 1)).astype(np.int64)
    todo = np.flatnonzero(counts)
    while len(todo):
        until = np.minimum(rounds[todo] + step[todo], np.where(rounds[todo] < PLACES, PLACES, 2 * PLACES))
        times = until - rounds[todo]
        # One row for each round of each set, then one for each member in it.
        owners = np.repeat(todo, times)
        turns = np.arange(len(owners)) - np.repeat(np.cumsum(times) - times - rounds[todo], times)
        _throw(table, values, owners, turns, firsts[owners], counts[owners])
        rounds[todo] = until
        todo = todo[(rows[todo] == _EMPTY).any(axis=1)]
        # A large set that leaves a place empty has few different members ("no no no no").
        for owner in todo[(counts[todo] > _THROWS) & (rounds[todo] == 1)]:
            members = np.unique(values[firsts[owner] : firsts[owner] + counts[owner]])
            if len(members) < counts[owner]:
                rows[owner] = sketch(members, np.array([len(members)]))[0]
                todo = todo[todo != owner]
    return rows


def _throw(
    table: Hashes, values: Hashes, owners: Places, turns: Places, firsts: Places, counts: Places
) -> None:
    ends = np.cumsum(counts)
    members = np.arange(ends[-1]) - np.repeat(ends - counts - firsts, counts)
    turns_64 = turns.astype(np.uint64)
    thrown = mix(values[members] + np.repeat(turns_64 * np.uint64(_GOLDEN), counts))
    places = np.where(turns < PLACES, -1, turns - PLACES)
    spots = (thrown >> np.uint64(56)).astype(np.int64)
    if (places >= 0).any():
        fixed = np.repeat(places, counts)
        spots = np.where(fixed >= 0, fixed, spots)
    spots += np.repeat(owners * PLACES, counts)
    thrown &= _VALUE_BITS
    thrown |= np.repeat(turns_64 << _ROUND_BITS, counts)
    np.minimum.at(table, spots, thrown)


def standard_error(jaccard: float) -> float:
    """Of an estimate of a Jaccard similarity from two signatures."""
    return math.sqrt(jaccard * (1 - jaccard) / PLACES)
