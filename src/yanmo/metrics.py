"""Pure scores: numbers in, numbers out, no model and no file.

Bits per byte divides by the UTF-8 bytes of the text, so models with different tokenizers can be
compared; perplexity divides by tokens and cannot.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from yanmo.errors import InputError


def bits_per_byte(loss_nats: float, num_bytes: int) -> float:
    """Bits per byte from a loss SUM in nats over a text of ``num_bytes`` UTF-8 bytes.

    Raises:
        InputError: the text is empty.
    """
    if num_bytes <= 0:
        raise InputError("bits per byte of an empty text are not defined")
    return loss_nats / (math.log(2) * num_bytes)


def perplexity(loss_nats: float, num_tokens: int) -> float:
    """exp of the mean loss per token, from a loss SUM in nats.

    Raises:
        InputError: no token was scored.
    """
    if num_tokens <= 0:
        raise InputError("perplexity of an empty text is not defined")
    return math.exp(min(loss_nats / num_tokens, 700.0))


def ratio_interval(
    numerators: Sequence[float],
    denominators: Sequence[float],
    *,
    confidence: float = 0.95,
    num_resamples: int = 1000,
    seed: int = 0,
) -> tuple[float, float]:
    """Percentile bootstrap interval of sum(numerators) / sum(denominators).

    The pairs are resampled together, so the interval is right for a ratio such as bits per byte
    over documents or blocks of unequal length (Efron and Tibshirani 1993, section 13.3).

    Args:
        numerators: one value a block, for instance bits.
        denominators: one value a block, for instance bytes; same length.
        confidence: share of resamples inside the interval, between 0 and 1.
        num_resamples: how many resamples.
        seed: of the resampling.

    Returns:
        Lower and upper bound; both equal the ratio where there is one block only.

    Raises:
        InputError: there is no block, the lengths differ, or the denominators sum to 0.
    """
    if not 0 < len(numerators) == len(denominators) or sum(denominators) <= 0:
        raise InputError(f"an interval needs blocks of text, not {len(numerators)} of {len(denominators)}")
    top, bottom = np.asarray(numerators, np.float64), np.asarray(denominators, np.float64)
    rng = np.random.default_rng(seed)
    sums = np.empty((num_resamples, 2))
    for index in range(num_resamples):
        rows = rng.integers(0, len(top), len(top))
        sums[index] = top[rows].sum(), bottom[rows].sum()
    sums = sums[sums[:, 1] > 0]
    ratios = sums[:, 0] / sums[:, 1]
    tail = (1 - confidence) / 2
    low, high = np.quantile(ratios, [tail, 1 - tail])
    return float(low), float(high)
