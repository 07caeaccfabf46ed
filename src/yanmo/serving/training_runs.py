"""The training runs of some folders as JSON, for the page's curves.

The page asks every few seconds: only what is new in a run is read (``history``), and long runs are thinned.
"""

from __future__ import annotations

import bisect
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from yanmo.reporting import sections
from yanmo.reporting.comparison import compare, interval_of
from yanmo.reporting.history import PLACE_COLUMNS, History, is_number, thinned
from yanmo.reporting.runs import RunRecord, RunWatch, number
from yanmo.serving.api_errors import ApiError

MOST_ROWS = 600
_MOST_SAMPLES = 30
_MOST_INCIDENTS = 200
_MOST_COMPARED = 12


class TrainingRuns:
    """What the page knows of runs."""

    def __init__(self, folders: Sequence[Path]) -> None:
        """Name the folders: runs, or folders that hold runs directly; they need not be there yet."""
        self._folders = folders
        self._watch = RunWatch([])
        # Answers are made in threads, and reading on is no work for two at once.
        self._lock = threading.Lock()

    def summaries(self) -> list[dict[str, Any]]:
        """Every run in a line, best first."""
        with self._lock:
            return [finite(summary.to_mapping()) for summary in self._look().summaries()]

    def metrics(self, name: str) -> dict[str, Any]:
        """Everything that is drawn of one run.

        Raises:
            ApiError: 404, there is no such run.
        """
        with self._lock:
            return {"name": name, **_drawn(self._record(name))}

    def comparison(self, names: Sequence[str]) -> dict[str, Any]:
        """Runs side by side.

        Raises:
            ApiError: 404, there is no such run; 400, they are too many.
        """
        if len(names) > _MOST_COMPARED:
            raise ApiError(
                f"At most {_MOST_COMPARED} runs can be compared.", param="run", code="too_many_runs"
            )
        with self._lock:
            return compare({name: self._record(name) for name in names}).to_mapping()

    def _look(self) -> RunWatch:
        """The watch over the folders that are there by now."""
        self._watch.folders = [folder for folder in self._folders if folder.is_dir()]
        return self._watch

    def _record(self, name: str) -> RunRecord:
        # The name is looked up among the runs, never joined to a path.
        found = self._look().named().get(name)
        if found is None:
            raise ApiError(f"There is no run '{name}'.", status=404, param="name", code="run_not_found")
        return found


def _drawn(record: RunRecord) -> dict[str, Any]:
    history = record.history
    measured = history.measured()
    valid = thin(history.rows("valid"))
    return {
        "train": thinned(history, most=MOST_ROWS),
        "valid": {key: [number(row.get(key)) for row in valid] for key in (*PLACE_COLUMNS, *measured)},
        "measured": measured,
        "sample": [
            {"step": number(row.get("step")), "text": str(row.get("text", ""))}
            for row in history.rows("sample")[-_MOST_SAMPLES:]
        ],
        "incidents": _incidents(history),
        "predicted": _predicted(record),
        "outcome": [
            {
                "name": fact.name._asdict() if isinstance(fact.name, tuple) else fact.name,
                "expected": fact.expected,
                "value": fact.value,
                "note": fact.note._asdict() if fact.note else None,
            }
            for fact in sections.outcome(record)
        ],
    }


def _incidents(history: History) -> list[dict[str, Any]]:
    """Batches left out and times gone back, each with its place among the steps."""
    steps = history.column("step")
    placed = []
    for kind in ("skipped", "rollback"):
        for row in history.rows(kind)[-_MOST_INCIDENTS:]:
            if not is_number(row.get("step")):
                continue
            index = min(bisect.bisect_left(steps, row["step"]), len(steps) - 1)
            at = {name: history.column(name)[index] for name in PLACE_COLUMNS} if steps else {}
            placed.append(finite({"kind": kind, **at, "step": row["step"]}))
    return placed


def _predicted(record: RunRecord) -> dict[str, float | None] | None:
    """Where the plan expects the run to end: the place on every axis, and the interval of bits per byte."""
    chosen, interval = record.chosen, interval_of(record)
    if interval is None:
        return None
    steps, batch = number(chosen.get("num_steps")), number(chosen.get("batch_tokens"))
    return {
        "step": steps,
        "tokens": steps * batch if steps is not None and batch is not None else None,
        "elapsed_s": number(record.plan.get("training_s")) or number(chosen.get("predicted_s")),
        "value": number(chosen.get("predicted_bits_per_byte")),
        "low": interval[0],
        "high": interval[1],
    }


def thin(rows: Sequence[Mapping[str, Any]], most: int = MOST_ROWS) -> list[Mapping[str, Any]]:
    """At most ``most`` rows (at least 2), evenly over all, with the first and the last."""
    if len(rows) <= most:
        return list(rows)
    last = len(rows) - 1
    return [rows[round(index * last / (most - 1))] for index in range(most)]


def finite(row: Mapping[str, Any]) -> dict[str, Any]:
    """The same with null for numbers that JSON does not know."""
    return {
        key: None if isinstance(value, float) and not is_number(value) else value
        for key, value in row.items()
    }
