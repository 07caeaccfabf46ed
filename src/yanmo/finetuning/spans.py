"""Answers that stand in a context: where one begins and where it ends.

The head scores each token as the first and as the last of the answer (Devlin et al. 2019, arXiv 1810.04805,
section 4.2); the first token of all stands for no answer (section 4.3). A long context goes through the model
in windows that overlap, and the best span of all windows is the answer.

Shapes: B pieces, N tokens of a piece, T tokens of the longest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from yanmo import metrics
from yanmo.errors import InputError
from yanmo.finetuning.batches import Encoded, PackedBatch
from yanmo.finetuning.encoding import InputEncoder
from yanmo.finetuning.r_drop import Divergence, of_spans
from yanmo.finetuning.skill import HeadSkill, Prediction
from yanmo.metrics import Scores
from yanmo.metrics.answers import Counted
from yanmo.metrics.segments import mostly_chinese
from yanmo.models.heads import HeadKind
from yanmo.tasks.examples import Answer, QuestionExample
from yanmo.tokenizers.encoding import Encoding
from yanmo.training.objective import LossSum

_LONGEST_ANSWER = 64


@dataclass(frozen=True, kw_only=True, eq=False)
class AnswerSpans(HeadSkill[QuestionExample]):
    """Answers to questions; a ``Skill``. A prediction has ``answer`` (empty where there is none), its
    ``start`` and ``end`` in the context, and ``score``: logits above those of no answer.

    Attributes:
        may_refuse: whether "no answer" is an answer.
    """

    may_refuse: bool = True
    labels: tuple[str, ...] = ()
    head = HeadKind.SPAN

    @property
    def divergence(self) -> Divergence:
        """Between two answers."""
        return of_spans

    @property
    def metrics_name(self) -> str:
        """Of answers."""
        return "question-answering"

    @property
    def settings(self) -> dict[str, Any]:
        """Whether it refuses."""
        return {"answers_may_be_missing": self.may_refuse}

    def pieces(
        self, examples: Sequence[QuestionExample], encoder: InputEncoder, *, labelled: bool
    ) -> list[Encoded[tuple[int, int]]]:
        """Windows of each context behind its question; ``places``: the characters of each token, (N, 2)."""
        found = []
        inputs = [(example.question, example.context) for example in examples]
        for number, windows in enumerate(encoder.encode_windows(inputs)):
            for window in windows:
                places = _characters(window)
                target = _target(examples[number], places) if labelled else (0, 0)
                found.append(encoder.piece(window, target, example=number, is_pair=True, places=places))
        return found

    def collate(self, targets: Sequence[Any]) -> Tensor:
        """First and last token, (B, 2)."""
        return torch.tensor(targets).reshape(-1, 2)

    def loss(self, outputs: Tensor, batch: PackedBatch) -> LossSum:
        """Cross-entropy over the tokens of a piece, mean of both ends."""
        scores_BT2 = batch.segments.pad(outputs, value=float("-inf"))
        loss = functional.cross_entropy(scores_BT2, batch.targets, reduction="sum")
        return LossSum(loss / 2, len(batch.targets))

    def decode(
        self, examples: Sequence[QuestionExample], pieces: Sequence[Encoded[Any]], outputs: Sequence[Tensor]
    ) -> list[Prediction]:
        """The best span of all windows."""
        best: list[tuple[float, int, int]] = [(float("-inf"), 0, 0)] * len(examples)
        nothing = [float("inf")] * len(examples)
        for piece, output in zip(pieces, outputs, strict=True):
            assert piece.places is not None
            begins, ends = output[:, 0].numpy(), output[:, 1].numpy()
            nothing[piece.example] = min(nothing[piece.example], float(begins[0] + ends[0]))
            best[piece.example] = max(best[piece.example], _best_span(begins, ends, piece.places))
        return [
            self._prediction(example, *span, none)
            for example, span, none in zip(examples, best, nothing, strict=True)
        ]

    def score(self, examples: Sequence[QuestionExample], predictions: Sequence[Prediction]) -> Scores:
        """Exact match and F1, of words or of Chinese characters."""
        gold = [[answer.text for answer in example.answers or ()] for example in examples]
        counted: Counted = (
            "characters" if mostly_chinese(example.context for example in examples) else "words"
        )
        return metrics.answer_scores(gold, [row["answer"] for row in predictions], counted=counted)

    def _prediction(
        self, example: QuestionExample, score: float, start: int, end: int, nothing: float
    ) -> Prediction:
        lead = score - nothing
        if end <= start or (self.may_refuse and lead < 0):
            return {"answer": "", "start": 0, "end": 0, "score": lead}
        return {"answer": example.context[start:end], "start": start, "end": end, "score": lead}


def fit_answers(examples: Sequence[QuestionExample]) -> AnswerSpans:
    """Whether some questions have no answer.

    Raises:
        InputError: none has one.
    """
    if not any(example.answers for example in examples):
        raise InputError(
            "no question has an answer: there is nothing to learn",
            remedy="add questions whose answers stand in their contexts",
        )
    return AnswerSpans(may_refuse=any(not example.answers for example in examples))


def _characters(window: Encoding) -> NDArray[np.int64]:
    """The characters of the context that each token stands for, -1 for others, (N, 2)."""
    places = np.array(window.offsets, np.int64).reshape(-1, 2)
    places[np.array([which != 1 for which in window.text_ids], np.bool_)] = -1
    return places


def _target(example: QuestionExample, places_N2: NDArray[np.int64]) -> tuple[int, int]:
    """First and last token of the first answer; the first of all where the window does not hold all of it."""
    if not example.answers:
        return 0, 0
    start, end = _trimmed(example.answers[0])
    inside = np.flatnonzero((places_N2[:, 1] > start) & (places_N2[:, 0] < end) & (places_N2[:, 0] >= 0))
    if not len(inside):
        return 0, 0
    first, last = int(inside[0]), int(inside[-1])
    whole = places_N2[first, 0] <= start and places_N2[last, 1] >= end
    return (first, last) if whole else (0, 0)


def _trimmed(answer: Answer) -> tuple[int, int]:
    """Where it stands, without space around it."""
    start = answer.start + len(answer.text) - len(answer.text.lstrip())
    return start, start + len(answer.text.strip())


def _best_span(
    begins_N: NDArray[np.float32], ends_N: NDArray[np.float32], places_N2: NDArray[np.int64]
) -> tuple[float, int, int]:
    """Score and characters of the best span of a window; minus infinity where it has no context."""
    inside = np.flatnonzero((places_N2[:, 0] >= 0) & (places_N2[:, 1] > places_N2[:, 0]))
    if not len(inside):
        return float("-inf"), 0, 0
    sums = begins_N[inside][:, None] + ends_N[inside][None]
    span = np.arange(len(inside))
    length = span[None] - span[:, None]
    sums = np.where((length >= 0) & (length < _LONGEST_ANSWER), sums, -np.inf)
    first, last = np.unravel_index(int(sums.argmax()), sums.shape)
    start, end = int(places_N2[inside[first], 0]), int(places_N2[inside[last], 1])
    return float(sums[first, last]), start, end
