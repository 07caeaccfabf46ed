"""A run's folder: run.toml, plan.json, metrics.jsonl, checkpoints/, model/, result.json, report.html.

``run.toml`` is written first and says what the run is; the same command finds it and goes on.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from yanmo import artifact
from yanmo.config import read_toml, to_toml
from yanmo.errors import InputError
from yanmo.reporting.progress import say
from yanmo.reporting.runs import is_run

SETTINGS_FILE, PLAN_FILE, METRICS_FILE, RESULT_FILE = "run.toml", "plan.json", "metrics.jsonl", "result.json"
EVALUATION_FILE, BASELINE_FILE = "evaluation.json", "baseline.json"
MACHINE_FILE, BEFORE_FILE = "machine.json", "before.json"
CHECKS_FILE = "checks.json"
PROFILE_FILE = "profile.json"
# What decides a run's result goes last, so that a kill while clearing leaves a run.
_WRITTEN = (
    *("checkpoints", "model", "tokens", "tokens-replay", "tokenizer", "tensorboard", "adapters"),
    "scratch",
    *("parts", "trials", "tune.json", "tune.html"),
    *("report.html", METRICS_FILE, RESULT_FILE, EVALUATION_FILE, BASELINE_FILE, BEFORE_FILE),
    *(CHECKS_FILE, PROFILE_FILE, MACHINE_FILE, PLAN_FILE, SETTINGS_FILE),
)


class RunFolder:
    """One run on disk."""

    def __init__(self, path: Path) -> None:
        """Name the folder; ``open`` prepares it."""
        self.path = path

    def clear(self) -> None:
        """Remove what a run has written, and nothing else.

        Raises:
            InputError: another process is at work here.
        """
        if self.path.is_dir() and is_run(self.path):
            with self.lock():
                for name in _WRITTEN:
                    if (self.path / name).is_dir():
                        shutil.rmtree(self.path / name)
                    else:
                        (self.path / name).unlink(missing_ok=True)

    def open(self, settings: Mapping[str, Any], *, earlier: Mapping[str, Any], force: bool) -> None:
        """Make the folder, or find that it is this very run's and can go on.

        Args:
            settings: everything that decides the run's result, as plain values.
            earlier: what a run means that was begun before there were such settings.
            force: begin beside whatever else is there.

        Raises:
            InputError: something else is there.
            YanmoError: the folder cannot be written.
        """
        settings_path = self.path / SETTINGS_FILE
        if settings_path.is_file():
            changed = _differences({**earlier, **read_toml(settings_path)}, settings)
            if changed and self._has_trained():
                raise InputError(
                    f"holds a run with other settings: {', '.join(changed)}",
                    where=self.path,
                    remedy="choose another --out, or begin again with --force",
                )
            if not changed:
                return
            # A command that was refused, or stopped before its first checkpoint, is in nobody's way.
            self.clear()
            say(f"{self.path}: was begun with other settings, and nothing was trained yet; begins anew")
        elif self.path.exists() and (not self.path.is_dir() or (any(self._strangers()) and not force)):
            raise InputError(
                "already exists and is not a run of yanmo's", where=self.path, remedy="choose another --out"
            )
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise artifact.disk_error(error, self.path) from error
        artifact.write_bytes(settings_path, to_toml(settings).encode())

    def lock(self) -> contextlib.AbstractContextManager[None]:
        """Keep a second process out of the run while this one works on it.

        Raises:
            InputError: another process is at work here.
        """
        return artifact.locked(self.path, "run")

    def read(self, name: str) -> dict[str, Any] | None:
        """A JSON file of the run, or None where it is not there yet."""
        path = self.path / name
        return artifact.read_json(path) if path.is_file() else None

    def write(self, name: str, value: Mapping[str, Any]) -> None:
        """Replace a JSON file of the run."""
        artifact.write_json(self.path / name, value)

    def _strangers(self) -> Iterator[Path]:
        """What does not belong to a run that was stopped before its first file."""
        ours = {"corpus", "source", ".lock"}
        return (
            path for path in self.path.iterdir() if path.name not in ours and not path.name.endswith(".tmp")
        )

    def _has_trained(self) -> bool:
        """Whether there is anything that another run would lose."""
        kept = (
            *((self.path / "checkpoints").glob("batch-*"), self.path.glob("model")),
            *(self.path.glob("parts/*/result.json"), self.path.glob("tune.json")),
        )
        return (self.path / RESULT_FILE).is_file() or any(any(paths) for paths in kept)


def _differences(made: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """What differs between two runs' settings, each with both values; those of a table one by one."""
    found = []
    for name in sorted(made.keys() | wanted.keys()):
        old, new = made.get(name), wanted.get(name)
        if isinstance(old, Mapping) or isinstance(new, Mapping):
            found += _differences(old or {}, new or {})
        elif old != new:
            found.append(f"{name} ({_words(old)} there, {_words(new)} now)")
    return found


def _words(value: Any) -> str:
    return "not given" if value is None else str(value)
