"""Many prompts answered at once: the likeliest token each time, or the best of several beams.

Beams: at each step the likeliest continuations of all beams of a prompt are kept (Sutskever et al. 2014,
arXiv 1409.3215, section 3.2). A sum of log-probabilities favours short answers, so answers compare by the
sum over ``length ** length_penalty`` (Wu et al. 2016, arXiv 1609.08144, equation 14, without its constant). A
prompt is done when no running beam, at its present length, scores above the worst of as many ended answers;
this, and what counts as length (the end token with it), is as in transformers.

Prompts of unequal length stand in one batch without padding: the session takes in what the shortest has, and
each longer one is fed its own next token until it ends, while others are answered already.

Shapes: B prompts, K beams, C candidates, T tokens of an answer, V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from yanmo.errors import InputError
from yanmo.models.base import LanguageModel, Session
from yanmo.models.transformer import Transformer
from yanmo.nn.packing import pack_lists

_IMPOSSIBLE = -1e9
# Rows that are computed together, and the most tokens in their caches.
_MOST_ROWS, _MOST_TOKENS = 256, 32_768


@dataclass(frozen=True, kw_only=True)
class SearchParams:
    """How answers are looked for.

    Attributes:
        num_beams: kept beside each other; 1 takes the likeliest token each time.
        length_penalty: above 0 favours longer answers; 0 compares sums of log-probabilities.
        num_best: answers to each prompt, at most as many as beams.
        end_ids: each of these tokens ends an answer, and is not part of it.
        barred_ids: never taken.
        vocab_size: ids from here on are never taken.
    """

    num_beams: int = 1
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
        if not math.isfinite(self.length_penalty):
            raise InputError(f"length_penalty must be a number, not {self.length_penalty}")


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What is answered.

    Attributes:
        first_ids: tokens that stand before the answer: a prompt, or what answers of an encoder-decoder begin
            after.
        source_ids: what an encoder-decoder answers; None for other models.
        max_tokens: longest answer, at least 1.
    """

    first_ids: Sequence[int]
    source_ids: Sequence[int] | None = None
    max_tokens: int


@dataclass(frozen=True, kw_only=True)
class Found:
    """One answer.

    Attributes:
        token_ids: without the token that ended it.
        score: sum of log-probabilities in nats, the end's included, over length ** length_penalty.
        has_ended: whether it ended by itself.
    """

    token_ids: tuple[int, ...]
    score: float
    has_ended: bool


@torch.inference_mode()
def answer_many(
    model: LanguageModel,
    asked: Sequence[Asked],
    params: SearchParams,
    *,
    on_progress: Callable[[int], None] | None = None,
) -> list[list[Found]]:
    """Answers to each, the best first.

    Args:
        model: in evaluation mode; with an encoder where there are sources.
        asked: in any order; none longer than the model's context.
        params: how to look for them.
        on_progress: told how many more are done.

    Raises:
        InputError: a prompt leaves no room for an answer.
    """
    found: list[list[Found]] = [[]] * len(asked)
    for rows in _batches(asked, params.num_beams):
        batch = [asked[row] for row in rows]
        limits = _limits(model, batch)
        session = _start(model, batch)
        prompts = [list(one.first_ids) for one in batch]
        if params.num_beams == 1:
            answers = [[one] for one in _greedy(session, prompts, limits, params)]
        else:
            answers = _beams(session, torch.tensor(prompts), torch.tensor(limits), params)
        for row, best in zip(rows, answers, strict=True):
            found[row] = best
        if on_progress is not None:
            on_progress(len(rows))
    return found


def _batches(asked: Sequence[Asked], num_beams: int) -> Iterator[list[int]]:
    """Numbers of those that are answered together: of like length, and for beams of equally long prompts."""
    order = sorted(
        range(len(asked)), key=lambda row: (len(asked[row].first_ids), len(asked[row].source_ids or ()))
    )
    batch: list[int] = []
    for row in order:
        one = asked[row]
        length = max(len(one.first_ids) + one.max_tokens, len(one.source_ids or ()))
        most = max(1, min(_MOST_ROWS, _MOST_TOKENS // length) // num_beams)
        is_other = num_beams > 1 and batch and len(asked[batch[0]].first_ids) != len(one.first_ids)
        if batch and (len(batch) >= most or is_other):
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch


def _limits(model: LanguageModel, batch: Sequence[Asked]) -> list[int]:
    """The most tokens of each answer."""
    limits = []
    for one in batch:
        room = one.max_tokens
        if model.max_seq_len is not None:
            # The last token of an answer is not taken in.
            room = min(room, model.max_seq_len + 1 - len(one.first_ids))
        if room < 1:
            raise InputError(
                f"a prompt of {len(one.first_ids)} tokens leaves no room for an answer",
                remedy=f"the model's context holds {model.max_seq_len}",
            )
        limits.append(room)
    return limits


def _start(model: LanguageModel, batch: Sequence[Asked]) -> Session:
    sources = [one.source_ids for one in batch if one.source_ids is not None]
    if not sources:
        return model.start(len(batch))
    assert isinstance(model, Transformer) and len(sources) == len(batch)
    tokens_1S, segments = pack_lists(sources)
    return model.start(len(batch), memory=model.encode(tokens_1S, segments=segments))


def _log_shares(scores_BV: Tensor, params: SearchParams) -> Tensor:
    """Log-probabilities under the model, and minus infinity for what is never taken."""
    logs_BV = scores_BV.float().log_softmax(-1)
    logs_BV[:, params.vocab_size :] = -math.inf
    if params.barred_ids:
        logs_BV[:, list(params.barred_ids)] = -math.inf
    return logs_BV


def _greedy(
    session: Session, prompts: Sequence[Sequence[int]], limits: Sequence[int], params: SearchParams
) -> list[Found]:
    answers: list[list[int]] = [[] for _ in prompts]
    sums, ended, going = [0.0] * len(prompts), [False] * len(prompts), list(range(len(prompts)))
    place = min(map(len, prompts))
    tokens_BT = torch.tensor([list(prompt[:place]) for prompt in prompts])
    while True:
        logs_B, likeliest_B = _log_shares(session.extend(tokens_BT), params).max(-1)
        taken, left = [], []
        for index, row in enumerate(going):
            if place < len(prompts[row]):
                taken.append(prompts[row][place])
                left.append(index)
                continue
            token = int(likeliest_B[index])
            sums[row] += float(logs_B[index])
            ended[row] = token in params.end_ids
            if not ended[row]:
                answers[row].append(token)
                if len(answers[row]) < limits[row]:
                    taken.append(token)
                    left.append(index)
        if not left:
            break
        if len(left) < len(going):
            session.select(torch.tensor(left))
        going = [going[index] for index in left]
        tokens_BT = torch.tensor(taken)[:, None]
        place += 1
    return [
        Found(
            token_ids=tuple(answer),
            score=total / (len(answer) + end) ** params.length_penalty,
            has_ended=end,
        )
        for answer, total, end in zip(answers, sums, ended, strict=True)
    ]


@dataclass
class _Done:
    """Ended answers of some prompts, the best first; tokens have -1 behind their end."""

    scores_BK: Tensor
    tokens_BKT: Tensor

    def add(self, scores_BC: Tensor, tokens_BCT: Tensor) -> None:
        """Keep the best of those there are and of candidates; impossible ones are no answers."""
        num_beams = self.scores_BK.shape[1]
        scores = torch.cat((self.scores_BK, scores_BC), dim=1)
        tokens = torch.cat((self.tokens_BKT, tokens_BCT), dim=1)
        self.scores_BK, best_BK = scores.topk(num_beams, dim=1)
        self.tokens_BKT = tokens.take_along_dim(best_BK[..., None], dim=1)


def _beams(session: Session, first_BP: Tensor, limits_B: Tensor, params: SearchParams) -> list[list[Found]]:
    """Beam search; a prompt that is done leaves the session."""
    num_prompts, num_beams, longest = len(first_BP), params.num_beams, int(limits_B.max())
    ends_E = torch.tensor(sorted(params.end_ids), dtype=torch.int64)
    num_candidates = max(2, 1 + len(ends_E)) * num_beams
    found: list[list[Found]] = [[]] * num_prompts
    going_B = torch.arange(num_prompts)
    done = _Done(
        torch.full((num_prompts, num_beams), _IMPOSSIBLE),
        torch.full((num_prompts, num_beams, longest), -1),
    )
    tokens_BKT = torch.full((num_prompts, num_beams, longest), -1)
    # At first all beams are the same, so one of them counts.
    sums_BK = torch.zeros(num_prompts, num_beams)
    sums_BK[:, 1:] = _IMPOSSIBLE
    logs_BV = _log_shares(session.extend(first_BP), params).repeat_interleave(num_beams, dim=0)
    for length in range(1, longest + 1):
        num_ids = logs_BV.shape[1]
        totals = (logs_BV.view(len(going_B), num_beams, num_ids) + sums_BK[..., None]).flatten(1)
        # What is never taken stands behind all else, and is still a number.
        top_BC, index_BC = totals.clamp_min(2 * _IMPOSSIBLE).topk(min(num_candidates, totals.shape[1]), dim=1)
        beam_BC, token_BC = index_BC // num_ids, index_BC % num_ids
        candidates_BCT = tokens_BKT.take_along_dim(beam_BC[..., None], dim=1)
        candidates_BCT[..., length - 1] = token_BC
        ends_BC = torch.isin(token_BC, ends_E) | (limits_B[going_B] <= length)[:, None]
        counted_BC = ends_BC & (torch.arange(ends_BC.shape[1]) < num_beams) & (top_BC > _IMPOSSIBLE)
        scores_BC = (top_BC / length**params.length_penalty).masked_fill(~counted_BC, _IMPOSSIBLE)
        done.add(scores_BC, candidates_BCT)
        sums_BK, kept_BK = top_BC.masked_fill(ends_BC, 2 * _IMPOSSIBLE).topk(num_beams, dim=1)
        tokens_BKT = candidates_BCT.take_along_dim(kept_BK[..., None], dim=1)
        # Before the first token a prompt is one row of the session, and then as many as it has beams.
        own_B1 = torch.arange(len(going_B))[:, None]
        rows_BK = (
            own_B1.expand(-1, num_beams) if length == 1 else own_B1 * num_beams + beam_BC.gather(1, kept_BK)
        )
        is_full_B = done.scores_BK[:, -1] > _IMPOSSIBLE
        hopeless_B = sums_BK[:, 0] / length**params.length_penalty <= done.scores_BK[:, -1]
        is_done_B = (is_full_B & hopeless_B) | (limits_B[going_B] <= length)
        for place in is_done_B.nonzero().flatten().tolist():
            found[int(going_B[place])] = _best(done.scores_BK[place], done.tokens_BKT[place], ends_E, params)
        left = (~is_done_B).nonzero().flatten()
        if not len(left):
            break
        session.select(rows_BK[left].flatten())
        going_B, sums_BK, tokens_BKT = going_B[left], sums_BK[left], tokens_BKT[left]
        done = _Done(done.scores_BK[left], done.tokens_BKT[left])
        logs_BV = _log_shares(session.extend(tokens_BKT[..., length - 1].flatten()[:, None]), params)
    return found


def _best(scores_K: Tensor, tokens_KT: Tensor, ends_E: Tensor, params: SearchParams) -> list[Found]:
    answers = []
    for score, tokens_T in zip(scores_K.tolist()[: params.num_best], tokens_KT, strict=False):
        if score <= _IMPOSSIBLE:
            break
        ids = tokens_T[tokens_T >= 0].tolist()
        has_ended = bool(torch.isin(torch.tensor(ids[-1:]), ends_E).any())
        answers.append(
            Found(token_ids=tuple(ids[:-1] if has_ended else ids), score=score, has_ended=has_ended)
        )
    return answers
