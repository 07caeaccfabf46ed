"""Checkpoints: everything a run needs to go on in the same bytes.

A checkpoint is a folder with weights.safetensors (float32 masters), optimizer.safetensors and state.json
(``TrainingState``), written whole (``artifact.new_folder``): every file is fsynced, the manifest with their
sha256 comes last, and only then does the folder get its name, which counts the batches drawn. The newest
that is whole and of the right shape is used; any other is named, and the one before it taken. Random
numbers need no state: each batch seeds its own.

A checkpoint is copied in memory and written by a thread while training goes on, one at a time. The copy is
as large as the masters and the moments together, and is kept for the next one.
"""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from yanmo import artifact
from yanmo.errors import InputError, YanmoError
from yanmo.models.files.safetensors_files import save_tensors
from yanmo.reporting.progress import say, say_once
from yanmo.runtime import is_out_of_memory
from yanmo.training.state import TrainingState

_WEIGHTS, _OPTIMIZER, _STATE = "weights.safetensors", "optimizer.safetensors", "state.json"
_FILES = {_WEIGHTS, _OPTIMIZER, _STATE}
_PREFIX = "batch-"
_DAMAGED = "the checkpoint is damaged"


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """The state of a run before a batch; ``state`` is what ``TrainingState.to_json`` gives."""

    weights: dict[str, Tensor]
    optimizer: dict[str, Tensor]
    state: dict[str, Any]

    @property
    def step(self) -> int:
        """Updates made."""
        return int(self.state["step"])

    @property
    def batch(self) -> int:
        """Batches drawn."""
        return int(self.state["batch"])


class _AbandonedError(Exception):
    """Nobody wants the checkpoint any more that is being written."""


class CheckpointStore:
    """The checkpoints of one run, which one process at a time may write."""

    def __init__(self, folder: Path) -> None:
        """Name the folder; it is made by the first ``save``."""
        self._folder = folder
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None
        self._copies: dict[str, Tensor] = {}
        self._saved_batch = -1
        self._refused: set[Path] = set()
        self._is_abandoned = False
        self.last_save_s = 0.0
        """Seconds that the last save took."""

    def save(self, checkpoint: Checkpoint, *, keep: int = 2, in_background: bool = False) -> None:
        """Write a checkpoint, then drop what is older than the ``keep`` newest and not needed by them.

        Needed are the best checkpoint and the one to go back to (``best_batch`` and ``good_batch`` of the
        state). A save waits for the one before it.

        Args:
            checkpoint: may change as soon as this returns.
            keep: at least 1.
            in_background: return once the checkpoint is copied. Where the disk is full or cannot be
                written then, one line says so, and older checkpoints stay.

        Raises:
            YanmoError: the disk is full or the folder cannot be written; older checkpoints are untouched.
        """
        self.wait()
        if checkpoint.batch == self._saved_batch:
            return
        if not in_background:
            self._write(checkpoint, keep)
            return
        copied = self._copy(checkpoint)
        if copied is None:
            # No memory for a copy: written at once, with the same indulgence.
            self._write_in_background(checkpoint, keep)
            self.wait()
            return
        # No daemon: the end of the interpreter would tear it out of the library that writes.
        self._thread = threading.Thread(
            target=self._write_in_background, args=(copied, keep), name="checkpoint"
        )
        self._thread.start()

    def wait(self) -> None:
        """Until nothing is being written; an error that only a bug can explain is raised here."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        error, self._error = self._error, None
        if error is not None:
            raise error

    def abandon(self) -> None:
        """Give up what is being written, as soon as the present file is done, and do not wait for it."""
        self._is_abandoned = True

    def load_newest(self, *, like: Checkpoint | None = None, at_most: int | None = None) -> Checkpoint | None:
        """The newest checkpoint that is whole; says so of each that is not.

        Args:
            like: has the names, shapes and types that the tensors must have, and the keys of the schedule.
            at_most: the batch of the newest one wanted.

        Raises:
            YanmoError: there are checkpoints and every one is damaged.
        """
        self.wait()
        paths = [path for path in self._paths() if at_most is None or _batch_of(path) <= at_most]
        for path in reversed(paths):
            try:
                checkpoint = _read(path, like)
            except InputError as error:
                self._refused.add(path)
                say(f"checkpoint not used: {error}; going back to the one before")
                continue
            self._saved_batch = checkpoint.batch
            return checkpoint
        if paths:
            raise YanmoError(
                "every checkpoint is damaged", where=self._folder, remedy="start again with --force"
            )
        return None

    def load_best(self) -> Checkpoint | None:
        """The best checkpoint that the newest one knows of; None where there is none or it is damaged."""
        self.wait()
        for path in reversed(self._paths()):
            best = self._folder / _name(_needed(path).get("best_batch", -1))
            if best.is_dir():
                try:
                    return _read(best, None)
                except InputError as error:
                    say(f"best checkpoint not used: {error}")
                    return None
        return None

    def clear_leftovers(self) -> None:
        """Remove what a killed process left half written. Only while no other process uses the folder."""
        if self._folder.is_dir():
            for path in self._folder.iterdir():
                if path.name.startswith(".") and path.suffix in (".tmp", ".old"):
                    shutil.rmtree(path, ignore_errors=True)

    def _paths(self) -> list[Path]:
        """Whatever has a checkpoint's name, oldest first."""
        if not self._folder.is_dir():
            return []
        found = (path for path in self._folder.glob(f"{_PREFIX}*") if _batch_of(path) >= 0)
        return sorted(found, key=_batch_of)

    def _copy(self, checkpoint: Checkpoint) -> Checkpoint | None:
        """A copy that shares nothing; None, said once, where memory is too short for one."""
        try:
            weights = self._copy_tensors("weights", checkpoint.weights)
            optimizer = self._copy_tensors("optimizer", checkpoint.optimizer)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            self._copies.clear()
            say_once("memory is too short to save in the background; training waits for each checkpoint")
            return None
        return Checkpoint(weights=weights, optimizer=optimizer, state=checkpoint.state)

    def _copy_tensors(self, part: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        copied = {}
        for name, tensor in tensors.items():
            key = f"{part}/{name}"
            if key not in self._copies:
                self._copies[key] = torch.empty_like(tensor, device="cpu")
            copied[name] = self._copies[key].copy_(tensor.detach())
        return copied

    def _write_in_background(self, checkpoint: Checkpoint, keep: int) -> None:
        try:
            self._write(checkpoint, keep)
        except _AbandonedError:
            return
        except YanmoError as error:
            say(f"checkpoint not saved: {error.where}: {error.what}; training goes on, and tries again later")
        except BaseException as error:
            self._error = error

    def _write(self, checkpoint: Checkpoint, keep: int) -> None:
        began_s = time.monotonic()
        path = self._folder / _name(checkpoint.batch)
        details = {"batch": checkpoint.batch}
        with artifact.new_folder(path, kind="checkpoint", details=details) as folder:
            for name, tensors in ((_WEIGHTS, checkpoint.weights), (_OPTIMIZER, checkpoint.optimizer)):
                save_tensors(tensors, folder / name, {})
                if self._is_abandoned:
                    raise _AbandonedError
            artifact.write_json(folder / _STATE, checkpoint.state)
        self._saved_batch = checkpoint.batch
        self._refused.discard(path)
        self._prune(checkpoint.batch, keep)
        self.last_save_s = time.monotonic() - began_s

    def _prune(self, newest: int, keep: int) -> None:
        # What is beyond the newest was refused when this run was resumed; it goes once the run has passed it.
        paths = [path for path in self._paths() if _batch_of(path) <= newest]
        whole = [path for path in paths if path not in self._refused]
        kept = set(whole[-keep:])
        for needed in [_needed(path) for path in kept]:
            for batch in needed.values():
                # Where the very one could not be written, the one before it serves.
                kept |= set([path for path in whole if _batch_of(path) <= batch][-1:])
        for path in paths:
            if path not in kept:
                shutil.rmtree(path, ignore_errors=True)


def _name(batch: int) -> str:
    return f"{_PREFIX}{batch:08d}"


def _batch_of(path: Path) -> int:
    """The batches drawn before a checkpoint, from its name; -1 where that is no number."""
    digits = path.name.removeprefix(_PREFIX)
    return int(digits) if digits.isascii() and digits.isdecimal() and len(digits) < 19 else -1


def _needed(path: Path) -> dict[str, int]:
    """The batches of the other checkpoints that one cannot do without."""
    try:
        state = artifact.read_json(path / _STATE)
    except InputError:
        return {}
    needed = {name: state.get(name) for name in ("good_batch", "best_batch")}
    return {name: batch for name, batch in needed.items() if isinstance(batch, int)}


def _read(path: Path, like: Checkpoint | None) -> Checkpoint:
    """A checkpoint of which every byte and every key is as it must be.

    Raises:
        InputError: it is not, and names the file and the key.
    """
    manifest = artifact.verify(path)
    where = path / artifact.MANIFEST
    if manifest.get("kind") != "checkpoint" or set(manifest["files"]) != _FILES:
        raise InputError("does not list the files of a checkpoint", where=where, remedy=_DAMAGED)
    state = artifact.read_json(path / _STATE)
    read = TrainingState.read(state, where=path / _STATE)
    if manifest.get("details") != {"batch": read.batch} or read.batch != _batch_of(path):
        raise InputError("is of another batch than its folder says", where=where, remedy=_DAMAGED)
    weights, optimizer = (_load_tensors(path / name) for name in (_WEIGHTS, _OPTIMIZER))
    if like is not None:
        _require_like(like.weights, weights, path / _WEIGHTS)
        _require_like(like.optimizer, optimizer, path / _OPTIMIZER)
        _require_keys(like.state["schedule"], state["schedule"], path / _STATE)
    return Checkpoint(weights=weights, optimizer=optimizer, state=state)


def _load_tensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise InputError(f"not a safetensors file: {error}", where=path, remedy=_DAMAGED) from None


def _require_like(expected: Mapping[str, Tensor], found: Mapping[str, Tensor], where: Path) -> None:
    _require_keys(expected, found, where)
    for name, tensor in found.items():
        for what in ("shape", "dtype"):
            is_, must_be = getattr(tensor, what), getattr(expected[name], what)
            if is_ != must_be:
                shown = [str(list(value) if what == "shape" else value) for value in (is_, must_be)]
                raise InputError(f"{name!r} has {what} {shown[0]}, not {shown[1]}", where=where)


def _require_keys(expected: Mapping[str, Any], found: Mapping[str, Any], where: Path) -> None:
    for name in expected:
        if name not in found:
            raise InputError(f"{name!r} is missing", where=where)
    for name in found:
        if name not in expected:
            raise InputError(f"{name!r} does not belong there", where=where)
