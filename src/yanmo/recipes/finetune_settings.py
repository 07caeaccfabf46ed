"""What ``finetune`` is told: the task, the model, the examples, and what is fixed by hand."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from yanmo import artifact
from yanmo.config import to_mapping
from yanmo.errors import InputError
from yanmo.finetuning.adversarial import FGM, FREELB, AdversarialConfig
from yanmo.finetuning.freezing import FreezingConfig
from yanmo.finetuning.lora import LoraConfig
from yanmo.finetuning.recipe import FinetuneRecipe, choose_recipe
from yanmo.finetuning.registry import kind_of_task
from yanmo.models.checkpoint import Checkpoint
from yanmo.tasks.base import ReadSettings
from yanmo.tasks.columns import Columns
from yanmo.tasks.labels import LabelKind

DISTURBANCES: dict[str, AdversarialConfig] = {"fgm": FGM, "freelb": FREELB}


@dataclass(frozen=True, kw_only=True)
class FinetuneSettings:
    """What is learned, from what, and how; None leaves a number to the rules.

    Attributes:
        task: its name.
        model: to begin with.
        columns: of tables, where guessing is not wanted.
        label_kind: ``one``, ``several`` or ``number``, where guessing is not wanted.
        valid: files of validation rows; drawn from the others where there are none.
        test: files of test rows; likewise.
        budget_s: the run takes no longer.
        max_seq_len: longest text in tokens.
        epochs: passes over the examples.
        batch_size: examples of a step.
        micro_batch_size: examples at once.
        learning_rate: AdamW's, at its peak.
        dropout: of what each block adds to the stream.
        lora: adapters that learn instead of the weights.
        freezing: which weights move, and when.
        adversarial: a name of ``DISTURBANCES``.
        r_drop: weight of the agreement of two passes; 0 for one pass.
        seed: of the split, of what is drawn, and of the order.
        checkpoint_every_s: seconds between two checkpoints.
    """

    task: str
    model: Path
    columns: Columns = field(default_factory=dict)
    label_kind: str | None = None
    valid: Path | None = None
    test: Path | None = None
    budget_s: float | None = None
    max_seq_len: int | None = None
    epochs: float | None = None
    batch_size: int | None = None
    micro_batch_size: int | None = None
    learning_rate: float | None = None
    dropout: float | None = None
    lora: LoraConfig | None = None
    freezing: FreezingConfig = field(default_factory=FreezingConfig)
    adversarial: str | None = None
    r_drop: float = 0.0
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
        if self.adversarial is not None and self.r_drop:
            raise InputError("--adversarial and --r-drop do not go together", remedy="choose one of them")
        if self.lora is not None and self.freezing != FreezingConfig():
            raise InputError(
                "--lora and --last-blocks do not go together", remedy="adapters leave all blocks as they are"
            )

    @property
    def reading(self) -> ReadSettings:
        """How the rows are read."""
        kind = None if self.label_kind is None else LabelKind(self.label_kind)
        return ReadSettings(columns=self.columns, label_kind=kind)

    def recipe(self, num_examples: int, d_model: int) -> FinetuneRecipe:
        """By the rules, and by hand where it was said."""
        chosen = choose_recipe(num_examples, d_model)
        said = {
            name: value
            for name in ("epochs", "batch_size", "learning_rate", "dropout")
            if (value := getattr(self, name)) is not None
        }
        return dataclasses.replace(chosen, **said)

    def recorded(self, sources: Sequence[Path], checkpoint: Checkpoint) -> dict[str, Any]:
        """What makes one run another: all that was said, and what the files hold."""
        plain = {key: value for key, value in to_mapping(self).items() if value is not None}
        given = [*sources, *(path for path in (self.valid, self.test) if path is not None)]
        files = [path for source in given for path in _files(source)]
        hashed = [part for path in files for part in (str(path), artifact.sha256_of_file(path))]
        return {
            "command": "finetune",
            **plain,
            "model": str(checkpoint.path.resolve()),
            "data": [str(source.resolve()) for source in sources],
            "data_sha256": artifact.sha256_of_text(*hashed),
        }


def _files(source: Path) -> list[Path]:
    found = [source] if source.is_file() else sorted(source.rglob("*"))
    return [path for path in found if path.is_file()]
