"""Pairs of texts, of which the second follows on the first or does not, with some tokens hidden.

Rows are ``[CLS] A [SEP] B [SEP]`` with token types 0 and 1; in half of them B is what follows A in its
document, in the other half it is text from elsewhere (Devlin et al. 2019, arXiv 1810.04805, section 3.1,
task 2). Departures: a row is always full, so that nothing is padded: A may reach back, and B ahead, over
the edge of a document (which a [SEP] marks); only the place between A and B is always inside of one, where
a sentence ends if one does near there. B from elsewhere begins at such a place too, of another document
wherever there is one, and never overlaps the row's own stretch of text.

Contract: ``PairBatches(store, tokenizer, config=MaskingConfig(...), batch_size=, seq_len=, seed=)`` is
``Batches[PairBatch]``. Each row is a pure function of (seed, step, row).

Shapes: B rows, T tokens.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from yanmo.data.masking import MaskedBatch, Masker, MaskingConfig, require_words, row_generators
from yanmo.data.token_store import TokenStore
from yanmo.data.windows import Windows
from yanmo.errors import InputError
from yanmo.tokenizers.load import Tokenizer

# Rows that the text must hold at least, so that there is an elsewhere.
_LEAST_ROWS = 4
# Attempts to find text of another document, then text from farther away in the same one.
_TRIES = 16
_SENTENCE_ENDS = (".", "!", "?", "…", "。", "！", "？", "\n")
_CLOSING = " \t\"'”’»)）]】」』》"


@dataclass(frozen=True, kw_only=True)
class PairBatch:
    """Pairs with hidden tokens.

    Attributes:
        masked: the rows.
        types_BT: 0 up to the first [SEP], 1 behind it.
        unrelated_B: 1 where the second text is from elsewhere, 0 where it follows on the first.
    """

    masked: MaskedBatch
    types_BT: Tensor
    unrelated_B: Tensor


class PairBatches:
    """Pairs from a store: ``Batches`` for the masked objective with next-sentence prediction."""

    def __init__(
        self,
        store: TokenStore,
        tokenizer: Tokenizer,
        *,
        config: MaskingConfig | None = None,
        batch_size: int,
        seq_len: int,
        seed: int,
    ) -> None:
        """Prepare batches of ``batch_size`` rows of ``seq_len`` tokens, special ones included.

        Raises:
            InputError: the text is shorter than a few rows, the rows have no room for two texts, the
                tokenizer has no special tokens for this, or the store does not know the words that shall
                be hidden.
        """
        self._masker = Masker(tokenizer, config or MaskingConfig())
        require_words(store, self._masker.config)
        length = seq_len - 3
        if length < 8 or store.num_tokens < _LEAST_ROWS * length:
            raise InputError(
                f"{store.num_tokens} tokens are too few for pairs in rows of {seq_len}",
                remedy="give more text, or rows of at least 11 tokens and at most a quarter of the text",
            )
        self._store, self._seed = store, seed
        self.batch_size, self.seq_len = batch_size, seq_len
        self._windows = Windows(store.num_tokens, length, seed=seed)
        self._edge_id = int(store.tokens[0])
        self._documents = store.document_starts()
        self._ends_sentence, self._opens_sentence = _sentence_edges(tokenizer)

    @property
    def batch_tokens(self) -> int:
        """Tokens a step, seen or hidden."""
        return self.batch_size * self.seq_len

    def epochs(self, step: int) -> float:
        """Passes over the text before ``step``."""
        return step * self.batch_size / self._windows.per_epoch

    def rows(self, step: int, rows: range) -> PairBatch:
        """Some rows of optimizer step ``step`` (0-based)."""
        generators = row_generators(self._seed, step, rows)
        tokens_BT = np.full((len(rows), self.seq_len), self._masker.sep_id)
        tokens_BT[:, 0] = self._masker.cls_id
        begins_BT = np.ones((len(rows), self.seq_len), np.bool_)
        types_BT = np.zeros((len(rows), self.seq_len), np.int64)
        unrelated_B = np.zeros(len(rows), np.int64)
        for index, (row, rng) in enumerate(zip(rows, generators, strict=True)):
            start = self._windows.start(step * self.batch_size + row)
            second, length, is_unrelated = self._pair(start, rng)
            middle = self._windows.length - length + 1
            for place, begin, size in ((1, start, middle - 1), (middle + 1, second, length)):
                tokens_BT[index, place : place + size] = self._store.window(begin, size)
                begins_BT[index, place : place + size] = self._store.word_starts(begin, size)
            types_BT[index, middle + 1 :] = 1
            unrelated_B[index] = is_unrelated
        return PairBatch(
            masked=self._masker.hide(tokens_BT, begins_BT, generators),
            types_BT=torch.from_numpy(types_BT),
            unrelated_B=torch.from_numpy(unrelated_B),
        )

    def _pair(self, start: int, rng: np.random.Generator) -> tuple[int, int, bool]:
        """Where the second text begins and its length, and whether it is from elsewhere."""
        end, quarter = start + self._windows.length, self._windows.length // 4
        cut = self._cut(start + quarter, end - quarter, rng)
        if rng.random() < 0.5:
            return cut, end - cut, False
        return self._elsewhere(start, cut, rng), end - cut, True

    def _cut(self, low: int, high: int, rng: np.random.Generator) -> int:
        """A place from ``low`` to below ``high`` that parts no word, inside of a document if there is one.

        It is behind the end of a sentence if one ends there.
        """
        tokens = self._store.window(low - 1, high - low + 1)
        inside = (tokens[1:] != self._edge_id) & (tokens[:-1] != self._edge_id)
        wholes = inside & self._store.word_starts(low, high - low)
        sentences = self._ends_sentence[tokens[:-1]] | self._opens_sentence[tokens[1:]]
        for fits in (wholes & sentences, wholes, inside):
            places = np.flatnonzero(fits)
            if len(places):
                return low + int(places[rng.integers(len(places))])
        return low

    def _elsewhere(self, start: int, cut: int, rng: np.random.Generator) -> int:
        """Where text begins that is not that of the row from ``start`` on."""
        end, region = start + self._windows.length, self._windows.length // 2
        length = end - cut
        last = self._store.num_tokens - length
        own = self._document(cut - 1)
        for attempt in range(_TRIES):
            low = int(rng.integers(1, max(2, last - region)))
            place = self._cut(low, min(low + region, last + 1), rng)
            is_apart = place + length <= start or place >= end
            if is_apart and (attempt >= _TRIES // 2 or self._document(place) != own):
                return place
        return int(rng.integers(0, start - length + 1) if start >= length else rng.integers(end, last + 1))

    def _document(self, place: int) -> int:
        return int(np.searchsorted(self._documents, place, side="right"))


def _sentence_edges(tokenizer: Tokenizer) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which tokens end a sentence, and which begin with the end of one.

    Quotation marks and brackets behind an end belong to it. Where no space follows on an end, as in Chinese,
    it is often one token with the word behind it.
    """
    texts = [tokenizer.token_bytes(i).decode(errors="replace") for i in range(tokenizer.vocab_size)]
    ends = [text.rstrip(_CLOSING).endswith(_SENTENCE_ENDS) for text in texts]
    opens = [text.startswith(_SENTENCE_ENDS) and not end for text, end in zip(texts, ends, strict=True)]
    return np.array(ends), np.array(opens)
