"""The memory for keys and values of all texts, within one budget: those of answers in the making, and those
of texts that have ended, kept because the next prompt may begin as they do.

A prefix cache as in Zheng et al. 2024 (SGLang, arXiv 2312.07104, section 3), with whole texts instead of a
tree: a new text copies the longest beginning that another shares with it. What was needed longest ago goes
first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from torch import Tensor

from yanmo.models.rows import TransformerRows
from yanmo.nn.row_cache import RowCache

# Shorter beginnings are not worth a copy, shorter texts not worth keeping.
LEAST_SHARED = 16
# Tokens of room that are added where memory is short.
_STEP = 16


@dataclass(eq=False, kw_only=True)
class Holding:
    """Keys and values of a text.

    Attributes:
        rows: the model's.
        cache: keys and values.
        ids: tokens of the text, those that are held and those that will be.
        end_scores: scores (1, V) behind the prompt, once it was taken in whole.
        num_prompt: tokens of that prompt.
    """

    rows: TransformerRows
    cache: RowCache
    ids: list[int] = field(default_factory=list)
    end_scores: Tensor | None = None
    num_prompt: int = 0

    @property
    def num_bytes(self) -> int:
        """Memory that it takes."""
        return self.cache.num_bytes + (0 if self.end_scores is None else self.end_scores.nbytes)

    def shared(self, ids: Sequence[int]) -> int:
        """Tokens that a text can take from this one; its last only where the scores behind it are known."""
        num_shared = min(num_common(ids, self.ids), self.cache.num_tokens)
        if num_shared < len(ids) or (self.end_scores is not None and self.num_prompt == len(ids)):
            return num_shared
        return num_shared - 1


class KeyValueMemory:
    """Who holds keys and values, and what is kept of those that have ended."""

    def __init__(self, budget_bytes: int, *, kept_share: float = 1.0) -> None:
        """Nothing is held.

        Args:
            budget_bytes: for all keys and values together, those that are kept included.
            kept_share: of the budget, for texts that have ended; the last one is kept however long it is.
        """
        self.budget_bytes, self._most_kept_bytes = budget_bytes, kept_share * budget_bytes
        self._living: list[Holding] = []
        self._kept: list[Holding] = []

    @property
    def used_bytes(self) -> int:
        """What living and kept texts take."""
        return sum(holding.num_bytes for holding in self._all())

    @property
    def num_kept(self) -> int:
        """Texts that have ended and are kept."""
        return len(self._kept)

    def fits(self, num_bytes: int) -> bool:
        """Whether so much is free as it is."""
        return self.used_bytes + num_bytes <= self.budget_bytes

    def make_room(self, num_bytes: int) -> bool:
        """Let kept texts go until so much is free; False where living ones take too much."""
        while not self.fits(num_bytes):
            if not self._kept:
                return False
            self._kept.pop(0)
        return True

    def begin(
        self, rows: TransformerRows, ids: list[int], capacity: int, *, spare_bytes: int = 0
    ) -> Holding | None:
        """A place for a text, with room for so many tokens; a kept text with which it begins becomes it.

        Args:
            rows: of the model.
            ids: tokens of the text.
            capacity: tokens to make room for, at least those of ``ids``.
            spare_bytes: must be free beside.

        Returns:
            None where there is not so much memory now.
        """
        source = max(self._kept_of(rows), key=lambda kept: kept.shared(ids), default=None)
        if source is not None and source.shared(ids) >= LEAST_SHARED:
            # Behind all others: it is the last to go.
            self._use(source)
        is_whole = source is not None and source.shared(ids) == len(source.ids)
        holding = source if source is not None and is_whole else Holding(rows=rows, cache=rows.start())
        capacity = max(capacity, holding.cache.capacity)
        need = holding.cache.bytes_for(capacity) - holding.cache.num_bytes
        if not self.make_room(need + spare_bytes):
            return None
        if holding is source:
            if holding not in self._kept:
                # Even it had to go.
                return self.begin(rows, ids, capacity, spare_bytes=spare_bytes)
            self._kept.remove(holding)
        holding.ids = ids
        holding.cache.reserve(capacity)
        self._living.append(holding)
        return holding

    def grow(self, holding: Holding, end: int, most: int) -> bool:
        """Make room for ``end`` tokens of a text that will have ``most``; False where there is none now.

        Room is doubled as long as nothing kept has to go for it.
        """
        capacity = holding.cache.capacity
        if end <= capacity:
            return True
        doubled, little = max(end, 2 * capacity), -(-end // _STEP) * _STEP
        for capacity, room in ((min(most, doubled), self.fits), (min(most, little), self.make_room)):
            if room(holding.cache.bytes_for(capacity) - holding.cache.num_bytes):
                holding.cache.reserve(capacity)
                return True
        return False

    def share(self, holding: Holding) -> int:
        """Copy what another text has of this one and it has not; tokens copied."""
        num_held = holding.cache.num_tokens
        best, num_shared = None, num_held + LEAST_SHARED - 1
        for other in self._all():
            if other.rows is holding.rows and other is not holding:
                shared = other.shared(holding.ids)
                if shared > num_shared or (shared == len(holding.ids) > num_held and best is None):
                    best, num_shared = other, shared
        if best is None:
            return 0
        holding.cache.copy_from(best.cache, num_shared)
        if num_shared == len(holding.ids):
            holding.end_scores, holding.num_prompt = best.end_scores, best.num_prompt
        if best in self._kept:
            self._use(best)
        return num_shared - num_held

    def remember(self, holding: Holding, end_scores: Tensor) -> None:
        """Keep the scores behind the prompt too, for one that is the same, where there is room."""
        if self.fits(end_scores.nbytes):
            holding.end_scores, holding.num_prompt = end_scores, holding.cache.num_tokens

    def end(self, holding: Holding) -> None:
        """Keep what a text holds that has ended; of two of which one is the other's beginning, the longer."""
        self._living.remove(holding)
        holding.ids = holding.ids[: holding.cache.num_tokens]
        if len(holding.ids) < LEAST_SHARED:
            return
        for kept in self._kept_of(holding.rows):
            num_shared = num_common(kept.ids, holding.ids)
            if num_shared == len(holding.ids):
                self._use(kept)
                return
            if num_shared == len(kept.ids):
                self._kept.remove(kept)
        self._kept.append(holding)
        while len(self._kept) > 1 and self._kept_bytes() > self._most_kept_bytes:
            self._kept.pop(0)

    def forget(self, rows: TransformerRows) -> None:
        """Let go of what is kept of a model."""
        self._kept = [kept for kept in self._kept if kept.rows is not rows]

    def _kept_bytes(self) -> int:
        return sum(kept.num_bytes for kept in self._kept)

    def _kept_of(self, rows: TransformerRows) -> list[Holding]:
        return [kept for kept in self._kept if kept.rows is rows]

    def _use(self, kept: Holding) -> None:
        self._kept.remove(kept)
        self._kept.append(kept)

    def _all(self) -> Iterator[Holding]:
        yield from self._living
        yield from self._kept


def num_common(first: Sequence[int], second: Sequence[int]) -> int:
    """Tokens that two texts have in common at their beginnings."""
    low, high = 0, min(len(first), len(second))
    if first[:high] == second[:high]:
        return high
    while high - low > 1:
        middle = (low + high) // 2
        if first[low:middle] == second[low:middle]:
            low = middle
        else:
            high = middle
    return low
