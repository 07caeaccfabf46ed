"""Every kernel, forward and backward, beside torch's operators in float64."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from yanmo.nn import kernels
from yanmo.nn.attention import attend
from yanmo.nn.attention_products import attention_products
from yanmo.nn.cross_entropy import linear_cross_entropy, loss_and_gradient
from yanmo.nn.feed_forward import ACTIVATIONS, Activation, gate
from yanmo.nn.kernels import library, operations
from yanmo.nn.norm import RMSNorm
from yanmo.nn.split_heads import split_heads

pytestmark = pytest.mark.skipif(
    not kernels.suit(torch.zeros(1)), reason=f"the kernels are {kernels.status()}"
)

TYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])


def drawn(dtype: torch.dtype, *shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed + len(shape))).to(dtype)


def assert_rounded(found: Tensor, expected: Tensor, *, what: str = "") -> None:
    """One rounding of bfloat16 (8 binary digits), or a few of float32, away."""
    relative = 2.0**-8 if found.dtype is torch.bfloat16 else 3e-6
    assert found.shape == expected.shape, what
    highest = expected.abs().max().item() if expected.numel() else 0.0
    torch.testing.assert_close(found.double(), expected, rtol=relative, atol=2e-6 * highest, msg=what or None)


def compare(
    by_kernel: Callable[..., Tensor | Sequence[Tensor]],
    by_operators: Callable[..., Tensor | Sequence[Tensor]],
    inputs: Sequence[Tensor],
) -> None:
    """Outputs and gradients of the inputs."""
    leaves = [value.detach().requires_grad_() for value in inputs]
    wide = [value.detach().double().requires_grad_() for value in inputs]
    found, expected = by_kernel(*leaves), by_operators(*wide)
    found = [found] if isinstance(found, Tensor) else list(found)
    expected = [expected] if isinstance(expected, Tensor) else list(expected)
    grads = [drawn(y.dtype, *y.shape, seed=7) for y in found]
    found += torch.autograd.grad(found, leaves, grads)
    expected += torch.autograd.grad(expected, wide, [grad.double() for grad in grads])
    for number, (one, other) in enumerate(zip(found, expected, strict=True)):
        assert_rounded(one, other.detach(), what=f"number {number} of {len(found)}")


@TYPES
@pytest.mark.parametrize("shape", [(3, 5, 64), (1, 4), (2000, 33), (130, 384), (1, 1, 700), (0, 8)], ids=str)
def test_rms_norm(dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    norm = RMSNorm(shape[-1], eps=1e-5).to(dtype)

    def by_kernel(x: Tensor, weight: Tensor) -> Tensor:
        return torch.func.functional_call(norm, {"weight": weight}, (x,))

    def by_operators(x: Tensor, weight: Tensor) -> Tensor:
        return functional.rms_norm(x, shape[-1:], weight, 1e-5)

    compare(by_kernel, by_operators, [3 * drawn(dtype, *shape), drawn(dtype, shape[-1])])


@TYPES
def test_what_lies_scattered_in_memory(dtype: torch.dtype) -> None:
    def scattered(x: Tensor) -> Tensor:
        return x.transpose(0, 1)[::2, 1:]

    norm = RMSNorm(20).to(dtype)
    compare(
        lambda x: norm(scattered(x)),
        lambda x: functional.rms_norm(scattered(x), [20], None, 1e-6),
        [drawn(dtype, 9, 14, 20)],
    )
    gated = gate(Activation.SILU)
    compare(
        lambda x: gated(scattered(x)),
        lambda x: functional.silu(scattered(x)[..., :10]) * scattered(x)[..., 10:],
        [drawn(dtype, 9, 14, 20)],
    )


@TYPES
@pytest.mark.parametrize("turned", [0, 2, 6, 10])
@pytest.mark.parametrize("normed", [True, False])
@pytest.mark.parametrize(
    ("rows", "tokens", "heads", "groups"), [(2, 7, 4, 2), (1, 1, 1, 1), (3, 150, 3, 1), (0, 4, 2, 2)]
)
def test_split_heads(
    dtype: torch.dtype, rows: int, tokens: int, heads: int, groups: int, normed: bool, turned: int
) -> None:
    size = 10
    angles = drawn(torch.float32, tokens, 1, turned // 2, seed=3)
    rotary = (
        torch.cat((angles.cos(), angles.cos()), -1).to(dtype),
        torch.cat((-angles.sin(), angles.sin()), -1).to(dtype),
    )

    def split(qkv: Tensor, *weights: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        norms = [RMSNorm(size, eps=1e-5) for _ in weights]
        for norm, weight in zip(norms, weights, strict=True):
            del norm.weight
            norm.weight = weight
        both = (norms[0], norms[1]) if norms else None
        return split_heads(qkv, (heads, groups, size), both, rotary if turned else None)

    def turn(x: Tensor) -> Tensor:
        half, cos, sin = turned // 2, angles.cos().to(dtype).double(), angles.sin().to(dtype).double()
        first, second = x[..., :half], x[..., half:turned]
        return torch.cat((first * cos - second * sin, second * cos + first * sin, x[..., turned:]), -1)

    def by_operators(qkv: Tensor, *weights: Tensor) -> list[Tensor]:
        q, k, v = qkv.view(rows, tokens, heads + 2 * groups, size).split((heads, groups, groups), dim=2)
        if weights:
            q, k = (functional.rms_norm(x, [size], w, 1e-5) for x, w in zip((q, k), weights, strict=True))
        return [x.transpose(1, 2) for x in (turn(q), turn(k), v)]

    weights = [drawn(dtype, size, seed=seed) for seed in (1, 2)] if normed else []
    compare(split, by_operators, [drawn(dtype, rows, tokens, (heads + 2 * groups) * size), *weights])


@TYPES
@pytest.mark.parametrize("activation", [Activation.SILU, Activation.QUICK_GELU, Activation.GELU_TANH])
@pytest.mark.parametrize("shape", [(2, 3, 64), (1, 2), (700, 66), (0, 4)], ids=str)
def test_gates(dtype: torch.dtype, activation: Activation, shape: tuple[int, ...]) -> None:
    def by_operators(gate_up: Tensor) -> Tensor:
        opened, up = gate_up.chunk(2, dim=-1)
        return ACTIVATIONS[activation](opened) * up

    compare(gate(activation), by_operators, [3 * drawn(dtype, *shape)])


def test_gates_far_from_zero() -> None:
    far = torch.tensor([-1e30, -200.0, -90.0, -30.0, 30.0, 90.0, 200.0, 1e30])
    found = gate(Activation.SILU)(torch.cat((far, torch.ones(8))))
    torch.testing.assert_close(found, functional.silu(far), rtol=1e-6, atol=1e-30)


@TYPES
@pytest.mark.parametrize(
    ("heads", "queries", "keys", "first"),
    [
        (3, 7, 7, 0),
        (2, 5, 40, 35),
        (1, 1, 1, 0),
        (4, 9, 30, 30),
        (2, 300, 300, 0),
        (2, 3, 5, 0),
        (0, 3, 3, 0),
    ],
)
def test_softmax(dtype: torch.dtype, heads: int, queries: int, keys: int, first: int) -> None:
    scale, scores = 0.3, 5 * drawn(dtype, heads, queries, keys)
    hidden = torch.ones(queries, keys, dtype=torch.bool).triu(first + 1)
    share = scores.masked_fill(hidden, math.nan)
    operations.softmax_(share, first=first, scale=scale)
    expected = torch.softmax((scores.double() * scale).masked_fill(hidden, -math.inf), dim=-1)
    assert_rounded(share, expected)
    assert (share.masked_select(hidden) == 0).all()

    grad = drawn(dtype, heads, queries, keys, seed=1)
    found = grad.masked_fill(hidden, math.nan)
    operations.softmax_backward_(found, share, first=first, scale=scale)
    wide, given = share.double(), grad.double()
    assert_rounded(found, scale * wide * (given - (wide * given).sum(-1, keepdim=True)))


@TYPES
@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize(
    ("num_new", "num_all", "heads", "groups", "size"),
    [(1, 1, 2, 1, 8), (5, 5, 4, 2, 5), (128, 128, 1, 1, 16), (129, 129, 6, 2, 33), (300, 300, 2, 2, 20)],
)
def test_attention_products(
    dtype: torch.dtype, num_new: int, num_all: int, heads: int, groups: int, size: int, causal: bool
) -> None:
    num_all += 0 if causal else 3
    # Queries as a view with tokens before heads.
    inputs = [
        drawn(dtype, 2, num_new, heads, size),
        drawn(dtype, 2, groups, num_all, size, seed=1),
        drawn(dtype, 2, groups, num_all, size, seed=2),
    ]
    leaves = [value.requires_grad_() for value in inputs]
    wide = [value.detach().double().requires_grad_() for value in inputs]
    found = attention_products(leaves[0].transpose(1, 2), *leaves[1:], scale=0.4, causal=causal)
    expected = functional.scaled_dot_product_attention(
        wide[0].transpose(1, 2), *wide[1:], scale=0.4, is_causal=causal, enable_gqa=True
    )
    grad = drawn(dtype, *found.shape, seed=5)
    pairs = zip(
        (found, *torch.autograd.grad(found, leaves, grad)),
        (expected, *torch.autograd.grad(expected, wide, grad.double())),
        strict=True,
    )
    # Scores, shares and partial sums are rounded too: each is one rounding of bfloat16.
    tolerance = 5e-6 if dtype is torch.float32 else 2e-2
    for one, other in pairs:
        assert (one.double() - other).norm() <= tolerance * other.norm()


@TYPES
@pytest.mark.parametrize(("rows", "width"), [(5, 65), (1, 1), (300, 1000), (0, 9)])
def test_cross_entropy(dtype: torch.dtype, rows: int, width: int) -> None:
    logits = 4 * drawn(dtype, rows, width)
    targets = torch.arange(rows) * 7 % width
    wide = logits.double().requires_grad_()
    expected = functional.cross_entropy(wide, targets, reduction="none")
    (expected_grad,) = torch.autograd.grad(expected.sum(), wide)
    loss_N, grad_NV = loss_and_gradient(logits, targets)
    torch.testing.assert_close(loss_N, expected.detach().float(), rtol=1e-6, atol=2e-6)
    assert_rounded(grad_NV, expected_grad)


def test_a_target_outside_the_vocabulary_is_refused() -> None:
    hidden_ND, weight_VD = torch.randn(4, 3), torch.randn(6, 3)
    for wrong in (6, -1):
        with pytest.raises(IndexError, match="a target is not between 0 and 5"):
            linear_cross_entropy(hidden_ND, weight_VD, torch.tensor([0, wrong, 2, 3]))


@TYPES
def test_one_bad_row_spoils_no_other(dtype: torch.dtype) -> None:
    bad, rows = math.nan, torch.ones(3, 4, 6, dtype=dtype)
    rows[1, 2, 3] = bad
    for spoiled in (RMSNorm(6).to(dtype)(rows), loss_and_gradient(rows[1].clone(), torch.zeros(4).long())[1]):
        is_bad = spoiled.isnan().view(-1, 6)
        assert is_bad.any(-1).sum() == 1 and is_bad.all(-1).sum() == 1
    opened = gate(Activation.SILU)(rows)
    assert opened.isnan().sum() == 1
    shares = rows[1].clone()
    operations.softmax_(shares, first=6, scale=1.0)
    assert shares[2].isnan().all() and shares[[0, 1, 3]].isfinite().all()


@TYPES
def test_the_same_bits_whatever_the_threads(dtype: torch.dtype) -> None:
    x, qkv = drawn(dtype, 3000, 48), drawn(dtype, 20, 100, 8 * 16)
    norms, rotary = (RMSNorm(16).to(dtype), RMSNorm(16).to(dtype)), tuple(drawn(dtype, 2, 100, 1, 16))
    norm = RMSNorm(48).to(dtype)

    def results() -> list[Tensor]:
        for module in (norm, *norms):
            module.zero_grad()
        y, heads = norm(x), split_heads(qkv, (4, 2, 16), norms, rotary)
        torch.autograd.backward((y, *heads), [part.detach().clone() for part in (y, *heads)])
        shares = x.view(30, 100, 48).clone()
        operations.softmax_(shares, first=5, scale=1.0)
        loss_N, grad_NV = loss_and_gradient(x.clone(), torch.arange(3000) % 48)
        weights = [module.weight.grad.clone() for module in (norm, *norms)]
        return [y.detach(), *(part.detach() for part in heads), *weights, shares, loss_N, grad_NV]

    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = results()
        torch.set_num_threads(3)
        for _ in range(3):
            for one, other in zip(results(), alone, strict=True):
                assert torch.equal(one, other)
    finally:
        torch.set_num_threads(threads)


def test_second_derivatives_are_refused() -> None:
    x = torch.randn(2, 8, requires_grad=True)
    norm, gated = RMSNorm(8), gate(Activation.SILU)
    for y in (
        norm(x),
        gated(x),
        attention_products(x[None, None], x[None, None], x[None, None], scale=1.0, causal=True),
    ):
        with pytest.raises(RuntimeError, match="no second derivatives"):
            torch.autograd.grad(y.sum(), x, create_graph=True)


def test_what_does_not_fit_together_is_never_read() -> None:
    hidden, weight, targets = torch.ones(4, 3), torch.ones(7, 3), torch.arange(4)
    for wrong in (targets[:3], targets.int(), targets[:, None]):
        with pytest.raises(AssertionError, match="a target for each row, int64"):
            linear_cross_entropy(hidden, weight, wrong)
    for width in (6, 2):
        with pytest.raises(AssertionError, match="as many numbers as the weight"):
            RMSNorm(3)(torch.ones(2, width))
    rotary = (torch.ones(5, 1, 4), torch.ones(5, 1, 4))
    with pytest.raises(AssertionError, match="heads of other sizes"):
        split_heads(torch.ones(1, 5, 12), (2, 1, 4), None, rotary)
    with pytest.raises(AssertionError, match="an angle for each token"):
        split_heads(torch.ones(1, 6, 16), (2, 1, 4), None, rotary)


def test_the_device_of_new_tensors_makes_no_difference() -> None:
    norm, x = RMSNorm(8), torch.randn(3, 8, requires_grad=True)
    weight, targets = torch.randn(5, 8, requires_grad=True), torch.tensor([0, 4, 2])
    split = (torch.randn(1, 2, 16), (2, 1, 4), (RMSNorm(4), RMSNorm(4)), None)

    def everything() -> list[Tensor]:
        loss = linear_cross_entropy(norm(x), weight, targets) + split_heads(*split)[0].sum()
        return [loss, *torch.autograd.grad(loss, (x, weight))]

    expected = everything()
    with torch.device("meta"):
        found = everything()
        assert library.check.what_is_wrong() is None
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))


def test_what_kernels_do_not_take() -> None:
    class Marked(Tensor):
        pass

    plain = torch.zeros(2)
    assert kernels.suit(plain, plain)
    for other in (
        plain.double(),
        plain.half(),
        plain.bfloat16(),
        plain.to("meta"),
        plain.as_subclass(Marked),
    ):
        assert not kernels.suit(plain, other) and not kernels.suit(other, plain)
    norm = RMSNorm(4)
    x = torch.randn(3, 4, dtype=torch.float64)
    torch.testing.assert_close(norm.double()(x), functional.rms_norm(x, [4], None, 1e-6))
    assert library.status().startswith("on, compiled by ")


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize(
    ("rows", "queries", "keys", "heads", "groups", "size"),
    [(1, 8, 8, 2, 1, 64), (2, 13, 40, 4, 2, 16), (3, 30, 30, 4, 4, 48), (1, 50, 133, 3, 1, 80)],
)
def test_attention_without_gradients(
    rows: int, queries: int, keys: int, heads: int, groups: int, size: int, causal: bool
) -> None:
    q = drawn(torch.float32, rows, queries, heads, size).transpose(1, 2)
    k = drawn(torch.float32, rows, groups, keys + 3, size, seed=1)[:, :, :keys]
    v = drawn(torch.float32, rows, groups, keys + 5, size, seed=2)[:, :, 2 : keys + 2]
    first = keys - queries if causal else None
    found = operations.attention(q, k, v, scale=0.2, first=first)
    mask = torch.ones(queries, keys, dtype=torch.bool).tril(keys - queries) if causal else None
    expected = functional.scaled_dot_product_attention(
        q.double(), k.double(), v.double(), attn_mask=mask, scale=0.2, enable_gqa=True
    )
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-6)
    with torch.no_grad():
        assert torch.equal(attend(q, k, v, scale=0.2, causal=causal), found)
