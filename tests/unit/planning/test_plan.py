from __future__ import annotations

import dataclasses
import itertools

import pytest

from yanmo.config import from_mapping
from yanmo.errors import InputError
from yanmo.models.transformer import Transformer
from yanmo.planning.cost import predict_memory_bytes, predict_step_s
from yanmo.planning.plan import Candidate, CorpusFacts, Wishes, make_plan, plan_table
from yanmo.planning.probe import Machine
from yanmo.planning.scaling import LAW, effective_epochs

MACHINE = Machine(
    cores=2,
    memory_bytes=16 * 2**30,
    dtype="bfloat16",
    gemm_flop_per_s=4e11,
    small_gemm_flop_per_s=4e11,
    fp32_gemm_flop_per_s=1.5e11,
    memory_bytes_per_s=14e9,
    operator_overhead_s=1e-5,
    compiler="",
    disk_free_bytes=2**36,
    cpu="",
    flags=(),
    threads=2,
    torch_version="2.13.0",
    system="Linux x86_64",
)
FACTS = CorpusFacts(
    num_train_bytes=1_000_000,
    num_valid_bytes=30_000,
    num_test_bytes=50_000,
    bytes_per_token=2.0,
    vocab_size=512,
    ngram_bits_per_byte=2.3,
)


def test_more_time_is_never_expected_to_give_a_worse_model() -> None:
    expected = [
        make_plan(FACTS, MACHINE, budget_s=s, measure=False).chosen.predicted_bits_per_byte
        for s in (30, 120, 600, 3600, 6 * 3600)
    ]
    assert expected == sorted(expected, reverse=True)
    assert expected[0] - expected[-1] > 0.1


def test_the_choice_is_the_best_candidate_and_fills_the_time() -> None:
    plan = make_plan(FACTS, MACHINE, budget_s=600, measure=False)
    assert plan.chosen.predicted_bits_per_byte == min(c.predicted_bits_per_byte for c in plan.candidates)
    assert plan.chosen.predicted_s == pytest.approx(600, rel=0.02)
    low, high = plan.chosen.interval
    assert low < plan.chosen.predicted_bits_per_byte < high
    marked = [line for line in plan_table(plan).splitlines() if line.startswith(" *")]
    assert len(marked) == 1 and f"{plan.chosen.num_steps}" in marked[0]


def test_wishes_are_granted() -> None:
    wishes = Wishes(num_layers=3, d_model=96, max_seq_len=64, batch_size=5, dropout=0.3, num_steps=77)
    chosen = make_plan(FACTS, MACHINE, budget_s=None, wishes=wishes).chosen
    granted = {key: getattr(chosen, key) for key in dataclasses.asdict(wishes) if hasattr(chosen, key)}
    assert granted | {"muon_learning_rate": None, "adam_learning_rate": None} == dataclasses.asdict(wishes)
    assert chosen.model.last_stack.block.attention.query_width == 96


def test_what_does_not_fit_is_refused_with_the_figures() -> None:
    small = dataclasses.replace(MACHINE, memory_bytes=200 * 2**20)
    with pytest.raises(InputError, match=r"the smallest candidate needs .* MB of memory"):
        make_plan(FACTS, small, budget_s=600, measure=False)
    with pytest.raises(InputError, match="too short to learn anything"):
        make_plan(FACTS, MACHINE, budget_s=0.5, measure=False)
    with pytest.raises(InputError, match="--budget 30m"):
        make_plan(FACTS, MACHINE, budget_s=None)


def test_a_plan_read_back_is_the_same() -> None:
    plan = make_plan(FACTS, MACHINE, budget_s=600, measure=False)
    assert from_mapping(Candidate, plan.to_json()["chosen"]) == plan.chosen


def test_a_larger_model_costs_more_time_and_memory() -> None:
    chosen = make_plan(FACTS, MACHINE, budget_s=3600, measure=False).chosen
    base, bigger = chosen.step, dataclasses.replace(chosen, num_layers=chosen.num_layers * 2).step
    assert 1.7 < predict_step_s(bigger, MACHINE) / predict_step_s(base, MACHINE) < 2.1
    assert predict_memory_bytes(bigger, MACHINE) > predict_memory_bytes(base, MACHINE)


def test_parameters_are_counted_as_torch_counts_them() -> None:
    model = make_plan(FACTS, MACHINE, budget_s=60, measure=False).chosen.model
    assert sum(p.numel() for p in Transformer(model).parameters()) == model.num_parameters


def test_repeated_text_is_worth_less_and_less() -> None:
    gains = [effective_epochs(n + 1, 6.0) - effective_epochs(n, 6.0) for n in range(1, 12)]
    assert effective_epochs(0.5, 6.0) == 0.5
    assert all(0 < later < earlier for earlier, later in itertools.pairwise(gains))
    once, often = (
        LAW.predict(ngram=2.0, num_parameters=1e6, num_bytes=1e6, epochs=epochs) for epochs in (1, 4)
    )
    assert often < once
