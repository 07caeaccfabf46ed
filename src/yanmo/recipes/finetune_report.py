"""``report.html`` of a fine-tuning run, from the files that the run has written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from yanmo.config import read_toml
from yanmo.evaluation.task_report import write_task_report
from yanmo.recipes.run_folder import CHECKS_FILE, EVALUATION_FILE, METRICS_FILE, SETTINGS_FILE, RunFolder
from yanmo.reporting.history import History


def write_finetune_report(run: RunFolder, result: Mapping[str, Any]) -> None:
    """Write the report; ``result`` is what result.json will say.

    Raises:
        OSError: the folder cannot be written.
    """
    evaluation = run.read(EVALUATION_FILE)
    assert evaluation is not None, "a run is judged before it is told of"
    history = History(run.path / METRICS_FILE)
    history.refresh()
    write_task_report(
        run.path / "report.html",
        evaluation,
        name=run.path.resolve().name,
        history=history,
        result=result,
        checks=run.read(CHECKS_FILE),
        settings=read_toml(run.path / SETTINGS_FILE),
    )
