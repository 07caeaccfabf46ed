"""Texts to be written, packed: of a decoder in one row, of an encoder-decoder with their sources.

Texts do not see each other, nothing is padded, and only what is learned is predicted. Inside a batch
texts stand by length, sources first, so that attention goes over few runs; where sums by text matter,
``rows_M`` says whose a prediction is. A batch is a pure function of (seed, step, rows).

Shapes: S tokens of all sources, T of all texts, M predictions, B texts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from yanmo.data.splitting import Splitter
from yanmo.finetuning.order import LengthOrder
from yanmo.nn.packing import Segments

# Sources decide the order, targets among equal sources.
_LONGEST = 1_000_000


@dataclass(frozen=True, kw_only=True)
class AnswerText:
    """One text to be written.

    Attributes:
        ids: what stands before it (a prompt, or what answers begin after), then the text with its end.
        learned: whether each token is to be said; never the first.
        source: of an encoder-decoder.
        example: number of the example that it is of.
        num_bytes: UTF-8 bytes of what is learned.
        reference_nats: of what is learned, its loss under the reference model; 0 where there is none.
    """

    ids: NDArray[np.int64]
    learned: NDArray[np.bool_]
    source: NDArray[np.int64] | None = None
    example: int = 0
    num_bytes: int = 0
    reference_nats: float = 0.0

    @property
    def num_tokens(self) -> int:
        """Tokens that go through the model."""
        return len(self.ids) - 1 + (0 if self.source is None else len(self.source))

    @property
    def num_learned(self) -> int:
        """Predictions."""
        return int(self.learned.sum())


@dataclass(frozen=True, kw_only=True)
class AnswerBatch:
    """Packed texts, int64.

    Attributes:
        inputs_1T: what the decoder sees: each text without its last token.
        segments: their lengths.
        places_M: where in ``inputs_1T`` something is predicted.
        targets_M: what.
        rows_M: the text, as the batch was asked for, that it is of.
        sources_1S: texts that the encoder reads, or None.
        source_segments: their lengths.
        reference_nats_B: of each text as the batch was asked for, float64.
    """

    inputs_1T: Tensor
    segments: Segments
    places_M: Tensor
    targets_M: Tensor
    rows_M: Tensor
    sources_1S: Tensor | None
    source_segments: Segments | None
    reference_nats_B: Tensor


class AnswerBatches:
    """Examples of one text or several in packed batches; ``Batches[AnswerBatch]``.

    Attributes:
        splitter: takes tokens of sources and texts apart, against learning by heart; None does not.
    """

    def __init__(self, examples: Sequence[tuple[AnswerText, ...]], *, batch_size: int, seed: int) -> None:
        """Prepare batches of ``batch_size`` examples.

        Args:
            examples: texts that are learned from together: one, or the better and the worse of two.
            batch_size: examples of a step.
            seed: of the order, and of what is taken apart.

        Raises:
            InputError: there is no example.
        """
        keys = [_key(texts) for texts in examples]
        self._order = LengthOrder(keys, batch_size=batch_size, seed=seed)
        self._examples, self._seed = examples, seed
        self.splitter: Splitter | None = None
        self.batch_size = self._order.batch_size

    def epochs(self, step: int) -> float:
        """Passes over the examples before ``step``."""
        return self._order.epochs(step)

    def rows(self, step: int, rows: range) -> AnswerBatch:
        """Some examples of optimizer step ``step`` (0-based)."""
        chosen = [self._examples[number] for number in self._order.rows(step, rows)]
        if self.splitter is not None:
            chosen = [
                tuple(self._split(text, step, row) for text in texts)
                for row, texts in zip(rows, chosen, strict=True)
            ]
        return pack_answers([text for texts in chosen for text in texts])

    def _split(self, text: AnswerText, step: int, row: int) -> AnswerText:
        """The text with some tokens taken apart; before its answer none is."""
        assert self.splitter is not None
        rng = np.random.default_rng([self._seed, step, row])
        first = int(text.learned.argmax())
        answer = self.splitter.split(text.ids[first:], step, rng)
        source = None if text.source is None else self.splitter.split(text.source, step, rng)
        return replace(
            text,
            ids=np.concatenate([text.ids[:first], answer]),
            learned=np.arange(first + len(answer)) >= first,
            source=source,
        )


def _key(texts: Sequence[AnswerText]) -> int:
    length = max(len(text.ids) for text in texts)
    sources = [len(text.source) for text in texts if text.source is not None]
    return max(sources, default=0) * _LONGEST + length


def pack_answers(texts: Sequence[AnswerText]) -> AnswerBatch:
    """Texts in one batch; all of them have a source, or none has."""
    order = sorted(range(len(texts)), key=lambda row: _key((texts[row],)))
    ordered = [texts[row] for row in order]
    segments = Segments([len(text.ids) - 1 for text in ordered])
    learned = np.concatenate([text.learned[1:] for text in ordered])
    rows = np.concatenate([np.full(text.num_learned, row) for row, text in zip(order, ordered, strict=True)])
    sources = [text.source for text in ordered if text.source is not None]
    assert len(sources) in (0, len(texts))
    return AnswerBatch(
        inputs_1T=torch.from_numpy(np.concatenate([text.ids[:-1] for text in ordered])[None]),
        segments=segments,
        places_M=torch.from_numpy(np.flatnonzero(learned)),
        targets_M=torch.from_numpy(np.concatenate([text.ids[1:] for text in ordered])[learned]),
        rows_M=torch.from_numpy(rows.astype(np.int64)),
        sources_1S=torch.from_numpy(np.concatenate(sources)[None]) if sources else None,
        source_segments=Segments([len(source) for source in sources]) if sources else None,
        reference_nats_B=torch.tensor([text.reference_nats for text in texts], dtype=torch.float64),
    )
