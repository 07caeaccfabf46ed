"""Memory that is left: the machine's, and that of the groups the process is in."""

from __future__ import annotations

from pathlib import Path

import pytest

from yanmo import runtime

MB = 2**20


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with 1000 MB available and no groups."""
    (tmp_path / "meminfo").write_text(f"MemTotal: {2000 * 1024} kB\nMemAvailable:   {1000 * 1024} kB\n")
    monkeypatch.setattr(runtime, "_MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(runtime, "_OWN_CGROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(runtime, "_CGROUPS", tmp_path / "fs")
    return tmp_path


def group(folder: Path, *, version: int, limit: str, used: int, cache: int = 0) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
    limit_name, used_name, cache_key = (
        names if version == 1 else ("memory.max", "memory.current", "inactive_file")
    )
    (folder / limit_name).write_text(limit + "\n")
    (folder / used_name).write_text(f"{used}\n")
    (folder / "memory.stat").write_text(f"anon 5\n{cache_key} {cache}\n")


def test_the_machine_alone(machine: Path) -> None:
    assert runtime.available_memory_bytes() == 1000 * MB


def test_version_2_group_and_its_parents_limit(machine: Path) -> None:
    (machine / "cgroup").write_text("0::/outer/inner\n")
    group(machine / "fs" / "outer" / "inner", version=2, limit="max", used=10 * MB)
    assert runtime.available_memory_bytes() == 1000 * MB
    group(machine / "fs" / "outer", version=2, limit=str(500 * MB), used=300 * MB, cache=50 * MB)
    assert runtime.available_memory_bytes() == 250 * MB


def test_version_1_group(machine: Path) -> None:
    (machine / "cgroup").write_text("5:cpu:/\n4:memory:/box\n0::/\n")
    group(machine / "fs" / "memory" / "box", version=1, limit=str(400 * MB), used=100 * MB, cache=7 * MB)
    assert runtime.available_memory_bytes() == 307 * MB


def test_inside_a_container_the_named_path_is_missing_and_the_mount_counts(machine: Path) -> None:
    (machine / "cgroup").write_text("0::/docker/abc\n")
    group(machine / "fs", version=2, limit=str(200 * MB), used=50 * MB)
    assert runtime.available_memory_bytes() == 150 * MB


def test_a_group_over_its_limit_leaves_nothing(machine: Path) -> None:
    (machine / "cgroup").write_text("0::/\n")
    group(machine / "fs", version=2, limit="100", used=200)
    assert runtime.available_memory_bytes() == 0


def test_this_machine_has_some() -> None:
    assert 0 < runtime.available_memory_bytes() < 2**50
