"""Attention without a bias as matrix products with the softmax of the kernels between them.

Equation 1 of Vaswani et al. 2017 (arXiv 1706.03762) with its derivatives written out. Causal queries are
taken in blocks, so that most of what no query sees is never multiplied; the shares are kept for the backward
pass.

Shapes: B rows, T queries, S keys, H heads of queries, K of keys and values, G = H / K, E head_dim, N = B * K,
M queries of a block, R = G * M, C keys that some query of a block sees.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from yanmo.nn import kernels
from yanmo.nn.kernels import operations

# Smaller blocks save more products, larger ones are multiplied faster (benchmarks/LOG.md).
_BLOCK = 128


def attention_products(
    q_BHTE: Tensor, k_BKSE: Tensor, v_BKSE: Tensor, *, scale: float, causal: bool
) -> Tensor:
    """softmax(scale * q k^T) v for tensors that suit the kernels.

    Args:
        q_BHTE: queries.
        k_BKSE: keys; as many as queries where ``causal``.
        v_BKSE: values.
        scale: factor on the scores.
        causal: query t sees keys 0 to t only.

    Returns:
        out_BHTE, which lies in memory as (B, T, H, E).
    """
    out_BTHE: Tensor = _Products.apply(q_BHTE, k_BKSE, v_BKSE, scale, causal)
    return out_BTHE.transpose(1, 2)


class _Products(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, q_BHTE: Tensor, k_BKSE: Tensor, v_BKSE: Tensor, scale: float, causal: bool
    ) -> Tensor:
        rows, heads, num_new, head_dim = q_BHTE.shape
        groups = k_BKSE.shape[1]
        k_NSE, v_NSE = k_BKSE.flatten(0, 1), v_BKSE.flatten(0, 1)
        out_BTHE = q_BHTE.new_empty(rows, num_new, heads, head_dim)
        all_shares = []
        for block, seen, first in _blocks(num_new, k_NSE.shape[1], causal):
            q_NRE = _stacked(q_BHTE, block, groups)
            share_NRC = q_NRE @ k_NSE[:, seen].mT
            operations.softmax_(_by_head(share_NRC, block), first=first, scale=scale)
            _unstack(share_NRC @ v_NSE[:, seen], out_BTHE.transpose(1, 2), block)
            all_shares.append(share_NRC)
        ctx.save_for_backward(q_BHTE, k_NSE, v_NSE, *all_shares)
        ctx.scale, ctx.causal = scale, causal
        return out_BTHE

    @staticmethod
    @kernels.first_derivative
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        q_BHTE, k_NSE, v_NSE, *all_shares = ctx.saved_tensors
        grad_out_BHTE = grads[0].transpose(1, 2)
        groups = len(k_NSE) // len(q_BHTE)
        grad_q_BHTE = torch.empty_like(q_BHTE, memory_format=torch.contiguous_format)
        grad_k_NSE, grad_v_NSE = torch.empty_like(k_NSE), torch.empty_like(v_NSE)
        blocks = _blocks(q_BHTE.shape[2], k_NSE.shape[1], ctx.causal)
        for (block, seen, first), share_NRC in zip(blocks, all_shares, strict=True):
            is_first = seen.stop == k_NSE.shape[1]
            grad_out_NRE = _stacked(grad_out_BHTE, block, groups)
            _add_product(grad_v_NSE[:, seen], share_NRC.mT, grad_out_NRE, is_first=is_first)
            grad_NRC = grad_out_NRE @ v_NSE[:, seen].mT
            operations.softmax_backward_(_by_head(grad_NRC, block), share_NRC, first=first, scale=ctx.scale)
            _unstack(grad_NRC @ k_NSE[:, seen], grad_q_BHTE, block)
            q_NRE = _stacked(q_BHTE, block, groups)
            _add_product(grad_k_NSE[:, seen], grad_NRC.mT, q_NRE, is_first=is_first)
        split = (len(q_BHTE), groups)
        return grad_q_BHTE, grad_k_NSE.unflatten(0, split), grad_v_NSE.unflatten(0, split), None, None


def _blocks(num_new: int, num_all: int, causal: bool) -> Iterator[tuple[slice, slice, int]]:
    """Queries of each block, keys that they see, and how many its first one sees besides itself.

    The last block, which sees all keys, comes first: it fills what the others add to.
    """
    if not causal:
        yield slice(0, num_new), slice(0, num_all), num_all
        return
    for start in reversed(range(0, num_new, _BLOCK)):
        end = min(start + _BLOCK, num_new)
        yield slice(start, end), slice(0, end), start


def _add_product(total: Tensor, left: Tensor, right: Tensor, *, is_first: bool) -> None:
    """Add left @ right to a total, which is undefined before the first one."""
    if is_first:
        torch.bmm(left, right, out=total)
    else:
        total.baddbmm_(left, right)


def _stacked(x_BHTE: Tensor, block: slice, groups: int) -> Tensor:
    """A block of queries, those of the heads that share a key head below each other: (N, R, E)."""
    rows, _, _, head_dim = x_BHTE.shape
    return x_BHTE[:, :, block].reshape(rows * groups, -1, head_dim)


def _by_head(scores_NRC: Tensor, block: slice) -> Tensor:
    """Scores of a block, (B * H, M, C)."""
    return scores_NRC.view(-1, block.stop - block.start, scores_NRC.shape[-1])


def _unstack(x_NRE: Tensor, out_BHTE: Tensor, block: slice) -> None:
    """Write what ``_stacked`` would read."""
    rows, heads, _, head_dim = out_BHTE.shape
    out_BHTE[:, :, block] = x_NRE.view(rows, heads, block.stop - block.start, head_dim)
