"""One vector a text: sentence embeddings from any encoder or decoder, in the layout of sentence-transformers.

Texts are packed without padding, those of equal length side by side, so that no product is spent on padding
(Reimers and Gurevych 2019, arXiv 1908.10084, section 7, sort by length and pad the rest).

Shapes: B texts, N tokens of a packed row, D = d_model, E numbers in a vector.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import normalizers
from torch import Tensor

from yanmo import artifact
from yanmo.errors import InputError
from yanmo.models.checkpoint import Checkpoint
from yanmo.models.families import any_architecture, family_of
from yanmo.models.folder import load_transformer
from yanmo.models.registry import check_vocabularies
from yanmo.models.sentence_settings import POOLS, SentenceSettings, read_sentence_settings
from yanmo.models.transformer import Transformer
from yanmo.nn.packing import Segments, batches_by_tokens, pack_lists
from yanmo.tokenizers.load import Tokenizer

Vectors = NDArray[np.float32]

# Texts that are tokenised and sorted together: enough that many are of equal length.
_WINDOW_TEXTS = 4096
_LOWER = normalizers.Lowercase()


class SentenceEncoder:
    """Texts in, vectors out."""

    def __init__(self, model: Transformer, tokenizer: Tokenizer, settings: SentenceSettings) -> None:
        """Join a Transformer (its heads are not used), its tokenizer, and how vectors are made."""
        self._model, self.settings = model, settings
        limits = (settings.max_seq_len or tokenizer.max_seq_len, model.max_seq_len)
        self.max_seq_len = min(limit for limit in limits if limit is not None)
        self._reader = SentenceReader(tokenizer, settings, max_seq_len=self.max_seq_len)

    @classmethod
    def load(cls, path: Path | str, *, dtype: torch.dtype = torch.float32) -> SentenceEncoder:
        """Load a model with its side files; without them, a vector is the mean of its tokens'.

        Args:
            path: a model folder, a run, a .gguf file, or a name in the local Hugging Face cache.
            dtype: type of the weights in memory.

        Raises:
            InputError: the model is missing, damaged, of a kind that is not known, or too big for the memory.
        """
        checkpoint = Checkpoint.open(path)
        source = checkpoint.source()
        where = checkpoint.config_path
        model = load_transformer(checkpoint.config, source, where=where, dtype=dtype, bare=True)
        tokenizer = checkpoint.tokenizer
        check_vocabularies(tokenizer, model, where=checkpoint.path)
        settings = read_sentence_settings(checkpoint.path, d_model=model.config.d_model)
        return cls(model, tokenizer, settings)

    @property
    def dim(self) -> int:
        """Numbers in a vector."""
        return self.settings.dim

    @torch.inference_mode()
    def encode(
        self,
        texts: Sequence[str],
        *,
        prompt: str | None = None,
        batch_tokens: int = 4096,
        on_progress: Callable[[int], None] | None = None,
    ) -> Vectors:
        """Vectors of texts, in their order.

        Args:
            texts: any number; each is cut to ``max_seq_len`` tokens.
            prompt: name of what is put before each text; None is the model's default, "" nothing.
            batch_tokens: tokens that go through the model at once, at least one text.
            on_progress: told how many texts are done.

        Returns:
            float32 of shape (texts, ``dim``).

        Raises:
            InputError: there is no such prompt, or a text is no valid Unicode or has no token.
        """
        if isinstance(texts, str):
            raise InputError("a list of texts is needed, not one text", remedy="encode([text])")
        reader = self._reader
        lead = reader.lead(prompt)
        skipped = reader.num_skipped(lead)
        vectors = np.empty((len(texts), self.dim), dtype=np.float32)
        num_done = 0
        for start in range(0, len(texts), _WINDOW_TEXTS):
            ids = reader.ids(texts[start : start + _WINDOW_TEXTS], lead)
            for batch in batches_by_tokens([len(row) for row in ids], batch_tokens):
                tokens_1N, segments = pack_lists([ids[row] for row in batch])
                rows = np.array(batch) + start
                found = vectors_of(self._model, tokens_1N, segments, self.settings, skipped=skipped)
                vectors[rows] = found.numpy()
                num_done += len(batch)
                if on_progress is not None:
                    on_progress(num_done)
        return vectors

    def num_tokens(self, texts: Sequence[str], *, prompt: str | None = None) -> list[int]:
        """Tokens of each text with its prompt and special tokens, before it is cut.

        Raises:
            InputError: there is no such prompt, or a text is no valid Unicode or has no token.
        """
        return [len(ids) for ids in self._reader.ids(texts, self._reader.lead(prompt), cut=False)]

    def similarity(self, a_BE: Vectors, b_BE: Vectors) -> Vectors:
        """How alike vectors are by the model's measure (cosine, where the files name none).

        Args:
            a_BE: vectors, (A, E).
            b_BE: vectors, (B, E).

        Returns:
            float32 (A, B); more is more alike. Distances come out negative.
        """
        return _SIMILARITIES[self.settings.similarity](np.asarray(a_BE), np.asarray(b_BE))


class SentenceReader:
    """Texts to the token ids that vectors are made of."""

    def __init__(self, tokenizer: Tokenizer, settings: SentenceSettings, *, max_seq_len: int) -> None:
        """For a tokenizer; texts are cut to ``max_seq_len`` tokens."""
        self._tokenizer, self._settings, self._max_seq_len = tokenizer, settings, max_seq_len

    def lead(self, name: str | None) -> str:
        """What is put before each text: the prompt of a name, None for the model's default, "" for none.

        Raises:
            InputError: there is no such prompt.
        """
        name = self._settings.default_prompt if name is None else name
        if not name:
            return ""
        prompts = self._settings.prompts
        if name not in prompts:
            known = f"it has {', '.join(prompts)}" if prompts else "it has none; put it into the texts"
            raise InputError(f"the model has no prompt {name!r}", remedy=known)
        return prompts[name]

    def num_skipped(self, lead: str) -> int:
        """Tokens at the beginning of each text that do not count in pooling."""
        if not lead or self._settings.include_prompt:
            return 0
        encoding = self._tokenizer.encode_with_specials(self._prepare(lead))
        return len(encoding.ids) - encoding.special_mask[-1]

    def ids(self, texts: Sequence[str], lead: str, *, cut: bool = True) -> list[list[int]]:
        """Token ids of texts, with what is put before each; ``cut`` to ``max_seq_len``.

        Raises:
            InputError: a text is no valid Unicode or has no token.
        """
        prepared = [self._prepare(lead + text) for text in texts]
        longest = self._max_seq_len if cut else None
        encodings = self._tokenizer.encode_batch_with_specials(prepared, max_seq_len=longest)
        for text, encoding in zip(texts, encodings, strict=True):
            if not encoding.ids:
                raise InputError(f"the text {text[:20]!r} has no token", remedy="leave it out")
        return [encoding.ids for encoding in encodings]

    def _prepare(self, text: str) -> str:
        return _LOWER.normalize_str(text) if self._settings.lower_case else text


def vectors_of(
    model: Transformer,
    tokens_1N: Tensor,
    segments: Segments,
    settings: SentenceSettings,
    *,
    skipped: int = 0,
) -> Tensor:
    """Vectors of packed texts, differentiable, float32 (B, E).

    Args:
        model: its heads are not used.
        tokens_1N: token ids.
        segments: which stretch is which text.
        settings: how vectors are made.
        skipped: tokens at the beginning of each text that do not count in pooling.

    Raises:
        InputError: a text has no token beyond those.
    """
    if model.encoder is not None:
        hidden_1ND = model.encode(tokens_1N, segments=segments).hidden_BSD
    else:
        hidden_1ND = model.hidden(tokens_1N, segments=segments)
    pooled = []
    for run in segments.runs:
        if run.length <= skipped:
            raise InputError("the prompt leaves no room for the text", remedy="take a shorter prompt")
        x_BTD = hidden_1ND[0, run.tokens].unflatten(0, (run.rows, run.length)).float()
        pooled.append(torch.cat([POOLS[name](x_BTD, skipped) for name in settings.pools], dim=-1))
    vectors: Tensor = settings.tail(torch.cat(pooled))
    return vectors


def embed(
    model: Path | str | SentenceEncoder,
    texts: Sequence[str],
    *,
    out: Path | None = None,
    prompt: str | None = None,
    force: bool = False,
    on_progress: Callable[[int], None] | None = None,
) -> Vectors:
    """Vectors of texts, in their order; written to a file where one is named.

    Args:
        model: what ``SentenceEncoder.load`` takes, or a loaded one.
        texts: any number.
        out: .npy file to write, whole or not at all.
        prompt: as in ``SentenceEncoder.encode``.
        force: replace what is at ``out``.
        on_progress: told how many texts are done.

    Returns:
        float32 of shape (texts, numbers in a vector).

    Raises:
        InputError: the model or a text is not as it should be, or ``out`` exists.
        YanmoError: the disk is full.
    """
    _require_free(out, force=force)
    encoder = model if isinstance(model, SentenceEncoder) else SentenceEncoder.load(model)
    vectors = encoder.encode(texts, prompt=prompt, on_progress=on_progress)
    if out is not None:
        with artifact.new_file(out) as temporary, temporary.open("wb") as file:
            np.save(file, vectors, allow_pickle=False)
    return vectors


def survey(
    model: Path | str, texts: Sequence[str], *, out: Path | None = None, force: bool = False
) -> dict[str, Any]:
    """What ``embed`` would do with the same arguments; reads no weights and writes nothing.

    Returns:
        ``path`` of what would be written, and ``shape`` of the vectors.

    Raises:
        InputError: as ``embed``, as far as it shows.
    """
    _require_free(out, force=force)
    checkpoint = Checkpoint.open(model)
    config = any_architecture(checkpoint.config)
    family = family_of(config, where=checkpoint.config_path)
    d_model = family.read_config(config, where=checkpoint.config_path).d_model
    settings = read_sentence_settings(checkpoint.path, d_model=d_model)
    return {"path": None if out is None else str(out), "shape": (len(texts), settings.dim)}


def _require_free(out: Path | None, *, force: bool) -> None:
    if out is None:
        return
    if out.is_dir():
        raise InputError("is a folder", where=out, remedy=f"name a file: {out / 'vectors.npy'}")
    if out.exists() and not force:
        raise InputError(
            "already exists", where=out, remedy="choose another --out, or replace it with --force"
        )


def _dot(a_BE: Vectors, b_BE: Vectors) -> Vectors:
    similarity: Vectors = a_BE @ b_BE.T
    return similarity


def _cosine(a_BE: Vectors, b_BE: Vectors) -> Vectors:
    return _dot(_unit(a_BE), _unit(b_BE))


def _unit(x_BE: Vectors) -> Vectors:
    unit: Vectors = x_BE / np.maximum(np.linalg.norm(x_BE, axis=-1, keepdims=True), 1e-12)
    return unit


def _euclidean(a_BE: Vectors, b_BE: Vectors) -> Vectors:
    return -_cdist(a_BE, b_BE, "euclidean")


def _manhattan(a_BE: Vectors, b_BE: Vectors) -> Vectors:
    return -_cdist(a_BE, b_BE, "cityblock")


def _cdist(a_BE: Vectors, b_BE: Vectors, metric: str) -> Vectors:
    from scipy.spatial.distance import cdist

    distance: Vectors = cdist(a_BE, b_BE, metric).astype(np.float32)
    return distance


_SIMILARITIES: dict[str, Callable[[Vectors, Vectors], Vectors]] = {
    "cosine": _cosine,
    "dot": _dot,
    "euclidean": _euclidean,
    "manhattan": _manhattan,
}
