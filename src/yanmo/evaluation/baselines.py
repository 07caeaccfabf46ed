"""The cheap model that stands beside every score: a modified Kneser-Ney n-gram on the same text.

Two kinds compete on text that was not trained on, n-grams of characters and n-grams of the evaluated
model's own tokens, and the better one is the baseline. On little text the characters win, on much of
it the tokens can.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from yanmo.config import format_size
from yanmo.errors import InputError
from yanmo.evaluation.scoring import Tally, TextScore, TextTokenizer, evaluate_texts
from yanmo.metrics import perplexity
from yanmo.models.ngram.characters import (
    CharacterNgram,
    fit_character_ngram,
    ngram_bits_per_byte,
    quick_baseline,
    sample_texts,
)
from yanmo.models.ngram.model import NgramModel, fit_ngram
from yanmo.reporting.progress import say

__all__ = [
    "Baseline",
    "CharacterNgram",
    "CharacterNgramBaseline",
    "ScoredBaseline",
    "TokenNgramBaseline",
    "fit_baseline",
    "fit_character_ngram",
    "ngram_bits_per_byte",
    "quick_baseline",
    "sample_texts",
]

MAX_TRAIN_BYTES = 16 * 2**20
_CHOICE_TRAIN_BYTES = 4 * 2**20
_CHOICE_VALID_BYTES = 2**18
_CHARACTER_ORDERS = (5, 7)
_TOKEN_ORDERS = (3, 5)


class VocabularyTokenizer(TextTokenizer, Protocol):
    """A tokenizer that tells how many ids it has."""

    @property
    def vocab_size(self) -> int:
        """Every id is below it."""


class Baseline(Protocol):
    """A trained baseline."""

    @property
    def name(self) -> str:
        """What it is, for people."""

    @property
    def order(self) -> int:
        """Longest n-gram."""

    def score(self, texts: Iterable[str], *, seed: int = 0) -> TextScore:
        """Score texts as separate documents; the tokens counted are its own."""


@dataclass(frozen=True, kw_only=True)
class CharacterNgramBaseline:
    """An n-gram of characters."""

    model: CharacterNgram

    @property
    def name(self) -> str:
        """What it is, for people."""
        return f"Kneser-Ney {self.order}-gram of characters"

    @property
    def order(self) -> int:
        """Longest n-gram in characters."""
        return self.model.model.order

    def score(self, texts: Iterable[str], *, seed: int = 0) -> TextScore:
        """Score texts; a token is a character."""
        tally = Tally()
        for losses, num_bytes in self.model.losses(texts):
            tally.add(losses, num_bytes)
        return tally.score(seed=seed)


@dataclass(frozen=True, kw_only=True)
class TokenNgramBaseline:
    """An n-gram of the evaluated model's tokens."""

    model: NgramModel
    tokenizer: TextTokenizer

    @property
    def name(self) -> str:
        """What it is, for people."""
        return f"Kneser-Ney {self.order}-gram of tokens"

    @property
    def order(self) -> int:
        """Longest n-gram in tokens."""
        return self.model.order

    def score(self, texts: Iterable[str], *, seed: int = 0) -> TextScore:
        """Score texts; a token is the tokenizer's."""
        return evaluate_texts(self.model, self.tokenizer, texts, seed=seed)


def fit_baseline(
    train_texts: Iterable[str],
    valid_texts: Iterable[str] = (),
    *,
    tokenizer: VocabularyTokenizer | None = None,
    max_train_bytes: int = MAX_TRAIN_BYTES,
    seed: int = 0,
) -> Baseline:
    """Train the better of a few n-gram models.

    The kinds and orders are tried on at most 4 MB of the training text and compared on the validation
    text; the best is trained again on all of it, up to ``max_train_bytes``.

    Args:
        train_texts: documents to train on, read once.
        valid_texts: documents to choose by. Without any, a tenth of the training text is kept for that, and
            only characters are tried: the tokenizer was made from the training text and would look better
            on it than it is.
        tokenizer: of the model that the baseline stands beside; None leaves token n-grams out.
        max_train_bytes: about how much training text is used at most; a sample of whole documents.
        seed: of the samples.

    Raises:
        InputError: there is no training text.
    """
    train = sample_texts(_said_if_cut(train_texts, max_train_bytes), max_bytes=max_train_bytes, seed=seed)
    valid = sample_texts(valid_texts, max_bytes=_CHOICE_VALID_BYTES, seed=seed)
    choice_train = sample_texts(train, max_bytes=_CHOICE_TRAIN_BYTES, seed=seed)
    if not any(valid):
        choice_train, valid = _hold_out(choice_train)
        tokenizer = None
    candidates: list[tuple[float, bool, int]] = []
    for by_token, orders in ((False, _CHARACTER_ORDERS), (True, _TOKEN_ORDERS)):
        for order in orders if tokenizer is not None or not by_token else ():
            candidate = _fit(choice_train, order, tokenizer if by_token else None)
            candidates.append((candidate.score(valid, seed=seed).bits_per_byte, by_token, order))
    _, by_token, order = min(candidates)
    return _fit(train, order, tokenizer if by_token else None)


@dataclass(frozen=True, kw_only=True)
class ScoredBaseline:
    """What a baseline reached on a text."""

    name: str
    order: int
    score: TextScore

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {"name": self.name, "order": self.order, **self.score.to_json()}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> ScoredBaseline:
        """Inverse of ``to_json``."""
        score = {name: value[name] for name in TextScore.__dataclass_fields__}
        interval = (float(value["interval"][0]), float(value["interval"][1]))
        return cls(
            name=value["name"], order=value["order"], score=TextScore(**{**score, "interval": interval})
        )

    def beside(self, num_tokens: int) -> dict[str, Any]:
        """What is reported of it.

        Args:
            num_tokens: tokens of the evaluated model on that text. The perplexity reported is that of the
                same text per such token, so that the two can be compared.
        """
        return {**self.to_json(), "perplexity": perplexity(self.score.loss_nats, num_tokens)}


def _fit(texts: Sequence[str], order: int, tokenizer: VocabularyTokenizer | None) -> Baseline:
    if tokenizer is None:
        return CharacterNgramBaseline(model=fit_character_ngram(texts, order=order))
    model = fit_ngram(
        tokenizer.encode_batch(texts), order=order, vocab_size=tokenizer.vocab_size, eos_id=tokenizer.eos_id
    )
    return TokenNgramBaseline(model=model, tokenizer=tokenizer)


def _hold_out(texts: list[str]) -> tuple[list[str], list[str]]:
    """Nine tenths and the last tenth: of the documents, or of the text where there are few."""
    if len(texts) >= 10:
        cut = len(texts) * 9 // 10
        return texts[:cut], texts[cut:]
    cuts = [len(text) * 9 // 10 for text in texts]
    valid = [text[cut:] for text, cut in zip(texts, cuts, strict=True)]
    if not any(text.strip() for text in valid):
        raise InputError("there is no text to train a baseline on", remedy="leave it out with --no-baseline")
    return [text[:cut] for text, cut in zip(texts, cuts, strict=True)], valid


def _said_if_cut(texts: Iterable[str], max_bytes: int) -> Iterable[str]:
    total = 0
    for text in texts:
        total += len(text.encode("utf-8", "surrogatepass"))
        yield text
    if total > max_bytes:
        say(f"The baseline is trained on {format_size(max_bytes)} of {format_size(total)} of text.")
