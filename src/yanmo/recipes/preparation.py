"""What precedes training: facts of the corpus, a measured plan, and the text that scores are taken on."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from yanmo.config import format_duration
from yanmo.corpus.store import Corpus
from yanmo.data.loader import Batches
from yanmo.data.splitting import SplitRows, Splitter, can_split
from yanmo.data.token_store import TokenStore
from yanmo.errors import InputError
from yanmo.machine import usable_cores
from yanmo.models.ngram.characters import quick_baseline, sample_texts
from yanmo.planning.candidate import Candidate, CorpusFacts, Subject
from yanmo.planning.cost import measure_step_s
from yanmo.planning.plan import Plan, make_plan
from yanmo.planning.probe import Machine, probe
from yanmo.planning.shapes import build_model
from yanmo.recipes.goal import GOALS, Goal, text_store
from yanmo.recipes.settings import PretrainSettings
from yanmo.recipes.start import Start
from yanmo.reporting.progress import say
from yanmo.tokenizers.load import Tokenizer
from yanmo.training.objective import Objective
from yanmo.training.parallel import Group, rows_per_process
from yanmo.training.replay import OverParts, Replay, replayed_rows

# Facts and trial steps come from this much of the training text.
_SAMPLE_BYTES = 200_000
# A score reads at least the first much and by default the second; in a budget, what takes this share of it.
_LEAST_SCORED_BYTES, _SCORED_BYTES = 32_000, 48_000
_VALID_TIME_SHARE, _NUM_VALIDATIONS, _LEAST_VALIDATIONS = 0.04, 20, 4
COMPARING_SHARE = 0.03
# A plan that needs less of the time than this was not cut short by it.
_MUCH_LESS = 0.9


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """What a run has before it trains.

    Attributes:
        start: where weights come from.
        tokenizer: of the run.
        goal: objective and all that goes with it.
        stores: training tokens; behind them those of text that is replayed.
        chosen: sizes, rates and steps.
        training_s: seconds of training in all; None where steps are counted.
        dtype: type that the network computes in.
    """

    start: Start
    tokenizer: Tokenizer
    goal: Goal
    stores: tuple[TokenStore, ...]
    chosen: Candidate
    training_s: float | None
    dtype: torch.dtype


def goal_of(settings: PretrainSettings, start: Start, tokenizer: Tokenizer) -> Goal:
    """The goal that settings and start ask for."""
    return GOALS[start.objective](settings, start, tokenizer)


def subject_of(settings: PretrainSettings, start: Start, goal: Goal) -> Subject:
    """What is to be trained, as a plan knows it."""
    return Subject(
        shape=start.shape,
        outputs_per_token=goal.outputs_per_token,
        given=start.given,
        rows_at_once=settings.micro_batch_size,
        pairs=settings.next_sentence,
        replay_share=0.0 if settings.replay is None else settings.replay_share,
    )


def plan_run(
    corpus: Corpus,
    tokenizer: Tokenizer,
    settings: PretrainSettings,
    start: Start,
    *,
    spent_s: float,
    reserve_s: Callable[[Plan], float],
) -> Plan:
    """Measure the machine and choose sizes.

    What is needed after training depends on the sizes, so they are chosen twice: real steps are timed once.

    Args:
        corpus: to train on.
        tokenizer: of the run.
        settings: budget and wishes.
        start: where weights come from.
        spent_s: seconds of the budget spent before this call.
        reserve_s: seconds of the budget that are needed after the training of a plan.

    Raises:
        InputError: nothing fits, or the budget is spent.
    """
    began_s = time.monotonic()
    torch.set_num_threads(usable_cores())
    machine, goal = probe(), goal_of(settings, start, tokenizer)
    texts = sample_texts(corpus.texts("train"), max_bytes=_SAMPLE_BYTES)
    sample = text_store(texts, tokenizer, words=goal.words)
    facts = _facts(corpus, tokenizer, sample)
    subject = subject_of(settings, start, goal)
    trial = _trial(settings, goal, subject, sample, machine)

    def choose(budget_s: float | None) -> Plan:
        return make_plan(
            facts, machine, budget_s=budget_s, wishes=settings.wishes, subject=subject, measure=trial
        )

    if settings.budget_s is None:
        return choose(None)
    comparing_s = 0.0 if start.given is None else 2 * COMPARING_SHARE * settings.budget_s

    def left_s(after_s: float) -> float:
        other_s = spent_s + time.monotonic() - began_s + comparing_s + after_s
        return _left_s(settings.budget_s or 0.0, other_s)

    made = choose(left_s(0.0))
    made = choose(left_s(reserve_s(made)))
    # Measuring real steps took its time too.
    training_s, needed_s = left_s(reserve_s(made)), made.chosen.predicted_s
    if needed_s < _MUCH_LESS * training_s:
        say(
            f"the text has no more to teach than {format_duration(needed_s)} of training can learn"
            f" ({made.chosen.epochs:.0f} passes): the rest of the budget is left"
        )
        training_s = needed_s
    return dataclasses.replace(made, training_s=training_s)


def _left_s(budget_s: float, other_s: float) -> float:
    """Seconds of a budget that are left for training.

    Raises:
        InputError: none are.
    """
    if other_s >= budget_s:
        raise InputError(
            f"the budget of {format_duration(budget_s)} is spent before training begins",
            remedy=f"this corpus and machine need at least {format_duration(other_s + 10)}",
        )
    return budget_s - other_s


def split_rows(candidate: Candidate, settings: PretrainSettings) -> tuple[int, int]:
    """New rows and replayed rows of a step.

    Raises:
        InputError: a step of one row cannot hold both.
    """
    if settings.replay is None:
        return candidate.batch_size, 0
    if candidate.batch_size < 2:
        raise InputError(
            "a step of one row cannot hold new and old text", remedy="give --batch-size 2 or more"
        )
    old = replayed_rows(candidate.batch_size, settings.replay_share)
    return candidate.batch_size - old, old


def mixture(
    goal: Goal,
    chosen: Candidate,
    stores: Sequence[TokenStore],
    settings: PretrainSettings,
    *,
    seq_len: int | None = None,
) -> tuple[Objective[Any], Batches[Any]]:
    """The rows of every step, new ones and replayed ones, and the loss of both.

    Args:
        goal: of the run.
        chosen: rows and context.
        stores: new text; behind it old text, which is not looked at where nothing is replayed.
        settings: of the run.
        seq_len: another context.
    """
    objective, seq_len = goal.objective(chosen), seq_len or chosen.max_seq_len
    new, *old = (
        goal.batches(store, batch_size=rows, seq_len=seq_len, seed=settings.seed)
        for store, rows in zip(stores, split_rows(chosen, settings), strict=False)
        if rows
    )
    if chosen.split_share:
        splitter = Splitter(goal.tokenizer, share=chosen.split_share, num_steps=chosen.num_steps)
        new = SplitRows(new, splitter, seed=settings.seed)
    return (OverParts(objective), Replay(new, old[0])) if old else (objective, new)


def micro_batch_size(chosen: Candidate, settings: PretrainSettings, group: Group) -> int:
    """Rows that a process computes at once: the user's number, or those planned, shared out."""
    if settings.micro_batch_size is not None:
        return settings.micro_batch_size
    return min(chosen.micro_batch_size or chosen.batch_size, rows_per_process(chosen.batch_size, group))


def scored_texts(corpus: Corpus, split: str, chosen: Candidate, time_s: float | None) -> list[str]:
    """Held-out text for one score.

    Args:
        corpus: where it comes from.
        split: ``valid`` or ``test``; the other where that one is empty.
        chosen: tells the speed.
        time_s: seconds that the score may take; None reads a fixed amount.
    """
    limit = _SCORED_BYTES
    if time_s is not None:
        limit = max(_LEAST_SCORED_BYTES, min(4 * _SCORED_BYTES, int(time_s / _scoring_s(chosen))))
    names = (split, "valid" if split == "test" else "test")
    return sample_texts(corpus.texts(next((n for n in names if corpus.num_bytes(n)), split)), max_bytes=limit)


def validation_s(training_s: float | None) -> float | None:
    """Seconds of each validation, so that all take a small share of training."""
    return None if training_s is None else _VALID_TIME_SHARE * training_s / _NUM_VALIDATIONS


def num_validations(texts: Sequence[str], chosen: Candidate, training_s: float | None) -> int:
    """How often a run is validated: less often where the least text takes a large model long."""
    if training_s is None:
        return _NUM_VALIDATIONS
    each_s = sum(len(text.encode()) for text in texts) * _scoring_s(chosen)
    return max(_LEAST_VALIDATIONS, min(_NUM_VALIDATIONS, int(2 * _VALID_TIME_SHARE * training_s / each_s)))


def _scoring_s(chosen: Candidate) -> float:
    """Seconds that a byte takes to be scored, roughly: a token is read twice or less, forward alone."""
    return chosen.predicted_step_s / chosen.batch_tokens / 3


def _facts(corpus: Corpus, tokenizer: Tokenizer, sample: TokenStore) -> CorpusFacts:
    return CorpusFacts(
        num_train_bytes=corpus.num_bytes("train"),
        num_valid_bytes=corpus.num_bytes("valid"),
        num_test_bytes=corpus.num_bytes("test"),
        bytes_per_token=sample.num_bytes / sample.num_tokens,
        vocab_size=tokenizer.vocab_size,
        ngram_bits_per_byte=quick_baseline(corpus.texts("train"), corpus.texts("valid")),
        can_split=can_split(tokenizer),
    )


def _trial(
    settings: PretrainSettings, goal: Goal, subject: Subject, sample: TokenStore, machine: Machine
) -> Callable[[Candidate], float]:
    """Seconds of real steps of a candidate, on rows of the corpus; those of a size are timed once."""
    known: dict[tuple[int, ...], float] = {}

    def measure(candidate: Candidate) -> float:
        sizes = (candidate.num_parameters, candidate.max_seq_len, candidate.batch_size)
        if sizes not in known:
            known[sizes] = timed(candidate)
        return known[sizes]

    def timed(candidate: Candidate) -> float:
        context = min(candidate.max_seq_len, sample.num_tokens - 2)
        objective, batches = mixture(goal, candidate, [sample, sample], settings, seq_len=context)
        return measure_step_s(
            build_model(subject.model(candidate)),
            objective,
            batches,
            dtype=getattr(torch, machine.dtype),
            dropout=candidate.dropout,
            micro_batch_size=candidate.micro_batch_size or candidate.batch_size,
        )

    return measure
