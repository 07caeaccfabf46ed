"""A split of a corpus as token ids in one memory-mapped file, tied by hashes to what made it.

The documents stand one after the other, each preceded by the end-of-text token, so that every
document, the first included, is predicted from that token. A store whose corpus or tokenizer has
changed is made again, never silently reused.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from yanmo import artifact
from yanmo.errors import InputError
from yanmo.tokenizers.load import Tokenizer

_TOKENS_FILE = "tokens.bin"
_DOCUMENTS_PER_BATCH = 256


@dataclass(frozen=True, kw_only=True)
class TokenStore:
    """Token ids of one split."""

    tokens: NDArray[np.unsignedinteger]
    num_documents: int
    num_bytes: int

    @property
    def num_tokens(self) -> int:
        """Tokens in all, document boundaries included."""
        return len(self.tokens)

    @classmethod
    def open_or_build(
        cls, folder: Path, texts: Iterable[str], tokenizer: Tokenizer, *, corpus_sha256: str, split: str
    ) -> TokenStore:
        """Open the store in ``folder``, or make it if it is missing, damaged, or of other input.

        Args:
            folder: where the store is or will be.
            texts: the documents, read only when the store must be made.
            tokenizer: turns them into ids.
            corpus_sha256: identity of the corpus.
            split: name of the split.

        Raises:
            InputError: there is no text.
        """
        details = {"corpus": corpus_sha256, "tokenizer": tokenizer.sha256, "split": split}
        manifest = _usable_manifest(folder, details)
        if manifest is None:
            with artifact.new_folder(folder, kind="tokens", details=details) as temporary:
                counts = _write(temporary / _TOKENS_FILE, texts, tokenizer)
                artifact.write_json(temporary / "tokens.json", counts)
        made = artifact.read_json(folder / "tokens.json")
        if made["num_documents"] == 0:
            raise InputError(f"the {split} split has no text", where=folder, remedy="give more text")
        tokens = np.memmap(folder / _TOKENS_FILE, dtype=str(made["dtype"]), mode="r")
        return cls(tokens=tokens, num_documents=made["num_documents"], num_bytes=made["num_bytes"])


def _usable_manifest(folder: Path, details: dict[str, str]) -> dict[str, object] | None:
    try:
        manifest = artifact.verify(folder)
    except InputError:
        return None
    return manifest if manifest["details"] == details else None


def _write(path: Path, texts: Iterable[str], tokenizer: Tokenizer) -> dict[str, object]:
    dtype = np.dtype(np.uint16 if tokenizer.vocab_size <= 2**16 else np.uint32)
    num_documents = num_bytes = 0
    with path.open("wb") as file:
        for batch in _batches(texts):
            for text, ids in zip(batch, tokenizer.encode_batch(batch), strict=True):
                file.write(np.array([tokenizer.eos_id, *ids], dtype=dtype).tobytes())
                num_documents += 1
                num_bytes += len(text.encode())
    return {"dtype": dtype.name, "num_documents": num_documents, "num_bytes": num_bytes}


def _batches(texts: Iterable[str]) -> Iterator[list[str]]:
    iterator = iter(texts)
    while batch := list(islice(iterator, _DOCUMENTS_PER_BATCH)):
        yield batch
