"""A Transformer block: attention and feed-forward, each normalised before and added to the stream."""

from __future__ import annotations

from torch import Tensor, nn

from yanmo.nn.attention import Attention
from yanmo.nn.dropout import RowDropout
from yanmo.nn.kv_cache import LayerCache
from yanmo.nn.norm import RMSNorm


class Block(nn.Module):
    """Pre-norm residual block (Xiong et al. 2020, arXiv 2002.04745, figure 1b)."""

    def __init__(self, d_model: int, attention: Attention, feed_forward: nn.Module, *, eps: float) -> None:
        """``attention`` and ``feed_forward`` map (B, T, D) to the same shape."""
        super().__init__()
        self.attention_norm = RMSNorm(d_model, eps=eps)
        self.attention = attention
        self.feed_forward_norm = RMSNorm(d_model, eps=eps)
        self.feed_forward = feed_forward
        self.dropout = RowDropout()

    def forward(
        self, x_BTD: Tensor, rotary: tuple[Tensor, Tensor], cache: LayerCache | None = None
    ) -> Tensor:
        """Same shape out as in; ``dropout`` is on what is added to the stream, while training."""
        x_BTD = x_BTD + self.dropout(self.attention(self.attention_norm(x_BTD), rotary, cache))
        return x_BTD + self.dropout(self.feed_forward(self.feed_forward_norm(x_BTD)))
