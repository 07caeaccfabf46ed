"""Cheap models that stand beside every score."""

from __future__ import annotations

from yanmo.models.character_ngram import (
    CharacterNgram,
    fit_character_ngram,
    ngram_bits_per_byte,
    quick_baseline,
    sample_texts,
)

__all__ = [
    "CharacterNgram",
    "fit_character_ngram",
    "ngram_bits_per_byte",
    "quick_baseline",
    "sample_texts",
]
