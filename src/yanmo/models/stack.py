"""One column of blocks: what an encoder and a decoder both are, under different settings.

Layers that share their weights: Lan et al. 2020 (arXiv 1909.11942, section 3.1).
Shapes: B rows, T tokens, D = d_model, W width of the embedding, N tokens of a packed row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional

from yanmo.errors import InputError
from yanmo.nn.attention import Cache
from yanmo.nn.block import Block, BlockConfig, ParallelBlock, Residual
from yanmo.nn.context import Context, Memory
from yanmo.nn.embedding import InputConfig, StackInput
from yanmo.nn.kv_cache import LayerCache
from yanmo.nn.norm import build_norm
from yanmo.nn.packing import Segments
from yanmo.nn.position import LinearBias, PositionConfig, PositionKind, RelativeBias, RotaryEmbedding

# Lengths of packed rows differ by 2 to this at least.
_LEAST_BITS = 5


@dataclass(frozen=True, kw_only=True)
class StackConfig:
    """One column of blocks.

    Attributes:
        num_layers: how often the stream goes through a block.
        block: what the blocks are made of.
        position: how positions enter.
        input: what stands before the first block.
        causal: whether a token sees only those before it and itself.
        final_norm: whether there is a norm behind the last block.
        first_norm: whether the first block normalises the attention's input.
        num_groups: different blocks, where fewer than layers; each serves neighbouring layers. None is
            a block a layer.
        local_layers: which layers have the attention's window, one entry a layer; empty for all.
    """

    num_layers: int
    block: BlockConfig
    position: PositionConfig = field(default_factory=PositionConfig)
    input: InputConfig = field(default_factory=InputConfig)
    causal: bool = True
    final_norm: bool = True
    first_norm: bool = True
    num_groups: int | None = None
    local_layers: tuple[bool, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what cannot be built."""
        if self.num_layers < 1:
            raise InputError(f"num_layers must be at least 1, not {self.num_layers}")
        if self.num_groups is not None and not 1 <= self.num_groups <= self.num_layers:
            raise InputError(f"num_groups must be 1 to {self.num_layers}, not {self.num_groups}")
        experts = self.block.feed_forward.experts
        for name, layers in (
            ("local_layers", self.local_layers),
            ("experts' layers", experts.layers if experts else ()),
        ):
            if layers and len(layers) != self.num_layers:
                raise InputError(f"{name} has {len(layers)} entries for {self.num_layers} layers")
        if self.position.kind is PositionKind.ROTARY:
            for rope in (self.position.rope, self.position.local_rope or self.position.rope):
                turned = int(self.block.attention.head_dim * rope.partial)
                if turned < 2 or turned % 2:
                    raise InputError(f"head_dim must be even, not {turned}", remedy="rotary needs pairs")
                rope.scaling.require_fit(turned)

    def is_local(self, layer: int) -> bool:
        """Whether a layer has the attention's window."""
        if self.block.attention.window is None:
            return False
        return not self.local_layers or self.local_layers[layer]


class Stack(nn.Module):
    """Vectors of tokens in, vectors of tokens in their context out."""

    def __init__(self, d_model: int, max_seq_len: int, config: StackConfig) -> None:
        """Build with weights that are not drawn yet: see ``Transformer.initialise``."""
        super().__init__()
        self.config = config
        attention, position = config.block.attention, config.position
        self.input = StackInput(d_model, max_seq_len, config.input, position)
        num_groups = config.num_groups or config.num_layers
        self.order = [layer * num_groups // config.num_layers for layer in range(config.num_layers)]
        kind = ParallelBlock if config.block.residual is Residual.PARALLEL else Block
        self.blocks = nn.ModuleList(
            kind(
                d_model,
                config.block,
                layer=layer,
                window=attention.window if config.is_local(layer) else None,
                local=config.is_local(layer) and position.local_rope is not None,
                first_norm=config.first_norm or layer > 0,
            )
            for layer in range(num_groups)
        )
        self.norm = build_norm(d_model, config.block.norm) if config.final_norm else nn.Identity()
        self.position_bias: nn.Module | None = None
        if position.kind is PositionKind.RELATIVE_BIAS:
            self.position_bias = RelativeBias(attention.num_heads, position, bidirectional=not config.causal)
        elif position.kind is PositionKind.ALIBI:
            self.position_bias = LinearBias(attention.num_heads)
        self._rotary = self._local_rotary = None
        if position.kind is PositionKind.ROTARY:
            self._rotary = RotaryEmbedding(attention.head_dim, max_seq_len, position.rope)
            if position.local_rope is not None:
                self._local_rotary = RotaryEmbedding(attention.head_dim, max_seq_len, position.local_rope)

    def forward(
        self,
        vectors_BTW: Tensor,
        *,
        segments: Segments | None = None,
        types_BT: Tensor | None = None,
        caches: Sequence[Cache] | None = None,
        memory: Memory | None = None,
    ) -> Tensor:
        """Go through all layers.

        Args:
            vectors_BTW: of the tokens; one row where texts are packed.
            segments: the texts of a packed row.
            types_BT: type of each token; None is type 0.
            caches: one a layer, holding the tokens before these; of each text where texts are packed.
            memory: what cross-attention looks at.

        Returns:
            hidden_BTD.
        """
        start = num_held(caches)
        x_BTD = self.input(vectors_BTW, start=start, segments=segments, types_BT=types_BT)
        context = Context(
            causal=self.config.causal,
            segments=segments,
            num_filler=0 if segments is None or caches else _num_filler(x_BTD),
            memory=memory,
            position_bias=self.position_bias,
        )
        return context.of_texts(self.through(context.filled(x_BTD), context, start=start, caches=caches))

    @property
    def rotary(self) -> RotaryEmbedding | None:
        """Tables of the layers that have no others, where positions are rotary."""
        return self._rotary

    def tabulate(self, length: int) -> None:
        """Make tables by position for texts of up to ``length`` tokens now, not when one first needs them."""
        for rotary in (self._rotary, self._local_rotary):
            if rotary is not None:
                rotary.range(0, length, torch.float32)

    def through(
        self, x_BTD: Tensor, context: Context, *, start: int = 0, caches: Sequence[Cache] | None = None
    ) -> Tensor:
        """Go through all layers in a context that the caller made, to which rotary tables are added.

        Args:
            x_BTD: what ``input`` gives.
            context: of this forward pass.
            start: position of the first token, where rows are not packed.
            caches: one a layer, holding the tokens before these.

        Returns:
            hidden_BTD.
        """
        if self._rotary is not None:
            context.rotary = _tables(self._rotary, start, x_BTD, context.segments)
        if self._local_rotary is not None:
            context.local_rotary = _tables(self._local_rotary, start, x_BTD, context.segments)
        for layer, group in enumerate(self.order):
            x_BTD = self.blocks[group](x_BTD, context, caches[layer] if caches else None)
        hidden_BTD: Tensor = self.norm(x_BTD)
        return hidden_BTD


def num_held(caches: Sequence[Cache] | None) -> int:
    """Tokens before these in rows of equal length; segments know those of packed texts."""
    return caches[0].num_tokens if caches and isinstance(caches[0], LayerCache) else 0


def _tables(
    rotary: RotaryEmbedding, start: int, x_BTD: Tensor, segments: Segments | None
) -> tuple[Tensor, Tensor]:
    if segments is None:
        return rotary.range(start, x_BTD.shape[1], x_BTD.dtype)
    cos_N1E, sin_N1E = rotary.packed(segments, x_BTD.dtype)
    behind = (0, 0, 0, 0, 0, x_BTD.shape[1] - len(cos_N1E))
    return functional.pad(cos_N1E, behind), functional.pad(sin_N1E, behind)


def _num_filler(x_1ND: Tensor) -> int:
    """Rows that make a packed row's length a round number, a sixteenth of it at most where it is long.

    Products of bfloat16 matrices are compiled for their sizes, which takes as long as computing a small one:
    lengths that recur are compiled once.
    """
    if x_1ND.dtype != torch.bfloat16 or x_1ND.device.type != "cpu":
        return 0
    num_tokens = x_1ND.shape[1]
    return -num_tokens % (1 << max(_LEAST_BITS, num_tokens.bit_length() - 5))
