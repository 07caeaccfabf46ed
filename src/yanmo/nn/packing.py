"""Texts of different lengths in one batch without padding: all tokens in one row, and who they belong to.

Everything but attention looks at single tokens and needs to know nothing; attention goes over runs of
neighbouring texts of equal length, each run a dense batch of its own (sort texts by length, and there
are few runs). No product of matrices of weights is ever computed for a token that is not there. Where short
texts make many runs, attention alone takes them as padded rows (``spread``), one product for all.

Shapes: B texts, T tokens of the longest, N tokens of all texts, F features.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from yanmo.errors import InputError

# More runs than these are dearer than some padding, as long as texts are short and most of it is text.
_MANY_RUNS, _SHORT, _MOST_PADDING = 8, 128, 3


@dataclass(frozen=True)
class Run:
    """``rows`` neighbouring texts of ``length`` tokens each, from token ``start`` of the packed row on."""

    start: int
    rows: int
    length: int

    @property
    def tokens(self) -> slice:
        """Where they stand in the packed row."""
        return slice(self.start, self.start + self.rows * self.length)


class Segments:
    """Which stretch of a packed row is which text."""

    def __init__(self, lengths: Sequence[int], *, before: Sequence[int] = ()) -> None:
        """Say which texts there are.

        Args:
            lengths: tokens of each text, in the order they are packed.
            before: tokens of each text that were read before these and are held in a cache; none if empty.

        Raises:
            InputError: there is no text, or one without a token.
        """
        if not lengths or min(lengths) < 1:
            raise InputError("a packed batch needs texts of at least one token each")
        self.lengths = tuple(int(length) for length in lengths)
        self._before = tuple(before)

    @property
    def ends(self) -> tuple[int, ...]:
        """Tokens of each text so far, those read before included."""
        if not self._before:
            return self.lengths
        return tuple(before + length for before, length in zip(self._before, self.lengths, strict=True))

    @property
    def num_tokens(self) -> int:
        """Tokens of all texts."""
        return sum(self.lengths)

    @cached_property
    def lengths_B(self) -> Tensor:
        """Tokens of each text, int64."""
        return torch.tensor(self.lengths)

    @cached_property
    def starts_B(self) -> Tensor:
        """Place of each text's first token, int64."""
        return self.lengths_B.cumsum(0) - self.lengths_B

    @cached_property
    def positions_N(self) -> Tensor:
        """Position of each token in its text, from 0, int64."""
        firsts_B = self.starts_B - torch.tensor(self._before) if self._before else self.starts_B
        return torch.arange(self.num_tokens) - firsts_B.repeat_interleave(self.lengths_B)

    @cached_property
    def texts_N(self) -> Tensor:
        """Which text each token belongs to, int64."""
        return torch.arange(len(self.lengths)).repeat_interleave(self.lengths_B)

    @cached_property
    def runs(self) -> tuple[Run, ...]:
        """Neighbouring texts of equal length, joined."""
        return tuple(pair[0] for pair in paired_runs(self, self))

    def pad(self, x_1N: Tensor, *, value: float = 0) -> Tensor:
        """From (1, N, ...) to (B, T, ...), each text at the left and ``value`` behind it."""
        padded = x_1N.new_full((len(self.lengths), max(self.lengths), *x_1N.shape[2:]), value)
        padded[self.texts_N, self.positions_N] = x_1N[0]
        return padded

    @cached_property
    def _sources_R(self) -> Tensor:
        """Which packed token stands at each place of padded rows; behind a text its last one."""
        places_BT = torch.arange(max(self.lengths)).minimum(self.lengths_B[:, None] - 1)
        return (self.starts_B[:, None] + places_BT).flatten()

    @cached_property
    def _places_N(self) -> Tensor:
        """Where each packed token stands in padded rows."""
        return self.texts_N * max(self.lengths) + self.positions_N

    def spread(self, x_1NF: Tensor) -> Tensor:
        """From (1, N, F) to (B, T, F); what stands behind a text must have no part in any result."""
        rows: Tensor = _Spread.apply(x_1NF[0], self._sources_R, self._places_N)
        return rows.unflatten(0, (len(self.lengths), -1))

    def joined(self, x_BTF: Tensor) -> Tensor:
        """From (B, T, F) to (1, N, F): what stands behind a text is left out."""
        packed: Tensor = _Join.apply(x_BTF.flatten(0, 1), self._places_N)
        return packed.unsqueeze(0)


class _Spread(torch.autograd.Function):
    """Rows of a matrix, some repeated; a gradient comes back from the places given alone."""

    @staticmethod
    def forward(ctx: Any, x_NF: Tensor, sources_R: Tensor, places_N: Tensor) -> Tensor:
        ctx.save_for_backward(places_N)
        return x_NF.index_select(0, sources_R)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None, None]:
        (places_N,) = ctx.saved_tensors
        return grad_outputs[0].index_select(0, places_N), None, None


class _Join(torch.autograd.Function):
    """Different rows of a matrix."""

    @staticmethod
    def forward(ctx: Any, x_RF: Tensor, places_N: Tensor) -> Tensor:
        ctx.save_for_backward(places_N)
        ctx.num_rows = len(x_RF)
        return x_RF.index_select(0, places_N)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None]:
        (places_N,) = ctx.saved_tensors
        (grad_NF,) = grad_outputs
        grad_RF = grad_NF.new_zeros(ctx.num_rows, grad_NF.shape[1])
        return grad_RF.index_copy_(0, places_N, grad_NF), None


def is_ragged(queries: Segments, keys: Segments) -> bool:
    """Whether attention is quicker over padded rows than over runs of equal lengths."""
    longest = max(*queries.lengths, *keys.lengths)
    padded = len(queries.lengths) * max(queries.lengths)
    return (
        longest <= _SHORT
        and padded <= _MOST_PADDING * queries.num_tokens
        and len(paired_runs(queries, keys)) > _MANY_RUNS
    )


def paired_runs(queries: Segments, keys: Segments) -> tuple[tuple[Run, Run], ...]:
    """Runs of neighbouring texts of which both the queries' and the keys' lengths are equal.

    Args:
        queries: one text for each of ``keys``.
        keys: what text number i of ``queries`` attends to is text number i of these.
    """
    pairs: list[tuple[Run, Run]] = []
    query_start = key_start = 0
    for query_length, key_length in zip(queries.lengths, keys.lengths, strict=True):
        if pairs and (pairs[-1][0].length, pairs[-1][1].length) == (query_length, key_length):
            query, key = pairs[-1]
            pairs[-1] = (
                Run(query.start, query.rows + 1, query_length),
                Run(key.start, key.rows + 1, key_length),
            )
        else:
            pairs.append((Run(query_start, 1, query_length), Run(key_start, 1, key_length)))
        query_start += query_length
        key_start += key_length
    return tuple(pairs)


def pack(tokens_BT: Tensor, mask_BT: Tensor) -> tuple[Tensor, Segments]:
    """Leave the padding out of a padded batch.

    Args:
        tokens_BT: token ids, padded on either side.
        mask_BT: nonzero where there is a token.

    Returns:
        The tokens as one row (1, N), and its segments.

    Raises:
        InputError: a row is all padding.
    """
    kept_BT = mask_BT.bool()
    return tokens_BT[kept_BT].unsqueeze(0), Segments(kept_BT.sum(1).tolist())


def pack_lists(texts: Sequence[Sequence[int]]) -> tuple[Tensor, Segments]:
    """Token ids of several texts as one row (1, N), and its segments.

    Raises:
        InputError: there is no text, or one without a token.
    """
    segments = Segments([len(text) for text in texts])
    return torch.tensor([token for text in texts for token in text]).unsqueeze(0), segments


def batches_by_tokens(lengths: Sequence[int], batch_tokens: int) -> Iterator[list[int]]:
    """Numbers of texts, shortest first, in groups of at most ``batch_tokens`` tokens or one text."""
    batch: list[int] = []
    num_tokens = 0
    for row in sorted(range(len(lengths)), key=lengths.__getitem__):
        if batch and num_tokens + lengths[row] > batch_tokens:
            yield batch
            batch, num_tokens = [], 0
        batch.append(row)
        num_tokens += lengths[row]
    if batch:
        yield batch
