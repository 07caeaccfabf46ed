"""What texts cost as continuations of a context: the one question behind every ranking of answers.

A context is read once, whatever number of continuations it has, and what all contexts begin with (the
examples of a few-shot prompt) once a batch. Contexts of equal length are read together, so none is padded,
and any ``LanguageModel`` will do: its sessions say what tokens would cost.

B rows, T tokens a row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from yanmo.errors import InputError
from yanmo.models.base import LanguageModel, Session

Ints = NDArray[np.int64]

# Rows times tokens, of which a session keeps the keys and values of every layer.
BATCH_TOKENS = 4096
_PROMPTS_AT_ONCE = 512


@dataclass(frozen=True, kw_only=True)
class Request:
    """A context and what may come after it, in token ids, each at least one."""

    context: Ints
    continuations: tuple[Ints, ...]

    @property
    def longest(self) -> int:
        """Tokens of the longest continuation."""
        return max(len(ids) for ids in self.continuations)

    @property
    def length(self) -> int:
        """Tokens of the context and the longest continuation."""
        return len(self.context) + self.longest


class Cost(NamedTuple):
    """What a continuation costs."""

    loss_nats: float
    """-log p, SUM over its tokens."""
    is_likeliest: bool
    """Whether each of its tokens is the likeliest: the greedy answer begins with it."""
    num_tokens: int


@dataclass(frozen=True, kw_only=True)
class Costs:
    """Of requests in the order given, the costs of their continuations; and how many contexts were cut."""

    of_requests: list[tuple[Cost, ...]]
    num_cut: int


def continuation_costs(
    model: LanguageModel,
    requests: Sequence[Request],
    *,
    batch_tokens: int = BATCH_TOKENS,
    on_progress: Callable[[int], None] | None = None,
) -> Costs:
    """Ask a model what continuations cost.

    A context that leaves no room for its longest continuation loses its first tokens.

    Args:
        model: any language model.
        requests: contexts with their continuations.
        batch_tokens: rows times tokens of a batch; at least one continuation.
        on_progress: called with the number of requests that were just answered.

    Raises:
        InputError: a continuation is longer than the model's context, or a score is not a number.
    """
    fitted = [_fitted(request, model.max_seq_len) for request in requests]
    found: list[tuple[Cost, ...]] = [()] * len(requests)
    for batch in _batches(fitted, batch_tokens):
        answers = _ask(model, [fitted[index] for index in batch], batch_tokens)
        for index, answer in zip(batch, answers, strict=True):
            found[index] = answer
        if on_progress is not None:
            on_progress(len(batch))
    num_cut = sum(len(one.context) < len(asked.context) for one, asked in zip(fitted, requests, strict=True))
    return Costs(of_requests=found, num_cut=num_cut)


def _fitted(request: Request, max_seq_len: int | None) -> Request:
    # The last token is asked for and never read.
    room = None if max_seq_len is None else max_seq_len - (request.longest - 1)
    if room is None or len(request.context) <= room:
        return request
    if room < 1:
        raise InputError(
            f"an answer of {request.longest} tokens does not fit the model's context of {max_seq_len}",
            remedy="leave it out, or take a model with a longer context",
        )
    return Request(context=request.context[-room:], continuations=request.continuations)


def _batches(requests: Sequence[Request], batch_tokens: int) -> Iterator[list[int]]:
    """Numbers of requests whose contexts are equally long, the longest first."""

    def size(index: int) -> tuple[int, int]:
        return len(requests[index].context), requests[index].longest

    batch: list[int] = []
    num_rows = 0
    for index in sorted(range(len(requests)), key=size, reverse=True):
        num_new = len(requests[index].continuations)
        if batch:
            length, longest = len(requests[batch[0]].context), max(requests[i].longest for i in batch)
            tokens = (num_rows + num_new) * (length + max(longest, requests[index].longest))
            if len(requests[index].context) != length or tokens > batch_tokens:
                yield batch
                batch, num_rows = [], 0
        batch.append(index)
        num_rows += num_new
    if batch:
        yield batch


@torch.inference_mode()
def _ask(model: LanguageModel, requests: Sequence[Request], batch_tokens: int) -> list[tuple[Cost, ...]]:
    """Costs of the continuations of contexts of equal length."""
    contexts_BT = np.stack([request.context for request in requests])
    session = model.start(1)
    num_shared = _num_shared(contexts_BT)
    if num_shared:
        session.extend(torch.from_numpy(contexts_BT[:1, :num_shared]))
        session.select(torch.zeros(len(requests), dtype=torch.int64))
    if num_shared < contexts_BT.shape[1]:
        session = session if num_shared else model.start(len(requests))
        session.extend(torch.from_numpy(contexts_BT[:, num_shared:]))
    rows = [(number, ids) for number, request in enumerate(requests) for ids in request.continuations]
    at_once = max(1, batch_tokens // max(request.length for request in requests))
    if len(requests) > 1:
        at_once = len(rows)
    found: list[Cost] = []
    while rows:
        chunk, rows = rows[:at_once], rows[at_once:]
        found += _ask_rows(session, chunk, keeps_first=bool(rows))
    answers = iter(found)
    return [tuple(islice(answers, len(request.continuations))) for request in requests]


def _ask_rows(session: Session, rows: Sequence[tuple[int, Ints]], *, keeps_first: bool) -> list[Cost]:
    """Costs of continuations, each of a row of the session; its first row may be asked again later."""
    first = [(0, rows[0][1])] if keeps_first else []
    asked = [*first, *rows]
    session.select(torch.tensor([number for number, _ in asked]))
    tokens_BT = np.zeros((len(asked), max(len(ids) for _, ids in asked)), np.int64)
    for row, (_, ids) in enumerate(asked):
        tokens_BT[row, : len(ids)] = ids
    costs = session.costs(torch.from_numpy(tokens_BT))
    loss_BT, likeliest_BT = costs.loss_BT.numpy(force=True), costs.is_likeliest_BT.numpy(force=True)
    found = [
        _cost(loss_BT[row, : len(ids)], likeliest_BT[row, : len(ids)]) for row, (_, ids) in enumerate(asked)
    ]
    return found[len(first) :]


def _cost(loss_T: NDArray[np.float32], is_likeliest_T: NDArray[np.bool_]) -> Cost:
    loss_nats = float(loss_T.sum(dtype=np.float64))
    if loss_nats != loss_nats:
        raise InputError("the model's scores are not numbers", remedy="its weights are damaged")
    return Cost(loss_nats, bool(is_likeliest_T.all()), len(loss_T))


def _num_shared(contexts_BT: Ints) -> int:
    """How many tokens all contexts begin with."""
    differs_T = (contexts_BT != contexts_BT[:1]).any(0)
    return int(differs_T.argmax()) if differs_T.any() else contexts_BT.shape[1]


class PromptTokenizer(Protocol):
    """A tokenizer, as far as prompts need it."""

    @property
    def bos_id(self) -> int | None:
        """Id that begins a document, or None where documents begin with nothing."""

    @property
    def eos_id(self) -> int:
        """Id of the token that ends a document."""

    def encode_batch(self, texts: Sequence[str]) -> list[Ints]:
        """Token ids of many texts."""


def encode_prompts(
    tokenizer: PromptTokenizer, prompts: Iterable[tuple[str, Sequence[str]]]
) -> Iterator[Request]:
    """Token ids of contexts and of what may follow them.

    A context and its continuation are encoded as one text and parted where the context ends; where their
    tokens run into each other there, each is encoded alone, so that every continuation of a context has the
    same context. An empty context is what begins a document.

    Args:
        tokenizer: the model's.
        prompts: contexts, each with its continuations; read as they are needed.

    Raises:
        InputError: a continuation has no token.
    """
    prompts = iter(prompts)
    while group := list(islice(prompts, _PROMPTS_AT_ONCE)):
        contexts = tokenizer.encode_batch([context for context, _ in group])
        wholes = iter(
            tokenizer.encode_batch([context + one for context, several in group for one in several])
        )
        alone = tokenizer.encode_batch([one for _, several in group for one in several])
        ends = iter(alone)
        for (_, several), ids in zip(group, contexts, strict=True):
            pairs = [(next(wholes), next(ends)) for _ in several]
            found = tuple(
                whole[len(ids) :] if len(whole) > len(ids) and np.array_equal(whole[: len(ids)], ids) else end
                for whole, end in pairs
            )
            empty = next((one for one, end in zip(several, found, strict=True) if not len(end)), None)
            if empty is not None:
                raise InputError(f"the tokenizer makes no token of {empty[:40]!r}")
            yield Request(context=_begun(ids, tokenizer), continuations=found)


def _begun(ids: Ints, tokenizer: PromptTokenizer) -> Ints:
    """With what begins a document, as where a prompt is continued."""
    bos_id = tokenizer.bos_id
    if bos_id is None:
        return ids if len(ids) else np.array([tokenizer.eos_id], np.int64)
    return ids if len(ids) and ids[0] == bos_id else np.concatenate([np.array([bos_id], np.int64), ids])
