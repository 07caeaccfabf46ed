"""Tiny tokenizers, stores and languages for the tests of objectives."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from yanmo.data.loader import Batches
from yanmo.data.token_store import TokenStore
from yanmo.models.base import Trainable
from yanmo.models.transformer import Transformer, TransformerConfig
from yanmo.tokenizers.bpe import fit_bpe
from yanmo.tokenizers.load import Tokenizer
from yanmo.tokenizers.purpose import Purpose
from yanmo.training.objective import Objective
from yanmo.training.optimizer import Optimizer, OptimizerConfig

ENGLISH = [
    "The unbelievable storyteller remembered everything. Nobody else did! Was it so? It was not.\n"
    f"Chapter {number}: understanding the misunderstanding of the interchangeable.\n"
    for number in range(40)
]
CHINESE = [
    f"第{number}回，我们在南京市长江大桥上跑步。今天天气很好，适合学习语言模型。你说呢？他说：“好！”\n"
    for number in range(40)
]


@cache
def tokenizer_for(purpose: Purpose, vocab_size: int = 420) -> Tokenizer:
    """Learned from a little English and Chinese; small, so that most words are several tokens."""
    return fit_bpe(ENGLISH + CHINESE, vocab_size, purpose)


def stored(documents: Sequence[Sequence[int]], edge_id: int) -> TokenStore:
    """Documents of ids as a store that knows of no words."""
    tokens = [token for document in documents for token in (edge_id, *document)]
    return TokenStore(tokens=np.array(tokens, np.uint16), num_documents=len(documents), num_bytes=len(tokens))


def chain(length: int, num_symbols: int, *, seed: int = 0) -> NDArray[np.int64]:
    """A language in which each symbol but one in eight tells the next."""
    rng = np.random.default_rng(seed)
    follows = np.random.default_rng(99).permutation(num_symbols)
    symbols = [0]
    for _ in range(length - 1):
        symbols.append(int(rng.integers(num_symbols) if rng.random() < 0.125 else follows[symbols[-1]]))
    return np.array(symbols)


def train(
    config: TransformerConfig,
    objective: Objective,
    batches: Batches,
    *,
    num_steps: int,
    rates: OptimizerConfig | None = None,
) -> Transformer:
    """A model that was trained for some steps."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = Transformer(config)
    optimizer = Optimizer(model, rates or OptimizerConfig())
    for step in range(num_steps):
        loss = objective(model, batches.rows(step, range(batches.batch_size)))
        loss.loss_nats.backward()
        optimizer.accumulate()
        factor = min(1.0, (step + 1) / 10, (num_steps - step) / (num_steps / 2))
        optimizer.step(factor=factor, num_tokens=loss.num_tokens)
    return model.eval()


def gradients(
    model: nn.Module, objective: Objective, batches: Batches, parts: Sequence[range]
) -> tuple[list[torch.Tensor], int]:
    """Sums of gradients and counts over the parts of a step."""
    assert isinstance(model, Transformer)
    trainable: Trainable = model
    model.zero_grad()
    num_tokens = 0
    for rows in parts:
        loss = objective(trainable, batches.rows(3, rows))
        loss.loss_nats.backward()
        num_tokens += loss.num_tokens
    return [p.grad.clone() for p in model.parameters() if p.grad is not None], num_tokens


def assert_any_split_gives_the_same(model: nn.Module, objective: Objective, batches: Batches) -> None:
    """The gradient of a step does not depend on how its rows are parted."""
    with torch.no_grad():
        for index, weight in enumerate(model.parameters()):
            noise = torch.randn(weight.shape, generator=torch.Generator().manual_seed(index))
            weight.add_(0.1 * noise)
    size = batches.batch_size
    whole, count = gradients(model, objective, batches, [range(size)])
    assert any(float(gradient.abs().max()) > 1e-3 for gradient in whole)
    for cut in (1, 2, 3):
        parts = [range(start, min(start + cut, size)) for start in range(0, size, cut)]
        summed, counted = gradients(model, objective, batches, parts[::-1])
        assert counted == count
        assert len(summed) == len(whole)
        for one, other in zip(summed, whole, strict=True):
            torch.testing.assert_close(one / count, other / count, rtol=1e-5, atol=1e-6)
