"""Multi-head attention with grouped key/value heads, rotary positions and QK-norm.

Attention: Vaswani et al. 2017 (arXiv 1706.03762, equation 1). Grouped heads: Ainslie et al. 2023
(arXiv 2305.13245). QK-norm: Henry et al. 2020 (arXiv 2010.04245), here as RMSNorm of each head
before the rotation, as Qwen3 does. One matrix makes queries, keys and values: one large product is
faster on a CPU than three small ones.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from yanmo.nn.kv_cache import LayerCache
from yanmo.nn.linear import FusedLinear
from yanmo.nn.norm import RMSNorm
from yanmo.nn.position import apply_rotary

# In bf16 and up to this length, plain matrix products beat the CPU flash kernel forward and backward;
# in float32 the kernel is twice as fast (benchmarks/LOG.md).
_MATMUL_MAX_SEQ_LEN = 512


class Attention(nn.Module):
    """Causal self-attention."""

    def __init__(self, d_model: int, num_heads: int, num_kv_heads: int, head_dim: int, *, eps: float) -> None:
        """``num_heads`` must be a multiple of ``num_kv_heads``; ``eps`` is the QK-norm's."""
        super().__init__()
        self.num_heads, self.num_kv_heads, self.head_dim = num_heads, num_kv_heads, head_dim
        self.qkv = FusedLinear(
            d_model, (num_heads * head_dim, num_kv_heads * head_dim, num_kv_heads * head_dim)
        )
        self.out = nn.Linear(num_heads * head_dim, d_model, bias=False)
        self.query_norm = RMSNorm(head_dim, eps=eps)
        self.key_norm = RMSNorm(head_dim, eps=eps)

    def forward(
        self, x_BTD: Tensor, rotary: tuple[Tensor, Tensor], cache: LayerCache | None = None
    ) -> Tensor:
        """Attend to the tokens before each token and to itself.

        Args:
            x_BTD: input, already normalised.
            rotary: cosines and sines of the T positions.
            cache: keys and values of earlier tokens, to which these are added.

        Returns:
            out_BTD.
        """
        rows, length, _ = x_BTD.shape
        heads_BTHE = self.qkv(x_BTD).unflatten(-1, (-1, self.head_dim))
        sizes = (self.num_heads, self.num_kv_heads, self.num_kv_heads)
        q_BTHE, k_BTKE, v_BTKE = heads_BTHE.split(sizes, dim=2)
        q_BHTE = apply_rotary(self.query_norm(q_BTHE), *rotary).transpose(1, 2)
        k_BKSE = apply_rotary(self.key_norm(k_BTKE), *rotary).transpose(1, 2)
        v_BKSE = v_BTKE.transpose(1, 2)
        if cache is not None:
            k_BKSE, v_BKSE = cache.append(k_BKSE, v_BKSE)
        out_BHTE = attend(q_BHTE, k_BKSE, v_BKSE)
        return self.out(out_BHTE.transpose(1, 2).reshape(rows, length, -1))


def attend(q_BHTE: Tensor, k_BKSE: Tensor, v_BKSE: Tensor) -> Tensor:
    """softmax(q k^T / sqrt(E)) v, where query t sees keys up to S - T + t.

    Args:
        q_BHTE: queries of the last T of S tokens.
        k_BKSE: keys; H is a multiple of K and each key head serves H / K query heads.
        v_BKSE: values.

    Returns:
        out_BHTE.
    """
    num_new, num_all = q_BHTE.shape[2], k_BKSE.shape[2]
    suits_kernel = num_all > _MATMUL_MAX_SEQ_LEN or q_BHTE.dtype == torch.float32
    if suits_kernel and num_new == num_all:
        grouped = q_BHTE.shape[1] != k_BKSE.shape[1]
        return functional.scaled_dot_product_attention(
            q_BHTE, k_BKSE, v_BKSE, is_causal=True, enable_gqa=grouped
        )
    rows, num_heads, _, head_dim = q_BHTE.shape
    num_groups = k_BKSE.shape[1]
    # Query heads of one group are stacked as more query rows: no key or value is copied.
    q_BKGE = (q_BHTE * (1 / math.sqrt(head_dim))).reshape(rows, num_groups, -1, head_dim)
    scores_BKGS = q_BKGE @ k_BKSE.transpose(-1, -2)
    if num_new > 1:
        scores_BKGTS = scores_BKGS.unflatten(2, (-1, num_new))
        scores_BKGTS = scores_BKGTS + causal_mask(num_new, num_all, q_BHTE.dtype)
        scores_BKGS = scores_BKGTS.flatten(2, 3)
    out_BKGE = torch.softmax(scores_BKGS, dim=-1) @ v_BKSE
    return out_BKGE.reshape(rows, num_heads, num_new, head_dim)


def causal_mask(num_new: int, num_all: int, dtype: torch.dtype) -> Tensor:
    """Zeros where query t may see key s (s <= S - T + t), minus infinity elsewhere, shape (T, S)."""
    mask_TS = torch.full((num_new, num_all), -math.inf, dtype=dtype)
    return mask_TS.triu_(num_all - num_new + 1)
