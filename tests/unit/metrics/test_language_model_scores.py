"""Scores of a language model from its summed loss."""

from __future__ import annotations

import math

import pytest

from yanmo.errors import InputError
from yanmo.metrics import bits_per_byte, perplexity


def test_a_uniform_byte_costs_eight_bits() -> None:
    assert bits_per_byte(100 * math.log(256), 100) == pytest.approx(8.0)


def test_perplexity_of_a_uniform_choice_is_their_number() -> None:
    assert perplexity(50 * math.log(17), 50) == pytest.approx(17.0)


def test_perplexity_of_a_hopeless_model_is_finite() -> None:
    assert math.isfinite(perplexity(1e6, 1))


def test_scores_of_nothing_are_refused() -> None:
    with pytest.raises(InputError, match="empty"):
        bits_per_byte(1.0, 0)
    with pytest.raises(InputError, match="empty"):
        perplexity(1.0, 0)
