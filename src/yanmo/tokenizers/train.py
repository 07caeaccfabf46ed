"""Train a tokenizer on a corpus and write its folder."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from yanmo.artifact import claim, new_folder
from yanmo.corpus.store import Corpus
from yanmo.errors import InputError
from yanmo.tokenizers.bpe import fit_bpe
from yanmo.tokenizers.char import fit_char
from yanmo.tokenizers.load import Tokenizer
from yanmo.tokenizers.purpose import Purpose
from yanmo.tokenizers.sizes import check_vocab_size
from yanmo.tokenizers.unigram import fit_unigram
from yanmo.tokenizers.wordpiece import fit_wordpiece

__all__ = [
    "KINDS",
    "TokenizerSummary",
    "TrainingTexts",
    "bytes_per_token",
    "fit_bpe",
    "fit_tokenizer",
    "prepare_tokenizer",
    "survey_tokenizer",
    "train_tokenizer",
]

# Name of each kind of tokenizer to the function that learns it.
KINDS = {"bpe": fit_bpe, "wordpiece": fit_wordpiece, "unigram": fit_unigram, "char": fit_char}

# Merges hardly change beyond this much text; of a larger corpus every n-th document is read, and of a long
# document every n-th part.
_MAX_TRAINING_BYTES = 64 * 2**20
# A kind that needs a multiple of the text in memory, and minutes, reads less.
_MAX_BYTES_OF_KIND = {"unigram": 16 * 2**20}
_PART_CHARS = 100_000
_PROBE_BYTES = 1_000_000


@dataclass(frozen=True, kw_only=True)
class TokenizerSummary:
    """What training a tokenizer gave.

    Attributes:
        vocab_size: ids in all, special tokens included.
        bytes_per_token: UTF-8 bytes of text per token, on the validation split (or the training split
            where that is empty), up to a megabyte of it.
        path: the tokenizer folder.
    """

    vocab_size: int
    bytes_per_token: float
    path: Path


def train_tokenizer(
    corpus: Corpus | Path | str,
    out: Path | str,
    *,
    vocab_size: int | None = None,
    kind: str = "bpe",
    purpose: Purpose = Purpose.CAUSAL,
    force: bool = False,
) -> TokenizerSummary:
    """Train a tokenizer on a corpus' training split and write its folder.

    Args:
        corpus: a corpus folder, or the corpus already opened.
        out: folder to write; the same command again finds it done.
        vocab_size: ids in all, special tokens included; None fits it to the corpus.
        kind: a name in ``KINDS``.
        purpose: the objective that it is for, which decides the special tokens.
        force: replace whatever is at ``out``.

    Raises:
        InputError: no such kind, a size out of range, no text, or something else is at ``out``.
    """
    corpus, out = _open(corpus), Path(out)
    tokenizer = prepare_tokenizer(corpus, out, vocab_size=vocab_size, kind=kind, purpose=purpose, force=force)
    return TokenizerSummary(
        vocab_size=tokenizer.vocab_size, bytes_per_token=bytes_per_token(tokenizer, _probe(corpus)), path=out
    )


def prepare_tokenizer(
    corpus: Corpus,
    out: Path,
    *,
    vocab_size: int | None = None,
    kind: str = "bpe",
    purpose: Purpose = Purpose.CAUSAL,
    force: bool = False,
) -> Tokenizer:
    """The tokenizer of ``train_tokenizer``, made or found at ``out``."""
    details = _details(corpus, vocab_size, kind, purpose)
    if not claim(out, kind="tokenizer", details=details, force=force):
        tokenizer = fit_tokenizer(corpus, vocab_size=vocab_size, kind=kind, purpose=purpose)
        with new_folder(out, kind="tokenizer", details=details) as folder:
            tokenizer.save(folder)
    return Tokenizer.load(out)


def fit_tokenizer(
    corpus: Corpus,
    *,
    vocab_size: int | None = None,
    kind: str = "bpe",
    purpose: Purpose = Purpose.CAUSAL,
) -> Tokenizer:
    """The tokenizer of ``train_tokenizer``, without a folder."""
    return KINDS[kind](TrainingTexts(corpus, _MAX_BYTES_OF_KIND.get(kind)), vocab_size, purpose)


def survey_tokenizer(
    corpus: Corpus | Path | str,
    out: Path | str,
    *,
    vocab_size: int | None = None,
    kind: str = "bpe",
    purpose: Purpose = Purpose.CAUSAL,
    force: bool = False,
) -> dict[str, Any]:
    """What ``train_tokenizer`` would do with the same arguments; writes nothing.

    Returns:
        ``is_done`` (the same tokenizer is there already), ``num_bytes`` it would read and ``path``.

    Raises:
        InputError: as ``train_tokenizer``.
    """
    corpus, out = _open(corpus), Path(out)
    details = _details(corpus, vocab_size, kind, purpose)
    is_done = claim(out, kind="tokenizer", details=details, force=force)
    stride = TrainingTexts(corpus, _MAX_BYTES_OF_KIND.get(kind)).stride
    num_bytes = corpus.num_bytes("train") // stride
    return {"is_done": is_done, "num_bytes": num_bytes, "path": str(out)}


def bytes_per_token(tokenizer: Tokenizer, texts: Iterable[str]) -> float:
    """UTF-8 bytes of the texts per token that they are encoded to; 0 where there is no text."""
    num_bytes = num_tokens = 0
    for text in texts:
        num_bytes += len(text.encode())
        num_tokens += len(tokenizer.encode(text))
    return num_bytes / num_tokens if num_tokens else 0.0


class TrainingTexts:
    """The texts to learn from, which can be read more than once; memory holds a part of one of them."""

    def __init__(self, corpus: Corpus, max_bytes: int | None = None) -> None:
        """Nothing is read yet.

        Args:
            corpus: its training split is read.
            max_bytes: of a larger corpus every n-th part is read, so that about so many bytes come.
        """
        self._corpus = corpus
        most = max_bytes or _MAX_TRAINING_BYTES
        self.stride = max(1, math.ceil(corpus.num_bytes("train") / most))

    def __iter__(self) -> Iterator[str]:
        """Parts of texts, the same each time."""
        parts = (
            text[start : start + _PART_CHARS]
            for text in self._corpus.texts("train")
            for start in range(0, len(text), _PART_CHARS)
        )
        yield from itertools.islice(parts, 0, None, self.stride)


def _open(corpus: Corpus | Path | str) -> Corpus:
    return corpus if isinstance(corpus, Corpus) else Corpus.open(Path(corpus))


def _details(corpus: Corpus, vocab_size: int | None, kind: str, purpose: Purpose) -> dict[str, Any]:
    if kind not in KINDS:
        raise InputError(f"there is no tokenizer kind {kind!r}", remedy=f"one of: {', '.join(KINDS)}")
    if vocab_size is not None:
        check_vocab_size(vocab_size, purpose)
    named = {} if purpose is Purpose.CAUSAL else {"purpose": purpose.value}
    return {"kind": kind, "vocab_size": vocab_size, "corpus": corpus.sha256, **named}


def _probe(corpus: Corpus) -> Iterator[str]:
    left = _PROBE_BYTES
    for text in corpus.texts("valid" if corpus.num_bytes("valid") else "train"):
        if left <= 0:
            return
        yield text[:left]
        left -= len(text)
