"""Fine-tuning without learning: what was read, what is odd in it, how it would be learned, and how long.

The time is that of a few steps on the rows themselves, times the steps of the run; the first one, which
warms up, does not count. Validations, the judgement at the end and writing the model come on top. A fresh
encoder is not made: it would read for minutes before its first step could be timed.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from yanmo.config import to_mapping
from yanmo.evaluation.task_report import checks_of
from yanmo.finetuning.registry import kind_of_task
from yanmo.models.base import Trainable
from yanmo.models.checkpoint import Checkpoint
from yanmo.recipes.beginning import open_model, reads_first
from yanmo.recipes.finetune import Rows, read_rows
from yanmo.recipes.finetune_settings import FinetuneSettings
from yanmo.recipes.learner import Learner
from yanmo.recipes.run_folder import RunFolder
from yanmo.runtime import stop_signal

_TIMED_STEPS = 4
_MOST_SECONDS = 30.0
_SHOWN_BROKEN = 5


def rehearse(data: Sequence[Path], *, settings: FinetuneSettings) -> dict[str, Any]:
    """All that can be said of a run before it; nothing is trained for good, and nothing stays on disk.

    Args:
        data: files and folders of examples.
        settings: of the run.

    Returns:
        notes: what was guessed of the files. rows: num_rows, num_broken, how, findings. broken: the first
        broken rows. recipe, steps, training_s (None where a fresh encoder reads first), how_timed.

    Raises:
        InputError: as the run itself would.
    """
    checkpoint = open_model(settings)
    rows = read_rows(data, settings)
    return {
        "task": settings.task,
        "model": str(settings.model),
        "notes": list(rows.notes),
        "rows": checks_of(rows.report, rows.splits.how),
        "broken": [str(row) for row, _ in zip(rows.broken, range(_SHOWN_BROKEN), strict=False)],
        **_timed(checkpoint, rows, settings),
    }


def _timed(checkpoint: Checkpoint | None, rows: Rows, settings: FinetuneSettings) -> dict[str, Any]:
    """Recipe, steps, and seconds of them."""
    if checkpoint is None and reads_first(settings.task):
        kind_of_task(settings.task).fit(rows.splits.train)
        how = "not measured: a fresh encoder reads the texts before it learns the task"
        return {"recipe": None, "steps": None, "training_s": None, "how_timed": how}
    clock = _Clock()
    with tempfile.TemporaryDirectory(prefix="yanmo-") as folder, stop_signal() as stop:
        learner = Learner(
            RunFolder(Path(folder)),
            checkpoint,
            rows.splits,
            settings.alone(),
            stop,
            listeners=[clock],
            num_validations=1,
            quiet=True,
        )
        try:
            learner.learn()
        except _EnoughError:
            pass
        finally:
            learner.settle()
    num_steps, num_runs = learner.num_steps, settings.num_runs
    training_s = clock.step_s * num_steps * num_runs
    how = f"{clock.step_s:.3g} s a step by {clock.num_steps} that were measured; validation comes on top"
    if num_runs > 1:
        how += f"; {num_runs} trainings"
    if settings.budget_s is not None and training_s > settings.budget_s:
        training_s, how = settings.budget_s, how + "; cut to the budget"
    return {
        "recipe": to_mapping(learner.recipe),
        "steps": num_steps,
        "training_s": training_s,
        "how_timed": how,
    }


class _EnoughError(Exception):
    """What was to be measured is measured."""


class _Clock:
    """Times a few steps, and ends the training then."""

    def __init__(self) -> None:
        """The first step begins now."""
        self.seconds: list[float] = []
        self._began_s = self._last_s = time.perf_counter()
        self._first_s = 0.0

    @property
    def num_steps(self) -> int:
        """How many were timed."""
        return max(1, len(self.seconds))

    @property
    def step_s(self) -> float:
        """The usual time of a step; of the first one where there was no other."""
        return statistics.median(self.seconds) if self.seconds else self._first_s

    def stepped(self, row: dict[str, Any], time_left_s: float) -> None:
        """Note the time of a step.

        Raises:
            _EnoughError: there are enough.
        """
        now_s = time.perf_counter()
        if self._first_s:
            self.seconds.append(now_s - self._last_s)
        else:
            self._first_s = now_s - self._last_s
        self._last_s = now_s
        if len(self.seconds) >= _TIMED_STEPS or now_s - self._began_s > _MOST_SECONDS:
            raise _EnoughError

    def validated(self, row: dict[str, Any], model: Trainable) -> None:
        """Validations are not timed."""
        self._last_s = time.perf_counter()
