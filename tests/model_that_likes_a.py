"""A language model that can be seen through: a byte is a token, an ``a`` costs 0.1 nats, all else 1."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from yanmo.models.base import TokenCosts
from yanmo.models.registry import LoadedModel

COST, CHEAP = 1.0, 0.1


class Session:
    """Rows of text; what was read changes nothing."""

    def __init__(self, batch_size: int, asked: list[list[bytes]]) -> None:
        self._rows = [b""] * batch_size
        self._asked = asked

    @property
    def num_tokens(self) -> int:
        return len(self._rows[0])

    def extend(self, tokens_BT: Tensor) -> Tensor:
        self._rows = [row + bytes(ids) for row, ids in zip(self._rows, tokens_BT.tolist(), strict=True)]
        return torch.zeros(len(self._rows), 256)

    def costs(self, tokens_BT: Tensor) -> TokenCosts:
        self._asked.append(list(self._rows))
        is_a = tokens_BT == ord("a")
        return TokenCosts(torch.where(is_a, CHEAP, COST), is_a)

    def select(self, rows_B: Tensor) -> None:
        self._rows = [self._rows[row] for row in rows_B.tolist()]


class Model:
    """Remembers what it read before each question, in ``asked``."""

    vocab_size, max_seq_len = 256, None

    def __init__(self) -> None:
        self.asked: list[list[bytes]] = []

    def start(self, batch_size: int = 1) -> Session:
        return Session(batch_size, self.asked)

    def token_losses(self, tokens_BT: Tensor) -> Tensor:
        raise NotImplementedError


class Tokenizer:
    """Bytes; 0 ends a text."""

    eos_id, bos_id = 0, None

    def encode_batch(self, texts: Sequence[str]) -> list[NDArray[np.int64]]:
        return [np.frombuffer(text.encode(), np.uint8).astype(np.int64) for text in texts]


def loaded() -> LoadedModel:
    """The model as evaluation takes it."""
    return LoadedModel(
        model=Model(),
        tokenizer=Tokenizer(),
        path=Path("likes-a"),
        name="likes-a",
        architecture="made",
        num_parameters=0,
        chat=False,
    )
