"""An objective that hides some words from the model while it learns.

Iyyer et al. 2015 (P15-1162, word dropout) leave whole tokens out; here [MASK] stands in their place, which a
masked encoder knows from its reading. A table of tokens that learns from a few thousand rows otherwise
learns single rows by their rarest words.

Shapes: N tokens of a packed row.
"""

from __future__ import annotations

import dataclasses

import torch

from yanmo.errors import InputError
from yanmo.finetuning.batches import PackedBatch
from yanmo.models.base import Trainable
from yanmo.tokenizers.load import Tokenizer
from yanmo.training.objective import LossSum, Objective


class HiddenWords:
    """An objective whose texts lose a share of their tokens; an ``Objective``.

    Without gradients it is the plain objective.
    """

    def __init__(self, objective: Objective[PackedBatch], tokenizer: Tokenizer, *, share: float) -> None:
        """Wrap ``objective``; special tokens are never hidden.

        Raises:
            InputError: the share is not one, or the tokenizer has no [MASK].
        """
        if not 0 < share < 1:
            raise InputError(f"the share of words to hide must be between 0 and 1, not {share:g}")
        if tokenizer.mask_id is None:
            raise InputError(
                "--hide-words puts [MASK] in place of words, and the tokenizer has none",
                remedy="leave it out, or take an encoder that was trained with masks",
            )
        self._objective, self._share, self._mask_id = objective, share, tokenizer.mask_id
        self._special_ids = torch.tensor(sorted(tokenizer.special_ids.values()))

    def __call__(self, model: Trainable, batch: PackedBatch) -> LossSum:
        """The loss of the texts with gaps."""
        if not torch.is_grad_enabled():
            return self._objective(model, batch)
        tokens_1N = batch.tokens_1N
        hidden_1N = torch.rand(tokens_1N.shape) < self._share
        hidden_1N &= ~torch.isin(tokens_1N.cpu(), self._special_ids)
        gaps_1N = tokens_1N.masked_fill(hidden_1N.to(tokens_1N.device), self._mask_id)
        return self._objective(model, dataclasses.replace(batch, tokens_1N=gaps_1N))
