"""One prompt being continued, in one or more rows.

The prompt is taken in once; each step then feeds one token a row to the model's session (whose cache
makes that cheap), shapes the scores, draws a token, and gives out what text may be shown. Rows are
samples of one prompt; a row that has ended leaves the session. With a draft, rows go one after another,
several tokens a step.

Shapes: B rows, T tokens, V ids that both the model and the tokenizer have.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from yanmo.errors import InputError
from yanmo.generation.answer import Answer, FinishReason, Piece, TokenLogprob
from yanmo.generation.prompt import Opening
from yanmo.generation.sampling import SamplingParams
from yanmo.generation.speculation import Drafter, Proposal, reversible
from yanmo.models.base import Reversible, Session

if TYPE_CHECKING:
    from yanmo.generation.engine import Engine


def never() -> bool:
    """Never cancelled."""
    return False


@dataclass(frozen=True, kw_only=True)
class Generation:
    """A whole answer.

    Attributes:
        text: what may be shown; without the stop string.
        token_ids: every token drawn except an end token; those of a stop string are among them.
        finish_reason: as ``Piece``.
        num_prompt_tokens: tokens of the prompt, or of the source text.
        tokens_per_s: steps after the first token per second, all rows together; 0 where there was none.
        prefill_tokens_per_s: prompt tokens taken in per second.
        logprobs: one for each token, where asked for.
        num_proposed: tokens that a draft proposed, to all answers of the prompt.
        num_kept: those of them that came.
        score: of an answer that beams found, as ``Found.score``; else None.
    """

    text: str
    token_ids: tuple[int, ...]
    finish_reason: FinishReason
    num_prompt_tokens: int
    tokens_per_s: float
    prefill_tokens_per_s: float
    logprobs: tuple[TokenLogprob, ...] = ()
    num_proposed: int = 0
    num_kept: int = 0
    score: float | None = None


class Run:
    """One prompt being continued in one or more rows."""

    def __init__(
        self,
        engine: Engine,
        prompt_ids: Sequence[int],
        params: SamplingParams,
        *,
        use_cache: bool = True,
        num_rows: int = 1,
        cancelled: Callable[[], bool] = never,
    ) -> None:
        """Stand before the first step; arguments and errors as ``Engine.stream``.

        Args:
            engine: has the model.
            prompt_ids: what is given.
            params: what is asked for.
            use_cache: False takes in the whole text anew for each token, and asks no draft.
            num_rows: answers.
            cancelled: ends all of them.
        """
        self._opening: Opening = engine.prompter.open(prompt_ids)
        limit = engine.model.max_seq_len
        if limit is None and params.max_tokens is None:
            raise InputError("the model's context has no end", remedy="give max_tokens")
        self._engine, self._limit = engine, limit
        self._use_cache, self._cancelled = use_cache, cancelled
        constraint = engine.constraint(params.form)
        self._rows = [
            engine.answer(
                params,
                first_ids=self._opening.first_ids,
                index=index,
                constraint=None if constraint is None else constraint.copy(),
            )
            for index in range(num_rows)
        ]
        self._drafter = engine.drafter(self._opening.prompt_ids) if use_cache else None
        self._prefill_s = self._decode_s = 0.0
        self._num_decoded = self._num_proposed = self._num_kept = 0

    def steps(self) -> Iterator[tuple[int, Piece]]:
        """Pieces of all rows as they come, each with the number of its row."""
        if self._drafter is not None:
            yield from self._drafted_steps(self._drafter)
            return
        session, scores_BV = self._prefill(len(self._rows))
        rows = self._rows
        num_taken_in = len(self._opening.first_ids)
        while rows:
            is_last = num_taken_in == self._limit
            for index, row in enumerate(rows):
                started_s = time.perf_counter()
                with torch.inference_mode():
                    piece = row.step(scores_BV[index : index + 1], is_last=is_last)
                # Timed apart from what the reader of the pieces does with them.
                self._decode_s += time.perf_counter() - started_s
                yield row.index, piece
            going = [index for index, row in enumerate(rows) if row.finish_reason is None]
            if going and self._cancelled():
                yield from [(rows[index].index, rows[index].cancel()) for index in going]
                return
            num_before, rows = len(rows), [rows[index] for index in going]
            if rows:
                chosen_B = torch.tensor(going) if len(going) < num_before else None
                session, scores_BV = self._advance(session, rows, chosen_B)
                num_taken_in += 1

    def collect(self, pieces: Sequence[Piece]) -> Generation:
        """One row's pieces as a whole, with the speeds of the run."""
        reason = pieces[-1].finish_reason
        assert reason is not None
        return Generation(
            text="".join(piece.text for piece in pieces),
            token_ids=tuple(token_id for piece in pieces for token_id in piece.token_ids),
            finish_reason=reason,
            num_prompt_tokens=len(self._opening.prompt_ids),
            tokens_per_s=self._num_decoded / max(self._decode_s, 1e-9),
            prefill_tokens_per_s=len(self._opening.prompt_ids) / max(self._prefill_s, 1e-9),
            logprobs=tuple(logprob for piece in pieces for logprob in piece.logprobs),
            num_proposed=self._num_proposed,
            num_kept=self._num_kept,
        )

    def _drafted_steps(self, drafter: Drafter) -> Iterator[tuple[int, Piece]]:
        """As ``steps``, one row after another; all of them begin with what one session took in."""
        session, scores_1V = self._prefill(1)
        past_prompt = reversible(session)
        for row in self._rows:
            if past_prompt.num_tokens > len(self._opening.first_ids):
                past_prompt.rollback(len(self._opening.first_ids))
            for piece in self._drafted_row(row, past_prompt, scores_1V, drafter):
                yield row.index, piece

    def _drafted_row(
        self, row: Answer, session: Reversible, scores_1V: Tensor, drafter: Drafter
    ) -> Iterator[Piece]:
        assert self._engine.speculation is not None
        most = longest = self._engine.speculation.num_tokens
        scores_1TV, proposals = scores_1V[:, None], list[Proposal]()
        num_taken_in = session.num_tokens
        while True:
            num_kept = 0
            for proposal in (*proposals, None):
                started_s = time.perf_counter()
                with torch.inference_mode():
                    is_last = num_taken_in == self._limit
                    piece = row.step(scores_1TV[:, num_kept], is_last=is_last, proposal=proposal)
                self._decode_s += time.perf_counter() - started_s
                is_kept = proposal is not None and piece.token_ids == (proposal.token_id,)
                self._num_kept += is_kept
                self._num_decoded += len(piece.token_ids) if row.shaper.num_answered > 1 else 0
                yield piece
                if row.finish_reason is not None:
                    return
                if self._cancelled():
                    yield row.cancel()
                    return
                if not is_kept:
                    break
                num_kept, num_taken_in = num_kept + 1, num_taken_in + 1
            session.rollback(num_taken_in)
            if proposals:
                most = min(most + 2, longest) if num_kept == len(proposals) else max(most - 1, 1)
            proposals, scores_1TV = self._judge(row, session, drafter, most)
            num_taken_in += 1

    @torch.inference_mode()
    def _judge(
        self, row: Answer, session: Reversible, drafter: Drafter, most: int
    ) -> tuple[list[Proposal], Tensor]:
        """What is proposed behind the last token, and the model's scores before each and behind all."""
        started_s = time.perf_counter()
        if row.num_left is not None:
            most = min(most, row.num_left - 1)
        if self._limit is not None:
            most = min(most, self._limit - session.num_tokens - 1)
        proposals = drafter.propose(row.shaper, row.generator, most) if most > 0 else []
        tokens = [row.token_ids[-1], *(proposal.token_id for proposal in proposals)]
        scores_1TV = session.extend_each(torch.tensor([tokens]))
        self._decode_s += time.perf_counter() - started_s
        self._num_proposed += len(proposals)
        return proposals, self._known(scores_1TV)

    @torch.inference_mode()
    def _prefill(self, num_rows: int) -> tuple[Session, Tensor]:
        started_s = time.perf_counter()
        session = self._opening.start(1)
        scores_BV = session.extend(torch.tensor([self._opening.first_ids]))
        if num_rows > 1:
            session.select(torch.zeros(num_rows, dtype=torch.int64))
            scores_BV = scores_BV.expand(num_rows, -1)
        self._prefill_s = time.perf_counter() - started_s
        return session, self._known(scores_BV)

    @torch.inference_mode()
    def _advance(
        self, session: Session, rows: Sequence[Answer], chosen_B: Tensor | None
    ) -> tuple[Session, Tensor]:
        started_s = time.perf_counter()
        if self._use_cache:
            if chosen_B is not None:
                session.select(chosen_B)
            scores_BV = session.extend(torch.tensor([[row.token_ids[-1]] for row in rows]))
        else:
            session = self._opening.start(len(rows))
            whole = [self._opening.first_ids + row.token_ids for row in rows]
            scores_BV = session.extend(torch.tensor(whole))
        self._decode_s += time.perf_counter() - started_s
        self._num_decoded += len(rows)
        return session, self._known(scores_BV)

    def _known(self, scores: Tensor) -> Tensor:
        """The scores (..., V) of ids that both the model and the tokenizer have."""
        return scores[..., : self._engine.vocab_size].float()
