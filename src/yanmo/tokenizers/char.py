"""Characters as tokens, with bytes for those that are rare: nothing is unknown, and any text comes back.

Written as byte-level BPE whose only merges build characters from their bytes (``characters``), so whatever
opens a BPE tokenizer opens this one.
"""

from __future__ import annotations

from collections.abc import Iterable

from tokenizers import models

from yanmo.tokenizers.characters import build_characters, byte_level_tokenizer, count_characters
from yanmo.tokenizers.load import Tokenizer
from yanmo.tokenizers.purpose import SPECIALS, Purpose
from yanmo.tokenizers.sizes import check_vocab_size

# Without a size, characters have a token of their own down to one in so many of the text, which a network
# meets often enough to learn, and up to so many tokens.
_RAREST = 1_000_000
_MOST_TOKENS = 65_536


def fit_char(
    texts: Iterable[str], vocab_size: int | None = None, purpose: Purpose = Purpose.CAUSAL
) -> Tokenizer:
    """Make a tokenizer of characters; arguments, result and errors as of ``bpe.fit_bpe``.

    Args:
        texts: read once.
        vocab_size: at most so many ids, special tokens included; None takes every character that is one in
            a million or more.
        purpose: decides the special tokens.
    """
    counts = count_characters(texts)
    num_characters = counts.total()
    rarest = _RAREST if vocab_size is None else num_characters
    vocab_size = _MOST_TOKENS if vocab_size is None else vocab_size
    check_vocab_size(vocab_size, purpose)
    places = vocab_size - len(SPECIALS[purpose].tokens)
    _, vocab, merges = build_characters(counts, places, lambda count, _: count * rarest >= num_characters)
    model = models.BPE(vocab=vocab, merges=merges)
    return Tokenizer(byte_level_tokenizer(model, SPECIALS[purpose]), **SPECIALS[purpose].settings())
