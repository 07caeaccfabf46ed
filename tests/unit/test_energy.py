"""Energy: a fake tree of counters, one that runs over, one that may not be read, and none at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from yanmo import energy
from yanmo.energy import WATTS_PER_CORE, EnergyMeter, find_counters, predict_wh

RANGE_UJ = 262_143_328_850


def zone(folder: Path, place: str, name: str, energy_uj: int) -> Path:
    path = folder / place
    path.mkdir(parents=True)
    (path / "name").write_text(f"{name}\n")
    (path / "max_energy_range_uj").write_text(f"{RANGE_UJ}\n")
    (path / "energy_uj").write_text(f"{energy_uj}\n")
    return path / "energy_uj"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "intel-rapl").mkdir()
    zone(tmp_path, "intel-rapl:0", "package-0", 1_000_000)
    zone(tmp_path, "intel-rapl:0:0", "core", 500_000)
    zone(tmp_path, "intel-rapl:0:1", "dram", 200_000)
    zone(tmp_path, "intel-rapl:1", "psys", 9_000_000)
    zone(tmp_path, "intel-rapl-mmio:0", "package-0", 1_000_000)
    return tmp_path


def test_packages_and_memory_are_summed_and_nothing_twice(tree: Path) -> None:
    counters, note = find_counters(tree)
    assert [counter.path.parent.name for counter in counters] == ["intel-rapl:0", "intel-rapl:0:1"]
    assert note == ""


def test_the_difference_is_counted_and_the_meter_stops(tree: Path) -> None:
    with EnergyMeter(folder=tree) as meter:
        meter.go_on_from(10.0)
        (tree / "intel-rapl:0" / "energy_uj").write_text("3500000")
        (tree / "intel-rapl:0:1" / "energy_uj").write_text("700000")
        (tree / "intel-rapl:0:0" / "energy_uj").write_text("99000000")
        assert meter.joules == pytest.approx(13.0)
    (tree / "intel-rapl:0" / "energy_uj").write_text("9900000")
    assert meter.joules == pytest.approx(13.0)
    assert meter.to_mapping() == {"energy_wh": pytest.approx(13.0 / 3600), "energy_source": "rapl"}


def test_a_counter_that_runs_over_goes_on(tmp_path: Path) -> None:
    counter = zone(tmp_path, "intel-rapl:0", "package-0", RANGE_UJ - 1_999_999)
    with EnergyMeter(folder=tmp_path) as meter:
        counter.write_text("4000000")
        assert meter.joules == pytest.approx(6.0)


def test_the_thread_sees_a_counter_run_over_between_two_questions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(energy, "_READ_EVERY_S", 0.005)
    counter = zone(tmp_path, "intel-rapl:0", "package-0", 0)
    with EnergyMeter(folder=tmp_path) as meter:
        for value in (200_000_000_000, 100_000_000_000, 50_000_000_000):
            before = meter._joules
            # Written whole: the thread may look at any moment.
            (tmp_path / "next").write_text(str(value))
            (tmp_path / "next").replace(counter)
            while meter._joules == before:
                pass
    assert meter.joules == pytest.approx((2 * (RANGE_UJ + 1) + 50_000_000_000) / 1e6)


def test_counters_that_only_root_may_read_are_named(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = Path.read_text

    def read_text(path: Path, *args: object, **kwargs: object) -> str:
        if path.name == "energy_uj" and path.parent.name == "intel-rapl:0:1":
            raise PermissionError(13, "Permission denied")
        return read(path, *args, **kwargs)

    monkeypatch.setattr(Path, "read_text", read_text)
    meter = EnergyMeter(folder=tree)
    assert meter.source == "estimate"
    assert "root only" in meter.note
    assert "chmod" in meter.note


@pytest.mark.parametrize("content", ["", "many", "\n"])
def test_a_damaged_counter_is_none(tmp_path: Path, content: str) -> None:
    zone(tmp_path, "intel-rapl:0", "package-0", 1).write_text(content)
    assert find_counters(tmp_path)[0] == []


def test_without_counters_processor_time_is_what_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = [os.times_result((1.0, 1.0, 0.0, 0.0, 0.0)), os.times_result((3.0, 2.0, 1.0, 0.5, 9.0))]
    monkeypatch.setattr(os, "times", lambda: times.pop(0) if len(times) > 1 else times[0])
    with EnergyMeter(folder=tmp_path / "none") as meter:
        pass
    assert meter.joules == pytest.approx(4.5 * WATTS_PER_CORE)
    assert meter.source == "estimate"
    assert "estimated" in meter.note


def test_a_counter_that_goes_away_leaves_an_estimate(tree: Path) -> None:
    with EnergyMeter(folder=tree) as meter:
        (tree / "intel-rapl:0" / "energy_uj").write_text("2000000")
        assert meter.joules == pytest.approx(1.0)
        (tree / "intel-rapl:0" / "energy_uj").unlink()
        assert meter.joules >= 1.0
        assert meter.source == "estimate"


def test_predicted_energy() -> None:
    assert predict_wh(1800, 4) == pytest.approx(4 * WATTS_PER_CORE / 2)
    assert predict_wh(3600, 4, watts=65.0) == pytest.approx(65.0)
