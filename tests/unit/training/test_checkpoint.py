"""Checkpoints hold what they must, are written behind the loop's back, and lose no error."""

from __future__ import annotations

import errno
import json
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from yanmo.artifact import disk_error
from yanmo.errors import YanmoError
from yanmo.training import checkpoint as checkpoint_module
from yanmo.training.checkpoint import Checkpoint, CheckpointStore
from yanmo.training.state import TrainingState


def made(batch: int, *, best: int = -1, good: int = 0, value: float = 0.0) -> Checkpoint:
    state = TrainingState.fresh({"num_steps": 9, "anchor_step": 0, "anchor_progress": 0.0})
    state.batch = state.step = batch
    state.best_batch, state.good_batch = best, good
    state.best = {"loss_nats": 1.0} if best >= 0 else {}
    weights = {"a": torch.full((3, 2), value), "b": torch.arange(4.0)}
    return Checkpoint(weights=weights, optimizer={"n": torch.tensor(batch)}, state=state.to_json())


def names(folder: Path) -> list[int]:
    return sorted(int(path.name.removeprefix("batch-")) for path in folder.iterdir())


def test_what_is_saved_is_what_was_when_it_was_saved(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path)
    checkpoint = made(1, value=1.5)
    store.save(checkpoint, in_background=True)
    checkpoint.weights["a"].fill_(-1.0)
    found = store.load_newest(like=made(0))
    assert found is not None and found.batch == 1
    assert torch.equal(found.weights["a"], torch.full((3, 2), 1.5))
    assert torch.equal(found.optimizer["n"], torch.tensor(1))
    assert found.state == made(1).state


def test_the_state_is_plain_json(tmp_path: Path) -> None:
    CheckpointStore(tmp_path).save(made(1))
    text = (tmp_path / "batch-00000001" / "state.json").read_text()

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    assert json.loads(text, parse_constant=refuse)["batch"] == 1


def test_the_copy_is_taken_once(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path)
    store.save(made(1), in_background=True)
    before = {name: copy.data_ptr() for name, copy in store._copies.items()}
    store.save(made(2), in_background=True)
    store.wait()
    assert {name: copy.data_ptr() for name, copy in store._copies.items()} == before
    assert sum(copy.nbytes for copy in store._copies.values()) == 3 * 2 * 4 + 4 * 4 + 8


def test_the_newest_the_best_and_the_good_are_kept(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path)
    for batch in range(10):
        store.save(made(batch, best=min(batch, 2), good=batch // 4 * 4), keep=2)
    assert names(tmp_path) == [2, 8, 9]
    best = store.load_best()
    assert best is not None and best.batch == 2


def test_an_older_one_serves_where_the_good_one_was_never_written(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path)
    store.save(made(3))
    for batch in (6, 7, 8):
        store.save(made(batch, good=5), keep=1)
    assert names(tmp_path) == [3, 8]
    found = store.load_newest(at_most=5)
    assert found is not None and found.batch == 3


def test_a_second_save_waits_for_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at_work, most, save = 0, 0, checkpoint_module.save_tensors

    def slow(tensors: Mapping[str, Tensor], path: Path, metadata: Mapping[str, str]) -> None:
        nonlocal at_work, most
        at_work += 1
        most = max(most, at_work)
        time.sleep(0.05)
        save(tensors, path, metadata)
        at_work -= 1

    monkeypatch.setattr(checkpoint_module, "save_tensors", slow)
    store = CheckpointStore(tmp_path)
    began_s = time.monotonic()
    store.save(made(1), in_background=True)
    assert time.monotonic() - began_s < 0.05
    for batch in (2, 3):
        store.save(made(batch), in_background=True)
    store.save(made(4))
    assert most == 1 and names(tmp_path) == [3, 4]
    assert store.last_save_s >= 0.1


def full_disk(tensors: Mapping[str, Tensor], path: Path, metadata: Mapping[str, str]) -> None:
    raise disk_error(OSError(errno.ENOSPC, "No space left on device"), path)


def test_a_full_disk_is_one_line_behind_the_back_and_an_error_before_the_eyes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    store = CheckpointStore(tmp_path)
    store.save(made(1))
    with monkeypatch.context() as patched:
        patched.setattr(checkpoint_module, "save_tensors", full_disk)
        store.save(made(2), in_background=True)
        store.wait()
        message = capsys.readouterr().err
        assert message.count("\n") == 1
        assert "checkpoint not saved" in message and "the disk is full; training goes on" in message
        with pytest.raises(YanmoError, match="free some space and repeat the command") as failed:
            store.save(made(2))
        assert failed.value.exit_code == 1
    assert names(tmp_path) == [1]
    store.save(made(3), in_background=True)
    newest = store.load_newest()
    assert newest is not None and newest.batch == 3


def test_an_error_of_our_own_in_the_thread_reaches_the_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        assert threading.current_thread() is not threading.main_thread()
        raise KeyError("ours")

    monkeypatch.setattr(checkpoint_module, "save_tensors", broken)
    store = CheckpointStore(tmp_path)
    store.save(made(1), in_background=True)
    with pytest.raises(KeyError, match="ours"):
        store.save(made(2), in_background=True)
    assert names(tmp_path) == []


def test_an_abandoned_save_ends_after_its_file_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    began, go_on, written = threading.Event(), threading.Event(), []

    def slow(tensors: Mapping[str, Tensor], path: Path, metadata: Mapping[str, str]) -> None:
        written.append(path.name)
        began.set()
        assert go_on.wait(10)

    monkeypatch.setattr(checkpoint_module, "save_tensors", slow)
    store = CheckpointStore(tmp_path)
    store.save(made(1), in_background=True)
    assert began.wait(10)
    store.abandon()
    go_on.set()
    store.wait()
    assert written == ["weights.safetensors"] and list(tmp_path.iterdir()) == []


def test_without_memory_for_a_copy_it_is_written_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def no_memory(*_: Any, **__: Any) -> Tensor:
        raise RuntimeError("[enforce fail at alloc_cpu.cpp:119] DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(torch, "empty_like", no_memory)
    store = CheckpointStore(tmp_path)
    store.save(made(1), in_background=True)
    assert names(tmp_path) == [1]
    assert "memory is too short to save in the background" in capsys.readouterr().err


def test_leftovers_of_the_dead_go(tmp_path: Path) -> None:
    for name in (".batch-00000007.1.tmp", ".batch-00000003.99.old"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "weights.safetensors").write_bytes(b"half")
    store = CheckpointStore(tmp_path)
    store.save(made(4))
    store.clear_leftovers()
    assert names(tmp_path) == [4]


def test_no_checkpoints_are_none(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path / "not" / "there")
    store.clear_leftovers()
    assert store.load_newest() is None and store.load_best() is None
