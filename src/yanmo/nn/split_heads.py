"""From the product that makes queries, keys and values to heads: split, normalised, rotated, tokens inside.

Shapes: B rows, T tokens, H heads of queries, K of keys and values, E head_dim, F = (H + 2K) * E.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.autograd import Function

from yanmo.nn import kernels
from yanmo.nn.context import Rotary
from yanmo.nn.kernels import operations
from yanmo.nn.norm import RMSNorm
from yanmo.nn.position import apply_rotary

Heads = tuple[Tensor, Tensor, Tensor]


def split_heads(
    qkv_BTF: Tensor,
    sizes: tuple[int, int, int],
    norms: tuple[nn.Module, nn.Module] | None,
    rotary: Rotary | None,
) -> Heads:
    """Queries (B, H, T, E), keys and values (B, K, T, E).

    Args:
        qkv_BTF: queries, keys and values of each token side by side.
        sizes: H, K, E.
        norms: of each query and of each key, before the rotation.
        rotary: cosines and sines of the tokens.
    """
    weights = [norm.weight for norm in norms or () if isinstance(norm, RMSNorm)]
    has_work, has_kernel = bool(norms or rotary), len(weights) == len(norms or ())
    if has_work and has_kernel and kernels.suit(qkv_BTF, *weights, *(rotary or ())):
        eps = [norm.eps for norm in norms or () if isinstance(norm, RMSNorm)]
        heads: Heads = _FusedSplit.apply(qkv_BTF, sizes, rotary, *eps[:1], *weights)
        return heads
    q_BTHE, k_BTKE, v_BTKE = qkv_BTF.unflatten(-1, (-1, sizes[-1])).split(
        (sizes[0], sizes[1], sizes[1]), dim=2
    )
    if norms is not None:
        q_BTHE, k_BTKE = norms[0](q_BTHE), norms[1](k_BTKE)
    return turned(q_BTHE, k_BTKE, v_BTKE, rotary)


def turned(q_BTHE: Tensor, k_BTKE: Tensor, v_BTKE: Tensor, rotary: Rotary | None) -> Heads:
    """Heads of tokens to tokens of heads, queries and keys rotated."""
    if rotary is not None:
        q_BTHE, k_BTKE = apply_rotary(q_BTHE, *rotary), apply_rotary(k_BTKE, *rotary)
    return q_BTHE.transpose(1, 2), k_BTKE.transpose(1, 2), v_BTKE.transpose(1, 2)


class _FusedSplit(Function):
    """``split_heads`` by the kernels."""

    @staticmethod
    def forward(
        ctx: Any,
        qkv_BTF: Tensor,
        sizes: tuple[int, int, int],
        rotary: Rotary | None,
        eps: float = 0.0,
        *weights_E: Tensor,
    ) -> Heads:
        q_BHTE, k_BKTE, v_BKTE, scale_NH = operations.split_heads(qkv_BTF, weights_E, rotary, sizes, eps)
        ctx.rotary = rotary
        # Without norms nothing depends on the values.
        ctx.save_for_backward(*((qkv_BTF, scale_NH, *weights_E) if weights_E else ()))
        return q_BHTE, k_BKTE, v_BKTE

    @staticmethod
    @kernels.first_derivative
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        qkv_BTF, scale_NH, *weights_E = ctx.saved_tensors or (None, None)
        grad_qkv_BTF, grad_weights_2E = operations.split_heads_backward(
            grads, qkv_BTF, weights_E, ctx.rotary, scale_NH
        )
        if not weights_E:
            return grad_qkv_BTF, None, None
        return grad_qkv_BTF, None, None, None, *grad_weights_2E
