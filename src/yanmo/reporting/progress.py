"""Progress and messages on stderr: a bar on a terminal, a line now and then elsewhere.

``NO_COLOR`` is honoured; data never goes here (that is stdout's).
"""

from __future__ import annotations

import atexit
import sys
import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, SpinnerColumn, TextColumn
from rich.progress import Progress as RichProgress

from yanmo.config import format_duration

_LINE_EVERY_S = 10.0
_said_once: set[str] = set()


def say(message: str) -> None:
    """Print one line for the user on stderr."""
    print(message, file=sys.stderr, flush=True)


def say_once(message: str) -> None:
    """Print a line on stderr the first time it is said in this process."""
    if message not in _said_once:
        _said_once.add(message)
        say(message)


class Progress:
    """A bar with time left; use as a context manager.

    On a terminal it is redrawn in place, elsewhere a line appears every ten seconds.
    """

    def __init__(self, description: str, *, total: float | None = None, unit: str = "") -> None:
        """Prepare the bar.

        Args:
            description: what is being done.
            total: units of work in all, or None where unknown.
            unit: what is counted, shown behind the numbers.
        """
        self._description, self._total, self._unit = description, total, unit
        self._done, self._note = 0.0, ""
        self._started_s = self._last_line_s = time.monotonic()
        self._bar: RichProgress | None = None

    def __enter__(self) -> Progress:
        """Show the bar."""
        if sys.stderr.isatty():
            columns = (
                SpinnerColumn(),
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn("{task.fields[note]}"),
            )
            self._bar = RichProgress(*columns, console=Console(stderr=True), transient=True)
            self._bar.start()
            # Whatever ends the process, the terminal gets its cursor back.
            atexit.register(self._bar.stop)
            self._task = self._bar.add_task(self._description, total=self._total, note="")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.stop()
            atexit.unregister(self._bar.stop)

    def set_total(self, total: float) -> None:
        """Correct how much work there is in all."""
        self._total = total
        if self._bar is not None:
            self._bar.update(self._task, total=total)

    def advance(self, amount: float = 1.0, note: str = "") -> None:
        """Count ``amount`` more units done; ``note`` is shown behind the numbers."""
        self.update(self._done + amount, note)

    def update(self, done: float, note: str = "", *, time_left_s: float | None = None) -> None:
        """Set the units done; ``time_left_s`` replaces the estimate from the speed so far."""
        self._done, self._note = done, note or self._note
        now_s = time.monotonic()
        if self._bar is not None:
            self._bar.update(self._task, completed=done, note=self._line(now_s, time_left_s))
        elif now_s - self._last_line_s >= _LINE_EVERY_S:
            self._last_line_s = now_s
            say(f"{self._description}: {self._line(now_s, time_left_s)}")

    def _line(self, now_s: float, time_left_s: float | None) -> str:
        elapsed_s = now_s - self._started_s
        parts = [f"{self._done:,.0f}" + (f"/{self._total:,.0f}" if self._total else "")]
        if self._unit:
            parts[0] += f" {self._unit}"
        if time_left_s is None and self._total and self._done > 0:
            time_left_s = elapsed_s * (self._total - self._done) / self._done
        if time_left_s is not None:
            parts.append(f"{format_duration(max(0.0, time_left_s))} left")
        if self._note:
            parts.append(self._note)
        return ", ".join(parts)
