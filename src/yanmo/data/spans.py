"""Rows of text with some spans taken out, and the spans as what to write: for the denoising objective.

Span corruption: Raffel et al. 2020 (arXiv 1910.10683, section 3.1.4): 15% of the tokens, in spans of 3 on
average, each replaced by a sentinel; the target is each sentinel with what stood there. A mixture of
denoisers: Tay et al. 2022 (arXiv 2205.05131, section 3.1, table 1): regular ones (R), ones that take the
end of the text away (S), and extreme ones with long spans or half of the text (X). Departures: a text may
begin with a span and need not end with one; the mixture has no tokens that name its modes.

Contract: ``SpanBatches(store, tokenizer, denoisers=DENOISERS["spans" | "ul2"], batch_size=, seq_len=,
seed=)`` is ``Batches[SpanBatch]``. Every row is made of the same number of tokens of the stream, as many as
leave no source and no target longer than ``seq_len``; lengths depend on the denoiser alone, so that nothing
is padded: sources and targets are packed, those of equal length as neighbours. Each row is a pure function
of (seed, step, row).

Shapes: S tokens of all sources, T of all targets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from yanmo.data.masking import row_generators
from yanmo.data.token_store import TokenStore
from yanmo.data.windows import Windows
from yanmo.errors import InputError
from yanmo.nn.packing import Segments
from yanmo.tokenizers.load import Tokenizer


@dataclass(frozen=True, kw_only=True)
class Denoiser:
    """One way to take spans out.

    Attributes:
        share: of the tokens that are taken out.
        mean_span: tokens of a span on average.
        at_end: whether it is a single span, at the end of the text, whatever ``mean_span`` says.
        weight: how often it is drawn, beside others.
    """

    share: float = 0.15
    mean_span: float = 3.0
    at_end: bool = False
    weight: float = 1.0

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        if not 0 < self.share < 1 or self.mean_span < 1 or self.weight <= 0:
            raise InputError(
                f"no denoiser: share {self.share}, mean_span {self.mean_span}, weight {self.weight}",
                remedy="share is between 0 and 1, mean_span at least 1, weight above 0",
            )

    def counts(self, num_tokens: int) -> tuple[int, int]:
        """Tokens that are taken out of ``num_tokens``, and spans that they make up."""
        taken = min(max(round(num_tokens * self.share), 1), num_tokens - 1)
        spans = 1 if self.at_end else max(1, round(taken / self.mean_span))
        # Between two spans something stays.
        return taken, min(spans, taken, num_tokens - taken + 1)

    def lengths(self, num_tokens: int) -> tuple[int, int]:
        """Tokens of the source and of the target that ``num_tokens`` become, each with its end."""
        taken, spans = self.counts(num_tokens)
        return num_tokens - taken + spans + 1, taken + spans + 1


# Mixtures by name; Tay et al. draw their seven equally often.
DENOISERS: dict[str, tuple[Denoiser, ...]] = {
    "spans": (Denoiser(),),
    "ul2": (
        Denoiser(share=0.15, mean_span=3.0),
        Denoiser(share=0.15, mean_span=8.0),
        Denoiser(share=0.25, at_end=True),
        Denoiser(share=0.5, mean_span=3.0),
        Denoiser(share=0.5, mean_span=8.0),
        Denoiser(share=0.15, mean_span=64.0),
        Denoiser(share=0.5, mean_span=64.0),
    ),
}


@dataclass(frozen=True, kw_only=True)
class SpanBatch:
    """Packed sources and targets, int64, one of each a row, in the same order.

    Attributes:
        sources_1S: texts with sentinels for spans, each ended.
        source_segments: their lengths.
        inputs_1T: what the decoder sees: each target moved by one, behind the token that begins it.
        targets_1T: each sentinel with its span, ended.
        target_segments: lengths of ``inputs_1T`` and ``targets_1T``.
    """

    sources_1S: Tensor
    source_segments: Segments
    inputs_1T: Tensor
    targets_1T: Tensor
    target_segments: Segments


class SpanBatches:
    """Rows of a store with spans taken out: ``Batches`` for the denoising objective."""

    def __init__(
        self,
        store: TokenStore,
        tokenizer: Tokenizer,
        *,
        denoisers: Sequence[Denoiser] = DENOISERS["spans"],
        batch_size: int,
        seq_len: int,
        seed: int,
    ) -> None:
        """Prepare batches of ``batch_size`` rows whose sources and targets have at most ``seq_len`` tokens.

        Raises:
            InputError: the text is shorter than a row, or the tokenizer has too few sentinels.
        """
        num_tokens = row_tokens(denoisers, seq_len)
        self._denoisers = tuple(denoisers)
        self._sentinels = np.array(tokenizer.sentinel_ids, np.int64)
        num_spans = max(denoiser.counts(num_tokens)[1] for denoiser in denoisers)
        if len(self._sentinels) < num_spans:
            raise InputError(
                f"{num_spans} spans a row need as many sentinels; the tokenizer has {len(self._sentinels)}",
                remedy="give one that was trained for the denoising objective, or a smaller --max-seq-len",
            )
        self._end_id, self._first_id = tokenizer.eos_id, tokenizer.pad_id
        weights = np.array([denoiser.weight for denoiser in denoisers])
        self._bounds = np.cumsum(weights)[:-1] / weights.sum()
        self._store, self._seed = store, seed
        self.batch_size, self.seq_len = batch_size, seq_len
        self._windows = Windows(store.num_tokens, num_tokens, seed=seed)

    @property
    def batch_tokens(self) -> int:
        """Tokens of the stream that a step sees."""
        return self.batch_size * self._windows.length

    def epochs(self, step: int) -> float:
        """Passes over the text before ``step``."""
        return step * self.batch_size / self._windows.per_epoch

    def rows(self, step: int, rows: range) -> SpanBatch:
        """Some rows of optimizer step ``step`` (0-based), those of equal length as neighbours."""
        pairs = []
        for row, rng in zip(rows, row_generators(self._seed, step, rows), strict=True):
            start = self._windows.start(step * self.batch_size + row)
            denoiser = self._denoisers[int(np.searchsorted(self._bounds, rng.random(), side="right"))]
            pairs.append(self._corrupt(self._store.window(start, self._windows.length), denoiser, rng))
        pairs.sort(key=lambda pair: (len(pair[0]), len(pair[1])))
        sources, targets = zip(*pairs, strict=True)
        inputs = [np.concatenate(([self._first_id], target[:-1])) for target in targets]
        return SpanBatch(
            sources_1S=_packed(sources),
            source_segments=Segments([len(source) for source in sources]),
            inputs_1T=_packed(inputs),
            targets_1T=_packed(targets),
            target_segments=Segments([len(target) for target in targets]),
        )

    def _corrupt(
        self, tokens: NDArray[np.int64], denoiser: Denoiser, rng: np.random.Generator
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        num_taken, num_spans = denoiser.counts(len(tokens))
        spans = _parts(num_taken, num_spans, rng)
        if denoiser.at_end:
            gaps = np.array([len(tokens) - num_taken, 0])
        else:
            # At either end nothing may stay.
            gaps = _parts(len(tokens) - num_taken + 2, num_spans + 1, rng)
            gaps[[0, -1]] -= 1
        starts = np.cumsum(gaps[:-1]) + np.cumsum(spans) - spans
        is_taken = np.repeat(np.arange(2 * num_spans + 1) % 2 == 1, _alternate(gaps, spans))
        stays = ~is_taken
        stays[starts] = True
        with_sentinels = tokens.copy()
        with_sentinels[starts] = self._sentinels[:num_spans]
        source = np.append(with_sentinels[stays], self._end_id)
        target = np.insert(tokens[is_taken], np.cumsum(spans) - spans, self._sentinels[:num_spans])
        return source, np.append(target, self._end_id)


def row_tokens(denoisers: Sequence[Denoiser], seq_len: int) -> int:
    """The most tokens of which no source and no target becomes longer than ``seq_len``.

    Raises:
        InputError: there is no denoiser, or no room for a text.
    """
    if denoisers:
        for num_tokens in range(2 * seq_len, 1, -1):
            if max(max(denoiser.lengths(num_tokens)) for denoiser in denoisers) <= seq_len:
                return num_tokens
    raise InputError(
        f"{len(denoisers)} denoisers and rows of {seq_len} tokens leave no text",
        remedy="give at least one denoiser and a larger --max-seq-len",
    )


def _parts(total: int, num_parts: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """``total`` as a sum of ``num_parts`` numbers of at least 1, each such sum as likely as any."""
    cuts = np.sort(rng.permutation(total - 1)[: num_parts - 1]) + 1
    return np.diff(np.concatenate(([0], cuts, [total])))


def _alternate(gaps: NDArray[np.int64], spans: NDArray[np.int64]) -> NDArray[np.int64]:
    both = np.empty(len(gaps) + len(spans), np.int64)
    both[::2], both[1::2] = gaps, spans
    return both


def _packed(rows: Sequence[NDArray[np.int64]]) -> Tensor:
    return torch.from_numpy(np.concatenate(rows))[None]
