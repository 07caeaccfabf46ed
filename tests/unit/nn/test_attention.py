from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from yanmo.nn.attention import attend as attend_with
from yanmo.nn.kv_cache import LayerCache


def attend(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    return attend_with(q, k, v, scale=q.shape[-1] ** -0.5, causal=True)


@pytest.mark.parametrize(("num_new", "num_all"), [(9, 9), (1, 9), (4, 9)])
def test_attend_equals_torch_with_repeated_heads(num_new: int, num_all: int) -> None:
    torch.manual_seed(0)
    q, k, v = torch.randn(2, 6, num_new, 8), torch.randn(2, 3, num_all, 8), torch.randn(2, 3, num_all, 8)
    mask = torch.ones(num_new, num_all, dtype=torch.bool).tril(num_all - num_new)
    expected = functional.scaled_dot_product_attention(
        q, k.repeat_interleave(2, 1), v.repeat_interleave(2, 1), attn_mask=mask
    )
    torch.testing.assert_close(attend(q, k, v), expected)


def test_both_kernels_agree() -> None:
    torch.manual_seed(0)
    q, k, v = torch.randn(1, 4, 40, 8), torch.randn(1, 2, 40, 8), torch.randn(1, 2, 40, 8)
    by_kernel = attend(q, k, v)
    by_products = attend(q.bfloat16(), k.bfloat16(), v.bfloat16())
    torch.testing.assert_close(by_products.float(), by_kernel, atol=0.03, rtol=0.03)
    by_products = attend(q.double(), k.double(), v.double())
    torch.testing.assert_close(by_products.float(), by_kernel)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_last_token_alone_attends_as_it_does_among_others(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    q, k, v = torch.randn(2, 6, 40, 8), torch.randn(2, 3, 40, 8), torch.randn(2, 3, 40, 8)
    for window in (None, 5):
        bias = None
        if window is not None:
            away = torch.arange(40)[:, None] - torch.arange(40)
            bias = torch.zeros(40, 40).masked_fill((away < 0) | (away >= window), -torch.inf)
        whole = attend_with(q, k, v, scale=0.3, causal=True, bias=bias)
        last_bias = None if bias is None else bias[-1:].to(dtype)
        given = (x.to(dtype) for x in (q[:, :, -1:], k, v))
        last = attend_with(*given, scale=0.3, causal=True, bias=last_bias)
        tolerance = 1e-5 if dtype is torch.float32 else 0.03
        torch.testing.assert_close(last.float(), whole[:, :, -1:], atol=tolerance, rtol=tolerance)


def test_a_token_does_not_see_what_follows() -> None:
    torch.manual_seed(0)
    q, k, v = torch.randn(1, 2, 6, 4), torch.randn(1, 2, 6, 4), torch.randn(1, 2, 6, 4)
    before = attend(q, k, v)
    k[:, :, 4:] += 1.0
    v[:, :, 4:] -= 1.0
    after = attend(q, k, v)
    torch.testing.assert_close(after[:, :, :4], before[:, :, :4])
    assert not torch.allclose(after[:, :, 4:], before[:, :, 4:])


def test_cache_grows_and_reorders() -> None:
    torch.manual_seed(0)
    cache, keys, values = LayerCache(300), torch.randn(2, 1, 150, 4), torch.randn(2, 1, 150, 4)
    for start in range(0, 150, 50):
        seen_keys, seen_values = cache.append(
            keys[:, :, start : start + 50], values[:, :, start : start + 50]
        )
    torch.testing.assert_close(seen_keys, keys)
    torch.testing.assert_close(seen_values, values)
    cache.select(torch.tensor([1, 1, 0]))
    more = torch.randn(3, 1, 1, 4)
    seen_keys, _ = cache.append(more, more)
    torch.testing.assert_close(seen_keys[:, :, :150], keys[[1, 1, 0]])
    assert cache.num_tokens == 151
