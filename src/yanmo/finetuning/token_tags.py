"""A tag for each word: names of people and places, parts of speech.

A word's tag is read off its first token (Devlin et al. 2019, arXiv 1810.04805, section 5.3). Names are tagged
with BIO, and only sequences that BIO allows are answered: the best of them by Viterbi's algorithm. What is
too long for the model goes through it in windows that overlap; a word is judged where it stands farthest from
an edge. A text without words of its own is cut into words, and Chinese into characters.

Shapes: N tokens of a piece, W words of an example, C tags.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from yanmo import metrics
from yanmo.errors import InputError
from yanmo.finetuning.batches import Encoded, PackedBatch
from yanmo.finetuning.calibration import UNCALIBRATED, Calibration
from yanmo.finetuning.encoding import InputEncoder
from yanmo.finetuning.r_drop import Divergence, of_tags
from yanmo.finetuning.skill import HeadSkill, Prediction
from yanmo.metrics import Entity, Scores
from yanmo.metrics.segments import ALONE
from yanmo.models.heads import HeadKind
from yanmo.tasks.examples import SpanExample, TokenExample
from yanmo.tokenizers.encoding import Encoding
from yanmo.training.objective import LossSum

Tagged = TokenExample | SpanExample
_WORDS = re.compile(rf"[{ALONE}]|[^\W_{ALONE}]+|[^\w\s]|_")
_NO_TARGET = -100
_MOST_TAGS = 2_000


class Words(NamedTuple):
    """A text, where its words stand in it, and their tags where they are known."""

    text: str
    spans: list[tuple[int, int]]
    tags: list[str] | None


@dataclass(frozen=True, kw_only=True, eq=False)
class TokenTags(HeadSkill[Tagged]):
    """Tags of words; a ``Skill``. A prediction has ``tags``, one a word; of names ``entities``: text,
    label, start and end in characters, score (the mean probability of its tags); of other tags the ``words``.

    Attributes:
        labels: the tags, ``O`` first where they are of names.
        calibration: of the probabilities; it changes no tag.
    """

    labels: tuple[str, ...]
    calibration: Calibration = UNCALIBRATED
    head = HeadKind.TOKEN_CLASSIFICATION

    @property
    def settings(self) -> dict[str, Any]:
        """The calibration."""
        return self.calibration.settings

    @property
    def divergence(self) -> Divergence:
        """Between two answers."""
        return of_tags

    @property
    def has_names(self) -> bool:
        """Whether the tags are BIO, of names."""
        return are_bio(self.labels)

    @property
    def metrics_name(self) -> str:
        """Of names, or of tags."""
        return "token-classification" if self.has_names else "token-classification/tags"

    def pieces(
        self, examples: Sequence[Tagged], encoder: InputEncoder, *, labelled: bool
    ) -> list[Encoded[NDArray[np.int64]]]:
        """Windows of each example; ``places`` is the word that begins at a token."""
        texts = [words_of(example) for example in examples]
        found = []
        for number, (words, windows) in enumerate(
            zip(texts, encoder.encode_windows([(words.text,) for words in texts]), strict=True)
        ):
            tags = self._numbers(words, examples[number]) if labelled else None
            for window in windows:
                places = _first_tokens(window, words.spans)
                target = np.full(len(places), _NO_TARGET, np.int64)
                if tags is not None:
                    target[places >= 0] = tags[places[places >= 0]]
                found.append(encoder.piece(window, target, example=number, is_pair=False, places=places))
        return found

    def collate(self, targets: Sequence[Any]) -> Tensor:
        """Numbers of tags, (N,), -100 where none is learned."""
        return torch.from_numpy(np.concatenate(list(targets)))

    def loss(self, outputs: Tensor, batch: PackedBatch) -> LossSum:
        """Cross-entropy of the tags of words."""
        loss = functional.cross_entropy(outputs[0], batch.targets, reduction="sum", ignore_index=_NO_TARGET)
        return LossSum(loss, max(1, int((batch.targets != _NO_TARGET).sum())))

    def decode(
        self, examples: Sequence[Tagged], pieces: Sequence[Encoded[Any]], outputs: Sequence[Tensor]
    ) -> list[Prediction]:
        """The best tags that may stand beside each other."""
        texts = [words_of(example) for example in examples]
        shares = [np.full((len(words.spans), len(self.labels)), np.nan) for words in texts]
        depths = [np.full(len(words.spans), -1) for words in texts]
        for piece, output in zip(pieces, outputs, strict=True):
            assert piece.places is not None
            at = np.flatnonzero(piece.places >= 0)
            depth = np.minimum(at, len(piece.places) - 1 - at)
            deeper = depth > depths[piece.example][piece.places[at]]
            at, words = at[deeper], piece.places[at][deeper]
            depths[piece.example][words] = depth[deeper]
            calibrated = (output / self.calibration.temperature).softmax(-1)
            shares[piece.example][words] = calibrated.numpy()[at]
        return [self._prediction(words, of_words) for words, of_words in zip(texts, shares, strict=True)]

    def score(self, examples: Sequence[Tagged], predictions: Sequence[Prediction]) -> Scores:
        """Of names (by their places), or of tags."""
        texts = [words_of(example) for example in examples]
        if not self.has_names:
            return metrics.tagging(
                [words.tags or [] for words in texts], [row["tags"] for row in predictions]
            )
        gold = [
            {Entity(span.label, span.start, span.end) for span in example.spans or ()}
            if isinstance(example, SpanExample)
            else {entity for entity, *_ in _entities(words, words.tags or [])}
            for example, words in zip(examples, texts, strict=True)
        ]
        said = [
            {Entity(row["label"], row["start"], row["end"]) for row in prediction["entities"]}
            for prediction in predictions
        ]
        return metrics.entity_scores(gold, said)

    def _numbers(self, words: Words, example: Tagged) -> NDArray[np.int64]:
        for tag in words.tags or ():
            if tag not in self._number:
                raise InputError(
                    f"the tag {tag!r} was not there to learn from",
                    where=str(example.origin),
                    remedy=f"known: {', '.join(self.labels[:8])}",
                )
        return np.array([self._number[tag] for tag in words.tags or ()], np.int64)

    @cached_property
    def _number(self) -> dict[str, int]:
        return {name: number for number, name in enumerate(self.labels)}

    @cached_property
    def _allowed(self) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Which tags may begin a text, (C,), and which may follow which, (C, C)."""
        kinds = [(tag[:1], tag[2:]) for tag in self.labels]
        inside = np.array([self.has_names and letter == "I" for letter, _ in kinds])
        same = np.array([[letter in "BI" and kind == other for _, other in kinds] for letter, kind in kinds])
        return ~inside, same | ~inside[None]

    def _prediction(self, words: Words, shares_WC: NDArray[np.float64]) -> Prediction:
        shares_WC = np.where(np.isnan(shares_WC), np.arange(len(self.labels)) == 0, shares_WC)
        path = best_path(np.log(np.maximum(shares_WC, 1e-12)), *self._allowed)
        tags = [self.labels[number] for number in path]
        if not self.has_names:
            return {"tags": tags, "words": [words.text[start:end] for start, end in words.spans]}
        sure = shares_WC[np.arange(len(path)), path]
        return {
            "tags": tags,
            "entities": [
                {
                    "text": words.text[entity.start : entity.end],
                    "label": entity.type,
                    "start": entity.start,
                    "end": entity.end,
                    "score": float(sure[first:last].mean()),
                }
                for entity, first, last in _entities(words, tags)
            ],
        }


def fit_tags(examples: Sequence[Tagged]) -> TokenTags:
    """The tags that examples have.

    Raises:
        InputError: there is none but O, or there are too many.
    """
    counts = Counter(tag for example in examples for tag in words_of(example).tags or ())
    if set(counts) <= {"O"}:
        raise InputError(
            "no word has a tag: there is nothing to learn", remedy="name their column: --columns tags=NAME"
        )
    if len(counts) > _MOST_TAGS:
        raise InputError(
            f"{len(counts):,} tags are more than {_MOST_TAGS:,}", remedy="is this the column of the tags?"
        )
    if not are_bio(counts):
        return TokenTags(labels=tuple(sorted(counts)))
    kinds = sorted({tag[2:] for tag in counts if tag != "O"})
    return TokenTags(labels=("O", *(f"{letter}-{kind}" for kind in kinds for letter in "BI")))


def are_bio(tags: Sequence[str] | Counter[str]) -> bool:
    """Whether tags are of names."""
    return all(tag == "O" or tag[:2] in ("B-", "I-") for tag in tags)


def words_of(example: Tagged) -> Words:
    """The words of an example; those that were given joined by spaces, Chinese ones by nothing."""
    if isinstance(example, SpanExample):
        spans = [match.span() for match in _WORDS.finditer(example.text)]
        tags = None if example.spans is None else _tags_of_spans(spans, example)
        return Words(example.text, spans, tags)
    text, found = "", []
    for token in example.tokens:
        if text and not (_is_alone(text[-1]) and _is_alone(token[0])):
            text += " "
        found.append((len(text), len(text) + len(token)))
        text += token
    return Words(text, found, None if example.tags is None else list(example.tags))


def _is_alone(character: str) -> bool:
    return bool(re.match(f"[{ALONE}]", character))


def _tags_of_spans(words: Sequence[tuple[int, int]], example: SpanExample) -> list[str]:
    """BIO tags of words; a word that a name touches is of it."""
    tags = ["O"] * len(words)
    starts, ends = [start for start, _ in words], [end for _, end in words]
    for span in example.spans or ():
        first = int(np.searchsorted(ends, span.start, side="right"))
        behind = int(np.searchsorted(starts, span.end, side="left"))
        for place in range(first, behind):
            tags[place] = f"{'B' if place == first else 'I'}-{span.label}"
    return tags


def _first_tokens(window: Encoding, words: Sequence[tuple[int, int]]) -> NDArray[np.int64]:
    """Of each token the word that it is the first one of, else -1, (N,)."""
    offsets = np.array(window.offsets, np.int64).reshape(-1, 2)
    inner = np.array([which is not None for which in window.text_ids], np.bool_)
    places = np.full(len(offsets), -1, np.int64)
    if not words or not inner.any():
        return places
    # The word in which a token ends: one that begins with the space before a word is of that word.
    ends = np.array([end for _, end in words])
    starts = np.array([start for start, _ in words])
    word = np.searchsorted(ends, np.maximum(offsets[:, 1], 1), side="left")
    inside = inner & (offsets[:, 1] > offsets[:, 0]) & (word < len(words))
    inside[inside] &= starts[word[inside]] < offsets[inside, 1]
    at = np.flatnonzero(inside)
    first = np.concatenate([[True], word[at][1:] != word[at][:-1]]) if len(at) else np.zeros(0, np.bool_)
    # A window that begins within a word has not its first token.
    if len(at) and offsets[at[0], 0] > starts[word[at[0]]]:
        first[0] = False
    places[at[first]] = word[at[first]]
    return places


def _entities(words: Words, tags: Sequence[str]) -> list[tuple[Entity, int, int]]:
    """The names in characters of the text, with their first word and the one behind their last."""
    return [
        (
            Entity(found.type, words.spans[found.start][0], words.spans[found.end - 1][1]),
            found.start,
            found.end,
        )
        for found in metrics.read_entities(tags)
    ]


def best_path(
    logs_WC: NDArray[np.float64], first_C: NDArray[np.bool_], after_CC: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """The most likely sequence of tags that is allowed (Viterbi 1967), (W,).

    Args:
        logs_WC: log-probabilities of the tags of each word.
        first_C: which tags may begin.
        after_CC: whether the second may follow the first.
    """
    greedy = logs_WC.argmax(-1)
    if not len(greedy) or (first_C[greedy[0]] and after_CC[greedy[:-1], greedy[1:]].all()):
        return greedy
    barred = np.where(after_CC, 0.0, -np.inf)
    best_C = np.where(first_C, logs_WC[0], -np.inf)
    came = np.zeros(logs_WC.shape, np.int64)
    for word in range(1, len(logs_WC)):
        reached_CC = best_C[:, None] + barred
        came[word] = reached_CC.argmax(0)
        best_C = reached_CC.max(0) + logs_WC[word]
    path = [int(best_C.argmax())]
    for word in range(len(logs_WC) - 1, 0, -1):
        path.append(int(came[word, path[-1]]))
    return np.array(path[::-1], np.int64)
