"""Energy of a piece of work: counted by the processor where it can, else estimated, and said which.

Intel and AMD processors count the energy of each package (RAPL: Running Average Power Limit; David et al.
2010, doi 10.1145/1840845.1840883), which Linux shows below /sys/class/powercap. The counters are of the whole
machine, whoever uses it, and run over; on many systems only root may read them, and virtual machines have
none. What is estimated instead is from the processor time of this process and of its children that ended.
"""

from __future__ import annotations

import contextlib
import os
import threading
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

Source = Literal["rapl", "estimate"]
POWERCAP = Path("/sys/class/powercap")
# A busy core with its share of caches, memory and fans. Processors lie between 3.5 W (many cores, low clocks)
# and 15 W (desktops), so the estimate is good to about a factor of two.
WATTS_PER_CORE = 7.0
JOULES_PER_WH = 3600.0
# A counter of 262 kJ runs over after 4 minutes at 1 kW: it is read more often than that.
_READ_EVERY_S = 20.0


def predict_wh(seconds: float, cores: int, *, watts: float | None = None) -> float:
    """Energy of work that keeps ``cores`` busy, in watt-hours.

    Args:
        seconds: how long it takes.
        cores: physical cores that it uses.
        watts: what was measured of this machine under such work; estimated where not given.
    """
    return seconds * (estimated_watts(cores) if watts is None else watts) / JOULES_PER_WH


def estimated_watts(cores: int) -> float:
    """Power of ``cores`` busy cores, good to about a factor of two."""
    return WATTS_PER_CORE * cores


@dataclass(frozen=True, kw_only=True)
class Counter:
    """One energy counter, in microjoules from 0 to ``limit``, where it begins again."""

    path: Path
    limit: int

    def read(self) -> int:
        """Its present value.

        Raises:
            OSError, ValueError: it cannot be read (any more).
        """
        return int(self.path.read_text())


def find_counters(folder: Path = POWERCAP) -> tuple[list[Counter], str]:
    """The counters of packages and of memory, and why there are none.

    Cores and graphics are parts of their package; the platform (psys) contains it. A second way to a package
    (intel-rapl-mmio) counts the same energy again.

    Returns:
        The readable counters, and an empty string; or no counters, and one line for the user.
    """
    found, forbidden = [], False
    for zone in sorted(folder.glob("*-rapl:*")):
        try:
            name = (zone / "name").read_text().strip()
            if not name.startswith("package") and name != "dram":
                continue
            counter = Counter(
                path=zone / "energy_uj", limit=int((zone / "max_energy_range_uj").read_text()) + 1
            )
            counter.read()
        except PermissionError:
            forbidden = True
        except (OSError, ValueError):
            continue
        else:
            found.append(counter)
    if forbidden:
        # Some packages alone would be a wrong sum.
        return [], (
            "the processor's energy counters may be read by root only, so energy is estimated "
            f"(sudo chmod a+r {folder}/*/energy_uj lets everyone)"
        )
    return found, "" if found else "this machine shows no energy counters, so energy is estimated"


class EnergyMeter:
    """Energy since ``start``, by RAPL or estimated; a context manager, or started and stopped by hand.

    Attributes:
        source: ``rapl`` or ``estimate``.
        note: one line for the user where it is an estimate, else empty.
    """

    def __init__(self, *, folder: Path = POWERCAP) -> None:
        """Look for counters below ``folder``, where Linux shows them."""
        self._counters, self.note = find_counters(folder)
        self.source: Source = "rapl" if self._counters else "estimate"
        self._joules = 0.0
        self._last: list[int] = []
        self._last_cpu_s = 0.0
        self._lock, self._done = threading.Lock(), threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> EnergyMeter:
        """Start."""
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        self.stop()

    def start(self) -> None:
        """Count from now on. A thread reads the counters now and then, so that none runs over twice."""
        self._last_cpu_s = _cpu_s()
        try:
            self._last = [counter.read() for counter in self._counters]
        except (OSError, ValueError):
            self._give_up()
        self._done.clear()
        if self._counters:
            self._thread = threading.Thread(target=self._watch, name="energy", daemon=True)
            self._thread.start()

    def go_on_from(self, joules: float) -> None:
        """Add what earlier sessions of the same work have taken."""
        with self._lock:
            self._joules += joules

    def stop(self) -> None:
        """Count no more."""
        if self._done.is_set():
            return
        self._update()
        self._done.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    @property
    def joules(self) -> float:
        """Energy so far."""
        if not self._done.is_set():
            self._update()
        return self._joules

    def to_mapping(self) -> dict[str, Any]:
        """``energy_wh`` and ``energy_source``, as in a run's result.json."""
        return {"energy_wh": self.joules / JOULES_PER_WH, "energy_source": self.source}

    def _watch(self) -> None:
        while not self._done.wait(_READ_EVERY_S):
            self._update()

    def _update(self) -> None:
        with self._lock:
            cpu_s = _cpu_s()
            spent_s, self._last_cpu_s = cpu_s - self._last_cpu_s, cpu_s
            try:
                now = [counter.read() for counter in self._counters]
            except (OSError, ValueError):
                self._give_up()
            if not self._counters:
                self._joules += spent_s * WATTS_PER_CORE
                return
            for counter, before, after in zip(self._counters, self._last, now, strict=True):
                self._joules += (after - before) % counter.limit / 1e6
            self._last = now

    def _give_up(self) -> None:
        """A counter that went away (a container moved, say) leaves a sum that is in part an estimate."""
        self._counters, self.source = [], "estimate"
        self.note = "the energy counters can no longer be read, so energy is estimated from here on"


def _cpu_s() -> float:
    """Processor time of this process and of its children that have ended."""
    with contextlib.suppress(OSError):
        times = os.times()
        return times.user + times.system + times.children_user + times.children_system
    return 0.0
