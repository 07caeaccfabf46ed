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
from tokenizers import Regex, decoders, models, pre_tokenizers, trainers

from yanmo.errors import InputError
from yanmo.tokenizers.byte_level import CHARACTER_OF_BYTE, bytes_to_byte_level
from yanmo.tokenizers.load import Tokenizer
from yanmo.tokenizers.purpose import SPECIALS, Purpose

# Qwen2's expression (Yang et al. 2024, arXiv 2407.10671): English contractions, words with the space
# before them, single digits, runs of punctuation, line breaks, spaces.
SPLIT_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)

NUM_BYTES = 256
MAX_VOCAB_SIZE = 2**20

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


def suggest_vocab_size(num_bytes: int, num_frequent_characters: int) -> int:
    """A vocabulary that the corpus can fill: each token must be seen often enough to be learned.

    About 512 for 1 MB of English, 2k for 10 MB, 32k for 1 GB (the power 0.6 is that of Heaps' law for
    words), and a place for each frequent multi-byte character on top, which Chinese needs.

    Args:
        num_bytes: UTF-8 bytes of the training text.
        num_frequent_characters: distinct multi-byte characters that make up at least 1 in 20,000.

    Returns:
        A multiple of 64, from 320 to 65,536.
    """
    size = 512 * (max(num_bytes, 1) / 1e6) ** 0.6 + num_frequent_characters
    return min(max(round(size / 64) * 64, 320), 65_536)


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
    counts = _count_characters(texts)
    num_characters = counts.total()
    if num_characters == 0:
        raise InputError("there is no text to train a tokenizer on", remedy="give a corpus with some text")
    if vocab_size is None:
        frequent = [c for c, n in counts.items() if ord(c) >= 0x80 and n * 20_000 >= num_characters]
        num_bytes = sum(len(character.encode()) * count for character, count in counts.items())
        # Sentinels take no places from the text's own tokens.
        more = len(SPECIALS[purpose].tokens) - len(SPECIALS[Purpose.CAUSAL].tokens)
        vocab_size = suggest_vocab_size(num_bytes, len(frequent)) + max(0, more)
    check_vocab_size(vocab_size, purpose)
    places = vocab_size - len(SPECIALS[purpose].tokens)
    characters, vocab, merges = _build_characters(counts, places)
    for left, right in _learn_merges(texts, counts, characters, places - len(vocab)):
        pair = (bytes_to_byte_level(left.encode()), bytes_to_byte_level(right.encode()))
        merges.append(pair)
        vocab.setdefault(pair[0] + pair[1], len(vocab))
    return Tokenizer(_assemble(vocab, merges, purpose), **SPECIALS[purpose].settings())


def check_vocab_size(vocab_size: int, purpose: Purpose = Purpose.CAUSAL) -> None:
    """Refuse a vocabulary that cannot be.

    Raises:
        InputError: it has no place for every byte and special token, or is beyond a million.
    """
    smallest = NUM_BYTES + len(SPECIALS[purpose].tokens)
    if not smallest <= vocab_size <= MAX_VOCAB_SIZE:
        raise InputError(
            f"a vocabulary of {vocab_size} is out of range",
            remedy=f"choose {smallest} (every byte and the special tokens) to {MAX_VOCAB_SIZE}",
        )


def _count_characters(texts: Iterable[str]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(text)
    for character in counts:
        if 0xD800 <= ord(character) < 0xE000:
            raise InputError("the text is not valid Unicode: it holds a lone surrogate")
    return counts


def _build_characters(
    counts: Counter[str], places: int
) -> tuple[set[str], dict[str, int], list[tuple[str, str]]]:
    """The 256 bytes, and the merges that make the frequent characters out of them."""
    vocab = {CHARACTER_OF_BYTE[byte]: byte for byte in range(NUM_BYTES)}
    merges: list[tuple[str, str]] = []
    characters = {chr(code) for code in range(0x80)}
    num_characters = counts.total()
    for character, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        num_left = places - len(vocab)
        if count < 2 or count * _LAST_MERGE_SHARE * num_left < num_characters:
            break
        raw = character.encode()
        if len(raw) == 1 or character in (_RARE_LETTER, _RARE_SYMBOL):
            continue
        steps = [
            (bytes_to_byte_level(raw[:end]), bytes_to_byte_level(raw[end : end + 1]))
            for end in range(1, len(raw))
        ]
        steps = [step for step in steps if step[0] + step[1] not in vocab]
        if len(vocab) + len(steps) > places:
            break
        for left, right in steps:
            vocab[left + right] = len(vocab)
            merges.append((left, right))
        characters.add(character)
    return characters, vocab, merges


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


def _assemble(vocab: dict[str, int], merges: list[tuple[str, str]], purpose: Purpose) -> str:
    """The content of tokenizer.json."""
    backend = tokenizers.Tokenizer(models.BPE(vocab=vocab, merges=merges))
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT_PATTERN), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    backend.decoder = decoders.ByteLevel()
    SPECIALS[purpose].add_to(backend)
    return backend.to_str(pretty=True)
