"""A run that dies at any write of a save goes on and ends in the same bytes."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from training_made import KILLED, Run, in_child

from yanmo.training import checkpoint as checkpoint_module

RUN = Run(num_steps=3, num_validations=2, keep=1)
# Every way in which a save changes the disk; what safetensors does is one call of ours.
CALLS = ("fsync", "replace", "rename", "unlink", "rmdir", "mkdir")


class Deadly:
    """Dies at the n-th change of the disk, before it, or with half of it written."""

    def __init__(self, dies_at: int) -> None:
        self._dies_at, self.num_changes = dies_at, 0
        self.names: list[str] = []

    def install(self) -> None:
        for name in CALLS:
            setattr(os, name, self._wrapped(name, getattr(os, name)))
        io.open = self._opening(io.open)
        checkpoint_module.save_tensors = self._saving(checkpoint_module.save_tensors)

    def _is_time(self, name: str) -> bool:
        self.num_changes += 1
        self.names.append(name)
        return self.num_changes == self._dies_at

    def _wrapped(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            if self._is_time(name):
                os._exit(KILLED)
            return function(*arguments, **options)

        return call

    def _opening(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(path: Any, mode: str = "r", *arguments: Any, **options: Any) -> Any:
            file = function(path, mode, *arguments, **options)
            if "w" in mode and isinstance(path, Path) and self._is_time("write"):
                file.write(b'{"half": ')
                file.flush()
                os._exit(KILLED)
            return file

        return call

    def _saving(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(tensors: Any, path: Path, metadata: Any) -> None:
            function(tensors, path, metadata)
            if self._is_time("tensors"):
                os.truncate(path, path.stat().st_size // 2)
                os._exit(KILLED)

        return call


def dying(folder: Path, dies_at: int) -> Callable[[], object]:
    def work() -> object:
        deadly = Deadly(dies_at)
        deadly.install()
        RUN.finish(folder)
        return " ".join(deadly.names)

    return work


def test_death_at_every_change_of_the_disk(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    code, expected = in_child(lambda: RUN.finish(tmp_path / "whole"))
    assert code == 0, expected
    dies_at, names = 0, ""
    while not names:
        dies_at += 1
        folder = tmp_path / f"died-{dies_at}"
        code, names = in_child(dying(folder, dies_at))
        assert code == (0 if names else KILLED), names
        code, result = in_child(lambda folder=folder: RUN.finish(folder))
        assert (code, result) == (0, expected), f"died at change {dies_at}"
        leftovers = [path.name for path in folder.iterdir() if path.name.startswith(".")]
        assert leftovers == []
    # The dead ones met every kind of change, in several saves, the dropping of old ones included.
    met = names.split()
    assert len(met) == dies_at - 1 > 60
    assert {*CALLS, "write", "tensors"} <= set(met)


def test_two_deaths_in_a_row(tmp_path: Path) -> None:
    _, expected = in_child(lambda: RUN.finish(tmp_path / "whole"))
    for first, second in ((25, 3), (40, 14), (47, 20), (60, 31)):
        folder = tmp_path / f"{first}-{second}"
        assert in_child(dying(folder, first))[0] == KILLED
        assert in_child(dying(folder, second))[0] == KILLED
        assert in_child(lambda folder=folder: RUN.finish(folder)) == (0, expected)
