"""Byte-level BPE whose tokens never straddle a character.

Byte-pair encoding (Sennrich et al. 2016, arXiv 1508.07909) over bytes (Radford et al. 2019, GPT-2)
treats a Chinese character as three symbols: it spends merges on halves of characters, and joins the
tail of one to the head of the next. Here merges are learned between whole characters, and the result
is written as ordinary byte-level BPE:

1. all 256 bytes are tokens, so any text can be encoded;
2. every frequent character is built from its bytes, left to right, by the merges of lowest rank (the
   prefixes on the way are shared: a rare character of the same block costs two tokens, not three);
3. the merges learned between characters follow.

A byte that begins a character tells how long it is, so the merges of step 2 cannot cross characters,
and they are all done before step 3 begins: encoding equals BPE over characters with byte fallback.
Text is parted by Qwen2's expression (digits one by one), so transformers and llama.cpp
("qwen2") know the result.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable

import tokenizers
from tokenizers import Regex, models, pre_tokenizers, trainers

from yanmo.tokenizers.byte_level import bytes_to_byte_level
from yanmo.tokenizers.characters import (
    SPLIT_PATTERN,
    build_characters,
    byte_level_tokenizer,
    count_characters,
)
from yanmo.tokenizers.load import Tokenizer
from yanmo.tokenizers.purpose import SPECIALS, Purpose
from yanmo.tokenizers.sizes import settle_vocab_size

__all__ = ["SPLIT_PATTERN", "fit_bpe"]

# Places go to characters as long as a character occurs more often than the last merge would: of n
# merges learned from N characters, the last occurs about N / (16 n) times. Measured on Chinese novels
# and on English mixed with Chinese at 1k to 8k tokens; 8 and 28 gave fewer bytes per token.
_LAST_MERGE_SHARE = 16
# Stand in for rare characters while merges are learned: a letter and a symbol that no text is likely to
# hold (Lycian A; private use). They part what they stand between, as the bytes of a rare character do.
_RARE_LETTER, _RARE_SYMBOL = "\U00010280", "\ue000"
# Merges are learned from pieces of a text, and of a word, no longer than this: a line without an end or
# without a space would take memory and time out of all proportion.
_MAX_PIECE_CHARS, _MAX_WORD_CHARS = 100_000, 64


def fit_bpe(
    texts: Iterable[str], vocab_size: int | None = None, purpose: Purpose = Purpose.CAUSAL
) -> Tokenizer:
    """Learn a byte-level BPE tokenizer from texts.

    Args:
        texts: read twice; an iterator is first put in a list.
        vocab_size: ids in all, special tokens included; None fits it to the texts. Fewer come out where
            the texts hold nothing more that occurs twice.
        purpose: decides the special tokens.

    Returns:
        The tokenizer; the same texts and size always give the same one.

    Raises:
        InputError: there is no text, or the size is out of range.
    """
    if iter(texts) is texts:
        texts = list(texts)
    counts = count_characters(texts)
    num_characters = counts.total()
    places = settle_vocab_size(counts, vocab_size, purpose) - len(SPECIALS[purpose].tokens)
    known = Counter({c: n for c, n in counts.items() if c not in (_RARE_LETTER, _RARE_SYMBOL)})
    characters, vocab, merges = build_characters(
        known, places, lambda count, left: count * _LAST_MERGE_SHARE * left >= num_characters
    )
    for left, right in _learn_merges(texts, counts, characters, places - len(vocab)):
        pair = (bytes_to_byte_level(left.encode()), bytes_to_byte_level(right.encode()))
        merges.append(pair)
        vocab.setdefault(pair[0] + pair[1], len(vocab))
    model = models.BPE(vocab=vocab, merges=merges)
    return Tokenizer(byte_level_tokenizer(model, SPECIALS[purpose]), **SPECIALS[purpose].settings())


def _learn_merges(
    texts: Iterable[str], counts: Counter[str], characters: set[str], num_merges: int
) -> list[tuple[str, str]]:
    """Merges between whole characters, most frequent first."""
    if num_merges <= 0:
        return []
    rare = {ord(c): _RARE_LETTER if c.isalpha() else _RARE_SYMBOL for c in counts if c not in characters}
    alphabet = sorted(characters)
    backend = tokenizers.Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT_PATTERN), "isolated"),
            pre_tokenizers.Split(_RARE_LETTER, "removed"),
            pre_tokenizers.Split(_RARE_SYMBOL, "removed"),
            pre_tokenizers.Split(Regex(rf"[\s\S]{{1,{_MAX_WORD_CHARS}}}"), "isolated"),
        ]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=len(alphabet) + num_merges,
        min_frequency=2,
        show_progress=False,
        initial_alphabet=alphabet,
        limit_alphabet=len(alphabet),
    )
    pieces = (
        text[start : start + _MAX_PIECE_CHARS]
        for text in texts
        for start in range(0, len(text), _MAX_PIECE_CHARS)
    )
    backend.train_from_iterator((piece.translate(rare) for piece in pieces), trainer)
    return [(left, right) for left, right in json.loads(backend.to_str())["model"]["merges"]]
