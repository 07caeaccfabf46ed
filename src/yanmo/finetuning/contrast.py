"""What vectors of texts are learned by: texts that belong together draw near, all others of the step part.

- ``in_batch_negatives``: the second text of each row must be found among those of all rows (Henderson et
  al. 2017, arXiv 1705.00652, section 4.4; van den Oord et al. 2018, arXiv 1807.03748, equation 4), by
  cosines over a temperature. Candidates that are known to be right or that are the first text itself do not
  count.
- ``order_of_scores``: of any two rows the one with the higher score has the higher cosine (Su 2022,
  "CoSENT"). It asks for the order alone, which is what is measured; a squared error would ask cosines to be
  numbers that people gave on a scale of their own.

All rows of a step are compared, also where memory allows fewer at once. A micro-batch then takes the
vectors of the other rows as they are and its own with their gradient: the loss of the step has, by the
chain rule, the sum of these as its gradient (Gao et al. 2021, arXiv 2101.06983, section 3.2, which keeps
gradients of vectors where this keeps vectors). Dropout is drawn alike in both passes.

Shapes: B rows of a step, b of a micro-batch, K negatives, C = B + K candidates, N tokens, E numbers in a
vector.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from yanmo.finetuning.order import LengthOrder
from yanmo.models.base import Trainable
from yanmo.models.transformer import Transformer
from yanmo.nn.packing import Segments, pack_lists
from yanmo.training.objective import LossSum

# From the model and a packed row of texts to their vectors, (texts, E).
Embed = Callable[[Transformer, Tensor, Segments], Tensor]
_SCALE = 20.0


@dataclass(frozen=True, kw_only=True)
class TextRow:
    """One example: texts as token ids, and numbers that are equal where texts are.

    Attributes:
        first: ids of the text that is asked about.
        second: ids of the one that belongs to it.
        negative: ids of one that does not, or None.
        keys: of the first, the second, and the negative (-1 where there is none).
        score: how alike the two are, or None where they belong together.
    """

    first: Sequence[int]
    second: Sequence[int]
    negative: Sequence[int] | None = None
    keys: tuple[int, int, int]
    score: float | None = None


@dataclass(frozen=True, kw_only=True)
class Part:
    """Some rows of a step in one row of tokens, shortest text first.

    Attributes:
        rows: which of the step's.
        num_negatives: of these rows.
        tokens_1N: token ids.
        segments: which stretch is which text.
        order: place among the packed texts of each first, then each second, then each negative.
        seed: of the dropout where a step has several parts.
    """

    rows: range
    num_negatives: int
    tokens_1N: Tensor
    segments: Segments
    order: Tensor
    seed: int


@dataclass(frozen=True, kw_only=True)
class StepRows:
    """What is known of all rows of a step.

    Attributes:
        first_keys_B: equal where first texts are.
        candidate_keys_C: of the seconds, then the negatives.
        negative_rows_K: rows that have a negative, in order.
        scores_B: how alike the texts of each row are; None where they belong together.
    """

    first_keys_B: Tensor
    candidate_keys_C: Tensor
    negative_rows_K: Tensor
    scores_B: Tensor | None

    @property
    def not_negative_BC(self) -> Tensor:
        """Candidates that a row's first text does not part from: as right as its second, or itself."""
        firsts, candidates = self.first_keys_B, self.candidate_keys_C
        num_rows = len(firsts)
        barred = (candidates[:num_rows, None] == candidates) | (firsts[:, None] == candidates)
        barred[:, :num_rows] |= firsts[:, None] == firsts
        barred[torch.arange(num_rows), torch.arange(num_rows)] = False
        return barred


@dataclass(frozen=True, kw_only=True)
class TextBatch:
    """A micro-batch, and the step that it is of.

    Attributes:
        own: its rows.
        step: number of the step.
        parts: all rows of the step, those of ``own`` among them; none where ``own`` is the whole step.
        known: of all rows of the step.
    """

    own: Part
    step: int
    parts: tuple[Part, ...]
    known: StepRows


class TextBatches:
    """Rows in packed batches, in a fresh random order each epoch; ``Batches[TextBatch]``."""

    def __init__(self, rows: Sequence[TextRow], *, batch_size: int, seed: int) -> None:
        """Prepare batches of ``batch_size`` rows.

        Raises:
            InputError: there is no row.
        """
        # Not sorted by length: what a text is parted from shall be any other.
        self._order = LengthOrder([0] * len(rows), batch_size=batch_size, seed=seed)
        self._rows, self._seed, self.batch_size = rows, seed, self._order.batch_size

    def epochs(self, step: int) -> float:
        """Passes over the examples before ``step``."""
        return self._order.epochs(step)

    def rows(self, step: int, rows: range) -> TextBatch:
        """Some rows of optimizer step ``step`` (0-based)."""
        whole = [self._rows[row] for row in self._order.rows(step, range(self.batch_size))]
        own = self._part(whole, rows, step)
        parts: tuple[Part, ...] = ()
        if len(rows) < len(whole):
            size = len(rows)
            before = [range(start, min(start + size, rows.start)) for start in range(0, rows.start, size)]
            behind = [
                range(start, min(start + size, len(whole))) for start in range(rows.stop, len(whole), size)
            ]
            parts = (
                *(self._part(whole, some, step) for some in before),
                own,
                *(self._part(whole, some, step) for some in behind),
            )
        return TextBatch(own=own, step=step, parts=parts, known=known_of(whole))

    def _part(self, whole: Sequence[TextRow], rows: range, step: int) -> Part:
        seeds = np.random.SeedSequence([self._seed, step, rows.start])
        return pack_rows([whole[row] for row in rows], rows, seed=int(seeds.generate_state(1)[0]))


def pack_rows(some: Sequence[TextRow], rows: range, *, seed: int = 0) -> Part:
    """Rows in one row of tokens; ``rows`` says which of their step they are."""
    negatives = [row.negative for row in some if row.negative is not None]
    texts = [*(row.first for row in some), *(row.second for row in some), *negatives]
    by_length = np.argsort([len(text) for text in texts], kind="stable")
    tokens_1N, segments = pack_lists([texts[place] for place in by_length])
    return Part(
        rows=rows,
        num_negatives=len(negatives),
        tokens_1N=tokens_1N,
        segments=segments,
        order=torch.from_numpy(np.argsort(by_length, kind="stable")),
        seed=seed,
    )


def known_of(whole: Sequence[TextRow]) -> StepRows:
    """What is known of the rows of a step."""
    has_negative = [place for place, row in enumerate(whole) if row.negative is not None]
    candidates = [*(row.keys[1] for row in whole), *(whole[place].keys[2] for place in has_negative)]
    scores = [row.score for row in whole if row.score is not None]
    return StepRows(
        first_keys_B=torch.tensor([row.keys[0] for row in whole]),
        candidate_keys_C=torch.tensor(candidates),
        negative_rows_K=torch.tensor(has_negative, dtype=torch.int64),
        scores_B=torch.tensor(scores) if scores else None,
    )


class StepLoss:
    """The loss of all rows of a step, with the gradient of those of a micro-batch; ``Objective[TextBatch]``.

    The weights must stay as they are between the micro-batches of one step.
    """

    def __init__(self, embed: Embed, *, temperature: float) -> None:
        """Compare by cosines over ``temperature``; rows with scores by their order."""
        self._embed, self._temperature = embed, temperature
        self._kept: tuple[int, Tensor, Tensor, Tensor] | None = None

    def __call__(self, model: Trainable, batch: TextBatch) -> LossSum:
        """Loss SUM over the rows of a micro-batch, in nats: its share of the step's."""
        assert isinstance(model, Transformer)
        if not batch.parts:
            return LossSum(self.of_vectors(*self._split(model, batch.own), batch.known), len(batch.own.rows))
        _, firsts_BE, seconds_BE, negatives_KE = self._others(model, batch)
        torch.manual_seed(batch.own.seed)
        own_first, own_second, own_negative = self._split(model, batch.own)
        start, stop = batch.own.rows.start, batch.own.rows.stop
        place = int((batch.known.negative_rows_K < start).sum())
        loss = self.of_vectors(
            torch.cat([firsts_BE[:start], own_first, firsts_BE[stop:]]),
            torch.cat([seconds_BE[:start], own_second, seconds_BE[stop:]]),
            torch.cat([negatives_KE[:place], own_negative, negatives_KE[place + len(own_negative) :]]),
            batch.known,
        )
        share = len(batch.own.rows) / len(firsts_BE)
        # The value of its rows, the gradient of all that they have a part in.
        return LossSum(loss + (share - 1) * loss.detach(), len(batch.own.rows))

    def of_vectors(
        self, firsts_BE: Tensor, seconds_BE: Tensor, negatives_KE: Tensor, known: StepRows
    ) -> Tensor:
        """Loss SUM of all rows of a step from their vectors, in nats."""
        if known.scores_B is not None:
            return order_of_scores(firsts_BE, seconds_BE, known.scores_B)
        candidates_CE = torch.cat([seconds_BE, negatives_KE])
        return in_batch_negatives(
            firsts_BE, candidates_CE, known.not_negative_BC, temperature=self._temperature
        )

    def _split(self, model: Transformer, part: Part) -> tuple[Tensor, Tensor, Tensor]:
        """Vectors of the firsts, the seconds and the negatives of a part."""
        vectors = self._embed(model, part.tokens_1N, part.segments)[part.order]
        num_rows = len(part.rows)
        first, second, negative = vectors.split([num_rows, num_rows, part.num_negatives])
        return first, second, negative

    def _others(self, model: Transformer, batch: TextBatch) -> tuple[int, Tensor, Tensor, Tensor]:
        """Vectors of all rows of the step, without gradients; computed once a step."""
        kept = self._kept
        if kept is None or kept[0] != batch.step or batch.own.rows.start == 0:
            found = []
            with torch.no_grad(), torch.random.fork_rng():
                for part in batch.parts:
                    torch.manual_seed(part.seed)
                    found.append(self._split(model, part))
            firsts, seconds, negatives = (torch.cat(list(each)) for each in zip(*found, strict=True))
            self._kept = kept = (batch.step, firsts, seconds, negatives)
        return kept


def in_batch_negatives(
    firsts_BE: Tensor, candidates_CE: Tensor, not_negative_BC: Tensor, *, temperature: float
) -> Tensor:
    """Cross-entropy SUM of finding candidate number i for first number i, in nats.

    Args:
        firsts_BE: vectors that are asked about.
        candidates_CE: the right one of each first in the same order, then others.
        not_negative_BC: candidates that do not count for a first; its own must.
        temperature: that cosines are divided by.
    """
    cosines_BC = functional.normalize(firsts_BE, dim=-1) @ functional.normalize(candidates_CE, dim=-1).T
    logits_BC = (cosines_BC / temperature).masked_fill(not_negative_BC, -torch.inf)
    return functional.cross_entropy(logits_BC, torch.arange(len(firsts_BE)), reduction="sum")


def order_of_scores(firsts_BE: Tensor, seconds_BE: Tensor, scores_B: Tensor) -> Tensor:
    """B log(1 + Σ exp(20 (cos_j - cos_i))) over all rows i and j of which i has the higher score, in nats."""
    cosines_B = functional.cosine_similarity(firsts_BE, seconds_BE)
    gaps_BB = _SCALE * (cosines_B[None] - cosines_B[:, None])
    wrong = gaps_BB[scores_B[:, None] > scores_B[None]]
    return len(scores_B) * torch.cat([wrong.new_zeros(1), wrong]).logsumexp(0)
