"""The machine's measured figures, what a container may use of it, and the doctor's findings."""

from __future__ import annotations

import dataclasses
import json
import os
import time
from importlib import metadata
from pathlib import Path

import pytest
import torch

from yanmo.planning import doctor as doctor_module
from yanmo.planning.doctor import doctor, problems_of
from yanmo.planning.probe import (
    Machine,
    Work,
    choose_dtype,
    find_compiler,
    interleaved_speeds,
    probe,
)

GIB = 2**30

HEALTHY = Machine(
    cores=2,
    memory_bytes=16 * GIB,
    dtype="bfloat16",
    gemm_flop_per_s=5e11,
    small_gemm_flop_per_s=4e11,
    fp32_gemm_flop_per_s=1.5e11,
    memory_bytes_per_s=1.4e10,
    operator_overhead_s=1e-6,
    compiler="/usr/bin/g++",
    disk_free_bytes=100 * GIB,
    cpu="A processor",
    flags=("avx512_bf16",),
    threads=2,
    torch_version="2.13.0",
    system="Linux x86_64",
)


@pytest.fixture(scope="module")
def machine() -> Machine:
    return probe()


def test_the_figures_are_possible(machine: Machine) -> None:
    assert 1 <= machine.cores <= (os.cpu_count() or 1)
    assert machine.threads == torch.get_num_threads()
    assert 1e8 < machine.fp32_gemm_flop_per_s < 1e15
    assert 1e8 < machine.memory_bytes_per_s < 1e13
    assert 1e-8 < machine.operator_overhead_s < 1e-2
    assert machine.torch_version == torch.__version__
    assert machine.disk_free_bytes > 0
    if machine.dtype == "float32":
        assert machine.gemm_flop_per_s == machine.fp32_gemm_flop_per_s
    else:
        assert machine.gemm_flop_per_s >= 1.3 * machine.fp32_gemm_flop_per_s


def test_the_machine_is_plain_json(machine: Machine) -> None:
    plain = json.loads(json.dumps(machine.to_json(), allow_nan=False))
    assert list(plain) == [field.name for field in dataclasses.fields(Machine)]
    assert isinstance(plain["flags"], list)


def test_speed_is_amount_over_median_time() -> None:
    pauses = iter([0.0, 0.004, 0.004, 0.1, 0.004, 0.004, 0.004, 0.1])
    speeds = interleaved_speeds(
        {"sleep": Work(amount=8.0, call=lambda: time.sleep(next(pauses)))}, num_rounds=3, slice_s=0.0
    )
    assert 8.0 / 0.02 < speeds["sleep"] <= 8.0 / 0.004


def test_works_take_turns() -> None:
    order: list[str] = []
    works = {name: Work(amount=1.0, call=lambda name=name: order.append(name)) for name in "ab"}
    interleaved_speeds(works, num_rounds=2, slice_s=0.0)
    assert "".join(order) == "ab" + "aabb" * 2


@pytest.mark.parametrize(
    ("bf16", "dtype"), [(1.0, "float32"), (1.29, "float32"), (1.3, "bfloat16"), (4.0, "bfloat16")]
)
def test_bfloat16_has_to_pay(bf16: float, dtype: str) -> None:
    assert choose_dtype(fp32=1.0, bf16=bf16) == dtype


def test_the_compiler_is_the_one_torch_would_take(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_compiler() == ""
    for name in ("c++", "my-c++"):
        (tmp_path / name).write_text("#!/bin/sh\n", encoding="ascii")
        (tmp_path / name).chmod(0o755)
    assert find_compiler() == str(tmp_path / "c++")
    monkeypatch.setenv("CXX", "my-c++")
    assert find_compiler() == str(tmp_path / "my-c++")


def found(machine: Machine) -> str:
    return " | ".join(f"{problem.what}: {problem.remedy}" for problem in problems_of(machine))


@pytest.fixture
def sound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_module, "_huge_pages", lambda: "always [madvise] never")
    monkeypatch.setattr(doctor_module, "allowed_cores", lambda: HEALTHY.cores)
    monkeypatch.setattr(metadata, "requires", lambda name: [])


@pytest.mark.usefixtures("sound")
def test_a_healthy_machine_has_no_problem() -> None:
    assert found(HEALTHY) == ""
    assert doctor(HEALTHY).to_text().endswith("Everything is in order.")


@pytest.mark.usefixtures("sound")
@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"memory_bytes": GIB}, "only 1.0 GB of memory is free"),
        ({"disk_free_bytes": GIB}, "--out a folder on another disk"),
        ({"dtype": "float32"}, "training runs in float32"),
        ({"compiler": ""}, "apt install gcc g++"),
        ({"cores": 1}, "OMP_NUM_THREADS leaves 1 of 2 cores to compute on: unset it"),
    ],
)
def test_each_weakness_is_found_with_its_remedy(changed: dict[str, object], words: str) -> None:
    assert words in found(dataclasses.replace(HEALTHY, **changed))


@pytest.mark.usefixtures("sound")
def test_huge_pages_that_are_off_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_module, "_huge_pages", lambda: "always madvise [never]")
    assert "huge memory pages are switched off" in found(HEALTHY)


@pytest.mark.usefixtures("sound")
def test_packages_that_are_missing_or_old_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = ["torch>=99.1", "no-such-package>=1", "numpy>=1.0", "also-none>=1; extra == 'dev'"]
    monkeypatch.setattr(metadata, "requires", lambda name: wanted)
    text = found(HEALTHY)
    assert f"torch {torch.__version__} is older than 99.1: pip install 'torch>=99.1'" in text
    assert "no-such-package is not installed" in text
    assert "numpy" not in text
    assert "also-none" not in text


def test_the_requirements_of_this_installation_are_met() -> None:
    assert not [problem for problem in problems_of(HEALTHY) if "pip install" in problem.remedy]


@pytest.mark.usefixtures("sound")
def test_a_place_for_temporary_files_that_is_missing_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_module.tempfile, "gettempdir", lambda: "/no/such/folder")
    assert "/no/such/folder, is full or cannot be written: set TMPDIR" in found(HEALTHY)


@pytest.mark.usefixtures("sound")
def test_the_diagnosis_holds_machine_and_problems() -> None:
    diagnosis = doctor(dataclasses.replace(HEALTHY, compiler=""))
    plain = diagnosis.to_json()
    assert plain["cores"] == 2
    assert [set(problem) for problem in plain["problems"]] == [{"what", "remedy"}]
    assert "compiler           none" in diagnosis.to_text()
    assert "! there is no compiler" in diagnosis.to_text()
