from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from yanmo.nn import cross_entropy
from yanmo.nn.cross_entropy import linear_cross_entropy, linear_token_losses, token_losses
from yanmo.nn.embedding import Embedding
from yanmo.nn.norm import RMSNorm
from yanmo.nn.position import RopeConfig, RotaryEmbedding, apply_rotary


@pytest.mark.parametrize("chunk_bytes", [1, 2**20])
def test_linear_cross_entropy_and_its_gradients_equal_torch(
    monkeypatch: pytest.MonkeyPatch, chunk_bytes: int
) -> None:
    monkeypatch.setattr(cross_entropy, "_CHUNK_BYTES", chunk_bytes)
    torch.manual_seed(0)
    hidden = torch.randn(150, 16, requires_grad=True)
    weight = torch.randn(40, 16, requires_grad=True)
    targets = torch.randint(0, 40, (150,))
    expected = functional.cross_entropy(hidden @ weight.T, targets, reduction="sum")
    expected_grads = torch.autograd.grad(3 * expected, (hidden, weight))
    loss = linear_cross_entropy(hidden, weight, targets)
    grads = torch.autograd.grad(3 * loss, (hidden, weight))
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(grads, expected_grads, rtol=1e-4, atol=1e-4)
    rows = functional.cross_entropy(hidden @ weight.T, targets, reduction="none")
    torch.testing.assert_close(token_losses(hidden, weight, targets), rows)


@pytest.mark.parametrize("chunk_bytes", [1, 2**20])
def test_rows_may_count_unequally(monkeypatch: pytest.MonkeyPatch, chunk_bytes: int) -> None:
    monkeypatch.setattr(cross_entropy, "_CHUNK_BYTES", chunk_bytes)
    torch.manual_seed(0)
    hidden = torch.randn(150, 16, requires_grad=True)
    weight = torch.randn(40, 16, requires_grad=True)
    targets, counts = torch.randint(0, 40, (150,)), torch.randn(150)
    expected = functional.cross_entropy(hidden @ weight.T, targets, reduction="none")
    losses = linear_token_losses(hidden, weight, targets)
    torch.testing.assert_close(losses, expected)
    torch.testing.assert_close(
        torch.autograd.grad((losses * counts).sum(), (hidden, weight)),
        torch.autograd.grad((expected * counts).sum(), (hidden, weight)),
        rtol=1e-4,
        atol=1e-4,
    )


def test_frequent_token_keeps_its_gradient_in_bf16() -> None:
    table = Embedding(4, 2)
    table.weight.data = torch.zeros(4, 2, dtype=torch.bfloat16)
    tokens = torch.zeros(1, 4096, dtype=torch.int64)
    table(tokens).sum().backward()
    assert table.weight.grad is not None
    assert table.weight.grad[0].tolist() == [4096.0, 4096.0]


def test_second_derivatives_are_refused_and_not_wrong() -> None:
    x = torch.randn(2, 8, dtype=torch.float64, requires_grad=True)
    for y in (RMSNorm(8).double()(x), linear_cross_entropy(x, x.detach(), torch.zeros(2, dtype=torch.int64))):
        with pytest.raises(RuntimeError, match="no second derivatives"):
            torch.autograd.grad(y.sum(), x, create_graph=True)


def test_rms_norm_by_hand() -> None:
    norm = RMSNorm(2, eps=0.0)
    norm.weight.data = torch.tensor([1.0, 2.0])
    root = math.sqrt((9 + 16) / 2)
    torch.testing.assert_close(norm(torch.tensor([3.0, 4.0])), torch.tensor([3 / root, 8 / root]))


def test_rotary_turns_by_the_angle_of_the_position() -> None:
    rotary = RotaryEmbedding(4, 8, RopeConfig(theta=100.0))
    x = torch.tensor([1.0, 2.0, 3.0, 4.0]).repeat(1, 8, 1, 1)
    turned = apply_rotary(x, *rotary.range(0, 8, torch.float32))[0, 5, 0]
    for half, frequency in ((0, 1.0), (1, 0.1)):
        number = complex(x[0, 0, 0, half], x[0, 0, 0, half + 2])
        expected = number * complex(math.cos(5 * frequency), math.sin(5 * frequency))
        assert complex(turned[half], turned[half + 2]) == pytest.approx(expected, abs=1e-5)


def test_rotary_scores_depend_on_distance_only() -> None:
    torch.manual_seed(0)
    rotary = RotaryEmbedding(8, 64, RopeConfig())
    q, k = torch.randn(8), torch.randn(8)
    q_BTHE = apply_rotary(q.repeat(1, 64, 1, 1), *rotary.range(0, 64, torch.float32))[0, :, 0]
    k_BTHE = apply_rotary(k.repeat(1, 64, 1, 1), *rotary.range(0, 64, torch.float32))[0, :, 0]
    assert float(q_BTHE[10] @ k_BTHE[3]) == pytest.approx(float(q_BTHE[57] @ k_BTHE[50]), abs=1e-4)
