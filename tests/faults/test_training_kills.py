"""A run that is killed and repeated ends in the same bytes as one that was not."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from training_made import command_line, in_save, make_corpus

from yanmo.artifact import sha256_of_file, verify

LARGE = [
    "--steps",
    "150",
    "--num-layers",
    "4",
    "--d-model",
    "512",
    "--max-seq-len",
    "32",
    "--batch-size",
    "4",
]
FLAGS = ["--steps", "150", "--num-layers", "1", "--d-model", "32", "--max-seq-len", "32", "--batch-size", "4"]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_corpus(tmp_path_factory.mktemp("kills"))


def command(corpus: Path, out: Path, flags: Sequence[str] = FLAGS) -> list[str]:
    return ["pretrain", str(corpus), "--out", str(out), *flags, "--checkpoint-every", "0.01s"]


def start(corpus: Path, out: Path, flags: Sequence[str] = FLAGS, **options: Any) -> subprocess.Popen[bytes]:
    """The command in a process of its own, on one core as all runs that are compared here."""
    return subprocess.Popen(
        [sys.executable, "-m", "yanmo", *command(corpus, out, flags)],
        stdout=subprocess.DEVNULL,
        preexec_fn=lambda: os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}),
        **options,
    )


@pytest.fixture(scope="module")
def whole(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing happened to."""
    out = tmp_path_factory.mktemp("whole") / "run"
    code, said = command_line(command(corpus, out))
    assert code == 0, said
    return out


@pytest.fixture(scope="module")
def uninterrupted(whole: Path) -> str:
    return weights_of(whole)


@pytest.fixture
def stopped(corpus: Path, tmp_path: Path) -> Path:
    """A run that a signal stopped, with several checkpoints."""
    out = tmp_path / "run"
    code, said = command_line(
        command(corpus, out), before=in_save(signal.SIGTERM, times=1, lasting_s=0.0, at=9)
    )
    assert code == 143, said
    return out


def weights_of(out: Path) -> str:
    return sha256_of_file(out / "model" / "model.safetensors")


def wait_for(path: Path, process: subprocess.Popen[bytes], *, pattern: str | None = None) -> None:
    """Until the path, or something in it, is there."""
    deadline_s = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < deadline_s:
        if any(path.glob(pattern)) if pattern else path.exists():
            return
        time.sleep(0.005)


def test_killed_and_repeated_gives_the_same_bytes(corpus: Path, tmp_path: Path, uninterrupted: str) -> None:
    out, rng, kills = tmp_path / "run", random.Random(1), 0
    for attempt in range(3):
        process = start(corpus, out, stderr=subprocess.DEVNULL)
        wait_for(out / "metrics.jsonl" if attempt else out / "run.toml", process)
        time.sleep(rng.uniform(0.0, 0.8))
        kills += process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert kills >= 2, "the run ended before it could be killed"
    code, said = command_line(command(corpus, out))
    assert code == 0, said
    assert weights_of(out) == uninterrupted
    leftovers = [p.name for p in [*out.rglob("*.tmp"), *out.rglob("*.old")]]
    assert leftovers == []


def test_sigterm_saves_and_exits_143(corpus: Path, tmp_path: Path, uninterrupted: str) -> None:
    out = tmp_path / "run"
    process = start(corpus, out, stderr=subprocess.PIPE)
    wait_for(out / "metrics.jsonl", process)
    process.terminate()
    _, message = process.communicate(timeout=60)
    assert process.returncode == 143, message
    assert b"the same command goes on from here" in message
    code, said = command_line(command(corpus, out))
    assert code == 0, said
    assert weights_of(out) == uninterrupted


def test_a_second_sigterm_ends_a_process_that_writes_a_large_checkpoint(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    process = start(corpus, out, LARGE, stderr=subprocess.PIPE)
    wait_for(out / "checkpoints", process, pattern=".batch-*.tmp/*")
    process.terminate()
    time.sleep(0.02)
    process.terminate()
    _, message = process.communicate(timeout=60)
    assert process.returncode == 143, message
    assert message.decode().splitlines()[-1].startswith("yanmo: stopped at once")
    for path in (out / "checkpoints").glob("batch-*"):
        verify(path)


def test_damaged_newest_checkpoint_falls_back_to_the_one_before(
    corpus: Path, stopped: Path, uninterrupted: str
) -> None:
    *before, newest_folder = sorted((stopped / "checkpoints").glob("batch-*"))
    assert before
    newest = newest_folder / "weights.safetensors"
    newest.write_bytes(newest.read_bytes()[:-100])
    code, said = command_line(command(corpus, stopped))
    assert code == 0 and f"checkpoint not used: {newest}: has another size" in said, said
    assert weights_of(stopped) == uninterrupted


def test_every_checkpoint_damaged_is_one_clear_line(corpus: Path, stopped: Path) -> None:
    for path in (stopped / "checkpoints").glob("batch-*/state.json"):
        path.write_text("{")
    code, said = command_line(command(corpus, stopped))
    assert code == 1
    assert "every checkpoint is damaged" in said.splitlines()[-1]


def test_finished_run_is_left_alone_and_other_settings_are_refused(
    corpus: Path, whole: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    shutil.copytree(whole, out)
    code, said = command_line(command(corpus, out))
    assert code == 0 and "already finished; nothing to do" in said
    code, said = command_line([*command(corpus, out), "--seed", "7"])
    assert code == 2 and "seed (0 there, 7 now)" in said


def test_full_disk_is_one_line_and_the_run_goes_on_once_there_is_space(
    corpus: Path, tmp_path: Path, uninterrupted: str
) -> None:
    disk, ballast = tmp_path / "disk", tmp_path / "disk" / "ballast"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(disk)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("a small file system can be mounted by root only")
    try:
        out = disk / "run"
        process = start(corpus, out, stderr=subprocess.PIPE)
        wait_for(out / "checkpoints", process, pattern="batch-*[1-9]*")
        with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(b"\0" * 4096)
        _, message = process.communicate(timeout=120)
        # It goes on without checkpoints, and fails when the last one cannot be written either.
        assert process.returncode == 1
        lines = message.decode().strip().splitlines()
        assert "the disk is full (free some space and repeat the command)" in lines[-1]
        ballast.unlink()
        code, said = command_line(command(corpus, out))
        assert code == 0 and "going on after step" in said, said
        assert weights_of(out) == uninterrupted
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


def test_unwritable_place_is_one_line(corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    code, said = command_line(command(corpus, tmp_path / "file" / "run"))
    assert code in (1, 2)
    assert len(said.strip().splitlines()) == 1
