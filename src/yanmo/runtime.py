"""The process: its allocator, threads, clock and signals.

Call ``tune_process`` before torch is imported: torch reads one of the settings when it loads.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import platform
import resource
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from yanmo.errors import Interrupted

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3
_IMPORTED_S = time.time()


def tune_process() -> None:
    """Keep freed memory for the next step instead of giving it back to the kernel.

    glibc returns big blocks at once and the kernel then clears and maps their pages again: most of
    the time of an elementwise operator. Raised thresholds keep the blocks; huge pages, asked for
    through torch's allocator, make mapping 512 times rarer (nothing of this where there is no glibc).
    """
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    # Threads that spin long lose most of their time as soon as another program wants a core; threads that
    # do not spin at all lose a seventh of it when none does (benchmarks/LOG.md).
    os.environ.setdefault("GOMP_SPINCOUNT", "20000")
    if platform.libc_ver()[0] != "glibc":
        return
    libc = ctypes.CDLL(None)
    libc.mallopt(_M_MMAP_THRESHOLD, 2**30)
    libc.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
    libc.mallopt(_M_TOP_PAD, 64 * 2**20)


def give_back_memory() -> None:
    """Give freed memory to the kernel after all (where there is glibc)."""
    gc.collect()
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)


def process_age_s() -> float:
    """Seconds since this process was started, its imports included."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        start_ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
        uptime_s = float(Path("/proc/uptime").read_text().split()[0])
        return uptime_s - start_ticks / os.sysconf("SC_CLK_TCK")
    return time.time() - _IMPORTED_S


def num_processes() -> int:
    """How many processes share this command: as many as torchrun started, else one."""
    count = os.environ.get("WORLD_SIZE", "1")
    return int(count) if count.isdigit() else 1


def is_first_process() -> bool:
    """Whether this is the process that speaks and writes: the only one, or torchrun's first."""
    return num_processes() == 1 or os.environ.get("RANK") == "0"


def peak_memory_bytes() -> int:
    """Most memory this process has held at once."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory could not be had, whoever says it: Python, numpy, torch, a driver."""
    if isinstance(error, MemoryError):
        return True
    text = str(error)
    return isinstance(error, RuntimeError) and any(
        words in text for words in ("not enough memory", "can't allocate memory", "out of memory")
    )


class StopSignal:
    """SIGINT and SIGTERM as a flag that long work reads between steps; a second one stops at once."""

    def __init__(self) -> None:
        """Not asked to stop yet."""
        self._signal = 0

    def check(self, what: str, *, remedy: str) -> None:
        """Raise if a signal has come.

        Raises:
            Interrupted: with exit code 130 or 143.
        """
        if self._signal:
            raise Interrupted(what, exit_code=128 + self._signal, remedy=remedy)

    @property
    def is_set(self) -> bool:
        """Whether a signal has come."""
        return self._signal != 0

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self._signal:
            raise Interrupted("stopped at once", exit_code=128 + number)
        self._signal = number


@contextlib.contextmanager
def stop_signal() -> Iterator[StopSignal]:
    """Catch SIGINT and SIGTERM inside the block (in the main thread; elsewhere nothing is caught)."""
    stop = StopSignal()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, stop._receive) for number in numbers]
    try:
        yield stop
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
