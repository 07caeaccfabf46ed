"""How sure a score is: the same training with other folds of the examples, or with other random numbers.

Each repetition is a run of its own below the run's folder (``parts/fold-1``, ``parts/seed-1``). What it
scored stays, its model does not: the model that is kept is the run's own, of all examples or of the first
seed.
"""

from __future__ import annotations

import dataclasses
import math
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from yanmo import metrics
from yanmo.metrics.intervals import SeedsInterval
from yanmo.models.checkpoint import Checkpoint
from yanmo.recipes.finetune_settings import EARLIER, FinetuneSettings
from yanmo.recipes.learner import Learner
from yanmo.recipes.run_folder import RESULT_FILE, RunFolder
from yanmo.reporting.progress import say
from yanmo.runtime import StopSignal
from yanmo.tasks.split import SplitBy, Splits, SplitSettings, fold_examples, split_examples

_PARTS = "parts"


@dataclass(frozen=True, kw_only=True)
class _Part:
    """One repetition: its name, its rows, its settings."""

    name: str
    splits: Splits
    settings: FinetuneSettings


@dataclass(frozen=True, kw_only=True)
class Repeats:
    """What is repeated.

    Attributes:
        kind: ``folds`` or ``seeds``.
        count: how many scores there are in the end.
    """

    kind: str
    count: int

    @classmethod
    def of(cls, settings: FinetuneSettings) -> Repeats | None:
        """What settings ask for; None where nothing is repeated."""
        if settings.folds is not None:
            return cls(kind="folds", count=settings.folds)
        return None if settings.seeds is None else cls(kind="seeds", count=settings.seeds)

    def measure(
        self,
        folder: Path,
        checkpoint: Checkpoint | None,
        splits: Splits,
        settings: FinetuneSettings,
        stop: StopSignal,
    ) -> list[dict[str, Any]]:
        """Train and score every repetition that is not there yet; of seeds the first is the run's own.

        Args:
            folder: of the run.
            checkpoint: the model to begin with; None for a fresh one.
            splits: of the run; its test rows are in no fold.
            settings: of one training.
            stop: asks to save and leave.

        Returns:
            name, seed, num_examples, metrics and baseline (values by name) of each.

        Raises:
            InputError: there are too few rows. TrainingDiverged: it would not converge. Interrupted: a signal
            came.
        """
        parts = self._folds(splits, settings) if self.kind == "folds" else self._seeds(splits, settings)
        rows = []
        for part in parts:
            result = _result_of(folder / _PARTS / part.name, checkpoint, part, stop)
            rows.append(_row(part.name, part.settings.seed, result))
        return rows

    def joined(
        self, result: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], seed: int
    ) -> dict[str, Any]:
        """The run's result with what its repetitions say.

        Args:
            result: of the run's own training.
            rows: from ``measure``.
            seed: of the run.
        """
        is_folds = self.kind == "folds"
        every = [*rows] if is_folds else [_row(f"seed-{seed}", seed, result), *rows]
        mean_of = metrics.mean_over_folds if is_folds else metrics.mean_over_seeds
        means = _means(every, "metrics", mean_of)
        found = {
            "kind": self.kind,
            "count": self.count,
            "kept": "of all rows but those that chose its step" if is_folds else f"of seed {seed}",
            "metrics": means,
            "baseline": _means(every, "baseline", mean_of),
            "runs": every,
        }
        joined = {**result, "repeats": found}
        if is_folds and result["split"] != "test":
            # No rows were left to judge the kept model on; every row was judged by a fold's.
            joined |= {
                "split": "folds",
                "num_examples": sum(row["num_examples"] for row in every),
                "metrics": {
                    name: {"value": told["mean"], "interval": [told["low"], told["high"]]}
                    for name, told in means.items()
                },
            }
        return joined

    def _folds(self, splits: Splits, settings: FinetuneSettings) -> Iterator[_Part]:
        pool = [*splits.train, *splits.valid]
        for number, held in enumerate(fold_examples(pool, self.count, seed=settings.seed), 1):
            out = set(held)
            rest = [example for index, example in enumerate(pool) if index not in out]
            drawing = SplitSettings(by=SplitBy.DRAWN, seed=settings.seed)
            divided = split_examples(rest, drawing, given={"test": [pool[index] for index in held]})
            yield _Part(name=f"fold-{number}", splits=divided, settings=settings)

    def _seeds(self, splits: Splits, settings: FinetuneSettings) -> Iterator[_Part]:
        for seed in range(settings.seed + 1, settings.seed + self.count):
            yield _Part(name=f"seed-{seed}", splits=splits, settings=dataclasses.replace(settings, seed=seed))


def _result_of(folder: Path, checkpoint: Checkpoint | None, part: _Part, stop: StopSignal) -> dict[str, Any]:
    """What a repetition came to, from its folder where it is done; its weights are removed then."""
    run = RunFolder(folder)
    run.open(part.settings.recorded_rows(part.splits, checkpoint), earlier=EARLIER, force=False)
    with run.lock():
        result = run.read(RESULT_FILE)
        if result is None:
            say(f"{part.name}: {len(part.splits.train):,} rows to learn from")
            learner = Learner(run, checkpoint, part.splits, part.settings, stop)
            learner.learn()
            result = learner.judge(learner.keep())
            run.write(RESULT_FILE, result)
        for name in ("checkpoints", "model", "adapters", "scratch"):
            shutil.rmtree(folder / name, ignore_errors=True)
    return result


def _row(name: str, seed: int, result: Mapping[str, Any]) -> dict[str, Any]:
    baseline = result["baseline"]
    return {
        "name": name,
        "seed": seed,
        "num_examples": result["num_examples"],
        "metrics": {score: told["value"] for score, told in result["metrics"].items()},
        "baseline": {score: told["value"] for score, told in baseline["metrics"].items()},
    }


def _means(
    rows: Sequence[Mapping[str, Any]], of: str, mean_of: Callable[[Sequence[float]], SeedsInterval]
) -> dict[str, dict[str, float]]:
    """Mean and interval of every score that all repetitions have."""
    found = {}
    for name in rows[0][of]:
        values = [row[of].get(name) for row in rows]
        if all(isinstance(value, float | int) and math.isfinite(value) for value in values):
            told = mean_of(values)
            found[name] = {"mean": told.mean, "low": told.low, "high": told.high, "deviation": told.deviation}
    return found
