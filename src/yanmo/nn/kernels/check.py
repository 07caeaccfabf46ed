"""What a freshly loaded library must get right: every kernel, forward and backward, beside torch's operators.

A compiler that goes wrong, or a library made for another processor, is found here and not in a model.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from yanmo.nn.kernels import operations

_TOLERANCES = {torch.float32: 1e-5, torch.bfloat16: 2e-2}
_Case = tuple[str, Sequence[Tensor], Sequence[Tensor]]


def what_is_wrong() -> str | None:
    """The first kernel whose answers differ from those of torch's operators in float64, or None."""
    with torch.inference_mode(False), torch.enable_grad(), torch.device("cpu"):
        for dtype, tolerance in _TOLERANCES.items():
            for name, found, expected in _cases(dtype):
                for one, other in zip(found, expected, strict=True):
                    if not torch.allclose(one.double(), other.double(), rtol=tolerance, atol=tolerance):
                        return f"{name} in {dtype} computes wrong numbers"
        for name, found, expected in (_attention(), *_products()):
            if not torch.allclose(found[0].double(), expected[0].double(), rtol=1e-4, atol=1e-4):
                return f"{name} computes wrong numbers"
    return None


def _cases(dtype: torch.dtype) -> Iterator[_Case]:
    yield _rms_norm(dtype)
    yield _split_heads(dtype)
    yield _gate(dtype)
    yield _softmax(dtype)
    yield _cross_entropy(dtype)


def _wave(dtype: torch.dtype, *shape: int) -> Tensor:
    """Numbers in [-2, 2] without a pattern, and without touching a random generator."""
    numbers = torch.arange(1, math.prod(shape) + 1, dtype=torch.float64)
    return (2 * torch.sin(numbers * numbers)).view(shape).to(dtype)


def _by_operators(
    function: Callable[..., Sequence[Tensor]], inputs: Sequence[Tensor], grads: Sequence[Tensor]
) -> list[Tensor]:
    """Outputs and gradients of the inputs, in float64."""
    leaves = [value.double().requires_grad_() for value in inputs]
    outputs = function(*leaves)
    gradients = torch.autograd.grad(outputs, leaves, [grad.double() for grad in grads])
    return [*(output.detach() for output in outputs), *gradients]


def _rms_norm(dtype: torch.dtype) -> _Case:
    x, weight, grad = _wave(dtype, 37, 41), _wave(dtype, 41), _wave(dtype, 37, 41) / 3
    y, scale_N = operations.rms_norm(x, weight, 1e-6)
    found = (y, *operations.rms_norm_backward(grad, x, weight, scale_N))
    return "rms_norm", found, _by_operators(lambda x, weight: [_normed(x, weight)], (x, weight), (grad,))


def _normed(x: Tensor, weight: Tensor) -> Tensor:
    return x * (x.square().mean(-1, keepdim=True) + 1e-6).rsqrt() * weight


def _split_heads(dtype: torch.dtype) -> _Case:
    heads, groups, size, turned = 4, 2, 22, 6
    qkv, weights = _wave(dtype, 2, 5, (heads + 2 * groups) * size), _wave(dtype, 2, size)
    rotary = _wave(dtype, 2, 5, 1, turned)
    grads = [_wave(dtype, 2, count, 5, size) / 3 for count in (heads, groups, groups)]

    def by_operators(qkv: Tensor, q_weight: Tensor, k_weight: Tensor) -> list[Tensor]:
        parts = qkv.view(2, 5, -1, size).split((heads, groups, groups), dim=2)
        normed = [_normed(parts[0], q_weight), _normed(parts[1], k_weight)]
        cos, sin = rotary.double()
        rotated = [
            torch.cat(
                (x[..., :turned] * cos + x[..., :turned].roll(turned // 2, -1) * sin, x[..., turned:]), -1
            )
            for x in normed
        ]
        return [x.transpose(1, 2) for x in (*rotated, parts[2])]

    *outputs, scale_NH = operations.split_heads(
        qkv, tuple(weights), tuple(rotary), (heads, groups, size), 1e-6
    )
    grad_qkv, grad_weights = operations.split_heads_backward(
        grads, qkv, tuple(weights), tuple(rotary), scale_NH
    )
    return (
        "split_heads",
        (*outputs, grad_qkv, *grad_weights),
        _by_operators(by_operators, (qkv, *weights), grads),
    )


def _gate(dtype: torch.dtype) -> _Case:
    gate_up, grad, curve = 4 * _wave(dtype, 3, 2 * 37), _wave(dtype, 3, 37), (1.5, 0.1)

    def by_operators(gate_up: Tensor) -> list[Tensor]:
        gate, up = gate_up.chunk(2, dim=-1)
        return [gate * torch.sigmoid(curve[0] * gate + curve[1] * gate**3) * up]

    found = (operations.gate(gate_up, *curve), operations.gate_backward(grad, gate_up, *curve))
    return "gate", found, _by_operators(by_operators, (gate_up,), (grad,))


def _softmax(dtype: torch.dtype) -> _Case:
    first, scale = 19, 0.7
    scores, grad = 4 * _wave(dtype, 3, 5, 24), _wave(dtype, 3, 5, 24)
    hidden = torch.ones(5, 24, dtype=torch.bool).triu(first + 1)

    def by_operators(scores: Tensor) -> list[Tensor]:
        return [torch.softmax((scores * scale).masked_fill(hidden, -math.inf), dim=-1)]

    share = scores.masked_fill(hidden, math.nan)
    operations.softmax_(share, first=first, scale=scale)
    grad_scores = grad.masked_fill(hidden, math.nan)
    operations.softmax_backward_(grad_scores, share, first=first, scale=scale)
    return "softmax", (share, grad_scores), _by_operators(by_operators, (scores,), (grad,))


def _cross_entropy(dtype: torch.dtype) -> _Case:
    logits, targets = 4 * _wave(dtype, 7, 45), torch.arange(7) * 6

    def by_operators(logits: Tensor) -> list[Tensor]:
        return [torch.nn.functional.cross_entropy(logits, targets, reduction="none")]

    gradient = logits.clone()
    loss = operations.cross_entropy_(gradient, targets)
    return "cross_entropy", (loss, gradient), _by_operators(by_operators, (logits,), (torch.ones(7),))


def _attention() -> _Case:
    q_BHTE, kv_BKSE, seen = _wave(torch.float32, 1, 4, 14, 16), _wave(torch.float32, 2, 1, 2, 40, 16), 26
    found = operations.attention(q_BHTE, *kv_BKSE, scale=0.3, first=seen)
    k_BHSE, v_BHSE = (x.double().repeat_interleave(2, dim=1) for x in kv_BKSE)
    scores = (q_BHTE.double() @ k_BHSE.mT) * 0.3
    hidden = torch.ones(14, 40, dtype=torch.bool).triu(seen + 1)
    return "attention", [found], [scores.masked_fill(hidden, -math.inf).softmax(-1) @ v_BHSE]


def _products() -> Iterator[_Case]:
    """Of whole numbers that their codes stand for exactly, so that nothing is rounded but sums."""
    from yanmo.nn.coded_weight import CodedWeight
    from yanmo.nn.held_weight import Bfloat16Weight
    from yanmo.nn.quantization import quantize

    numbers = torch.arange(1, 35 * 96 + 1).view(35, 96)
    x_NC = ((numbers * numbers) % 255 - 127).float()
    x_NC[:, ::32] = 127
    for bits, lowest, width in ((8, -127, 255), (4, -8, 16)):
        weight_RC = ((numbers * 7919) % width + lowest).float()
        weight_RC[:, ::32] = lowest
        matrix = quantize(weight_RC, bits)
        for number in (1, 3, 31):
            expected = x_NC[:number].double() @ weight_RC.double().T
            for weight in (CodedWeight(matrix), CodedWeight(matrix, is_fine=True)):
                yield f"product of {bits} bits", [weight.product(x_NC[:number]) / 127], [expected / 127]
    narrow = Bfloat16Weight(_wave(torch.bfloat16, 35, 96))
    for number in (1, 5, 11):
        expected = x_NC[:number].double() @ narrow.numbers().double().T
        yield "product of bfloat16", [narrow.product(x_NC[:number]) / 127], [expected / 127]
