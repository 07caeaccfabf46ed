"""The one Transformer stack. Settings choose what it is made of; no family is named here.

Due now is the decoder shape: RMSNorm, SwiGLU, rotary positions, QK-norm, grouped heads, tied
embeddings (the parts of Qwen3, Yang et al. 2025, arXiv 2505.09388, section 2).
Shape legend: B rows, T tokens, D = d_model, V vocabulary.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from yanmo.errors import InputError
from yanmo.nn.attention import Attention
from yanmo.nn.block import Block
from yanmo.nn.cross_entropy import token_losses
from yanmo.nn.dropout import RowDropout
from yanmo.nn.embedding import Embedding
from yanmo.nn.feed_forward import SwiGLU
from yanmo.nn.kv_cache import LayerCache
from yanmo.nn.norm import RMSNorm
from yanmo.nn.position import RotaryEmbedding


@dataclass(frozen=True, kw_only=True)
class TransformerConfig:
    """Sizes of a decoder."""

    vocab_size: int
    d_model: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    d_ff: int
    max_seq_len: int
    rope_theta: float = 10_000.0
    norm_eps: float = 1e-6
    tied_embeddings: bool = True

    def __post_init__(self) -> None:
        """Refuse sizes that cannot be built."""
        for name in (
            "vocab_size",
            "d_model",
            "num_layers",
            "num_heads",
            "num_kv_heads",
            "d_ff",
            "max_seq_len",
        ):
            if getattr(self, name) < 1:
                raise InputError(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.num_heads % self.num_kv_heads:
            raise InputError(
                f"num_heads ({self.num_heads}) must be a multiple of num_kv_heads ({self.num_kv_heads})"
            )
        if self.head_dim < 2 or self.head_dim % 2:
            raise InputError(f"head_dim must be even, not {self.head_dim}", remedy="rotary needs pairs")

    @property
    def num_parameters(self) -> int:
        """Trainable numbers in the whole model."""
        attention = self.d_model * self.head_dim * 2 * (self.num_heads + self.num_kv_heads)
        layer = attention + 3 * self.d_model * self.d_ff + 2 * self.d_model + 2 * self.head_dim
        tables = self.vocab_size * self.d_model * (1 if self.tied_embeddings else 2)
        return self.num_layers * layer + tables + self.d_model


class Transformer(nn.Module):
    """A decoder: tokens in, hidden states or logits out, never a loss."""

    def __init__(self, config: TransformerConfig) -> None:
        """Build with weights drawn as ``initialise`` says, from torch's global generator."""
        super().__init__()
        self.config = config
        self.embedding = Embedding(config.vocab_size, config.d_model)
        self.blocks = nn.ModuleList(_block(config) for _ in range(config.num_layers))
        self.norm = RMSNorm(config.d_model, eps=config.norm_eps)
        if not config.tied_embeddings:
            self.head = nn.Linear(config.d_model, config.vocab_size, bias=False)
        self.rotary = RotaryEmbedding(config.head_dim, config.max_seq_len, theta=config.rope_theta)
        self.initialise()

    @torch.no_grad()
    def initialise(self) -> None:
        """Draw the weights: normal with variance 1/fan_in; what writes to the stream starts at zero.

        Zero output matrices make each block the identity at the start (Zhang et al. 2019,
        arXiv 1901.09321, section 3.1), so depth needs no other scaling.
        """
        for name, weight in self.named_parameters():
            if weight.ndim == 1:
                weight.fill_(1.0)
            elif name.endswith(("out.weight", "down.weight")):
                weight.zero_()
            elif name == "embedding.weight":
                weight.normal_(0.0, 0.02)
            else:
                weight.normal_(0.0, 1 / math.sqrt(weight.shape[1]))

    @property
    def vocab_size(self) -> int:
        """Number of token ids the model knows."""
        return self.config.vocab_size

    @property
    def max_seq_len(self) -> int:
        """Longest context in tokens."""
        return self.config.max_seq_len

    @property
    def output_weight_VD(self) -> Tensor:
        """The matrix that turns hidden states into logits."""
        return self.embedding.weight if self.config.tied_embeddings else self.head.weight

    def hidden(self, tokens_BT: Tensor, caches: list[LayerCache] | None = None) -> Tensor:
        """Final normalised hidden states.

        Args:
            tokens_BT: token ids, int64.
            caches: one a layer, holding the tokens before these.

        Returns:
            hidden_BTD.

        Raises:
            InputError: more tokens than ``max_seq_len``.
        """
        start = caches[0].num_tokens if caches else 0
        length = tokens_BT.shape[1]
        if start + length > self.config.max_seq_len:
            raise InputError(
                f"{start + length} tokens do not fit the model's context of {self.config.max_seq_len}",
                remedy="shorten the text",
            )
        x_BTD = self.embedding(tokens_BT)
        rotary = self.rotary(start, length, x_BTD.dtype)
        for index, block in enumerate(self.blocks):
            x_BTD = block(x_BTD, rotary, caches[index] if caches else None)
        hidden_BTD: Tensor = self.norm(x_BTD)
        return hidden_BTD

    def forward(self, tokens_BT: Tensor, caches: list[LayerCache] | None = None) -> Tensor:
        """Logits of the token after each token, shape (B, T, V)."""
        return self.hidden(tokens_BT, caches) @ self.output_weight_VD.T

    def set_dropout(self, probability: float) -> None:
        """Dropout on what each block adds to the stream, while training."""
        for module in self.modules():
            if isinstance(module, RowDropout):
                module.probability = probability

    def start(self, batch_size: int = 1) -> TransformerSession:
        """Begin ``batch_size`` empty texts (``LanguageModel``)."""
        return TransformerSession(self, batch_size)

    @torch.inference_mode()
    def token_losses(self, tokens_BT: Tensor) -> Tensor:
        """Loss of each token given those before it (``LanguageModel``), float32 nats, (B, T - 1)."""
        hidden_BTD = self.hidden(tokens_BT[:, :-1])
        loss_N = token_losses(hidden_BTD.flatten(0, 1), self.output_weight_VD, tokens_BT[:, 1:].flatten())
        return loss_N.view(tokens_BT.shape[0], -1)


class TransformerSession:
    """Texts being continued, with their keys and values."""

    def __init__(self, model: Transformer, batch_size: int) -> None:
        """Empty caches for ``batch_size`` rows."""
        self._model, self._batch_size = model, batch_size
        self._caches = [LayerCache(model.max_seq_len) for _ in model.blocks]

    @property
    def num_tokens(self) -> int:
        """Tokens taken in so far."""
        return self._caches[0].num_tokens

    @torch.inference_mode()
    def extend(self, tokens_BT: Tensor) -> Tensor:
        """Take in T more tokens a row; scores of the next one, float32 (B, V)."""
        assert tokens_BT.shape[0] == self._batch_size and tokens_BT.shape[1] > 0
        hidden_BTD = self._model.hidden(tokens_BT, self._caches)
        return (hidden_BTD[:, -1] @ self._model.output_weight_VD.T).float()

    @torch.inference_mode()
    def select(self, rows_B: Tensor) -> None:
        """Keep, repeat or reorder rows."""
        self._batch_size = len(rows_B)
        for cache in self._caches:
            cache.select(rows_B)


def _block(config: TransformerConfig) -> Block:
    attention = Attention(
        config.d_model, config.num_heads, config.num_kv_heads, config.head_dim, eps=config.norm_eps
    )
    return Block(config.d_model, attention, SwiGLU(config.d_model, config.d_ff), eps=config.norm_eps)
