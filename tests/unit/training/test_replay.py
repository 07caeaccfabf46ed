"""Old rows among the new ones: which they are, and that their losses are one sum."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from yanmo.data.loader import Batch, Loader
from yanmo.models.families import qwen3
from yanmo.models.transformer import Transformer
from yanmo.training.objective import causal
from yanmo.training.replay import OverParts, Replay, replayed_rows


def loader(first: int, batch_size: int) -> Loader:
    """Windows of a stream in which no number repeats."""
    tokens = np.arange(first, first + 1000).astype(np.uint16)
    return Loader(tokens, batch_size=batch_size, seq_len=4, seed=3)


def texts(parts: list[Batch]) -> list[tuple[int, ...]]:
    return [tuple(row) for part in parts for row in part.inputs_BT.tolist()]


@pytest.mark.parametrize(
    ("batch_size", "share", "expected"),
    [(10, 0.1, 1), (16, 0.25, 4), (2, 0.9, 1), (8, 0.01, 1), (8, 0.99, 7)],
)
def test_the_share_is_met_as_nearly_as_rows_allow(batch_size: int, share: float, expected: int) -> None:
    assert replayed_rows(batch_size, share) == expected


def test_each_step_has_its_share_of_both_whatever_is_asked_for_at_once() -> None:
    replay = Replay(loader(0, 9), loader(5000, 3))
    whole = texts(list(replay.rows(7, range(12))))
    assert sum(row[0] >= 5000 for row in whole) == 3 and replay.batch_size == 12
    for size in (1, 4, 5):
        parts = [replay.rows(7, range(i, min(i + size, 12))) for i in range(0, 12, size)]
        assert sorted(texts(list(itertools.chain(*parts)))) == sorted(whole)
    # In any four neighbours there is an old one: no process is left without.
    for start in range(0, 12, 4):
        assert sum(row[0] >= 5000 for row in texts(list(replay.rows(7, range(start, start + 4))))) == 1


def test_rows_are_those_of_the_corpora_alone_and_none_is_skipped() -> None:
    new, old = loader(0, 9), loader(5000, 3)
    replay = Replay(new, old)
    for step in (0, 1, 50):
        found = texts(list(replay.rows(step, range(12))))
        alone = texts([new.rows(step, range(9)), old.rows(step, range(3))])
        assert sorted(found) == sorted(alone)
    assert replay.epochs(50) == new.epochs(50)


def test_the_loss_of_parts_is_their_sum_with_its_gradient() -> None:
    torch.manual_seed(0)
    config = qwen3.decoder(
        vocab_size=6000,
        d_model=8,
        num_layers=1,
        num_heads=1,
        num_kv_heads=1,
        head_dim=8,
        d_ff=8,
        max_seq_len=4,
    )
    model = Transformer(config)
    parts = list(Replay(loader(0, 3), loader(5000, 1)).rows(0, range(4)))
    together = Batch(
        inputs_BT=torch.cat([part.inputs_BT for part in parts]),
        targets_BT=torch.cat([part.targets_BT for part in parts]),
    )
    gradients = []
    for objective, batch in ((OverParts(causal), parts), (causal, together)):
        loss = objective(model, batch)
        assert loss.num_tokens == 16
        gradients.append(torch.autograd.grad(loss.loss_nats, model.embedding.weight)[0])
    torch.testing.assert_close(*gradients)
