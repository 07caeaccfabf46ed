"""What every score is here: a function of how often each example counts.

A score over examples is asked again and again with other weights: all ones give its value, the counts
of a resample give one draw of the bootstrap, zeros and ones a slice or a fold, and zeros and ones over the
pooled examples of two systems their comparison. So each metric is written once, as a function of weights,
and vectorised over many weightings; intervals and tests know nothing else about it.

Most metrics are functions of sums over examples (``from_rows``): their sufficient statistics are computed
once, and a thousand resamples are one matrix product. Examples with equal statistics are of one *kind*:
how often each kind is drawn says all, which makes a resample of 100,000 right-or-wrong answers a draw of
two numbers.

Weighted or resampled, a score equals the same score computed on the examples repeated that often.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence, Sized
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from yanmo.errors import InputError

if TYPE_CHECKING:
    from scipy.sparse import csr_array

_BLOCK_NUMBERS = 2_000_000

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Scores:
    """Several scores of the same examples, as one function of the examples' weights.

    Attributes:
        names: of the scores.
        kinds: kind of each example, from 0 to ``num_kinds - 1``; examples of one kind are interchangeable.
        num_kinds: how many kinds there are.
        of_weights: from weights of the kinds, (draws, num_kinds), to values, (draws, scores). A value that is
            not defined under some weights is NaN.
        alone: gives the values of each kind alone, (num_kinds, scores); None where only many have one.
    """

    names: tuple[str, ...]
    kinds: IntArray
    num_kinds: int
    of_weights: Callable[[FloatArray], FloatArray]
    alone: Callable[[], FloatArray] | None = None

    @property
    def num_examples(self) -> int:
        """How many examples there are."""
        return len(self.kinds)

    @cached_property
    def counts(self) -> IntArray:
        """How many examples each kind has, (num_kinds,)."""
        return np.bincount(self.kinds, minlength=self.num_kinds).astype(np.int64)

    @cached_property
    def values(self) -> dict[str, float]:
        """Name to value over all examples, each counted once."""
        values = self.of_weights(self.counts[None].astype(np.float64))[0]
        return dict(zip(self.names, values.tolist(), strict=True))

    def __getitem__(self, name: str) -> float:
        """The value of one score.

        Raises:
            InputError: there is no score of this name.
        """
        if name not in self.values:
            raise InputError(f"no score is named {name!r}", remedy=f"there are {', '.join(self.names[:20])}")
        return self.values[name]

    def at(self, weights: ArrayLike) -> FloatArray:
        """The scores with other weights of the examples.

        Args:
            weights: (draws, examples) or (examples,), not negative; booleans select a slice.

        Returns:
            (draws, scores) or (scores,).

        Raises:
            InputError: there is not one weight an example.
        """
        given = np.asarray(weights, np.float64)
        if given.ndim not in (1, 2) or given.shape[-1] != self.num_examples:
            raise InputError(f"weights of shape {given.shape} do not fit {self.num_examples} examples")
        of_kinds = np.empty((given.size // given.shape[-1], self.num_kinds))
        for row, weighting in zip(of_kinds, np.atleast_2d(given), strict=True):
            row[:] = np.bincount(self.kinds, weighting, minlength=self.num_kinds)
        return self.of_weights(of_kinds).reshape(*given.shape[:-1], len(self.names))

    def each(self) -> FloatArray:
        """The scores of each example alone, (examples, scores), to find the worst.

        Raises:
            InputError: these scores are of many examples only, as an area under a curve is.
        """
        if self.alone is None:
            raise InputError(f"an example alone has no {self.names[0]}")
        return self.alone()[self.kinds]

    def among(self, rows: ArrayLike) -> Scores:
        """The scores of some of the examples, for slices and their intervals.

        Args:
            rows: their numbers, or a boolean an example.

        Raises:
            InputError: no example is chosen.
        """
        kinds = self.kinds[np.asarray(rows)]
        if len(kinds) == 0:
            raise InputError("there is no example to score")
        return replace(self, kinds=kinds)

    def only(self, names: Sequence[str]) -> Scores:
        """These scores alone, in the order given.

        Raises:
            InputError: there is no score of such a name.
        """
        for name in names:
            self[name]
        columns = [self.names.index(name) for name in names]
        of_weights, alone = self.of_weights, self.alone
        return replace(
            self,
            names=tuple(names),
            of_weights=lambda weights: of_weights(weights)[:, columns],
            alone=None if alone is None else lambda: alone()[:, columns],
        )


def from_rows(
    names: Sequence[str], rows: FloatArray | csr_array, formula: Callable[[FloatArray], FloatArray]
) -> Scores:
    """Scores that are a function of sums over the examples.

    Args:
        names: of the scores.
        rows: what each example adds, (examples, sums); dense, or a scipy.sparse CSR array of counts.
        formula: from sums, (draws, sums), to values, (draws, scores).

    Raises:
        InputError: there is no example, or a row is not finite.
    """
    if rows.shape[0] == 0:
        raise InputError("there is no example to score")
    if isinstance(rows, np.ndarray):
        check_finite(rows)
    kinds, distinct = _kinds(rows)
    return Scores(
        names=tuple(names),
        kinds=kinds,
        num_kinds=distinct.shape[0],
        of_weights=lambda weights: formula(np.asarray(weights @ distinct)),
        alone=lambda: _of_blocks(distinct, formula),
    )


def _of_blocks(rows: FloatArray | csr_array, formula: Callable[[FloatArray], FloatArray]) -> FloatArray:
    """The formula of each row, some rows at a time: a sparse one may be wide."""
    size = max(1, _BLOCK_NUMBERS // rows.shape[1])
    blocks = (rows[start : start + size] for start in range(0, rows.shape[0], size))
    dense = (block if isinstance(block, np.ndarray) else block.toarray() for block in blocks)
    return np.concatenate([formula(block) for block in dense])


def from_ratios(names: Sequence[str], tops: FloatArray, bottoms: FloatArray | None = None) -> Scores:
    """Scores that are sum(top) / sum(bottom): means, where every bottom is 1 (the default).

    Args:
        names: of the scores.
        tops: (examples, scores).
        bottoms: (examples, scores), not negative.
    """
    width = len(names)
    rows = np.hstack([tops, np.ones((len(tops), 1)) if bottoms is None else bottoms])
    return from_rows(names, rows, lambda sums: divide(sums[:, :width], sums[:, width:], otherwise=np.nan))


def joined(*parts: Scores) -> Scores:
    """Several groups of scores of the same examples as one.

    Raises:
        InputError: they are of different numbers of examples.
    """
    sizes = {part.num_examples for part in parts}
    if len(sizes) != 1:
        raise InputError(f"scores of {sorted(sizes)} examples are not of the same ones")
    can_part = all(part.alone is not None for part in parts)
    return Scores(
        names=tuple(name for part in parts for name in part.names),
        kinds=np.arange(*sizes),
        num_kinds=max(sizes),
        of_weights=lambda weights: np.hstack([part.at(weights) for part in parts]),
        alone=(lambda: np.hstack([part.each() for part in parts])) if can_part else None,
    )


def divide(top: FloatArray, bottom: FloatArray, *, otherwise: float) -> FloatArray:
    """top / bottom elementwise, with a value for where the bottom is 0."""
    positive = np.broadcast_to(bottom > 0, np.broadcast_shapes(top.shape, bottom.shape))
    return np.divide(top, bottom, out=np.full(positive.shape, otherwise), where=positive)


def check_pairs(gold: Sized, predicted: Sized) -> None:
    """One prediction for each example, and at least one.

    Raises:
        InputError: otherwise.
    """
    if len(gold) != len(predicted):
        raise InputError(
            f"{len(gold)} gold answers and {len(predicted)} predicted ones", remedy="give one prediction each"
        )
    if len(gold) == 0:
        raise InputError("there is no example to score")


def check_finite(numbers: FloatArray) -> None:
    """No NaN and no infinite number among (examples,) or (examples, columns).

    Raises:
        InputError: otherwise, naming the first example.
    """
    fine = np.isfinite(numbers).reshape(len(numbers), -1).all(1)
    if not fine.all():
        raise InputError("a number to score is NaN or infinite", where=f"example {int(np.argmin(fine))}")


def _kinds(rows: FloatArray | csr_array) -> tuple[IntArray, FloatArray | csr_array]:
    """Kind of each example, and one row a kind.

    Rows are compared by one random projection each, which is then checked: were two different rows ever
    projected to the same number, every example would be its own kind.
    """
    direction = np.random.default_rng(0).standard_normal(rows.shape[1])
    # einsum, unlike a BLAS product, treats every row alike, so equal rows get equal keys.
    keys = np.einsum("ns,s->n", rows, direction) if isinstance(rows, np.ndarray) else rows @ direction
    _, first, kinds = np.unique(keys, return_index=True, return_inverse=True)
    distinct = rows[first]
    restored = distinct[kinds]
    same = (
        (restored == rows).all() if isinstance(rows, np.ndarray) else (restored - rows).count_nonzero() == 0
    )
    if not same:
        return np.arange(rows.shape[0]), rows
    return kinds.astype(np.int64), distinct
