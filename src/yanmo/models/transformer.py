"""The one Transformer: an encoder, a decoder, or both, of the same stack. No family is named here.

A config says which stacks there are, what they are made of and which heads read them; families
(``models/families``) translate the configs and weight names of checkpoints to it and back.
Shapes: B rows, T tokens, N tokens of a packed row, D = d_model, V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import torch
from torch import Tensor, nn

from yanmo.errors import InputError
from yanmo.models.base import TokenCosts
from yanmo.models.heads import Head, HeadConfig, HeadKind
from yanmo.models.stack import Stack, StackConfig, num_held
from yanmo.nn.attention import Cache
from yanmo.nn.context import Memory
from yanmo.nn.cross_entropy import token_costs, token_losses
from yanmo.nn.dropout import RowDropout
from yanmo.nn.embedding import Embedding
from yanmo.nn.kv_cache import LayerCache, Places, make_places
from yanmo.nn.packing import Segments
from yanmo.nn.position import SinusoidalPositions

_TABLE_STD = 0.02
_ZERO_AT_FIRST = ("out.weight", "down.weight", "down_XDF", ".output.weight", "position_bias.weight")
# More rows at once are quicker as matrix products.
QUICK_ROWS = 32
_LANGUAGE_HEADS = (HeadKind.CAUSAL_LM, HeadKind.SEQ2SEQ_LM)


@dataclass(frozen=True, kw_only=True)
class TransformerConfig:
    """A whole model.

    Attributes:
        vocab_size: token ids.
        d_model: width of the stream.
        max_seq_len: longest text in tokens.
        encoder: the stack that sees whole texts, or None.
        decoder: the stack that continues texts, or None; with both, it looks at the encoder's output.
        heads: what is read off the last stack; the first is the one that ``forward`` answers with.
    """

    vocab_size: int
    d_model: int
    max_seq_len: int
    encoder: StackConfig | None = None
    decoder: StackConfig | None = None
    heads: tuple[HeadConfig, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what cannot be built."""
        for name in ("vocab_size", "d_model", "max_seq_len"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.encoder is None and self.decoder is None:
            raise InputError("a Transformer needs an encoder, a decoder, or both")

    @property
    def shape(self) -> str:
        """``encoder``, ``decoder`` or ``encoder-decoder``."""
        names = [name for name in ("encoder", "decoder") if getattr(self, name) is not None]
        return "-".join(names)

    @property
    def last_stack(self) -> StackConfig:
        """The stack that heads read: the decoder where there is one."""
        stack = self.decoder or self.encoder
        assert stack is not None
        return stack

    @property
    def embedding_width(self) -> int:
        """Numbers in a token's vector."""
        return self.last_stack.input.width or self.d_model

    @property
    def num_layers(self) -> int:
        """Layers of all stacks."""
        return sum(stack.num_layers for stack in (self.encoder, self.decoder) if stack is not None)

    @property
    def num_parameters(self) -> int:
        """Trainable numbers in the whole model."""
        return _num_parameters(self)


@lru_cache(maxsize=4096)
def _num_parameters(config: TransformerConfig) -> int:
    with torch.device("meta"):
        return sum(weight.numel() for weight in Transformer(config, draw=False).parameters())


class QuickStep(Protocol):
    """A quicker way to decode one token a row."""

    def step(
        self, vectors_BD: Tensor, places: Places, logits_BV: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """What the head multiplies (B, D), logits (B, V); keys and values are written to ``places``."""


class Transformer(nn.Module):
    """Tokens in, hidden states or logits out, never a loss."""

    def __init__(self, config: TransformerConfig, *, draw: bool = True) -> None:
        """Build with weights drawn as ``initialise`` says, from torch's global generator.

        Args:
            config: what to build.
            draw: False leaves the weights as they come, for a caller that fills them.
        """
        super().__init__()
        self.config = config
        self.embedding = Embedding(config.vocab_size, config.embedding_width)
        self.encoder = _stack(config, config.encoder)
        self.decoder = _stack(config, config.decoder)
        self.heads = nn.ModuleDict({head.kind.value: Head(config.d_model, head) for head in config.heads})
        # Decodes single tokens where whoever loaded the model knows a quicker way than this forward.
        self.quick: QuickStep | None = None
        if draw:
            self.initialise()

    @torch.no_grad()
    def initialise(self) -> None:
        """Draw the weights: normal with variance 1/fan_in; what writes to the stream starts at zero.

        Zero output matrices make each block the identity at the start (Zhang et al. 2019,
        arXiv 1901.09321, section 3.1), so depth needs no other scaling. So do heads with a matrix of their
        own, whose first answer is then that all are equally likely, and biases by distance. Learned
        positions start as sinusoids, of which neighbours are alike.
        """
        for name, weight in self.named_parameters():
            if weight.ndim == 1:
                weight.fill_(0.0 if name.endswith("bias") else 1.0)
            elif name.endswith(_ZERO_AT_FIRST):
                weight.zero_()
            elif name.endswith(".input.positions.weight"):
                waves = SinusoidalPositions(weight.shape[1])(torch.arange(weight.shape[0]))
                weight.copy_(waves[:, : weight.shape[1]] * (_TABLE_STD * math.sqrt(2)))
            elif name == "embedding.weight" or ".input." in name:
                weight.normal_(0.0, _TABLE_STD)
            else:
                weight.normal_(0.0, 1 / math.sqrt(weight.shape[-1]))

    @property
    def vocab_size(self) -> int:
        """Number of token ids the model knows."""
        return self.config.vocab_size

    @property
    def max_seq_len(self) -> int:
        """Longest context in tokens."""
        return self.config.max_seq_len

    @property
    def last_stack(self) -> Stack:
        """The stack that heads read: the decoder where there is one."""
        stack = self.encoder if self.decoder is None else self.decoder
        assert stack is not None
        return stack

    def head(self, kind: HeadKind | None = None) -> Head:
        """A head of the model; None is the first.

        Raises:
            InputError: the model has no such head.
        """
        kinds = [config.kind for config in self.config.heads]
        if not kinds or (kind is not None and kind not in kinds):
            has = ", ".join(kinds) or "none"
            raise InputError(f"the model has no {kind.value if kind else 'head'}", remedy=f"its heads: {has}")
        module = self.heads[(kind or kinds[0]).value]
        assert isinstance(module, Head)
        return module

    @property
    def language_head(self) -> Head:
        """The head that says which token comes next.

        Raises:
            InputError: the model has none.
        """
        for config in self.config.heads:
            if config.kind in _LANGUAGE_HEADS:
                return self.head(config.kind)
        raise InputError(f"this {self.config.shape} does not continue texts", remedy="give a language model")

    @property
    def output_weight_VD(self) -> Tensor:
        """The matrix that turns the language head's features into logits."""
        return self.language_head.weight_VD(self.embedding.weight)

    def encode(
        self, tokens_BT: Tensor, *, segments: Segments | None = None, types_BT: Tensor | None = None
    ) -> Memory:
        """The encoder's output, for a decoder to look at.

        Args:
            tokens_BT: token ids of the source texts; one row where they are packed.
            segments: the texts of a packed row.
            types_BT: type of each token.
        """
        assert self.encoder is not None, "there is no encoder"
        self._require_fit(0, tokens_BT, segments)
        hidden_BTD = self.encoder(self.embedding(tokens_BT), segments=segments, types_BT=types_BT)
        return Memory(hidden_BTD, segments=segments)

    def hidden(
        self,
        tokens_BT: Tensor,
        *,
        segments: Segments | None = None,
        types_BT: Tensor | None = None,
        caches: Sequence[Cache] | None = None,
        memory: Memory | None = None,
    ) -> Tensor:
        """Final hidden states of the last stack.

        Args:
            tokens_BT: token ids, int64; one row where texts are packed.
            segments: the texts of a packed row.
            types_BT: type of each token; None is type 0.
            caches: one a layer, holding the tokens before these; of each text where texts are packed.
            memory: the encoder's output, where there are both stacks.

        Returns:
            hidden_BTD.

        Raises:
            InputError: a text is longer than ``max_seq_len``, or a decoder has nothing to look at.
        """
        if memory is None and self.config.shape == "encoder-decoder":
            raise InputError("an encoder-decoder needs a source text", remedy="yanmo generate takes one")
        self._require_fit(num_held(caches), tokens_BT, segments)
        hidden_BTD: Tensor = self.last_stack(
            self.embedding(tokens_BT), segments=segments, types_BT=types_BT, caches=caches, memory=memory
        )
        return hidden_BTD

    def forward(
        self,
        tokens_BT: Tensor,
        *,
        segments: Segments | None = None,
        types_BT: Tensor | None = None,
        memory: Memory | None = None,
        head: HeadKind | None = None,
    ) -> Tensor:
        """Logits of a head; arguments as ``hidden``.

        Returns:
            Of each token (B, T, C), or of each text (B, C).
        """
        hidden_BTD = self.hidden(tokens_BT, segments=segments, types_BT=types_BT, memory=memory)
        logits: Tensor = self.head(head)(hidden_BTD, self.embedding.weight, segments)
        return logits

    def _require_fit(self, start: int, tokens_BT: Tensor, segments: Segments | None) -> None:
        self.require_fit(start + tokens_BT.shape[1] if segments is None else max(segments.ends))

    def require_fit(self, longest: int) -> None:
        """Refuse a text of more tokens than ``max_seq_len``.

        Raises:
            InputError: it is longer.
        """
        if longest > self.config.max_seq_len:
            raise InputError(
                f"{longest} tokens do not fit the model's context of {self.config.max_seq_len}",
                remedy="shorten the text",
            )

    def set_dropout(self, probability: float) -> None:
        """Dropout on what each block adds to the stream, while training."""
        for module in self.modules():
            if isinstance(module, RowDropout):
                module.probability = probability

    def start(self, batch_size: int = 1, *, memory: Memory | None = None) -> TransformerSession:
        """Begin ``batch_size`` empty texts (``LanguageModel``); with an encoder, of what ``memory`` says."""
        return TransformerSession(self, batch_size, memory)

    @torch.inference_mode()
    def token_losses(self, tokens_BT: Tensor) -> Tensor:
        """Loss of each token given those before it (``LanguageModel``), float32 nats, (B, T - 1)."""
        head = self.language_head
        features_BTD = head.features(self.hidden(tokens_BT[:, :-1]))
        loss_N = token_losses(
            features_BTD.flatten(0, 1),
            head.weight_VD(self.embedding.weight),
            tokens_BT[:, 1:].flatten(),
            bias_V=head.bias,
            softcap=head.config.softcap,
        )
        return loss_N.view(tokens_BT.shape[0], -1)


class TransformerSession:
    """Texts being continued, with their keys and values."""

    def __init__(self, model: Transformer, batch_size: int, memory: Memory | None) -> None:
        """Empty caches for ``batch_size`` rows."""
        self._model, self._batch_size = model, batch_size
        self._head = model.language_head
        self._memory = None if memory is None else memory.padded()
        self._scaling = model.last_stack.config.position.rope.scaling
        self._tokens_BT = torch.empty(batch_size, 0, dtype=torch.int64)
        self._caches = self._empty_caches()
        self._last_B1D: Tensor | None = None

    def _empty_caches(self) -> list[LayerCache]:
        return [LayerCache(self._model.max_seq_len) for _ in self._model.last_stack.order]

    @property
    def num_tokens(self) -> int:
        """Tokens taken in so far."""
        return self._caches[0].num_tokens

    @torch.inference_mode()
    def extend(self, tokens_BT: Tensor) -> Tensor:
        """Take in T more tokens a row; scores of the next one, float32 (B, V)."""
        assert tokens_BT.shape[0] == self._batch_size and tokens_BT.shape[1] > 0
        if tokens_BT.shape[1] == 1:
            scores_B1V = self._quickly(tokens_BT)
            if scores_B1V is not None:
                return scores_B1V[:, 0]
        self._last_B1D = self._head.features(self._take_in(tokens_BT)[:, -1:])
        return self._head.project(self._last_B1D[:, 0], self._model.embedding.weight).float()

    @torch.inference_mode()
    def extend_each(self, tokens_BT: Tensor) -> Tensor:
        """Take in T more tokens a row; scores after each, float32 (B, T, V) (``Reversible``)."""
        assert tokens_BT.shape[0] == self._batch_size and tokens_BT.shape[1] > 0
        scores_BTV = self._quickly(tokens_BT)
        if scores_BTV is not None:
            return scores_BTV
        num_all = self.num_tokens + tokens_BT.shape[1]
        if self._scaling.variant(self.num_tokens + 1) != self._scaling.variant(num_all):
            # Positions are turned otherwise from some token on: each is taken in as if it came alone.
            return torch.stack([self.extend(token_B1) for token_B1 in tokens_BT.split(1, dim=1)], dim=1)
        features_BTD = self._head.features(self._take_in(tokens_BT)[:, -tokens_BT.shape[1] :])
        self._last_B1D = features_BTD[:, -1:]
        return self._head.project(features_BTD, self._model.embedding.weight).float()

    def _quickly(self, tokens_BT: Tensor) -> Tensor | None:
        """As ``extend_each``, where there is a quick way for so few tokens."""
        quick, num_new = self._model.quick, tokens_BT.shape[1]
        if quick is None or tokens_BT.numel() > QUICK_ROWS:
            return None
        self._model.require_fit(self.num_tokens + num_new)
        vectors_ND = self._model.embedding(tokens_BT).flatten(0, 1)
        attention = self._model.last_stack.config.block.attention
        shape = (self._batch_size, attention.num_kv_heads, num_new, attention.head_dim)
        features_ND, logits_NV = quick.step(vectors_ND, make_places(self._caches, shape, vectors_ND.dtype))
        self._last_B1D = features_ND.view(self._batch_size, num_new, -1)[:, -1:]
        return logits_NV.view(self._batch_size, num_new, -1)

    @torch.inference_mode()
    def rollback(self, num_tokens: int) -> None:
        """Forget all but the first tokens of each row (``Reversible``)."""
        outdated = self._scaling.outdates(num_tokens, self.num_tokens)
        self._last_B1D = None
        self._tokens_BT = self._tokens_BT[:, :num_tokens]
        for cache in self._caches:
            cache.rollback(num_tokens)
        if outdated and num_tokens:
            # The keys that are left were turned for the longer text.
            first_BT, self._tokens_BT = self._tokens_BT, self._tokens_BT[:, :0]
            self._caches = self._empty_caches()
            self._take_in(first_BT)

    def _take_in(self, tokens_BT: Tensor) -> Tensor:
        """Hidden states of these tokens; of all tokens where those before had to be read anew."""
        if self._scaling.can_outdate:
            all_BS = torch.cat((self._tokens_BT, tokens_BT), dim=1)
            if self.num_tokens and self._scaling.outdates(self.num_tokens, all_BS.shape[1]):
                tokens_BT, self._caches = all_BS, self._empty_caches()
            self._tokens_BT = all_BS
        return self._model.hidden(tokens_BT, caches=self._caches, memory=self._memory)

    @torch.inference_mode()
    def costs(self, tokens_BT: Tensor) -> TokenCosts:
        """What T more tokens a row would cost; none is taken in."""
        assert tokens_BT.shape[0] == self._batch_size and self._last_B1D is not None
        features_BTD, num_tokens = self._last_B1D, tokens_BT.shape[1]
        if num_tokens > 1:
            before, caches, num_before = self._tokens_BT, self._caches, self.num_tokens
            hidden_BTD = self._take_in(tokens_BT[:, :-1])
            if hidden_BTD.shape[1] >= num_tokens:
                features_BTD = self._head.features(hidden_BTD[:, -num_tokens:])
            else:
                features_BTD = torch.cat((features_BTD, self._head.features(hidden_BTD)), dim=1)
            self._tokens_BT, self._caches = before, caches
            for cache in caches:
                cache.rollback(num_before)
        loss_N, is_likeliest_N = token_costs(
            features_BTD.flatten(0, 1),
            self._head.weight_VD(self._model.embedding.weight),
            tokens_BT.flatten(),
            bias_V=self._head.bias,
            softcap=self._head.config.softcap,
        )
        return TokenCosts(loss_N.view(tokens_BT.shape), is_likeliest_N.view(tokens_BT.shape))

    @torch.inference_mode()
    def select(self, rows_B: Tensor) -> None:
        """Keep, repeat or reorder rows."""
        self._batch_size = len(rows_B)
        self._tokens_BT = self._tokens_BT[rows_B]
        if self._last_B1D is not None:
            self._last_B1D = self._last_B1D[rows_B]
        for cache in self._caches:
            cache.select(rows_B)
        if self._memory is not None:
            self._memory = self._memory.select(rows_B)


def _stack(config: TransformerConfig, stack: StackConfig | None) -> Stack | None:
    return None if stack is None else Stack(config.d_model, config.max_seq_len, stack)
