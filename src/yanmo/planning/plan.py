"""One dial: from a corpus, a machine and a time budget to every size of a run.

Candidates are all sizes of a shape's ladder with a few contexts; each is given the steps that fit the budget,
and the one with the lowest predicted loss that fits the memory is taken. The law behind the prediction
was fitted on decoders: for other shapes it orders the candidates, and no loss is promised. Where
training goes on from a model, only context, batch and steps are chosen, and learning rates are lower
(Ibrahim et al. 2024, arXiv 2403.08763, section 6.1: warmed up again, then decayed).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from yanmo.config import format_duration, format_size
from yanmo.energy import predict_wh
from yanmo.errors import InputError
from yanmo.models.lstm import LstmConfig
from yanmo.planning.candidate import Candidate, CorpusFacts, Subject, Wishes
from yanmo.planning.cost import StepShape, predict_memory_bytes, predict_step_s
from yanmo.planning.probe import Machine
from yanmo.planning.rules import (
    LEAST_ROWS,
    batch_tokens,
    context_penalty,
    dropout_of,
    learning_rates,
    memorising_penalty,
    most_steps,
    short_sight,
    split_share_of,
    weight_decays,
)
from yanmo.planning.scaling import LAW
from yanmo.planning.shapes import ModelConfig, Sizes, sizes_of
from yanmo.planning.speeds import Speeds

__all__ = [
    *("Candidate", "CorpusFacts", "Subject", "Wishes"),
    *("Plan", "context_penalty", "make_plan", "plan_table"),
]

_CONTEXTS = (128, 256, 512)
_MEMORY_SHARE = 0.8
MIN_STEPS = 60
# Sizes of which real steps are timed, at most.
_MOST_MEASURED = 4
# A model that has learned already gains from few steps, and needs enough of them to warm up and decay.
_MIN_MORE_STEPS, _ENOUGH_MORE_STEPS, _LEAST_BATCH_TOKENS = 10, 200, 512


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The choice, what it was chosen from, and what it was based on."""

    budget_s: float | None
    training_s: float | None
    chosen: Candidate
    candidates: tuple[Candidate, ...]
    corpus: CorpusFacts
    machine: Machine

    def to_json(self) -> dict[str, Any]:
        """Plain values, as in plan.json."""
        return dataclasses.asdict(self)


class _Option(NamedTuple):
    """A candidate, and what orders it among the others: fewer expected bits are better."""

    candidate: Candidate
    expected: float


def make_plan(
    facts: CorpusFacts,
    machine: Machine,
    *,
    budget_s: float | None,
    wishes: Wishes = Wishes(),
    subject: Subject = Subject(),
    measure: Callable[[Candidate], float] | None = None,
) -> Plan:
    """Choose sizes.

    Args:
        facts: of the corpus.
        machine: as ``probe`` measured it.
        budget_s: seconds for training alone, or None where ``wishes.num_steps`` says how long.
        wishes: what is fixed by hand.
        subject: what is to be trained.
        measure: seconds of a real step of a candidate, asked for the best ones; None trusts the model.

    Raises:
        InputError: nothing fits the memory, or the budget is too short for any model.
    """
    if budget_s is None and wishes.num_steps is None:
        raise InputError("neither a budget nor a number of steps", remedy="give --budget 30m or --steps 500")
    planner = _Planner(facts, machine, budget_s, wishes, subject)
    options = planner.options()
    best = planner.best(options)
    if measure is not None and budget_s is not None:
        # The choice can move once the speed is known; measure again what it moved to.
        for _ in range(_MOST_MEASURED):
            planner.speeds.add(best, measure(best))
            options = planner.options()
            best = planner.best(options)
            if planner.speeds.know(best):
                break
    ranked = sorted(planner.possible(options), key=lambda option: option.expected)
    return Plan(
        budget_s=budget_s,
        training_s=budget_s,
        chosen=best,
        candidates=tuple(option.candidate for option in ranked[:8]),
        corpus=facts,
        machine=machine,
    )


def plan_table(plan: Plan) -> str:
    """The candidates as lines for people, the choice marked."""
    lines = ["   parameters  layers  width  context  batch   steps  epochs      time    memory  bits/byte"]
    for candidate in plan.candidates:
        mark, bits = "*" if candidate == plan.chosen else " ", candidate.predicted_bits_per_byte
        lines.append(
            f" {mark} {candidate.num_parameters / 1e6:8.1f} M  {candidate.num_layers:6d}"
            f"  {candidate.d_model:5d}  {candidate.max_seq_len:7d}  {candidate.batch_size:5d}"
            f"  {candidate.num_steps:6d}  {candidate.epochs:6.1f}"
            f"  {format_duration(candidate.predicted_s):>8s}"
            f"  {format_size(candidate.predicted_memory_bytes):>8s}"
            f"  {'-' if bits is None else f'{bits:.3f}'}"
        )
    ngram = f"the character n-gram reaches {plan.corpus.ngram_bits_per_byte:.3f} bits per byte on a sample"
    expected = "the loss is not predicted"
    if plan.chosen.predicted_bits_per_byte is not None and plan.chosen.interval is not None:
        low, high = plan.chosen.interval
        expected = f"{plan.chosen.predicted_bits_per_byte:.3f} bits per byte ({low:.3f} to {high:.3f})"
    lines.append(f"expected: {expected}; {ngram}")
    return "\n".join(lines)


class _Planner:
    """One plan; ``speeds`` corrects the cost model by what was measured."""

    def __init__(
        self, facts: CorpusFacts, machine: Machine, budget_s: float | None, wishes: Wishes, subject: Subject
    ) -> None:
        self._facts, self._machine, self._budget_s = facts, machine, budget_s
        self._wishes, self._subject = wishes, subject
        self._num_train_tokens = facts.num_train_bytes / facts.bytes_per_token
        self._usable_bytes = _MEMORY_SHARE * machine.memory_bytes
        # How often a new model may read a text that it is to continue.
        self._is_bounded = subject.continues_text and subject.given is None
        self.speeds = Speeds()

    def options(self) -> list[_Option]:
        """All candidates."""
        return list(dict.fromkeys(self._option(*sized) for sized in self._models()))

    def best(self, options: list[_Option]) -> Candidate:
        """The best that fits memory and time.

        Raises:
            InputError: none does.
        """
        return min(self.possible(options), key=lambda option: option.expected).candidate

    def possible(self, options: list[_Option]) -> list[_Option]:
        """Those that fit memory and time.

        Raises:
            InputError: none does.
        """
        usable = self._usable_bytes
        fitting = [option for option in options if option.candidate.predicted_memory_bytes <= usable]
        if not fitting:
            least = min(option.candidate.predicted_memory_bytes for option in options)
            raise InputError(
                f"the smallest candidate needs {format_size(least)} of memory and "
                f"{format_size(usable)} can be used",
                remedy="choose a smaller --d-model, --batch-size or --max-seq-len, or close other programs",
            )
        min_steps = MIN_STEPS if self._subject.given is None else _MIN_MORE_STEPS
        in_time = [o for o in fitting if self._budget_s is None or o.candidate.num_steps >= min_steps]
        if not in_time:
            least_s = min(option.candidate.predicted_step_s for option in fitting) * min_steps
            raise InputError(
                f"a budget of {format_duration(self._budget_s or 0.0)} for training is too short to learn "
                "anything",
                remedy=f"this corpus and machine need at least {format_duration(least_s + 10)}",
            )
        return in_time

    def _models(self) -> list[tuple[ModelConfig, Sizes]]:
        """Networks with their sizes, each with every context."""
        subject, wishes, contexts = self._subject, self._wishes, self._contexts()
        if subject.given is not None:
            return [(subject.given, sizes_of(subject.given, context)) for context in contexts]
        shape = subject.kind
        ladder = [
            (wishes.num_layers or layers, wishes.d_model or width)
            for layers, width in shape.ladder
            if wishes.num_layers is None or wishes.d_model is None or (layers, width) == shape.ladder[0]
        ]
        every = [
            shape.size(self._facts.vocab_size, layers, width, context)
            for layers, width in ladder
            for context in contexts
        ]
        return [(shape.build(sizes), sizes) for sizes in every]

    def _contexts(self) -> tuple[int, ...]:
        given, wish = self._subject.given, self._wishes.max_seq_len
        longest = int(self._num_train_tokens) - 2
        if given is not None and not isinstance(given, LstmConfig):
            if wish is not None and wish > given.max_seq_len:
                raise InputError(
                    f"--max-seq-len {wish} is beyond the model's context of {given.max_seq_len} tokens"
                )
            longest = min(longest, given.max_seq_len)
        if wish is not None and wish > longest:
            raise InputError(
                f"--max-seq-len {wish} is longer than the training text of about {longest + 2} tokens",
                remedy="choose a smaller one, or give more text",
            )
        contexts = (wish,) if wish else self._usual_contexts()
        return tuple(c for c in contexts if c <= longest) or (max(8, longest),)

    def _usual_contexts(self) -> tuple[int, ...]:
        """Those that leave a step enough rows."""
        if self._wishes.batch_size:
            return _CONTEXTS
        longest = self._batch_tokens() // LEAST_ROWS
        return tuple(c for c in _CONTEXTS if c <= longest) or _CONTEXTS[:1]

    def _batch_tokens(self) -> int:
        return batch_tokens(self._budget_s, self._num_train_tokens if self._is_bounded else math.inf)

    def _option(self, model: ModelConfig, sizes: Sizes) -> _Option:
        facts, wishes, subject, machine = self._facts, self._wishes, self._subject, self._machine
        shape = self._fitting(self._step_shape(model, sizes.max_seq_len))
        step_s = self._step_s(shape)
        num_steps = wishes.num_steps or max(1, int((self._budget_s or 0.0) / step_s))
        if wishes.num_steps is None and self._is_bounded:
            num_steps = min(num_steps, most_steps(self._num_train_tokens / shape.batch_tokens))
        # Rows of an old corpus are no passes over the new one.
        epochs = num_steps * shape.batch_tokens * (1 - subject.replay_share) / self._num_train_tokens
        in_blocks = model.num_parameters - model.vocab_size * model.d_model
        expected = LAW.predict(
            ngram=facts.ngram_bits_per_byte,
            num_parameters=in_blocks,
            num_tokens=self._num_train_tokens,
            epochs=epochs,
        )
        expected *= context_penalty(sizes.max_seq_len * facts.bytes_per_token)
        expected *= memorising_penalty(epochs, in_blocks, self._num_train_tokens)
        # Beyond what guessing costs the law was never fitted: the text is too little, or too little read.
        promises = subject.predicts_loss and expected < math.log2(model.vocab_size) / facts.bytes_per_token
        dropout = dropout_of(epochs, in_blocks, self._num_train_tokens)
        split_share = split_share_of(epochs) if facts.can_split and self._is_bounded else 0.0
        muon_rate, adam_rate = learning_rates(
            model.d_model, goes_on=subject.given is not None, encodes=subject.shape == "encoder"
        )
        muon_rate = muon_rate if wishes.muon_learning_rate is None else wishes.muon_learning_rate
        adam_rate = adam_rate if wishes.adam_learning_rate is None else wishes.adam_learning_rate
        steps_an_epoch = self._num_train_tokens / shape.batch_tokens
        muon_decay, adam_decay = weight_decays(
            steps_an_epoch, muon_rate, adam_rate, goes_on=subject.given is not None
        )
        candidate = Candidate(
            **vars(sizes),
            shape=subject.shape,
            outputs_per_token=subject.outputs_per_token,
            num_parameters=model.num_parameters,
            batch_size=shape.batch_size,
            batch_tokens=shape.batch_tokens,
            micro_batch_size=shape.rows_at_once,
            num_steps=num_steps,
            epochs=epochs,
            dropout=dropout if wishes.dropout is None else wishes.dropout,
            split_share=split_share if wishes.split_share is None else wishes.split_share,
            muon_learning_rate=muon_rate,
            adam_learning_rate=adam_rate,
            weight_decay=muon_decay,
            adam_weight_decay=adam_decay,
            predicted_step_s=step_s,
            predicted_s=num_steps * step_s,
            predicted_memory_bytes=predict_memory_bytes(shape, machine),
            predicted_energy_wh=predict_wh(num_steps * step_s, machine.cores),
            predicted_bits_per_byte=expected if promises else None,
            interval=LAW.interval(expected) if promises else None,
        )
        return _Option(candidate, expected * short_sight(sizes.max_seq_len * facts.bytes_per_token))

    def _step_s(self, shape: StepShape) -> float:
        return predict_step_s(shape, self._machine) * self.speeds.correction(shape.model.num_parameters)

    def _step_shape(self, model: ModelConfig, context: int) -> StepShape:
        """The batch: rows that the user set, or tokens that suit the budget."""
        # A row of each kind at least.
        least = 1 if self._subject.replay_share == 0.0 else max(2, round(1 / self._subject.replay_share))
        num_tokens = self._batch_tokens()
        while True:
            shape = StepShape(
                model=model,
                batch_size=self._wishes.batch_size or max(least, num_tokens // context),
                seq_len=context,
                outputs_per_token=self._subject.outputs_per_token,
            )
            if self._budget_s is None or self._subject.given is None or self._wishes.batch_size:
                return shape
            step_s = self._step_s(shape)
            if self._budget_s >= _ENOUGH_MORE_STEPS * step_s or num_tokens < 2 * _LEAST_BATCH_TOKENS:
                return shape
            num_tokens //= 2

    def _fitting(self, shape: StepShape) -> StepShape:
        """As many rows at once as the memory holds, unless the user said how many."""
        rows = self._subject.rows_at_once or shape.batch_size
        shape = dataclasses.replace(shape, rows_at_once=min(rows, shape.batch_size))
        if self._subject.rows_at_once is not None:
            return shape
        while rows > 1 and predict_memory_bytes(shape, self._machine) > self._usable_bytes:
            rows = -(-rows // 2)
            shape = dataclasses.replace(shape, rows_at_once=rows)
        return shape
