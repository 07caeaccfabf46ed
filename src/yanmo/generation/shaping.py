"""What may come next in one answer, given all that came before it.

Shapes: V ids that both the model and the tokenizer have.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Collection, Sequence

import torch
from torch import Tensor

from yanmo.errors import InputError
from yanmo.generation.constraint import Constraint
from yanmo.generation.sampling import SamplingParams, shape_scores


class Shaper:
    """From a model's scores to those that the next token of one answer is drawn by."""

    def __init__(
        self,
        params: SamplingParams,
        *,
        first_ids: Sequence[int],
        vocab_size: int,
        end_ids: Collection[int],
        suppressed_ids: Sequence[int] = (),
        constraint: Constraint | None = None,
    ) -> None:
        """Stand before the first token.

        Args:
            params: what is asked for.
            first_ids: tokens before the answer.
            vocab_size: V.
            end_ids: tokens that end an answer, besides those of ``params``.
            suppressed_ids: never drawn; below V.
            constraint: the form that the answer must have.

        Raises:
            InputError: ``logit_bias`` names a token that there is not.
        """
        unknown = [token_id for token_id in params.logit_bias if token_id >= vocab_size]
        if unknown:
            raise InputError(
                f"logit_bias names token {unknown[0]}", remedy=f"ids of this model end at {vocab_size - 1}"
            )
        self._params, self._constraint = params, constraint
        self._suppressed = torch.tensor(suppressed_ids, dtype=torch.int64)
        self.end_ids = frozenset({*end_ids, *params.stop_token_ids})
        ends = sorted(token_id for token_id in self.end_ids if token_id < vocab_size)
        self._ends = torch.tensor(ends, dtype=torch.int64)
        # An answer may begin after a token that the tokenizer has no name for.
        self.ids = [token_id for token_id in first_ids if token_id < vocab_size]
        self._num_first = len(self.ids)
        self._seen_1V = self._counts_1V = None
        if params.repetition_penalty != 1:
            self._seen_1V = torch.zeros(1, vocab_size, dtype=torch.bool)
            self._seen_1V[0, torch.tensor(self.ids, dtype=torch.int64)] = True
        if params.presence_penalty or params.frequency_penalty:
            self._counts_1V = torch.zeros(1, vocab_size)

    @property
    def answer_ids(self) -> list[int]:
        """Tokens of the answer so far."""
        return self.ids[self._num_first :]

    @property
    def num_answered(self) -> int:
        """Number of them."""
        return len(self.ids) - self._num_first

    @property
    def is_greedy(self) -> bool:
        """Whether the highest score is taken, and nothing drawn."""
        return self._params.temperature == 0

    @property
    def is_complete(self) -> bool:
        """Whether the answer has the form that it must have, and nothing more can come."""
        return self._constraint is not None and self._constraint.is_complete

    def shape(self, scores_1V: Tensor) -> Tensor:
        """Scores of the next token, (1, V): minus infinity where it may not come."""
        allowed_1V = scores_1V
        if len(self._suppressed):
            allowed_1V = allowed_1V.index_fill(1, self._suppressed, -math.inf)
        if self._constraint is not None:
            allowed_V = self._constraint.allowed()
            allowed_V[self._ends] = self._constraint.may_end()
            allowed_1V = allowed_1V.masked_fill(~allowed_V, -math.inf)
        elif self.num_answered < self._params.min_tokens:
            allowed_1V = allowed_1V.index_fill(1, self._ends, -math.inf)
        return shape_scores(
            allowed_1V, self._params, seen_BV=self._seen_1V, counts_BV=self._counts_1V, texts=[self.ids]
        )

    def push(self, token_id: int) -> None:
        """Take in the next token of the answer."""
        self.ids.append(token_id)
        if self._seen_1V is not None:
            self._seen_1V[0, token_id] = True
        if self._counts_1V is not None:
            self._counts_1V[0, token_id] += 1
        if self._constraint is not None:
            self._constraint.push(token_id)

    def copy(self) -> Shaper:
        """The same state, to go on from by itself."""
        other = copy.copy(self)
        other.ids = list(self.ids)
        other._seen_1V = None if self._seen_1V is None else self._seen_1V.clone()
        other._counts_1V = None if self._counts_1V is None else self._counts_1V.clone()
        other._constraint = None if self._constraint is None else self._constraint.copy()
        return other
