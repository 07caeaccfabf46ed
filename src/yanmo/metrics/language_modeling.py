"""Scores of a language model from its summed loss.

Bits per byte divides by the UTF-8 bytes of the text, so models with different tokenizers can be
compared; perplexity divides by tokens and cannot.
"""

from __future__ import annotations

import math

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
