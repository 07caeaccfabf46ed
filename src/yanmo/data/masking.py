"""Rows of text with some tokens hidden, for the masked objective.

Of the tokens that are chosen, 80% become [MASK], 10% a random token and 10% stay (Devlin et al. 2019, arXiv
1810.04805, section 3.1). The choice is new in every epoch (Liu et al. 2019, arXiv 1907.11692, section 4.1),
and three in ten tokens are chosen: more than BERT's 15% teaches small models more (Wettig et al. 2022,
arXiv 2202.08005, section 3). Whole words: Cui et al. 2019 (arXiv 1906.08101, section 2.1). Departures: what
becomes of a chosen word is drawn once for all its tokens, and the word that would take more than the share
is chosen with a probability, so that the share is met on average; but a row's first choice always stays.

Contract: ``MaskedBatches(store, tokenizer, config=MaskingConfig(...), batch_size=, seq_len=, seed=)`` is
``Batches[MaskedBatch]``. Rows are ``[CLS] text [SEP]``, full, across documents (which a [SEP] parts, as the
store has them). Each row is a pure function of (seed, step, row).

Shapes: B rows, T tokens, N chosen tokens of all rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from yanmo.data.token_store import TokenStore
from yanmo.data.windows import Windows
from yanmo.errors import InputError
from yanmo.tokenizers.load import Tokenizer


@dataclass(frozen=True, kw_only=True)
class MaskingConfig:
    """What is hidden.

    Attributes:
        share: of the text's tokens that are chosen, to be predicted.
        whole_words: choose words, not tokens; the store must know where words begin.
        mask_share: of the chosen ones that become [MASK].
        random_share: of the chosen ones that become a random token.
    """

    share: float = 0.3
    whole_words: bool = False
    mask_share: float = 0.8
    random_share: float = 0.1

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        if not 0 < self.share < 1:
            raise InputError(f"the masked share must be between 0 and 1, not {self.share}")
        if not 0 <= self.mask_share <= 1 - self.random_share <= 1:
            raise InputError(
                f"mask_share {self.mask_share} and random_share {self.random_share} must be 0 to 1 together"
            )


@dataclass(frozen=True, kw_only=True)
class MaskedBatch:
    """Rows with hidden tokens, int64.

    Attributes:
        inputs_BT: what the model sees.
        positions_N: places of the chosen tokens among all B * T.
        targets_N: what stood there.
    """

    inputs_BT: Tensor
    positions_N: Tensor
    targets_N: Tensor


class Masker:
    """Hides tokens of rows that stand ready."""

    def __init__(self, tokenizer: Tokenizer, config: MaskingConfig) -> None:
        """Special tokens are never hidden, and never put in place of another.

        Raises:
            InputError: the tokenizer has no special tokens for this.
        """
        ids = (tokenizer.cls_id, tokenizer.sep_id, tokenizer.mask_id)
        if None in ids:
            raise InputError(
                "the tokenizer has no [CLS], [SEP] and [MASK]",
                remedy="give one that was trained for the masked objective",
            )
        self.cls_id, self.sep_id, self.mask_id = (int(token_id or 0) for token_id in ids)
        self.config = config
        self._is_special = np.zeros(tokenizer.vocab_size, np.bool_)
        self._is_special[list(tokenizer.special_ids.values())] = True
        self._ordinary = np.flatnonzero(~self._is_special)

    def hide(
        self,
        tokens_BT: NDArray[np.int64],
        begins_BT: NDArray[np.bool_],
        generators_B: Sequence[np.random.Generator],
    ) -> MaskedBatch:
        """Choose and hide.

        Args:
            tokens_BT: whole rows, special tokens included.
            begins_BT: which tokens begin a word.
            generators_B: random numbers of each row.
        """
        config, length = self.config, tokens_BT.shape[1]
        draws = np.stack([rng.random(3 * length + 1) for rng in generators_B])
        order_BT, fate_BT, other_BT = np.split(draws[:, 1:], 3, axis=1)
        words_BT, special_BT = self._words(tokens_BT, begins_BT)
        chosen_BT = _choose(words_BT, special_BT, order_BT, draws[:, :1], config.share)
        fate_BT = np.take_along_axis(fate_BT, words_BT, 1)
        masked_BT = chosen_BT & (fate_BT < config.mask_share)
        random_BT = chosen_BT & ~masked_BT & (fate_BT < config.mask_share + config.random_share)
        inputs_BT = np.where(masked_BT, self.mask_id, tokens_BT)
        drawn_BT = self._ordinary[(other_BT * len(self._ordinary)).astype(np.int64)]
        inputs_BT = np.where(random_BT, drawn_BT, inputs_BT)
        positions_N = np.flatnonzero(chosen_BT)
        return MaskedBatch(
            inputs_BT=torch.from_numpy(inputs_BT),
            positions_N=torch.from_numpy(positions_N),
            targets_N=torch.from_numpy(tokens_BT.ravel()[positions_N]),
        )

    def _words(
        self, tokens_BT: NDArray[np.int64], begins_BT: NDArray[np.bool_]
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Of each token the place of its word's first, and whether it is special."""
        special_BT = self._is_special[tokens_BT]
        begins_BT = begins_BT | special_BT if self.config.whole_words else np.ones_like(special_BT)
        # A word that the row's edge, or a special token, cuts off begins behind it.
        begins_BT[:, 0] = True
        begins_BT[:, 1:] |= special_BT[:, :-1]
        places_T = np.arange(tokens_BT.shape[1])
        return np.maximum.accumulate(np.where(begins_BT, places_T, 0), axis=1), special_BT


def _choose(
    words_BT: NDArray[np.int64],
    special_BT: NDArray[np.bool_],
    order_BT: NDArray[np.float64],
    edge_B1: NDArray[np.float64],
    share: float,
) -> NDArray[np.bool_]:
    """Words in random order until the share is reached; at least one word a row.

    Args:
        words_BT: of each token the place of its word's first.
        special_BT: tokens that cannot be chosen.
        order_BT: random numbers below 1, by place of a word's first token.
        edge_B1: random numbers that decide about the word in which the share is reached.
        share: of the tokens that can be chosen.
    """
    num_rows, length = words_BT.shape
    lengths = np.bincount((words_BT + length * np.arange(num_rows)[:, None]).ravel(), minlength=words_BT.size)
    keys_BT = np.where(special_BT, 2.0, np.take_along_axis(order_BT, words_BT, 1))
    sorted_BT = np.argsort(keys_BT, axis=1, kind="stable")
    first_BT = np.take_along_axis(words_BT, sorted_BT, 1)
    # Tokens of a word are neighbours in this order, too; where each word begins in it:
    places_T = np.arange(length)
    new_BT = np.ones_like(special_BT)
    new_BT[:, 1:] = first_BT[:, 1:] != first_BT[:, :-1]
    before_BT = np.maximum.accumulate(np.where(new_BT, places_T, 0), axis=1)
    room_BT = share * (~special_BT).sum(1, keepdims=True) - before_BT
    sizes_BT = np.take_along_axis(lengths.reshape(num_rows, length), first_BT, 1)
    taken_BT = (edge_B1 * sizes_BT < room_BT) | (before_BT == 0)
    taken_BT &= ~np.take_along_axis(special_BT, sorted_BT, 1)
    chosen_BT = np.zeros_like(special_BT)
    np.put_along_axis(chosen_BT, sorted_BT, taken_BT, 1)
    return chosen_BT


class MaskedBatches:
    """Rows of a store with hidden tokens: ``Batches`` for the masked objective."""

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
            InputError: the text is shorter than a row, the tokenizer has no special tokens for this, or the
                store does not know the words that shall be hidden.
        """
        self._masker = Masker(tokenizer, config or MaskingConfig())
        require_words(store, self._masker.config)
        self._store, self._seed = store, seed
        self.batch_size, self.seq_len = batch_size, seq_len
        self._windows = Windows(store.num_tokens, seq_len - 2, seed=seed)

    @property
    def batch_tokens(self) -> int:
        """Tokens a step, seen or hidden."""
        return self.batch_size * self.seq_len

    def epochs(self, step: int) -> float:
        """Passes over the text before ``step``."""
        return step * self.batch_size / self._windows.per_epoch

    def rows(self, step: int, rows: range) -> MaskedBatch:
        """Some rows of optimizer step ``step`` (0-based)."""
        length = self._windows.length
        tokens_BT = np.full((len(rows), self.seq_len), self._masker.sep_id)
        tokens_BT[:, 0] = self._masker.cls_id
        begins_BT = np.ones((len(rows), self.seq_len), np.bool_)
        for index, row in enumerate(rows):
            start = self._windows.start(step * self.batch_size + row)
            tokens_BT[index, 1:-1] = self._store.window(start, length)
            begins_BT[index, 1:-1] = self._store.word_starts(start, length)
        return self._masker.hide(tokens_BT, begins_BT, row_generators(self._seed, step, rows))


def row_generators(seed: int, step: int, rows: range) -> list[np.random.Generator]:
    """Random numbers of each row of a step, which no other row of the run has."""
    return [np.random.default_rng([seed, step, row, 1]) for row in rows]


def require_words(store: TokenStore, config: MaskingConfig) -> None:
    """Refuse to hide whole words of a store that knows of none.

    Raises:
        InputError: it knows of none.
    """
    if config.whole_words and store.word_bits is None:
        raise InputError("the token store does not say where words begin", remedy="build it with words=True")
