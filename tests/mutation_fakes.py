"""Readers that do wrong on purpose, one way each, for the tests of the watchdog."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.mutations import Kind
from yanmo.errors import InputError

SOUND = b'{"sound": [1, 2, 3]}'
# Address space from before the limit on it, which takes memory only when it is written to.
_ROOM = np.empty(250 * 2**20, dtype=np.uint8)


def make(folder: Path) -> None:
    (folder / "x.json").write_bytes(SOUND)


def _is_sound(folder: Path) -> bool:
    return (folder / "x.json").read_bytes() == SOUND


def hang(folder: Path) -> None:
    while not _is_sound(folder):
        pass


def die(folder: Path) -> None:
    if not _is_sound(folder):
        os.kill(os.getpid(), signal.SIGSEGV)


def touch_memory(folder: Path) -> None:
    if not _is_sound(folder):
        _ROOM.fill(1)


def ask_for_memory(folder: Path) -> None:
    if not _is_sound(folder):
        np.empty(2**40, dtype=np.uint8)


def crash(folder: Path) -> None:
    if not _is_sound(folder):
        raise ValueError("could not convert string to float")


def misread(folder: Path) -> None:
    assert _is_sound(folder), "other values than the reference"


def two_lines(folder: Path) -> None:
    if not _is_sound(folder):
        raise InputError("this is wrong\nand that")


def refuse(folder: Path) -> None:
    if not _is_sound(folder):
        raise InputError("x.json is damaged; make it again")


def kind_of(read: Callable[[Path], None]) -> Kind:
    return Kind(make=make, read=read, target="x.json")
