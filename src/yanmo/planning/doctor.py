"""What this machine can do, what is missing, and how to mend it."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from yanmo.config import format_size
from yanmo.machine import allowed_cores
from yanmo.nn import kernels
from yanmo.planning.probe import Machine, probe

_LEAST_MEMORY_BYTES = 2 * 2**30
_LEAST_DISK_BYTES = 5 * 2**30
_HUGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")


@dataclass(frozen=True, kw_only=True)
class Problem:
    """Something that stops or slows the work, and how to mend it."""

    what: str
    remedy: str


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """The machine and its problems."""

    machine: Machine
    problems: tuple[Problem, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain values: those of the machine, and ``problems``."""
        problems = [{"what": problem.what, "remedy": problem.remedy} for problem in self.problems]
        return self.machine.to_json() | {"kernels": kernels.status(), "problems": problems}

    def to_text(self) -> str:
        """The diagnosis for people."""
        machine = self.machine
        fast = machine.gemm_flop_per_s / max(machine.fp32_gemm_flop_per_s, 1.0)
        gain = f", {fast:.1f} times float32" if machine.dtype == "bfloat16" else ""
        rows = (
            (
                "processor",
                f"{machine.cpu}, {machine.cores} cores ({', '.join(machine.flags) or machine.system})",
            ),
            (
                "memory",
                f"{format_size(machine.memory_bytes)} free, {machine.memory_bytes_per_s / 1e9:.1f} GB/s",
            ),
            ("matrix products", f"{machine.gemm_flop_per_s / 1e9:,.0f} GFLOP/s in {machine.dtype}{gain}"),
            ("one tiny operator", f"{machine.operator_overhead_s * 1e6:.1f} microseconds"),
            ("disk", f"{format_size(machine.disk_free_bytes)} free"),
            ("compiler", machine.compiler or "none"),
            ("training kernels", kernels.status()),
            ("torch", f"{machine.torch_version}, {machine.threads} threads"),
        )
        lines = [f"{name:<18} {value}" for name, value in rows]
        lines += [""] + [f"! {problem.what}\n  {problem.remedy}" for problem in self.problems]
        return "\n".join(lines if self.problems else [*lines, "Everything is in order."])


def doctor(machine: Machine | None = None) -> Diagnosis:
    """Measure the machine and say what is wrong with it.

    Args:
        machine: a machine already measured; measured now by default.
    """
    measured = machine or probe()
    return Diagnosis(machine=measured, problems=tuple(problems_of(measured)))


def problems_of(machine: Machine) -> Iterator[Problem]:
    """Everything that stops or slows the work on ``machine``, the gravest first."""
    yield from _package_problems()
    yield from _place_problems(machine)
    yield from _speed_problems(machine)


def _package_problems() -> Iterator[Problem]:
    for requirement in metadata.requires("yanmo") or ():
        if "extra ==" in requirement:
            continue
        name, wanted = _name_and_least(requirement)
        try:
            found = metadata.version(name)
        except metadata.PackageNotFoundError:
            yield Problem(what=f"{name} is not installed", remedy=f"pip install '{requirement}'")
            continue
        if _numbers(found) < _numbers(wanted):
            yield Problem(
                what=f"{name} {found} is older than {wanted}", remedy=f"pip install '{requirement}'"
            )


def _place_problems(machine: Machine) -> Iterator[Problem]:
    if machine.memory_bytes < _LEAST_MEMORY_BYTES:
        yield Problem(
            what=f"only {format_size(machine.memory_bytes)} of memory is free",
            remedy="close other programs, raise the container's limit, or plan a smaller model",
        )
    if machine.disk_free_bytes < _LEAST_DISK_BYTES:
        yield Problem(
            what=f"only {format_size(machine.disk_free_bytes)} is free on the disk of this folder",
            remedy="free some space, or give --out a folder on another disk",
        )
    folder = tempfile.gettempdir()
    if not os.access(folder, os.W_OK) or shutil.disk_usage(folder).free < 2**28:
        yield Problem(
            what=f"the folder for temporary files, {folder}, is full or cannot be written",
            remedy="set TMPDIR to a folder with space",
        )


def _speed_problems(machine: Machine) -> Iterator[Problem]:
    if machine.dtype != "bfloat16":
        yield Problem(
            what="bfloat16 is not faster than float32 here, so training runs in float32",
            remedy="a processor with AMX or AVX512-BF16 trains 3 to 4 times faster; nothing else to do",
        )
    if not machine.compiler:
        yield Problem(
            what="there is no compiler, so training does without fused kernels and is a quarter slower",
            remedy="apt install gcc g++ (Debian), dnf install gcc-c++ (Fedora)",
        )
    if "[never]" in _huge_pages():
        yield Problem(
            what="huge memory pages are switched off, which slows large tensors",
            remedy=f"as root: echo madvise > {_HUGE_PAGES}",
        )
    if machine.cores < allowed_cores():
        yield Problem(
            what=f"OMP_NUM_THREADS leaves {machine.cores} of {allowed_cores()} cores to compute on",
            remedy="unset it",
        )
    if not torch.backends.mkldnn.is_available():
        yield Problem(
            what="this build of torch has no oneDNN, so bfloat16 products are slow",
            remedy="install the official torch wheel",
        )


def _huge_pages() -> str:
    try:
        return _HUGE_PAGES.read_text(encoding="ascii")
    except OSError:
        return ""


def _name_and_least(requirement: str) -> tuple[str, str]:
    named, least = re.match(r"[\w.-]+", requirement), re.search(r">=\s*([^,;\s]+)", requirement)
    return named[0] if named else requirement, least[1] if least else "0"


def _numbers(version: str) -> tuple[int, ...]:
    release = version.split("+")[0].split("rc")[0]
    return tuple(int(part) for part in release.split(".") if part.isdigit())
