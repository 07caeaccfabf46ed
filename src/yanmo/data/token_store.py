"""A split of a corpus as token ids in one memory-mapped file, tied by hashes to what made it.

The documents stand one after the other, each preceded by the end-of-text token, so that every
document, the first included, is predicted from that token. A store whose corpus or tokenizer has
changed is made again, never silently reused. Where whole words will be masked, a second file says of each
token whether a word begins with it, one bit a token.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from yanmo import artifact
from yanmo.errors import InputError
from yanmo.tokenizers.load import Tokenizer
from yanmo.tokenizers.segmenter import segmenter_version
from yanmo.tokenizers.words import token_word_starts

_TOKENS_FILE = "tokens.bin"
_WORDS_FILE = "word_starts.bin"
# Documents that are encoded together, and characters after which there are enough of them.
_DOCUMENTS_PER_BATCH, _CHARACTERS_PER_BATCH = 256, 2**23


@dataclass(frozen=True, kw_only=True)
class TokenStore:
    """Token ids of one split.

    Attributes:
        tokens: of all documents, one after the other.
        num_documents: how many there are.
        num_bytes: of their text in UTF-8.
        word_bits: one bit a token, the first the highest of the first byte: whether a word begins with it
            or it is outside of words; None where that was not asked for.
    """

    tokens: NDArray[np.unsignedinteger]
    num_documents: int
    num_bytes: int
    word_bits: NDArray[np.uint8] | None = None

    @property
    def num_tokens(self) -> int:
        """Tokens in all, document boundaries included."""
        return len(self.tokens)

    def window(self, start: int, length: int) -> NDArray[np.int64]:
        """Some neighbouring tokens."""
        return self.tokens[start : start + length].astype(np.int64)

    def word_starts(self, start: int, length: int) -> NDArray[np.bool_]:
        """Of some neighbouring tokens, which begin a word; all where the store knows of no words."""
        if self.word_bits is None:
            return np.ones(length, np.bool_)
        bits = np.unpackbits(self.word_bits[start // 8 : (start + length + 7) // 8])
        return bits[start % 8 :][:length].astype(np.bool_)

    def document_starts(self) -> NDArray[np.int64]:
        """Place of the token that each document begins behind, in order."""
        edge, size = self.tokens[0], 2**24
        places = [
            np.flatnonzero(self.tokens[start : start + size] == edge) + start
            for start in range(0, self.num_tokens, size)
        ]
        return np.concatenate(places)

    @classmethod
    def open_or_build(
        cls,
        folder: Path,
        texts: Iterable[str],
        tokenizer: Tokenizer,
        *,
        corpus_sha256: str,
        split: str,
        words: bool = False,
    ) -> TokenStore:
        """Open the store in ``folder``, or make it if it is missing, damaged, or of other input.

        Args:
            folder: where the store is or will be.
            texts: the documents, read only when the store must be made.
            tokenizer: turns them into ids.
            corpus_sha256: identity of the corpus.
            split: name of the split.
            words: whether to say where words begin.

        Raises:
            InputError: there is no text, or it holds Chinese whose words are asked for and nothing is
                installed that cuts them.
        """
        details = {"corpus": corpus_sha256, "tokenizer": tokenizer.sha256, "split": split}
        if words:
            details["words"] = segmenter_version() or "none"
        manifest = _usable_manifest(folder, details)
        if manifest is None:
            with artifact.new_folder(folder, kind="tokens", details=details) as temporary:
                counts = _write(temporary, texts, tokenizer, words=words)
                artifact.write_json(temporary / "tokens.json", counts)
        made = artifact.read_json(folder / "tokens.json")
        if made["num_documents"] == 0:
            raise InputError(f"the {split} split has no text", where=folder, remedy="give more text")
        tokens = np.memmap(folder / _TOKENS_FILE, dtype=str(made["dtype"]), mode="r")
        bits = np.memmap(folder / _WORDS_FILE, dtype=np.uint8, mode="r") if words else None
        return cls(
            tokens=tokens, num_documents=made["num_documents"], num_bytes=made["num_bytes"], word_bits=bits
        )


def _usable_manifest(folder: Path, details: dict[str, str]) -> dict[str, object] | None:
    try:
        manifest = artifact.verify(folder)
    except InputError:
        return None
    return manifest if manifest["details"] == details else None


def _write(folder: Path, texts: Iterable[str], tokenizer: Tokenizer, *, words: bool) -> dict[str, object]:
    dtype = np.dtype(np.uint16 if tokenizer.vocab_size <= 2**16 else np.uint32)
    num_documents = num_bytes = 0
    with contextlib.ExitStack() as files:
        file = files.enter_context((folder / _TOKENS_FILE).open("wb"))
        bits = _BitFile(files.enter_context((folder / _WORDS_FILE).open("wb"))) if words else None
        for batch in _batches(texts):
            for text, ids in zip(batch, _encode(batch, tokenizer, bits), strict=True):
                file.write(np.concatenate(([tokenizer.edge_id], ids)).astype(dtype).tobytes())
                num_documents += 1
                num_bytes += len(text.encode())
        if bits is not None:
            bits.finish()
    return {"dtype": dtype.name, "num_documents": num_documents, "num_bytes": num_bytes}


def _encode(batch: list[str], tokenizer: Tokenizer, bits: _BitFile | None) -> Iterable[NDArray[np.int64]]:
    """Ids of each text; where words begin goes to ``bits``."""
    if bits is None:
        return tokenizer.encode_batch(batch)
    encoded = tokenizer.encode_batch_with_starts(batch)
    for text, (_, starts) in zip(batch, encoded, strict=True):
        # The token between documents is no part of a word.
        bits.write(np.concatenate(([True], token_word_starts(text, starts))))
    return [ids for ids, _ in encoded]


class _BitFile:
    """Bits one after the other, eight a byte."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._rest = file, np.zeros(0, np.bool_)

    def write(self, bits: NDArray[np.bool_]) -> None:
        bits = np.concatenate((self._rest, bits))
        whole = len(bits) // 8 * 8
        self._file.write(np.packbits(bits[:whole]).tobytes())
        self._rest = bits[whole:]

    def finish(self) -> None:
        self._file.write(np.packbits(self._rest).tobytes())


def _batches(texts: Iterable[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    num_characters = 0
    for text in texts:
        batch.append(text)
        num_characters += len(text)
        if len(batch) == _DOCUMENTS_PER_BATCH or num_characters >= _CHARACTERS_PER_BATCH:
            yield batch
            batch, num_characters = [], 0
    if batch:
        yield batch
