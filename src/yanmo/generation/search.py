"""Many prompts answered at once: the likeliest token each time, or the best of several beams (``beams``).

Prompts of unequal length stand in one batch without padding: the session takes in what the shortest has, and
each longer one is fed its own next token until it ends, while others are answered already.

Shapes: B prompts, T tokens of an answer, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch

from yanmo.errors import InputError
from yanmo.generation.beams import Found, SearchParams, beam_search, log_shares
from yanmo.models.base import LanguageModel, Session
from yanmo.models.transformer import Transformer
from yanmo.nn.packing import pack_lists

__all__ = ["Asked", "Found", "SearchParams", "answer_many"]

# Rows that are computed together, and the most tokens in their caches.
_MOST_ROWS, _MOST_TOKENS = 256, 32_768


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
            answers = beam_search(session, torch.tensor(prompts), torch.tensor(limits), params)
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


def _greedy(
    session: Session, prompts: Sequence[Sequence[int]], limits: Sequence[int], params: SearchParams
) -> list[Found]:
    answers: list[list[int]] = [[] for _ in prompts]
    sums, ended, going = [0.0] * len(prompts), [False] * len(prompts), list(range(len(prompts)))
    place = min(map(len, prompts))
    tokens_BT = torch.tensor([list(prompt[:place]) for prompt in prompts])
    while True:
        logs_B, likeliest_B = log_shares(session.extend(tokens_BT), params).max(-1)
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
