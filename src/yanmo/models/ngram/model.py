"""The n-gram language model: a back-off table looked up for all tokens of a text at once.

The table holds log p(w | context) for every n-gram and log b(context) for every context, as an ARPA
file does (Katz 1987; section 2 of Heafield 2011, "KenLM: Faster and Smaller Language Model
Queries"): the longest n-gram in the table gives the probability, and every longer context that was
not matched adds its back-off weight. ``kneser_ney`` estimates the values, ``arpa`` reads and writes them.

The end-of-text id stands for ``<s>`` as context and for ``</s>`` as token, so a stream of documents
with that id between them is scored as separate documents.

Shapes: B rows, T tokens, V vocabulary, N the order.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import safetensors
import safetensors.numpy
import torch
from numpy.typing import NDArray
from torch import Tensor

from yanmo.artifact import new_folder, read_json
from yanmo.config import from_mapping, to_mapping
from yanmo.errors import InputError
from yanmo.models.base import TokenCosts
from yanmo.models.ngram import kneser_ney
from yanmo.models.ngram.kneser_ney import Discounts, Ints

MODEL_TYPE = "yanmo-ngram"
WEIGHTS = "ngram.safetensors"

Float32s = NDArray[np.float32]


class Saveable(Protocol):
    """A tokenizer, as far as a model folder needs it."""

    def save(self, folder: Path) -> None:
        """Write its files into the folder."""


@dataclass(frozen=True, kw_only=True)
class NgramConfig:
    """Sizes of an n-gram model and how its values came about."""

    order: int
    vocab_size: int
    eos_id: int
    unk_id: int | None = None
    discounts: tuple[Discounts, ...] = ()


class NgramModel:
    """A back-off n-gram model that satisfies ``LanguageModel``."""

    def __init__(
        self,
        config: NgramConfig,
        *,
        keys: Sequence[Ints],
        log_probabilities: Sequence[NDArray[np.floating]],
        log_backoffs: Sequence[NDArray[np.floating]],
    ) -> None:
        """Hold the tables.

        Args:
            config: sizes.
            keys: one ascending int64 array an order: place of the first n-1 tokens in the array of
                order n-1, times V, plus the last token; that of order 1 is 0 to V - 1.
            log_probabilities: nats, one array an order, as long as its keys.
            log_backoffs: nats, one array an order below the highest.
        """
        assert len(keys) == len(log_probabilities) == len(log_backoffs) + 1 == config.order
        self.config = config
        self.keys = tuple(keys)
        self.log_probabilities: tuple[Float32s, ...] = tuple(a.astype(np.float32) for a in log_probabilities)
        self.log_backoffs: tuple[Float32s, ...] = tuple(a.astype(np.float32) for a in log_backoffs)

    @property
    def order(self) -> int:
        """Longest n-gram, in tokens."""
        return self.config.order

    @property
    def vocab_size(self) -> int:
        """Number of token ids."""
        return self.config.vocab_size

    @property
    def max_seq_len(self) -> int | None:
        """None: any length is taken in, though only the last N - 1 tokens matter."""
        return None

    @property
    def num_parameters(self) -> int:
        """Values in the tables: probabilities and back-off weights."""
        return sum(len(values) for values in (*self.log_probabilities, *self.log_backoffs))

    @property
    def num_ngrams(self) -> tuple[int, ...]:
        """Different n-grams of orders 1 to N."""
        return tuple(len(keys) for keys in self.keys)

    def start(self, batch_size: int = 1) -> NgramSession:
        """Begin ``batch_size`` empty texts."""
        return NgramSession(self, batch_size)

    def token_losses(self, tokens_BT: Tensor) -> Tensor:
        """Loss of each token but the first of each row: float32 nats, (B, T - 1)."""
        log_BT, _ = self.log_probabilities_of(tokens_BT.numpy(force=True))
        return torch.from_numpy(-log_BT[:, 1:])

    def log_probabilities_of(self, tokens_BT: NDArray[np.int64]) -> tuple[Float32s, NDArray[np.int8]]:
        """Look up every token of a batch given those before it in its row.

        Args:
            tokens_BT: token ids, int64.

        Returns:
            log_BT: float32 nats, the first column given nothing; matched_BT: length of the longest
            n-gram found at each token, int8.

        Raises:
            InputError: an id is outside the vocabulary.
        """
        if tokens_BT.size and not 0 <= tokens_BT.min() <= tokens_BT.max() < self.vocab_size:
            raise InputError(f"token ids reach outside 0 to {self.vocab_size - 1}")
        # place_BT[b, t] is where the n-gram ending at t stands in its level, -1 where it is not there.
        place_BT = tokens_BT.astype(np.int64)
        log_BT = self.log_probabilities[0][place_BT]
        matched_BT = np.ones(place_BT.shape, np.int8)
        for n in range(2, self.order + 1):
            context_BT = np.full_like(place_BT, -1)
            context_BT[:, 1:] = place_BT[:, :-1]
            known_BT = context_BT >= 0
            log_BT[known_BT] += self.log_backoffs[n - 2][context_BT[known_BT]]
            place_BT = np.full_like(place_BT, -1)
            place_BT[known_BT] = self._find(n, context_BT[known_BT] * self.vocab_size + tokens_BT[known_BT])
            found_BT = place_BT >= 0
            log_BT[found_BT] = self.log_probabilities[n - 1][place_BT[found_BT]]
            matched_BT[found_BT] = n
        return log_BT, matched_BT

    def next_scores(self, context: Sequence[int]) -> Float32s:
        """Log-probabilities (nats, float32, (V,)) of the token after ``context``."""
        context = context[max(0, len(context) - self.order + 1) :]
        scores_V = self.log_probabilities[0].copy()
        for length in range(1, len(context) + 1):
            place = self._place(context[len(context) - length :])
            if place < 0:
                continue
            scores_V += self.log_backoffs[length - 1][place]
            keys = self.keys[length]
            first, last = np.searchsorted(keys, (place * self.vocab_size, (place + 1) * self.vocab_size))
            scores_V[keys[first:last] % self.vocab_size] = self.log_probabilities[length][first:last]
        return scores_V

    def _place(self, ngram: Sequence[int]) -> int:
        place = ngram[0]
        for n, token in enumerate(ngram[1:], start=2):
            place = int(self._find(n, np.array([place * self.vocab_size + token]))[0])
            if place < 0:
                break
        return place

    def _find(self, n: int, wanted: Ints) -> Ints:
        """Where each wanted key stands among the n-grams, -1 where it is not there."""
        keys = self.keys[n - 1]
        if not len(keys):
            return np.full_like(wanted, -1)
        # Looking keys up in ascending order walks the table once instead of jumping about in it.
        by_key = np.argsort(wanted)
        ordered = wanted[by_key]
        places = np.minimum(np.searchsorted(keys, ordered), len(keys) - 1)
        found = np.empty_like(wanted)
        found[by_key] = np.where(keys[places] == ordered, places, -1)
        return found

    def save(self, folder: Path, *, tokenizer: Saveable | None = None) -> None:
        """Write a model folder: config.json, ngram.safetensors, and the tokenizer's files if one is given.

        Raises:
            YanmoError: the disk is full or the place cannot be written.
        """
        config = {"model_type": MODEL_TYPE, "num_ngrams": list(self.num_ngrams), **to_mapping(self.config)}
        tensors: dict[str, NDArray[Any]] = {}
        for n in range(1, self.order + 1):
            tensors[f"keys.{n}"] = self.keys[n - 1]
            tensors[f"log_probabilities.{n}"] = self.log_probabilities[n - 1]
            if n < self.order:
                tensors[f"log_backoffs.{n}"] = self.log_backoffs[n - 1]
        with new_folder(folder, kind="model", details={"model_type": MODEL_TYPE}) as temporary:
            (temporary / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
            safetensors.numpy.save_file(tensors, temporary / WEIGHTS)
            if tokenizer is not None:
                tokenizer.save(temporary)


class NgramSession:
    """Rows of text being continued."""

    def __init__(self, model: NgramModel, batch_size: int) -> None:
        """Begin empty rows."""
        self._model = model
        self._tokens_BS = torch.empty((batch_size, 0), dtype=torch.int64)

    @property
    def num_tokens(self) -> int:
        """Tokens taken in so far."""
        return self._tokens_BS.shape[1]

    def extend(self, tokens_BT: Tensor) -> Tensor:
        """Take in tokens; log-probabilities of the next one, float32 (B, V)."""
        self._tokens_BS = torch.cat([self._tokens_BS, tokens_BT.cpu()], dim=1)
        rows: list[list[int]] = self._tail_BT().tolist()
        return torch.from_numpy(np.stack([self._model.next_scores(row) for row in rows]))

    def extend_each(self, tokens_BT: Tensor) -> Tensor:
        """Take in tokens; log-probabilities after each, float32 (B, T, V) (``Reversible``)."""
        return torch.stack([self.extend(token_B1) for token_B1 in tokens_BT.split(1, dim=1)], dim=1)

    def rollback(self, num_tokens: int) -> None:
        """Forget all but the first tokens of each row (``Reversible``)."""
        self._tokens_BS = self._tokens_BS[:, :num_tokens]

    def _tail_BT(self) -> Tensor:
        """The last N - 1 tokens, all that the model looks at."""
        return self._tokens_BS[:, max(0, self.num_tokens - self._model.order + 1) :]

    def costs(self, tokens_BT: Tensor) -> TokenCosts:
        """What T more tokens a row would cost; none is taken in."""
        tail_BT = self._tail_BT()
        num_before = tail_BT.shape[1]
        whole_BS = torch.cat([tail_BT, tokens_BT.cpu()], dim=1).numpy()
        log_BS, _ = self._model.log_probabilities_of(whole_BS)
        likeliest = [
            [int(self._model.next_scores(row[:end]).argmax()) for end in range(num_before, len(row))]
            for row in whole_BS.tolist()
        ]
        return TokenCosts(
            torch.from_numpy(-log_BS[:, num_before:]), torch.tensor(likeliest) == tokens_BT.cpu()
        )

    def select(self, rows_B: Tensor) -> None:
        """Keep, repeat or reorder rows."""
        self._tokens_BS = self._tokens_BS[rows_B.cpu()]


def fit_ngram(
    documents: Iterable[Sequence[int] | NDArray[np.integer[Any]]],
    *,
    order: int,
    vocab_size: int,
    eos_id: int,
    unk_id: int | None = None,
) -> NgramModel:
    """Estimate a modified Kneser-Ney model from documents of token ids.

    Args:
        documents: token ids of each document, without boundaries; empty ones count for nothing.
        order: longest n-gram, 2 to ``kneser_ney.MAX_ORDER``.
        vocab_size: V; every id below it gets a probability, seen or not.
        eos_id: the boundary of documents.
        unk_id: the id that stands for unknown tokens, if there is one; only ARPA files need to know.

    Raises:
        InputError: no text, or an order or id out of range.
    """
    stream = kneser_ney.join_documents(documents, eos_id=eos_id)
    table = kneser_ney.estimate(stream, order=order, vocab_size=vocab_size, eos_id=eos_id)
    config = NgramConfig(
        order=order, vocab_size=vocab_size, eos_id=eos_id, unk_id=unk_id, discounts=table.discounts
    )
    return NgramModel(
        config,
        keys=table.keys,
        # Rounding can leave a certain token just above 1.
        log_probabilities=[np.log(np.minimum(values, 1.0)) for values in table.probabilities],
        log_backoffs=[np.log(values) for values in table.backoffs],
    )


def load_ngram(folder: Path) -> NgramModel:
    """Read a folder written by ``NgramModel.save``.

    Raises:
        InputError: a file is missing or damaged, or the folder holds another kind of model.
    """
    path = folder / "config.json"
    plain = read_json(path)
    if plain.pop("model_type", None) != MODEL_TYPE:
        raise InputError("is not an n-gram model", where=path)
    num_ngrams = plain.pop("num_ngrams", None)
    config = from_mapping(NgramConfig, plain, where=path)
    try:
        tensors = safetensors.numpy.load_file(folder / WEIGHTS)
        orders = range(1, config.order + 1)
        model = NgramModel(
            config,
            keys=[tensors[f"keys.{n}"] for n in orders],
            log_probabilities=[tensors[f"log_probabilities.{n}"] for n in orders],
            log_backoffs=[tensors[f"log_backoffs.{n}"] for n in orders[:-1]],
        )
    except (OSError, KeyError, safetensors.SafetensorError) as error:
        raise InputError(
            f"cannot be read: {error}", where=folder / WEIGHTS, remedy="the file is missing or damaged"
        ) from None
    if list(model.num_ngrams) != num_ngrams:
        raise InputError("does not fit config.json", where=folder / WEIGHTS, remedy="the folder is damaged")
    return model
