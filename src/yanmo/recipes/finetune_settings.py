"""What ``finetune`` is told: the task, the model, the examples, and what is fixed by hand."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from yanmo import artifact
from yanmo.config import parse_duration_s, to_mapping
from yanmo.errors import InputError
from yanmo.finetuning.adversarial import FGM, FREELB, AdversarialConfig
from yanmo.finetuning.calibration import DecideBy
from yanmo.finetuning.freezing import FreezingConfig
from yanmo.finetuning.lora import LoraConfig
from yanmo.finetuning.recipe import FinetuneRecipe, choose_recipe
from yanmo.finetuning.registry import kind_of_task
from yanmo.models.checkpoint import Checkpoint
from yanmo.tasks.base import ReadSettings
from yanmo.tasks.columns import Columns
from yanmo.tasks.labels import LabelKind
from yanmo.tasks.split import Splits

# What a run means that was begun before there were such settings.
EARLIER = {"blend": True}
DISTURBANCES: dict[str, AdversarialConfig] = {"fgm": FGM, "freelb": FREELB}


@dataclass(frozen=True, kw_only=True)
class SearchLength:
    """How long a search for settings goes on: so many trials, or so many seconds."""

    num_trials: int | None = None
    seconds: float = 0.0

    @classmethod
    def read(cls, text: str) -> SearchLength:
        """From ``20`` or ``1h``.

        Raises:
            InputError: it is neither, or nothing.
        """
        if not text.isdecimal():
            return cls(seconds=parse_duration_s(text))
        if int(text) < 1:
            raise InputError(
                f"--tune {text} searches nothing", remedy="give a number of trials, or a time: 1h"
            )
        return cls(num_trials=int(text))


@dataclass(frozen=True, kw_only=True)
class FinetuneSettings:
    """What is learned, from what, and how; None leaves a number to the rules.

    Attributes:
        task: its name.
        model: to begin with.
        columns: of tables, where guessing is not wanted.
        header: whether first rows of tables name the columns, where guessing is not wanted.
        label_kind: ``one``, ``several`` or ``number``, where guessing is not wanted.
        corpus: more texts for a fresh encoder to read before it learns the task.
        valid: files of validation rows; drawn from the others where there are none.
        test: files of test rows; likewise.
        budget_s: the run takes no longer.
        max_seq_len: longest text in tokens.
        epochs: passes over the examples.
        batch_size: examples of a step.
        micro_batch_size: examples at once.
        learning_rate: AdamW's, at its peak.
        dropout: of what each block adds to the stream.
        hide_words: share of the tokens that are hidden while it learns.
        lora: adapters that learn instead of the weights.
        freezing: which weights move, and when.
        adversarial: a name of ``DISTURBANCES``.
        r_drop: weight of the agreement of two passes; 0 for one pass.
        class_weights: what classes count in the loss: by name, or ``balanced``; None: all alike.
        decide_by: ``f1``: thresholds are tuned; ``probability``: they are not; None: of several classes.
        blend: a linear model of words speaks beside the network where validation rows say that it helps.
        reward: of preferences, a model that gives each answer a number, instead of one that answers.
        folds: parts of the examples, each of which is the test once for a model that learned from the others.
        seeds: how many trainings that differ in what is drawn tell how sure the score is.
        tune: how long settings that are not fixed are searched: a number of trials, or a time such as ``1h``.
        seed: of the split, of what is drawn, and of the order.
        checkpoint_every_s: seconds between two checkpoints.
    """

    task: str
    model: Path
    columns: Columns = field(default_factory=dict)
    header: bool | None = None
    label_kind: str | None = None
    corpus: Path | None = None
    valid: Path | None = None
    test: Path | None = None
    budget_s: float | None = None
    max_seq_len: int | None = None
    epochs: float | None = None
    batch_size: int | None = None
    micro_batch_size: int | None = None
    learning_rate: float | None = None
    dropout: float | None = None
    hide_words: float | None = None
    lora: LoraConfig | None = None
    freezing: FreezingConfig = field(default_factory=FreezingConfig)
    adversarial: str | None = None
    r_drop: float = 0.0
    class_weights: Mapping[str, float] | str | None = None
    decide_by: DecideBy | None = None
    blend: bool = True
    reward: bool = False
    folds: int | None = None
    seeds: int | None = None
    tune: str | None = None
    seed: int = 0
    checkpoint_every_s: float = 30.0

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        kind_of_task(self.task)
        for name in ("max_seq_len", "epochs", "batch_size", "micro_batch_size", "learning_rate"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise InputError(f"--{name.replace('_', '-')} must be above 0, not {value:g}")
        if self.adversarial is not None and self.adversarial not in DISTURBANCES:
            raise InputError(
                f"no disturbance is named {self.adversarial!r}", remedy=f"there are {', '.join(DISTURBANCES)}"
            )
        if isinstance(self.class_weights, str) and self.class_weights != "balanced":
            raise InputError(
                f"no class weights are named {self.class_weights!r}", remedy="there are balanced"
            )
        if self.decide_by not in (None, "f1", "probability"):
            raise InputError(
                f"nothing decides by {self.decide_by!r}", remedy="--decide-by is f1 or probability"
            )
        if self.reward and self.task != "preference":
            raise InputError("--reward is for preference", remedy="yanmo finetune preference ... --reward")
        if self.r_drop and self.dropout == 0:
            raise InputError("--r-drop compares two passes, which are the same without --dropout")
        if self.adversarial is not None and self.r_drop:
            raise InputError("--adversarial and --r-drop do not go together", remedy="choose one of them")
        if self.lora is not None and self.freezing != FreezingConfig():
            raise InputError(
                "--lora and --last-blocks do not go together", remedy="adapters leave all blocks as they are"
            )

        self._check_repeats()

    def _check_repeats(self) -> None:
        for name in ("folds", "seeds"):
            value = getattr(self, name)
            if value is not None and value < 2:
                raise InputError(f"--{name} must be 2 or more, not {value}")
        if self.folds is not None and (self.seeds is not None or self.tune is not None):
            other = "seeds" if self.seeds is not None else "tune"
            raise InputError(
                f"--folds and --{other} do not go together",
                remedy="give --folds a run of its own: every fold would be gone through again",
            )
        if self.tune is not None and self.search.seconds >= (self.budget_s or math.inf):
            raise InputError(
                "--tune takes all of the --budget",
                remedy="the budget is for the search and the last training",
            )

    @property
    def search(self) -> SearchLength:
        """How long settings are searched.

        Raises:
            InputError: ``tune`` is neither a number nor a time.
        """
        assert self.tune is not None
        return SearchLength.read(self.tune)

    @property
    def num_runs(self) -> int:
        """How many trainings are asked for in all; those of a search that goes by time do not count."""
        num_trials = self.search.num_trials if self.tune is not None else None
        return 1 + (self.folds or 0) + ((self.seeds or 1) - 1) + (num_trials or 0)

    def alone(self) -> FinetuneSettings:
        """One training of all that are asked for, with its even share of the budget."""
        budget_s = self.budget_s
        if budget_s is not None:
            search_s = self.search.seconds if self.tune is not None else 0.0
            budget_s = (budget_s - search_s) / self.num_runs
        return dataclasses.replace(self, folds=None, seeds=None, tune=None, budget_s=budget_s)

    @property
    def reading(self) -> ReadSettings:
        """How the rows are read."""
        kind = None if self.label_kind is None else LabelKind(self.label_kind)
        return ReadSettings(columns=self.columns, header=self.header, label_kind=kind)

    def recipe(self, num_examples: int, d_model: int) -> FinetuneRecipe:
        """By the rules, and by hand where it was said."""
        chosen = choose_recipe(num_examples, d_model, self.task)
        said = {
            name: value
            for name in ("epochs", "batch_size", "learning_rate", "dropout", "hide_words")
            if (value := getattr(self, name)) is not None
        }
        return dataclasses.replace(chosen, **said)

    def recorded(self, sources: Sequence[Path], checkpoint: Checkpoint | None) -> dict[str, Any]:
        """What makes one run another: all that was said, and what the files hold."""
        given = [*sources, *(path for path in (self.valid, self.test) if path is not None)]
        files = [path for source in given for path in _files(source)]
        hashed = [part for path in files for part in (str(path), artifact.sha256_of_file(path))]
        return {
            **self._said(checkpoint),
            "data": [str(source.resolve()) for source in sources],
            "data_sha256": artifact.sha256_of_text(*hashed),
        }

    def recorded_rows(self, splits: Splits, checkpoint: Checkpoint | None) -> dict[str, Any]:
        """The same of examples in memory."""
        rows = (f"{name} {example!r}" for name, examples in splits.by_name().items() for example in examples)
        return {**self._said(checkpoint), "data_sha256": artifact.sha256_of_text(*rows)}

    def _said(self, checkpoint: Checkpoint | None) -> dict[str, Any]:
        model = self.model if checkpoint is None else checkpoint.path.resolve()
        return {"command": "finetune", **to_mapping(self), "model": str(model)}


def _files(source: Path) -> list[Path]:
    found = [source] if source.is_file() else sorted(source.rglob("*"))
    return [path for path in found if path.is_file()]
