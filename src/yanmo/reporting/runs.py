"""The runs of a folder: what each holds, how far it came, and how good it is.

A run's folder may be half written, running at this moment, or damaged; whatever can be read is used and
nothing here fails because of one bad file.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
import os
import statistics
import time
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from rich.table import Table
from rich.text import Text

from yanmo.config import format_duration
from yanmo.errors import InputError
from yanmo.reporting.metrics_log import read_metrics

State = Literal["running", "done", "interrupted", "unknown"]
DEFAULT_FOLDER = Path("runs")
_LOCK = ".lock"
_MARKS = ("run.toml", "metrics.jsonl", "result.json", "plan.json")


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """What the files of a run say; a file that is missing or damaged is empty here."""

    path: Path
    settings: Mapping[str, Any] = field(default_factory=dict)
    metrics: Sequence[Mapping[str, Any]] = ()
    result: Mapping[str, Any] = field(default_factory=dict)
    plan: Mapping[str, Any] = field(default_factory=dict)
    evaluation: Mapping[str, Any] = field(default_factory=dict)

    def rows(self, kind: str) -> list[Mapping[str, Any]]:
        """The metrics rows of one kind, in order."""
        return [row for row in self.metrics if row.get("kind") == kind]


@dataclass(frozen=True, kw_only=True)
class RunSummary:
    """One run in a line. Numbers that are not known yet are None."""

    name: str
    path: str
    state: State
    started: str
    steps: int | None
    planned_steps: int | None
    tokens: int | None
    elapsed_s: float | None
    valid_bits_per_byte: float | None
    best_valid_bits_per_byte: float | None
    bits_per_byte: float | None
    baseline_bits_per_byte: float | None
    num_parameters: int | None
    model: str | None

    def to_mapping(self) -> dict[str, Any]:
        """Plain values, as ``yanmo runs --json`` prints them."""
        return dataclasses.asdict(self)


def runs(folder: Path | str = DEFAULT_FOLDER) -> list[RunSummary]:
    """Summarise the runs directly below a folder, and the folder itself if it is a run.

    Args:
        folder: where runs are kept; the default one need not be there yet.

    Returns:
        The runs, fewest bits per byte first (on the test text, else the best on the validation text);
        those without a number come last.

    Raises:
        InputError: there is no such folder.
    """
    root = Path(folder)
    if not root.is_dir():
        if root == DEFAULT_FOLDER and not root.exists():
            return []
        raise InputError("no such folder", where=root, remedy="give the folder that holds the runs")
    folders = [root, *sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))]
    summaries = [summarise(read_run(path)) for path in folders if is_run(path)]
    return sorted(summaries, key=lambda run: (_rank(run), run.name))


def is_run(folder: Path) -> bool:
    """True if the folder holds a file that only a run has."""
    return any((folder / name).is_file() for name in _MARKS)


def read_run(folder: Path) -> RunRecord:
    """Read whatever can be read of a run's folder."""
    try:
        settings = tomllib.loads((folder / "run.toml").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        settings = {}
    try:
        metrics = read_metrics(folder / "metrics.jsonl")
    except OSError:
        metrics = []
    return RunRecord(
        path=folder,
        settings=settings,
        metrics=metrics,
        result=read_object(folder / "result.json"),
        plan=read_object(folder / "plan.json"),
        evaluation=read_object(folder / "evaluation.json"),
    )


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file; empty where the file is missing or holds something else."""
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def summarise(record: RunRecord) -> RunSummary:
    """One line about a run from its files."""
    result, train, valid = record.result, record.rows("train"), record.rows("valid")
    last = max([*train[-1:], *valid[-1:]], key=lambda row: number(row.get("step")) or 0, default={})
    chosen = record.plan.get("chosen")
    plan: Mapping[str, Any] = chosen if isinstance(chosen, dict) else {}
    valid_bits = [bits for row in valid if (bits := number(row.get("bits_per_byte"))) is not None]
    model = record.path / "model"
    return RunSummary(
        name=record.path.resolve().name,
        path=str(record.path),
        state=state_of(record),
        started=_started(record),
        steps=_whole(result.get("steps"), last.get("step")),
        planned_steps=_whole(plan.get("num_steps")),
        tokens=_whole(result.get("tokens"), last.get("tokens")),
        elapsed_s=_first(result.get("wall_s"), last.get("elapsed_s")),
        valid_bits_per_byte=_first(valid_bits[-1] if valid_bits else result.get("valid_bits_per_byte")),
        best_valid_bits_per_byte=min(valid_bits, default=number(result.get("valid_bits_per_byte"))),
        bits_per_byte=_first(result.get("bits_per_byte"), record.evaluation.get("bits_per_byte")),
        baseline_bits_per_byte=_first(
            result.get("baseline_bits_per_byte"), _inner(record.evaluation, "baseline", "bits_per_byte")
        ),
        num_parameters=_whole(
            result.get("num_parameters"), plan.get("num_parameters"), record.settings.get("num_parameters")
        ),
        model=str(model) if (model / "config.json").is_file() else None,
    )


def state_of(record: RunRecord) -> State:
    """Whether a run is going on, as far as its files tell.

    A run without a result is running while the process that its lock names lives; where there is no lock,
    while its newest file is younger than a few of its own intervals between rows, at least half a minute.
    """
    if record.result:
        return "done"
    if (alive := _is_worked_on(record.path)) is not None:
        return "running" if alive else "interrupted"
    if not record.metrics:
        return "running" if _age_s(record.path, ("run.toml", "plan.json")) < 60 else "unknown"
    times = [t for row in record.metrics if (t := number(row.get("elapsed_s"))) is not None]
    gaps = [later - earlier for earlier, later in itertools.pairwise(times) if later > earlier]
    patience_s = max(30.0, 5 * statistics.median(gaps)) if gaps else 60.0
    return "running" if _age_s(record.path, ("metrics.jsonl",)) < patience_s else "interrupted"


def runs_table(summaries: Iterable[RunSummary], *, plain: bool = False) -> Table:
    """The runs as a table for people; ``plain`` leaves out lines and colours."""
    table = Table(box=None, pad_edge=False) if plain else Table()
    for heading in ("run", "state", "started"):
        table.add_column(heading, no_wrap=True)
    for heading in ("steps", "tokens", "time", "parameters", "valid", "test", "n-gram"):
        table.add_column(heading, justify="right", no_wrap=True)
    colors = {"running": "yellow", "done": "green", "interrupted": "red", "unknown": "dim"}
    for run in summaries:
        better = run.bits_per_byte is not None and run.bits_per_byte < (run.baseline_bits_per_byte or 0)
        table.add_row(
            Text(run.name),
            Text(run.state, style="" if plain else colors[run.state]),
            run.started[:16].replace("T", " "),
            _steps(run),
            _count(run.tokens),
            "-" if run.elapsed_s is None else format_duration(run.elapsed_s),
            _count(run.num_parameters),
            _bits(run.best_valid_bits_per_byte),
            Text(_bits(run.bits_per_byte), style="bold green" if better and not plain else ""),
            _bits(run.baseline_bits_per_byte),
        )
    return table


def number(value: object) -> float | None:
    """The value if it is a finite number, else None (a damaged file may hold anything)."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def _first(*values: object) -> float | None:
    return next((found for value in values if (found := number(value)) is not None), None)


def _whole(*values: object) -> int | None:
    found = _first(*values)
    return None if found is None else round(found)


def _inner(mapping: Mapping[str, Any], key: str, name: str) -> object:
    inner = mapping.get(key)
    return inner.get(name) if isinstance(inner, dict) else None


def _rank(run: RunSummary) -> float:
    ranked = _first(run.bits_per_byte, run.best_valid_bits_per_byte)
    return float("inf") if ranked is None else ranked


def _started(record: RunRecord) -> str:
    if (written := record.settings.get("started")) is not None:
        return written.isoformat() if isinstance(written, datetime) else str(written)
    times = [(record.path / name).stat().st_mtime for name in _MARKS if (record.path / name).is_file()]
    return datetime.fromtimestamp(min(times), UTC).isoformat(timespec="seconds") if times else ""


def _is_worked_on(folder: Path) -> bool | None:
    """Whether the process in the run's lock is alive; None where no lock tells.

    The lock itself is not tried: whoever holds it for a moment would keep the run's own command out.
    """
    try:
        process_id = int((folder / _LOCK).read_text(encoding="ascii"))
        os.kill(process_id, 0)
    except PermissionError:
        return True
    except ProcessLookupError:
        return False
    except (OSError, ValueError, OverflowError):
        return None
    return True


def _age_s(folder: Path, names: Iterable[str]) -> float:
    paths = [folder / name for name in names]
    return time.time() - max((path.stat().st_mtime for path in paths if path.is_file()), default=0.0)


def _steps(run: RunSummary) -> str:
    if run.steps is None:
        return "-"
    going_on = run.state != "done" and run.planned_steps is not None
    return f"{run.steps:,}/{run.planned_steps:,}" if going_on else f"{run.steps:,}"


def _count(value: int | None) -> str:
    if value is None:
        return "-"
    for limit, unit in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if value >= limit:
            return f"{value / limit:.1f}{unit}"
    return str(value)


def _bits(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
