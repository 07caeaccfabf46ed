"""What a run pretrains for: the batches, the loss, and the score on held-out text that go together."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from torch import Tensor

from yanmo import metrics
from yanmo.data.loader import Batches, Loader
from yanmo.data.masking import MaskedBatches, MaskingConfig
from yanmo.data.pairs import PairBatches
from yanmo.data.spans import DENOISERS, Denoiser, SpanBatches, row_tokens
from yanmo.data.token_store import TokenStore
from yanmo.evaluation.scoring import evaluate_texts
from yanmo.models.base import Session, Trainable
from yanmo.planning.candidate import Candidate
from yanmo.recipes.settings import ObjectiveName, PretrainSettings
from yanmo.recipes.start import Start
from yanmo.tokenizers.load import Tokenizer
from yanmo.training.denoising import Denoising
from yanmo.training.masked import Masked, MaskedWithNextSentence
from yanmo.training.objective import Objective, causal
from yanmo.training.predictions import causal_through_head
from yanmo.training.recurrent import PenalisedCausal

Validate = Callable[[Trainable], dict[str, float]]

# Rows of held-out text that are scored at once, and the least that shall come of a short text.
_SCORED_ROWS, _LEAST_SCORED_ROWS = 16, 8
# What hidden tokens are counted with where the rows are not chosen yet.
_USUAL_SEQ_LEN = 256


class Goal(Protocol):
    """An objective and what goes with it; what its batches are made of is its own affair."""

    @property
    def tokenizer(self) -> Tokenizer:
        """Of the run."""

    @property
    def outputs_per_token(self) -> float:
        """Predictions for each token of a row."""

    @property
    def words(self) -> bool:
        """Whether token stores must say where words begin."""

    def objective(self, chosen: Candidate) -> Objective[Any]:
        """From a model and a batch to a loss."""

    def batches(self, store: TokenStore, *, batch_size: int, seq_len: int, seed: int) -> Batches[Any]:
        """Rows of training text."""

    def validation(self, texts: Sequence[str], *, seq_len: int) -> Validate:
        """How well held-out texts are predicted by a model in evaluation mode.

        Args:
            texts: documents.
            seq_len: context that models are trained with.

        Returns:
            From a model to ``loss_nats`` for each predicted token, and more.
        """


@dataclass(frozen=True, kw_only=True)
class Causal:
    """The next token (Radford et al. 2018); scores have ``bits_per_byte`` and ``perplexity`` too.

    Attributes:
        tokenizer: of the run.
        plain: objective of a model that is not regularised.
        regularised: of one with dropout.
    """

    tokenizer: Tokenizer
    plain: Objective[Any]
    regularised: Objective[Any]
    outputs_per_token: float = 1.0
    words: bool = False

    def objective(self, chosen: Candidate) -> Objective[Any]:
        """One of the two."""
        return self.regularised if chosen.dropout else self.plain

    def batches(self, store: TokenStore, *, batch_size: int, seq_len: int, seed: int) -> Batches[Any]:
        """Windows of the stream of documents."""
        return Loader(store.tokens, batch_size=batch_size, seq_len=seq_len, seed=seed)

    def validation(self, texts: Sequence[str], *, seq_len: int) -> Validate:
        """Every byte of the texts counts."""

        def validate(model: Trainable) -> dict[str, float]:
            longest = model.max_seq_len
            if longest is None:
                score = evaluate_texts(model, self.tokenizer, texts)
            else:
                context = min(longest, seq_len)
                stride = max(1, context * 3 // 4)
                score = evaluate_texts(_Window(model, context), self.tokenizer, texts, stride=stride)
            return {
                "loss_nats": score.loss_nats / score.num_tokens,
                "perplexity": metrics.perplexity(score.loss_nats, score.num_tokens),
                "bits_per_byte": score.bits_per_byte,
            }

        return validate


@dataclass(frozen=True, kw_only=True)
class HiddenTokens:
    """Tokens hidden in a text, and whether one text follows on another where pairs are asked for."""

    tokenizer: Tokenizer
    config: MaskingConfig
    pairs: bool

    @property
    def outputs_per_token(self) -> float:
        """The share that is hidden."""
        return self.config.share

    @property
    def words(self) -> bool:
        """Whole words must be known to be hidden."""
        return self.config.whole_words

    def objective(self, chosen: Candidate) -> Objective[Any]:
        """Of the hidden tokens, and of the pairs with as much weight as a row's tokens."""
        share = self.config.share
        return MaskedWithNextSentence(weight=share * chosen.max_seq_len) if self.pairs else Masked()

    def batches(self, store: TokenStore, *, batch_size: int, seq_len: int, seed: int) -> Batches[Any]:
        """Rows with tokens hidden anew in each epoch."""
        kind = PairBatches if self.pairs else MaskedBatches
        return kind(
            store, self.tokenizer, config=self.config, batch_size=batch_size, seq_len=seq_len, seed=seed
        )

    def validation(self, texts: Sequence[str], *, seq_len: int) -> Validate:
        """The same tokens are hidden in every validation."""
        objective = MaskedWithNextSentence(weight=1.0) if self.pairs else Masked()
        return _over_rows(self, objective.score, texts, seq_len)


@dataclass(frozen=True, kw_only=True)
class MissingSpans:
    """Spans taken out of a text, and written by the decoder."""

    tokenizer: Tokenizer
    denoisers: tuple[Denoiser, ...]
    words: bool = False

    @property
    def outputs_per_token(self) -> float:
        """Length of the targets beside that of the sources."""
        num_tokens = row_tokens(self.denoisers, _USUAL_SEQ_LEN)
        lengths = [(denoiser.weight, *denoiser.lengths(num_tokens)) for denoiser in self.denoisers]
        sources, targets = (sum(weighed[0] * weighed[side] for weighed in lengths) for side in (1, 2))
        return targets / sources

    def objective(self, chosen: Candidate) -> Objective[Any]:
        """Of the targets' tokens."""
        return Denoising()

    def batches(self, store: TokenStore, *, batch_size: int, seq_len: int, seed: int) -> Batches[Any]:
        """Sources and targets."""
        return SpanBatches(
            store,
            self.tokenizer,
            denoisers=self.denoisers,
            batch_size=batch_size,
            seq_len=seq_len,
            seed=seed,
        )

    def validation(self, texts: Sequence[str], *, seq_len: int) -> Validate:
        """The same spans are missing in every validation."""
        return _over_rows(self, Denoising().score, texts, seq_len)


def text_store(texts: Sequence[str], tokenizer: Tokenizer, *, words: bool) -> TokenStore:
    """Texts as a token store in memory.

    Raises:
        InputError: there is no text.
    """
    with tempfile.TemporaryDirectory() as folder:
        store = TokenStore.open_or_build(
            Path(folder) / "tokens", texts, tokenizer, corpus_sha256="", split="held-out", words=words
        )
        bits = None if store.word_bits is None else np.array(store.word_bits)
        return dataclasses.replace(store, tokens=np.array(store.tokens), word_bits=bits)


def _over_rows(
    goal: HiddenTokens | MissingSpans,
    score: Callable[[Trainable, Batches[Any], int], dict[str, float]],
    texts: Sequence[str],
    seq_len: int,
) -> Validate:
    """Scores of one pass over the texts, without the counts."""
    store = text_store(texts, goal.tokenizer, words=goal.words)
    # Short texts are cut into short rows rather than not scored.
    seq_len = min(seq_len, max(16, store.num_tokens // _LEAST_SCORED_ROWS))
    num_rows = max(1, store.num_tokens // seq_len - 1)
    rows = min(_SCORED_ROWS, num_rows)
    batches = goal.batches(store, batch_size=rows, seq_len=seq_len, seed=0)

    def validate(model: Trainable) -> dict[str, float]:
        figures = score(model, batches, -(-num_rows // rows))
        return {name: value for name, value in figures.items() if not name.startswith("num_")}

    return validate


class _Window:
    """A language model that is given no more than ``max_seq_len`` tokens at once."""

    def __init__(self, model: Trainable, max_seq_len: int) -> None:
        self._model, self.max_seq_len, self.vocab_size = model, max_seq_len, model.vocab_size

    def start(self, batch_size: int = 1) -> Session:
        return self._model.start(batch_size)

    def token_losses(self, tokens_BT: Tensor) -> Tensor:
        return self._model.token_losses(tokens_BT)


def _causal(settings: PretrainSettings, start: Start, tokenizer: Tokenizer) -> Goal:
    if start.shape == "lstm":
        return Causal(tokenizer=tokenizer, plain=causal, regularised=PenalisedCausal())
    # The output of a model from elsewhere may be more than a product.
    objective = causal if start.given is None else causal_through_head
    return Causal(tokenizer=tokenizer, plain=objective, regularised=objective)


def _masked(settings: PretrainSettings, start: Start, tokenizer: Tokenizer) -> Goal:
    config = MaskingConfig(whole_words=settings.whole_words)
    if settings.mask_share is not None:
        config = dataclasses.replace(config, share=settings.mask_share)
    return HiddenTokens(tokenizer=tokenizer, config=config, pairs=settings.next_sentence)


def _denoising(settings: PretrainSettings, start: Start, tokenizer: Tokenizer) -> Goal:
    denoisers = DENOISERS[settings.denoisers]
    if settings.mask_share is not None:
        denoisers = tuple(dataclasses.replace(d, share=settings.mask_share) for d in denoisers)
    return MissingSpans(tokenizer=tokenizer, denoisers=denoisers)


GOALS: Mapping[ObjectiveName, Callable[[PretrainSettings, Start, Tokenizer], Goal]] = {
    "causal": _causal,
    "masked": _masked,
    "denoising": _denoising,
}
