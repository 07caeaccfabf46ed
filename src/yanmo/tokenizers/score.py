"""How well a tokenizer writes a text: bytes a token, tokens a word by script, what is unknown or lost.

Tokens a word is called fertility (Ács 2019; Rust et al. 2021, arXiv 2012.15613, section 2.1); words are
those of ``words``: by letters and digits, in Chinese by a dictionary. A token counts for the word of the
first letter that it holds.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from yanmo.tokenizers.load import Tokenizer
from yanmo.tokenizers.segmenter import segmenter_version
from yanmo.tokenizers.words import continues, word_characters

_BYTE_TOKEN = re.compile(r"<0x[0-9A-Fa-f]{2}>")
_HAN = "han"
# First code of each stretch, in order, and the script of the words that begin in it.
_SCRIPTS = (
    (0x0000, "latin"),
    (0x0030, "digits"),
    (0x003A, "latin"),
    (0x0370, "greek"),
    (0x0400, "cyrillic"),
    (0x0530, "other"),
    (0x0590, "hebrew"),
    (0x0600, "arabic"),
    (0x0780, "other"),
    (0x0900, "indic"),
    (0x0E00, "thai"),
    (0x0E80, "other"),
    (0x1E00, "latin"),
    (0x1F00, "greek"),
    (0x2000, "other"),
    (0x3005, _HAN),
    (0x3008, "other"),
    (0x3040, "kana"),
    (0x3100, "other"),
    (0x3400, _HAN),
    (0xA000, "other"),
    (0xAC00, "hangul"),
    (0xD7B0, "other"),
    (0xF900, _HAN),
    (0xFB00, "latin"),
    (0xFB07, "other"),
    (0xFF10, "digits"),
    (0xFF1A, "latin"),
    (0xFF5B, "kana"),
    (0xFFA0, "other"),
    (0x20000, _HAN),
    (0x40000, "other"),
)


@dataclass(frozen=True, kw_only=True)
class ScriptScore:
    """Words of one script.

    Attributes:
        num_words: words; 0 for Chinese where no segmenter is installed.
        num_characters: characters in words.
        num_tokens: tokens that they are written with.
    """

    num_words: int
    num_characters: int
    num_tokens: int

    @property
    def tokens_per_word(self) -> float | None:
        """Fertility; None where words cannot be told."""
        return self.num_tokens / self.num_words if self.num_words else None

    @property
    def characters_per_token(self) -> float:
        """Characters of words per token."""
        return self.num_characters / max(self.num_tokens, 1)


@dataclass(frozen=True, kw_only=True)
class TokenizerScore:
    """What a tokenizer did with texts.

    Attributes:
        vocab_size: ids in all, special tokens included.
        num_texts: texts.
        num_bytes: UTF-8 bytes of them.
        num_characters: characters of them.
        num_tokens: tokens that they became.
        num_unknown: of these, the unknown token.
        num_parts: of these, single bytes and other pieces of a character.
        num_used_ids: ids that occurred.
        num_exact: texts that decode to what they were.
        encode_s: seconds that encoding them took, on all cores.
        scripts: by name, the most frequent first.
    """

    vocab_size: int
    num_texts: int
    num_bytes: int
    num_characters: int
    num_tokens: int
    num_unknown: int
    num_parts: int
    num_used_ids: int
    num_exact: int
    encode_s: float
    scripts: dict[str, ScriptScore]

    def to_mapping(self) -> dict[str, object]:
        """Counts and what follows from them, as ``--json`` prints them."""
        tokens, texts = max(self.num_tokens, 1), max(self.num_texts, 1)
        return {
            "vocab_size": self.vocab_size,
            "num_texts": self.num_texts,
            "num_bytes": self.num_bytes,
            "num_tokens": self.num_tokens,
            "bytes_per_token": self.num_bytes / tokens,
            "characters_per_token": self.num_characters / tokens,
            "unknown_share": self.num_unknown / tokens,
            "byte_share": self.num_parts / tokens,
            "used_share": self.num_used_ids / self.vocab_size,
            "exact_share": self.num_exact / texts,
            "encode_bytes_per_s": self.num_bytes / self.encode_s if self.encode_s else None,
            "scripts": {
                name: {
                    "num_words": score.num_words,
                    "num_tokens": score.num_tokens,
                    "tokens_per_word": score.tokens_per_word,
                    "characters_per_token": score.characters_per_token,
                }
                for name, score in self.scripts.items()
            },
        }


def score_tokenizer(tokenizer: Tokenizer, texts: Sequence[str]) -> TokenizerScore:
    """Encode texts, decode them again, and count.

    Args:
        tokenizer: of any kind.
        texts: held in memory; a few megabytes tell enough.

    Raises:
        InputError: a text is not valid Unicode.
    """
    began = time.perf_counter()
    encoded = tokenizer.encode_batch(texts)
    encode_s = time.perf_counter() - began
    parts = _ids_of_parts(tokenizer)
    counts: Counter[str] = Counter()
    used = np.zeros(tokenizer.vocab_size, np.bool_)
    scripts: dict[str, Counter[str]] = {}
    for text, ids in zip(texts, encoded, strict=True):
        used[ids] = True
        counts["tokens"] += len(ids)
        counts["unknown"] += int((ids == tokenizer.unk_id).sum()) if tokenizer.unk_id is not None else 0
        counts["parts"] += int(parts[ids].sum())
        counts["exact"] += tokenizer.decode(ids) == text
        _, starts = tokenizer.encode_batch_with_starts([text])[0]
        for name, found in _count_scripts(text, starts).items():
            scripts.setdefault(name, Counter()).update(found)
    ordered = sorted(scripts.items(), key=lambda item: (-item[1]["characters"], item[0]))
    return TokenizerScore(
        vocab_size=tokenizer.vocab_size,
        num_texts=len(texts),
        num_bytes=sum(len(text.encode()) for text in texts),
        num_characters=sum(map(len, texts)),
        num_tokens=counts["tokens"],
        num_unknown=counts["unknown"],
        num_parts=counts["parts"],
        num_used_ids=int(used.sum()),
        num_exact=counts["exact"],
        encode_s=encode_s,
        scripts={
            name: ScriptScore(
                num_words=found["words"], num_characters=found["characters"], num_tokens=found["tokens"]
            )
            for name, found in ordered
        },
    )


def _ids_of_parts(tokenizer: Tokenizer) -> NDArray[np.bool_]:
    """Which ids are a part of a character: bytes that are no text by themselves."""
    special = set(tokenizer.special_ids.values())
    parts = np.zeros(tokenizer.vocab_size, np.bool_)
    for token_id in range(tokenizer.vocab_size):
        if token_id not in special:
            token = tokenizer.tokens_by_id[token_id]
            parts[token_id] = _is_part(tokenizer.token_bytes(token_id)) or (
                token is not None and _BYTE_TOKEN.fullmatch(token) is not None
            )
    return parts


def _is_part(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return True
    return False


def _count_scripts(text: str, starts_N: NDArray[np.int64]) -> dict[str, Counter[str]]:
    """Words, their characters and their tokens, by script."""
    if not text:
        return {}
    codes = np.frombuffer(text.encode("utf-32-le"), np.uint32)
    names, firsts, kinds = _script_table()
    script = kinds[np.searchsorted(firsts, codes, side="right") - 1]
    in_word = word_characters(text)
    has_words = segmenter_version() is not None or not (script[in_word] == names.index(_HAN)).any()
    # A word goes by the script of its first character, marks and underscores inside it too.
    begins = np.flatnonzero(in_word & ~(continues(text) if has_words else _continues_without_chinese(text)))
    if not len(begins):
        return {}
    of_word = script[begins]
    place = np.maximum(np.searchsorted(begins, np.arange(len(text)), side="right") - 1, 0)
    ends = np.append(starts_N, len(text))
    ends = np.minimum(ends[np.searchsorted(starts_N, starts_N, side="right")], len(text))
    letters = np.append(np.flatnonzero(in_word), len(text))
    first_letter = letters[np.searchsorted(letters, np.minimum(starts_N, len(text)))]
    counted = first_letter[first_letter < ends]
    size = len(names)
    words = np.bincount(of_word, minlength=size)
    characters = np.bincount(of_word[place[in_word]], minlength=size)
    tokens = np.bincount(of_word[place[counted]], minlength=size)
    if not has_words:
        words[names.index(_HAN)] = 0
    return {
        name: Counter(words=int(words[i]), characters=int(characters[i]), tokens=int(tokens[i]))
        for i, name in enumerate(names)
        if characters[i]
    }


def _continues_without_chinese(text: str) -> NDArray[np.bool_]:
    """As ``words.continues`` where no segmenter is installed: each Chinese character begins a word."""
    return continues(re.sub("[\u3005-\u3007\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]", " ", text))


@cache
def _script_table() -> tuple[list[str], NDArray[np.int64], NDArray[np.int64]]:
    """Names of scripts; first code of each stretch; the script of each stretch."""
    names = sorted({name for _, name in _SCRIPTS})
    firsts = np.array([first for first, _ in _SCRIPTS], np.int64)
    return names, firsts, np.array([names.index(name) for _, name in _SCRIPTS], np.int64)
