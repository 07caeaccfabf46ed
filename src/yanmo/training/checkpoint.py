"""Checkpoints: everything a run needs to go on in the same bytes.

A checkpoint is a folder with weights.safetensors (float32 masters), optimizer.safetensors and
state.json, written whole (``artifact.new_folder``). The newest that verifies is used; a damaged one is
named and the one before it taken. Random numbers need no state: each step seeds its own.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor

from yanmo import artifact
from yanmo.errors import InputError, YanmoError
from yanmo.reporting.progress import say


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """The state of a run before a step."""

    step: int
    weights: dict[str, Tensor]
    optimizer: dict[str, Tensor]
    state: dict[str, Any]


class CheckpointStore:
    """The checkpoints of one run."""

    def __init__(self, folder: Path, *, keep: int = 2) -> None:
        """Name the folder; the ``keep`` newest checkpoints are kept, and the best beside them."""
        self._folder, self._keep = folder, keep

    def save(self, checkpoint: Checkpoint) -> None:
        """Write a checkpoint, then drop the oldest ones.

        Raises:
            YanmoError: the disk is full or the folder cannot be written; the others are untouched.
        """
        self._write(self._folder / f"step-{checkpoint.step:08d}", checkpoint)
        for path in self._paths()[: -self._keep]:
            shutil.rmtree(path, ignore_errors=True)

    def save_best(self, step: int, weights: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        """Keep these weights as the best so far."""
        best = Checkpoint(step=step, weights=dict(weights), optimizer={}, state=dict(state))
        self._write(self._folder / "best", best)

    def load_best(self) -> Checkpoint | None:
        """The best weights, or None where there are none or they are damaged."""
        path = self._folder / "best"
        return self._read(path) if path.is_dir() else None

    def load_newest(self) -> Checkpoint | None:
        """The newest checkpoint that is whole; says so of each that is not.

        Raises:
            YanmoError: there are checkpoints and every one is damaged.
        """
        paths = self._paths()
        for path in reversed(paths):
            checkpoint = self._read(path)
            if checkpoint is not None:
                return checkpoint
        if paths:
            raise YanmoError(
                "every checkpoint is damaged", where=self._folder, remedy="start again with --force"
            )
        return None

    def _paths(self) -> list[Path]:
        return sorted(self._folder.glob("step-*")) if self._folder.is_dir() else []

    def _write(self, path: Path, checkpoint: Checkpoint) -> None:
        with artifact.new_folder(path, kind="checkpoint", details={"step": checkpoint.step}) as folder:
            save_file(checkpoint.weights, folder / "weights.safetensors")
            if checkpoint.optimizer:
                save_file(checkpoint.optimizer, folder / "optimizer.safetensors")
            artifact.write_json(folder / "state.json", checkpoint.state)

    def _read(self, path: Path) -> Checkpoint | None:
        try:
            manifest = artifact.verify(path)
            optimizer = path / "optimizer.safetensors"
            return Checkpoint(
                step=manifest["details"]["step"],
                weights=load_file(path / "weights.safetensors"),
                optimizer=load_file(optimizer) if optimizer.is_file() else {},
                state=artifact.read_json(path / "state.json"),
            )
        except InputError as error:
            say(f"checkpoint not used: {error}; going back to the one before")
            return None
