"""The runs of a folder: what each holds, how far it came, and how good it is.

A run's folder may be half written, running at this moment, or damaged; whatever can be read is used and
nothing here fails because of one bad file.
"""

from __future__ import annotations

import contextlib
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

from yanmo.errors import InputError
from yanmo.reporting.history import NOT_MEASURED, History

State = Literal["running", "done", "interrupted", "unknown"]
DEFAULT_FOLDER = Path("runs")
_LOCK = ".lock"
_METRICS = "metrics.jsonl"
_MARKS = ("run.toml", _METRICS, "result.json", "plan.json")
# A process is known to be as old as its lock to about this.
_LOCK_SLACK_S = 5.0


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """What the files of a run say; a file that is missing or damaged is empty here."""

    path: Path
    settings: Mapping[str, Any] = field(default_factory=dict)
    history: History = field(default_factory=History)
    result: Mapping[str, Any] = field(default_factory=dict)
    plan: Mapping[str, Any] = field(default_factory=dict)
    evaluation: Mapping[str, Any] = field(default_factory=dict)
    profile: Mapping[str, Any] = field(default_factory=dict)

    @property
    def chosen(self) -> Mapping[str, Any]:
        """The sizes and predictions that the plan chose."""
        return table_in(self.plan, "chosen")


@dataclass(frozen=True, kw_only=True)
class RunSummary:
    """One run in a line. Numbers that are not known (yet) are None.

    Attributes:
        valid: what the newest validation measured, by name.
        progress: share of the run that is done, 0 to 1.
        time_left_s: of a run that goes on.
        num_skipped: batches that the loop left out.
        num_rollbacks: how often it went back to a checkpoint.
        energy_source: ``rapl`` (measured) or ``estimate``.
    """

    name: str
    path: str
    state: State
    started: str
    steps: int | None
    planned_steps: int | None
    tokens: int | None
    elapsed_s: float | None
    progress: float | None
    time_left_s: float | None
    valid: Mapping[str, float]
    valid_bits_per_byte: float | None
    best_valid_bits_per_byte: float | None
    best_valid_loss_nats: float | None
    bits_per_byte: float | None
    baseline_bits_per_byte: float | None
    num_parameters: int | None
    num_skipped: int
    num_rollbacks: int
    energy_wh: float | None
    energy_source: str | None
    model: str | None

    def to_mapping(self) -> dict[str, Any]:
        """Plain values, as ``yanmo runs --json`` prints them."""
        return dataclasses.asdict(self)


def runs(*folders: Path | str) -> list[RunSummary]:
    """Summarise the runs of folders.

    Args:
        folders: runs, or folders that hold runs directly; ``runs`` where none is given, which need not be
            there yet.

    Returns:
        The runs, fewest bits per byte first (on the test text, else the best on the validation text); those
        without a number come last.

    Raises:
        InputError: there is no such folder.
    """
    return RunWatch([Path(folder) for folder in folders] or [DEFAULT_FOLDER]).summaries()


class RunWatch:
    """The runs of some folders, looked at again and again; only what is new in a run is read."""

    def __init__(self, folders: Sequence[Path]) -> None:
        """Name the folders: runs, or folders that hold runs directly."""
        self.folders = folders
        self._histories: dict[Path, History] = {}

    def named(self) -> dict[str, RunRecord]:
        """Every run as it stands, by its name; runs of one name in several places go by their paths.

        Raises:
            InputError: there is no such folder.
        """
        found = dict.fromkeys(run for folder in self.folders for run in find_runs(folder))
        self._histories = {run: self._histories.get(run) or History(run / _METRICS) for run in found}
        names = [run.resolve().name for run in found]
        return {
            name if names.count(name) == 1 else str(run): read_run(run, self._histories[run])
            for name, run in zip(names, found, strict=True)
        }

    def summaries(self) -> list[RunSummary]:
        """Every run in a line, the best first.

        Raises:
            InputError: there is no such folder.
        """
        made = [dataclasses.replace(summarise(record), name=name) for name, record in self.named().items()]
        return sorted(made, key=lambda run: (_rank(run), run.name))


def find_runs(folder: Path) -> list[Path]:
    """The folder itself if it is a run, and the runs directly below it.

    Raises:
        InputError: there is no such folder (the default one need not be there yet).
    """
    if not folder.is_dir():
        if folder == DEFAULT_FOLDER and not folder.exists():
            return []
        raise InputError("no such folder", where=folder, remedy="give the folder that holds the runs")
    below = sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
    return [path for path in (folder, *below) if is_run(path)]


def is_run(folder: Path) -> bool:
    """True if the folder holds a file that only a run has."""
    return any((folder / name).is_file() for name in _MARKS)


def read_run(folder: Path, history: History | None = None) -> RunRecord:
    """Read whatever can be read of a run's folder; of a ``history`` read before, only what is new."""
    try:
        settings = tomllib.loads((folder / "run.toml").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        settings = {}
    history = History(folder / _METRICS) if history is None else history
    with contextlib.suppress(OSError):
        history.refresh()
    return RunRecord(
        path=folder,
        settings=settings,
        history=history,
        result=read_object(folder / "result.json"),
        plan=read_object(folder / "plan.json"),
        evaluation=read_object(folder / "evaluation.json"),
        profile=read_object(folder / "profile.json"),
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
    result, plan, history = record.result, record.chosen, record.history
    last, state = history.newest(), state_of(record)
    valid_bits = [bits for _, bits in history.points("step", "bits_per_byte", kind="valid")]
    valid_nats = [nats for _, nats in history.points("step", "loss_nats", kind="valid")]
    progress, time_left_s = _progress(record, last)
    model = record.path / "model"
    return RunSummary(
        name=record.path.resolve().name,
        path=str(record.path),
        state=state,
        started=_started(record),
        steps=_whole(result.get("steps"), last.get("step")),
        planned_steps=_whole(plan.get("num_steps")),
        tokens=_whole(result.get("tokens"), last.get("tokens")),
        elapsed_s=_first(result.get("wall_s"), last.get("elapsed_s")),
        progress=1.0 if state == "done" else progress,
        time_left_s=time_left_s if state == "running" else None,
        valid=_valid(history),
        valid_bits_per_byte=_first(valid_bits[-1] if valid_bits else result.get("valid_bits_per_byte")),
        best_valid_bits_per_byte=min(valid_bits, default=number(result.get("valid_bits_per_byte"))),
        best_valid_loss_nats=min(valid_nats, default=number(result.get("valid_loss_nats"))),
        bits_per_byte=_first(result.get("bits_per_byte"), record.evaluation.get("bits_per_byte")),
        baseline_bits_per_byte=_first(
            result.get("baseline_bits_per_byte"),
            table_in(record.evaluation, "baseline").get("bits_per_byte"),
        ),
        num_parameters=_whole(
            result.get("num_parameters"), plan.get("num_parameters"), record.settings.get("num_parameters")
        ),
        num_skipped=len(history.rows("skipped")),
        num_rollbacks=len(history.rows("rollback")),
        energy_wh=_first(result.get("energy_wh"), _scaled(last.get("energy_j"), 1 / 3600)),
        energy_source=_word(result.get("energy_source")),
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
    times = [*record.history.column("elapsed_s")[-200:]]
    times += [row[0] for row in record.history.points("elapsed_s", "step", kind="valid")[-20:]]
    if not times:
        return "running" if _age_s(record.path, ("run.toml", "plan.json")) < 60 else "unknown"
    gaps = [later - earlier for earlier, later in itertools.pairwise(sorted(times)) if later > earlier]
    patience_s = max(30.0, 5 * statistics.median(gaps)) if gaps else 60.0
    return "running" if _age_s(record.path, (_METRICS,)) < patience_s else "interrupted"


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


def table_in(mapping: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """The table at a key; empty where something else is there."""
    value = mapping.get(key)
    return value if isinstance(value, dict) else {}


def _word(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _scaled(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor


def _valid(history: History) -> dict[str, float]:
    rows = history.rows("valid")
    numbers = {name: number(value) for name, value in rows[-1].items()} if rows else {}
    return {name: value for name, value in numbers.items() if value is not None and name not in NOT_MEASURED}


def _progress(record: RunRecord, last: Mapping[str, float]) -> tuple[float | None, float | None]:
    """The share done and the seconds left: by the budget, else by the planned steps at present speed."""
    elapsed_s, step = last.get("elapsed_s"), last.get("step")
    if (budget_s := number(record.plan.get("training_s"))) and elapsed_s is not None:
        return min(1.0, elapsed_s / budget_s), max(0.0, budget_s - elapsed_s)
    planned = number(record.chosen.get("num_steps"))
    if not planned or step is None:
        return None, None
    recent = record.history.points("step", "elapsed_s")[-50:]
    steps_done = recent[-1][0] - recent[0][0] if recent else 0.0
    left_s = None
    if steps_done > 0:
        left_s = max(0.0, planned - step) * (recent[-1][1] - recent[0][1]) / steps_done
    return min(1.0, step / planned), left_s


def _rank(run: RunSummary) -> tuple[float, float]:
    """By bits per byte; then those that have only a loss, which only their like can be compared with."""
    bits, nats = _first(run.bits_per_byte, run.best_valid_bits_per_byte), run.best_valid_loss_nats
    return math.inf if bits is None else bits, math.inf if nats is None else nats


def _started(record: RunRecord) -> str:
    if (written := record.settings.get("started")) is not None:
        return written.isoformat() if isinstance(written, datetime) else str(written)
    times = [(record.path / name).stat().st_mtime for name in _MARKS if (record.path / name).is_file()]
    return datetime.fromtimestamp(min(times), UTC).isoformat(timespec="seconds") if times else ""


def _is_worked_on(folder: Path) -> bool | None:
    """Whether the process that wrote the run's lock is alive; None where no lock tells.

    The lock itself is not tried: whoever holds it for a moment would keep the run's own command out. A
    process younger than the lock is another one, to which the system gave the same number.
    """
    lock = folder / _LOCK
    try:
        process_id, locked = int(lock.read_text(encoding="ascii")), lock.stat().st_mtime
        os.kill(process_id, 0)
    except PermissionError:
        return True
    except ProcessLookupError:
        return False
    except (OSError, ValueError, OverflowError):
        return None
    began = _process_began(process_id)
    return began is None or began <= locked + _LOCK_SLACK_S


def _process_began(process_id: int) -> float | None:
    """When a process was started, in seconds since 1970; None where the system does not tell."""
    try:
        ticks = int(Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[19])
        uptime_s = float(Path("/proc/uptime").read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return None
    return time.time() - uptime_s + ticks / os.sysconf("SC_CLK_TCK")


def _age_s(folder: Path, names: Iterable[str]) -> float:
    paths = [folder / name for name in names]
    return time.time() - max((path.stat().st_mtime for path in paths if path.is_file()), default=0.0)
