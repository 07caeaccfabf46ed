"""A Transformer block: attention and feed-forward added to the stream, and where the norms stand.

After the sum: Vaswani et al. 2017 (arXiv 1706.03762, section 3.1). Before: Xiong et al. 2020
(arXiv 2002.04745, figure 1b). Both: Ding et al. 2021 (arXiv 2105.13290, section 2.4). On what is added:
OLMo Team 2025 (arXiv 2501.00656, section 3.2). Side by side: Wang and Komatsuzaki 2021 (GPT-J).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from torch import Tensor, nn

from yanmo.nn.attention import Attention, AttentionConfig, Cache, CrossAttention
from yanmo.nn.context import Context
from yanmo.nn.dropout import RowDropout
from yanmo.nn.feed_forward import FeedForwardConfig, build_feed_forward
from yanmo.nn.norm import NormConfig, build_norm


class Residual(StrEnum):
    """Where a branch f and its norms stand: what each does to the stream x."""

    PRE = "pre"  # x + f(norm(x))
    POST = "post"  # norm(x + f(x))
    SANDWICH = "sandwich"  # x + norm(f(norm(x)))
    BRANCH = "branch"  # x + norm(f(x))
    PARALLEL = "parallel"  # x + f(norm(x)) + g(norm(x))


@dataclass(frozen=True, kw_only=True)
class BlockConfig:
    """What the blocks of a stack are made of."""

    attention: AttentionConfig
    feed_forward: FeedForwardConfig
    norm: NormConfig = field(default_factory=NormConfig)
    residual: Residual = Residual.PRE
    cross_attention: bool = False


class Block(nn.Module):
    """One layer of a stack."""

    def __init__(
        self,
        d_model: int,
        config: BlockConfig,
        *,
        layer: int,
        window: int | None = None,
        local: bool = False,
        first_norm: bool = True,
    ) -> None:
        """Build one layer.

        Args:
            d_model: width of the stream.
            config: what it is made of.
            layer: its number, from 0.
            window: tokens see those fewer than this many away, or None.
            local: whether it takes the rotary table of layers with a window.
            first_norm: False leaves the norm of the attention's input out.
        """
        super().__init__()

        def norm() -> nn.Module:
            return build_norm(d_model, config.norm)

        sandwich = config.residual is Residual.SANDWICH
        self.attention_norm = norm() if first_norm else nn.Identity()
        self.attention = Attention(d_model, config.attention, config.norm, window=window, local=local)
        self.attention_end_norm = norm() if sandwich else None
        self.cross_attention_norm = norm() if config.cross_attention else None
        self.cross_attention = (
            CrossAttention(d_model, config.attention, config.norm) if config.cross_attention else None
        )
        self.feed_forward_norm = norm()
        self.feed_forward = build_feed_forward(d_model, config.feed_forward, layer=layer)
        self.feed_forward_end_norm = norm() if sandwich else None
        self.dropout = RowDropout()
        self._join = _JOINS[config.residual]

    def forward(self, x_BTD: Tensor, context: Context, cache: Cache | None = None) -> Tensor:
        """Same shape out as in; ``dropout`` is on what is added to the stream, while training."""

        def attention(x: Tensor) -> Tensor:
            return self.attention(x, context, cache)

        def drop(x: Tensor) -> Tensor:
            return self.dropout(x, context.segments)

        x_BTD = self._join(x_BTD, attention, self.attention_norm, self.attention_end_norm, drop)
        if self.cross_attention is not None and self.cross_attention_norm is not None:
            cross_attention = self.cross_attention

            def cross(x: Tensor) -> Tensor:
                return cross_attention(x, context, cache)

            x_BTD = self._join(x_BTD, cross, self.cross_attention_norm, None, drop)
        return self._join(x_BTD, self.feed_forward, self.feed_forward_norm, self.feed_forward_end_norm, drop)


class ParallelBlock(Block):
    """Attention and feed-forward look at the same input."""

    def forward(self, x_BTD: Tensor, context: Context, cache: Cache | None = None) -> Tensor:
        """Same shape out as in."""
        attended = self.attention(self.attention_norm(x_BTD), context, cache)
        fed = self.feed_forward(self.feed_forward_norm(x_BTD))
        return x_BTD + self.dropout(attended, context.segments) + self.dropout(fed, context.segments)


Branch = Callable[[Tensor], Tensor]


def _pre(x: Tensor, branch: Branch, norm: Branch, _: Branch | None, drop: Branch) -> Tensor:
    return x + drop(branch(norm(x)))


def _post(x: Tensor, branch: Branch, norm: Branch, _: Branch | None, drop: Branch) -> Tensor:
    return norm(x + drop(branch(x)))


def _sandwich(x: Tensor, branch: Branch, norm: Branch, end_norm: Branch | None, drop: Branch) -> Tensor:
    assert end_norm is not None
    return x + drop(end_norm(branch(norm(x))))


def _on_branch(x: Tensor, branch: Branch, norm: Branch, _: Branch | None, drop: Branch) -> Tensor:
    return x + drop(norm(branch(x)))


_JOINS: dict[Residual, Callable[[Tensor, Branch, Branch, Branch | None, Branch], Tensor]] = {
    Residual.PRE: _pre,
    Residual.POST: _post,
    Residual.SANDWICH: _sandwich,
    Residual.BRANCH: _on_branch,
    Residual.PARALLEL: _pre,
}
