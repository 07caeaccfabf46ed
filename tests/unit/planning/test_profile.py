"""The profile of a step: every second is accounted for, and every operator is put where it belongs."""

from __future__ import annotations

import time
from typing import Any

import pytest
import torch
from torch import nn

from yanmo.planning import profile
from yanmo.planning.profile import (
    ATTENTION,
    ELEMENTWISE,
    LOADING,
    MATRIX,
    MUON,
    NORMS,
    OPTIMIZER,
    OVERHEAD,
    SOFTMAX,
    Occasion,
    Span,
    profile_steps,
    profile_table,
)

SIZE = 192


def step(span: Span) -> int:
    """A made-up step: a product forward and back, one of the optimizer, a slow loader."""
    with span("data loading"):
        time.sleep(0.01)
        weight = torch.randn(SIZE, SIZE, requires_grad=True)
    with span("model"):
        (weight @ weight).softmax(-1).sum().backward()
    with span("optimizer"), torch.no_grad():
        torch.bmm(weight[None], weight[None])
        weight.add_(1.0)
    return 100


@pytest.fixture(scope="module")
def made() -> dict[str, Any]:
    occasion = Occasion(name="saving", call=lambda: time.sleep(0.05), every_steps=10)
    return profile_steps(step, peak_flop_per_s=1e12, num_steps=3, occasions=[occasion])


def seconds(made: dict[str, Any]) -> dict[str, float]:
    return {kind["name"]: kind["seconds"] for kind in made["kinds"]}


def test_the_kinds_make_up_the_step(made: dict[str, Any]) -> None:
    assert sum(seconds(made).values()) == pytest.approx(made["step_s"])
    assert sum(kind["share"] for kind in made["kinds"]) == pytest.approx(1.0)
    assert made["tokens_per_s"] == pytest.approx(100 / made["step_s"])
    assert all(took_s > -1e-9 for took_s in seconds(made).values())


def test_loading_and_saving_have_their_own_time(made: dict[str, Any]) -> None:
    took = seconds(made)
    assert took[LOADING] >= 0.01
    assert took["saving"] >= 0.005
    assert all(took[kind] > 0 for kind in (MATRIX, MUON, SOFTMAX))


def test_what_operators_leave_of_a_phase_is_python() -> None:
    own = {("model", MATRIX): 0.5, ("model", OVERHEAD): 9.0, ("optimizer", MUON): 0.1}
    phases = {"data loading": 0.1, "model": 0.75, "optimizer": 0.3}
    took = profile._shared_out(phases, own, step_s=1.25)
    assert (took[LOADING], took[MATRIX], took[MUON]) == (0.1, 0.5, 0.1)
    assert took[OVERHEAD] == pytest.approx(0.25 + 0.1)
    assert took[OPTIMIZER] == pytest.approx(0.2)


def test_what_the_profiler_costs_is_not_counted() -> None:
    """Operators that look slower than their phase share it."""
    own = {("model", MATRIX): 0.9, ("model", NORMS): 0.3}
    took = profile._shared_out({"model": 0.6}, own, step_s=0.6)
    assert (took[MATRIX], took[NORMS]) == (pytest.approx(0.45), pytest.approx(0.15))
    assert took[OVERHEAD] == pytest.approx(0.0)


def test_operations_are_counted_from_shapes(made: dict[str, Any]) -> None:
    """Three products of the model (one forward, two back), none of the optimizer's."""
    expected = 3 * 2 * SIZE**3 / made["step_s"] / 1e12
    assert made["share_of_peak"] == pytest.approx(expected)
    (matrix,) = (kind for kind in made["kinds"] if kind["name"] == MATRIX)
    assert matrix["share_of_peak"] == pytest.approx(3 * 2 * SIZE**3 / matrix["seconds"] / 1e12)


def test_the_table_names_every_kind(made: dict[str, Any]) -> None:
    text = profile_table(made)
    assert "100 tokens" in text
    for kind in made["kinds"]:
        assert kind["name"] in text
    assert "aten::mm" in text


def test_nothing_is_written_to_the_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    profile_steps(step, peak_flop_per_s=1e12, num_steps=1)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("name", "around", "phase", "expected"),
    [
        ("aten::mm", ["aten::matmul", "aten::linear"], "model", MATRIX),
        ("aten::mm", ["MmBackward0", "autograd::engine::evaluate_function: MmBackward0"], "model", MATRIX),
        ("aten::bmm", ["aten::matmul"], "model", ATTENTION),
        ("aten::mm", ["_ProductsBackward"], "model", ATTENTION),
        ("aten::_scaled_dot_product_flash_attention_for_cpu", [], "model", ATTENTION),
        ("aten::_softmax", ["aten::softmax"], "model", SOFTMAX),
        ("aten::exp_", ["_LinearCrossEntropy"], "model", SOFTMAX),
        ("_ProductsBackward", ["autograd::engine::evaluate_function: _ProductsBackward"], "model", SOFTMAX),
        ("_FusedRMSNorm", [], "model", NORMS),
        ("aten::native_layer_norm", ["aten::layer_norm"], "model", NORMS),
        ("aten::copy_", ["aten::to"], "model", ELEMENTWISE),
        ("_FusedGate", [], "model", ELEMENTWISE),
        ("autograd::engine::evaluate_function: MmBackward0", [], "model", OVERHEAD),
        ("aten::baddbmm", [], "optimizer", MUON),
        ("aten::_foreach_lerp_", [], "optimizer", OPTIMIZER),
        ("aten::index_select", [], "data loading", LOADING),
    ],
)
def test_operators_are_sorted_by_name_and_place(
    name: str, around: list[str], phase: str, expected: str
) -> None:
    assert profile._kind(name, around, phase) == expected


def test_operations_of_products() -> None:
    assert profile._flop("aten::addmm", [[5], [2, 3], [3, 5], [], []]) == 2 * 2 * 3 * 5
    assert profile._flop("aten::bmm", [[4, 2, 3], [4, 3, 5]]) == 2 * 4 * 2 * 3 * 5
    attention = [[1, 2, 8, 4], [1, 2, 6, 4], [1, 2, 6, 4]]
    name = "aten::_scaled_dot_product_flash_attention_for_cpu"
    assert profile._flop(name, attention) == 4 * 2 * 8 * 6 * 4
    assert profile._flop(f"{name}_backward", [attention[0], *attention]) == 10 * 2 * 8 * 6 * 4
    assert profile._flop("aten::add", [[2, 3], [2, 3]]) == 0


class _Rows:
    batch_size = 5

    def __init__(self) -> None:
        self.asked: list[tuple[int, range]] = []

    def rows(self, step: int, rows: range) -> int:
        self.asked.append((step, rows))
        return len(rows)

    def epochs(self, step: int) -> float:
        return 0.0


class _Mover:
    tokens: tuple[int, ...] = ()

    def accumulate(self) -> None:
        pass

    def step(self, *, factor: float, num_tokens: int) -> float:
        self.tokens += (num_tokens,)
        return 1.0


def test_a_training_step_takes_the_batch_in_micro_batches() -> None:
    weight = nn.Linear(1, 1)

    class Loss:
        def __init__(self, num_rows: int) -> None:
            self.loss_nats, self.num_tokens = weight.weight.sum() * num_rows, 10 * num_rows

    batches, mover = _Rows(), _Mover()
    make: Any = profile.training_step
    made = make(weight, lambda _, rows: Loss(rows), batches, mover, micro_batch_size=2)
    assert made(profile._unmarked) == 50
    made(profile._unmarked)
    assert [(step, len(rows)) for step, rows in batches.asked] == [
        (0, 2),
        (0, 2),
        (0, 1),
        (1, 2),
        (1, 2),
        (1, 1),
    ]
    assert mover.tokens == (50, 50)
    assert float(weight.weight.grad) == 10.0
