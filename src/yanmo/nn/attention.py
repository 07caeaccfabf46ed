"""Multi-head attention, to a text's own tokens or to another's, with the variants that checkpoints use.

Attention: Vaswani et al. 2017 (arXiv 1706.03762, equation 1). Grouped heads: Ainslie et al. 2023
(arXiv 2305.13245). QK-norm: Henry et al. 2020 (arXiv 2010.04245), as RMSNorm of each head or of all heads
together, before the rotation. Sliding windows: Beltagy et al. 2020 (arXiv 2004.05150, section 3.1). Capped
scores: Gemma Team 2024 (arXiv 2408.00118, section 2). One matrix makes queries, keys and values: one
large product is faster on a CPU than three small ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import torch
from torch import Tensor, nn
from torch.nn import functional

from yanmo.errors import InputError
from yanmo.nn import kernels
from yanmo.nn.attention_products import attention_products
from yanmo.nn.context import Context, Memory, Rotary
from yanmo.nn.kernels import operations
from yanmo.nn.kv_cache import LayerCache
from yanmo.nn.linear import FusedLinear
from yanmo.nn.norm import NormConfig, build_norm
from yanmo.nn.packing import Run, Segments, paired_runs
from yanmo.nn.row_cache import RowsLayer
from yanmo.nn.split_heads import Heads, split_heads, turned

# For fewer, the keys are not worth being laid out for the kernel.
_KERNEL_MIN_QUERIES = 8
# Up to this length, products with torch's softmax beat the CPU flash kernel in bf16, forward and backward; in
# float32 the flash kernel is twice as fast (benchmarks/LOG.md).
_PRODUCTS_MAX_LENGTH = 512
# Products with a fused softmax win for longer, and in float32 where they leave out what no query sees. Beyond
# this length the shares that they keep for the backward pass would need too much memory.
_FUSED_MAX_LENGTH = 1024
_FUSED_FLOAT32_MIN_LENGTH = 256


Cache = LayerCache | RowsLayer


class QkNorm(StrEnum):
    """Whether queries and keys are normalised: each head by itself, or all heads as one vector."""

    NONE = "none"
    HEAD = "head"
    FULL = "full"


@dataclass(frozen=True, kw_only=True)
class AttentionConfig:
    """Attention of a stack.

    Attributes:
        num_heads: query heads, a multiple of ``num_kv_heads``.
        num_kv_heads: key and value heads.
        head_dim: numbers in a head.
        qkv_bias: whether the input products have biases.
        out_bias: whether the output product has.
        qk_norm: normalisation of queries and keys.
        scale: factor on the scores; None is 1 / sqrt(head_dim).
        softcap: scores are squeezed into (-softcap, softcap).
        window: tokens see those fewer than this many away, in the layers that have a window.
    """

    num_heads: int
    num_kv_heads: int
    head_dim: int
    qkv_bias: bool = False
    out_bias: bool = False
    qk_norm: QkNorm = QkNorm.NONE
    scale: float | None = None
    softcap: float | None = None
    window: int | None = None

    def __post_init__(self) -> None:
        """Refuse sizes that cannot be built."""
        for name in ("num_heads", "num_kv_heads", "head_dim"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.num_heads % self.num_kv_heads:
            raise InputError(
                f"num_heads ({self.num_heads}) must be a multiple of num_kv_heads ({self.num_kv_heads})"
            )
        if self.window is not None and self.window < 1:
            raise InputError(f"window must be at least 1, not {self.window}")

    @property
    def query_width(self) -> int:
        """Numbers in all queries of a token."""
        return self.num_heads * self.head_dim

    @property
    def key_width(self) -> int:
        """Numbers in all keys of a token; as many as in its values."""
        return self.num_kv_heads * self.head_dim


class _Heads(nn.Module):
    """What both kinds of attention share: norms of queries and keys, scores, and the output product."""

    def __init__(self, d_model: int, config: AttentionConfig, norm: NormConfig) -> None:
        super().__init__()
        self.config = config
        self._scale = 1 / math.sqrt(config.head_dim) if config.scale is None else config.scale

    def _build_ends(self, d_model: int, norm: NormConfig) -> None:
        config = self.config
        self.out = nn.Linear(config.query_width, d_model, bias=config.out_bias)
        if config.qk_norm is not QkNorm.NONE:
            full = config.qk_norm is QkNorm.FULL
            self.query_norm = build_norm(config.query_width if full else config.head_dim, norm)
            self.key_norm = build_norm(config.key_width if full else config.head_dim, norm)

    def _attend(
        self,
        q_BHTE: Tensor,
        k_BKSE: Tensor,
        v_BKSE: Tensor,
        *,
        causal: bool,
        bias: Tensor | None,
    ) -> Tensor:
        """Attend and join the heads: (B, T, H * E)."""
        out_BHTE = attend(
            q_BHTE,
            k_BKSE,
            v_BKSE,
            scale=self._scale,
            causal=causal,
            bias=bias,
            softcap=self.config.softcap,
        )
        return out_BHTE.transpose(1, 2).flatten(2)


class Attention(_Heads):
    """Self-attention."""

    def __init__(
        self, d_model: int, config: AttentionConfig, norm: NormConfig, *, window: int | None, local: bool
    ) -> None:
        """``norm`` is QK-norm's; ``window`` is this layer's, ``local`` says which rotary table it takes."""
        super().__init__(d_model, config, norm)
        widths = (config.query_width, config.key_width, config.key_width)
        self.qkv = FusedLinear(d_model, widths, bias=config.qkv_bias)
        self._build_ends(d_model, norm)
        self._window, self._local = window, local
        self._heads = self._normed_whole if config.qk_norm is QkNorm.FULL else self._split_heads

    def forward(self, x_BTD: Tensor, context: Context, cache: Cache | None = None) -> Tensor:
        """Attend to the tokens of the same text that each may see.

        Args:
            x_BTD: input; one row where texts are packed.
            context: of this forward pass.
            cache: keys and values of earlier tokens, to which these are added; of each text where texts
                are packed.

        Returns:
            out_BTD.
        """
        rotary = context.local_rotary if self._local else context.rotary
        segments = context.segments
        if segments is not None and cache is None and context.causal and rotary is None and context.is_ragged:
            # No token sees what stands behind its text.
            qkv_BTF = segments.spread(context.of_texts(self.qkv(x_BTD)))
            return self.out(context.filled(segments.joined(self._attend_rows(qkv_BTF, context))))
        q_BHTE, k_BKSE, v_BKSE = self._heads(self.qkv(x_BTD), rotary)
        if segments is not None and cache is not None:
            assert isinstance(cache, RowsLayer)
            return self.out(self._attend_held(q_BHTE, cache.append(k_BKSE, v_BKSE, segments), context))
        if segments is not None:
            return self.out(context.filled(self._attend_packed(q_BHTE, k_BKSE, v_BKSE, context, segments)))
        if cache is not None:
            assert isinstance(cache, LayerCache)
            k_BKSE, v_BKSE = cache.append(k_BKSE, v_BKSE)
        bias = context.bias(q_BHTE.shape[2], k_BKSE.shape[2], self._window, q_BHTE.dtype)
        return self.out(self._attend(q_BHTE, k_BKSE, v_BKSE, causal=context.causal, bias=bias))

    def _attend_held(
        self, q_1HNE: Tensor, held: Sequence[tuple[slice, Tensor, Tensor]], context: Context
    ) -> Tensor:
        """Packed texts that go on: each attends to all that is held of it."""
        parts = []
        for new, k_1KSE, v_1KSE in held:
            q_1HTE = q_1HNE[:, :, new]
            bias = context.bias(q_1HTE.shape[2], k_1KSE.shape[2], self._window, q_1HTE.dtype)
            parts.append(self._attend(q_1HTE, k_1KSE, v_1KSE, causal=context.causal, bias=bias))
        return torch.cat(parts, dim=1)

    def _attend_rows(self, qkv_BTF: Tensor, context: Context) -> Tensor:
        q_BHTE, k_BKTE, v_BKTE = self._heads(qkv_BTF, None)
        bias = context.bias(q_BHTE.shape[2], k_BKTE.shape[2], self._window, q_BHTE.dtype)
        return self._attend(q_BHTE, k_BKTE, v_BKTE, causal=context.causal, bias=bias)

    def _attend_packed(
        self, q_1HNE: Tensor, k_1KNE: Tensor, v_1KNE: Tensor, context: Context, segments: Segments
    ) -> Tensor:
        def attend_run(run: Run, _: Run) -> Tensor:
            bias = context.bias(run.length, run.length, self._window, q_1HNE.dtype)
            q_BHTE, k_BKTE, v_BKTE = (_rows(x, run) for x in (q_1HNE, k_1KNE, v_1KNE))
            return self._attend(q_BHTE, k_BKTE, v_BKTE, causal=context.causal, bias=bias)

        return _over_runs(attend_run, segments, segments)

    def _split_heads(self, qkv_BTF: Tensor, rotary: Rotary | None) -> Heads:
        norms = None if self.config.qk_norm is QkNorm.NONE else (self.query_norm, self.key_norm)
        sizes = (self.config.num_heads, self.config.num_kv_heads, self.config.head_dim)
        return split_heads(qkv_BTF, sizes, norms, rotary)

    def _normed_whole(self, qkv_BTF: Tensor, rotary: Rotary | None) -> Heads:
        q, k, v = qkv_BTF.split(self.qkv.parts, dim=-1)
        parts = (self.query_norm(q), self.key_norm(k), v)
        q_BTHE, k_BTKE, v_BTKE = (part.unflatten(-1, (-1, self.config.head_dim)) for part in parts)
        return turned(q_BTHE, k_BTKE, v_BTKE, rotary)


class CrossAttention(_Heads):
    """Attention of a decoder's tokens to an encoder's."""

    def __init__(self, d_model: int, config: AttentionConfig, norm: NormConfig) -> None:
        """Sizes as those of the decoder's self-attention; no positions, no window."""
        super().__init__(d_model, config, norm)
        self.query = nn.Linear(d_model, config.query_width, bias=config.qkv_bias)
        self.key_value = FusedLinear(d_model, (config.key_width, config.key_width), bias=config.qkv_bias)
        self._build_ends(d_model, norm)

    def forward(self, x_BTD: Tensor, context: Context, cache: Cache | None = None) -> Tensor:
        """Attend to ``context.memory``; ``cache`` keeps its keys and values. Same shape out as in."""
        memory = context.memory
        assert not isinstance(cache, RowsLayer), "texts that look at others do not go on together"
        assert memory is not None, "cross-attention needs an encoder's output"
        split = (-1, self.config.head_dim)
        if memory.segments is not None and context.segments is not None and context.is_ragged:
            x_1ND = context.of_texts(x_BTD)
            return self.out(
                context.filled(context.segments.joined(self._attend_rows(x_1ND, memory, context.segments)))
            )
        q_BHTE = self.query(x_BTD).unflatten(-1, split).transpose(1, 2)
        held = None if cache is None else cache.memory
        if held is None:
            k_BSKE, v_BSKE = self.key_value(memory.hidden_BSD).unflatten(-1, split).chunk(2, dim=2)
            held = (k_BSKE.transpose(1, 2), v_BSKE.transpose(1, 2))
            if cache is not None:
                cache.memory = held
        k_BKSE, v_BKSE = held
        if memory.segments is None:
            bias = memory.bias(q_BHTE.dtype)
            return self.out(self._attend(q_BHTE, k_BKSE, v_BKSE, causal=False, bias=bias))
        # Packed sources: the targets are packed too, or rows of equal length.
        rows, length = x_BTD.shape[:2]
        targets = context.segments or Segments([length] * rows)
        q_1HNE = q_BHTE.transpose(0, 1).flatten(1, 2).unsqueeze(0)

        def attend_run(target: Run, source: Run) -> Tensor:
            keys_BKSE, values_BKSE = (_rows(x, source) for x in (k_BKSE, v_BKSE))
            return self._attend(_rows(q_1HNE, target), keys_BKSE, values_BKSE, causal=False, bias=None)

        out = context.filled(_over_runs(attend_run, targets, memory.segments))
        return self.out(out.view(rows, length, -1))

    def _attend_rows(self, x_1ND: Tensor, memory: Memory, targets: Segments) -> Tensor:
        """All texts at once, as padded rows."""
        sources, split = memory.segments, (-1, self.config.head_dim)
        assert sources is not None
        q_BHTE = targets.spread(self.query(x_1ND)).unflatten(-1, split).transpose(1, 2)
        rows_BSF = sources.spread(self.key_value(memory.hidden_BSD))
        k_BSKE, v_BSKE = rows_BSF.unflatten(-1, split).chunk(2, dim=2)
        bias = Memory(rows_BSF, lengths_B=sources.lengths_B).bias(q_BHTE.dtype)
        return self._attend(q_BHTE, k_BSKE.transpose(1, 2), v_BSKE.transpose(1, 2), causal=False, bias=bias)


def _rows(x_1HNE: Tensor, run: Run) -> Tensor:
    """A run of a packed row as a dense batch (rows, H, length, E)."""
    return x_1HNE[0, :, run.tokens].unflatten(1, (run.rows, run.length)).transpose(0, 1)


def _over_runs(attend_run: Callable[[Run, Run], Tensor], queries: Segments, keys: Segments) -> Tensor:
    """Join what each pair of runs gives, (rows, length, F), to one packed row (1, N, F)."""
    parts = [attend_run(query, key).flatten(0, 1) for query, key in paired_runs(queries, keys)]
    return torch.cat(parts).unsqueeze(0)


def attend(
    q_BHTE: Tensor,
    k_BKSE: Tensor,
    v_BKSE: Tensor,
    *,
    scale: float,
    causal: bool,
    bias: Tensor | None = None,
    softcap: float | None = None,
) -> Tensor:
    """softmax(scale * q k^T + bias) v.

    Args:
        q_BHTE: queries of the last T of S tokens.
        k_BKSE: keys; H is a multiple of K and each key head serves H / K query heads.
        v_BKSE: values.
        scale: factor on the scores.
        causal: without a bias, query t sees keys up to S - T + t only.
        bias: added to the scores, broadcast to (B, H, T, S); masks are in it.
        softcap: scores become softcap * tanh(scores / softcap) before the bias.

    Returns:
        out_BHTE.
    """
    if causal and softcap is None and q_BHTE.shape[2] == 1 and (bias is None or bias.dim() == 2):
        return _attend_one(q_BHTE, k_BKSE, v_BKSE, scale, bias)
    num_new, num_all = q_BHTE.shape[2], k_BKSE.shape[2]
    is_whole = num_new == num_all or not causal
    if bias is None and softcap is None and _suits_kernel(q_BHTE, k_BKSE, v_BKSE):
        first = num_all - num_new if causal else None
        return operations.attention(q_BHTE, k_BKSE, v_BKSE, scale=scale, first=first)
    if bias is None and softcap is None and is_whole and _fused_wins(q_BHTE, k_BKSE, v_BKSE, causal=causal):
        return attention_products(q_BHTE, k_BKSE, v_BKSE, scale=scale, causal=causal)
    # The type is asked first: a graph that is traced for any length must not depend on this one.
    suits_flash = q_BHTE.dtype == torch.float32 or num_all > _PRODUCTS_MAX_LENGTH
    if suits_flash and (is_whole or bias is not None) and softcap is None:
        return functional.scaled_dot_product_attention(
            q_BHTE,
            k_BKSE,
            v_BKSE,
            attn_mask=bias if bias is None or bias.dim() == 4 else bias.expand(1, q_BHTE.shape[1], -1, -1),
            is_causal=causal and bias is None,
            scale=scale,
            enable_gqa=q_BHTE.shape[1] != k_BKSE.shape[1],
        )
    if bias is None and causal and num_new > 1:
        bias = causal_mask(num_new, num_all, q_BHTE.dtype)
    rows, num_heads, _, head_dim = q_BHTE.shape
    num_groups = k_BKSE.shape[1]
    # Query heads of one group are stacked as more query rows: no key or value is copied.
    q_BKGE = (q_BHTE * scale).reshape(rows, num_groups, -1, head_dim)
    scores_BKGS = q_BKGE @ k_BKSE.transpose(-1, -2)
    if softcap is not None:
        scores_BKGS = torch.tanh(scores_BKGS / softcap) * softcap
    if bias is not None:
        grouped = bias.unflatten(-3, (num_groups, -1)) if bias.dim() == 3 else bias
        grouped = bias.unsqueeze(1) if bias.dim() == 4 else grouped
        scores_BKGS = (scores_BKGS.unflatten(2, (-1, num_new)) + grouped).flatten(2, 3)
    out_BKGE = torch.softmax(scores_BKGS, dim=-1) @ v_BKSE
    return out_BKGE.reshape(rows, num_heads, num_new, head_dim)


def _suits_kernel(q_BHTE: Tensor, k_BKSE: Tensor, v_BKSE: Tensor) -> bool:
    """Whether the kernel for many queries without gradients can be taken."""
    if torch.is_grad_enabled() or q_BHTE.dtype != torch.float32 or not kernels.suit(q_BHTE, k_BKSE, v_BKSE):
        return False
    return q_BHTE.shape[2] >= _KERNEL_MIN_QUERIES and q_BHTE.shape[3] % 16 == 0 and q_BHTE.numel() > 0


def _attend_one(
    q_BH1E: Tensor, k_BKSE: Tensor, v_BKSE: Tensor, scale: float, bias_1S: Tensor | None
) -> Tensor:
    """``attend`` of the last token, which sees all: the heads of a group are the flash kernel's queries.

    No key is read twice, and in bf16 it is much faster than products (benchmarks/LOG.md).
    """
    q_BKGE = q_BH1E.reshape(len(q_BH1E), k_BKSE.shape[1], -1, q_BH1E.shape[3])
    out_BKGE = functional.scaled_dot_product_attention(q_BKGE, k_BKSE, v_BKSE, attn_mask=bias_1S, scale=scale)
    return out_BKGE.reshape(q_BH1E.shape)


def _fused_wins(q_BHTE: Tensor, k_BKSE: Tensor, v_BKSE: Tensor, *, causal: bool) -> bool:
    """Whether products with the kernels' softmax are the fastest way where there is no bias."""
    if not kernels.suit(q_BHTE, k_BKSE, v_BKSE) or k_BKSE.shape[2] > _FUSED_MAX_LENGTH:
        return False
    return q_BHTE.dtype != torch.float32 or (causal and k_BKSE.shape[2] >= _FUSED_FLOAT32_MIN_LENGTH)


def causal_mask(num_new: int, num_all: int, dtype: torch.dtype) -> Tensor:
    """Zeros where query t may see key s (s <= S - T + t), minus infinity elsewhere, shape (T, S)."""
    mask_TS = torch.full((num_new, num_all), -math.inf, dtype=dtype)
    return mask_TS.triu_(num_all - num_new + 1)
