"""Measure the machine in about two seconds: what it has, and how fast the work of training runs on it.

Figures are medians of repeated measurements, since a machine is seldom quiet. What a container may use
(affinity, cgroup limits) counts, not what the hardware holds.
"""

from __future__ import annotations

import dataclasses
import math
import os
import platform
import shutil
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch

from yanmo.machine import available_memory_bytes, cpu_flags, cpu_name, usable_cores

Dtype = Literal["bfloat16", "float32"]

# bfloat16 costs precision, so it has to pay: chosen only where its matrix product is this much faster.
_BF16_MUST_GAIN = 1.3
_LARGE_SHAPE = (4096, 384, 1536)
_SMALL_SHAPE = (4096, 256, 256)
_READ_BYTES = 128 * 2**20
_FLAGS = (
    "avx2",
    "avx512f",
    "avx512_vnni",
    "avx512_bf16",
    "avx_vnni",
    "amx_bf16",
    "amx_int8",
    "asimd",
    "bf16",
)


class Work(NamedTuple):
    """Something to time: a call, and how much work one call does."""

    amount: float
    call: Callable[[], object]


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What the machine has and how fast it is.

    Attributes:
        cores: physical cores that this process may use.
        memory_bytes: memory that is free for us now, within the container's limit.
        dtype: what matrix products should run in, by measured speed.
        gemm_flop_per_s: of a (4096, 384) by (384, 1536) product in ``dtype``.
        small_gemm_flop_per_s: of a (4096, 256) by (256, 256) product in ``dtype``.
        fp32_gemm_flop_per_s: of the larger product in float32.
        memory_bytes_per_s: when reading memory in order, all threads together.
        operator_overhead_s: time of one tiny torch operator called from Python.
        compiler: path of a C++ compiler, or empty.
        disk_free_bytes: where the command runs.
        cpu: the processor's name.
        flags: instruction sets that matter here.
        threads: that torch uses.
        torch_version: of torch.
        system: such as ``Linux x86_64``.
    """

    cores: int
    memory_bytes: int
    dtype: Dtype
    gemm_flop_per_s: float
    small_gemm_flop_per_s: float
    fp32_gemm_flop_per_s: float
    memory_bytes_per_s: float
    operator_overhead_s: float
    compiler: str
    disk_free_bytes: int
    cpu: str
    flags: tuple[str, ...]
    threads: int
    torch_version: str
    system: str

    def to_json(self) -> dict[str, Any]:
        """Plain values, keys in the order above."""
        return dataclasses.asdict(self) | {"flags": list(self.flags)}


def probe(folder: Path | None = None) -> Machine:
    """Measure this machine.

    Args:
        folder: whose disk is asked for free space; the current one by default.
    """
    with torch.inference_mode():
        speeds = interleaved_speeds(
            {
                "fp32": _gemm(torch.float32, _LARGE_SHAPE),
                "bf16": _gemm(torch.bfloat16, _LARGE_SHAPE),
                "fp32 small": _gemm(torch.float32, _SMALL_SHAPE),
                "bf16 small": _gemm(torch.bfloat16, _SMALL_SHAPE),
                "read": _read_memory(),
                "operator": _tiny_operators(),
            }
        )
    dtype = choose_dtype(fp32=speeds["fp32"], bf16=speeds["bf16"])
    own = "bf16" if dtype == "bfloat16" else "fp32"
    return Machine(
        cores=usable_cores(),
        memory_bytes=available_memory_bytes(),
        dtype=dtype,
        gemm_flop_per_s=speeds[own],
        small_gemm_flop_per_s=speeds[f"{own} small"],
        fp32_gemm_flop_per_s=speeds["fp32"],
        memory_bytes_per_s=speeds["read"],
        operator_overhead_s=1.0 / speeds["operator"],
        compiler=find_compiler(),
        disk_free_bytes=shutil.disk_usage(folder or Path.cwd()).free,
        cpu=cpu_name(),
        flags=cpu_flags(_FLAGS),
        threads=torch.get_num_threads(),
        torch_version=torch.__version__,
        system=f"{platform.system()} {platform.machine()}",
    )


def choose_dtype(*, fp32: float, bf16: float) -> Dtype:
    """bfloat16 where its matrix product is at least 1.3 times as fast as float32's (both in flop/s)."""
    return "bfloat16" if bf16 >= _BF16_MUST_GAIN * fp32 else "float32"


def interleaved_speeds(
    works: Mapping[str, Work], *, num_rounds: int = 6, slice_s: float = 0.04, budget_s: float = 2.0
) -> dict[str, float]:
    """Speed of each work, measured in turns so that a busy moment slows all of them alike.

    Args:
        works: what to do, by name.
        num_rounds: how often each has its turn.
        slice_s: how long a turn is at most, beyond two calls.
        budget_s: no round after the third begins later than this.

    Returns:
        Amount per second by the median time of a call.
    """
    times: dict[str, list[float]] = {name: [] for name in works}
    for work in works.values():
        work.call()
    began_s = time.perf_counter()
    for turn in range(num_rounds):
        if turn >= 3 and time.perf_counter() - began_s > budget_s:
            break
        for name, work in works.items():
            end_s = time.perf_counter() + slice_s
            for call in range(100):
                start_s = time.perf_counter()
                if call >= 2 and start_s > end_s:
                    break
                work.call()
                times[name].append(time.perf_counter() - start_s)
    return {name: work.amount / max(statistics.median(times[name]), 1e-9) for name, work in works.items()}


def find_compiler() -> str:
    """Path of a C++ compiler (``CXX`` first, as torch does), or an empty string."""
    names = [os.environ.get("CXX", ""), "g++", "clang++", "c++"]
    return next((found for name in names if name and (found := shutil.which(name))), "")


def _gemm(dtype: torch.dtype, shape: tuple[int, int, int]) -> Work:
    rows, inner, columns = shape
    left, right = torch.ones(rows, inner, dtype=dtype), torch.ones(inner, columns, dtype=dtype)
    out = torch.empty(rows, columns, dtype=dtype)
    return Work(amount=2.0 * math.prod(shape), call=lambda: torch.mm(left, right, out=out))


def _read_memory() -> Work:
    block = torch.ones(_READ_BYTES // 4, dtype=torch.float32)
    return Work(amount=float(_READ_BYTES), call=lambda: torch.sum(block))


def _tiny_operators() -> Work:
    tiny, num_calls = torch.ones(8), 200

    def call() -> None:
        for _ in range(num_calls):
            torch.add(tiny, tiny)

    return Work(amount=float(num_calls), call=call)
