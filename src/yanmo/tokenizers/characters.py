"""Characters of a training text: counted, chosen, and built from bytes by merges.

A byte that begins a character tells how long it is, so merges that build characters from their bytes,
left to right, never cross from one into the next. Prefixes on the way are tokens too and are shared: a rare
character of the same block costs two tokens, not three.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

import tokenizers
from tokenizers import Regex, decoders, models, pre_tokenizers

from yanmo.errors import InputError
from yanmo.tokenizers.byte_level import CHARACTER_OF_BYTE, bytes_to_byte_level
from yanmo.tokenizers.purpose import Specials
from yanmo.tokenizers.sizes import NUM_BYTES

# Qwen2's expression (Yang et al. 2024, arXiv 2407.10671): English contractions, words with the space
# before them, single digits, runs of punctuation, line breaks, spaces.
SPLIT_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)

# Share of a text's characters that may be left to bytes, or to the unknown token.
_MAX_UNCOVERED = 1 / 5000


def count_characters(texts: Iterable[str]) -> Counter[str]:
    """How often each character occurs.

    Raises:
        InputError: there is no text, or it holds a lone surrogate.
    """
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(text)
    if not counts:
        raise InputError("there is no text to train a tokenizer on", remedy="give a corpus with some text")
    for character in counts:
        if 0xD800 <= ord(character) < 0xE000:
            raise InputError("the text is not valid Unicode: it holds a lone surrogate")
    return counts


def by_frequency(counts: Counter[str]) -> list[tuple[str, int]]:
    """Characters with their counts, the most frequent first, equal ones by their code."""
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def covering_characters(counts: Counter[str], places: int) -> list[str]:
    """The frequent characters that make up almost all of a text, at most ``places`` of them."""
    left = counts.total()
    enough = left * _MAX_UNCOVERED
    chosen: list[str] = []
    for character, count in by_frequency(counts):
        if count < 2 or left <= enough or len(chosen) == places:
            break
        chosen.append(character)
        left -= count
    return chosen


def build_characters(
    counts: Counter[str], places: int, is_worth: Callable[[int, int], bool]
) -> tuple[set[str], dict[str, int], list[tuple[str, str]]]:
    """The 256 bytes, and the merges that make the frequent characters out of them.

    Args:
        counts: of the characters.
        places: tokens in all.
        is_worth: of a character's count and the places left, whether it is built; if not, no rarer one is.

    Returns:
        The characters (ASCII among them), the vocabulary in the byte-level alphabet, and the merges.
    """
    vocab = {CHARACTER_OF_BYTE[byte]: byte for byte in range(NUM_BYTES)}
    merges: list[tuple[str, str]] = []
    characters = {chr(code) for code in range(0x80)}
    for character, count in by_frequency(counts):
        if count < 2 or not is_worth(count, places - len(vocab)):
            break
        raw = character.encode()
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


def byte_level_tokenizer(model: models.Model, specials: Specials) -> str:
    """The content of tokenizer.json of a model over the byte-level alphabet."""
    backend = tokenizers.Tokenizer(model)
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT_PATTERN), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    backend.decoder = decoders.ByteLevel()
    specials.add_to(backend)
    return backend.to_str(pretty=True)
