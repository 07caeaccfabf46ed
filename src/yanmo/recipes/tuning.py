"""The search for settings: trials that are scored on the validation rows, the hopeless ones ended early.

The settings of a trial are drawn by the tree-structured Parzen estimator (Bergstra et al. 2011, "Algorithms
for Hyper-Parameter Optimization", NeurIPS, section 4) of Optuna (Akiba et al. 2019, arXiv 1907.10902); the
first trial has those that the rules choose, so a search never ends below them. A trial is ended where its
best validation is worse than the median of the others' at the same place. How much each setting matters is
PED-ANOVA's share (Watanabe et al. 2023, arXiv 2304.10255).

All that is known stands in ``tune.json``. The study is made anew from it for each trial, with a sampler whose
seed follows from the trial's number: a search that was killed goes on as if it had not been, the trial that
was running included. Test rows are never looked at.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from yanmo import artifact, metrics
from yanmo.errors import InputError, TrainingDiverged
from yanmo.finetuning.recipe import FinetuneRecipe
from yanmo.finetuning.scratch import ScratchRecipe
from yanmo.models.base import Trainable
from yanmo.models.checkpoint import Checkpoint
from yanmo.recipes.finetune_settings import EARLIER, FinetuneSettings
from yanmo.recipes.learner import Learner
from yanmo.recipes.run_folder import METRICS_FILE, RunFolder
from yanmo.reporting.axes import Words
from yanmo.reporting.metrics_log import read_metrics
from yanmo.reporting.progress import say
from yanmo.reporting.tuning import write_tuning_report
from yanmo.runtime import StopSignal
from yanmo.tasks.split import Splits

if TYPE_CHECKING:
    import optuna

TUNE_FILE, TUNE_REPORT = "tune.json", "tune.html"
_TRIALS = "trials"
_NUM_VALIDATIONS = 10
# Trials that are drawn at random, those whose medians end others, and validations that come before that.
_NUM_RANDOM, _LEAST_TRIALS, _LEAST_VALIDATIONS = 8, 4, 2
# Fewer whole trials than this say nothing of what matters.
_LEAST_TO_COMPARE = 8

Row = dict[str, Any]


class _EndedEarly(Exception):
    """A listener has seen enough of a trial."""


class Search:
    """One search, in the folder of the run whose settings are looked for."""

    def __init__(
        self,
        folder: Path,
        checkpoint: Checkpoint | None,
        splits: Splits,
        settings: FinetuneSettings,
        stop: StopSignal,
    ) -> None:
        """Read what is already known.

        Args:
            folder: of the run.
            checkpoint: the model that each trial begins with; None for a fresh one.
            splits: of which the test rows are left out.
            settings: what is fixed by hand is not searched.
            stop: asks to save and leave.

        Raises:
            InputError: Optuna is not installed, nothing is left to search, or there is nothing to learn.
        """
        _require_optuna()
        self._folder, self._checkpoint, self._stop = folder, checkpoint, stop
        self._splits = Splits(train=splits.train, valid=splits.valid, how=splits.how)
        self._settings, self._length = settings.alone(), settings.search
        path = folder / TUNE_FILE
        known = artifact.read_json(path) if path.is_file() else self._begun()
        self._rules: dict[str, Any] = known["rules"]
        self._space: dict[str, Any] = known["space"]
        self._decides: str = known["decides"]
        self._rows: list[Row] = known["trials"]

    def best(self) -> FinetuneSettings:
        """Search for as long as was asked for; the best settings, for one training.

        Raises:
            InputError: no trial came to its end. Interrupted: a signal came.
        """
        while not self._is_done():
            self._rows.append(self._try())
            self._write()
        ranked = self._ranked()
        if not ranked or ranked[0]["state"] != "complete":
            raise InputError(
                "no trial of the search came to its end", where=self._folder, remedy=_why(self._rows)
            )
        best = ranked[0]
        say(f"trial {best['number']} was the best of {len(self._rows)}: {_words(best['settings'])}")
        return self._with(best["settings"])

    def result(self) -> dict[str, Any]:
        """As in ``tune.json``, the trials with the best first."""
        return {
            "decides": self._decides,
            "larger_is_better": self._larger_is_better,
            "rules": self._rules,
            "space": self._space,
            "importance": self._importance(),
            "trials": self._ranked(),
        }

    @property
    def _larger_is_better(self) -> bool:
        return metrics.metric(self._decides).larger_is_better

    def _begun(self) -> dict[str, Any]:
        """A search before its first trial."""
        probe = Learner(
            RunFolder(self._folder / _TRIALS), self._checkpoint, self._splits, self._settings, self._stop
        )
        rules = _searched(probe.recipe, self._settings, is_fresh=self._checkpoint is None)
        if not rules:
            raise InputError("all settings are fixed by hand: --tune has nothing to search")
        return {
            "rules": rules,
            "space": {name: _RANGES[name](value) for name, value in rules.items()},
            "decides": probe.chooses,
            "trials": [],
        }

    def _is_done(self) -> bool:
        if self._length.num_trials is not None:
            return len(self._rows) >= self._length.num_trials
        return bool(self._rows) and self._spent_s() >= self._length.seconds

    def _spent_s(self) -> float:
        return float(sum(row["seconds"] for row in self._rows))

    def _try(self) -> Row:
        """One trial, or what is left of it."""
        began_s, number = time.monotonic(), len(self._rows)
        trial = self._ask()
        settings = self._with(trial.params)
        if self._length.num_trials is None:
            # The first trial is never ended; it has to end by itself.
            settings = dataclasses.replace(settings, budget_s=self._length.seconds)
        say(f"trial {number}: {_words(trial.params)}")
        run = RunFolder(self._folder / _TRIALS / f"{number:03d}")
        run.open(settings.recorded_rows(self._splits, self._checkpoint), earlier=EARLIER, force=False)
        watcher = _Watcher(trial, run.path / METRICS_FILE, self._decides, lambda: self._is_late(began_s))
        row: Row = {"number": number, "settings": dict(trial.params), "reason": ""}
        with run.lock():
            learner = Learner(
                run,
                self._checkpoint,
                self._splits,
                settings,
                self._stop,
                listeners=[watcher],
                num_validations=_NUM_VALIDATIONS,
                quiet=True,
            )
            try:
                state = learner.learn()
                row |= {"state": "complete", "score": state.best[self._decides], "steps": state.step}
            except _EndedEarly as ended:
                row |= {"state": "ended early", "score": watcher.scores[-1], "reason": str(ended)}
            except TrainingDiverged as error:
                row |= {"state": "diverged", "score": None, "reason": error.what}
            learner.settle()
            shutil.rmtree(run.path / "checkpoints", ignore_errors=True)
        row |= {"scores": watcher.scores, "seconds": time.monotonic() - began_s}
        score = "" if row["score"] is None else f", {self._decides} {row['score']:.4f}"
        say(f"trial {number}: {row['state']}{score}")
        return row

    def _is_late(self, began_s: float) -> bool:
        """Whether the time of the search is over, and there is a whole trial to fall back on."""
        if self._length.num_trials is not None or not any(row["state"] == "complete" for row in self._rows):
            return False
        return self._spent_s() + time.monotonic() - began_s >= self._length.seconds

    def _ask(self) -> optuna.Trial:
        """The next trial: a function of the trials so far, and of the seed."""
        study = self._study()
        if not self._rows:
            study.enqueue_trial(self._rules)
        return study.ask(self._distributions())

    def _study(self) -> optuna.Study:
        """What Optuna has to know, from the rows."""
        import optuna

        # Its own lines would tell everything twice.
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        states = {
            "complete": optuna.trial.TrialState.COMPLETE,
            "ended early": optuna.trial.TrialState.PRUNED,
            "diverged": optuna.trial.TrialState.FAIL,
        }
        study = optuna.create_study(
            direction="maximize" if self._larger_is_better else "minimize",
            sampler=optuna.samplers.TPESampler(
                seed=(self._settings.seed * 100_003 + len(self._rows)) % 2**32, n_startup_trials=_NUM_RANDOM
            ),
            pruner=optuna.pruners.MedianPruner(
                n_startup_trials=_LEAST_TRIALS, n_warmup_steps=_LEAST_VALIDATIONS
            ),
        )
        for row in self._rows:
            study.add_trial(
                optuna.trial.create_trial(
                    state=states[row["state"]],
                    params=row["settings"],
                    distributions=self._distributions(),
                    value=row["score"],
                    intermediate_values=dict(enumerate(row["scores"], 1)),
                )
            )
        return study

    def _distributions(self) -> dict[str, optuna.distributions.BaseDistribution]:
        from optuna.distributions import CategoricalDistribution, FloatDistribution

        return {
            name: CategoricalDistribution(told["choices"])
            if "choices" in told
            else FloatDistribution(told["low"], told["high"], log=told["log"])
            for name, told in self._space.items()
        }

    def _with(self, params: Mapping[str, Any]) -> FinetuneSettings:
        plain = {name: value for name, value in params.items() if name != "layer_decay"}
        if "layer_decay" in params:
            plain["freezing"] = dataclasses.replace(
                self._settings.freezing, layer_decay=params["layer_decay"]
            )
        return dataclasses.replace(self._settings, **plain)

    def _ranked(self) -> list[Row]:
        """The whole trials, best first, then those that were ended, the longest first."""
        sign = -1 if self._larger_is_better else 1

        def place(row: Row) -> tuple[bool, int, float, int]:
            is_whole = row["state"] == "complete"
            score = float("inf") if row["score"] is None else sign * row["score"]
            return not is_whole, 0 if is_whole else -len(row["scores"]), score, row["number"]

        return sorted(self._rows, key=place)

    def _importance(self) -> dict[str, float]:
        """How much of what tells good trials from the others each setting explains; shares of 1."""
        import optuna

        if sum(row["state"] == "complete" for row in self._rows) < _LEAST_TO_COMPARE:
            return {}
        evaluator = optuna.importance.PedAnovaImportanceEvaluator()
        return dict(optuna.importance.get_param_importances(self._study(), evaluator=evaluator))

    def _write(self) -> None:
        result = self.result()
        artifact.write_json(self._folder / TUNE_FILE, {**result, "trials": self._rows})
        score = metrics.metric(self._decides)
        write_tuning_report(
            result,
            self._folder / TUNE_REPORT,
            name=self._folder.resolve().name,
            score=Words(score.en, score.zh),
        )


class _Watcher:
    """Tells a trial's validations, and ends it where they are hopeless or it is late."""

    def __init__(self, trial: optuna.Trial, log: Path, decides: str, is_late: Callable[[], bool]) -> None:
        """Join the parts; ``log`` has the validations of earlier sessions too."""
        self._trial, self._log, self._decides, self._is_late = trial, log, decides, is_late
        self._num_reported = 0

    @property
    def scores(self) -> list[float]:
        """Of all validations so far."""
        return [row[self._decides] for row in read_metrics(self._log) if row.get("kind") == "valid"]

    def stepped(self, row: dict[str, Any], time_left_s: float) -> None:
        """Nothing between validations."""

    def validated(self, row: dict[str, Any], model: Trainable) -> None:
        """Report what is new.

        Raises:
            _EndedEarly: it is not worth going on.
        """
        known = self.scores
        for number, score in enumerate(known[self._num_reported :], self._num_reported + 1):
            self._trial.report(score, number)
        self._num_reported = len(known)
        if self._trial.should_prune():
            raise _EndedEarly(f"below the median after {len(known)} of {_NUM_VALIDATIONS} validations")
        if self._is_late():
            raise _EndedEarly("the time of the search was over")


def _searched(
    recipe: FinetuneRecipe | ScratchRecipe, settings: FinetuneSettings, *, is_fresh: bool = False
) -> dict[str, Any]:
    """What the rules choose for each setting that is not fixed by hand; a fresh one has its own rates."""
    chosen = {
        name: getattr(recipe, name)
        for name in ("learning_rate", "epochs", "batch_size", "dropout")
        if getattr(settings, name) is None and not (is_fresh and name == "learning_rate")
    }
    if settings.lora is None and settings.freezing.layer_decay == 1 and not is_fresh:
        chosen["layer_decay"] = 1.0
    return chosen


_RANGES: dict[str, Callable[[Any], dict[str, Any]]] = {
    "learning_rate": lambda rule: {"low": rule / 5, "high": rule * 5, "log": True},
    "epochs": lambda rule: {"low": rule / 2, "high": rule * 1.5, "log": False},
    "batch_size": lambda rule: {"choices": [max(1, rule // 2), rule, rule * 2]},
    "dropout": lambda rule: {"low": 0.0, "high": max(0.3, rule), "log": False},
    "layer_decay": lambda rule: {"low": 0.6, "high": rule, "log": False},
}


def _require_optuna() -> None:
    if importlib.util.find_spec("optuna") is None:
        raise InputError("--tune needs Optuna", remedy="pip install yanmo[tune]")


def _why(rows: Sequence[Row]) -> str:
    reasons = [row["reason"] for row in rows if row["reason"]]
    return reasons[-1] if reasons else "give it more time"


def _words(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value:.3g}" for name, value in settings.items())
