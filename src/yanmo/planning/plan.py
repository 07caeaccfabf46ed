"""One dial: from a corpus, a machine and a time budget to every size of a run.

Candidates are all shapes of a ladder with a few contexts; each is given the steps that fit the budget, and
the one with the lowest predicted loss that fits the memory is taken.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import torch

from yanmo.config import format_duration, format_size
from yanmo.errors import InputError
from yanmo.models.families import qwen3
from yanmo.models.transformer import TransformerConfig
from yanmo.planning.cost import StepShape, measure_step_s, predict_memory_bytes, predict_step_s
from yanmo.planning.probe import Machine
from yanmo.planning.scaling import LAW
from yanmo.training.optimizer import OptimizerConfig

# Layers and width, smallest first; neighbours differ by about 1.6 in parameters.
LADDER = (
    (2, 128),
    (3, 192),
    (4, 256),
    (5, 320),
    (6, 384),
    (7, 448),
    (8, 512),
    (10, 640),
    (12, 768),
    (16, 1024),
)
_HEAD_DIM = 64
_MEMORY_SHARE = 0.8
MIN_STEPS = 60


@dataclass(frozen=True, kw_only=True)
class CorpusFacts:
    """What planning must know of a corpus."""

    num_train_bytes: int
    num_valid_bytes: int
    num_test_bytes: int
    bytes_per_token: float
    vocab_size: int
    ngram_bits_per_byte: float


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """What the user set by hand; None leaves it to the plan."""

    num_layers: int | None = None
    d_model: int | None = None
    max_seq_len: int | None = None
    batch_size: int | None = None
    dropout: float | None = None
    num_steps: int | None = None
    muon_learning_rate: float | None = None
    adam_learning_rate: float | None = None


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One way to spend the budget, and what it is expected to give."""

    num_parameters: int
    num_layers: int
    d_model: int
    d_ff: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    vocab_size: int
    max_seq_len: int
    batch_size: int
    batch_tokens: int
    num_steps: int
    epochs: float
    dropout: float
    muon_learning_rate: float
    adam_learning_rate: float
    weight_decay: float
    predicted_step_s: float
    predicted_s: float
    predicted_memory_bytes: int
    predicted_bits_per_byte: float
    interval: tuple[float, float]

    @property
    def model(self) -> TransformerConfig:
        """Sizes of the network."""
        return qwen3.decoder(
            vocab_size=self.vocab_size,
            d_model=self.d_model,
            num_layers=self.num_layers,
            num_heads=self.num_heads,
            num_kv_heads=self.num_kv_heads,
            head_dim=self.head_dim,
            d_ff=self.d_ff,
            max_seq_len=self.max_seq_len,
        )

    @property
    def optimizer(self) -> OptimizerConfig:
        """Learning rates."""
        return OptimizerConfig(
            muon_learning_rate=self.muon_learning_rate,
            adam_learning_rate=self.adam_learning_rate,
            muon_weight_decay=self.weight_decay,
        )

    @property
    def step(self) -> StepShape:
        """What one step computes."""
        return StepShape(model=self.model, batch_size=self.batch_size, seq_len=self.max_seq_len)


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


def make_plan(
    facts: CorpusFacts,
    machine: Machine,
    *,
    budget_s: float | None,
    wishes: Wishes = Wishes(),
    measure: bool = True,
) -> Plan:
    """Choose sizes.

    Args:
        facts: of the corpus.
        machine: as ``probe`` measured it.
        budget_s: seconds for training alone, or None where ``wishes.num_steps`` says how long.
        wishes: what is fixed by hand.
        measure: time real steps of the best candidates (a few seconds) instead of trusting the model.

    Raises:
        InputError: nothing fits the memory, or the budget is too short for any model.
    """
    if budget_s is None and wishes.num_steps is None:
        raise InputError("neither a budget nor a number of steps", remedy="give --budget 30m or --steps 500")
    correction = 1.0
    candidates = _candidates(facts, machine, budget_s, wishes, correction)
    best = _best(candidates, machine, budget_s)
    if measure and budget_s is not None:
        # The choice can move once the speed is known; measure again what it moved to.
        for _ in range(2):
            measured_s = measure_step_s(best.step, dtype=getattr(torch, machine.dtype), dropout=best.dropout)
            correction *= measured_s / best.predicted_step_s
            candidates = _candidates(facts, machine, budget_s, wishes, correction)
            again = _best(candidates, machine, budget_s)
            if again.model == best.model and again.batch_size == best.batch_size:
                break
            best = again
        best = _best(candidates, machine, budget_s)
    ranked = sorted(candidates, key=lambda c: c.predicted_bits_per_byte)
    return Plan(
        budget_s=budget_s,
        training_s=budget_s,
        chosen=best,
        candidates=tuple(ranked[:8]),
        corpus=facts,
        machine=machine,
    )


def plan_table(plan: Plan) -> str:
    """The candidates as lines for people, the choice marked."""
    lines = ["   parameters  layers  width  context  batch   steps  epochs      time    memory  bits/byte"]
    for candidate in plan.candidates:
        mark = "*" if candidate == plan.chosen else " "
        lines.append(
            f" {mark} {candidate.num_parameters / 1e6:8.1f} M  {candidate.num_layers:6d}"
            f"  {candidate.d_model:5d}  {candidate.max_seq_len:7d}  {candidate.batch_size:5d}"
            f"  {candidate.num_steps:6d}  {candidate.epochs:6.1f}"
            f"  {format_duration(candidate.predicted_s):>8s}"
            f"  {format_size(candidate.predicted_memory_bytes):>8s}"
            f"  {candidate.predicted_bits_per_byte:.3f}"
        )
    low, high = plan.chosen.interval
    lines.append(
        f"expected: {plan.chosen.predicted_bits_per_byte:.3f} bits per byte ({low:.3f} to {high:.3f}); "
        f"the character n-gram reaches {plan.corpus.ngram_bits_per_byte:.3f} on a sample"
    )
    return "\n".join(lines)


def _candidates(
    facts: CorpusFacts, machine: Machine, budget_s: float | None, wishes: Wishes, correction: float
) -> list[Candidate]:
    ladder = [
        (wishes.num_layers or layers, wishes.d_model or width)
        for layers, width in LADDER
        if wishes.num_layers is None or wishes.d_model is None or (layers, width) == LADDER[0]
    ]
    contexts: tuple[int, ...] = (wishes.max_seq_len,) if wishes.max_seq_len else (128, 256, 512)
    num_tokens = facts.num_train_bytes / facts.bytes_per_token
    contexts = tuple(c for c in contexts if c + 2 <= num_tokens) or (max(8, int(num_tokens) - 2),)
    made = dict.fromkeys(
        _candidate(facts, machine, budget_s, wishes, correction, layers, width, context)
        for layers, width in ladder
        for context in contexts
    )
    return list(made)


def _candidate(
    facts: CorpusFacts,
    machine: Machine,
    budget_s: float | None,
    wishes: Wishes,
    correction: float,
    num_layers: int,
    d_model: int,
    context: int,
) -> Candidate:
    head_dim = _HEAD_DIM if d_model % _HEAD_DIM == 0 else 2 * max(1, d_model // 8)
    num_heads = max(1, d_model // head_dim)
    sizes: dict[str, Any] = {
        "vocab_size": facts.vocab_size,
        "d_model": d_model,
        "num_layers": num_layers,
        "num_heads": num_heads,
        "num_kv_heads": num_heads // 2 if num_heads % 2 == 0 else num_heads,
        "head_dim": head_dim,
        "d_ff": max(64, round(d_model * 8 / 3 / 64) * 64),
        "max_seq_len": context,
    }
    model = qwen3.decoder(**sizes)
    batch_size = wishes.batch_size or max(1, _batch_tokens(budget_s) // context)
    shape = StepShape(model=model, batch_size=batch_size, seq_len=context)
    step_s = predict_step_s(shape, machine) * correction
    num_steps = wishes.num_steps or max(1, int((budget_s or 0.0) / step_s))
    num_train_tokens = facts.num_train_bytes / facts.bytes_per_token
    epochs = num_steps * shape.batch_tokens / num_train_tokens
    in_blocks = model.num_parameters - model.vocab_size * model.d_model
    predicted = LAW.predict(
        ngram=facts.ngram_bits_per_byte,
        num_parameters=in_blocks,
        num_bytes=facts.num_train_bytes,
        epochs=epochs,
    )
    predicted *= context_penalty(context * facts.bytes_per_token)
    predicted *= _memorising_penalty(epochs, in_blocks, num_train_tokens)
    return Candidate(
        **sizes,
        num_parameters=model.num_parameters,
        batch_size=batch_size,
        batch_tokens=shape.batch_tokens,
        num_steps=num_steps,
        epochs=epochs,
        dropout=_dropout(epochs, in_blocks, num_train_tokens) if wishes.dropout is None else wishes.dropout,
        muon_learning_rate=wishes.muon_learning_rate or 0.02,
        adam_learning_rate=wishes.adam_learning_rate or 0.015 * (256 / d_model) ** 0.5,
        weight_decay=0.1 if epochs > 2 else 0.0,
        predicted_step_s=step_s,
        predicted_s=num_steps * step_s,
        predicted_memory_bytes=predict_memory_bytes(shape, machine),
        predicted_bits_per_byte=predicted,
        interval=LAW.interval(predicted),
    )


def _best(candidates: list[Candidate], machine: Machine, budget_s: float | None) -> Candidate:
    fitting = [c for c in candidates if c.predicted_memory_bytes <= _MEMORY_SHARE * machine.memory_bytes]
    if not fitting:
        least = min(c.predicted_memory_bytes for c in candidates)
        raise InputError(
            f"the smallest candidate needs {format_size(least)} of memory and "
            f"{format_size(_MEMORY_SHARE * machine.memory_bytes)} can be used",
            remedy="choose a smaller --d-model, --batch-size or --max-seq-len, or close other programs",
        )
    in_time = [c for c in fitting if budget_s is None or c.num_steps >= MIN_STEPS]
    if not in_time:
        least_s = min(c.predicted_step_s for c in fitting) * MIN_STEPS
        raise InputError(
            f"a budget of {format_duration(budget_s or 0.0)} for training is too short to learn anything",
            remedy=f"this corpus and machine need at least {format_duration(least_s + 10)}",
        )
    return min(in_time, key=lambda c: c.predicted_bits_per_byte)


def _batch_tokens(budget_s: float | None) -> int:
    """Little time needs many steps; more of it affords larger ones, which Muon's cost is spread over."""
    if budget_s is None:
        return 4096
    for limit_s, batch_tokens in ((150, 2048), (1200, 4096), (7200, 8192)):
        if budget_s < limit_s:
            return batch_tokens
    return 16384


def _dropout(epochs: float, num_parameters: int, num_train_tokens: float) -> float:
    """Text seen often by a model that could hold it needs noise against being learned by heart."""
    if num_parameters < num_train_tokens or epochs <= 4:
        return 0.0
    return 0.1 if epochs <= 12 else 0.2


def _memorising_penalty(epochs: float, num_parameters: int, num_train_tokens: float) -> float:
    """How much worse a model does that is large enough to learn by heart what it sees often.

    Measured on 0.5 M tokens: 3.0 M parameters and 10 passes ended above 1.3 M parameters and 9.5 passes.
    """
    often = min(1.0, max(0.0, (epochs - 3) / 6))
    return max(1.0, num_parameters / (4 * num_train_tokens)) ** (0.15 * often)


def context_penalty(context_bytes: float) -> float:
    """How much worse a model does that sees only this many bytes back."""
    return 1 + 1.2 / max(16.0, context_bytes)
