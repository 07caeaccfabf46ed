"""Tokens taken apart at random, anew in each pass: noise against learning a small text by heart.

In the manner of BPE-dropout (Provilkov et al. 2020, arXiv 1910.13267, section 3), which leaves out merges
while it encodes. Here the merges of encoded tokens are undone, each with the same probability, and those of
the pieces too; so nothing is encoded twice, and a row stays a pure function of (seed, step, row). The
probability falls linearly to nothing at the planned end of the run: the last steps see the text as it is
scored. Characters are never taken apart.
"""

from __future__ import annotations

import json

import numpy as np
import torch
from numpy.typing import NDArray

from yanmo.data.loader import Batch, Batches
from yanmo.errors import InputError
from yanmo.tokenizers.load import Tokenizer


class Splitter:
    """Undoes merges of a byte-pair tokenizer."""

    def __init__(self, tokenizer: Tokenizer, *, share: float, num_steps: int) -> None:
        """Read the merges.

        Args:
            tokenizer: whose tokens are taken apart.
            share: probability at the first step that a merge is undone, from 0 to 1.
            num_steps: after which nothing is taken apart any more.

        Raises:
            InputError: the tokenizer has no merges.
        """
        self._parts_V2 = _parts(tokenizer)
        self._share, self._num_steps = share, num_steps

    def split(self, tokens_N: NDArray[np.int64], step: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """The tokens of a row, some taken apart; at least as many.

        Args:
            tokens_N: ids.
            step: of the run, from 0.
            rng: draws which.
        """
        share = self._share * max(0.0, 1 - step / self._num_steps)
        fresh_N = np.ones(len(tokens_N), np.bool_)
        while share and (chosen_N := self._choose(tokens_N, fresh_N, share, rng)).any():
            counts_N = 1 + chosen_N.astype(np.int64)
            places_N = np.cumsum(counts_N) - counts_N
            parts_C2 = self._parts_V2[tokens_N[chosen_N]]
            firsts_C = places_N[chosen_N]
            tokens_N = np.repeat(tokens_N, counts_N)
            tokens_N[firsts_C], tokens_N[firsts_C + 1] = parts_C2[:, 0], parts_C2[:, 1]
            fresh_N = np.zeros(len(tokens_N), np.bool_)
            fresh_N[firsts_C] = fresh_N[firsts_C + 1] = True
        return tokens_N

    def _choose(
        self, tokens_N: NDArray[np.int64], fresh_N: NDArray[np.bool_], share: float, rng: np.random.Generator
    ) -> NDArray[np.bool_]:
        """Which tokens are taken apart, of those that were not asked before."""
        may_N = fresh_N & (self._parts_V2[tokens_N, 0] >= 0)
        return may_N & (rng.random(len(tokens_N)) < share)


class SplitRows:
    """Rows of other batches with tokens taken apart; ``Batches`` for the causal objective.

    A row keeps its length, so what the pieces push over its end is left out.
    """

    def __init__(self, batches: Batches[Batch], splitter: Splitter, *, seed: int) -> None:
        """Join the parts; ``seed`` is of what is taken apart."""
        self._batches, self._splitter, self._seed = batches, splitter, seed

    @property
    def batch_size(self) -> int:
        """Rows of a step."""
        return self._batches.batch_size

    def epochs(self, step: int) -> float:
        """Passes over the text before ``step``."""
        return self._batches.epochs(step)

    def rows(self, step: int, rows: range) -> Batch:
        """Some rows of optimizer step ``step`` (0-based)."""
        whole = self._batches.rows(step, rows)
        tokens_BS = torch.cat((whole.inputs_BT, whole.targets_BT[:, -1:]), dim=1).numpy()
        length = tokens_BS.shape[1]
        split_BS = np.stack(
            [
                self._splitter.split(tokens_S, step, np.random.default_rng([self._seed, step, row]))[:length]
                for row, tokens_S in zip(rows, tokens_BS, strict=True)
            ]
        )
        tokens = torch.from_numpy(split_BS)
        return Batch(inputs_BT=tokens[:, :-1], targets_BT=tokens[:, 1:])


def can_split(tokenizer: Tokenizer) -> bool:
    """Whether any token can be taken apart: not characters, and not the tokens of other kinds than BPE."""
    model = json.loads(tokenizer.content)["model"]
    return bool(model.get("merges")) and bool((_parts(tokenizer) >= 0).any())


def _parts(tokenizer: Tokenizer) -> NDArray[np.int64]:
    """The two tokens that each was merged from; -1 twice where there are none, or it is one character."""
    model = json.loads(tokenizer.content)["model"]
    vocabulary, merges = model.get("vocab"), model.get("merges")
    if not merges:
        raise InputError("the tokenizer has no merges to undo", remedy="take one of the kind bpe")
    parts_V2 = np.full((tokenizer.vocab_size, 2), -1, np.int64)
    for merge in merges:
        left, right = merge.split(" ") if isinstance(merge, str) else merge
        made = vocabulary.get(left + right)
        ends_a_character = _is_whole(tokenizer.token_bytes(vocabulary[left]))
        # Of several ways to make a token the first is the one that encoding takes.
        if made is not None and ends_a_character and parts_V2[made, 0] < 0:
            parts_V2[made] = vocabulary[left], vocabulary[right]
    return parts_V2


def _is_whole(piece: bytes) -> bool:
    """Whether a piece ends where a character does."""
    try:
        piece.decode()
    except UnicodeDecodeError:
        return False
    return True
