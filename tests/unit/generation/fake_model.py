"""A tiny language model for tests: each score is a fixed random function of the last three tokens."""

from __future__ import annotations

import torch
from torch import Tensor

from yanmo.errors import InputError
from yanmo.models.base import TokenCosts


class FakeModel:
    """Satisfies the LanguageModel protocol; ``script`` makes it say given tokens after a prompt."""

    def __init__(
        self, vocab_size: int, *, max_seq_len: int | None = 64, script: list[int] | None = None
    ) -> None:
        self.vocab_size, self.max_seq_len = vocab_size, max_seq_len
        self.script = script
        self.num_extended = 0

    def start(self, batch_size: int = 1) -> FakeSession:
        return FakeSession(self, batch_size)

    def token_losses(self, tokens_BT: Tensor) -> Tensor:
        raise NotImplementedError

    def scores(self, tokens: list[int], num_first: int) -> Tensor:
        if self.script is not None:
            scores_V = torch.full((self.vocab_size,), -20.0)
            scores_V[self.script[(len(tokens) - num_first) % len(self.script)]] = 20.0
            return scores_V
        generator = torch.Generator().manual_seed(hash(tuple(tokens[-3:])) % 2**31)
        return torch.randn(self.vocab_size, generator=generator) * 2


class FakeSession:
    def __init__(self, model: FakeModel, batch_size: int) -> None:
        self._model = model
        self._rows: list[list[int]] = [[] for _ in range(batch_size)]
        self._num_first = 0

    @property
    def num_tokens(self) -> int:
        return len(self._rows[0])

    def extend(self, tokens_BT: Tensor) -> Tensor:
        assert tokens_BT.dtype == torch.int64 and tokens_BT.shape[0] == len(self._rows)
        limit = self._model.max_seq_len
        if limit is not None and self.num_tokens + tokens_BT.shape[1] > limit:
            raise InputError("past the context")
        self._model.num_extended += tokens_BT.numel()
        self._num_first = self._num_first or tokens_BT.shape[1]
        for row, tokens in zip(self._rows, tokens_BT.tolist(), strict=True):
            row.extend(tokens)
        return torch.stack([self._model.scores(row, self._num_first) for row in self._rows])

    def extend_each(self, tokens_BT: Tensor) -> Tensor:
        return torch.stack([self.extend(token_B1) for token_B1 in tokens_BT.split(1, dim=1)], dim=1)

    def costs(self, tokens_BT: Tensor) -> TokenCosts:
        raise NotImplementedError

    def rollback(self, num_tokens: int) -> None:
        assert 0 <= num_tokens <= self.num_tokens
        self._rows = [row[:num_tokens] for row in self._rows]

    def select(self, rows_B: Tensor) -> None:
        self._rows = [list(self._rows[row]) for row in rows_B.tolist()]
