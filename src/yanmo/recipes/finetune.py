"""Fine-tuning as one function: labelled examples in, a model folder with scores out; killed and repeated.

One run is one ``Learner``. Several of them, below the run's folder, tell how sure its score is (``repeats``)
or which settings are best (``tuning``); the model that is kept is always that of the run's own folder.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from yanmo import runtime
from yanmo.evaluation.task_report import checks_of
from yanmo.finetuning.task_model import TaskModel
from yanmo.models.checkpoint import Checkpoint
from yanmo.recipes.beginning import open_model
from yanmo.recipes.finetune_report import write_finetune_report
from yanmo.recipes.finetune_settings import EARLIER, FinetuneSettings
from yanmo.recipes.learner import Learner
from yanmo.recipes.repeats import Repeats
from yanmo.recipes.run_folder import CHECKS_FILE, RESULT_FILE, RunFolder
from yanmo.recipes.tuning import Search
from yanmo.reporting.progress import say
from yanmo.runtime import StopSignal
from yanmo.tasks.broken import Broken
from yanmo.tasks.check import check_examples
from yanmo.tasks.findings import Report
from yanmo.tasks.read import load_examples
from yanmo.tasks.split import Splits, SplitSettings, split_examples

__all__ = ["FinetuneSettings", "Rows", "finetune", "finetune_examples", "read_rows"]


def finetune(
    data: Path | Sequence[Path], out: Path | str, *, settings: FinetuneSettings, force: bool = False
) -> dict[str, Any]:
    """Learn a task from labelled examples; the same call goes on where an earlier one was stopped.

    Args:
        data: files and folders of examples.
        out: the run's folder.
        settings: task, model, and what is fixed by hand.
        force: begin again whatever is there.

    Returns:
        model, metrics (of the test rows, else of the validation rows), num_examples, wall_s and more, as in
        result.json.

    Raises:
        InputError: bad input. TrainingDiverged: it would not converge. Interrupted: a signal came.
    """
    began_s = time.monotonic()
    run = RunFolder(Path(out))
    if force:
        run.clear()
    sources = [data] if isinstance(data, Path) else list(data)
    checkpoint = open_model(settings)
    run.open(settings.recorded(sources, checkpoint), earlier=EARLIER, force=force)
    with run.lock(), runtime.stop_signal() as stop:
        result = run.read(RESULT_FILE)
        if result is not None and (run.path / "model").is_dir():
            say(f"{run.path}: already finished; nothing to do")
            return result
        result = _finetune(run, checkpoint, _read(run, sources, settings), settings, stop, began_s)
        write_finetune_report(run, result)
        run.write(RESULT_FILE, result)
        return result


def finetune_examples(
    splits: Splits, out: Path | str, *, settings: FinetuneSettings, quiet: bool = False
) -> TaskModel:
    """Learn a task from examples in memory, as ``finetune`` does, without judging it at the end.

    Args:
        splits: what is learned from, and the validation rows that choose the best step.
        out: the run's folder; one that was stopped goes on.
        settings: task, model, and what is fixed by hand; its files of rows are not read.
        quiet: show no progress.

    Returns:
        The model, which lies in the folder ``model`` of the run too.

    Raises:
        InputError: bad input. TrainingDiverged: it would not converge. Interrupted: a signal came.
    """
    began_s = time.monotonic()
    run, checkpoint = RunFolder(Path(out)), open_model(settings)
    run.open(settings.recorded_rows(splits, checkpoint), earlier=EARLIER, force=False)
    with run.lock(), runtime.stop_signal() as stop:
        learner = Learner(run, checkpoint, splits, settings, stop, began_s=began_s, quiet=quiet)
        learner.learn()
        return learner.keep()


@dataclass(frozen=True, kw_only=True)
class Rows:
    """The examples of a run, checked and divided.

    Attributes:
        splits: the examples.
        notes: what was guessed of the files, a line each.
        broken: rows that were set aside.
        report: what the check found.
    """

    splits: Splits
    notes: tuple[str, ...]
    broken: Broken
    report: Report


def read_rows(sources: Sequence[Path], settings: FinetuneSettings) -> Rows:
    """Read, check and divide examples; where there are folds no test is drawn, as each of them is one.

    Args:
        sources: files and folders.
        settings: of the run.

    Raises:
        InputError: a source does not exist, or nothing in them can be learned from.
    """
    loaded = load_examples(sources, settings.task, settings.reading)
    apart = {
        name: load_examples(path, settings.task, settings.reading)
        for name, path in (("valid", settings.valid), ("test", settings.test))
        if path is not None
    }
    notes = tuple(dict.fromkeys(note for each in (loaded, *apart.values()) for note in each.notes))
    given = {name: each.examples for name, each in apart.items()}
    drawing = SplitSettings(seed=settings.seed)
    if settings.folds is not None:
        drawing = dataclasses.replace(drawing, test=0.0)
    splits = split_examples(loaded.examples, drawing, given=given)
    report = check_examples(splits.by_name(), broken=loaded.broken)
    return Rows(splits=splits, notes=notes, broken=loaded.broken, report=report)


def _read(run: RunFolder, sources: Sequence[Path], settings: FinetuneSettings) -> Splits:
    """The examples; what was guessed and found of them is said, and kept."""
    rows = read_rows(sources, settings)
    for note in rows.notes:
        say(note)
    counts = ", ".join(f"{len(part):,} {name}" for name, part in rows.splits.by_name().items())
    say(f"rows: {counts} ({rows.splits.how})")
    for finding in rows.report.findings:
        say(f"{finding.severity}: {finding.what.en}")
    run.write(CHECKS_FILE, checks_of(rows.report, rows.splits.how))
    return rows.splits


def _finetune(
    run: RunFolder,
    checkpoint: Checkpoint | None,
    splits: Splits,
    settings: FinetuneSettings,
    stop: StopSignal,
    began_s: float,
) -> dict[str, Any]:
    """Search, repeat, and train what is kept; what result.json says."""
    alone, began_alone_s = settings.alone(), began_s
    beside: dict[str, Any] = {}
    rows: list[dict[str, Any]] = []
    if settings.tune is not None:
        search = Search(run.path, checkpoint, splits, settings, stop)
        alone = search.best()
        beside["tune"] = search.result()
    repeats = Repeats.of(settings)
    if repeats is not None:
        rows = repeats.measure(run.path, checkpoint, splits, alone, stop)
    if beside or repeats is not None:
        # What went before had its own share of the budget.
        began_alone_s = time.monotonic()
    learner = Learner(run, checkpoint, splits, alone, stop, began_s=began_alone_s)
    learner.learn()
    result = learner.judge(learner.keep()) | beside | {"wall_s": time.monotonic() - began_s}
    return result if repeats is None else repeats.joined(result, rows, alone.seed)
