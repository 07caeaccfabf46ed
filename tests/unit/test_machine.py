"""What the machine leaves to the process: cores and memory, by affinity and by the limits of containers."""

from __future__ import annotations

import os
from collections.abc import Mapping

import pytest

from yanmo import machine as machine_module
from yanmo.machine import available_memory_bytes, usable_cores

GIB = 2**30


def pretend(monkeypatch: pytest.MonkeyPatch, files: Mapping[str, str], cpus: set[int]) -> None:
    """Put these files in the place of the kernel's."""
    monkeypatch.setattr(machine_module, "_read", lambda path: files.get(str(path), ""))
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: cpus, raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)


def test_hyper_threads_count_once(monkeypatch: pytest.MonkeyPatch) -> None:
    siblings = "/sys/devices/system/cpu/cpu{}/topology/thread_siblings_list"
    files = {siblings.format(cpu): f"{cpu % 4},{cpu % 4 + 4}" for cpu in range(8)}
    pretend(monkeypatch, files, set(range(8)))
    assert usable_cores() == 4
    pretend(monkeypatch, files, {0, 4, 1})
    assert usable_cores() == 2


@pytest.mark.parametrize(
    "files",
    [
        {"/proc/self/cgroup": "0::/a/b", "/sys/fs/cgroup/a/cpu.max": "150000 100000"},
        {
            "/proc/self/cgroup": "3:cpu,cpuacct:/box",
            "/sys/fs/cgroup/cpu/box/cpu.cfs_quota_us": "200000",
            "/sys/fs/cgroup/cpu/box/cpu.cfs_period_us": "100000",
        },
    ],
)
def test_the_quota_of_a_container_counts(monkeypatch: pytest.MonkeyPatch, files: dict[str, str]) -> None:
    pretend(monkeypatch, files, set(range(16)))
    assert usable_cores() == 2


def test_no_quota_is_no_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    files = {
        "/proc/self/cgroup": "0::/a\n1:cpu:/",
        "/sys/fs/cgroup/a/cpu.max": "max 100000",
        "/sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1",
        "/sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000",
    }
    pretend(monkeypatch, files, set(range(16)))
    assert usable_cores() == 16


@pytest.mark.parametrize(
    ("wish", "processes", "cores"),
    [("3", "1", 3), ("2,1", "1", 2), ("99", "1", 16), ("1", "2", 16), ("0", "1", 16), ("two", "1", 16)],
)
def test_fewer_threads_can_be_wished_for(
    wish: str, processes: str, cores: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(monkeypatch, {}, set(range(16)))
    monkeypatch.setenv("OMP_NUM_THREADS", wish)
    monkeypatch.setenv("WORLD_SIZE", processes)
    assert usable_cores() == cores


def test_memory_is_what_the_tightest_limit_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    files = {"/proc/meminfo": f"MemTotal: 1 kB\nMemAvailable:   {20 * 2**20} kB"}
    pretend(monkeypatch, files, {0})
    assert available_memory_bytes() == 20 * GIB
    files |= {
        "/proc/self/cgroup": "0::/a/b",
        "/sys/fs/cgroup/a/b/memory.max": "max",
        "/sys/fs/cgroup/a/b/memory.current": str(2 * GIB),
        "/sys/fs/cgroup/a/memory.max": str(8 * GIB),
        "/sys/fs/cgroup/a/memory.current": str(5 * GIB),
        "/sys/fs/cgroup/a/memory.stat": f"anon 1\ninactive_file {GIB}",
    }
    assert available_memory_bytes() == 4 * GIB
    files |= {
        "/proc/self/cgroup": "4:memory:/box",
        "/sys/fs/cgroup/memory/box/memory.limit_in_bytes": str(3 * GIB),
        "/sys/fs/cgroup/memory/box/memory.usage_in_bytes": str(GIB),
    }
    assert available_memory_bytes() == 2 * GIB


def test_inside_a_container_the_named_path_is_missing_and_the_mount_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    files = {
        "/proc/meminfo": f"MemAvailable:   {20 * 2**20} kB",
        "/proc/self/cgroup": "0::/docker/abc",
        "/sys/fs/cgroup/memory.max": str(2 * GIB),
        "/sys/fs/cgroup/memory.current": str(GIB),
    }
    pretend(monkeypatch, files, {0})
    assert available_memory_bytes() == GIB
    files["/sys/fs/cgroup/memory.current"] = str(3 * GIB)
    assert available_memory_bytes() == 0


def test_this_machine_has_some() -> None:
    assert 0 < available_memory_bytes() < 2**50
    assert 1 <= usable_cores() <= (os.cpu_count() or 1)
