"""Runs side by side: settings that differ, results, and scores at equal tokens."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from yanmo.reporting.comparison import Comparison, compare, format_energy
from yanmo.reporting.runs import RunWatch
from yanmo.reporting.tables import comparison_tables


def make_run(
    folder: Path, settings: str, slope: float, *, measure: str = "bits_per_byte", **result: Any
) -> Path:
    folder.mkdir(parents=True)
    (folder / "run.toml").write_text(settings, encoding="utf-8")
    chosen = {"d_model": 64, "num_layers": 2, "num_parameters": 5, "predicted_bits_per_byte": 2.0}
    plan = {"chosen": chosen | {"interval": [1.9, 2.1]}}
    (folder / "plan.json").write_text(json.dumps(plan), encoding="utf-8")
    rows = [
        {"kind": "valid", "step": step, "tokens": step * 100, "loss_nats": 6.0, measure: 4.0 - slope * step}
        for step in range(0, 11, 2)
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    if result:
        (folder / "result.json").write_text(json.dumps(result))
    return folder


def compared(*folders: Path) -> Comparison:
    return compare(RunWatch(folders).named())


def values(comparison: Comparison, part: str, name: str) -> tuple[Any, ...]:
    rows = getattr(comparison, part)
    return next(row.values for row in rows if name in (row.name, getattr(row.name, "en", "")))


def test_only_settings_that_differ_are_listed(tmp_path: Path) -> None:
    one = 'corpus = "/a/corpus"\ncorpus_sha256 = "f"\nseed = 0\n[wishes]\nnum_layers = 2\n'
    two = 'corpus = "/b/corpus"\ncorpus_sha256 = "f"\nseed = 1\n[wishes]\nd_model = 64\n'
    comparison = compared(make_run(tmp_path / "a", one, 0.1), make_run(tmp_path / "b", two, 0.2))
    assert comparison.names == ("a", "b")
    assert values(comparison, "settings", "seed") == (0, 1)
    names = {row.name for row in comparison.settings}
    # What was asked for is not listed again as the plan's choice.
    assert names == {"seed", "wishes.num_layers", "wishes.d_model", "num_layers", "d_model"}


def test_scores_at_equal_tokens_lie_on_the_curves(tmp_path: Path) -> None:
    comparison = compared(make_run(tmp_path / "a", "", 0.1), make_run(tmp_path / "b", "", 0.2))
    assert comparison.measure == "bits_per_byte"
    assert values(comparison, "equal_cost", "at 500 tokens") == pytest.approx((3.5, 3.0))
    assert values(comparison, "equal_cost", "at 1,000 tokens") == pytest.approx((3.0, 2.0))


def test_runs_without_bits_are_compared_by_their_loss(tmp_path: Path) -> None:
    masked = make_run(tmp_path / "a", "", 0.1, measure="masked_accuracy")
    comparison = compared(masked, make_run(tmp_path / "b", "", 0.2))
    assert comparison.measure == "loss_nats"
    assert values(comparison, "equal_cost", "at 500 tokens") == (6.0, 6.0)
    assert values(comparison, "results", "masked tokens guessed") == ("3.0000", None)


def test_results_say_what_is_measured_and_what_is_estimated(tmp_path: Path) -> None:
    measured = make_run(tmp_path / "a", "", 0.1, energy_wh=2.0, energy_source="rapl", bits_per_byte=1.5)
    estimated = make_run(tmp_path / "b", "", 0.1, energy_wh=2500.0, energy_source="estimate")
    comparison = compared(measured, estimated)
    assert values(comparison, "results", "energy") == ("2 Wh", "~2.5 kWh")
    assert values(comparison, "results", "test bits per byte") == ("1.5000", None)
    assert values(comparison, "results", "predicted bits per byte") == ("2.000 [1.900, 2.100]",) * 2
    assert format_energy(None, None) == ""


def test_the_tables_hold_every_run_and_odd_names_stay_text(tmp_path: Path) -> None:
    folders = make_run(tmp_path / "[red]a", "seed = 0", 0.1), make_run(tmp_path / "b", "seed = 1", 0.2)
    console = Console(width=160)
    with console.capture() as captured:
        for table in comparison_tables(compared(*folders), plain=True):
            console.print(table)
    lines = [line.split() for line in captured.get().splitlines()]
    assert ["settings", "that", "differ", "[red]a", "b"] in lines
    assert ["seed", "0", "1"] in lines
    assert ["at", "500", "tokens", "3.5", "3"] in lines


def test_runs_of_one_name_go_by_their_paths(tmp_path: Path) -> None:
    folders = make_run(tmp_path / "x" / "run", "", 0.1), make_run(tmp_path / "y" / "run", "", 0.2)
    assert compared(*folders).names == tuple(map(str, folders))
    json.dumps(compared(*folders).to_mapping(), allow_nan=False)
