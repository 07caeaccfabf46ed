"""Loss of texts under a language model: every token once, in bounded memory, with an interval.

A text longer than the model's context is scored with a sliding window: each window after the first
scores only its last ``stride`` tokens, so each of them has at least ``max_seq_len - stride`` tokens
before it. Windows are batched by length, so that hardly any padding is computed.

B rows, T tokens a row.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from yanmo import metrics
from yanmo.errors import InputError
from yanmo.models.base import LanguageModel
from yanmo.reporting.progress import say_once

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

BATCH_TOKENS = 16_384
# An interval comes from documents where there are this many, from blocks of text where there are fewer.
_ENOUGH_DOCUMENTS = 30
_BLOCK_BYTES = 4096
_ENOUGH_BLOCKS = 20
_FINE_BLOCK_BYTES = 64
# Of more documents, neighbours are joined: as good an interval, and soon drawn.
_MOST_UNITS = 10_000
_TEXTS_AT_ONCE = 512
_BATCHES_AT_ONCE = 16


class TextTokenizer(Protocol):
    """A tokenizer, as far as scoring needs it."""

    @property
    def eos_id(self) -> int:
        """Id of the token that ends a document."""

    def encode_batch(self, texts: Sequence[str]) -> list[Ints]:
        """Token ids of many texts."""

    def token_bytes(self, token_id: int) -> bytes:
        """Bytes that a token stands for."""


@dataclass(frozen=True, kw_only=True)
class TextScore:
    """Loss of a text.

    Attributes:
        loss_nats: SUM over the scored tokens.
        num_tokens: scored tokens.
        num_bytes: UTF-8 bytes of the text.
        num_documents: texts with at least one byte.
        interval: 95% confidence interval of ``bits_per_byte``.
    """

    loss_nats: float
    num_tokens: int
    num_bytes: int
    num_documents: int
    interval: tuple[float, float]

    @property
    def bits_per_byte(self) -> float:
        """Comparable between tokenizers."""
        return metrics.bits_per_byte(self.loss_nats, self.num_bytes)

    @property
    def perplexity(self) -> float:
        """Per token; not comparable between tokenizers."""
        return metrics.perplexity(self.loss_nats, self.num_tokens)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "bits_per_byte": self.bits_per_byte,
            "interval": list(self.interval),
            "perplexity": self.perplexity,
            "loss_nats": self.loss_nats,
            "num_tokens": self.num_tokens,
            "num_bytes": self.num_bytes,
            "num_documents": self.num_documents,
        }


class Tally:
    """Sums the losses of documents and keeps what the interval is drawn from."""

    def __init__(self) -> None:
        """Begin at nothing."""
        self._documents: list[tuple[float, int]] = []
        self._blocks: list[tuple[Floats, Floats]] = []
        self._num_tokens = 0

    def add(self, losses: NDArray[np.floating[Any]], num_bytes: Ints) -> None:
        """Count a document: nats and bytes of each of its tokens; one without bytes counts for nothing."""
        if not num_bytes.sum():
            return
        nats = losses.astype(np.float64)
        self._documents.append((float(nats.sum()), int(num_bytes.sum())))
        self._num_tokens += len(nats)
        if len(self._documents) >= _ENOUGH_DOCUMENTS:
            return
        block_of_token = (np.cumsum(num_bytes) - num_bytes) // _FINE_BLOCK_BYTES
        starts = np.flatnonzero(np.diff(block_of_token, prepend=-1))
        self._blocks.append(
            (np.add.reduceat(nats, starts), np.add.reduceat(num_bytes, starts).astype(np.float64))
        )

    def score(self, *, seed: int = 0) -> TextScore:
        """The score of all documents so far.

        The interval resamples documents where there are at least 30; else blocks of consecutive text of
        up to 4 KiB, shorter where the text has not 20 of these. Texts of less than a few hundred bytes
        have no interval worth the name.

        Raises:
            InputError: no document had any text.
        """
        if not self._documents:
            raise InputError("there is no text to score")
        nats, num_bytes = (np.array(column, np.float64) for column in zip(*self._documents, strict=True))
        bits, units = self._sample(nats, num_bytes)
        low, high = metrics.ratio_interval(bits.tolist(), units.tolist(), seed=seed)
        return TextScore(
            loss_nats=float(nats.sum()),
            num_tokens=self._num_tokens,
            num_bytes=int(num_bytes.sum()),
            num_documents=len(nats),
            interval=(low, high),
        )

    def _sample(self, nats: Floats, num_bytes: Floats) -> tuple[Floats, Floats]:
        if len(nats) < _ENOUGH_DOCUMENTS:
            nats = np.concatenate([block_nats for block_nats, _ in self._blocks])
            num_bytes = np.concatenate([block_bytes for _, block_bytes in self._blocks])
            joined = min(max(1, len(nats) // _ENOUGH_BLOCKS), _BLOCK_BYTES // _FINE_BLOCK_BYTES)
        else:
            joined = 1 + len(nats) // _MOST_UNITS
        starts = np.arange(0, len(nats), joined)
        return np.add.reduceat(nats, starts) / math.log(2), np.add.reduceat(num_bytes, starts)


def evaluate_texts(
    model: LanguageModel,
    tokenizer: TextTokenizer,
    texts: Iterable[str],
    *,
    stride: int | None = None,
    batch_tokens: int = BATCH_TOKENS,
    seed: int = 0,
) -> TextScore:
    """Score texts as separate documents.

    A document is preceded by the end-of-text token, as it is in the training stream, and all its tokens
    are scored; the end-of-text token after it is not, so that the loss is that of the text's bytes.

    Args:
        model: any language model.
        tokenizer: the one it was trained with.
        texts: documents, read once; empty ones count for nothing.
        stride: tokens by which the window moves, 1 to ``max_seq_len`` - 1; half of ``max_seq_len`` if None.
        batch_tokens: about how many tokens a batch holds; at least one window.
        seed: of the interval's resampling.

    Raises:
        InputError: there is no text, the stride is out of range, or the tokenizer has no end-of-text token.
    """
    tally = Tally()
    eos = np.array([tokenizer.eos_id], np.int64)
    bytes_of_token = BytesOfTokens(tokenizer)
    texts = (text for text in texts if text)
    while batch := list(islice(texts, _TEXTS_AT_ONCE)):
        documents = tokenizer.encode_batch(batch)
        rows = (np.concatenate([eos, ids]) for ids in documents)
        losses = sequence_losses(model, rows, stride=stride, batch_tokens=batch_tokens)
        for text, ids, document_losses in zip(batch, documents, losses, strict=True):
            tally.add(document_losses, bytes_of_token(ids, text))
    return tally.score(seed=seed)


def sequence_losses(
    model: LanguageModel,
    sequences: Iterable[Ints],
    *,
    stride: int | None = None,
    batch_tokens: int = BATCH_TOKENS,
) -> Iterator[NDArray[np.float32]]:
    """Loss of every token but the first of each sequence, in the order given.

    Args:
        model: any language model.
        sequences: token ids, each at least one; read as they are needed.
        stride: as in ``evaluate_texts``.
        batch_tokens: as in ``evaluate_texts``.

    Yields:
        float32 nats, one fewer than the sequence has tokens.

    Raises:
        InputError: the stride is out of range.
    """
    longest = model.max_seq_len
    if longest is not None:
        stride = max(1, longest // 2) if stride is None else stride
        if not 1 <= stride < longest:
            raise InputError(f"a stride of {stride} is out of range", remedy=f"choose 1 to {longest - 1}")
    group: list[Ints] = []
    num_tokens = 0
    for sequence in sequences:
        group.append(sequence)
        num_tokens += len(sequence)
        if num_tokens >= batch_tokens * _BATCHES_AT_ONCE:
            yield from _group_losses(model, group, stride, batch_tokens)
            group, num_tokens = [], 0
    yield from _group_losses(model, group, stride, batch_tokens)


@dataclass(frozen=True, kw_only=True)
class _Window:
    """Tokens ``start`` to ``end`` of a sequence, of which those from ``first`` on are scored."""

    sequence: int
    start: int
    first: int
    end: int

    @property
    def length(self) -> int:
        return self.end - self.start


def _windows(sequence: int, num_tokens: int, longest: int | None, stride: int | None) -> Iterator[_Window]:
    if longest is None or stride is None:
        longest = stride = num_tokens
    end = min(longest, num_tokens)
    if end > 1:
        yield _Window(sequence=sequence, start=0, first=1, end=end)
    while end < num_tokens:
        # The last window reaches back as far as the others, whatever is left to score in it.
        first, end = end, min(end + stride, num_tokens)
        yield _Window(sequence=sequence, start=end - longest, first=first, end=end)


def _group_losses(
    model: LanguageModel, sequences: list[Ints], stride: int | None, batch_tokens: int
) -> list[NDArray[np.float32]]:
    losses = [np.zeros(len(sequence) - 1, np.float32) for sequence in sequences]
    windows = [
        window
        for index, sequence in enumerate(sequences)
        for window in _windows(index, len(sequence), model.max_seq_len, stride)
    ]
    windows.sort(key=lambda window: window.length, reverse=True)
    while windows:
        # The first is the longest, and so the width of the batch.
        num_rows = max(1, batch_tokens // windows[0].length)
        batch, windows = windows[:num_rows], windows[num_rows:]
        tokens_BT = np.zeros((len(batch), batch[0].length), np.int64)
        for row, window in enumerate(batch):
            tokens_BT[row, : window.length] = sequences[window.sequence][window.start : window.end]
        with torch.inference_mode():
            loss_BT1 = model.token_losses(torch.from_numpy(tokens_BT)).float().numpy(force=True)
        for row, window in enumerate(batch):
            scored = loss_BT1[row, window.first - window.start - 1 : window.length - 1]
            if np.isnan(scored).any():
                raise InputError(
                    "the model's scores are not numbers", remedy="its weights are damaged; train it again"
                )
            losses[window.sequence][window.first - 1 : window.end - 1] = scored
    return losses


class BytesOfTokens:
    """How many bytes each token of a text stands for; asks the tokenizer once for each id."""

    def __init__(self, tokenizer: TextTokenizer) -> None:
        """Begin with an empty table."""
        self._tokenizer = tokenizer
        self._table = np.full(1, -1, np.int64)

    def __call__(self, ids: Ints, text: str) -> Ints:
        """Bytes of each token of ``text``; they always add up to the text's UTF-8 bytes."""
        total = len(text.encode("utf-8", "surrogatepass"))
        if not len(ids):
            raise InputError(f"the tokenizer makes no token of a text of {total} bytes")
        if (size := int(ids.max()) + 1) > len(self._table):
            self._table = np.concatenate([self._table, np.full(size - len(self._table), -1, np.int64)])
        for token_id in np.unique(ids[self._table[ids] < 0]).tolist():
            self._table[token_id] = len(self._tokenizer.token_bytes(token_id))
        num_bytes: Ints = self._table[ids]
        if int(num_bytes.sum()) != total:
            say_once("The tokenizer changes some texts; bits per byte count the bytes of the original.")
            num_bytes = np.diff(np.arange(len(ids) + 1) * total // len(ids))
        return num_bytes
