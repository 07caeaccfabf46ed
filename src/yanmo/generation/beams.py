"""The best of several beams, and several best that differ.

At each step the likeliest continuations of all beams of a prompt are kept (Sutskever et al. 2014, arXiv
1409.3215, section 3.2). A sum of log-probabilities favours short answers, so answers compare by the sum over
``length ** length_penalty`` (Wu et al. 2016, arXiv 1609.08144, equation 14, without its constant). A prompt
is done when no running beam, at its present length, scores above the worst of as many ended answers; this,
and what counts as length (the end token with it), is as in transformers.

Diverse beams (Vijayakumar et al. 2016, arXiv 1610.02424, section 3.2, with Hamming diversity): beams stand in
groups that step one after another, and a token's score in a group is lowered by ``diversity`` for each beam
of an earlier group that took the token at the same step. Each group is searched and ended by the lowered
sums; the answers of all groups then compare by the model's own.

Shapes: B prompts, K beams of a group, C candidates, T tokens of an answer, V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass

import torch
from torch import Tensor

from yanmo.errors import InputError
from yanmo.models.base import Session

_IMPOSSIBLE = -1e9


@dataclass(frozen=True, kw_only=True)
class SearchParams:
    """How answers are looked for.

    Attributes:
        num_beams: kept beside each other; 1 takes the likeliest token each time.
        num_groups: of beams, each of as many; a group shuns the tokens that those before it just took.
        diversity: what a group's score of a token loses for each beam of an earlier group that takes it.
        length_penalty: above 0 favours longer answers; 0 compares sums of log-probabilities.
        num_best: answers to each prompt, at most as many as beams; fewer come where groups found the same.
        end_ids: each of these tokens ends an answer, and is not part of it.
        barred_ids: never taken.
        vocab_size: ids from here on are never taken.
    """

    num_beams: int = 1
    num_groups: int = 1
    diversity: float = 0.0
    length_penalty: float = 1.0
    num_best: int = 1
    end_ids: frozenset[int]
    barred_ids: Collection[int] = ()
    vocab_size: int

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        if self.num_beams < 1:
            raise InputError(f"num_beams must be at least 1, not {self.num_beams}")
        if not 1 <= self.num_best <= self.num_beams:
            raise InputError(f"{self.num_beams} beams do not give {self.num_best} answers")
        if self.num_groups < 1 or self.num_beams % self.num_groups:
            raise InputError(
                f"{self.num_beams} beams do not make {self.num_groups} groups", remedy="equal ones are wanted"
            )
        if not 0 <= self.diversity < math.inf:
            raise InputError(f"diversity must be 0 or more, not {self.diversity}")
        if self.diversity and self.num_groups == 1:
            raise InputError("diversity is between groups of beams, and there is one", remedy="ask for more")
        if not math.isfinite(self.length_penalty):
            raise InputError(f"length_penalty must be a number, not {self.length_penalty}")


@dataclass(frozen=True, kw_only=True)
class Found:
    """One answer.

    Attributes:
        token_ids: without the token that ended it.
        score: sum of log-probabilities in nats, the end's included, over length ** length_penalty; what
            ``diversity`` took from it does not count.
        has_ended: whether it ended by itself.
    """

    token_ids: tuple[int, ...]
    score: float
    has_ended: bool


def log_shares(scores_BV: Tensor, params: SearchParams) -> Tensor:
    """Log-probabilities under the model, and minus infinity for what is never taken."""
    logs_BV = scores_BV.float().log_softmax(-1)
    logs_BV[:, params.vocab_size :] = -math.inf
    if params.barred_ids:
        logs_BV[:, list(params.barred_ids)] = -math.inf
    return logs_BV


class _Done:
    """Ended answers of some prompts, the best first; tokens have -1 behind their end."""

    def __init__(self, num_prompts: int, num_beams: int, longest: int) -> None:
        """None yet."""
        self.scores_BK = torch.full((num_prompts, num_beams), _IMPOSSIBLE)
        # Scores under the model alone.
        self.own_BK = self.scores_BK.clone()
        self.tokens_BKT = torch.full((num_prompts, num_beams, longest), -1)

    def add(self, scores_BC: Tensor, own_BC: Tensor, tokens_BCT: Tensor) -> None:
        """Keep the best of those there are and of candidates; impossible ones are no answers."""
        num_beams = self.scores_BK.shape[1]
        self.scores_BK, best_BK = torch.cat((self.scores_BK, scores_BC), dim=1).topk(num_beams, dim=1)
        self.own_BK = torch.cat((self.own_BK, own_BC), dim=1).take_along_dim(best_BK, dim=1)
        tokens = torch.cat((self.tokens_BKT, tokens_BCT), dim=1)
        self.tokens_BKT = tokens.take_along_dim(best_BK[..., None], dim=1)

    def select(self, left: Tensor) -> None:
        """Keep some of the prompts."""
        self.scores_BK, self.own_BK = self.scores_BK[left], self.own_BK[left]
        self.tokens_BKT = self.tokens_BKT[left]


class _Group:
    """One group of beams of each prompt."""

    def __init__(self, num_prompts: int, num_beams: int, longest: int, params: SearchParams) -> None:
        """All beams are empty, so one of them counts."""
        self._params = params
        self._ends_E = torch.tensor(sorted(params.end_ids), dtype=torch.int64)
        self.done = _Done(num_prompts, num_beams, longest)
        self.is_done_B = torch.zeros(num_prompts, dtype=torch.bool)
        self.tokens_BKT = torch.full((num_prompts, num_beams, longest), -1)
        self._sums_BK = torch.zeros(num_prompts, num_beams)
        self._sums_BK[:, 1:] = _IMPOSSIBLE
        self._lost_BK = torch.zeros(num_prompts, num_beams)

    def step(self, logs_BKV: Tensor, shunned_BV: Tensor, is_over_B: Tensor, length: int) -> Tensor:
        """Take one more token a beam.

        Args:
            logs_BKV: log-probabilities of the next token.
            shunned_BV: what each token loses because earlier groups took it.
            is_over_B: whether the answer may not grow longer than this.
            length: of the answer, with the new token.

        Returns:
            from_BK: the beam that each beam goes on from.
        """
        num_beams, num_ids = logs_BKV.shape[1:]
        lowered_BKV = logs_BKV - shunned_BV[:, None] if self._params.diversity else logs_BKV
        totals = (lowered_BKV + self._sums_BK[..., None]).flatten(1)
        num_candidates = max(2, 1 + len(self._ends_E)) * num_beams
        # What is never taken stands behind all else, and is still a number.
        top_BC, index_BC = totals.clamp_min(2 * _IMPOSSIBLE).topk(min(num_candidates, totals.shape[1]), dim=1)
        beam_BC, token_BC = index_BC // num_ids, index_BC % num_ids
        lost_BC = self._lost_BK.gather(1, beam_BC) + shunned_BV.gather(1, token_BC)
        candidates_BCT = self.tokens_BKT.take_along_dim(beam_BC[..., None], dim=1)
        candidates_BCT[..., length - 1] = token_BC
        ends_BC = torch.isin(token_BC, self._ends_E) | is_over_B[:, None]
        counted_BC = ends_BC & (torch.arange(ends_BC.shape[1]) < num_beams) & (top_BC > _IMPOSSIBLE)
        counted_BC &= ~self.is_done_B[:, None]
        weight = length**self._params.length_penalty
        scores_BC = (top_BC / weight).masked_fill(~counted_BC, _IMPOSSIBLE)
        self.done.add(scores_BC, (top_BC + lost_BC) / weight, candidates_BCT)
        self._sums_BK, kept_BK = top_BC.masked_fill(ends_BC, 2 * _IMPOSSIBLE).topk(num_beams, dim=1)
        self._lost_BK = lost_BC.gather(1, kept_BK)
        self.tokens_BKT = candidates_BCT.take_along_dim(kept_BK[..., None], dim=1)
        is_full_B = self.done.scores_BK[:, -1] > _IMPOSSIBLE
        is_hopeless_B = self._sums_BK[:, 0] / weight <= self.done.scores_BK[:, -1]
        self.is_done_B = self.is_done_B | (is_full_B & is_hopeless_B) | is_over_B
        return beam_BC.gather(1, kept_BK)

    def select(self, left: Tensor) -> None:
        """Keep some of the prompts."""
        self.done.select(left)
        self.is_done_B, self.tokens_BKT = self.is_done_B[left], self.tokens_BKT[left]
        self._sums_BK, self._lost_BK = self._sums_BK[left], self._lost_BK[left]


def beam_search(
    session: Session, first_BP: Tensor, limits_B: Tensor, params: SearchParams
) -> list[list[Found]]:
    """The best answers to each prompt; a prompt that is done leaves the session.

    Args:
        session: one empty row a prompt.
        first_BP: the prompts, equally long.
        limits_B: the most tokens of each answer.
        params: how to look for them.
    """
    num_prompts, longest = len(first_BP), int(limits_B.max())
    num_in_group = params.num_beams // params.num_groups
    groups = [_Group(num_prompts, num_in_group, longest, params) for _ in range(params.num_groups)]
    found: list[list[Found]] = [[]] * num_prompts
    going_B = torch.arange(num_prompts)
    logs_BV = log_shares(session.extend(first_BP), params).repeat_interleave(params.num_beams, dim=0)
    for length in range(1, longest + 1):
        num_ids = logs_BV.shape[1]
        grouped = logs_BV.view(len(going_B), params.num_groups, num_in_group, num_ids)
        shunned_BV, rows = torch.zeros(len(going_B), num_ids), []
        for place, group in enumerate(groups):
            from_BK = group.step(grouped[:, place], shunned_BV, limits_B[going_B] <= length, length)
            rows.append(place * num_in_group + from_BK)
            # What is done takes no more tokens, so there is nothing to shun.
            loss_BK = (params.diversity * ~group.is_done_B)[:, None].expand(-1, num_in_group)
            shunned_BV.scatter_add_(1, group.tokens_BKT[..., length - 1], loss_BK.float())
        is_done_B = torch.stack([group.is_done_B for group in groups]).all(dim=0)
        for place in is_done_B.nonzero().flatten().tolist():
            found[int(going_B[place])] = _best([group.done for group in groups], place, params)
        left = (~is_done_B).nonzero().flatten()
        if not len(left):
            break
        # Before the first token a prompt is one row of the session, and then as many as it has beams.
        own_B1 = torch.arange(len(going_B))[:, None]
        rows_BK = own_B1.expand(-1, params.num_beams) if length == 1 else own_B1 * params.num_beams
        session.select((rows_BK if length == 1 else rows_BK + torch.cat(rows, dim=1))[left].flatten())
        going_B = going_B[left]
        for group in groups:
            group.select(left)
        tokens_BK = torch.cat([group.tokens_BKT[..., length - 1] for group in groups], dim=1)
        logs_BV = log_shares(session.extend(tokens_BK.flatten()[:, None]), params)
    return found


def _best(groups: Collection[_Done], place: int, params: SearchParams) -> list[Found]:
    """The best of all groups' answers to a prompt, each once."""
    answers: dict[tuple[int, ...], Found] = {}
    for done in groups:
        rows = zip(done.scores_BK[place].tolist(), done.own_BK[place].tolist(), strict=True)
        for (score, own), tokens_T in zip(rows, done.tokens_BKT[place], strict=True):
            if score <= _IMPOSSIBLE:
                break
            ids = tuple(tokens_T[tokens_T >= 0].tolist())
            has_ended = ids[-1] in params.end_ids
            answers.setdefault(
                ids, Found(token_ids=ids[:-1] if has_ended else ids, score=own, has_ended=has_ended)
            )
    return sorted(answers.values(), key=lambda answer: -answer.score)[: params.num_best]
