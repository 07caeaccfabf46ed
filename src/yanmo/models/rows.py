"""A decoder that continues texts of unequal length together, one step for all of them.

The new tokens of all texts are one packed row: every product is computed once for all, and only attention
goes text by text. So there is no padding, and a text's answer is what it would be alone, but for the
rounding of larger products. Texts join and leave between steps.

Shapes: B texts, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from yanmo.models.transformer import QUICK_ROWS, QuickStep, Transformer, TransformerConfig
from yanmo.nn.packing import Segments
from yanmo.nn.position import PositionKind
from yanmo.nn.rope_scaling import RopeScalingKind
from yanmo.nn.row_cache import RowCache, RowsLayer, row_places

_CHANGING = (RopeScalingKind.DYNAMIC, RopeScalingKind.LONGROPE)


def why_alone(config: TransformerConfig) -> str | None:
    """Why texts cannot be continued together with this model; None where they can."""
    if config.encoder is not None or config.decoder is None:
        return "it has an encoder"
    position = config.decoder.position
    if position.kind is PositionKind.ROTARY:
        ropes = (position.rope, position.local_rope or position.rope)
        if any(rope.scaling.kind in _CHANGING for rope in ropes):
            return "its positions turn otherwise in longer texts"
    return None


class TransformerRows:
    """Takes in tokens of texts whose keys and values the caller keeps, a ``RowCache`` each."""

    def __init__(self, model: Transformer) -> None:
        """``model`` must be one of which ``why_alone`` says nothing."""
        reason = why_alone(model.config)
        assert reason is None, reason
        self._model, self._head = model, model.language_head
        self._stack = model.last_stack

    def start(self) -> RowCache:
        """An empty text, without room for a token."""
        attention = self._stack.config.block.attention
        dtype = self._model.embedding.weight.dtype
        return RowCache(len(self._stack.order), attention.num_kv_heads, attention.head_dim, dtype)

    @torch.inference_mode()
    def take_in(self, rows: Sequence[RowCache], pieces: Sequence[Sequence[int]]) -> Tensor:
        """Take in a piece of a prompt each.

        Args:
            rows: each with room for its piece.
            pieces: the next tokens of each, at least one.

        Returns:
            Scores of the tokens that come next, float32 (B, V).

        Raises:
            InputError: the model's ``max_seq_len`` would be passed.
        """
        lengths = [len(piece) for piece in pieces]
        token_ids = [token_id for piece in pieces for token_id in piece]
        ends_B = torch.tensor(lengths).cumsum(0) - 1
        if self._model.quick is not None and len(token_ids) <= QUICK_ROWS:
            return self._quickly(self._model.quick, rows, token_ids, lengths)[ends_B]
        return self._scores(self._hidden(rows, token_ids, lengths)[0, ends_B])

    @torch.inference_mode()
    def step(self, rows: Sequence[RowCache], token_ids: Sequence[int]) -> Tensor:
        """Take in one more token of each text.

        Args:
            rows: each with room for it.
            token_ids: one for each.

        Returns:
            Scores of the tokens that come next, float32 (B, V).

        Raises:
            InputError: the model's ``max_seq_len`` would be passed.
        """
        quick = self._model.quick
        if quick is None:
            return self._scores(self._hidden(rows, token_ids, [1] * len(rows))[0])
        scores_BV = torch.empty(len(rows), self._model.vocab_size)
        # In parts of equal size.
        num_parts = -(-len(rows) // QUICK_ROWS)
        ends = [len(rows) * part // num_parts for part in range(num_parts + 1)]
        for own in map(slice, ends, ends[1:]):
            part = scores_BV[own]
            self._quickly(quick, rows[own], token_ids[own], [1] * len(part), part)
        return scores_BV

    def _quickly(
        self,
        quick: QuickStep,
        rows: Sequence[RowCache],
        token_ids: Sequence[int],
        lengths: Sequence[int],
        logits_NV: Tensor | None = None,
    ) -> Tensor:
        """Scores behind each of some tokens, ``QUICK_ROWS`` at most; written to ``logits_NV`` if given."""
        ends = [row.num_tokens + length for row, length in zip(rows, lengths, strict=True)]
        self._model.require_fit(max(ends))
        vectors_ND = self._model.embedding(torch.tensor(token_ids))
        logits_NV = quick.step(vectors_ND, row_places(rows, lengths), logits_NV)[1]
        for row, end in zip(rows, ends, strict=True):
            row.num_tokens = end
        return logits_NV

    def _hidden(self, rows: Sequence[RowCache], token_ids: Sequence[int], lengths: Sequence[int]) -> Tensor:
        segments = Segments(lengths, before=[row.num_tokens for row in rows])
        caches = [RowsLayer(rows, layer) for layer in range(len(self._stack.order))]
        hidden_1ND = self._model.hidden(torch.tensor([token_ids]), segments=segments, caches=caches)
        for row, length in zip(rows, lengths, strict=True):
            row.num_tokens += length
        return hidden_1ND

    def _scores(self, hidden_BD: Tensor) -> Tensor:
        features_BD = self._head.features(hidden_BD)
        return self._head.project(features_BD, self._model.embedding.weight).float()
