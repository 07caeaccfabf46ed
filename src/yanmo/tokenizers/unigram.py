"""Unigram: pieces with probabilities, a text cut into the likeliest of them, bytes for what is rare.

Kudo 2018 (arXiv 1804.10959, section 3.2): from all frequent substrings, expectation maximisation under a
unigram model, and pruning of the pieces whose loss costs least, until the vocabulary has its size. Learned
by SentencePiece (Kudo and Richardson 2018, arXiv 1808.06226) in one thread, without sampling, so the same
texts always give the same pieces; the trainer of ``tokenizers`` adds numbers in the order of a hash table.

SentencePiece writes spaces as U+2581 and bytes as ``<0xE4>``, which a text may hold as well. Here pieces
are learned between whole characters and then written in the byte-level alphabet of BPE, where every byte is a
token: nothing is unknown, nothing is confused, any text comes back exactly.
"""

from __future__ import annotations

import importlib
import io
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from tokenizers import Regex, models, pre_tokenizers

from yanmo.errors import InputError
from yanmo.tokenizers.byte_level import CHARACTER_OF_BYTE, bytes_to_byte_level
from yanmo.tokenizers.characters import (
    SPLIT_PATTERN,
    byte_level_tokenizer,
    count_characters,
    covering_characters,
)
from yanmo.tokenizers.load import Tokenizer
from yanmo.tokenizers.purpose import SPECIALS, Purpose
from yanmo.tokenizers.sizes import NUM_BYTES, settle_vocab_size

_TRAINER = "sentencepiece"
# How SentencePiece writes a space; a text's own is left to bytes.
_SPACE = "\u2581"
# Separates a word from its count in what SentencePiece reads; stands in for the text's own.
_TAB, _STANDS_FOR_TAB = "\t", "\ue000"
_LONGEST_PIECE, _MAX_WORD_CHARS, _MAX_PART_CHARS = 16, 64, 100_000
# A byte is so much less likely, in nats, than the rarest piece: as SentencePiece's penalty of the unknown.
_BYTE_PENALTY = 10.0


def fit_unigram(
    texts: Iterable[str], vocab_size: int | None = None, purpose: Purpose = Purpose.CAUSAL
) -> Tokenizer:
    """Learn a Unigram tokenizer; arguments, result and errors as of ``bpe.fit_bpe``.

    Raises:
        InputError: also where the package sentencepiece is not installed.
    """
    if iter(texts) is texts:
        texts = list(texts)
    trainer = _require_trainer()
    counts = count_characters(texts)
    specials = SPECIALS[purpose]
    places = settle_vocab_size(counts, vocab_size, purpose) - len(specials.tokens) - NUM_BYTES
    # Half of the places at most go to characters; ASCII stands among the bytes.
    usable = Counter({c: n for c, n in counts.items() if c not in (_SPACE, _STANDS_FOR_TAB, "\0")})
    num_ascii = sum(ord(character) < 0x80 for character in usable)
    characters = covering_characters(usable, num_ascii + places // 2)
    num_free = sum(ord(character) < 0x80 for character in characters)
    pieces = _learn(trainer, _count_words(texts, set(characters)), places + num_free)
    vocab = _vocabulary(pieces, places)
    model = models.Unigram(vocab, unk_id=None, byte_fallback=False)
    return Tokenizer(byte_level_tokenizer(model, specials), **specials.settings())


def _vocabulary(pieces: Iterable[tuple[str, float]], places: int) -> list[tuple[str, float]]:
    """Tokens and their scores in the order of their ids: the bytes, then pieces, the likeliest first."""
    scores = {bytes_to_byte_level(piece.encode()): score for piece, score in pieces}
    lowest = min(scores.values(), default=0.0) - _BYTE_PENALTY
    by_byte = [(CHARACTER_OF_BYTE[byte], lowest) for byte in range(NUM_BYTES)]
    vocab = [(token, scores.pop(token, score)) for token, score in by_byte]
    ordered = sorted(scores.items(), key=lambda item: (-item[1], item[0]))
    return vocab + ordered[:places]


def _count_words(texts: Iterable[str], characters: set[str]) -> Counter[str]:
    """How often each word occurs, as the tokenizer will part a text; rare characters part words further."""
    splitter = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT_PATTERN), "isolated"),
            pre_tokenizers.Split(Regex(rf"[\s\S]{{1,{_MAX_WORD_CHARS}}}"), "isolated"),
        ]
    )
    counts: Counter[str] = Counter()
    for text in texts:
        for start in range(0, len(text), _MAX_PART_CHARS):
            parts = splitter.pre_tokenize_str(text[start : start + _MAX_PART_CHARS])
            counts.update(word for word, _ in parts)
    known: Counter[str] = Counter()
    outside = re.compile(f"[^{re.escape(''.join(sorted(characters)))}]+") if characters else re.compile(".+")
    for word, count in counts.items():
        for part in outside.split(word):
            if part:
                known[part] += count
    return known


def _learn(trainer: Any, words: Counter[str], num_pieces: int) -> Iterator[tuple[str, float]]:
    """Pieces and the logarithms of their probabilities."""
    if not words:
        return
    rows = (f"{word.replace(_TAB, _STANDS_FOR_TAB)}{_TAB}{count}" for word, count in sorted(words.items()))
    made = io.BytesIO()
    try:
        trainer.SentencePieceTrainer.train(
            sentence_iterator=rows,
            input_format="tsv",
            model_writer=made,
            model_type="unigram",
            vocab_size=num_pieces + 1,
            hard_vocab_limit=False,
            character_coverage=1.0,
            max_sentencepiece_length=_LONGEST_PIECE,
            normalization_rule_name="identity",
            add_dummy_prefix=False,
            remove_extra_whitespaces=False,
            allow_whitespace_only_pieces=True,
            split_by_unicode_script=False,
            split_by_number=False,
            num_threads=1,
            unk_id=0,
            bos_id=-1,
            eos_id=-1,
            pad_id=-1,
            minloglevel=2,
        )
    except RuntimeError as error:
        raise InputError(f"no pieces can be learned from this text: {str(error)[:200]}") from None
    model = trainer.SentencePieceProcessor(model_proto=made.getvalue())
    for piece_id in range(1, model.get_piece_size()):
        piece = model.id_to_piece(piece_id).replace(_SPACE, " ").replace(_STANDS_FOR_TAB, _TAB)
        yield piece, round(model.get_score(piece_id), 6)


def _require_trainer() -> Any:
    try:
        return importlib.import_module(_TRAINER)
    except ImportError:
        raise InputError(
            f"a Unigram vocabulary is learned by the package {_TRAINER}, which is not installed",
            remedy="pip install yanmo[unigram], or take --kind bpe",
        ) from None
