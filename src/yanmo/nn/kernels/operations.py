"""The kernels as functions of tensors, each beside its backward pass; nothing is differentiated here.

Shapes: N rows, D width, B texts, T tokens, H heads of queries, K of keys and values, E head_dim, R numbers of
a head that are rotated, Q queries of a block, S keys, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from yanmo.nn.kernels import library

_MOST_CHUNKS, _LEAST_CHUNK_ROWS = 128, 16


# Of attention.c: keys are padded to two of the widest registers; queries of the largest block.
_PADDING = 32
_QUERIES = 12


def _chunks(rows: int) -> int:
    """Into how many parts a sum over rows is cut: by nothing but their number."""
    return min(_MOST_CHUNKS, -(-rows // _LEAST_CHUNK_ROWS))


def _floats(beside: Tensor, *shape: int) -> Tensor:
    """Room for float32 numbers on the device of another tensor, whatever device new ones go to."""
    return torch.empty(shape, dtype=torch.float32, device=beside.device)


def rms_norm(x: Tensor, weight_D: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """x / sqrt(mean(x^2) + eps) * weight over the last dimension, and the factor of each row (float32)."""
    x = x.contiguous()
    width = weight_D.shape[0]
    assert x.shape[-1] == width, "a row has as many numbers as the weight"
    rows = x.numel() // width
    y, scale_N = torch.empty_like(x), _floats(x, rows)
    library.call("rms_norm", x.dtype, x, weight_D.contiguous(), y, scale_N, rows, width, eps)
    return y, scale_N


def rms_norm_backward(grad: Tensor, x: Tensor, weight_D: Tensor, scale_N: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of x and of the weight."""
    grad, x, weight_D = grad.contiguous(), x.contiguous(), weight_D.contiguous()
    rows, width = len(scale_N), weight_D.shape[0]
    grad_x, grad_weight_D = torch.empty_like(x), torch.empty_like(weight_D)
    chunks = _chunks(rows)
    partial = _floats(x, chunks, width)
    pointers = (grad, x, weight_D, scale_N, grad_x, grad_weight_D, partial)
    library.call("rms_norm_backward", x.dtype, *pointers, rows, width, chunks)
    return grad_x, grad_weight_D


def split_heads(
    qkv_BTF: Tensor,
    norms_2E: Sequence[Tensor],
    rotary_T1R: Sequence[Tensor] | None,
    sizes: tuple[int, int, int],
    eps: float,
) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """Queries (B, H, T, E), keys and values (B, K, T, E) out of (B, T, (H + 2K) * E).

    Args:
        qkv_BTF: queries, keys and values of each token side by side.
        norms_2E: weights of the RMSNorms of queries and keys, or none.
        rotary_T1R: cosines and signed sines, or None.
        sizes: H, K, E.
        eps: of the norms.

    Returns:
        q, k, v, and the factor of each query and key (float32; None without norms).
    """
    heads, groups, head_dim = sizes
    texts, tokens = qkv_BTF.shape[:2]
    assert qkv_BTF.shape[2] == (heads + 2 * groups) * head_dim, "heads of other sizes"
    assert not rotary_T1R or len(rotary_T1R[0]) == tokens, "an angle for each token"
    qkv_BTF = qkv_BTF.contiguous()
    q_BHTE = qkv_BTF.new_empty(texts, heads, tokens, head_dim)
    k_BKTE, v_BKTE = (qkv_BTF.new_empty(texts, groups, tokens, head_dim) for _ in range(2))
    scale_NH = _floats(qkv_BTF, texts * tokens, heads + groups) if norms_2E else None
    pointers = (qkv_BTF, *_pair(norms_2E), *_pair(rotary_T1R), q_BHTE, k_BKTE, v_BKTE, scale_NH)
    counts = (texts * tokens, tokens, heads, groups, head_dim, _turned(rotary_T1R))
    library.call("split_heads", qkv_BTF.dtype, *pointers, *counts, eps)
    return q_BHTE, k_BKTE, v_BKTE, scale_NH


def split_heads_backward(
    grads: Sequence[Tensor],
    qkv_BTF: Tensor | None,
    norms_2E: Sequence[Tensor],
    rotary_T1R: Sequence[Tensor] | None,
    scale_NH: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """Gradients of qkv_BTF and of both norms' weights, (2, E), which mean nothing without norms."""
    grad_q, grad_k, grad_v = (grad.contiguous() for grad in grads)
    texts, heads, tokens, head_dim = grad_q.shape
    groups = grad_k.shape[1]
    rows = texts * tokens
    grad_qkv_BTF = grad_q.new_empty(texts, tokens, (heads + 2 * groups) * head_dim)
    grad_norms_2E, chunks = grad_q.new_empty(2, head_dim), _chunks(rows)
    if qkv_BTF is not None:
        qkv_BTF = qkv_BTF.contiguous()
    pointers = (grad_q, grad_k, grad_v, qkv_BTF, *_pair(norms_2E), *_pair(rotary_T1R), scale_NH)
    results = (grad_qkv_BTF, grad_norms_2E, _floats(grad_q, chunks, 2, head_dim))
    counts = (rows, tokens, heads, groups, head_dim, _turned(rotary_T1R), chunks)
    library.call("split_heads_backward", grad_q.dtype, *pointers, *results, *counts)
    return grad_qkv_BTF, grad_norms_2E


def _pair(tensors: Sequence[Tensor] | None) -> tuple[Tensor | None, Tensor | None]:
    return (tensors[0].contiguous(), tensors[1].contiguous()) if tensors else (None, None)


def _turned(rotary_T1R: Sequence[Tensor] | None) -> int:
    return rotary_T1R[0].shape[-1] if rotary_T1R else 0


def gate(gate_up: Tensor, linear: float, cubic: float) -> Tensor:
    """g * sigmoid(linear * g + cubic * g^3) * u, where the last dimension holds g and then u."""
    gate_up = gate_up.contiguous()
    width = gate_up.shape[-1] // 2
    y = gate_up.new_empty(*gate_up.shape[:-1], width)
    library.call("gate", y.dtype, gate_up, y, y.numel() // width, width, linear, cubic)
    return y


def gate_backward(grad: Tensor, gate_up: Tensor, linear: float, cubic: float) -> Tensor:
    """Gradient of ``gate_up``."""
    grad, gate_up = grad.contiguous(), gate_up.contiguous()
    width, grad_gate_up = grad.shape[-1], torch.empty_like(gate_up)
    counts = (grad.numel() // width, width)
    library.call("gate_backward", grad.dtype, grad, gate_up, grad_gate_up, *counts, linear, cubic)
    return grad_gate_up


def attention(q_BHTE: Tensor, k_BKSE: Tensor, v_BKSE: Tensor, *, scale: float, first: int | None) -> Tensor:
    """softmax(scale * q k^T) v in float32, without gradients, for a head_dim in multiples of 16.

    Args:
        q_BHTE: queries.
        k_BKSE: keys.
        v_BKSE: values.
        scale: factor on the scores.
        first: query t sees keys 0 to ``first`` + t; None lets each see all.

    Returns:
        out_BHTE, which lies in memory as (B, T, H, E).
    """
    rows, heads, queries, head_dim = q_BHTE.shape
    groups, keys = k_BKSE.shape[1], k_BKSE.shape[2]
    q_BHTE, k_BKSE, v_BKSE = (x if x.stride(-1) == 1 else x.contiguous() for x in (q_BHTE, k_BKSE, v_BKSE))
    padded = -(-keys // _PADDING) * _PADDING
    out_BTHE = q_BHTE.new_empty(rows, queries, heads, head_dim)
    room = (
        _floats(q_BHTE, rows * groups, head_dim, padded),
        _floats(q_BHTE, torch.get_num_threads(), _QUERIES, padded),
    )
    strides = [q_BHTE.stride(dim) for dim in (0, 2, 1)], [*k_BKSE.stride()[:3], *v_BKSE.stride()[:3]]
    counts = (rows, queries, keys, heads, groups, head_dim, -1 if first is None else first, padded)
    given = (q_BHTE, k_BKSE, v_BKSE, out_BTHE, *room, *(torch.tensor(of_one) for of_one in strides))
    library.call("attention", torch.float32, *given, *counts, scale)
    return out_BTHE.transpose(1, 2)


def softmax_(scores_NQS: Tensor, *, first: int, scale: float) -> None:
    """Over contiguous scores, softmax(scale * scores) of the keys that each query sees, and 0 for the others.

    Query q sees keys 0 to ``first`` + q, if there are so many; what it does not see is not read.
    """
    library.call("softmax", scores_NQS.dtype, scores_NQS, *_counts(scores_NQS), first, scale)


def softmax_backward_(grad_NQS: Tensor, share_NQS: Tensor, *, first: int, scale: float) -> None:
    """Over contiguous gradients of the shares, those of the scores."""
    library.call("softmax_backward", grad_NQS.dtype, grad_NQS, share_NQS, *_counts(grad_NQS), first, scale)


def _counts(scores_NQS: Tensor) -> tuple[int, int, int]:
    return scores_NQS.shape[:-1].numel(), scores_NQS.shape[-2], scores_NQS.shape[-1]


def cross_entropy_(logits_NV: Tensor, targets_N: Tensor) -> Tensor:
    """Loss of each row in float32 nats; over contiguous logits, softmax(logits) - one_hot(target).

    Raises:
        IndexError: a target is not one of the V.
    """
    rows, width = logits_NV.shape
    assert targets_N.shape == (rows,) and targets_N.dtype == torch.int64, "a target for each row, int64"
    if rows and not 0 <= int(targets_N.min()) <= int(targets_N.max()) < width:
        raise IndexError(f"a target is not between 0 and {width - 1}")
    loss_N = _floats(logits_NV, rows)
    library.call("cross_entropy", logits_NV.dtype, logits_NV, targets_N.contiguous(), loss_N, rows, width)
    return loss_N
