"""Rotary positions stretched to contexts longer than those of the first training.

Linear: Chen et al. 2023 (arXiv 2306.15595, equation 3). Dynamic NTK: bloc97 2023, as in Peng et al. 2023
(arXiv 2309.00071, section 3.3 and appendix). YaRN: the same, sections 3.2 and 3.4. Llama 3: Dubey et al. 2024
(arXiv 2407.21783, section 3.4.3). LongRoPE: Ding et al. 2024 (arXiv 2402.13753, equation 3).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

import torch
from torch import Tensor

from yanmo.errors import InputError


class RopeScalingKind(StrEnum):
    """How frequencies are changed."""

    NONE = "default"
    LINEAR = "linear"
    DYNAMIC = "dynamic"
    YARN = "yarn"
    LLAMA3 = "llama3"
    LONGROPE = "longrope"


@dataclass(frozen=True, kw_only=True)
class RopeScaling:
    """Numbers of a scaling; each kind reads its own.

    Attributes:
        kind: how frequencies are changed.
        factor: how many times longer the context becomes.
        original_max_seq_len: context of the first training; 0 where the model's own is meant.
        low_freq_factor: Llama 3.
        high_freq_factor: Llama 3.
        beta_fast: YaRN: turns over the first context above which a frequency stays as it is.
        beta_slow: YaRN: turns below which it is stretched whole.
        attention_factor: YaRN and LongRoPE: factor on queries and keys; None takes the paper's.
        mscale: YaRN: numerator of the factor, where it is given as two numbers.
        mscale_all_dim: YaRN: its denominator.
        truncate: YaRN: round the borders to whole dimensions.
        short_factors: LongRoPE, up to the first context, one for each frequency.
        long_factors: LongRoPE, beyond it.
    """

    kind: RopeScalingKind = RopeScalingKind.NONE
    factor: float = 1.0
    original_max_seq_len: int = 0
    low_freq_factor: float = 1.0
    high_freq_factor: float = 4.0
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    attention_factor: float | None = None
    mscale: float | None = None
    mscale_all_dim: float | None = None
    truncate: bool = True
    short_factors: tuple[float, ...] = ()
    long_factors: tuple[float, ...] = ()

    def require_fit(self, dim: int) -> None:
        """Refuse what cannot turn ``dim`` dimensions.

        Raises:
            InputError: a list of factors has another length, or there are too few dimensions.
        """
        if self.kind is RopeScalingKind.LONGROPE:
            for factors in (self.short_factors, self.long_factors):
                if len(factors) != dim // 2:
                    raise InputError(f"LongRoPE has {len(factors)} factors for {dim // 2} frequencies")
        if self.kind is RopeScalingKind.DYNAMIC and dim < 4:
            raise InputError(f"dynamic rotary scaling needs 4 dimensions or more, not {dim}")

    def variant(self, end: int) -> int:
        """Names the table for a text of ``end`` tokens: most scalings have one, some change with length."""
        if self.kind is RopeScalingKind.DYNAMIC:
            return end if end > self.original_max_seq_len else 0
        if self.kind is RopeScalingKind.LONGROPE:
            return int(end > self.original_max_seq_len)
        return 0

    @property
    def can_outdate(self) -> bool:
        """Whether there are texts whose keys must be turned anew as they grow."""
        return self.kind is RopeScalingKind.LONGROPE

    def outdates(self, num_old: int, num_all: int) -> bool:
        """Whether keys turned for a text of ``num_old`` tokens are wrong once it has ``num_all``.

        Dynamic scaling was trained and is used elsewhere with keys that stay as they were turned.
        """
        return self.can_outdate and self.variant(num_old) != self.variant(num_all)


def frequencies(
    dim: int, theta: float, scaling: RopeScaling, variant: int, max_seq_len: int
) -> tuple[Tensor, float]:
    """Radians per position of each pair of dimensions, and the factor on queries and keys.

    Args:
        dim: dimensions that are turned.
        theta: base.
        scaling: how to stretch.
        variant: from ``RopeScaling.variant``.
        max_seq_len: the model's context.

    Returns:
        rate_E2: float64.
        amplitude: 1 for most scalings.
    """
    halves_E2 = torch.arange(0, dim, 2, dtype=torch.float64) / dim
    rate_E2 = theta**-halves_E2
    original = scaling.original_max_seq_len or max_seq_len
    match scaling.kind:
        case RopeScalingKind.LINEAR:
            return rate_E2 / scaling.factor, 1.0
        case RopeScalingKind.DYNAMIC if variant:
            stretch = scaling.factor * variant / original - (scaling.factor - 1)
            return (theta * stretch ** (dim / (dim - 2))) ** -halves_E2, 1.0
        case RopeScalingKind.LLAMA3:
            return _llama3(rate_E2, scaling, original), 1.0
        case RopeScalingKind.YARN:
            return _yarn(rate_E2, theta, scaling, original), _yarn_amplitude(scaling)
        case RopeScalingKind.LONGROPE:
            factors = scaling.long_factors if variant else scaling.short_factors
            amplitude = scaling.attention_factor
            if amplitude is None:
                stretch = max(scaling.factor, 1.0)
                amplitude = math.sqrt(1 + math.log(stretch) / math.log(original))
            return rate_E2 / torch.tensor(factors, dtype=torch.float64), amplitude
        case _:
            return rate_E2, 1.0


def _llama3(rate_E2: Tensor, scaling: RopeScaling, original: int) -> Tensor:
    turns_E2 = original * rate_E2 / (2 * math.pi)
    low, high = scaling.low_freq_factor, scaling.high_freq_factor
    kept_E2 = ((turns_E2 - low) / (high - low)).clamp(0, 1)
    return kept_E2 * rate_E2 + (1 - kept_E2) * rate_E2 / scaling.factor


def _yarn(rate_E2: Tensor, theta: float, scaling: RopeScaling, original: int) -> Tensor:
    dim = 2 * len(rate_E2)

    def dimension_of(turns: float) -> float:
        return dim * math.log(original / (turns * 2 * math.pi)) / (2 * math.log(theta))

    low, high = dimension_of(scaling.beta_fast), dimension_of(scaling.beta_slow)
    if scaling.truncate:
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, dim - 1)
    if low == high:
        high += 0.001
    index_E2 = torch.arange(len(rate_E2), dtype=torch.float64)
    stretched_E2 = ((index_E2 - low) / (high - low)).clamp(0, 1)
    return rate_E2 * (1 - stretched_E2) + rate_E2 / scaling.factor * stretched_E2


def _yarn_amplitude(scaling: RopeScaling) -> float:
    def amplitude(mscale: float) -> float:
        return 0.1 * mscale * math.log(scaling.factor) + 1.0 if scaling.factor > 1 else 1.0

    if scaling.attention_factor is not None:
        return scaling.attention_factor
    if scaling.mscale and scaling.mscale_all_dim:
        return amplitude(scaling.mscale) / amplitude(scaling.mscale_all_dim)
    return amplitude(1.0)
