"""Where a token stands: rotary, learned, sinusoidal and relative positions, and linear biases.

Rotary: Su et al. 2021 (arXiv 2104.09864, section 3.4.2). The two halves of a head are the real and
the imaginary parts (the layout of Llama and Qwen checkpoints), not neighbouring pairs as in the
paper; the two differ by a permutation of rows. Its scalings are in ``rope_scaling``.
Sinusoidal: Vaswani et al. 2017 (arXiv 1706.03762, section 3.5), sines in the first half and cosines in the
second, as their own program had it. Relative bias: Raffel et al. 2020 (arXiv 1910.10683, section 2.1).
ALiBi: Press et al. 2022 (arXiv 2108.12409, section 3).

Shapes: T new tokens, S tokens attended to, H heads, E head_dim, D width.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import StrEnum

import torch
from torch import Tensor, nn

from yanmo.nn.packing import Segments
from yanmo.nn.rope_scaling import RopeScaling, frequencies


class PositionKind(StrEnum):
    """How positions enter a stack."""

    NONE = "none"
    LEARNED = "learned"
    SINUSOIDAL = "sinusoidal"
    ROTARY = "rotary"
    RELATIVE_BIAS = "relative_bias"
    ALIBI = "alibi"


@dataclass(frozen=True, kw_only=True)
class RopeConfig:
    """Rotary positions: base of the angles, share of a head that is turned, and how they are stretched."""

    theta: float = 10_000.0
    partial: float = 1.0
    scaling: RopeScaling = field(default_factory=RopeScaling)


@dataclass(frozen=True, kw_only=True)
class PositionConfig:
    """Positions of one stack.

    Attributes:
        kind: how they enter.
        offset: rows of a learned table before that of position 0.
        rope: rotary positions.
        local_rope: those of layers with a window, where they differ.
        num_buckets: of the relative bias.
        max_distance: from which on the relative bias is the same.
    """

    kind: PositionKind = PositionKind.ROTARY
    offset: int = 0
    rope: RopeConfig = field(default_factory=RopeConfig)
    local_rope: RopeConfig | None = None
    num_buckets: int = 32
    max_distance: int = 128


class RotaryEmbedding:
    """Cosines and sines by position, kept once for all layers, in float32, as far as they were needed."""

    def __init__(self, head_dim: int, max_seq_len: int, config: RopeConfig) -> None:
        """Positions 0 to ``max_seq_len`` - 1; nothing is computed yet."""
        self.dim = int(head_dim * config.partial)
        self._max_seq_len, self._config = max_seq_len, config
        self._tables: dict[int, tuple[Tensor, Tensor]] = {}

    def range(self, start: int, length: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Cosines and signed sines, each of shape (T, 1, E), for positions start to start + length."""
        cos_SE, sin_SE = self._up_to(start + length)
        rows = slice(start, start + length)
        return cos_SE[rows, None].to(dtype), sin_SE[rows, None].to(dtype)

    def packed(self, segments: Segments, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """The same for packed texts, each of shape (N, 1, E); each text has the table of its own length."""
        variants = {self._config.scaling.variant(end) for end in set(segments.ends)}
        if len(variants) == 1:
            cos_SE, sin_SE = self._up_to(max(segments.ends))
            rows = segments.positions_N
            return cos_SE[rows, None].to(dtype), sin_SE[rows, None].to(dtype)
        ends = zip(segments.ends, segments.lengths, strict=True)
        tables = [self.range(end - length, length, dtype) for end, length in ends]
        return torch.cat([cos for cos, _ in tables]), torch.cat([sin for _, sin in tables])

    def _up_to(self, end: int) -> tuple[Tensor, Tensor]:
        variant = self._config.scaling.variant(end)
        table = self._tables.get(variant)
        if table is None or len(table[0]) < end:
            known = 0 if table is None else len(table[0])
            size = max(end, min(self._max_seq_len, max(2 * known, 1024)))
            # Dynamic scaling has a table for every length, of which only the last is kept.
            if variant > 1:
                self._tables = {kind: kept for kind, kept in self._tables.items() if kind <= 1}
            self._tables[variant] = table = self._tabulate(size, variant)
        return table

    def _tabulate(self, size: int, variant: int) -> tuple[Tensor, Tensor]:
        # Made outside inference mode, or a later training step could not use them.
        device = torch.get_default_device()
        with torch.inference_mode(False), torch.device("cpu"):
            rate_E2, amplitude = frequencies(
                self.dim, self._config.theta, self._config.scaling, variant, self._max_seq_len
            )
            # In float64, so that far positions are exact.
            angle_SE2 = torch.arange(size, dtype=torch.float64)[:, None] * rate_E2
            sine_SE2 = angle_SE2.sin() * amplitude
            # The sign of the rotation's off-diagonal is folded into the sine: see apply_rotary.
            cos_SE = (angle_SE2.cos() * amplitude).repeat(1, 2).float()
            signed_SE = torch.cat((-sine_SE2, sine_SE2), dim=-1).float()
        return cos_SE.to(device), signed_SE.to(device)


def apply_rotary(x_BTHE: Tensor, cos_T1E: Tensor, sin_T1E: Tensor) -> Tensor:
    """Rotate each head's (first half, second half) by the angle of its position.

    Args:
        x_BTHE: queries or keys; where the tables are narrower than a head, only its first part is turned.
        cos_T1E: cosines from ``RotaryEmbedding``.
        sin_T1E: sines, negative in the first half.

    Returns:
        The rotated heads, same shape and type.
    """
    dim = cos_T1E.shape[-1]
    if dim < x_BTHE.shape[-1]:
        turned = apply_rotary(x_BTHE[..., :dim], cos_T1E, sin_T1E)
        return torch.cat((turned, x_BTHE[..., dim:]), dim=-1)
    swapped = torch.roll(x_BTHE, dim // 2, dims=-1)
    return torch.addcmul(x_BTHE * cos_T1E, swapped, sin_T1E)


class LearnedPositions(nn.Module):
    """A learned vector for each position."""

    def __init__(self, max_seq_len: int, width: int, *, offset: int) -> None:
        """``offset`` rows stand before that of position 0 (as RoBERTa and BART count)."""
        super().__init__()
        self.weight = nn.Parameter(torch.empty(max_seq_len + offset, width))
        self._offset = offset

    def forward(self, positions_T: Tensor) -> Tensor:
        """Vectors of the positions, shape (T, D)."""
        return nn.functional.embedding(positions_T + self._offset, self.weight)


class SinusoidalPositions(nn.Module):
    """Sines and cosines of each position, sines in the first half."""

    def __init__(self, width: int) -> None:
        """Angles position * 10000^(-2i / D) for i < D / 2."""
        super().__init__()
        self._width = width

    def forward(self, positions_T: Tensor) -> Tensor:
        """Vectors of the positions, float32 (T, D)."""
        halves = torch.arange(0, self._width, 2, dtype=torch.float64) / self._width
        angle = positions_T[:, None].double() * 10_000.0**-halves
        return torch.cat((angle.sin(), angle.cos()), dim=-1).float()


class RelativeBias(nn.Module):
    """A learned number for each head and bucket of distances, added to the scores of all layers."""

    def __init__(self, num_heads: int, config: PositionConfig, *, bidirectional: bool) -> None:
        """``bidirectional``: the buckets are halved between the tokens before and those after."""
        super().__init__()
        self.weight = nn.Parameter(torch.empty(config.num_buckets, num_heads))
        self._max_distance, self._bidirectional = config.max_distance, bidirectional

    def forward(self, num_new: int, num_all: int) -> Tensor:
        """Bias of the last T of S tokens, shape (H, T, S)."""
        ahead_TS = torch.arange(num_all) - torch.arange(num_all - num_new, num_all)[:, None]
        return self.weight[self._buckets(ahead_TS)].permute(2, 0, 1)

    def _buckets(self, ahead_TS: Tensor) -> Tensor:
        """Half of the buckets are for single distances, half for ranges that grow to ``max_distance``."""
        num_buckets = self.weight.shape[0]
        first_TS = torch.zeros_like(ahead_TS)
        if self._bidirectional:
            num_buckets //= 2
            first_TS = (ahead_TS > 0) * num_buckets
            distance_TS = ahead_TS.abs()
        else:
            distance_TS = (-ahead_TS).clamp_min(0)
        exact = num_buckets // 2
        # In float32, as the checkpoints' own program rounds.
        growth_TS = torch.log(distance_TS.clamp_min(1).float() / exact) / math.log(self._max_distance / exact)
        far_TS = (exact + (growth_TS * (num_buckets - exact)).long()).clamp_max(num_buckets - 1)
        return first_TS + torch.where(distance_TS < exact, distance_TS, far_TS)


class LinearBias(nn.Module):
    """ALiBi: scores fall in proportion to the distance, each head at its own rate; nothing is learned."""

    def __init__(self, num_heads: int) -> None:
        """Slopes 2^(-8h / H) for h = 1 to H; between powers of two as in the authors' own program."""
        super().__init__()
        whole = 2 ** math.floor(math.log2(num_heads))
        slopes = [2.0 ** (-8 * (head + 1) / whole) for head in range(whole)]
        slopes += [2.0 ** (-4 * (2 * head + 1) / whole) for head in range(num_heads - whole)]
        self._slopes = slopes

    def forward(self, num_new: int, num_all: int) -> Tensor:
        """Bias of the last T of S tokens, float32 (H, T, S)."""
        ahead_TS = torch.arange(num_all) - torch.arange(num_all - num_new, num_all)[:, None]
        return -torch.tensor(self._slopes)[:, None, None] * ahead_TS.abs()
