"""The machine as the process may use it: affinity, containers' limits, what the processor is.

What a container may use counts, not what the hardware holds.
"""

from __future__ import annotations

import math
import os
import platform
import subprocess
from collections.abc import Iterable
from pathlib import Path


def usable_cores() -> int:
    """Cores to compute on: those that are allowed, or fewer where OMP_NUM_THREADS wishes so.

    Of several processes the wish counts for nothing: torchrun sets it to 1 where nobody did.
    """
    wish = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    is_alone = os.environ.get("WORLD_SIZE", "1") == "1"
    wished = int(wish) if is_alone and wish.isdecimal() else 0
    return min(allowed_cores(), wished) if wished else allowed_cores()


def allowed_cores() -> int:
    """Physical cores that this process may use: affinity and cgroup quota, hyper-threads counted once."""
    if hasattr(os, "sched_getaffinity"):
        allowed = os.sched_getaffinity(0)
        cores = {_siblings(cpu) for cpu in allowed}
        return max(1, min(len(cores), math.ceil(_cpu_quota())))
    counted = _sysctl("hw.physicalcpu")
    return int(counted) if counted.isdigit() else os.cpu_count() or 1


def available_memory_bytes() -> int:
    """Memory free for us now: what the kernel calls available, within the cgroup's limit."""
    available = _meminfo("MemAvailable")
    if available is None:
        total = _sysctl("hw.memsize")
        # macOS names no such figure; half of the whole is what a plan may count on there.
        available = int(total) // 2 if total.isdigit() else 4 * 2**30
    return min(available, _cgroup_memory_left())


def resident_memory_bytes() -> int | None:
    """Memory that this process holds now; None where the system does not say it."""
    pages = _read("/proc/self/statm").split()
    return int(pages[1]) * os.sysconf("SC_PAGE_SIZE") if len(pages) > 1 else None


def cpu_name() -> str:
    """The processor's name."""
    return _cpuinfo("model name") or _sysctl("machdep.cpu.brand_string") or platform.processor() or "unknown"


def cpu_flags(names: Iterable[str]) -> tuple[str, ...]:
    """Those of the processor's flags that are asked for, in the order asked."""
    present = set(_cpuinfo("flags", "Features").split())
    return tuple(flag for flag in names if flag in present)


def _read(path: str | Path) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def _siblings(cpu: int) -> str:
    found = _read(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
    return found or str(cpu)


def _cgroup_folders(controller: str) -> list[Path]:
    """The cgroup folders above this process, its own first (version 2, and version 1's controller)."""
    folders: list[Path] = []
    for line in _read("/proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        root = Path("/sys/fs/cgroup") / (controller if controllers else "")
        own = root / path.lstrip("/")
        folders += [own, *(parent for parent in own.parents if parent.is_relative_to(root))]
    return folders


def _cpu_quota() -> float:
    """CPUs' worth of time that the cgroup allows; infinite where there is no limit."""
    limits = [math.inf]
    for folder in _cgroup_folders("cpu"):
        quota, _, period = _read(folder / "cpu.max").partition(" ")
        if not quota:
            quota, period = _read(folder / "cpu.cfs_quota_us"), _read(folder / "cpu.cfs_period_us")
        if quota.isdigit() and period.isdigit() and int(period) > 0:
            limits.append(int(quota) / int(period))
    least = min(limits)
    return least if math.isfinite(least) else float(os.cpu_count() or 1)


def _cgroup_memory_left() -> int:
    left = [2**62]
    for folder in _cgroup_folders("memory"):
        for limit_name, used_name in (
            ("memory.max", "memory.current"),
            ("memory.limit_in_bytes", "memory.usage_in_bytes"),
        ):
            limit, used = _read(folder / limit_name), _read(folder / used_name)
            if limit.isdigit() and used.isdigit():
                # The page cache counts as used but gives way.
                left.append(max(0, int(limit) - int(used) + _inactive_file_bytes(folder)))
    return min(left)


def _inactive_file_bytes(folder: Path) -> int:
    fields = dict(line.split(" ", 1) for line in _read(folder / "memory.stat").splitlines() if " " in line)
    found = fields.get("total_inactive_file", fields.get("inactive_file", "0"))
    return int(found) if found.isdigit() else 0


def _meminfo(name: str) -> int | None:
    for line in _read("/proc/meminfo").splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    return None


def _cpuinfo(*names: str) -> str:
    for line in _read("/proc/cpuinfo").splitlines():
        name, _, value = line.partition(":")
        if name.strip() in names:
            return value.strip()
    return ""


def _sysctl(name: str) -> str:
    """A figure of macOS's kernel; empty elsewhere."""
    if platform.system() != "Darwin":
        return ""
    done = subprocess.run(["sysctl", "-n", name], capture_output=True, text=True, check=False, timeout=5)
    return done.stdout.strip()
