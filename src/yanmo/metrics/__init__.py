"""Pure scores: numbers and strings in, numbers out, no model and no file."""

from __future__ import annotations

from yanmo.metrics.intervals import ratio_interval
from yanmo.metrics.language_modeling import bits_per_byte, perplexity

__all__ = ["bits_per_byte", "perplexity", "ratio_interval"]
