"""Cross-entropy of a linear layer's output, a few rows at a time.

The logits of a batch (N x V in float32) are the largest tensor of a small model's step. Here they
exist for one chunk of rows only: the loss and its gradients are computed together, so nothing of
size N x V is kept for the backward pass (as in Wijmans et al. 2024, arXiv 2411.09009, section 4,
in plain tensor operations).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from yanmo.nn import kernels
from yanmo.nn.kernels import operations

# Float32 logits of one chunk. With more rows the products are faster, and the weight's gradient, as large as
# the weight, is added to less often; with fewer bytes more stays in the cache (benchmarks/LOG.md).
_CHUNK_BYTES = 16 * 2**20


def rows_per_chunk(vocab_size: int) -> int:
    """How many rows of float32 logits to hold at once."""
    return max(64, _CHUNK_BYTES // (4 * vocab_size))


def token_losses(
    hidden_ND: Tensor,
    weight_VD: Tensor,
    targets_N: Tensor,
    *,
    bias_V: Tensor | None = None,
    softcap: float | None = None,
) -> Tensor:
    """Loss of each row, without gradients.

    Args:
        hidden_ND: outputs of the network.
        weight_VD: rows of the output layer.
        targets_N: the right token of each row, int64.
        bias_V: added to the logits.
        softcap: logits are squeezed into (-softcap, softcap).

    Returns:
        loss_N: float32 nats.
    """
    losses = [
        loss_and_gradient(logits_CV, targets_N[rows])[0]
        for rows, logits_CV in _logits(hidden_ND, weight_VD, bias_V, softcap)
    ]
    return torch.cat(losses) if losses else hidden_ND.new_zeros(0, dtype=torch.float32)


def token_costs(
    hidden_ND: Tensor,
    weight_VD: Tensor,
    targets_N: Tensor,
    *,
    bias_V: Tensor | None = None,
    softcap: float | None = None,
) -> tuple[Tensor, Tensor]:
    """As ``token_losses``, of at least one row, and whether no other token was likelier, bool."""
    losses, likeliest = [], []
    for rows, logits_CV in _logits(hidden_ND, weight_VD, bias_V, softcap):
        # The loss may be computed in the logits' own memory.
        likeliest.append(logits_CV.argmax(-1) == targets_N[rows])
        losses.append(loss_and_gradient(logits_CV, targets_N[rows])[0])
    return torch.cat(losses), torch.cat(likeliest)


def _logits(
    hidden_ND: Tensor, weight_VD: Tensor, bias_V: Tensor | None, softcap: float | None
) -> Iterator[tuple[slice, Tensor]]:
    """Logits of a chunk of rows at a time."""
    step = rows_per_chunk(weight_VD.shape[0])
    for start in range(0, len(hidden_ND), step):
        rows = slice(start, start + step)
        logits_CV = functional.linear(hidden_ND[rows], weight_VD, bias_V)
        if softcap is not None:
            logits_CV = torch.tanh(logits_CV.float() / softcap) * softcap
        yield rows, logits_CV


def loss_and_gradient(logits_CV: Tensor, targets_C: Tensor) -> tuple[Tensor, Tensor]:
    """Loss of each row (float32 nats) and its gradient by the logits, which may be written over them."""
    if kernels.suit(logits_CV):
        return operations.cross_entropy_(logits_CV, targets_C), logits_CV
    log_share_CV = torch.log_softmax(logits_CV, dim=-1, dtype=torch.float32)
    loss_C = functional.nll_loss(log_share_CV, targets_C, reduction="none")
    # d loss / d logits = softmax(logits) - one_hot(target).
    grad_CV = log_share_CV.exp_()
    grad_CV.scatter_add_(1, targets_C[:, None], grad_CV.new_full((len(targets_C), 1), -1.0))
    return loss_C, grad_CV.to(logits_CV.dtype)


def linear_cross_entropy(hidden_ND: Tensor, weight_VD: Tensor, targets_N: Tensor) -> Tensor:
    """SUM over rows of the cross-entropy of ``hidden @ weight.T``, in nats, differentiable.

    Args:
        hidden_ND: outputs of the network.
        weight_VD: rows of the output layer.
        targets_N: the right token of each row, int64.

    Returns:
        A float32 scalar.
    """
    loss: Tensor = _LinearCrossEntropy.apply(hidden_ND, weight_VD, targets_N)
    return loss


class _LinearCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden_ND: Tensor, weight_VD: Tensor, targets_N: Tensor) -> Tensor:
        grad_hidden_ND = torch.empty_like(hidden_ND)
        # Of a frozen weight, a third of the products is saved.
        moves = ctx.needs_input_grad[1]
        grad_weight_VD = torch.zeros_like(weight_VD, dtype=torch.float32) if moves else None
        loss = hidden_ND.new_zeros((), dtype=torch.float32)
        step = rows_per_chunk(weight_VD.shape[0])
        for start in range(0, len(hidden_ND), step):
            rows = slice(start, start + step)
            hidden_CD = hidden_ND[rows]
            loss_C, grad_CV = loss_and_gradient(hidden_CD @ weight_VD.T, targets_N[rows])
            loss += loss_C.sum()
            torch.mm(grad_CV, weight_VD, out=grad_hidden_ND[rows])
            if grad_weight_VD is not None:
                grad_weight_VD += grad_CV.T @ hidden_CD
        kept = None if grad_weight_VD is None else grad_weight_VD.to(weight_VD.dtype)
        ctx.save_for_backward(grad_hidden_ND, kept)
        return loss

    @staticmethod
    @kernels.first_derivative
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, Tensor | None, None]:
        grad_hidden_ND, grad_weight_VD = ctx.saved_tensors
        scale = grad_outputs[0]
        return (
            grad_hidden_ND * scale.to(grad_hidden_ND.dtype),
            None if grad_weight_VD is None else grad_weight_VD * scale.to(grad_weight_VD.dtype),
            None,
        )


def linear_token_losses(hidden_ND: Tensor, weight_VD: Tensor, targets_N: Tensor) -> Tensor:
    """Cross-entropy of each row of ``hidden @ weight.T``, in nats, differentiable.

    Where rows count unequally, which only their losses decide (as in preference learning), the backward pass
    computes the logits a second time, a chunk at a time.

    Args:
        hidden_ND: outputs of the network.
        weight_VD: rows of the output layer.
        targets_N: the right token of each row, int64.

    Returns:
        loss_N: float32.
    """
    losses: Tensor = _LinearTokenLosses.apply(hidden_ND, weight_VD, targets_N)
    return losses


class _LinearTokenLosses(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden_ND: Tensor, weight_VD: Tensor, targets_N: Tensor) -> Tensor:
        ctx.save_for_backward(hidden_ND, weight_VD, targets_N)
        return token_losses(hidden_ND, weight_VD, targets_N)

    @staticmethod
    @kernels.first_derivative
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, Tensor | None, None]:
        hidden_ND, weight_VD, targets_N = ctx.saved_tensors
        grad_hidden_ND = torch.empty_like(hidden_ND)
        moves = ctx.needs_input_grad[1]
        grad_weight_VD = torch.zeros_like(weight_VD, dtype=torch.float32) if moves else None
        for rows, logits_CV in _logits(hidden_ND, weight_VD, None, None):
            grad_CV = loss_and_gradient(logits_CV, targets_N[rows])[1]
            grad_CV = grad_CV * grad_outputs[0][rows, None].to(grad_CV.dtype)
            torch.mm(grad_CV, weight_VD, out=grad_hidden_ND[rows])
            if grad_weight_VD is not None:
                grad_weight_VD += grad_CV.T @ hidden_ND[rows]
        return grad_hidden_ND, None if grad_weight_VD is None else grad_weight_VD.to(weight_VD.dtype), None
